#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"
#include "store/internal.h"

struct store_iterator {
    struct store *store;
    rocksdb_readoptions_t *options;
    rocksdb_iterator_t *at; /* NULL: it failed before it began */
    struct buffer bounds;   /* lower, then upper: RocksDB keeps pointers to them */
    struct error failure;
};

struct store_iterator *store_iterator_failed(const struct error *why)
{
    ASSERT(why->code != ERR_OK);
    struct store_iterator *i = memory_zero(1, sizeof *i);
    i->failure = *why;
    return i;
}

struct store_iterator *store_iterate(struct store *s, enum store_family f, struct bytes from, struct bytes to,
                                     const struct store_snapshot *snapshot)
{
    ASSERT(f < STORE_FAMILIES && to.len > 0);
    if (bytes_compare(from, to) > 0)
        from = to;
    struct store_iterator *i = memory_zero(1, sizeof *i);
    i->store = s;
    buffer_put(&i->bounds, from.data, from.len);
    buffer_put(&i->bounds, to.data, to.len);
    const char *lower = (const char *)i->bounds.data;
    i->options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_iterate_lower_bound(i->options, lower, from.len);
    rocksdb_readoptions_set_iterate_upper_bound(i->options, lower + from.len, to.len);
    if (snapshot != NULL)
        rocksdb_readoptions_set_snapshot(i->options, snapshot->at);
    i->at = rocksdb_create_iterator_cf(s->db, i->options, s->families[f]);
    rocksdb_iter_seek_to_first(i->at);
    return i;
}

bool store_iterator_valid(const struct store_iterator *i)
{
    return i->at != NULL && rocksdb_iter_valid(i->at) != 0;
}

void store_iterator_next(struct store_iterator *i)
{
    if (i->at != NULL)
        rocksdb_iter_next(i->at);
}

void store_iterator_seek(struct store_iterator *i, struct bytes key)
{
    if (i->at != NULL)
        rocksdb_iter_seek(i->at, (const char *)key.data, key.len);
}

struct bytes store_iterator_key(const struct store_iterator *i)
{
    size_t len = 0;
    const char *key = rocksdb_iter_key(i->at, &len);
    return bytes_of(key, len);
}

struct bytes store_iterator_value(const struct store_iterator *i)
{
    size_t len = 0;
    const char *value = rocksdb_iter_value(i->at, &len);
    return bytes_of(value, len);
}

int store_iterator_error(const struct store_iterator *i, struct error *e)
{
    if (i->at == NULL) {
        if (e != NULL)
            *e = i->failure;
        return (int)i->failure.code;
    }
    char *status = NULL;
    rocksdb_iter_get_error(i->at, &status);
    return status == NULL ? ERR_OK : store_status(status, i->store->dir, "reading the store in order", e);
}

void store_iterator_close(struct store_iterator *i)
{
    if (i == NULL)
        return;
    if (i->at != NULL) {
        rocksdb_iter_destroy(i->at);
        rocksdb_readoptions_destroy(i->options);
    }
    buffer_close(&i->bounds);
    memory_free(i);
}

int store_get_last(struct store *s, enum store_family f, struct bytes from, struct bytes to, struct buffer *key,
                   struct buffer *value, struct error *e)
{
    struct store_iterator *i = store_iterate(s, f, from, to, NULL);
    rocksdb_iter_seek_to_last(i->at);
    int code = store_iterator_error(i, e);
    if (code == ERR_OK && !store_iterator_valid(i))
        code = ERR_NOT_FOUND;
    if (code == ERR_OK) {
        struct bytes k = store_iterator_key(i);
        struct bytes v = store_iterator_value(i);
        buffer_clear(key);
        buffer_clear(value);
        buffer_put(key, k.data, k.len);
        buffer_put(value, v.data, v.len);
    }
    store_iterator_close(i);
    return code;
}
