/* The batch keeps its changes itself, so that it can be read (a hash index over the keys) and so that a key changed
 * often is written once. README.md has the price beside that of RocksDB's own indexed batch. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "store/internal.h"

enum { INDEX_FIRST = 64, KIND_AT = 2, KINDS = 256, KEPT_BYTES = 1 << 20, KEPT_CHANGES = 1 << 14 };

struct change {
    size_t at; /* of the key in data; the value follows it */
    uint32_t key_len;
    uint32_t value_len;
    uint32_t hash;
    uint8_t family;
    bool put;
    bool superseded; /* a later change of the same key counts */
    bool fresh; /* the store does not have the key: a put that a delete undoes, or a delete that need not be written */
};

/* Deletes [from, to) of what came before `order` changes. Chained by the byte that tells the kind of key, so that
 * looking up a key goes through the ranges of its kind only. */
struct range {
    size_t at;
    uint32_t from_len;
    uint32_t to_len;
    uint32_t order;
    uint32_t next; /* number plus one */
    uint8_t family;
};

struct store_batch {
    struct buffer data;
    struct change *changes;
    uint32_t count;
    uint32_t capacity;
    uint32_t superseded;
    uint32_t *index; /* change number plus one of the last change of a key */
    uint32_t index_mask;
    struct range *ranges;
    uint32_t range_count;
    uint32_t range_capacity;
    uint32_t by_kind[KINDS];
    uint32_t wide; /* ranges over more than one kind */
    rocksdb_writebatch_t *made;
};

struct store_batch *store_batch_create(void)
{
    struct store_batch *b = memory_zero(1, sizeof *b);
    b->index = memory_zero(INDEX_FIRST, sizeof *b->index);
    b->index_mask = INDEX_FIRST - 1;
    b->made = rocksdb_writebatch_create();
    return b;
}

void store_batch_destroy(struct store_batch *b)
{
    if (b == NULL)
        return;
    rocksdb_writebatch_destroy(b->made);
    buffer_close(&b->data);
    memory_free(b->changes);
    memory_free(b->index);
    memory_free(b->ranges);
    memory_free(b);
}

/* One great batch must not make all later ones pay for its memory. */
static void shrink(struct store_batch *b)
{
    if (b->data.capacity > KEPT_BYTES)
        buffer_close(&b->data);
    if (b->capacity <= KEPT_CHANGES)
        return;
    b->capacity = KEPT_CHANGES;
    b->changes = memory_grow(b->changes, b->capacity, sizeof *b->changes);
    b->index_mask = 2 * KEPT_CHANGES - 1;
    b->index = memory_grow(b->index, (size_t)b->index_mask + 1, sizeof *b->index);
}

void store_batch_clear(struct store_batch *b)
{
    buffer_clear(&b->data);
    shrink(b);
    if (b->count > 0)
        memset(b->index, 0, ((size_t)b->index_mask + 1) * sizeof *b->index);
    if (b->range_count > 0)
        memset(b->by_kind, 0, sizeof b->by_kind);
    b->count = 0;
    b->superseded = 0;
    b->range_count = 0;
    b->wide = 0;
}

uint32_t store_batch_count(const struct store_batch *b)
{
    return b->count - b->superseded + b->range_count;
}

static struct bytes key_of_change(const struct store_batch *b, const struct change *c)
{
    return bytes_of(b->data.data + c->at, c->key_len);
}

static struct bytes value_of_change(const struct store_batch *b, const struct change *c)
{
    return bytes_of(b->data.data + c->at + c->key_len, c->value_len);
}

static uint32_t hash_of(enum store_family f, struct bytes key)
{
    return (uint32_t)bytes_hash(key, (uint64_t)f);
}

