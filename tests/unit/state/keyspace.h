/* One shard's keys over a store in memory, for the tests of the modules beside the machine's core. */
#ifndef HATO_TESTS_STATE_KEYSPACE_H
#define HATO_TESTS_STATE_KEYSPACE_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "state/keys.h"
#include "store/store.h"

enum { TEST_SHARD = 3 };

struct keyspace {
    struct store_env *env;
    struct store *store;
    struct store_batch *batch;
    struct keys keys;
};

static inline void keyspace_start(struct keyspace *k)
{
    struct error e = {0};
    struct store_options o = {.dir = "/store", .in_memory = true, .env = k->env};
    ck_assert_msg(store_open(&o, &k->store, &e) == ERR_OK, "%s", e.message);
    keys_init(&k->keys, TEST_SHARD, k->store, k->batch);
}

static inline void keyspace_open(struct keyspace *k)
{
    *k = (struct keyspace){0};
    k->env = store_env_create();
    k->batch = store_batch_create();
    keyspace_start(k);
}

/* The end of an entry. */
static inline void keyspace_commit(struct keyspace *k)
{
    struct error e = {0};
    ck_assert_msg(store_write(k->store, k->batch, &e) == ERR_OK, "%s", e.message);
    store_batch_clear(k->batch);
}

/* As after a restart: what was committed is there. */
static inline void keyspace_reopen(struct keyspace *k)
{
    keyspace_commit(k);
    ck_assert_int_eq(store_flush(k->store, STORE_STATE, NULL), ERR_OK);
    keys_close(&k->keys);
    store_close(k->store);
    keyspace_start(k);
}

static inline void keyspace_close(struct keyspace *k)
{
    keys_close(&k->keys);
    store_batch_destroy(k->batch);
    store_close(k->store);
    store_env_destroy(k->env);
}

/* Number of keys of a kind in the store. */
static inline size_t keyspace_count(struct keyspace *k, enum key_kind kind)
{
    struct key from = key_of(TEST_SHARD, kind);
    struct key to = key_after(&from);
    size_t count = 0;
    struct store_iterator *i = store_iterate(k->store, STORE_STATE, key_view(&from), key_view(&to), NULL);
    for (; store_iterator_valid(i); store_iterator_next(i))
        count++;
    ck_assert_int_eq(store_iterator_error(i, NULL), ERR_OK);
    store_iterator_close(i);
    return count;
}

/* Puts `value` as it is in the place of the first value of a kind: damage. */
static inline void keyspace_damage(struct keyspace *k, enum key_kind kind, struct random *r)
{
    struct key from = key_of(TEST_SHARD, kind);
    struct key to = key_after(&from);
    struct buffer key = {0};
    struct buffer value = {0};
    ck_assert_int_eq(store_get_last(k->store, STORE_STATE, key_view(&from), key_view(&to), &key, &value, NULL), ERR_OK);
    value.data[random_below(r, value.len)] ^= (uint8_t)(1U << random_below(r, 8));
    store_put(k->batch, STORE_STATE, buffer_view(&key), buffer_view(&value));
    keyspace_commit(k);
    buffer_close(&key);
    buffer_close(&value);
}

/* Replaces what a value of a kind holds with random bytes whose checksum holds: what a fuzzer would find behind it. */
static inline void keyspace_scramble(struct keyspace *k, enum key_kind kind, struct random *r)
{
    struct key from = key_of(TEST_SHARD, kind);
    struct key to = key_after(&from);
    struct buffer key = {0};
    struct buffer value = {0};
    struct buffer made = {0};
    ck_assert_int_eq(store_get_last(k->store, STORE_STATE, key_view(&from), key_view(&to), &key, &value, NULL), ERR_OK);
    size_t len = value.len - VALUE_OVERHEAD;
    buffer_put(&made, value.data, 1 + len);
    size_t changes = 1 + (size_t)random_below(r, 4);
    for (size_t i = 0; i < changes && len > 0; i++)
        made.data[1 + random_below(r, len)] = (uint8_t)random_next(r);
    if (random_below(r, 4) == 0)
        made.len = 1 + (size_t)random_below(r, len + 1);
    value_seal(&made, buffer_view(&key));
    store_put(k->batch, STORE_STATE, buffer_view(&key), buffer_view(&made));
    keyspace_commit(k);
    buffer_close(&key);
    buffer_close(&value);
    buffer_close(&made);
}

static inline int keyspace_main(Suite *s)
{
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
