#include "state/keys.h"

#include "state/keyspace.h"

static int order(struct key a, struct key b)
{
    int c = bytes_compare(key_view(&a), key_view(&b));
    return c < 0 ? -1 : c > 0;
}

START_TEST(keys_sort_as_their_numbers_do)
{
    ck_assert_int_lt(order(key_of1(1, KEY_QUEUE, 255), key_of1(1, KEY_QUEUE, 256)), 0);
    ck_assert_int_lt(order(key_of2(1, KEY_CHUNK, 1, UINT64_MAX), key_of2(1, KEY_CHUNK, 2, 0)), 0);
    ck_assert_int_lt(order(key_of1(1, KEY_TOUCH, 9), key_of1(2, KEY_CHUNK, 0)), 0);
    ck_assert_int_lt(order(key_of1(1, KEY_CHUNK, 9), key_of1(1, KEY_TOUCH, 0)), 0);
    ck_assert_int_lt(order(key_of4(1, KEY_DUE, 1, 2, 3, 4), key_of4(1, KEY_DUE, 1, 2, 4, 0)), 0);
}
END_TEST

START_TEST(the_end_of_a_range_comes_after_all_that_begin_with_it)
{
    struct key k = key_of1(1, KEY_CHUNK, 0xffffffffffffffff);
    struct key end = key_after(&k);
    ck_assert_int_lt(order(key_of2(1, KEY_CHUNK, 0xffffffffffffffff, 0xffffffffffffffff), end), 0);
    k = key_of1(1, KEY_CHUNK, 0x00ff);
    end = key_after(&k);
    ck_assert_int_lt(order(key_of2(1, KEY_CHUNK, 0x00ff, UINT64_MAX), end), 0);
    ck_assert_int_ge(order(key_of2(1, KEY_CHUNK, 0x0100, 0), end), 0);
    k = key_of(0xffff, KEY_SWEEP);
    end = key_after(&k);
    ck_assert_int_lt(order(key_of3(0xffff, KEY_SWEEP, UINT64_MAX, UINT64_MAX, UINT64_MAX), end), 0);
}
END_TEST

START_TEST(a_key_is_taken_apart_only_as_what_it_is)
{
    uint64_t n[4];
    struct key k = key_of3(1, KEY_FRESH, 7, UINT64_MAX, 9);
    ck_assert(key_numbers(key_view(&k), KEY_FRESH, n, 3));
    ck_assert_uint_eq(n[0], 7);
    ck_assert_uint_eq(n[1], UINT64_MAX);
    ck_assert_uint_eq(n[2], 9);
    ck_assert(!key_numbers(key_view(&k), KEY_FRESH, n, 2));
    ck_assert(!key_numbers(key_view(&k), KEY_FRESH, n, 4));
    ck_assert(!key_numbers(key_view(&k), KEY_CHUNK, n, 3));
    ck_assert(!key_numbers(bytes_of(NULL, 0), KEY_CHUNK, n, 0));
}
END_TEST

static void put_text(struct keyspace *k, const struct key *key, const char *text)
{
    struct buffer *v = keys_begin(&k->keys, 1);
    buffer_put(v, text, strlen(text));
    keys_put(&k->keys, key);
}

static int get_text(struct keyspace *k, const struct key *key, char out[32], struct error *e)
{
    struct cursor c;
    int code = keys_get(&k->keys, key, 1, &c, e);
    if (code == ERR_OK)
        snprintf(out, 32, "%.*s", (int)cursor_left(&c), (const char *)c.at);
    return code;
}

