#include "bench/settings.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { ALL = -1 };

static int parse(struct settings *s, uint32_t takes, struct error *e, const char *const *words)
{
    int argc = 0;
    while (words[argc] != NULL)
        argc++;
    *s = (struct settings){.window = 1000, .batch = 10, .size = 1024};
    *e = (struct error){0};
    return settings_parse(s, takes, argc, words, e);
}

START_TEST(flags_take_human_values_after_a_space_or_an_equals_sign)
{
    struct settings s;
    struct error e;
    ck_assert_int_eq(
        parse(&s, (uint32_t)ALL, &e,
              (const char *[]){"--messages", "20m", "--duration=1m30s", "--size", "64KiB", "--json", NULL}),
        ERR_OK);
    ck_assert_uint_eq(s.messages, 20000000);
    ck_assert_uint_eq(s.duration_ms, 90000);
    ck_assert_uint_eq(s.size, 65536);
    ck_assert(s.json && !s.quiet);
    ck_assert_uint_eq(s.window, 1000);
}
END_TEST

START_TEST(texts_may_hold_anything)
{
    struct settings s;
    struct error e;
    ck_assert_int_eq(parse(&s, (uint32_t)ALL, &e, (const char *[]){"--queue=a=b", "--server", "--x", NULL}), ERR_OK);
    ck_assert_str_eq(s.queue, "a=b");
    ck_assert_str_eq(s.server, "--x");
}
END_TEST

START_TEST(a_wrong_flag_is_refused_naming_it)
{
    static const struct {
        const char *words[3];
        const char *said;
    } cases[] = {{{"--nonsense", NULL}, "--nonsense"},
                 {{"--message", "5", NULL}, "--message"},
                 {{"word", NULL}, "word"},
                 {{"-m", NULL}, "-m"},
                 {{"--", NULL}, "--"},
                 {{"--=5", NULL}, "--=5"},
                 {{"--messages", NULL}, "--messages N"},
                 {{"--messages", "many", NULL}, "--messages"},
                 {{"--messages=", NULL}, "--messages"},
                 {{"--json=yes", NULL}, "--json"},
                 {{"--window", "0", NULL}, "--window"},
                 {{"--window", "2m", NULL}, "--window"},
                 {{"--batch", "0", NULL}, "--batch"},
                 {{"--batch", "1001", NULL}, "--batch"},
                 {{"--size", "1GiB", NULL}, "--size"},
                 {{"--duration", "5", NULL}, "--duration"},
                 {{"--port", "65536", NULL}, "--port"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct settings s;
        struct error e;
        ck_assert_msg(parse(&s, (uint32_t)ALL, &e, cases[i].words) == ERR_INVALID, "%s", cases[i].words[0]);
        ck_assert_msg(strstr(e.message, cases[i].said) != NULL, "%s: %s", cases[i].words[0], e.message);
    }
}
END_TEST

START_TEST(a_command_refuses_flags_that_are_not_its_own)
{
    struct settings s;
    struct error e;
    ck_assert_int_eq(parse(&s, SETTINGS_SERVER, &e, (const char *[]){"--port", "80", NULL}), ERR_INVALID);
    ck_assert_int_eq(parse(&s, SETTINGS_SERVER, &e, (const char *[]){"--server", "here:80", NULL}), ERR_OK);
    ck_assert_int_eq(parse(&s, 0, &e, (const char *[]){"--quiet", NULL}), ERR_OK);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("settings");
    TCase *c = tcase_create("settings");
    tcase_add_test(c, flags_take_human_values_after_a_space_or_an_equals_sign);
    tcase_add_test(c, texts_may_hold_anything);
    tcase_add_test(c, a_wrong_flag_is_refused_naming_it);
    tcase_add_test(c, a_command_refuses_flags_that_are_not_its_own);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
