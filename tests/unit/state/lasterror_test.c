#include "state/lasterror.h"

#include "state/keyspace.h"

enum { QUEUE = 5 };

static struct lasterror example(void)
{
    return (struct lasterror){.text = bytes_text("connection refused"),
                              .status = 503,
                              .source = bytes_text("000000000000:us-east-1:jobs"),
                              .reason = bytes_text("max-receives")};
}

START_TEST(what_was_put_is_got_in_the_same_entry_and_after_a_restart)
{
    struct keyspace k;
    struct lasterror l = example();
    struct lasterror got = {0};
    keyspace_open(&k);
    for (int i = 0; i < 2; i++) {
        if (i == 0)
            lasterror_put(&k.keys, QUEUE, 64, &l);
        ck_assert_int_eq(lasterror_get(&k.keys, QUEUE, 64, &got, NULL), ERR_OK);
        ck_assert(bytes_equal(got.text, l.text) && bytes_equal(got.source, l.source) &&
                  bytes_equal(got.reason, l.reason));
        ck_assert_uint_eq(got.status, 503);
        ck_assert_int_eq(lasterror_get(&k.keys, QUEUE, 65, &got, NULL), ERR_NOT_FOUND);
        keyspace_reopen(&k);
    }
    lasterror_delete(&k.keys, QUEUE, 64);
    ck_assert_int_eq(lasterror_get(&k.keys, QUEUE, 64, &got, NULL), ERR_NOT_FOUND);
    keyspace_close(&k);
}
END_TEST

START_TEST(a_long_error_is_cut_between_characters)
{
    struct keyspace k;
    char text[LASTERROR_TEXT_MAX + 200];
    struct lasterror l = {0};
    struct lasterror got = {0};
    keyspace_open(&k);
    for (size_t shift = 0; shift < 3; shift++) {
        memset(text, 'x', sizeof text);
        for (size_t i = shift; i + 3 <= sizeof text; i += 3) { /* U+9CE9 */
            text[i] = (char)0xe9;
            text[i + 1] = (char)0xb3;
            text[i + 2] = (char)0xa9;
        }
        l.text = bytes_of(text, sizeof text);
        lasterror_put(&k.keys, QUEUE, 64, &l);
        ck_assert_int_eq(lasterror_get(&k.keys, QUEUE, 64, &got, NULL), ERR_OK);
        ck_assert_uint_le(got.text.len, LASTERROR_TEXT_MAX);
        ck_assert_uint_gt(got.text.len, LASTERROR_TEXT_MAX - 3);
        ck_assert_uint_eq((got.text.len - shift) % 3, 0);
    }
    memset(text, 0x80, sizeof text); /* no character at all */
    lasterror_put(&k.keys, QUEUE, 64, &l);
    ck_assert_int_eq(lasterror_get(&k.keys, QUEUE, 64, &got, NULL), ERR_OK);
    ck_assert_uint_le(got.text.len, LASTERROR_TEXT_MAX);
    keyspace_close(&k);
}
END_TEST

START_TEST(clearing_a_queue_leaves_its_neighbours)
{
    struct keyspace k;
    struct lasterror l = example();
    struct lasterror got;
    keyspace_open(&k);
    lasterror_put(&k.keys, QUEUE, 64, &l);
    lasterror_put(&k.keys, QUEUE, UINT64_MAX, &l);
    lasterror_put(&k.keys, QUEUE + 1, 0, &l);
    lasterror_clear(&k.keys, QUEUE);
    keyspace_commit(&k);
    ck_assert_uint_eq(keyspace_count(&k, KEY_LAST_ERROR), 1);
    ck_assert_int_eq(lasterror_get(&k.keys, QUEUE + 1, 0, &got, NULL), ERR_OK);
    keyspace_close(&k);
}
END_TEST

START_TEST(damaged_records_are_reported_or_read_within_their_bounds)
{
    struct keyspace k;
    struct random r;
    struct lasterror l = example();
    struct lasterror got;
    keyspace_open(&k);
    random_open(&r, 3);
    for (int i = 0; i < 500; i++) {
        lasterror_put(&k.keys, QUEUE, 64, &l);
        keyspace_commit(&k);
        if (i % 2 == 0)
            keyspace_damage(&k, KEY_LAST_ERROR, &r);
        else
            keyspace_scramble(&k, KEY_LAST_ERROR, &r);
        struct error e = {0};
        int code = lasterror_get(&k.keys, QUEUE, 64, &got, &e);
        ck_assert(code == ERR_CORRUPT || (code == ERR_OK && i % 2 == 1));
        if (code == ERR_OK)
            ck_assert_uint_le(got.text.len + got.source.len + got.reason.len, 100);
    }
    keyspace_close(&k);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("lasterror");
    TCase *c = tcase_create("lasterror");
    tcase_set_timeout(c, 0);
    tcase_add_test(c, what_was_put_is_got_in_the_same_entry_and_after_a_restart);
    tcase_add_test(c, a_long_error_is_cut_between_characters);
    tcase_add_test(c, clearing_a_queue_leaves_its_neighbours);
    tcase_add_test(c, damaged_records_are_reported_or_read_within_their_bounds);
    suite_add_tcase(s, c);
    return keyspace_main(s);
}
