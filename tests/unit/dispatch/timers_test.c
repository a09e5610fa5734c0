#include "dispatch/timers.h"

#include <check.h>
#include <stdlib.h>

enum { HOUR_MS = 3600000 };

static uv_loop_t loop;
static struct timers timers;
static uint64_t now_ms;
static int fired;

static uint64_t monotonic_ns(void *context)
{
    (void)context;
    return now_ms * 1000000;
}

static void on_round(struct timers *t)
{
    (void)t;
}

static void on_fire(struct timer *t)
{
    (void)t;
    fired++;
    uv_stop(&loop);
}

static void setup(void)
{
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    now_ms = 1000;
    fired = 0;
    timers_open(&timers, &loop, (struct clock){.monotonic_ns = monotonic_ns}, on_round);
}

static void teardown(void)
{
    timers_close(&timers, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}

/* While the machine sleeps its clock goes on, and libuv's stands still. */
START_TEST(what_was_due_while_the_machine_slept_fires_soon_after)
{
    struct timer t = {.fire = on_fire};
    timers_arm(&timers, &t, now_ms + HOUR_MS);
    now_ms += HOUR_MS;
    ck_assert_uint_le(uv_timer_get_due_in(&timers.uv), TIMERS_LOOK_MS);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(fired, 1);
    ck_assert(!timers_armed(&t));
    ck_assert(!uv_is_active((uv_handle_t *)&timers.uv));
}
END_TEST

START_TEST(nothing_fires_before_its_time)
{
    struct timer t = {.fire = on_fire};
    timers_arm(&timers, &t, now_ms + HOUR_MS);
    for (int i = 0; i < 2; i++) { /* looks, and is to look again */
        ck_assert_uint_le(uv_timer_get_due_in(&timers.uv), TIMERS_LOOK_MS);
        uv_run(&loop, UV_RUN_ONCE);
    }
    ck_assert_int_eq(fired, 0);
    ck_assert(uv_is_active((uv_handle_t *)&timers.uv));
    timers_disarm(&timers, &t);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("timers");
    TCase *c = tcase_create("timers");
    tcase_set_timeout(c, 300); /* against hanging for ever, not a measure */
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, what_was_due_while_the_machine_slept_fires_soon_after);
    tcase_add_test(c, nothing_fires_before_its_time);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
