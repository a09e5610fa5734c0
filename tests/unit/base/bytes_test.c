#include "base/bytes.h"

#include <check.h>
#include <stdlib.h>

#include "base/random.h"

START_TEST(what_is_written_is_read_back)
{
    struct buffer b = {0};
    buffer_u8(&b, 0xab);
    buffer_u16(&b, 0xabcd);
    buffer_u32(&b, 0xdeadbeef);
    buffer_u64(&b, UINT64_C(0x0123456789abcdef));
    buffer_u64be(&b, UINT64_C(0x0123456789abcdef));
    buffer_put(&b, "hello", 5);
    struct cursor c = cursor_open(buffer_view(&b));
    ck_assert_uint_eq(cursor_u8(&c), 0xab);
    ck_assert_uint_eq(cursor_u16(&c), 0xabcd);
    ck_assert_uint_eq(cursor_u32(&c), 0xdeadbeef);
    ck_assert_uint_eq(cursor_u64(&c), UINT64_C(0x0123456789abcdef));
    ck_assert_uint_eq(cursor_u64be(&c), UINT64_C(0x0123456789abcdef));
    ck_assert(bytes_equal(cursor_take(&c, 5), bytes_text("hello")));
    ck_assert_uint_eq(cursor_left(&c), 0);
    ck_assert(!c.failed);
    buffer_close(&b);
}
END_TEST

START_TEST(a_read_past_the_end_fails_gives_zeros_and_stays_failed)
{
    static const uint8_t data[] = {0xff, 0xff, 0xff};
    for (int kind = 0; kind < 5; kind++) {
        struct cursor c = cursor_open(bytes_of(data, sizeof data));
        uint64_t v = kind == 0   ? cursor_u32(&c)
                     : kind == 1 ? cursor_u64(&c)
                     : kind == 2 ? cursor_u64be(&c)
                     : kind == 3 ? cursor_varint(&c)
                                 : cursor_take(&c, SIZE_MAX).len;
        ck_assert_uint_eq(v, 0);
        ck_assert(c.failed);
        ck_assert_uint_eq(cursor_u8(&c), 0);
        ck_assert_uint_eq(cursor_take(&c, 1).len, 0);
        ck_assert(c.failed);
    }
}
END_TEST

START_TEST(any_varint_is_read_back_and_none_is_longer_than_ten_bytes)
{
    struct random r;
    random_open(&r, 8);
    for (int i = 0; i < 10000; i++) {
        uint64_t v = i == 0 ? UINT64_MAX : random_next(&r) >> random_below(&r, 64);
        struct buffer b = {0};
        buffer_varint(&b, v);
        ck_assert_uint_le(b.len, 10);
        struct cursor c = cursor_open(buffer_view(&b));
        ck_assert_uint_eq(cursor_varint(&c), v);
        ck_assert(!c.failed);
        ck_assert_uint_eq(cursor_left(&c), 0);
        buffer_close(&b);
    }
}
END_TEST

START_TEST(a_varint_beyond_64_bits_is_refused)
{
    static const uint8_t eleven[] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01};
    static const uint8_t large[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02};
    struct cursor c = cursor_open(bytes_of(eleven, sizeof eleven));
    ck_assert_uint_eq(cursor_varint(&c), 0);
    ck_assert(c.failed);
    c = cursor_open(bytes_of(large, sizeof large));
    ck_assert_uint_eq(cursor_varint(&c), 0);
    ck_assert(c.failed);
}
END_TEST

START_TEST(views_compare_as_rocksdb_orders_keys)
{
    struct bytes empty = bytes_of(NULL, 0);
    ck_assert_int_eq(bytes_compare(empty, empty), 0);
    ck_assert_int_lt(bytes_compare(empty, bytes_text("a")), 0);
    ck_assert_int_lt(bytes_compare(bytes_text("a"), bytes_text("ab")), 0);
    ck_assert_int_gt(bytes_compare(bytes_text("b"), bytes_text("ab")), 0);
    ck_assert_int_gt(bytes_compare(bytes_text("\xff"), bytes_text("a")), 0);
    ck_assert(bytes_equal(empty, bytes_of("x", 0)));
    ck_assert(!bytes_equal(bytes_text("a"), bytes_text("b")));
}
END_TEST

START_TEST(the_hash_is_the_persistent_one)
{
    /* XXH3's published function: other numbers here would mean that files on disk can no longer be read. */
    ck_assert_uint_eq(bytes_hash(bytes_of(NULL, 0), 0), UINT64_C(0x2d06800538d394c2));
    ck_assert_uint_ne(bytes_hash(bytes_text("jobs"), 0), bytes_hash(bytes_text("jobs"), 1));
}
END_TEST

START_TEST(a_buffer_keeps_its_contents_while_it_grows)
{
    struct buffer b = {0};
    for (uint32_t i = 0; i < 10000; i++)
        buffer_u32(&b, i);
    buffer_printf(&b, "%s-%d", "end", 5);
    struct cursor c = cursor_open(buffer_view(&b));
    for (uint32_t i = 0; i < 10000; i++)
        ck_assert_uint_eq(cursor_u32(&c), i);
    ck_assert(bytes_equal(cursor_take(&c, 5), bytes_text("end-5")));
    size_t capacity = b.capacity;
    buffer_clear(&b);
    ck_assert_uint_eq(b.len, 0);
    ck_assert_uint_eq(b.capacity, capacity);
    buffer_close(&b);
    buffer_u8(&b, 1);
    ck_assert_uint_eq(b.len, 1);
    buffer_close(&b);
}
END_TEST

START_TEST(a_reservation_beyond_reason_is_a_broken_invariant)
{
    struct buffer b = {0};
    buffer_reserve(&b, SIZE_MAX);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("bytes");
    TCase *c = tcase_create("bytes");
    tcase_add_test(c, what_is_written_is_read_back);
    tcase_add_test(c, a_read_past_the_end_fails_gives_zeros_and_stays_failed);
    tcase_add_test(c, any_varint_is_read_back_and_none_is_longer_than_ten_bytes);
    tcase_add_test(c, a_varint_beyond_64_bits_is_refused);
    tcase_add_test(c, views_compare_as_rocksdb_orders_keys);
    tcase_add_test(c, the_hash_is_the_persistent_one);
    tcase_add_test(c, a_buffer_keeps_its_contents_while_it_grows);
    tcase_add_test_raise_signal(c, a_reservation_beyond_reason_is_a_broken_invariant, 6);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
