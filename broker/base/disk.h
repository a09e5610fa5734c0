/* The few file operations that durable state rests on, behind a table, so that the simulator can put a disk there that
 * loses, tears and flips what was not synced.
 *
 * Every operation returns ERR_OK or: ERR_STORAGE_FULL (no space or quota), ERR_NOT_FOUND (no such path), ERR_EXISTS
 * (exclusive creation, or a lock held by another process), ERR_IO (anything else); and says in `e` (may be NULL) what it
 * was doing to which file. A sync never says ERR_STORAGE_FULL, which would invite a retry: what it failed to write is lost, and a
 * second sync would say yes.
 *
 * What the caller may assume after a power cut: blocks of DISK_BLOCK_BYTES, aligned, are written whole or not at all; of
 * the writes since the last sync of a file any subset of its blocks, in any order, may have arrived; names are durable
 * only after `sync_dir`. After a sync that failed nothing may be assumed about what was written before it.
 *
 * Threads: the real disk may be used from any thread, one file too; the simulated one from a single thread. */
#ifndef HATO_BASE_DISK_H
#define HATO_BASE_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/error.h"

enum { DISK_BLOCK_BYTES = 512, DISK_PATH_MAX = 1024 };

enum disk_flag {
    DISK_CREATE = 1,    /* make the file when it is not there */
    DISK_EXCLUSIVE = 2, /* with DISK_CREATE: ERR_EXISTS when it is there */
};

struct disk;

/* An open file. Implementations embed it. */
struct disk_file {
    struct disk *disk;
    char *path; /* as opened or last renamed through disk_file_renamed: for messages */
};

struct disk {
    int (*make_dir)(struct disk *d, const char *path, struct error *e); /* lasting; fine when it is there */
    int (*open)(struct disk *d, const char *path, unsigned flags, struct disk_file **out, struct error *e);
    void (*close)(struct disk_file *f);
    int (*size)(struct disk_file *f, uint64_t *out, struct error *e);

    /* Writes all parts or fails; parts may be more than IOV_MAX. After a failure any of the bytes may have changed. */
    int (*write)(struct disk_file *f, uint64_t offset, const struct iovec *parts, size_t n, struct error *e);

    /* Reads up to `len` bytes; fewer only where the file ends. */
    int (*read)(struct disk_file *f, uint64_t offset, void *to, size_t len, size_t *got, struct error *e);

    int (*sync)(struct disk_file *f, struct error *e); /* contents and size, as fdatasync */

    /* The file is at least `bytes` long and writing there needs no more space; new bytes read as zeros. */
    int (*allocate)(struct disk_file *f, uint64_t bytes, struct error *e);

    int (*truncate)(struct disk_file *f, uint64_t bytes, struct error *e);
    int (*unlink)(struct disk *d, const char *path, struct error *e);
    int (*rename)(struct disk *d, const char *from, const char *to, struct error *e); /* replaces `to` */
    int (*sync_dir)(struct disk *d, const char *path, struct error *e);
    int (*space)(struct disk *d, const char *path, uint64_t *free_bytes, struct error *e);

    /* Calls `each` for every name in the directory except "." and "..", in no order. */
    int (*list)(struct disk *d, const char *path, void (*each)(void *ctx, const char *name), void *ctx,
                struct error *e);

    /* Creates the file if need be and holds an exclusive lock on it until it is closed. */
    int (*lock)(struct disk *d, const char *path, struct disk_file **out, struct error *e);
};

/* The machine's own. Never closed; has no state of its own. */
struct disk *disk_real(void);

/* For implementations: the message "action path: reason" and the code that belongs to an errno value. */
int disk_error(struct error *e, int number, const char *action, const char *path);
int disk_sync_error(struct error *e, int number, const char *action,
                    const char *path); /* ERR_IO, whatever the number */

/* Tells an open file its new name after a rename. */
void disk_file_renamed(struct disk_file *f, const char *path);

/* Convenience over the table. */
int disk_write_bytes(struct disk_file *f, uint64_t offset, const void *data, size_t len, struct error *e);
int disk_read_exact(struct disk_file *f, uint64_t offset, void *to, size_t len, struct error *e); /* ERR_IO if short */

#endif
