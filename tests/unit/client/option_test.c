/* The option parser of the command line. */
#include <check.h>
#include <stdlib.h>

#include "cli/option.h"

static const char *const colours[] = {"red", "green", NULL};

struct values {
    bool flag;
    bool on;
    const char *text;
    struct text_list list;
    uint32_t small;
    uint64_t large;
    double real;
    uint64_t duration;
    uint64_t size;
    int colour;
    uint32_t present;
};

#define AT(field) offsetof(struct values, field)

static const struct option options[] = {
    {"flag", OPTION_FLAG, AT(flag), NULL, "a flag", NULL, 0, 0},
    {"on", OPTION_SWITCH, AT(on), NULL, "a switch", NULL, AT(present), 1},
    {"text", OPTION_TEXT, AT(text), "TEXT", "text", NULL, AT(present), 2},
    {"list", OPTION_LIST, AT(list), "TEXT", "list", NULL, 0, 0},
    {"small", OPTION_U32, AT(small), "N", "number", NULL, 0, 0},
    {"large", OPTION_U64, AT(large), "N", "number", NULL, 0, 0},
    {"real", OPTION_REAL, AT(real), "N", "number", NULL, 0, 0},
    {"duration", OPTION_DURATION, AT(duration), "DURATION", "time", NULL, AT(present), 4},
    {"size", OPTION_SIZE, AT(size), "SIZE", "size", NULL, 0, 0},
    {"few", OPTION_U32, AT(small), "N", "number", NULL, 0, 0, .min = 1, .max = 1000},
    {"while", OPTION_DURATION, AT(duration), "DURATION", "time", NULL, 0, 0, .min = 1000, .max = 3600000},
    {"colour", OPTION_CHOICE, AT(colour), "COLOUR", "colour", colours, 0, 0},
    {0},
};

static struct values v;
static struct positionals rest;
static struct error e;

static int parse(const char **argv)
{
    int argc = 0;
    while (argv[argc] != NULL)
        argc++;
    v = (struct values){0};
    rest = (struct positionals){0};
    struct option_set set = {options, &v};
    return option_read(&set, 1, argv, argc, &rest, &e);
}

#define PARSE(...) parse((const char *[]){__VA_ARGS__, NULL})

START_TEST(options_of_every_kind_are_read)
{
    int rc =
        PARSE("--flag", "--on", "--text", "t", "--list=a", "--list", "b", "--small=7", "--large",
              "18446744073709551615", "--real", "2.5", "--duration", "1h30m", "--size", "256KiB", "--colour", "green");
    ck_assert_int_eq(rc, ERR_OK);
    ck_assert(v.flag);
    ck_assert(v.on);
    ck_assert_str_eq(v.text, "t");
    ck_assert_uint_eq(v.list.count, 2);
    ck_assert_str_eq(v.list.items[1], "b");
    ck_assert_uint_eq(v.small, 7);
    ck_assert_uint_eq(v.large, UINT64_MAX);
    ck_assert(v.real > 2.49 && v.real < 2.51);
    ck_assert_uint_eq(v.duration, 5400000);
    ck_assert_uint_eq(v.size, 262144);
    ck_assert_int_eq(v.colour, 1);
    ck_assert_uint_eq(v.present, 7);
}
END_TEST

START_TEST(an_option_not_given_leaves_its_bit_unset)
{
    ck_assert_int_eq(PARSE("--flag"), ERR_OK);
    ck_assert_uint_eq(v.present, 0);
}
END_TEST

START_TEST(a_switch_can_be_turned_off_and_counts_as_given)
{
    ck_assert_int_eq(PARSE("--on", "--no-on"), ERR_OK);
    ck_assert(!v.on);
    ck_assert_uint_eq(v.present, 1);
    ck_assert_int_eq(PARSE("--no-flag"), ERR_INVALID);
}
END_TEST

START_TEST(other_arguments_stand_anywhere_and_after_two_dashes_all_are)
{
    ck_assert_int_eq(PARSE("one", "--flag", "-", "--", "--text", "-x"), ERR_OK);
    ck_assert_uint_eq(rest.count, 4);
    ck_assert_str_eq(rest.items[0], "one");
    ck_assert_str_eq(rest.items[1], "-");
    ck_assert_str_eq(rest.items[2], "--text");
    ck_assert_str_eq(rest.items[3], "-x");
}
END_TEST

