#include "base/random.h"

#include <check.h>
#include <stdlib.h>

START_TEST(a_seed_gives_the_same_run_always)
{
    struct random a;
    struct random b;
    random_open(&a, 42);
    random_open(&b, 42);
    for (int i = 0; i < 1000; i++)
        ck_assert_uint_eq(random_next(&a), random_next(&b));
    random_open(&b, 43);
    ck_assert_uint_ne(random_next(&a), random_next(&b));
}
END_TEST

START_TEST(numbers_stay_below_the_bound_and_reach_all_of_it)
{
    struct random r;
    random_open(&r, 1);
    for (uint64_t bound = 1; bound <= 20; bound++) {
        uint32_t seen = 0;
        for (int i = 0; i < 2000; i++) {
            uint64_t v = random_below(&r, bound);
            ck_assert_uint_lt(v, bound);
            seen |= UINT32_C(1) << v;
        }
        ck_assert_uint_eq(seen, (UINT32_C(1) << bound) - 1);
    }
    ck_assert_uint_lt(random_below(&r, UINT64_MAX), UINT64_MAX);
}
END_TEST

START_TEST(the_unit_interval_is_half_open_and_evenly_filled)
{
    struct random r;
    random_open(&r, 2);
    int quarter[4] = {0};
    for (int i = 0; i < 40000; i++) {
        double v = random_unit(&r);
        ck_assert(v >= 0 && v < 1);
        quarter[(int)(v * 4)]++;
    }
    for (int i = 0; i < 4; i++)
        ck_assert(quarter[i] > 9500 && quarter[i] < 10500);
}
END_TEST

START_TEST(nothing_is_below_zero)
{
    struct random r;
    random_open(&r, 1);
    random_below(&r, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("random");
    TCase *c = tcase_create("random");
    tcase_add_test(c, a_seed_gives_the_same_run_always);
    tcase_add_test(c, numbers_stay_below_the_bound_and_reach_all_of_it);
    tcase_add_test(c, the_unit_interval_is_half_open_and_evenly_filled);
    tcase_add_test_raise_signal(c, nothing_is_below_zero, 6);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
