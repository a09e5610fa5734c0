#include "command/check.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/wire.h"

enum {
    BODY = 1,
    ATTRIBUTE = 2,
    GROUP = 3,
    DEDUPLICATION = 4,
    DELAY = 5,
    PRIORITY = 6,
    TRACEPARENT = 7,
    NOT_BEFORE = 8,
    NO_DELAY = 9
};

static struct buffer raw;
static struct error e;

static void setup(void)
{
    raw = (struct buffer){0};
    e = (struct error){0};
    wire_put_bytes(&raw, BODY, bytes_text("hello"));
}

static void teardown(void)
{
    buffer_close(&raw);
}

static int check(void)
{
    return check_message(buffer_view(&raw), &e);
}

static void refused(const char *field)
{
    ck_assert_int_eq(check(), ERR_INVALID);
    ck_assert_str_eq(e.field, field);
    ck_assert(e.message[0] != '\0');
}

static void put_attribute(const char *name, uint32_t kind, struct bytes value)
{
    struct buffer a = {0};
    wire_put_bytes(&a, 1, bytes_text(name));
    if (kind != 0) {
        wire_put_head(&a, kind, value.len);
        buffer_put(&a, value.data, value.len);
    }
    wire_put_bytes(&raw, ATTRIBUTE, buffer_view(&a));
    buffer_close(&a);
}

START_TEST(a_plain_message_passes)
{
    ck_assert_int_eq(check(), ERR_OK);
}
END_TEST

START_TEST(an_empty_message_passes)
{
    ck_assert_int_eq(check_message(bytes_of("", 0), &e), ERR_OK);
}
END_TEST

START_TEST(every_prefix_of_a_message_is_refused_or_passes_without_reading_beyond_it)
{
    put_attribute("kind", 2, bytes_text("new"));
    wire_put_bytes(&raw, GROUP, bytes_text("g"));
    wire_put_varint(&raw, DELAY, 1000000);
    for (size_t len = 0; len <= raw.len; len++) {
        uint8_t *copy = malloc(len + 1); /* so that the address sanitizer sees a read too many */
        memcpy(copy, raw.data, len);
        int rc = check_message(bytes_of(copy, len), &e);
        ck_assert(rc == ERR_OK || rc == ERR_INVALID);
        free(copy);
    }
}
END_TEST

START_TEST(attributes_of_all_three_kinds_pass)
{
    put_attribute("a", 2, bytes_text("text"));
    put_attribute("b.c-d_E9", 3, bytes_text("-12.5e+3"));
    put_attribute("c", 4, bytes_of("\x00\xff", 2));
    put_attribute("empty", 2, bytes_of("", 0));
    ck_assert_int_eq(check(), ERR_OK);
}
END_TEST

START_TEST(every_byte_that_a_name_may_not_have_is_refused)
{
    for (int c = 1; c < 256; c++) {
        teardown();
        setup();
        char name[2] = {(char)c, '\0'};
        put_attribute(name, 2, bytes_text("x"));
        bool allowed = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
                       c == '-' || c == '.';
        ck_assert_msg((check() == ERR_OK) == allowed, "byte 0x%02x", (unsigned)c);
    }
}
END_TEST

START_TEST(reserved_names_are_refused)
{
    const char *const names[] = {"hato.x", "AWS.x", "Amazon.x"};
    for (size_t i = 0; i < 3; i++) {
        teardown();
        setup();
        put_attribute(names[i], 2, bytes_text("x"));
        refused("attributes");
    }
}
END_TEST

START_TEST(a_name_of_256_bytes_passes_and_one_more_does_not)
{
    char name[258];
    memset(name, 'n', sizeof name);
    name[256] = '\0';
    put_attribute(name, 2, bytes_text("x"));
    ck_assert_int_eq(check(), ERR_OK);
    name[256] = 'n';
    name[257] = '\0';
    put_attribute(name, 2, bytes_text("x"));
    refused("attributes");
}
END_TEST

START_TEST(the_attribute_whose_value_is_wrong_is_named)
{
    put_attribute("kind", 2, bytes_text("new"));
    put_attribute("size", 3, bytes_text("abc"));
    refused("attributes");
    ck_assert_int_eq(strncmp(e.message, "size: a number attribute", 24), 0);
}
END_TEST

