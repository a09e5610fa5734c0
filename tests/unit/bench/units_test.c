#include "bench/units.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

START_TEST(counts_are_read_as_people_write_them)
{
    static const struct {
        const char *text;
        uint64_t count;
    } cases[] = {{"0", 0},
                 {"500", 500},
                 {"20k", 20000},
                 {"20K", 20000},
                 {"1.5m", 1500000},
                 {"1.001k", 1001},
                 {"2g", 2000000000},
                 {"0.5", 0},
                 {"007", 7},
                 {"20m", 20000000},
                 {"1000000g", 1000000000000000}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t count = 99;
        ck_assert_msg(units_count(cases[i].text, &count, NULL) == ERR_OK, "%s", cases[i].text);
        ck_assert_uint_eq(count, cases[i].count);
    }
}
END_TEST

START_TEST(what_is_no_count_is_refused_and_changes_nothing)
{
    static const char *const cases[] = {"",
                                        "k",
                                        "-1",
                                        "+1",
                                        " 1",
                                        "1 ",
                                        "1x",
                                        "0x10",
                                        "1e3",
                                        "inf",
                                        "nan",
                                        ".5",
                                        "5.",
                                        "1.2.3",
                                        "1kk",
                                        "1,000",
                                        "1 k",
                                        "1000001g",
                                        "99999999999999999999"};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t count = 99;
        struct error e = {0};
        ck_assert_msg(units_count(cases[i], &count, &e) == ERR_INVALID, "\"%s\"", cases[i]);
        ck_assert_uint_eq(count, 99);
        ck_assert_ptr_nonnull(strstr(e.message, "1.5m"));
    }
}
END_TEST

START_TEST(counts_and_times_are_shown_in_three_digits)
{
    static const struct {
        double number;
        const char *count;
        const char *time;
    } cases[] = {{0, "0", "0ns"},
                 {1, "1", "1ns"},
                 {2.5, "2.50", "2.50ns"},
                 {987, "987", "987ns"},
                 {999.4, "999", "999ns"},
                 {999.6, "1.00k", "1.00us"},
                 {1000, "1000", "1.00us"},
                 {12345, "12.3k", "12.3us"},
                 {4560000, "4.56M", "4.56ms"},
                 {99960000, "100M", "100ms"},
                 {7.5e9, "7.50G", "7.50s"},
                 {1.2e13, "12000G", "12000s"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[UNITS_TEXT_MAX];
        ck_assert_str_eq(units_count_text(cases[i].number, text), cases[i].count);
        ck_assert_str_eq(units_time_text(cases[i].number, text), cases[i].time);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("units");
    TCase *c = tcase_create("units");
    tcase_add_test(c, counts_are_read_as_people_write_them);
    tcase_add_test(c, what_is_no_count_is_refused_and_changes_nothing);
    tcase_add_test(c, counts_and_times_are_shown_in_three_digits);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
