#include "base/pace.h"

#include <check.h>
#include <stdlib.h>

enum { PART = 1000, RATE = 1000000 };

/* What gets through from one point in time to another, asked for at each millisecond, in parts. */
static uint64_t through(struct pace *p, uint64_t from_us, uint64_t to_us)
{
    uint64_t sum = 0;
    for (uint64_t now = from_us; now < to_us; now += 1000)
        while (sum < UINT64_C(100) * RATE && pace_may(p, now)) {
            pace_take(p, PART, now);
            sum += PART;
        }
    return sum;
}

START_TEST(so_many_bytes_a_second_get_through)
{
    struct pace p = {.bytes_per_second = RATE};
    uint64_t sum = through(&p, 5000000, 15000000);
    ck_assert_uint_ge(sum, 10 * RATE);
    ck_assert_uint_le(sum, 10 * RATE + RATE / 10 + 2 * PART);
}
END_TEST

START_TEST(what_is_not_taken_is_not_saved_up)
{
    struct pace p = {.bytes_per_second = RATE};
    through(&p, 0, 1000000);
    uint64_t sum = through(&p, UINT64_C(3600) * 1000000, UINT64_C(3601) * 1000000);
    ck_assert_uint_le(sum, RATE + RATE / 10 + 2 * PART);
}
END_TEST

START_TEST(a_large_part_is_paid_for_afterwards)
{
    struct pace p = {.bytes_per_second = RATE};
    pace_take(&p, 3 * RATE, 0);
    ck_assert(!pace_may(&p, 2899000));
    ck_assert(pace_may(&p, 2900000));
}
END_TEST

START_TEST(without_a_rate_all_gets_through)
{
    struct pace p = {0};
    ck_assert_uint_eq(through(&p, 0, 1000), UINT64_C(100) * RATE);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pace");
    TCase *t = tcase_create("pace");
    tcase_add_test(t, so_many_bytes_a_second_get_through);
    tcase_add_test(t, what_is_not_taken_is_not_saved_up);
    tcase_add_test(t, a_large_part_is_paid_for_afterwards);
    tcase_add_test(t, without_a_rate_all_gets_through);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
