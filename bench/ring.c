#include "bench/ring.h"

#include "base/assert.h"
#include "base/memory.h"

void ring_open(struct ring *r, uint32_t items_max)
{
    ASSERT(items_max <= 1u << 31);
    uint32_t capacity = 1;
    while (capacity < items_max)
        capacity *= 2;
    *r = (struct ring){.items = memory_zero(capacity, sizeof(*r->items)), .capacity = capacity};
}

void ring_close(struct ring *r)
{
    memory_free(r->items);
    *r = (struct ring){0};
}

void ring_put(struct ring *r, uint32_t item)
{
    ASSERT(ring_count(r) < r->capacity);
    r->items[r->tail++ & (r->capacity - 1)] = item;
}

uint32_t ring_take(struct ring *r)
{
    uint32_t item = ring_first(r);
    r->head++;
    return item;
}

uint32_t ring_first(const struct ring *r)
{
    ASSERT(ring_count(r) > 0);
    return r->items[r->head & (r->capacity - 1)];
}
