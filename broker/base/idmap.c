#include "base/idmap.h"

#include "base/assert.h"
#include "base/memory.h"

/* Built as map.c, which says why; hashes are cheap here and computed again when rebuilding. */
enum { IDMAP_CAPACITY_MIN = 8 };
static const uint32_t idmap_capacity_max = UINT32_C(1) << 30;

struct idmap_entry {
    uint64_t key;
    void *value; /* NULL: removed */
};

/* The finaliser of splitmix64: every bit of the key reaches the low bits. */
static uint32_t slot_of(const struct idmap *m, uint64_t key)
{
    uint64_t x = key + m->seed;
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)(x ^ (x >> 31)) & (m->capacity * 2 - 1);
}

static void index_entry(struct idmap *m, uint32_t entry)
{
    uint32_t mask = m->capacity * 2 - 1;
    uint32_t at = slot_of(m, m->entries[entry].key);
    while (m->index[at] != 0)
        at = (at + 1) & mask;
    m->index[at] = entry + 1;
}

static struct idmap_entry *find(const struct idmap *m, uint64_t key)
{
    if (m->count == 0)
        return NULL;
    uint32_t mask = m->capacity * 2 - 1;
    for (uint32_t at = slot_of(m, key); m->index[at] != 0; at = (at + 1) & mask) {
        struct idmap_entry *e = &m->entries[m->index[at] - 1];
        if (e->key == key && e->value != NULL)
            return e;
    }
    return NULL;
}

static void rebuild(struct idmap *m)
{
    uint32_t capacity = IDMAP_CAPACITY_MIN;
    while (capacity < m->count * 2)
        capacity *= 2;
    ASSERT(capacity <= idmap_capacity_max);
    struct idmap old = *m;
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

void idmap_close(struct idmap *m)
{
    memory_free(m->entries);
    memory_free(m->index);
    *m = (struct idmap){.seed = m->seed};
}

void *idmap_find(const struct idmap *m, uint64_t key)
{
    struct idmap_entry *e = find(m, key);
    return e == NULL ? NULL : e->value;
}

void *idmap_put(struct idmap *m, uint64_t key, void *value)
{
    ASSERT(value != NULL);
    struct idmap_entry *e = find(m, key);
    if (e != NULL) {
        void *before = e->value;
        e->value = value;
        return before;
    }
    if (m->used == m->capacity)
        rebuild(m);
    m->entries[m->used] = (struct idmap_entry){key, value};
    index_entry(m, m->used++);
    m->count++;
    return NULL;
}

void *idmap_remove(struct idmap *m, uint64_t key)
{
    struct idmap_entry *e = find(m, key);
    if (e == NULL)
        return NULL;
    void *value = e->value;
    e->value = NULL;
    m->count--;
    if (m->count == 0 && m->capacity > IDMAP_CAPACITY_MIN)
        idmap_close(m);
    return value;
}

void *idmap_next(const struct idmap *m, size_t *at, uint64_t *key)
{
    while (*at < m->used) {
        const struct idmap_entry *e = &m->entries[(*at)++];
        if (e->value == NULL)
            continue;
        if (key != NULL)
            *key = e->key;
        return e->value;
    }
    return NULL;
}
