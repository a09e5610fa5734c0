#include "net/alarm.h"

#include <check.h>
#include <stdlib.h>

static struct loop loop;
static struct alarms alarms;
static char rung[16];
static size_t rings;

struct named {
    struct alarm alarm;
    char name;
};

static void finish(void)
{
    alarms_close(&alarms);
    loop_stop(&loop);
}

static void ring(struct alarm *a)
{
    ck_assert_uint_lt(rings, sizeof rung - 1);
    rung[rings++] = CONTAINER_OF(a, struct named, alarm)->name;
}

static void ring_last(struct alarm *a)
{
    ring(a);
    finish();
}

static void open_all(void)
{
    struct error e = {0};
    ck_assert_int_eq(loop_open(&loop, 0, &e), ERR_OK);
    alarms_open(&alarms, &loop);
}

static void run_all(void)
{
    loop_run(&loop);
    loop_close(&loop);
}

START_TEST(alarms_ring_in_the_order_of_their_times_and_ties_in_the_order_set)
{
    struct named a = {.name = 'a'}, b = {.name = 'b'}, c = {.name = 'c'}, z = {.name = 'z'};
    open_all();
    alarm_set(&alarms, &z.alarm, 60, ring_last);
    alarm_set(&alarms, &c.alarm, 30, ring);
    alarm_set(&alarms, &a.alarm, 0, ring);
    alarm_set(&alarms, &b.alarm, 0, ring);
    run_all();
    ck_assert_str_eq(rung, "abcz");
}
END_TEST

START_TEST(a_cleared_alarm_does_not_ring_and_a_moved_one_rings_once)
{
    struct named a = {.name = 'a'}, b = {.name = 'b'}, z = {.name = 'z'};
    open_all();
    alarm_set(&alarms, &a.alarm, 1, ring);
    alarm_set(&alarms, &b.alarm, 1, ring);
    alarm_set(&alarms, &z.alarm, 40, ring_last);
    alarm_clear(&alarms, &a.alarm);
    alarm_clear(&alarms, &a.alarm);
    alarm_set(&alarms, &b.alarm, 20, ring);
    run_all();
    ck_assert_str_eq(rung, "bz");
}
END_TEST

static struct named other = {.name = 'o'};

static void ring_and_clear_other(struct alarm *a)
{
    ring(a);
    alarm_clear(&alarms, &other.alarm);
}

static int left = 3;

static void ring_again(struct alarm *a)
{
    ring(a);
    if (--left > 0)
        alarm_set(&alarms, a, 0, ring_again);
    else
        finish();
}

START_TEST(an_alarm_that_rings_may_clear_its_neighbour_and_set_itself)
{
    struct named a = {.name = 'a'}, b = {.name = 'b'};
    open_all();
    alarm_set(&alarms, &a.alarm, 1, ring_and_clear_other);
    alarm_set(&alarms, &other.alarm, 1, ring);
    alarm_set(&alarms, &b.alarm, 20, ring_again);
    run_all();
    ck_assert_str_eq(rung, "abbb");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("alarm");
    TCase *t = tcase_create("alarm");
    tcase_add_test(t, alarms_ring_in_the_order_of_their_times_and_ties_in_the_order_set);
    tcase_add_test(t, a_cleared_alarm_does_not_ring_and_a_moved_one_rings_once);
    tcase_add_test(t, an_alarm_that_rings_may_clear_its_neighbour_and_set_itself);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