START_TEST(an_attribute_given_twice_is_refused)
{
    put_attribute("a", 2, bytes_text("1"));
    put_attribute("a", 2, bytes_text("2"));
    refused("attributes");
}
END_TEST

START_TEST(an_attribute_without_a_value_is_refused)
{
    put_attribute("a", 0, bytes_of("", 0));
    refused("attributes");
}
END_TEST

START_TEST(sixty_four_attributes_pass_and_one_more_does_not)
{
    for (int i = 0; i < CHECK_ATTRIBUTES_MAX; i++) {
        char name[8];
        snprintf(name, sizeof name, "a%d", i);
        put_attribute(name, 2, bytes_text("x"));
    }
    ck_assert_int_eq(check(), ERR_OK);
    put_attribute("one-more", 2, bytes_text("x"));
    refused("attributes");
}
END_TEST

START_TEST(what_is_no_number_is_refused_as_one)
{
    const char *const bad[] = {"", "-", ".", "1e", "1e+", "0x10", "1 ", " 1", "1.2.3", "NaN", "inf", "1e5e5"};
    const char *const good[] = {"0", "-0", "+7", "1.", ".5", "1e9", "1E-9", "123456789012345678901234567890"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        teardown();
        setup();
        put_attribute("n", 3, bytes_text(bad[i]));
        ck_assert_msg(check() == ERR_INVALID, "'%s' passed", bad[i]);
    }
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        teardown();
        setup();
        put_attribute("n", 3, bytes_text(good[i]));
        ck_assert_msg(check() == ERR_OK, "'%s' was refused", good[i]);
    }
}
END_TEST

START_TEST(text_that_is_not_utf8_is_refused)
{
    put_attribute("t", 2, bytes_of("\xc0\x80", 2));
    refused("attributes");
}
END_TEST

START_TEST(groups_and_deduplication_ids_end_at_128_bytes)
{
    char text[129];
    memset(text, 'x', sizeof text);
    wire_put_bytes(&raw, GROUP, bytes_of(text, 128));
    wire_put_bytes(&raw, DEDUPLICATION, bytes_of(text, 128));
    ck_assert_int_eq(check(), ERR_OK);
    wire_put_bytes(&raw, GROUP, bytes_of(text, 129));
    refused("group");
    teardown();
    setup();
    wire_put_bytes(&raw, DEDUPLICATION, bytes_of(text, 129));
    refused("deduplication_id");
}
END_TEST

START_TEST(a_group_with_a_blank_or_control_byte_is_refused)
{
    wire_put_bytes(&raw, GROUP, bytes_of("a b", 3));
    refused("group");
    teardown();
    setup();
    wire_put_bytes(&raw, GROUP, bytes_of("a\0b", 3));
    refused("group");
}
END_TEST

START_TEST(priorities_beyond_seven_are_refused)
{
    wire_put_varint(&raw, PRIORITY, 7);
    ck_assert_int_eq(check(), ERR_OK);
    wire_put_varint(&raw, PRIORITY, 8);
    refused("priority");
}
END_TEST

START_TEST(a_delay_beyond_ten_years_is_refused)
{
    wire_put_varint(&raw, DELAY, UINT64_C(3650) * 24 * 3600 * 1000);
    ck_assert_int_eq(check(), ERR_OK);
    wire_put_varint(&raw, DELAY, UINT64_C(3650) * 24 * 3600 * 1000 + 1);
    refused("delay_ms");
}
END_TEST

START_TEST(only_one_way_to_delay_may_be_given)
{
    wire_put_varint(&raw, DELAY, 1);
    wire_put_varint(&raw, NO_DELAY, 1);
    refused("delay_ms");
}
END_TEST

