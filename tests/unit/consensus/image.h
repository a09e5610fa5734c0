/* A log in memory, once as the replica reads it and once as its disk has it. For the tests of this folder. */
#ifndef TEST_CONSENSUS_IMAGE_H
#define TEST_CONSENSUS_IMAGE_H

#include "base/assert.h"
#include "base/memory.h"
#include "consensus/raft.h"

struct image {
    uint64_t first;
    uint64_t before; /* term of first - 1 */
    struct raft_entry *entries;
    size_t count;
    size_t capacity;
    struct raft_hard_state hard;
};

static inline uint64_t image_last(const struct image *i)
{
    return i->first + i->count - 1;
}

static inline uint64_t image_term(const struct image *i, uint64_t index)
{
    if (index + 1 == i->first)
        return i->before;
    if (index < i->first || index > image_last(i))
        return 0;
    return i->entries[index - i->first].term;
}

static inline const struct raft_entry *image_entry(const struct image *i, uint64_t index)
{
    ASSERT(index >= i->first && index <= image_last(i));
    return &i->entries[index - i->first];
}

static inline void image_truncate(struct image *i, size_t count)
{
    while (i->count > count)
        blob_unref(i->entries[--i->count].owner);
}

static inline void image_append(struct image *i, const struct raft_entry *entries, size_t count)
{
    if (count == 0)
        return;
    ASSERT(entries[0].index >= i->first && entries[0].index <= image_last(i) + 1);
    image_truncate(i, (size_t)(entries[0].index - i->first));
    while (i->count + count > i->capacity) {
        i->capacity = i->capacity == 0 ? 64 : 2 * i->capacity;
        i->entries = memory_grow(i->entries, i->capacity, sizeof *i->entries);
    }
    for (size_t n = 0; n < count; n++) {
        i->entries[i->count] = entries[n];
        if (entries[n].owner != NULL)
            blob_ref(entries[n].owner);
        i->count++;
    }
}

/* The log begins after `index`; nothing else is left of it. */
static inline void image_reset(struct image *i, uint64_t index, uint64_t term)
{
    image_truncate(i, 0);
    i->first = index + 1;
    i->before = term;
}

/* Drops entries up to and with `index`. */
static inline void image_compact(struct image *i, uint64_t index)
{
    if (index < i->first)
        return;
    uint64_t term = image_term(i, index);
    size_t gone = (size_t)(index + 1 - i->first);
    for (size_t n = 0; n < gone; n++)
        blob_unref(i->entries[n].owner);
    memmove(i->entries, i->entries + gone, (i->count - gone) * sizeof *i->entries);
    i->count -= gone;
    i->first = index + 1;
    i->before = term;
}

static inline void image_close(struct image *i)
{
    image_truncate(i, 0);
    memory_free(i->entries);
    *i = (struct image){0};
}

static inline void image_copy(struct image *to, const struct image *from)
{
    image_close(to);
    image_reset(to, from->first - 1, from->before);
    image_append(to, from->entries, from->count);
    to->hard = from->hard;
}

#endif
