#include "dispatch/retry.h"

#include <check.h>
#include <stdlib.h>

START_TEST(delays_are_spread_between_the_least_and_a_doubling_top)
{
    struct random random;
    random_open(&random, 3);
    uint64_t top = 1000;
    for (uint32_t receives = 1; receives <= 40; receives++) {
        top = top * 2 < 300000 ? top * 2 : 300000;
        uint64_t low = UINT64_MAX;
        uint64_t high = 0;
        for (int i = 0; i < 2000; i++) {
            uint64_t delay = retry_delay_ms(1000, 300000, receives, &random);
            low = delay < low ? delay : low;
            high = delay > high ? delay : high;
        }
        ck_assert_uint_ge(low, 1000);
        ck_assert_uint_le(low, 1000 + (top - 1000) / 10);
        ck_assert_uint_le(high, top);
        ck_assert_uint_ge(high, top - (top - 1000) / 10);
    }
}
END_TEST

START_TEST(odd_limits_give_no_odd_delays)
{
    struct random random;
    random_open(&random, 3);
    ck_assert_uint_eq(retry_delay_ms(1000, 1000, 9, &random), 1000);
    ck_assert_uint_le(retry_delay_ms(5000, 1000, 1, &random), 1000);
    ck_assert_uint_le(retry_delay_ms(0, 0, UINT32_MAX, &random), 0);
    ck_assert_uint_ge(retry_delay_ms(1, UINT64_MAX, UINT32_MAX, &random), 1);
}
END_TEST

START_TEST(retry_after_in_seconds)
{
    ck_assert_uint_eq(retry_after_ms("120", 0), 120000);
    ck_assert_uint_eq(retry_after_ms(" 5 ", 0), 5000);
    ck_assert_uint_eq(retry_after_ms("0", 0), 0);
    ck_assert_uint_ge(retry_after_ms("99999999999999999999999999", 0), 1000000000ull * 1000);
}
END_TEST

START_TEST(retry_after_as_a_date)
{
    /* RFC 9110's example is 784111777 seconds after 1970. */
    const uint64_t at = 784111777000;
    ck_assert_uint_eq(retry_after_ms("Sun, 06 Nov 1994 08:49:37 GMT", at - 90000), 90000);
    ck_assert_uint_eq(retry_after_ms("Sunday, 06-Nov-94 08:49:37 GMT", at - 90000), 90000);
    ck_assert_uint_eq(retry_after_ms("Sun, 06 Nov 1994 08:49:37 GMT", at), 0);
    ck_assert_uint_eq(retry_after_ms("Sun, 06 Nov 1994 08:49:37 GMT", at + 1), 0);
}
END_TEST

START_TEST(a_retry_after_that_makes_no_sense_is_none)
{
    static const char *const bad[] = {"", " ", "soon", "-5", "5 apples", "1.5", "+3", "Sun, 99 Nov 1994", "\xff\xfe"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(retry_after_ms(bad[i], 1700000000000) == 0, "%s was understood", bad[i]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("retry");
    TCase *c = tcase_create("retry");
    tcase_set_timeout(c, 300); /* against hanging for ever, not a measure */
    tcase_add_test(c, delays_are_spread_between_the_least_and_a_doubling_top);
    tcase_add_test(c, odd_limits_give_no_odd_delays);
    tcase_add_test(c, retry_after_in_seconds);
    tcase_add_test(c, retry_after_as_a_date);
    tcase_add_test(c, a_retry_after_that_makes_no_sense_is_none);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