START_TEST(a_read_sees_the_entry_under_way_before_the_store)
{
    struct keyspace k;
    char text[32];
    struct key a = key_of1(TEST_SHARD, KEY_QUEUE, 1);
    struct key b = key_of1(TEST_SHARD, KEY_QUEUE, 2);
    keyspace_open(&k);
    put_text(&k, &a, "one");
    ck_assert_int_eq(get_text(&k, &a, text, NULL), ERR_OK);
    ck_assert_str_eq(text, "one");
    keyspace_commit(&k);
    ck_assert_int_eq(get_text(&k, &a, text, NULL), ERR_OK);
    ck_assert_str_eq(text, "one");
    put_text(&k, &a, "two");
    ck_assert_int_eq(get_text(&k, &a, text, NULL), ERR_OK);
    ck_assert_str_eq(text, "two");
    keys_delete(&k.keys, &a);
    ck_assert_int_eq(get_text(&k, &a, text, NULL), ERR_NOT_FOUND);
    put_text(&k, &a, "three");
    put_text(&k, &b, "other");
    keys_delete_range(&k.keys, &a, &b);
    ck_assert_int_eq(get_text(&k, &a, text, NULL), ERR_NOT_FOUND);
    ck_assert_int_eq(get_text(&k, &b, text, NULL), ERR_OK);
    keyspace_reopen(&k);
    ck_assert_int_eq(get_text(&k, &a, text, NULL), ERR_NOT_FOUND);
    keyspace_close(&k);
}
END_TEST

START_TEST(what_a_full_store_refused_stays_to_be_read_and_written)
{
    struct keyspace k;
    char text[32];
    struct error e = {0};
    struct key a = key_of1(TEST_SHARD, KEY_QUEUE, 1), end = key_after(&a);
    keyspace_open(&k);
    k.keys.pending = store_batch_create();
    put_text(&k, &a, "one");
    ck_assert_int_eq(keys_finish(&k.keys, NULL), ERR_OK);
    store_env_fill(k.env, true);
    ck_assert_int_eq(keys_settle(&k.keys, &e), ERR_STORAGE_FULL);
    struct store_iterator *i = keys_iterate(&k.keys, &a, &end);
    ck_assert(!store_iterator_valid(i));
    ck_assert_int_eq(store_iterator_error(i, NULL), ERR_STORAGE_FULL);
    store_iterator_close(i);
    ck_assert_int_eq(get_text(&k, &a, text, NULL), ERR_OK);
    ck_assert_str_eq(text, "one");
    store_env_fill(k.env, false);
    i = keys_iterate(&k.keys, &a, &end);
    ck_assert(store_iterator_valid(i));
    store_iterator_close(i);
    ck_assert_int_eq(keys_settle(&k.keys, &e), ERR_OK);
    store_batch_destroy(k.keys.pending);
    keyspace_close(&k);
}
END_TEST

/* Space may come back before it ends: it has been told that there is nothing all the same. */
START_TEST(an_entry_that_could_not_look_at_the_store_does_not_count)
{
    struct keyspace k;
    char text[32];
    struct key a = key_of1(TEST_SHARD, KEY_QUEUE, 1), b = key_of1(TEST_SHARD, KEY_QUEUE, 2), end = key_after(&b);
    keyspace_open(&k);
    k.keys.pending = store_batch_create();
    put_text(&k, &a, "one");
    ck_assert_int_eq(keys_finish(&k.keys, NULL), ERR_OK);
    keys_start(&k.keys);
    store_env_fill(k.env, true);
    store_iterator_close(keys_iterate(&k.keys, &a, &end));
    store_env_fill(k.env, false);
    store_iterator_close(keys_iterate(&k.keys, &a, &end));
    put_text(&k, &b, "two");
    ck_assert_int_eq(keys_finish(&k.keys, NULL), ERR_STORAGE_FULL);
    ck_assert_int_eq(get_text(&k, &b, text, NULL), ERR_NOT_FOUND);
    keys_start(&k.keys);
    put_text(&k, &b, "three");
    ck_assert_int_eq(keys_finish(&k.keys, NULL), ERR_OK);
    ck_assert_int_eq(get_text(&k, &b, text, NULL), ERR_OK);
    ck_assert_str_eq(text, "three");
    store_batch_destroy(k.keys.pending);
    keyspace_close(&k);
}
END_TEST

