#include "base/histogram.h"

#include <check.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/random.h"

enum { VALUES = 20000 };

static int ascending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

START_TEST(percentiles_are_within_a_64th_of_the_sorted_values)
{
    static uint64_t values[VALUES];
    static struct histogram h;
    struct random r;
    random_open(&r, 6);
    uint64_t sum = 0;
    for (size_t i = 0; i < VALUES; i++) {
        values[i] = random_next(&r) >> (22 + random_below(&r, 42));
        sum += values[i];
        histogram_record(&h, values[i]);
    }
    qsort(values, VALUES, sizeof values[0], ascending);
    ck_assert_uint_eq(h.count, VALUES);
    ck_assert_uint_eq(h.sum, sum);
    ck_assert_uint_eq(h.min, values[0]);
    ck_assert_uint_eq(h.max, values[VALUES - 1]);
    for (int permille = 1; permille < 1000; permille++) {
        uint64_t exact = values[(size_t)permille * VALUES / 1000 - 1];
        uint64_t kept = histogram_percentile(&h, permille / 10.0);
        ck_assert_uint_ge(kept, exact);
        /* A percentile that falls one rank further by rounding is as good. */
        uint64_t next = values[(size_t)permille * VALUES / 1000];
        ck_assert_uint_le(kept, next + next / 64);
    }
    ck_assert_uint_eq(histogram_percentile(&h, 0), values[0]);
    ck_assert_uint_eq(histogram_percentile(&h, 100), values[VALUES - 1]);
}
END_TEST

START_TEST(small_values_are_kept_exactly)
{
    static struct histogram h;
    for (uint64_t v = 1; v <= 50; v++)
        histogram_record(&h, v);
    ck_assert_uint_eq(histogram_percentile(&h, 50), 25);
    ck_assert_uint_eq(histogram_percentile(&h, 90), 45);
    ck_assert_uint_eq(histogram_up_to(&h, 10), 10);
    ck_assert_uint_eq(histogram_up_to(&h, 0), 0);
    ck_assert_double_eq_tol(histogram_mean(&h), 25.5, 1e-9);
}
END_TEST

START_TEST(values_beyond_the_range_count_as_its_end_but_the_maximum_is_told)
{
    static struct histogram h;
    histogram_record(&h, UINT64_MAX);
    histogram_record(&h, HISTOGRAM_VALUE_MAX);
    ck_assert_uint_eq(h.count, 2);
    ck_assert_uint_eq(histogram_percentile(&h, 50), HISTOGRAM_VALUE_MAX);
    ck_assert_uint_eq(histogram_percentile(&h, 100), UINT64_MAX);
    ck_assert_uint_eq(histogram_up_to(&h, HISTOGRAM_VALUE_MAX), 2);
}
END_TEST

START_TEST(an_empty_histogram_answers_zero)
{
    static struct histogram h;
    ck_assert_uint_eq(histogram_percentile(&h, 50), 0);
    ck_assert_uint_eq(histogram_percentile(&h, 100), 0);
    ck_assert_uint_eq(histogram_up_to(&h, UINT64_MAX), 0);
    ck_assert(histogram_mean(&h) == 0);
}
END_TEST

START_TEST(merging_is_as_recording_all_in_one)
{
    static struct histogram parts[3];
    static struct histogram whole;
    static struct histogram merged;
    struct random r;
    random_open(&r, 7);
    for (int i = 0; i < VALUES; i++) {
        uint64_t v = random_next(&r) >> random_below(&r, 64);
        histogram_record(&parts[i % 2], v); /* the third stays empty */
        histogram_record(&whole, v);
    }
    for (int i = 0; i < 3; i++)
        histogram_merge(&merged, &parts[i]);
    ck_assert_mem_eq(&merged, &whole, sizeof whole);
    histogram_clear(&merged);
    ck_assert_mem_eq(&merged, &(struct histogram){0}, sizeof merged);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("histogram");
    TCase *c = tcase_create("histogram");
    tcase_add_test(c, percentiles_are_within_a_64th_of_the_sorted_values);
    tcase_add_test(c, small_values_are_kept_exactly);
    tcase_add_test(c, values_beyond_the_range_count_as_its_end_but_the_maximum_is_told);
    tcase_add_test(c, an_empty_histogram_answers_zero);
    tcase_add_test(c, merging_is_as_recording_all_in_one);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
