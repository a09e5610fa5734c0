#include "cluster/frame.h"

#include <check.h>
#include <stdlib.h>

#include "base/memory.h"

static struct buffer b;
static struct frame f;
static struct error e;
static size_t used, want;

static void put(enum frame_kind kind, uint16_t shard, const char *text)
{
    size_t at = frame_begin(&b, kind, shard);
    buffer_put(&b, text, strlen(text));
    frame_end(&b, at);
}

static void teardown(void)
{
    buffer_close(&b);
}

START_TEST(frames_come_back_one_after_another)
{
    put(FRAME_SHARD, 7, "first");
    put(FRAME_PING, 0, "");
    ck_assert_int_eq(frame_take(buffer_view(&b), &f, &used, &want, &e), ERR_OK);
    ck_assert_uint_eq(used, FRAME_HEAD_BYTES + 5);
    ck_assert_uint_eq(f.shard, 7);
    ck_assert(bytes_equal(f.body, bytes_text("first")));
    ck_assert_int_eq(frame_take(bytes_of(b.data + used, b.len - used), &f, &used, &want, &e), ERR_OK);
    ck_assert_int_eq(f.kind, FRAME_PING);
    ck_assert_uint_eq(used, FRAME_HEAD_BYTES);
}
END_TEST

START_TEST(a_frame_that_is_not_whole_says_how_long_it_will_be)
{
    put(FRAME_SHARD, 7, "first");
    for (size_t len = 0; len < b.len; len++) {
        ck_assert_int_eq(frame_take(bytes_of(b.data, len), &f, &used, &want, &e), ERR_OK);
        ck_assert_uint_eq(used, 0);
        ck_assert_uint_eq(want, len < FRAME_HEAD_BYTES ? (size_t)FRAME_HEAD_BYTES : b.len);
    }
}
END_TEST

START_TEST(every_changed_bit_is_noticed)
{
    put(FRAME_SHARD, 7, "first");
    for (size_t i = 0; i < 8 * b.len; i++) {
        b.data[i / 8] ^= (uint8_t)(1 << i % 8);
        int rc = frame_take(buffer_view(&b), &f, &used, &want, &e);
        ck_assert_msg(rc != ERR_OK || used == 0, "bit %zu", i); /* a longer length waits for what never comes whole */
        b.data[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    ck_assert_int_eq(frame_take(buffer_view(&b), &f, &used, &want, &e), ERR_OK);
}
END_TEST

START_TEST(a_frame_beyond_the_largest_is_refused_by_its_head)
{
    buffer_u32(&b, FRAME_BODY_MAX + 1);
    while (b.len < FRAME_HEAD_BYTES)
        buffer_u8(&b, 0);
    ck_assert_int_eq(frame_take(buffer_view(&b), &f, &used, &want, &e), ERR_TOO_LARGE);
}
END_TEST

START_TEST(kinds_that_are_not_known_and_bodies_where_none_belongs_are_refused)
{
    put((enum frame_kind)9, 0, "x");
    ck_assert_int_eq(frame_take(buffer_view(&b), &f, &used, &want, &e), ERR_PROTOCOL);
    buffer_clear(&b);
    put(FRAME_PING, 0, "x");
    ck_assert_int_eq(frame_take(buffer_view(&b), &f, &used, &want, &e), ERR_PROTOCOL);
    buffer_clear(&b);
    put(FRAME_PONG, 3, "");
    ck_assert_int_eq(frame_take(buffer_view(&b), &f, &used, &want, &e), ERR_PROTOCOL);
}
END_TEST

/* Written once by version 1; if this fails, nodes of two builds do not understand each other. */
START_TEST(the_bytes_are_those_of_version_1)
{
    static const uint8_t wanted[] = {3, 0, 0, 0, 2, 1, 1, 0};
    put(FRAME_SHARD, 258, "abc");
    ck_assert_int_eq(memcmp(b.data, wanted, sizeof wanted), 0);
    struct cursor c = cursor_open(bytes_of(b.data + 8, 8));
    ck_assert_uint_eq(cursor_u64(&c), bytes_hash(bytes_text("abc"), UINT64_C(0x0001010200000003)));
    ck_assert_int_eq(memcmp(b.data + FRAME_HEAD_BYTES, "abc", 3), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("frame");
    TCase *c = tcase_create("frame");
    tcase_add_checked_fixture(c, NULL, teardown);
    tcase_add_test(c, frames_come_back_one_after_another);
    tcase_add_test(c, a_frame_that_is_not_whole_says_how_long_it_will_be);
    tcase_add_test(c, every_changed_bit_is_noticed);
    tcase_add_test(c, a_frame_beyond_the_largest_is_refused_by_its_head);
    tcase_add_test(c, kinds_that_are_not_known_and_bodies_where_none_belongs_are_refused);
    tcase_add_test(c, the_bytes_are_those_of_version_1);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
