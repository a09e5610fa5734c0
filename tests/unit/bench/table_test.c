#include "bench/table.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct table *table_of(const char *const *lines)
{
    struct table *t = calloc(1, sizeof(*t));
    for (; *lines != NULL; lines++) {
        struct error e = {0};
        ck_assert_msg(table_add(t, *lines, &e) == ERR_OK, "%s", e.message);
    }
    return t;
}

enum { TEXT_MAX = 4096 };

static void printed(const struct table *t, void (*print)(const struct table *, FILE *), char text[TEXT_MAX])
{
    FILE *f = fmemopen(text, TEXT_MAX, "w");
    print(t, f);
    fclose(f);
}

START_TEST(the_median_is_the_middle_or_the_mean_of_the_middle_two)
{
    ck_assert_double_eq(table_median(NULL, 0), 0);
    ck_assert_double_eq(table_median((double[]){7}, 1), 7);
    ck_assert_double_eq(table_median((double[]){9, 1, 5}, 3), 5);
    ck_assert_double_eq(table_median((double[]){4, 1, 3, 2}, 4), 2.5);
}
END_TEST

START_TEST(what_counts_is_the_median_of_the_ratios_not_the_ratio_of_the_medians)
{
    struct table *t =
        table_of((const char *[]){"send vs limit\t>= 0.5\t100\t400\n", "other\t<= 1.5\t3\t2\n",
                                  "send vs limit\t>= 0.5\t300\t310\n", "send vs limit\t>= 0.5\t200\t350\n", NULL});
    ck_assert_uint_eq(t->count, 2);
    struct table_result r = table_result(&t->rows[0]);
    ck_assert_double_eq(r.value, 200);
    ck_assert_double_eq(r.against, 350);
    ck_assert_double_eq_tol(r.ratio, 200.0 / 350, 1e-9);
    ck_assert_double_eq_tol(r.spread, 300.0 / 310 / 0.25, 1e-9);
    ck_assert(r.met);
    ck_assert(table_result(&t->rows[1]).met); /* 1.5 is met by exactly 1.5 */
    free(t);
}
END_TEST

START_TEST(an_aim_is_met_on_its_own_side_only)
{
    struct table *t =
        table_of((const char *[]){"a\t>= 2\t19\t10", "b\t>= 2\t20\t10", "c\t<= 2\t21\t10", "d\t<= 2\t20\t10", NULL});
    static const bool met[] = {false, true, false, true};
    for (uint32_t i = 0; i < 4; i++)
        ck_assert_int_eq(table_result(&t->rows[i]).met, met[i]);
    free(t);
}
END_TEST

START_TEST(the_json_has_exactly_the_promised_fields_in_the_order_measured)
{
    struct table *t = table_of((const char *[]){"say \"z\"\t>= 0.4\t230000\t500000", "a\t<= 1.5\t300\t150", NULL});
    char text[TEXT_MAX];
    printed(t, table_print_json, text);
    ck_assert_str_eq(text, "[{\"name\": \"say \\\"z\\\"\", \"value\": 230000, \"against\": 500000, \"ratio\": 0.46, "
                           "\"aim\": \">= 0.4\", \"met\": true},\n"
                           " {\"name\": \"a\", \"value\": 300, \"against\": 150, \"ratio\": 2, "
                           "\"aim\": \"<= 1.5\", \"met\": false}]\n");
    free(t);
}
END_TEST

START_TEST(a_table_without_rows_is_an_empty_list)
{
    struct table *t = table_of((const char *[]){NULL});
    char text[TEXT_MAX];
    printed(t, table_print_json, text);
    ck_assert_str_eq(text, "[]\n");
    free(t);
}
END_TEST

START_TEST(a_line_that_is_not_understood_is_refused_and_adds_nothing)
{
    static const char *const lines[] = {"",
                                        "\n",
                                        "a",
                                        "a\t>= 1",
                                        "a\t>= 1\t5",
                                        "a\t>= 1\t5\t",
                                        "a\t>= 1\t5\tx",
                                        "a\t>= 1\t-5\t1",
                                        "a\t>= 1\tnan\t1",
                                        "a\t>= 1\tinf\t1",
                                        "a\t> 1\t5\t5",
                                        "a\t>= \t5\t5",
                                        "a\t>= 1x\t5\t5",
                                        "a\t\t5\t5",
                                        "a\t>= 1\t5\t5\t5",
                                        "\t>= 1\t5\t5"};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct table *t = calloc(1, sizeof(*t));
        struct error e = {0};
        ck_assert_msg(table_add(t, lines[i], &e) == ERR_INVALID, "\"%s\"", lines[i]);
        ck_assert_uint_eq(t->count, 0);
        ck_assert(e.field[0] != 0);
        free(t);
    }
    char name[TABLE_NAME_MAX + 40], rest[] = "\t>= 1\t5\t5";
    memset(name, 'a', TABLE_NAME_MAX);
    memcpy(name + TABLE_NAME_MAX, rest, sizeof rest);
    struct table *t = calloc(1, sizeof(*t));
    ck_assert_int_eq(table_add(t, name, NULL), ERR_INVALID);
    free(t);
}
END_TEST

START_TEST(more_rows_or_rounds_than_there_is_room_for_are_refused)
{
    struct table *t = calloc(1, sizeof(*t));
    for (int i = 0; i < TABLE_ROUNDS_MAX; i++)
        ck_assert_int_eq(table_add(t, "a\t>= 1\t5\t5", NULL), ERR_OK);
    ck_assert_int_eq(table_add(t, "a\t>= 1\t5\t5", NULL), ERR_LIMIT);
    for (int i = 1; i < TABLE_ROWS_MAX; i++) {
        char line[64];
        snprintf(line, sizeof(line), "row %d\t>= 1\t5\t5", i);
        ck_assert_int_eq(table_add(t, line, NULL), ERR_OK);
    }
    ck_assert_int_eq(table_add(t, "one more\t>= 1\t5\t5", NULL), ERR_LIMIT);
    free(t);
}
END_TEST

START_TEST(the_table_says_what_was_missed)
{
    struct table *t = table_of((const char *[]){"good\t>= 1\t5\t5", "bad\t>= 2\t5\t5", NULL});
    char text[TEXT_MAX];
    printed(t, table_print, text);
    ck_assert_ptr_nonnull(strstr(text, "met\nbad"));
    ck_assert_ptr_nonnull(strstr(strstr(text, "bad"), "MISSED\n"));
    free(t);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("table");
    TCase *c = tcase_create("table");
    tcase_add_test(c, the_median_is_the_middle_or_the_mean_of_the_middle_two);
    tcase_add_test(c, what_counts_is_the_median_of_the_ratios_not_the_ratio_of_the_medians);
    tcase_add_test(c, an_aim_is_met_on_its_own_side_only);
    tcase_add_test(c, the_json_has_exactly_the_promised_fields_in_the_order_measured);
    tcase_add_test(c, a_table_without_rows_is_an_empty_list);
    tcase_add_test(c, a_line_that_is_not_understood_is_refused_and_adds_nothing);
    tcase_add_test(c, more_rows_or_rounds_than_there_is_room_for_are_refused);
    tcase_add_test(c, the_table_says_what_was_missed);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