/* The index slot of a key: that of its last change, or the free one where it belongs. */
static uint32_t slot_of(const struct store_batch *b, enum store_family f, struct bytes key, uint32_t hash)
{
    uint32_t slot = hash & b->index_mask;
    for (; b->index[slot] != 0; slot = (slot + 1) & b->index_mask) {
        const struct change *c = &b->changes[b->index[slot] - 1];
        if (c->hash == hash && c->family == (uint8_t)f && bytes_equal(key_of_change(b, c), key))
            break;
    }
    return slot;
}

static void grow_index(struct store_batch *b)
{
    uint32_t size = (b->index_mask + 1) * 2;
    memory_free(b->index);
    b->index = memory_zero(size, sizeof *b->index);
    b->index_mask = size - 1;
    for (uint32_t i = 0; i < b->count; i++) {
        if (b->changes[i].superseded)
            continue;
        uint32_t slot = b->changes[i].hash & b->index_mask;
        while (b->index[slot] != 0)
            slot = (slot + 1) & b->index_mask;
        b->index[slot] = i + 1;
    }
}

/* Whether the store is known not to have the key. */
static bool stays_fresh(const struct store_batch *b, uint32_t last, bool claimed)
{
    return last == 0 ? claimed : b->changes[last - 1].fresh;
}

static void change(struct store_batch *b, enum store_family f, struct bytes key, bool put, bool fresh,
                   struct bytes value)
{
    ASSERT(f < STORE_FAMILIES && key.len > 0 && key.len <= UINT32_MAX && value.len <= UINT32_MAX);
    if (b->count == b->capacity) {
        b->capacity = b->capacity == 0 ? INDEX_FIRST / 2 : b->capacity * 2;
        b->changes = memory_grow(b->changes, b->capacity, sizeof *b->changes);
    }
    if (((uint64_t)b->count + 1) * 2 > (uint64_t)b->index_mask + 1)
        grow_index(b);
    uint32_t hash = hash_of(f, key);
    uint32_t slot = slot_of(b, f, key, hash);
    fresh = stays_fresh(b, b->index[slot], fresh);
    if (b->index[slot] != 0) {
        b->changes[b->index[slot] - 1].superseded = true;
        b->superseded++;
    }
    b->changes[b->count] = (struct change){.at = b->data.len,
                                           .key_len = (uint32_t)key.len,
                                           .value_len = (uint32_t)value.len,
                                           .hash = hash,
                                           .family = (uint8_t)f,
                                           .put = put,
                                           .fresh = fresh};
    b->index[slot] = ++b->count;
    buffer_put(&b->data, key.data, key.len);
    buffer_put(&b->data, value.data, value.len);
}

void store_put(struct store_batch *b, enum store_family f, struct bytes key, struct bytes value)
{
    change(b, f, key, true, false, value);
}

void store_put_new(struct store_batch *b, enum store_family f, struct bytes key, struct bytes value)
{
    change(b, f, key, true, true, value);
}

void store_delete(struct store_batch *b, enum store_family f, struct bytes key)
{
    change(b, f, key, false, false, bytes_of(NULL, 0));
}

static uint32_t *chain_of(struct store_batch *b, struct bytes from, struct bytes to)
{
    bool narrow = from.len > KIND_AT && to.len > KIND_AT && memcmp(from.data, to.data, KIND_AT + 1) == 0;
    return narrow ? &b->by_kind[from.data[KIND_AT]] : &b->wide;
}

void store_delete_range(struct store_batch *b, enum store_family f, struct bytes from, struct bytes to)
{
    ASSERT(f < STORE_FAMILIES && from.len <= UINT32_MAX && to.len <= UINT32_MAX);
    if (bytes_compare(from, to) >= 0)
        return;
    if (b->range_count == b->range_capacity) {
        b->range_capacity = b->range_capacity == 0 ? 8 : b->range_capacity * 2;
        b->ranges = memory_grow(b->ranges, b->range_capacity, sizeof *b->ranges);
    }
    uint32_t *chain = chain_of(b, from, to);
    b->ranges[b->range_count] = (struct range){.at = b->data.len,
                                               .from_len = (uint32_t)from.len,
                                               .to_len = (uint32_t)to.len,
                                               .order = b->count,
                                               .next = *chain,
                                               .family = (uint8_t)f};
    *chain = ++b->range_count;
    buffer_put(&b->data, from.data, from.len);
    buffer_put(&b->data, to.data, to.len);
}