START_TEST(a_malformed_traceparent_is_refused)
{
    wire_put_bytes(&raw, TRACEPARENT, bytes_text("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
    ck_assert_int_eq(check(), ERR_OK);
    wire_put_bytes(&raw, TRACEPARENT, bytes_text("00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
    refused("traceparent");
    teardown();
    setup();
    wire_put_bytes(&raw, TRACEPARENT, bytes_text("00-short"));
    refused("traceparent");
}
END_TEST

static const char *const invalid_traces[] = {
    "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "00-00000000000000000000000000000000-b7ad6b7169203331-01",
    "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
};

/* W3C Trace Context, section 3.2.2. */
START_TEST(a_traceparent_that_w3c_calls_invalid_is_refused)
{
    wire_put_bytes(&raw, TRACEPARENT, bytes_text(invalid_traces[_i]));
    refused("traceparent");
}
END_TEST

START_TEST(a_client_cannot_set_provenance)
{
    wire_put_bytes(&raw, 15, bytes_text("x"));
    refused("provenance");
}
END_TEST

START_TEST(a_field_of_the_wrong_type_is_refused)
{
    buffer_varint(&raw, GROUP << 3 | WIRE_VARINT);
    buffer_varint(&raw, 1);
    refused("messages");
}
END_TEST

/* A varint of more bytes than it needs. */
static void put_wide(uint64_t value, int bytes)
{
    for (; bytes > 1; bytes--, value >>= 7)
        buffer_u8(&raw, (uint8_t)(value | 0x80));
    buffer_u8(&raw, (uint8_t)value);
}

START_TEST(a_tag_or_a_length_is_padded_to_five_bytes_at_most)
{
    enum { UNKNOWN = 99 };
    for (uint32_t field = BODY; field <= UNKNOWN; field += UNKNOWN - BODY) {
        for (int bytes = 2; bytes <= 10; bytes++) {
            buffer_clear(&raw);
            put_wide(field << 3 | WIRE_BYTES, bytes);
            buffer_put(&raw, "\1x", 2);
            ck_assert_int_eq(check(), bytes <= 5 ? ERR_OK : ERR_INVALID);
            buffer_clear(&raw);
            buffer_varint(&raw, field << 3 | WIRE_BYTES);
            put_wide(1, bytes);
            buffer_u8(&raw, 'x');
            ck_assert_int_eq(check(), bytes <= 5 ? ERR_OK : ERR_INVALID);
        }
    }
    buffer_clear(&raw);
    buffer_u8(&raw, DELAY << 3);
    put_wide(1, 10); /* a value may take more */
    ck_assert_int_eq(check(), ERR_OK);
}
END_TEST

START_TEST(unknown_fields_are_passed_over)
{
    wire_put_bytes(&raw, 1000, bytes_text("from the future"));
    wire_put_varint(&raw, 1001, 5);
    ck_assert_int_eq(check(), ERR_OK);
}
END_TEST

START_TEST(counts_go_from_one_to_a_thousand)
{
    ck_assert_int_eq(check_count(0, "messages", &e), ERR_INVALID);
    ck_assert_int_eq(check_count(1, "messages", &e), ERR_OK);
    ck_assert_int_eq(check_count(1000, "messages", &e), ERR_OK);
    ck_assert_int_eq(check_count(1001, "messages", &e), ERR_INVALID);
    ck_assert_str_eq(e.field, "messages");
}
END_TEST

START_TEST(rates_must_be_numbers_not_below_zero)
{
    ck_assert_int_eq(check_rate(0, "rate", &e), ERR_OK);
    ck_assert_int_eq(check_rate(-1, "rate", &e), ERR_INVALID);
    ck_assert_int_eq(check_rate(0.0001, "rate", &e), ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(e.message, "0.001 to 1000000"));
    ck_assert_int_eq(check_rate(0.0 / (e.code == 99 ? 1 : 0.0), "rate", &e), ERR_INVALID);
}
END_TEST

/* Field 16, which nobody knows, then a body; or two bodies. */
static int check_with_beside(uint32_t number, size_t len)
{
    struct buffer b = {0};
    uint8_t *junk = calloc(1, len);
    wire_put_bytes(&b, number, bytes_of(junk, len));
    wire_put_bytes(&b, 1, bytes_text("x"));
    e = (struct error){0};
    int rc = check_message(buffer_view(&b), &e);
    buffer_close(&b);
    free(junk);
    return rc;
}

START_TEST(bytes_that_count_for_no_limit_of_the_queue_have_one_of_their_own)
{
    const uint32_t fields[] = {16, 1};
    for (size_t i = 0; i < 2; i++) {
        ck_assert_int_eq(check_with_beside(fields[i], CHECK_BESIDE_MAX - 100), ERR_OK);
        ck_assert_int_eq(check_with_beside(fields[i], CHECK_BESIDE_MAX), ERR_TOO_LARGE);
        ck_assert_str_eq(e.field, "messages");
        ck_assert_int_eq(check_with_beside(fields[i], 60 << 20), ERR_TOO_LARGE);
    }
}
END_TEST

START_TEST(fields_that_nobody_knows_are_taken_in_a_small_number)
{
    for (int i = 1; i < CHECK_FIELDS_MAX; i++)
        wire_put_varint(&raw, 14, 1);
    ck_assert_int_eq(check(), ERR_OK);
    wire_put_varint(&raw, 14, 1);
    refused("messages");
}
END_TEST

START_TEST(so_are_those_within_attributes)
{
    struct buffer inside = {0};
    wire_put_bytes(&inside, 1, bytes_text("name"));
    wire_put_bytes(&inside, 2, bytes_text("value"));
    for (int i = 0; i < CHECK_FIELDS_MAX - 4; i++)
        wire_put_varint(&inside, 14, 1);
    wire_put_bytes(&raw, ATTRIBUTE, buffer_view(&inside));
    ck_assert_int_eq(check(), ERR_OK);
    wire_put_varint(&raw, 14, 1);
    refused("messages");
    buffer_clear(&raw);
    wire_put_varint(&inside, 14, 1);
    wire_put_varint(&inside, 14, 1);
    wire_put_bytes(&raw, ATTRIBUTE, buffer_view(&inside));
    refused("messages");
    buffer_close(&inside);
}
END_TEST

START_TEST(the_most_attributes_leave_room_for_others)
{
    char name[16];
    for (int i = 0; i < CHECK_ATTRIBUTES_MAX; i++) {
        struct buffer a = {0};
        snprintf(name, sizeof name, "name-%d", i);
        wire_put_bytes(&a, 1, bytes_text(name));
        wire_put_bytes(&a, 3, bytes_text("1"));
        wire_put_bytes(&a, 5, bytes_text("float"));
        wire_put_bytes(&raw, ATTRIBUTE, buffer_view(&a));
        buffer_close(&a);
    }
    for (int i = 0; i < 50; i++)
        wire_put_varint(&raw, 14, 1);
    ck_assert_int_eq(check(), ERR_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("check");
    TCase *t = tcase_create("messages");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_plain_message_passes);
    tcase_add_test(t, an_empty_message_passes);
    tcase_add_test(t, bytes_that_count_for_no_limit_of_the_queue_have_one_of_their_own);
    tcase_add_test(t, fields_that_nobody_knows_are_taken_in_a_small_number);
    tcase_add_test(t, so_are_those_within_attributes);
    tcase_add_test(t, the_most_attributes_leave_room_for_others);
    tcase_add_test(t, every_prefix_of_a_message_is_refused_or_passes_without_reading_beyond_it);
    tcase_add_test(t, attributes_of_all_three_kinds_pass);
    tcase_add_test(t, every_byte_that_a_name_may_not_have_is_refused);
    tcase_add_test(t, reserved_names_are_refused);
    tcase_add_test(t, a_name_of_256_bytes_passes_and_one_more_does_not);
    tcase_add_test(t, an_attribute_given_twice_is_refused);
    tcase_add_test(t, the_attribute_whose_value_is_wrong_is_named);
    tcase_add_test(t, an_attribute_without_a_value_is_refused);
    tcase_add_test(t, sixty_four_attributes_pass_and_one_more_does_not);
    tcase_add_test(t, what_is_no_number_is_refused_as_one);
    tcase_add_test(t, text_that_is_not_utf8_is_refused);
    tcase_add_test(t, groups_and_deduplication_ids_end_at_128_bytes);
    tcase_add_test(t, a_group_with_a_blank_or_control_byte_is_refused);
    tcase_add_test(t, priorities_beyond_seven_are_refused);
    tcase_add_test(t, a_delay_beyond_ten_years_is_refused);
    tcase_add_test(t, only_one_way_to_delay_may_be_given);
    tcase_add_test(t, a_malformed_traceparent_is_refused);
    tcase_add_loop_test(t, a_traceparent_that_w3c_calls_invalid_is_refused, 0,
                        sizeof invalid_traces / sizeof *invalid_traces);
    tcase_add_test(t, a_client_cannot_set_provenance);
    tcase_add_test(t, a_field_of_the_wrong_type_is_refused);
    tcase_add_test(t, a_tag_or_a_length_is_padded_to_five_bytes_at_most);
    tcase_add_test(t, unknown_fields_are_passed_over);
    tcase_add_test(t, counts_go_from_one_to_a_thousand);
    tcase_add_test(t, rates_must_be_numbers_not_below_zero);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
