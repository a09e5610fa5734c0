/* A hash map from 64-bit numbers to pointers; otherwise as map.h (iteration in order of insertion, values never NULL,
 * removing while going through is allowed, putting is not). 16 bytes and 8 to 16 of index a key. Not thread-safe.
 *
 * A zeroed struct is an empty map. Where outsiders choose the keys, `seed` (set before the first put) is random. */
#ifndef HATO_BASE_IDMAP_H
#define HATO_BASE_IDMAP_H

#include <stddef.h>
#include <stdint.h>

struct idmap_entry;

struct idmap {
    struct idmap_entry *entries;
    uint32_t *index;
    uint32_t used;
    uint32_t capacity;
    uint32_t count;
    uint64_t seed;
};

void idmap_close(struct idmap *m);
void *idmap_find(const struct idmap *m, uint64_t key);
void *idmap_put(struct idmap *m, uint64_t key, void *value);
void *idmap_remove(struct idmap *m, uint64_t key);
void *idmap_next(const struct idmap *m, size_t *at, uint64_t *key); /* key may be NULL */

static inline size_t idmap_count(const struct idmap *m)
{
    return m->count;
}

#endif
