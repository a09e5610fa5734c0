#include "dispatch/window.h"

#include <check.h>
#include <stdlib.h>

/* One round: as many requests as the window allows leave, and all are answered after `us`. */
static void round_of(struct window *w, uint64_t us)
{
    uint32_t size = window_size(w);
    uint64_t first = 0;
    for (uint32_t i = 0; i < size; i++) {
        uint64_t request = window_leave(w);
        first = i == 0 ? request : first;
    }
    for (uint32_t i = 0; i < size; i++)
        window_success(w, first + i, us, true);
}

START_TEST(slow_start_doubles_the_window_each_round)
{
    struct window w;
    window_open(&w, 1000);
    ck_assert_uint_eq(window_size(&w), WINDOW_START);
    round_of(&w, 100);
    ck_assert_uint_eq(window_size(&w), 2 * WINDOW_START);
    round_of(&w, 100);
    ck_assert_uint_eq(window_size(&w), 4 * WINDOW_START);
}
END_TEST

START_TEST(trouble_halves_once_for_all_that_were_out_together)
{
    struct window w;
    window_open(&w, 1000);
    for (int i = 0; i < 4; i++)
        round_of(&w, 100);
    ck_assert_uint_eq(window_size(&w), 64);
    uint64_t first = window_leave(&w);
    for (int i = 1; i < 64; i++)
        window_leave(&w);
    for (uint64_t i = 0; i < 64; i++)
        window_trouble(&w, first + i);
    ck_assert_uint_eq(window_size(&w), 32);
    window_trouble(&w, window_leave(&w));
    ck_assert_uint_eq(window_size(&w), 16);
}
END_TEST

START_TEST(after_trouble_the_window_grows_by_one_a_round)
{
    struct window w;
    window_open(&w, 1000);
    for (int i = 0; i < 4; i++)
        round_of(&w, 100);
    window_trouble(&w, window_leave(&w));
    ck_assert_uint_eq(window_size(&w), 32);
    round_of(&w, 100);
    round_of(&w, 100);
    ck_assert_uint_ge(window_size(&w), 33);
    ck_assert_uint_le(window_size(&w), 34);
}
END_TEST

START_TEST(answers_to_what_left_before_the_trouble_do_not_open_it_again)
{
    struct window w;
    window_open(&w, 1000);
    uint64_t first = window_leave(&w);
    for (int i = 1; i < 50; i++)
        window_leave(&w);
    window_trouble(&w, first);
    uint32_t size = window_size(&w);
    for (uint64_t i = 1; i < 50; i++)
        window_success(&w, first + i, 100, true);
    ck_assert_uint_eq(window_size(&w), size);
}
END_TEST

START_TEST(a_window_that_holds_nothing_back_does_not_grow)
{
    struct window w;
    window_open(&w, 1000);
    for (int i = 0; i < 100; i++)
        window_success(&w, window_leave(&w), 100, false);
    ck_assert_uint_eq(window_size(&w), WINDOW_START);
}
END_TEST

START_TEST(the_window_stays_between_one_and_the_limit)
{
    struct window w;
    window_open(&w, 10);
    for (int i = 0; i < 10; i++)
        round_of(&w, 100);
    ck_assert_uint_eq(window_size(&w), 10);
    for (int i = 0; i < 10; i++)
        window_trouble(&w, window_leave(&w));
    ck_assert_uint_eq(window_size(&w), 1);
    window_set_max(&w, 1);
    round_of(&w, 100);
    ck_assert_uint_eq(window_size(&w), 1);
}
END_TEST

START_TEST(a_rise_of_latency_closes_the_window_but_not_below_its_start)
{
    struct window w;
    window_open(&w, 1000);
    for (int i = 0; i < 5; i++)
        round_of(&w, 10000);
    uint32_t before = window_size(&w);
    ck_assert_uint_eq(before, 128);
    round_of(&w, 100000);
    ck_assert_uint_lt(window_size(&w), before);
    struct window slow;
    window_open(&slow, 1000);
    round_of(&slow, 3000);
    for (int i = 0; i < 3; i++)
        round_of(&slow, 1000000);
    ck_assert_uint_ge(window_size(&slow), WINDOW_START);
}
END_TEST

START_TEST(a_function_that_has_become_slower_for_good_is_not_kept_small)
{
    struct window w;
    window_open(&w, 100000);
    for (int i = 0; i < 5; i++)
        round_of(&w, 10000);
    for (int i = 0; i < 50; i++)
        round_of(&w, 100000);
    uint32_t small = window_size(&w);
    for (int i = 0; i < 100; i++)
        round_of(&w, 100000);
    ck_assert_uint_gt(window_size(&w), small);
}
END_TEST

START_TEST(after_an_outage_it_starts_from_one_and_doubles)
{
    struct window w;
    window_open(&w, 1000);
    for (int i = 0; i < 6; i++)
        round_of(&w, 100);
    window_restart(&w);
    ck_assert_uint_eq(window_size(&w), 1);
    for (int i = 0; i < 3; i++)
        round_of(&w, 100);
    ck_assert_uint_eq(window_size(&w), 8);
}
END_TEST

START_TEST(a_higher_maximum_has_effect_before_the_next_answer)
{
    struct window w;
    window_open(&w, 1);
    window_set_max(&w, 3);
    ck_assert_uint_eq(window_size(&w), 3);
    window_set_max(&w, 100);
    ck_assert_uint_eq(window_size(&w), WINDOW_START);
    window_trouble(&w, window_leave(&w));
    ck_assert_uint_eq(window_size(&w), WINDOW_START / 2);
    window_set_max(&w, 200); /* it was not the maximum that held it */
    ck_assert_uint_eq(window_size(&w), WINDOW_START / 2);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("window");
    TCase *c = tcase_create("window");
    tcase_set_timeout(c, 300); /* against hanging for ever, not a measure */
    tcase_add_test(c, slow_start_doubles_the_window_each_round);
    tcase_add_test(c, trouble_halves_once_for_all_that_were_out_together);
    tcase_add_test(c, after_trouble_the_window_grows_by_one_a_round);
    tcase_add_test(c, answers_to_what_left_before_the_trouble_do_not_open_it_again);
    tcase_add_test(c, a_window_that_holds_nothing_back_does_not_grow);
    tcase_add_test(c, the_window_stays_between_one_and_the_limit);
    tcase_add_test(c, a_rise_of_latency_closes_the_window_but_not_below_its_start);
    tcase_add_test(c, a_function_that_has_become_slower_for_good_is_not_kept_small);
    tcase_add_test(c, after_an_outage_it_starts_from_one_and_doubles);
    tcase_add_test(c, a_higher_maximum_has_effect_before_the_next_answer);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
