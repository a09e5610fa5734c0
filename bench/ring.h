/* The slots of a server that answers in the order it was asked. */
#ifndef HATO_BENCH_RING_H
#define HATO_BENCH_RING_H

#include <stdint.h>

struct ring {
    uint32_t *items;
    uint32_t capacity; /* a power of two */
    uint32_t head;     /* count of items ever taken; wraps */
    uint32_t tail;     /* count of items ever put; wraps */
};

void ring_open(struct ring *r, uint32_t items_max);
void ring_close(struct ring *r);
void ring_put(struct ring *r, uint32_t item); /* asserts there is room */
uint32_t ring_take(struct ring *r);           /* asserts there is one */

uint32_t ring_first(const struct ring *r); /* what ring_take would give */

static inline uint32_t ring_count(const struct ring *r)
{
    return r->tail - r->head;
}

#endif
