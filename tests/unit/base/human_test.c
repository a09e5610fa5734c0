#include "base/human.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

START_TEST(durations_are_read_with_their_units)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } cases[] = {
        {"0", 0},
        {"0s", 0},
        {"250ms", 250},
        {"30s", 30000},
        {"5m", 300000},
        {"1h30m", 5400000},
        {"1d", 86400000},
        {"2w", 1209600000},
        {"1y", UINT64_C(31536000000)},
        {"1y2w3d4h5m6s7ms", UINT64_C(31536000000) + 1209600000 + 259200000 + 14400000 + 300000 + 6000 + 7},
        {"90m", 5400000},
        {"18446744073709551615ms", UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t ms = 1;
        struct error e = {0};
        ck_assert_msg(human_duration(cases[i].text, &ms, &e) == ERR_OK, "%s: %s", cases[i].text, e.message);
        ck_assert_uint_eq(ms, cases[i].ms);
    }
}
END_TEST

START_TEST(what_is_no_duration_is_refused_and_changes_nothing)
{
    static const char *const cases[] = {
        "",
        "s",
        "30",
        "1h30",
        "-1s",
        "+1s",
        "1.5s",
        "1 s",
        " 1s",
        "1s ",
        "30m1h",
        "1s1s",
        "1S",
        "1sec",
        "0x1s",
        "1ms1s",
        "18446744073709551616ms",
        "999999999999y",
        "1h,",
        "\xffs",
        "1\xff",
        "584942418y",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t ms = 77;
        struct error e = {0};
        ck_assert_msg(human_duration(cases[i], &ms, &e) == ERR_INVALID, "%s was taken", cases[i]);
        ck_assert_uint_eq(ms, 77);
        ck_assert_uint_gt(strlen(e.message), 10);
    }
}
END_TEST

START_TEST(a_bare_number_is_refused_with_what_to_write_instead)
{
    uint64_t ms = 0;
    struct error e = {0};
    ck_assert_int_eq(human_duration("30", &ms, &e), ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(e.message, "30s"));
    ck_assert_ptr_nonnull(strstr(e.message, "30ms"));
}
END_TEST

START_TEST(sizes_are_read_with_their_units)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } cases[] = {
        {"0", 0},
        {"1024", 1024},
        {"10B", 10},
        {"64KiB", 65536},
        {"10MB", 10000000},
        {"1gib", 1 << 30},
        {"2TB", 2000000000000},
        {"1kb", 1000},
        {"1TiB", UINT64_C(1) << 40},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t bytes = 1;
        struct error e = {0};
        ck_assert_msg(human_size(cases[i].text, &bytes, &e) == ERR_OK, "%s: %s", cases[i].text, e.message);
        ck_assert_uint_eq(bytes, cases[i].bytes);
    }
}
END_TEST

START_TEST(what_is_no_size_is_refused_and_changes_nothing)
{
    static const char *const cases[] = {"",
                                        "KiB",
                                        "1K",
                                        "1 KiB",
                                        "-1",
                                        "1.5GiB",
                                        "1KiBx",
                                        "1M",
                                        "1e3",
                                        "\xff",
                                        "18446744073709551616",
                                        "99999999999TiB"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t bytes = 77;
        struct error e = {0};
        ck_assert_msg(human_size(cases[i], &bytes, &e) == ERR_INVALID, "%s was taken", cases[i]);
        ck_assert_uint_eq(bytes, 77);
        ck_assert_uint_gt(strlen(e.message), 10);
    }
}
END_TEST

START_TEST(any_duration_written_is_read_back_the_same)
{
    struct random r;
    random_open(&r, 5);
    for (int i = 0; i < 10000; i++) {
        char text[HUMAN_TEXT_MAX];
        uint64_t ms = i == 0 ? UINT64_MAX : random_next(&r) >> random_below(&r, 64);
        uint64_t back = 0;
        human_duration_text(ms, text);
        ck_assert_int_eq(human_duration(text, &back, NULL), ERR_OK);
        ck_assert_uint_eq(back, ms);
    }
}
END_TEST

START_TEST(durations_and_sizes_are_written_shortly)
{
    char text[HUMAN_TEXT_MAX];
    ck_assert_str_eq(human_duration_text(0, text), "0s");
    ck_assert_str_eq(human_duration_text(5400000, text), "1h30m");
    ck_assert_str_eq(human_duration_text(1500, text), "1s500ms");
    ck_assert_str_eq(human_size_text(0, text), "0B");
    ck_assert_str_eq(human_size_text(1023, text), "1023B");
    ck_assert_str_eq(human_size_text(65536, text), "64KiB");
    ck_assert_str_eq(human_size_text(1536, text), "1.5KiB");
    ck_assert_str_eq(human_size_text(UINT64_C(1) << 40, text), "1TiB");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("human");
    TCase *c = tcase_create("human");
    tcase_add_test(c, durations_are_read_with_their_units);
    tcase_add_test(c, what_is_no_duration_is_refused_and_changes_nothing);
    tcase_add_test(c, a_bare_number_is_refused_with_what_to_write_instead);
    tcase_add_test(c, sizes_are_read_with_their_units);
    tcase_add_test(c, what_is_no_size_is_refused_and_changes_nothing);
    tcase_add_test(c, any_duration_written_is_read_back_the_same);
    tcase_add_test(c, durations_and_sizes_are_written_shortly);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