START_TEST(a_value_may_begin_with_a_dash_or_be_empty)
{
    ck_assert_int_eq(PARSE("--text", "-5"), ERR_OK);
    ck_assert_str_eq(v.text, "-5");
    ck_assert_int_eq(PARSE("--text="), ERR_OK);
    ck_assert_str_eq(v.text, "");
}
END_TEST

START_TEST(wrong_values_are_refused_naming_the_option)
{
    const char *const wrong[][2] = {
        {"--real", " 3"},  {"--real", "0x10"},   {"--real", "inf"},         {"--real", "1e400"}, {"--real", ""},
        {"--small", "x"},  {"--small", "-1"},    {"--small", "4294967296"}, {"--small", "1 "},   {"--small", ""},
        {"--real", "nan"}, {"--real", "-1"},     {"--real", "1x"},          {"--duration", "5"}, {"--duration", "5q"},
        {"--size", "1XB"}, {"--colour", "blue"}, {"--large", "1e3"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ck_assert_msg(PARSE(wrong[i][0], wrong[i][1]) == ERR_INVALID, "%s '%s'", wrong[i][0], wrong[i][1]);
        ck_assert_str_eq(e.field, wrong[i][0] + 2);
        ck_assert_ptr_nonnull(strstr(e.message, wrong[i][0]));
    }
    ck_assert_int_eq(PARSE("--text"), ERR_INVALID);
    ck_assert_int_eq(PARSE("--flag=yes"), ERR_INVALID);
}
END_TEST

START_TEST(values_beyond_the_limits_are_refused_with_the_limits_in_their_unit)
{
    const char *const wrong[][3] = {
        {"--few", "0", "1 to 1000"},          {"--few", "1001", "1 to 1000"}, {"--few", "-1", "1 to 1000"},
        {"--few", "4294967296", "1 to 1000"}, {"--few", "5x", "1 to 1000"},   {"--few", " 3", "1 to 1000"},
        {"--while", "999ms", "1s to 1h"},     {"--while", "61m", "1s to 1h"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ck_assert_int_eq(PARSE(wrong[i][0], wrong[i][1]), ERR_INVALID);
        ck_assert_str_eq(e.field, wrong[i][0] + 2);
        ck_assert_msg(strstr(e.message, wrong[i][2]) != NULL, "%s", e.message);
    }
    ck_assert_int_eq(PARSE("--few", "1", "--while", "1h"), ERR_OK);
    ck_assert_int_eq(PARSE("--few", "1000", "--while", "1s"), ERR_OK);
}
END_TEST

START_TEST(an_unknown_option_is_refused_and_a_near_one_named)
{
    ck_assert_int_eq(PARSE("--durations", "5s"), ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(e.message, "did you mean --duration?"));
    ck_assert_int_eq(PARSE("--zzz"), ERR_INVALID);
    ck_assert_ptr_null(strstr(e.message, "did you mean"));
    ck_assert_int_eq(PARSE("-x"), ERR_INVALID);
}
END_TEST

START_TEST(too_many_arguments_are_refused)
{
    const char *argv[TEXT_LIST_MAX + 2];
    for (int i = 0; i <= TEXT_LIST_MAX; i++)
        argv[i] = "x";
    argv[TEXT_LIST_MAX + 1] = NULL;
    ck_assert_int_eq(parse(argv), ERR_INVALID);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client/option");
    TCase *tc = tcase_create("option");
    tcase_add_test(tc, options_of_every_kind_are_read);
    tcase_add_test(tc, an_option_not_given_leaves_its_bit_unset);
    tcase_add_test(tc, a_switch_can_be_turned_off_and_counts_as_given);
    tcase_add_test(tc, other_arguments_stand_anywhere_and_after_two_dashes_all_are);
    tcase_add_test(tc, a_value_may_begin_with_a_dash_or_be_empty);
    tcase_add_test(tc, wrong_values_are_refused_naming_the_option);
    tcase_add_test(tc, values_beyond_the_limits_are_refused_with_the_limits_in_their_unit);
    tcase_add_test(tc, an_unknown_option_is_refused_and_a_near_one_named);
    tcase_add_test(tc, too_many_arguments_are_refused);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
