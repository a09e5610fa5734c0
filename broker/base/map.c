#include "base/map.h"

#include <stdbool.h>

#include "base/assert.h"
#include "base/memory.h"

/* Entries stand in order of insertion in one array; the index, twice as long, finds them by linear probing. A removed
 * entry stays, without value, until the array is full: then the live ones move to a new array of fitting size. So
 * removing never moves anything, and the index is never more than half full. */
enum { MAP_CAPACITY_MIN = 8 };
static const uint32_t map_capacity_max = UINT32_C(1) << 30;

struct map_entry {
    struct bytes key;
    uint64_t hash;
    void *value; /* NULL: removed */
};

static uint32_t index_mask(const struct map *m)
{
    return m->capacity * 2 - 1;
}

static void index_entry(struct map *m, uint32_t entry)
{
    uint32_t mask = index_mask(m);
    uint32_t at = (uint32_t)m->entries[entry].hash & mask;
    while (m->index[at] != 0)
        at = (at + 1) & mask;
    m->index[at] = entry + 1;
}

static struct map_entry *find(const struct map *m, struct bytes key, uint64_t hash)
{
    if (m->count == 0)
        return NULL;
    uint32_t mask = index_mask(m);
    for (uint32_t at = (uint32_t)hash & mask; m->index[at] != 0; at = (at + 1) & mask) {
        struct map_entry *e = &m->entries[m->index[at] - 1];
        if (e->hash == hash && e->value != NULL && bytes_equal(e->key, key))
            return e;
    }
    return NULL;
}

/* Twice the room the live entries need, so that a rebuild pays for at least as many puts as it moves entries. */
static void rebuild(struct map *m)
{
    uint32_t capacity = MAP_CAPACITY_MIN;
    while (capacity < m->count * 2)
        capacity *= 2;
    ASSERT(capacity <= map_capacity_max);
    struct map old = *m;
    m->entries = memory_zero(capacity, sizeof *m->entries);
    m->index = memory_zero((size_t)capacity * 2, sizeof *m->index);
    m->capacity = capacity;
    m->used = 0;
    for (uint32_t i = 0; i < old.used; i++) {
        if (old.entries[i].value == NULL)
            continue;
        m->entries[m->used] = old.entries[i];
        index_entry(m, m->used++);
    }
    memory_free(old.entries);
    memory_free(old.index);
}

void map_close(struct map *m)
{
    memory_free(m->entries);
    memory_free(m->index);
    *m = (struct map){.seed = m->seed};
}

void *map_find(const struct map *m, struct bytes key)
{
    if (m->count == 0)
        return NULL;
    struct map_entry *e = find(m, key, bytes_hash(key, m->seed));
    return e == NULL ? NULL : e->value;
}

void *map_put(struct map *m, struct bytes key, void *value)
{
    ASSERT(value != NULL);
    uint64_t hash = bytes_hash(key, m->seed);
    struct map_entry *e = find(m, key, hash);
    if (e != NULL) {
        void *before = e->value;
        e->key = key;
        e->value = value;
        return before;
    }
    if (m->used == m->capacity)
        rebuild(m);
    m->entries[m->used] = (struct map_entry){key, hash, value};
    index_entry(m, m->used++);
    m->count++;
    return NULL;
}

void *map_remove(struct map *m, struct bytes key)
{
    struct map_entry *e = find(m, key, bytes_hash(key, m->seed));
    if (e == NULL)
        return NULL;
    void *value = e->value;
    e->value = NULL;
    m->count--;
    if (m->count == 0 && m->capacity > MAP_CAPACITY_MIN)
        map_close(m);
    return value;
}

void *map_next(const struct map *m, size_t *at)
{
    while (*at < m->used) {
        void *value = m->entries[(*at)++].value;
        if (value != NULL)
            return value;
    }
    return NULL;
}
