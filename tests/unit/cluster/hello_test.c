#include "cluster/hello.h"

#include <check.h>
#include <stdlib.h>

#include "base/wire.h"

static struct buffer b;
static struct hello back;
static struct error e;
static size_t used;
static const struct hello sample = {
    .cluster = "0123456789abcdef0123456789abcdef",
    .birth = "fedcba9876543210fedcba9876543210",
    .node = 2,
    .to = 3,
    .instance = UINT64_MAX,
    .shards = 8,
    .clients = "10.0.0.2:9325",
    .software = "hato/0.1",
};

static void setup(void)
{
    hello_put(&b, &sample);
}

static void teardown(void)
{
    buffer_close(&b);
}

START_TEST(a_hello_comes_back_from_its_bytes)
{
    buffer_u8(&b, 'x'); /* what follows is not its own */
    ck_assert_int_eq(hello_take(buffer_view(&b), &back, &used, &e), ERR_OK);
    ck_assert_uint_eq(used, b.len - 1);
    ck_assert_str_eq(back.cluster, sample.cluster);
    ck_assert_str_eq(back.birth, sample.birth);
    ck_assert_str_eq(back.clients, sample.clients);
    ck_assert_str_eq(back.software, sample.software);
    ck_assert_uint_eq(back.node, 2);
    ck_assert_uint_eq(back.to, 3);
    ck_assert_uint_eq(back.instance, UINT64_MAX);
    ck_assert_uint_eq(back.shards, 8);
    ck_assert_uint_eq(back.refused, 0);
}
END_TEST

START_TEST(a_refusal_needs_no_name)
{
    struct hello h = {.refused = ERR_FORBIDDEN, .why = "because"};
    buffer_clear(&b);
    hello_put(&b, &h);
    ck_assert_int_eq(hello_take(buffer_view(&b), &back, &used, &e), ERR_OK);
    ck_assert_uint_eq(back.refused, ERR_FORBIDDEN);
    ck_assert_str_eq(back.why, "because");
    h.refused = 0;
    buffer_clear(&b);
    hello_put(&b, &h);
    ck_assert_int_eq(hello_take(buffer_view(&b), &back, &used, &e), ERR_PROTOCOL);
}
END_TEST

START_TEST(one_cut_short_is_waited_for_and_one_changed_is_refused)
{
    for (size_t len = 0; len < b.len; len++) {
        ck_assert_int_eq(hello_take(bytes_of(b.data, len), &back, &used, &e), ERR_OK);
        ck_assert_uint_eq(used, 0);
    }
    for (size_t i = 20; i < b.len; i++) {
        b.data[i] ^= 1;
        ck_assert_int_eq(hello_take(buffer_view(&b), &back, &used, &e), ERR_CORRUPT);
        b.data[i] ^= 1;
    }
}
END_TEST

START_TEST(what_is_no_hello_is_refused_at_its_first_byte)
{
    ck_assert_int_eq(hello_take(bytes_text("G"), &back, &used, &e), ERR_PROTOCOL);
    ck_assert_int_eq(hello_take(bytes_text("HATO\1\0\0\0"), &back, &used, &e), ERR_PROTOCOL);
}
END_TEST

START_TEST(versions_that_do_not_meet_are_refused_whatever_follows)
{
    b.data[4] = HELLO_NEWEST + 1;
    b.data[6] = HELLO_NEWEST + 5;
    ck_assert_int_eq(hello_take(bytes_of(b.data, 8), &back, &used, &e), ERR_VERSION);
    ck_assert_ptr_nonnull(strstr(e.message, "versions 2 to 6"));
    b.data[4] = HELLO_NEWEST; /* one that also speaks ours is let in */
    ck_assert_int_eq(hello_take(buffer_view(&b), &back, &used, &e), ERR_OK);
    ck_assert_uint_eq(back.newest, HELLO_NEWEST + 5);
}
END_TEST

static void with_fields(const struct buffer *fields)
{
    buffer_clear(&b);
    buffer_put(&b, "HATP\1\0\1\0", 8);
    buffer_u32(&b, (uint32_t)fields->len);
    buffer_u64(&b, bytes_hash(buffer_view(fields), 0));
    buffer_put(&b, fields->data, fields->len);
}

START_TEST(fields_of_a_later_version_are_passed_over)
{
    struct buffer fields = {0};
    buffer_put(&fields, b.data + 20, b.len - 20);
    wire_put_varint(&fields, 100, 5);
    wire_put_bytes(&fields, 101, bytes_text("new"));
    with_fields(&fields);
    ck_assert_int_eq(hello_take(buffer_view(&b), &back, &used, &e), ERR_OK);
    ck_assert_uint_eq(back.node, 2);
    buffer_close(&fields);
}
END_TEST

START_TEST(texts_that_do_not_fit_and_hellos_that_are_too_long_are_refused)
{
    struct buffer fields = {0};
    wire_put_bytes(&fields, 1, bytes_text("0123456789abcdef0123456789abcdef0"));
    with_fields(&fields);
    ck_assert_int_eq(hello_take(buffer_view(&b), &back, &used, &e), ERR_PROTOCOL);
    while (fields.len <= HELLO_MAX)
        wire_put_bytes(&fields, 100, bytes_text("more and more"));
    with_fields(&fields);
    ck_assert_int_eq(hello_take(buffer_view(&b), &back, &used, &e), ERR_TOO_LARGE);
    buffer_close(&fields);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hello");
    TCase *c = tcase_create("hello");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, a_hello_comes_back_from_its_bytes);
    tcase_add_test(c, a_refusal_needs_no_name);
    tcase_add_test(c, one_cut_short_is_waited_for_and_one_changed_is_refused);
    tcase_add_test(c, what_is_no_hello_is_refused_at_its_first_byte);
    tcase_add_test(c, versions_that_do_not_meet_are_refused_whatever_follows);
    tcase_add_test(c, fields_of_a_later_version_are_passed_over);
    tcase_add_test(c, texts_that_do_not_fit_and_hellos_that_are_too_long_are_refused);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
