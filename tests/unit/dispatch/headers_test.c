#include "dispatch/headers.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct headers h;

static void setup(void)
{
    memset(&h, 0, sizeof h);
}

static void teardown(void)
{
    headers_close(&h);
}

static const char *line(uint32_t i)
{
    ck_assert_uint_lt(i, h.count);
    return (const char *)h.text.data + h.starts[i];
}

START_TEST(lines_come_in_order_as_the_http_library_takes_them)
{
    ck_assert_ptr_null(headers_list(&h, NULL));
    ck_assert(headers_add_text(&h, "a", "1"));
    ck_assert(headers_add_number(&h, "b", 22));
    ck_assert(headers_add_text(&h, "c", ""));
    ck_assert(headers_add_text(&h, "d", "  spaced  out "));
    ck_assert_ptr_nonnull(headers_list(&h, NULL));
    static const char *const want[] = {"a: 1", "b: 22", "c;", "d: spaced  out"};
    for (uint32_t i = 0; i < 4; i++)
        ck_assert_str_eq(line(i), want[i]);
    headers_clear(&h);
    ck_assert_ptr_null(headers_list(&h, NULL));
}
END_TEST

START_TEST(a_value_can_not_smuggle_a_line)
{
    static const char *const bad[] = {"a\r\nX: y", "a\nb", "a\rb", "\x01", "tab\there", "\x7f", "caf\xc3\xa9"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert(!headers_add_text(&h, "n", bad[i]));
    ck_assert(!headers_add(&h, "n", bytes_of("a\0b", 3)));
    ck_assert_uint_eq(h.count, 0);
}
END_TEST

START_TEST(encoded_values_are_percent_encoded_as_cloudevents_wants)
{
    ck_assert(headers_add_encoded(&h, "ce-x", bytes_text("Euro \xe2\x82\xac \"50%\"\r\n~!")));
    ck_assert_str_eq(line(0), "ce-x: Euro%20%E2%82%AC%20%2250%25%22%0D%0A~!");
}
END_TEST

START_TEST(there_are_limits_to_values_and_to_all_together)
{
    static char value[HEADERS_VALUE_MAX + 2];
    memset(value, 'v', HEADERS_VALUE_MAX + 1);
    ck_assert(!headers_add_text(&h, "n", value));
    value[HEADERS_VALUE_MAX] = '\0';
    ck_assert(headers_add_text(&h, "n", value));
    ck_assert(headers_add_text(&h, "n", value));
    ck_assert(!headers_add_text(&h, "n", value));
    value[HEADERS_VALUE_MAX / 2] = '\0';
    for (char *at = value; *at != '\0'; at++)
        *at = ' ';
    ck_assert(!headers_add_encoded(&h, "n", bytes_text(value)));
    ck_assert(headers_add_text(&h, "small", "one"));
    headers_clear(&h);
    for (int i = 0; i < HEADERS_MAX; i++)
        ck_assert(headers_add_text(&h, "n", "v"));
    ck_assert(!headers_add_text(&h, "n", "v"));
}
END_TEST

START_TEST(names_are_tokens)
{
    ck_assert(headers_name_valid(bytes_text("X-Team_1.a")));
    static const char *const bad[] = {"", "a b", "a:b", "a\r", "(x)", "caf\xc3\xa9", "\"q\"", "a,b", "a/b"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert(!headers_name_valid(bytes_text(bad[i])));
    ck_assert(!headers_name_valid(bytes_of("a\0", 2)));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("headers");
    TCase *c = tcase_create("headers");
    tcase_set_timeout(c, 300); /* against hanging for ever, not a measure */
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, lines_come_in_order_as_the_http_library_takes_them);
    tcase_add_test(c, a_value_can_not_smuggle_a_line);
    tcase_add_test(c, encoded_values_are_percent_encoded_as_cloudevents_wants);
    tcase_add_test(c, there_are_limits_to_values_and_to_all_together);
    tcase_add_test(c, names_are_tokens);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
