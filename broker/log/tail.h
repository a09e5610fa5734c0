/* A group's entries in memory: those not on disk yet, and those on disk but not released. Owner's thread. */
#ifndef HATO_LOG_TAIL_H
#define HATO_LOG_TAIL_H

#include <stdint.h>

#include "log/log.h"

struct tail_slot {
    struct log_entry entry;
    uint64_t sequence; /* of the write that brought it */
};

/* A zeroed struct is empty. Holds a reference on every owner. */
struct tail {
    struct tail_slot *at; /* a ring */
    size_t head, n, capacity;
};

void tail_close(struct tail *t);
void tail_push(struct tail *t, const struct log_entry *entry, uint64_t sequence);
void tail_truncate(struct tail *t, uint64_t from);
void tail_drop(struct tail *t, uint64_t upto);                           /* entries up to here leave memory */
const struct tail_slot *tail_find(const struct tail *t, uint64_t index); /* NULL: not there */

/* The index of the oldest entry in memory; UINT64_MAX when there is none. */
static inline uint64_t tail_first(const struct tail *t)
{
    return t->n > 0 ? t->at[t->head & (t->capacity - 1)].entry.index : UINT64_MAX;
}

#endif
