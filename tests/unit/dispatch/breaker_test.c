#include "dispatch/breaker.h"

#include <check.h>
#include <stdlib.h>

static struct random chance;
static struct breaker b;

static void setup(void)
{
    random_open(&chance, 7);
    b = (struct breaker){0};
}

static void teardown(void)
{
}

/* Opens it at `now`. */
static void fall(uint64_t now)
{
    for (int i = 0; i < BREAKER_TROUBLES; i++)
        breaker_trouble(&b, false, now, 0, true, &chance);
    ck_assert_int_eq(b.state, BREAKER_OPEN);
}

START_TEST(it_opens_only_after_several_troubles_in_a_row)
{
    for (int round = 0; round < 5; round++) {
        for (int i = 1; i < BREAKER_TROUBLES; i++)
            ck_assert(!breaker_trouble(&b, false, 0, 0, true, &chance));
        ck_assert(breaker_allows(&b, 0));
        breaker_answered(&b, false);
    }
    for (int i = 1; i < BREAKER_TROUBLES; i++)
        ck_assert(!breaker_trouble(&b, false, 0, 0, true, &chance));
    ck_assert(breaker_trouble(&b, false, 0, 0, true, &chance));
    ck_assert(!breaker_allows(&b, 0));
}
END_TEST

START_TEST(half_open_one_probe_is_out_and_it_alone_decides)
{
    fall(1000);
    ck_assert(!breaker_allows(&b, b.retry_at_ms - 1));
    ck_assert(breaker_allows(&b, b.retry_at_ms));
    ck_assert(breaker_leave(&b));
    ck_assert(!breaker_allows(&b, b.retry_at_ms));
    ck_assert(!breaker_answered(&b, false));
    ck_assert(!breaker_trouble(&b, false, 2000, 0, true, &chance));
    ck_assert_int_eq(b.state, BREAKER_HALF_OPEN);
    ck_assert(breaker_answered(&b, true));
    ck_assert(breaker_allows(&b, 2000));
    ck_assert(!breaker_leave(&b));
}
END_TEST

START_TEST(a_probe_that_came_to_nothing_leaves_its_place_to_another)
{
    fall(0);
    ck_assert(breaker_allows(&b, b.retry_at_ms));
    ck_assert(breaker_leave(&b));
    breaker_unprobed(&b);
    ck_assert(breaker_allows(&b, b.retry_at_ms));
    ck_assert(breaker_leave(&b));
}
END_TEST

START_TEST(the_wait_doubles_up_to_its_cap)
{
    uint64_t now = 0;
    fall(now);
    uint64_t want = BREAKER_WAIT_MIN_MS;
    for (int i = 0; i < 12; i++) {
        uint64_t wait = b.retry_at_ms - now;
        ck_assert_uint_ge(wait, want / 2);
        ck_assert_uint_le(wait, want);
        now = b.retry_at_ms;
        ck_assert(breaker_allows(&b, now));
        ck_assert(breaker_leave(&b));
        breaker_trouble(&b, true, now, 0, true, &chance);
        want = want * 2 < BREAKER_WAIT_MAX_MS ? want * 2 : BREAKER_WAIT_MAX_MS;
    }
}
END_TEST

START_TEST(who_falls_again_soon_is_probed_less_often_and_who_keeps_answering_is_forgiven)
{
    uint64_t now = 0;
    fall(now);
    for (int i = 0; i < 6; i++) {
        now = b.retry_at_ms;
        breaker_allows(&b, now);
        breaker_leave(&b);
        breaker_trouble(&b, true, now, 0, true, &chance);
    }
    now = b.retry_at_ms;
    breaker_allows(&b, now);
    breaker_leave(&b);
    breaker_answered(&b, true);
    fall(now);
    ck_assert_uint_gt(b.retry_at_ms - now, 1000);
    now = b.retry_at_ms;
    breaker_allows(&b, now);
    breaker_leave(&b);
    breaker_answered(&b, true);
    for (int i = 0; i < 10; i++)
        breaker_answered(&b, false);
    fall(now);
    ck_assert_uint_le(b.retry_at_ms - now, BREAKER_WAIT_MIN_MS);
}
END_TEST

START_TEST(being_told_to_wait_opens_at_once_for_as_long_as_told)
{
    ck_assert(breaker_trouble(&b, false, 100, 30000, true, &chance));
    ck_assert_uint_eq(b.retry_at_ms, 30100);
    /* A shorter word does not cut it, an answer to what left earlier does not end it. */
    ck_assert(!breaker_trouble(&b, false, 200, 1000, true, &chance));
    breaker_answered(&b, false);
    ck_assert_uint_eq(b.retry_at_ms, 30100);
    ck_assert(!breaker_allows(&b, 30099));
    ck_assert(breaker_allows(&b, 30100));
}
END_TEST

START_TEST(a_wait_beyond_all_measure_is_cut)
{
    breaker_trouble(&b, false, 0, UINT64_MAX, true, &chance);
    ck_assert_uint_eq(b.retry_at_ms, BREAKER_WAIT_TOLD_MAX_MS);
}
END_TEST

START_TEST(gone_holds_for_long_and_ends_with_an_answer)
{
    breaker_gone(&b, 50);
    ck_assert(b.gone);
    ck_assert_uint_eq(b.retry_at_ms, 50 + BREAKER_WAIT_GONE_MS);
    ck_assert(breaker_allows(&b, b.retry_at_ms));
    breaker_leave(&b);
    breaker_answered(&b, true);
    ck_assert(!b.gone);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("breaker");
    TCase *c = tcase_create("breaker");
    tcase_set_timeout(c, 300); /* against hanging for ever, not a measure */
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, it_opens_only_after_several_troubles_in_a_row);
    tcase_add_test(c, half_open_one_probe_is_out_and_it_alone_decides);
    tcase_add_test(c, a_probe_that_came_to_nothing_leaves_its_place_to_another);
    tcase_add_test(c, the_wait_doubles_up_to_its_cap);
    tcase_add_test(c, who_falls_again_soon_is_probed_less_often_and_who_keeps_answering_is_forgiven);
    tcase_add_test(c, being_told_to_wait_opens_at_once_for_as_long_as_told);
    tcase_add_test(c, a_wait_beyond_all_measure_is_cut);
    tcase_add_test(c, gone_holds_for_long_and_ends_with_an_answer);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
