#include "log/place.h"

#include "base/memory.h"

static struct place *nth(const struct places *p, size_t i)
{
    return &p->at[(p->head + i) & (p->capacity - 1)];
}

void places_close(struct places *p)
{
    memory_free(p->at);
    *p = (struct places){0};
}

static void grow(struct places *p)
{
    size_t capacity = p->capacity == 0 ? 16 : p->capacity * 2;
    struct place *at = memory_alloc(capacity * sizeof *at);
    for (size_t i = 0; i < p->n; i++)
        at[i] = *nth(p, i);
    memory_free(p->at);
    p->at = at;
    p->head = 0;
    p->capacity = capacity;
}

void places_add(struct places *p, struct place entry, uint64_t spread)
{
    const struct place *last = p->n > 0 ? nth(p, p->n - 1) : NULL;
    if (last != NULL && !p->broken && last->segment == entry.segment && p->since < PLACE_SPARSE_BYTES &&
        entry.offset - last->offset < spread) {
        p->since += entry.bytes;
        return;
    }
    if (p->n == p->capacity)
        grow(p);
    entry.breaks = p->broken;
    *nth(p, p->n++) = entry;
    p->since = entry.bytes;
    p->broken = false;
}

void places_truncate(struct places *p, uint64_t from)
{
    while (p->n > 0 && nth(p, p->n - 1)->index >= from)
        p->n--;
    p->broken = true;
}

void places_compact(struct places *p, uint64_t first)
{
    while (p->n > 1 && nth(p, 1)->index <= first) {
        p->head++;
        p->n--;
    }
}

void places_clear(struct places *p)
{
    p->n = 0;
    p->broken = true;
}

/* How many points are at or before the index. */
static size_t count_upto(const struct places *p, uint64_t index)
{
    size_t low = 0, high = p->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (nth(p, middle)->index <= index)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct place *places_find(const struct places *p, uint64_t index)
{
    size_t n = count_upto(p, index);
    return n > 0 ? nth(p, n - 1) : NULL;
}

uint64_t places_run_end(const struct places *p, const struct place *from, uint64_t hi)
{
    for (size_t i = count_upto(p, from->index); i < p->n && nth(p, i)->index < hi; i++)
        if (nth(p, i)->breaks || nth(p, i)->segment != from->segment)
            return nth(p, i)->index;
    return hi;
}

const struct place *places_beyond(const struct places *p, uint64_t segment)
{
    size_t low = 0, high = p->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (nth(p, middle)->segment <= segment)
            low = middle + 1;
        else
            high = middle;
    }
    return low < p->n ? nth(p, low) : NULL;
}
