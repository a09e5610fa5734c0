#include "bench/schedule.h"

#include <check.h>
#include <stdlib.h>

START_TEST(a_closed_loop_is_always_due_and_counts_from_now)
{
    struct schedule s;
    schedule_open(&s, 0, 1000);
    for (uint64_t now = 1000; now < 2000; now += 7) {
        uint64_t from = 0;
        ck_assert(schedule_take(&s, now, &from));
        ck_assert_uint_eq(from, now);
        ck_assert_uint_eq(schedule_wait(&s, now), 0);
    }
}
END_TEST

START_TEST(an_open_loop_gives_each_message_its_time_and_not_before)
{
    struct schedule s;
    schedule_open(&s, 1000, 5000000); /* one a millisecond */
    uint64_t from = 0;
    ck_assert(schedule_take(&s, 5000000, &from));
    ck_assert_uint_eq(from, 5000000);
    ck_assert(!schedule_take(&s, 5999999, &from));
    ck_assert_uint_eq(schedule_wait(&s, 5999999), 1);
    ck_assert_uint_eq(schedule_wait(&s, 5000000), 1000000);
    ck_assert(schedule_take(&s, 6000000, &from));
    ck_assert_uint_eq(from, 6000000);
}
END_TEST

START_TEST(a_stall_is_charged_to_every_message_that_was_due_in_it)
{
    struct schedule s;
    schedule_open(&s, 1000, 0);
    uint64_t from = 0, late = 0;
    const uint64_t stalled_until = 100000000; /* 100 ms */
    for (uint64_t n = 0; schedule_take(&s, stalled_until, &from); n++) {
        ck_assert_uint_eq(from, n * 1000000);
        late += stalled_until - from;
    }
    ck_assert_uint_eq(s.issued, 101);
    ck_assert_uint_eq(late / s.issued, 50000000); /* 50 ms on average, not one message with 100 */
}
END_TEST

START_TEST(a_rate_that_divides_nothing_does_not_drift)
{
    struct schedule s;
    schedule_open(&s, 3, 0);
    uint64_t from = 0;
    uint64_t taken = 0;
    while (taken <= 3000000 && schedule_take(&s, UINT64_MAX, &from))
        taken++;
    ck_assert_uint_eq(taken, 3000001);
    ck_assert_uint_ge(from, 999999999999999);
    ck_assert_uint_le(from, 1000000000000001); /* a million seconds */
}
END_TEST

int main(void)
{
    Suite *s = suite_create("schedule");
    TCase *c = tcase_create("schedule");
    tcase_add_test(c, a_closed_loop_is_always_due_and_counts_from_now);
    tcase_add_test(c, an_open_loop_gives_each_message_its_time_and_not_before);
    tcase_add_test(c, a_stall_is_charged_to_every_message_that_was_due_in_it);
    tcase_add_test(c, a_rate_that_divides_nothing_does_not_drift);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
