#include "shard/timekeeper.h"

#include <check.h>

static uint64_t wall_ms, mono_ns;

static uint64_t now_ms(void *ctx)
{
    (void)ctx;
    return wall_ms;
}

static uint64_t monotonic_ns(void *ctx)
{
    (void)ctx;
    return mono_ns;
}

static const struct clock fake = {.now_ms = now_ms, .monotonic_ns = monotonic_ns};
static struct timekeeper t;

static void setup(void)
{
    wall_ms = 1000000;
    mono_ns = 5000;
    timekeeper_open(&t, &fake);
    timekeeper_lead(&t, 0);
}

static void pass(uint64_t ms)
{
    mono_ns += ms * 1000000;
    wall_ms += ms;
}

START_TEST(it_starts_at_the_wall_clock_or_at_the_machines_if_that_is_later)
{
    ck_assert_uint_eq(timekeeper_now_ms(&t), 1000000);
    timekeeper_open(&t, &fake);
    timekeeper_lead(&t, 2000000);
    ck_assert_uint_eq(timekeeper_now_ms(&t), 2000000);
}
END_TEST

START_TEST(a_new_leader_goes_on_from_the_time_it_was_told_whatever_its_clock_says)
{
    timekeeper_open(&t, &fake);
    ck_assert_uint_eq(timekeeper_known_ms(&t), 0);
    timekeeper_hear(&t, 500);
    pass(40);
    timekeeper_hear(&t, 510); /* late on the way */
    ck_assert_uint_eq(timekeeper_known_ms(&t), 540);
    timekeeper_lead(&t, 100);
    ck_assert_uint_eq(timekeeper_now_ms(&t), 540);
    pass(20);
    ck_assert_uint_eq(timekeeper_now_ms(&t), 560);
    timekeeper_hear(&t, 5000000); /* a leader takes nobody's word */
    ck_assert_uint_eq(timekeeper_now_ms(&t), 560);
    timekeeper_follow(&t);
    pass(1000);
    ck_assert_uint_eq(timekeeper_known_ms(&t), 1560);
    timekeeper_lead(&t, 1600);
    ck_assert_uint_eq(timekeeper_now_ms(&t), 1600);
}
END_TEST

START_TEST(a_follower_that_runs_ahead_is_called_back)
{
    timekeeper_open(&t, &fake);
    timekeeper_hear(&t, 9000000);
    timekeeper_hear(&t, 7000);
    ck_assert_uint_eq(timekeeper_known_ms(&t), 7000);
}
END_TEST

START_TEST(it_follows_a_clock_that_runs_true)
{
    for (int i = 0; i < 1000; i++) {
        pass(7);
        ck_assert_uint_eq(timekeeper_now_ms(&t), wall_ms);
    }
}
END_TEST

START_TEST(a_wall_clock_set_forward_hardly_speeds_it_up)
{
    wall_ms += 3600000;
    uint64_t before = timekeeper_now_ms(&t);
    for (int i = 0; i < 1000; i++) {
        pass(10);
        timekeeper_now_ms(&t);
    }
    uint64_t passed = timekeeper_now_ms(&t) - before;
    ck_assert_uint_ge(passed, 10000);
    ck_assert_uint_le(passed, 10005);
}
END_TEST

START_TEST(a_wall_clock_set_back_slows_it_down_and_never_turns_it_back)
{
    wall_ms -= 900000;
    uint64_t last = timekeeper_now_ms(&t);
    uint64_t first = last;
    for (int i = 0; i < 10000; i++) {
        pass(1);
        uint64_t now = timekeeper_now_ms(&t);
        ck_assert_uint_ge(now, last);
        last = now;
    }
    ck_assert_uint_ge(last - first, 9500);
    ck_assert_uint_le(last - first, 10000);
}
END_TEST

START_TEST(it_meets_the_wall_clock_again)
{
    wall_ms += 5;
    for (int i = 0; i < 1100; i++) {
        pass(10);
        timekeeper_now_ms(&t);
    }
    ck_assert_uint_eq(timekeeper_now_ms(&t), wall_ms);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("timekeeper");
    TCase *c = tcase_create("timekeeper");
    tcase_add_checked_fixture(c, setup, NULL);
    tcase_add_test(c, it_starts_at_the_wall_clock_or_at_the_machines_if_that_is_later);
    tcase_add_test(c, a_new_leader_goes_on_from_the_time_it_was_told_whatever_its_clock_says);
    tcase_add_test(c, a_follower_that_runs_ahead_is_called_back);
    tcase_add_test(c, it_follows_a_clock_that_runs_true);
    tcase_add_test(c, a_wall_clock_set_forward_hardly_speeds_it_up);
    tcase_add_test(c, a_wall_clock_set_back_slows_it_down_and_never_turns_it_back);
    tcase_add_test(c, it_meets_the_wall_clock_again);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
