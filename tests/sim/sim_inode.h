/* What a file of the disk in memory (sim_disk.h) holds: its bytes as its readers see them, those that are synced, and
 * every block as it was written in between, of which a crash keeps what it likes. */
#ifndef HATO_TESTS_SIM_INODE_H
#define HATO_TESTS_SIM_INODE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/disk.h"
#include "base/random.h"

/* What a block held after a write that is not synced. */
struct sim_version {
    uint64_t block;
    uint8_t bytes[DISK_BLOCK_BYTES];
};

struct sim_image {
    uint8_t *bytes;
    uint64_t len;
    uint64_t capacity;
};

struct sim_inode {
    struct sim_inode *next;
    struct sim_image live;
    struct sim_image synced;
    struct sim_version *versions;
    size_t versions_n, versions_capacity;
    unsigned open;
    bool locked;
    bool reached; /* by the sweep */
};

void sim_image_resize(struct sim_image *m, uint64_t len); /* bytes that are new are 0 */
void sim_image_assign(struct sim_image *to, const struct sim_image *from);

/* An empty file, put in front of `list`. */
struct sim_inode *sim_inode_create(struct sim_inode **list);
void sim_inode_destroy(struct sim_inode *i);

/* After a block of `live` was written: what it holds now is one of the versions that a crash chooses from. */
void sim_inode_remember(struct sim_inode *i, uint64_t block);
void sim_inode_sync(struct sim_inode *i);
/* Power is gone: what stays is drawn from `r`, and is synced. */
void sim_inode_crash(struct sim_inode *i, struct random *r);

#endif
