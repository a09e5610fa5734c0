#include "dispatch/rate.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

#define SECOND UINT64_C(1000000000)

START_TEST(no_limit_is_no_limit)
{
    static const double none[] = {0, -1, (double)NAN};
    for (size_t i = 0; i < 3; i++) {
        struct rate r = {0};
        for (int k = 0; k < 1000; k++)
            ck_assert(rate_take(&r, none[i], 0));
        ck_assert_uint_eq(rate_ready_ns(&r, none[i], 5), 5);
    }
}
END_TEST

START_TEST(a_tenth_of_a_second_may_go_at_once_and_then_the_rate_holds)
{
    struct rate r = {0};
    int taken = 0;
    while (rate_take(&r, 100, 0))
        taken++;
    ck_assert_int_eq(taken, 10);
    for (uint64_t now = 0; now <= 10 * SECOND; now += SECOND / 1000)
        taken += rate_take(&r, 100, now);
    ck_assert_int_ge(taken, 1009);
    ck_assert_int_le(taken, 1010);
}
END_TEST

START_TEST(the_next_token_is_there_when_it_was_said_to_be)
{
    static const double rates[] = {0.1, 0.3, 1, 3, 7, 333, 99999, 1e9};
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        struct rate r = {0};
        uint64_t now = 12345;
        for (int k = 0; k < 1000; k++) {
            while (rate_take(&r, rates[i], now)) {
            }
            uint64_t next = rate_ready_ns(&r, rates[i], now);
            ck_assert_uint_gt(next, now);
            ck_assert(rate_take(&r, rates[i], next));
            now = next;
        }
    }
}
END_TEST

START_TEST(less_than_one_a_second_still_goes)
{
    struct rate r = {0};
    ck_assert(rate_take(&r, 0.5, 0));
    ck_assert(!rate_take(&r, 0.5, SECOND));
    ck_assert(rate_take(&r, 0.5, 2 * SECOND + 1));
}
END_TEST

START_TEST(what_came_to_nothing_is_given_back_but_not_beyond_the_bucket)
{
    struct rate r = {0};
    ck_assert(rate_take(&r, 1, 0));
    rate_give_back(&r, 1);
    rate_give_back(&r, 1);
    ck_assert(rate_take(&r, 1, 0));
    ck_assert(!rate_take(&r, 1, 0));
}
END_TEST

START_TEST(a_change_does_not_give_away_a_new_burst)
{
    struct rate r = {0};
    while (rate_take(&r, 100, 0)) {
    }
    ck_assert(!rate_take(&r, 200, 0));
    ck_assert(rate_take(&r, 0, 0));
}
END_TEST

START_TEST(a_faster_rate_does_not_wait_for_what_a_slow_one_owed)
{
    struct rate r = {0};
    ck_assert(rate_take(&r, 0.001, SECOND));
    ck_assert(!rate_take(&r, 0.001, 500 * SECOND));
    ck_assert(!rate_take(&r, 100, 500 * SECOND));
    ck_assert_uint_le(rate_ready_ns(&r, 100, 500 * SECOND), 500 * SECOND + SECOND / 50);
    ck_assert(rate_take(&r, 100, 500 * SECOND + SECOND / 50));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("rate");
    TCase *c = tcase_create("rate");
    tcase_set_timeout(c, 300); /* against hanging for ever, not a measure */
    tcase_add_test(c, no_limit_is_no_limit);
    tcase_add_test(c, a_tenth_of_a_second_may_go_at_once_and_then_the_rate_holds);
    tcase_add_test(c, the_next_token_is_there_when_it_was_said_to_be);
    tcase_add_test(c, less_than_one_a_second_still_goes);
    tcase_add_test(c, what_came_to_nothing_is_given_back_but_not_beyond_the_bucket);
    tcase_add_test(c, a_change_does_not_give_away_a_new_burst);
    tcase_add_test(c, a_faster_rate_does_not_wait_for_what_a_slow_one_owed);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
