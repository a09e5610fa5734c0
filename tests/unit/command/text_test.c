#include "command/text.h"

#include <check.h>
#include <stdlib.h>

#include "base/wire.h"
#include "proto/client.pb-c.h"

enum { REQUEST_PEEK = 14, PEEK_QUEUE = 1, PEEK_GROUP = 5 };

static struct buffer raw;
static struct error e;

static void setup(void)
{
    raw = (struct buffer){0};
    e = (struct error){0};
}

static void teardown(void)
{
    buffer_close(&raw);
}

static int check_peek(struct bytes queue, struct bytes group)
{
    struct buffer peek = {0};
    wire_put_bytes(&peek, PEEK_QUEUE, queue);
    wire_put_bytes(&peek, PEEK_GROUP, group);
    wire_put_varint(&raw, 1, 7);
    wire_put_bytes(&raw, REQUEST_PEEK, buffer_view(&peek));
    buffer_close(&peek);
    return text_check(&hato__request__descriptor, buffer_view(&raw), &e);
}

START_TEST(texts_of_all_languages_pass)
{
    ck_assert_int_eq(check_peek(bytes_text("jobs"), bytes_text("gr\xc3\xbc\xc3\x9f")), ERR_OK);
}
END_TEST

START_TEST(a_zero_byte_deep_inside_is_found_and_its_field_named)
{
    ck_assert_int_eq(check_peek(bytes_of((const uint8_t *)"jo\0bs", 5), bytes_text("g")), ERR_INVALID);
    ck_assert_str_eq(e.field, "queue");
}
END_TEST

START_TEST(what_is_not_utf8_is_found_and_its_field_named)
{
    ck_assert_int_eq(check_peek(bytes_text("jobs"), bytes_text("\xff")), ERR_INVALID);
    ck_assert_str_eq(e.field, "group");
}
END_TEST

/* protobuf-c reads numbers with more bits than they have, and would go on to what lies behind. */
START_TEST(what_can_not_be_read_is_refused_and_not_passed_over)
{
    static const uint8_t numbers[][12] = {
        {6 << 3, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7e},
        {0xf8, 0xff, 0xff, 0xff, 0xff, 0x01, 0},
        {0xf8, 0xff, 0xff, 0xff, 0x7f, 0},
    };
    static const size_t lengths[] = {11, 7, 6};
    struct buffer peek = {0};
    buffer_put(&peek, numbers[_i], lengths[_i]);
    wire_put_bytes(&peek, PEEK_GROUP, bytes_text("\xff"));
    wire_put_varint(&raw, 1, 7);
    wire_put_bytes(&raw, REQUEST_PEEK, buffer_view(&peek));
    ck_assert_int_eq(text_check(&hato__request__descriptor, buffer_view(&raw), &e), ERR_PROTOCOL);
    buffer_close(&peek);
}
END_TEST

START_TEST(fields_are_counted_at_any_depth)
{
    struct buffer peek = {0};
    for (int i = 0; i < TEXT_FIELDS_MAX - 2; i++)
        wire_put_varint(&peek, 14, 1); /* unknown */
    ck_assert_int_eq(check_peek(bytes_text("jobs"), bytes_text("g")), ERR_OK);
    buffer_clear(&raw);
    wire_put_varint(&raw, 1, 7);
    wire_put_bytes(&raw, REQUEST_PEEK, buffer_view(&peek));
    ck_assert_int_eq(text_check(&hato__request__descriptor, buffer_view(&raw), &e), ERR_OK);
    wire_put_varint(&raw, 99, 1);
    ck_assert_int_eq(text_check(&hato__request__descriptor, buffer_view(&raw), &e), ERR_TOO_LARGE);
    buffer_close(&peek);
}
END_TEST

START_TEST(bytes_fields_and_unknown_fields_may_hold_anything)
{
    struct buffer ack = {0};
    wire_put_bytes(&ack, 1, bytes_text("jobs"));
    wire_put_bytes(&ack, 2, bytes_of((const uint8_t *)"\0\xff", 2)); /* a receipt */
    wire_put_bytes(&raw, 7, buffer_view(&ack));
    wire_put_bytes(&raw, 99, bytes_of((const uint8_t *)"\0\xff", 2));
    buffer_close(&ack);
    ck_assert_int_eq(text_check(&hato__request__descriptor, buffer_view(&raw), &e), ERR_OK);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("text");
    TCase *t = tcase_create("text");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, texts_of_all_languages_pass);
    tcase_add_test(t, a_zero_byte_deep_inside_is_found_and_its_field_named);
    tcase_add_test(t, what_is_not_utf8_is_found_and_its_field_named);
    tcase_add_test(t, bytes_fields_and_unknown_fields_may_hold_anything);
    tcase_add_loop_test(t, what_can_not_be_read_is_refused_and_not_passed_over, 0, 3);
    tcase_add_test(t, fields_are_counted_at_any_depth);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
