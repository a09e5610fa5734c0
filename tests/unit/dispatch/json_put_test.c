#include "dispatch/json_put.h"

#include <check.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "base/utf8.h"

/* What is written reads back as what went in; by jansson, which knows nothing of us. */
static bool reads_back(struct bytes text)
{
    struct buffer out = {0};
    bool written = json_put_string(&out, text);
    bool good = written == utf8_valid(text);
    if (written) {
        json_t *v = json_loadb((const char *)out.data, out.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        good = good && v != NULL && bytes_equal(bytes_of(json_string_value(v), json_string_length(v)), text);
        json_decref(v);
        for (size_t i = 0; i < out.len; i++)
            good = good && out.data[i] >= 0x20;
    } else {
        good = good && out.len == 0;
    }
    buffer_close(&out);
    return good;
}

static void check_reads_back(struct bytes text)
{
    if (!reads_back(text))
        ck_abort_msg("%zu bytes beginning with %02x do not read back", text.len, text.len > 0 ? text.data[0] : 0u);
}

START_TEST(every_byte_in_every_place_of_a_word_reads_back)
{
    for (int c = 0; c < 256; c++) {
        for (size_t len = 1; len <= 24; len++) {
            for (size_t at = 0; at < len; at++) {
                uint8_t text[24];
                memset(text, 'x', sizeof text);
                text[at] = (uint8_t)c;
                check_reads_back(bytes_of(text, len));
            }
        }
    }
}
END_TEST

START_TEST(random_bytes_and_random_text_read_back_or_are_refused)
{
    struct random random;
    random_open(&random, 11);
    for (int round = 0; round < 20000; round++) {
        uint8_t text[40];
        size_t len = random_below(&random, sizeof text);
        uint64_t kind = random_below(&random, 3);
        for (size_t i = 0; i < len; i++)
            text[i] = (uint8_t)(kind == 0 ? random_next(&random) : random_below(&random, kind == 1 ? 128 : 64));
        check_reads_back(bytes_of(text, len));
    }
}
END_TEST

START_TEST(text_beyond_ascii_comes_as_it_is_but_for_line_separators)
{
    struct buffer out = {0};
    ck_assert(json_put_string(&out, bytes_text("\xe9\xb3\xa9 \xf0\x9f\x95\x8a\xe2\x80\xa8\xe2\x80\xa9.")));
    ck_assert(bytes_equal(buffer_view(&out), bytes_text("\"\xe9\xb3\xa9 \xf0\x9f\x95\x8a\\u2028\\u2029.\"")));
    buffer_close(&out);
}
END_TEST

START_TEST(text_that_is_not_utf8_leaves_the_buffer_alone)
{
    struct buffer out = {0};
    buffer_put(&out, "kept", 4);
    ck_assert(!json_put_string(&out, bytes_text("a long beginning that is well, then \xc3(")));
    ck_assert(bytes_equal(buffer_view(&out), bytes_text("kept")));
    buffer_clear(&out);
    json_put_text(&out, "\xff");
    ck_assert(bytes_equal(buffer_view(&out), bytes_text("\"\"")));
    buffer_close(&out);
}
END_TEST

START_TEST(numbers_are_decimal_digits_in_quotes)
{
    static const struct {
        uint64_t v;
        const char *text;
    } cases[] = {{0, "\"0\""}, {9, "\"9\""}, {10, "\"10\""}, {UINT64_MAX, "\"18446744073709551615\""}};
    for (size_t i = 0; i < 4; i++) {
        struct buffer out = {0};
        json_put_digits(&out, cases[i].v);
        ck_assert(bytes_equal(buffer_view(&out), bytes_text(cases[i].text)));
        buffer_close(&out);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("json_put");
    TCase *c = tcase_create("json_put");
    tcase_set_timeout(c, 300); /* against hanging for ever, not a measure */
    tcase_add_test(c, every_byte_in_every_place_of_a_word_reads_back);
    tcase_add_test(c, random_bytes_and_random_text_read_back_or_are_refused);
    tcase_add_test(c, text_beyond_ascii_comes_as_it_is_but_for_line_separators);
    tcase_add_test(c, text_that_is_not_utf8_leaves_the_buffer_alone);
    tcase_add_test(c, numbers_are_decimal_digits_in_quotes);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
