/* The names of the files of the disk in memory (sim_disk.h). */
#ifndef HATO_TESTS_SIM_NAMES_H
#define HATO_TESTS_SIM_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "sim/sim_inode.h"

struct sim_name {
    char *path;
    struct sim_inode *inode;
};

/* Sorted by path. */
struct sim_names {
    struct sim_name *at;
    size_t n, capacity;
};

struct sim_inode *sim_names_get(const struct sim_names *n, const char *path); /* NULL: no such name */
void sim_names_set(struct sim_names *n, const char *path, struct sim_inode *inode);
void sim_names_drop(struct sim_names *n, const char *path);
void sim_names_clear(struct sim_names *n); /* the array stays, for the owner to free */
void sim_names_assign(struct sim_names *to, const struct sim_names *from);

#endif
