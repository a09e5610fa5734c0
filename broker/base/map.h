/* A hash map from byte strings to pointers (u64 keys: idmap.h).
 *
 * Keys are borrowed: they usually live in the value, and must stay as they are while they are in the map. Values are the
 * caller's and never NULL. Iteration is in order of insertion, so it is the same for the same operations, whatever the
 * seed; a key put again keeps its place. Not thread-safe. At most 2^31 keys; 32 bytes and 8 to 16 of index a key.
 *
 * A zeroed struct is an empty map. Where outsiders choose the keys, `seed` (set before the first put) is random. */
#ifndef HATO_BASE_MAP_H
#define HATO_BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

struct map_entry;

struct map {
    struct map_entry *entries; /* in order of insertion, removed ones among them until the next rebuild */
    uint32_t *index;           /* twice as many slots as entries; entry number plus one, 0: free */
    uint32_t used;             /* entries filled, removed ones included */
    uint32_t capacity;         /* a power of two, or 0 */
    uint32_t count;
    uint64_t seed;
};

void map_close(struct map *m);                               /* forgets all; values are the caller's to free */
void *map_find(const struct map *m, struct bytes key);       /* NULL when there is none */
void *map_put(struct map *m, struct bytes key, void *value); /* the value it replaces, or NULL */
void *map_remove(struct map *m, struct bytes key);           /* the value that was there, or NULL */
void *map_next(const struct map *m, size_t *at);             /* begin with *at = 0; NULL at the end */

/* While going through with map_next, keys may be removed but not put. */

static inline size_t map_count(const struct map *m)
{
    return m->count;
}

#endif