static struct bytes range_from(const struct store_batch *b, const struct range *r)
{
    return bytes_of(b->data.data + r->at, r->from_len);
}

static struct bytes range_to(const struct store_batch *b, const struct range *r)
{
    return bytes_of(b->data.data + r->at + r->from_len, r->to_len);
}

/* Whether a range of the chain deletes the key, having come when there were more than `after` changes. Newest first. */
static bool ranged_off(const struct store_batch *b, uint32_t chain, enum store_family f, struct bytes key,
                       uint32_t after)
{
    for (; chain != 0; chain = b->ranges[chain - 1].next) {
        const struct range *r = &b->ranges[chain - 1];
        if (r->order < after)
            return false;
        if (r->family == (uint8_t)f && bytes_compare(range_from(b, r), key) <= 0 &&
            bytes_compare(key, range_to(b, r)) < 0)
            return true;
    }
    return false;
}

enum store_batch_state store_batch_get(const struct store_batch *b, enum store_family f, struct bytes key,
                                       struct bytes *value)
{
    uint32_t found = b->count == 0 ? 0 : b->index[slot_of(b, f, key, hash_of(f, key))];
    if (b->range_count > 0 && ((key.len > KIND_AT && ranged_off(b, b->by_kind[key.data[KIND_AT]], f, key, found)) ||
                               ranged_off(b, b->wide, f, key, found)))
        return STORE_BATCH_DELETED;
    if (found == 0)
        return STORE_BATCH_UNTOUCHED;
    const struct change *c = &b->changes[found - 1];
    if (!c->put)
        return STORE_BATCH_DELETED;
    *value = value_of_change(b, c);
    return STORE_BATCH_PUT;
}

void store_batch_merge(struct store_batch *into, const struct store_batch *from)
{
    uint32_t range = 0;
    for (uint32_t i = 0; i <= from->count; i++) {
        for (; range < from->range_count && from->ranges[range].order <= i; range++) {
            const struct range *r = &from->ranges[range];
            store_delete_range(into, (enum store_family)r->family, range_from(from, r), range_to(from, r));
        }
        if (i == from->count || from->changes[i].superseded)
            continue;
        const struct change *c = &from->changes[i];
        change(into, (enum store_family)c->family, key_of_change(from, c), c->put, c->fresh, value_of_change(from, c));
    }
}

size_t store_batch_bytes(const struct store_batch *b)
{
    return b->data.len + b->count * sizeof *b->changes + b->range_count * sizeof *b->ranges;
}

static void make_change(struct store *s, struct store_batch *b, const struct change *c)
{
    const char *key = (const char *)b->data.data + c->at;
    if (c->put)
        rocksdb_writebatch_put_cf(b->made, s->families[c->family], key, c->key_len, key + c->key_len, c->value_len);
    else
        rocksdb_writebatch_delete_cf(b->made, s->families[c->family], key, c->key_len);
}

static void make_range(struct store *s, struct store_batch *b, const struct range *r)
{
    const char *from = (const char *)b->data.data + r->at;
    rocksdb_writebatch_delete_range_cf(b->made, s->families[r->family], from, r->from_len, from + r->from_len,
                                       r->to_len);
}

rocksdb_writebatch_t *store_batch_made(struct store *s, struct store_batch *b)
{
    rocksdb_writebatch_clear(b->made);
    uint32_t range = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        while (range < b->range_count && b->ranges[range].order <= i)
            make_range(s, b, &b->ranges[range++]);
        const struct change *c = &b->changes[i];
        if (!c->superseded && (c->put || !c->fresh))
            make_change(s, b, c);
    }
    while (range < b->range_count)
        make_range(s, b, &b->ranges[range++]);
    return b->made;
}