START_TEST(every_flipped_bit_of_a_value_is_found_and_the_kind_of_record_named)
{
    struct key k = key_of2(TEST_SHARD, KEY_CHUNK, 5, 6);
    struct buffer v = {0};
    struct error e = {0};
    struct cursor c;
    value_begin(&v, 1);
    buffer_u64(&v, 42);
    value_seal(&v, key_view(&k));
    for (size_t bit = 0; bit < v.len * 8; bit++) {
        v.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
        ck_assert_int_eq(value_open(key_view(&k), buffer_view(&v), 255, &c, &e), ERR_CORRUPT);
        ck_assert_ptr_nonnull(strstr(e.message, "chunk record"));
        ck_assert_ptr_nonnull(strstr(e.message, "restore"));
        v.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    for (size_t len = 0; len < v.len; len++)
        ck_assert_int_eq(value_open(key_view(&k), bytes_of(v.data, len), 1, &c, NULL), ERR_CORRUPT);
    ck_assert_int_eq(value_open(key_view(&k), buffer_view(&v), 1, &c, NULL), ERR_OK);
    ck_assert_uint_eq(cursor_u64(&c), 42);
    ck_assert_int_eq(value_done(key_view(&k), &c, NULL), ERR_OK);
    buffer_close(&v);
}
END_TEST

START_TEST(a_value_in_the_wrong_place_is_found)
{
    struct key k = key_of2(TEST_SHARD, KEY_CHUNK, 5, 6);
    struct key neighbour = key_of2(TEST_SHARD, KEY_CHUNK, 5, 7);
    struct buffer v = {0};
    struct cursor c;
    value_begin(&v, 1);
    value_seal(&v, key_view(&k));
    ck_assert_int_eq(value_open(key_view(&k), buffer_view(&v), 1, &c, NULL), ERR_OK);
    ck_assert_int_eq(value_open(key_view(&neighbour), buffer_view(&v), 1, &c, NULL), ERR_CORRUPT);
    buffer_close(&v);
}
END_TEST

START_TEST(a_value_of_a_later_build_is_refused_with_the_version_it_needs)
{
    struct key k = key_of1(TEST_SHARD, KEY_LANE, 5);
    struct buffer v = {0};
    struct error e = {0};
    struct cursor c;
    value_begin(&v, 3);
    value_seal(&v, key_view(&k));
    ck_assert_int_eq(value_open(key_view(&k), buffer_view(&v), 2, &c, &e), ERR_VERSION);
    ck_assert_ptr_nonnull(strstr(e.message, "version 3"));
    ck_assert_int_eq(value_open(key_view(&k), buffer_view(&v), 3, &c, &e), ERR_OK);
    value_begin(&v, 0);
    value_seal(&v, key_view(&k));
    ck_assert_int_eq(value_open(key_view(&k), buffer_view(&v), 2, &c, &e), ERR_CORRUPT);
    buffer_close(&v);
}
END_TEST

START_TEST(what_is_left_over_or_missing_in_a_value_is_corruption)
{
    struct key k = key_of1(TEST_SHARD, KEY_LANE, 5);
    struct buffer v = {0};
    struct cursor c;
    value_begin(&v, 1);
    buffer_u32(&v, 1);
    value_seal(&v, key_view(&k));
    ck_assert_int_eq(value_open(key_view(&k), buffer_view(&v), 1, &c, NULL), ERR_OK);
    ck_assert_int_eq(value_done(key_view(&k), &c, NULL), ERR_CORRUPT);
    cursor_u64(&c);
    ck_assert_int_eq(value_done(key_view(&k), &c, NULL), ERR_CORRUPT);
    buffer_close(&v);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("keys");
    TCase *c = tcase_create("keys");
    tcase_set_timeout(c, 0);
    tcase_add_test(c, keys_sort_as_their_numbers_do);
    tcase_add_test(c, the_end_of_a_range_comes_after_all_that_begin_with_it);
    tcase_add_test(c, a_key_is_taken_apart_only_as_what_it_is);
    tcase_add_test(c, a_read_sees_the_entry_under_way_before_the_store);
    tcase_add_test(c, what_a_full_store_refused_stays_to_be_read_and_written);
    tcase_add_test(c, an_entry_that_could_not_look_at_the_store_does_not_count);
    tcase_add_test(c, every_flipped_bit_of_a_value_is_found_and_the_kind_of_record_named);
    tcase_add_test(c, a_value_in_the_wrong_place_is_found);
    tcase_add_test(c, a_value_of_a_later_build_is_refused_with_the_version_it_needs);
    tcase_add_test(c, what_is_left_over_or_missing_in_a_value_is_corruption);
    suite_add_tcase(s, c);
    return keyspace_main(s);
}
