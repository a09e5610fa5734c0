#include "dispatch/suspects.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct suspects known;

static void setup(void)
{
    memset(&known, 0, sizeof known);
}

static void teardown(void)
{
    suspects_close(&known);
}

START_TEST(while_nobody_is_answered_nobody_is_guilty)
{
    for (int round = 0; round < 100; round++)
        for (uint64_t m = 1; m <= 300; m++)
            ck_assert(!suspects_silent(&known, 1, m, 5, SUSPECT_BROKEN));
}
END_TEST

static bool breaks(uint64_t sequence, uint64_t answers)
{
    suspects_request(&known, 1, 0);
    return suspects_silent(&known, 1, sequence, answers, SUSPECT_BROKEN);
}

/* All that was out when the endpoint went down, though others were answered meanwhile. */
START_TEST(what_is_out_when_an_outage_begins_is_not_guilty)
{
    for (uint64_t m = 1; m <= 16; m++)
        ck_assert(!breaks(m, 100));
    for (int round = 0; round < 100; round++)
        for (uint64_t m = 1; m <= 20; m++)
            ck_assert(!breaks(m, 100));
}
END_TEST

/* One that was guilty before is excused while others come to nothing, too, and not when only it does. */
START_TEST(an_outage_does_not_count_against_a_guilty_one)
{
    ck_assert(!breaks(1, 5));
    ck_assert(breaks(1, 6));
    ck_assert(breaks(1, 6)); /* it is the only one */
    for (int round = 0; round < 100; round++) {
        ck_assert(!breaks(2, 6));
        ck_assert(!breaks(3, 6));
        ck_assert(!breaks(1, 6));
    }
    suspects_clear(&known, 1, 2);
    suspects_clear(&known, 1, 3);
    ck_assert(breaks(1, 9));
    ck_assert(breaks(1, 9));
}
END_TEST

/* Members of a batch that came to nothing: what others were answered before each was tried alone says nothing of it. */
START_TEST(what_was_answered_before_it_was_alone_is_no_evidence)
{
    suspects_request(&known, 2, 0);
    ck_assert(!suspects_silent(&known, 1, 1, 5, SUSPECT_BROKEN));
    ck_assert(!suspects_silent(&known, 1, 2, 5, SUSPECT_BROKEN));
    suspects_request(&known, 2, 0);
    ck_assert(!suspects_silent(&known, 1, 1, 9, SUSPECT_BROKEN));
    ck_assert(!suspects_silent(&known, 1, 2, 9, SUSPECT_BROKEN));
    ck_assert(!breaks(1, 9));
    ck_assert(!breaks(2, 9));
    ck_assert(breaks(1, 10));
}
END_TEST

START_TEST(who_got_no_answer_before_and_after_others_did_is_guilty)
{
    ck_assert(!suspects_silent(&known, 1, 1, 5, SUSPECT_BROKEN));
    ck_assert(!suspects_silent(&known, 1, 2, 5, SUSPECT_BROKEN));
    ck_assert(suspects_silent(&known, 1, 1, 8, SUSPECT_BROKEN));
    ck_assert(suspects_silent(&known, 1, 1, 8, SUSPECT_BROKEN));
    ck_assert(!suspects_silent(&known, 2, 1, 8, SUSPECT_BROKEN));
}
END_TEST

static bool times_out(uint64_t sequence)
{
    suspects_request(&known, 1, 0);
    return suspects_silent(&known, 1, sequence, 5, SUSPECT_TIMED_OUT);
}

START_TEST(who_is_alone_and_times_out_again_and_again_is_guilty_in_the_end)
{
    ck_assert(!times_out(2)); /* before */
    for (int i = 0; i < SUSPECTS_TIMEOUTS; i++) {
        ck_assert(!times_out(1));
        suspects_request(&known, 1, 0);
        ck_assert(!suspects_silent(&known, 1, 1, 5, SUSPECT_BROKEN));
    }
    ck_assert(times_out(1));
    ck_assert(suspects_silent(&known, 1, 1, 5, SUSPECT_BROKEN));
    suspects_clear(&known, 1, 1);
    ck_assert(!times_out(1));
}
END_TEST

START_TEST(while_an_endpoint_hangs_for_all_nobody_is_guilty)
{
    for (int round = 0; round < 1000; round++)
        for (uint64_t m = 1; m <= 3; m++)
            ck_assert(!times_out(m));
    suspects_request(&known, 1, 0);
    ck_assert(suspects_silent(&known, 1, 1, 6, SUSPECT_TIMED_OUT)); /* others are answered again */
}
END_TEST

START_TEST(those_that_time_out_together_are_not_guilty_by_that)
{
    for (int i = 0; i < 10; i++) {
        suspects_request(&known, 10, 0);
        for (uint64_t m = 1; m <= 10; m++)
            ck_assert(!suspects_silent(&known, 1, m, 5, SUSPECT_TIMED_OUT));
    }
    for (int i = 0; i < SUSPECTS_TIMEOUTS; i++)
        ck_assert(!times_out(1));
    ck_assert(times_out(1));
}
END_TEST

/* A proxy's word that it got no answer: of the message or of what is behind it. */
START_TEST(while_nobody_is_answered_a_gateway_s_word_makes_nobody_guilty)
{
    /* The first was out while the last answers came. */
    for (int i = 0; i < 1000; i++)
        ck_assert(!suspects_silent(&known, 1, 1, 5, SUSPECT_GATEWAY));
}
END_TEST

START_TEST(who_has_the_gateway_s_word_again_and_again_while_others_are_answered_is_guilty)
{
    ck_assert(!suspects_silent(&known, 1, 1, 0, SUSPECT_GATEWAY));
    for (uint64_t i = 1; i <= SUSPECTS_GATEWAYS; i++) {
        ck_assert(!suspects_silent(&known, 1, 1, i, SUSPECT_GATEWAY));
        ck_assert(!suspects_silent(&known, 1, 1, i, SUSPECT_GATEWAY));
        ck_assert(!suspects_silent(&known, 1, 2, 0, SUSPECT_GATEWAY));
    }
    ck_assert(suspects_silent(&known, 1, 1, 10, SUSPECT_GATEWAY));
    ck_assert(suspects_silent(&known, 1, 1, 10, SUSPECT_GATEWAY));
    suspects_clear(&known, 1, 1);
    ck_assert(!suspects_silent(&known, 1, 1, 11, SUSPECT_GATEWAY));
}
END_TEST

START_TEST(what_came_to_nothing_with_others_is_guilty_only_by_itself)
{
    enum suspect_sign sign = _i == 0 ? SUSPECT_BROKEN : SUSPECT_TIMED_OUT;
    uint32_t together = 10;
    for (uint64_t answers = 5; together > 1; answers++) {
        suspects_request(&known, together, 0);
        for (uint64_t m = 1; m <= together; m++)
            ck_assert(!suspects_silent(&known, 1, m, answers, sign));
        ck_assert_uint_eq(suspect_next(suspects_find(&known, 1, 1)), together / 2);
        together /= 2;
    }
    suspects_request(&known, 1, 0);
    ck_assert(suspects_silent(&known, 1, 1, 9, sign));
    ck_assert(!suspects_find(&known, 1, 2)->guilty);
    ck_assert_uint_eq(suspect_next(suspects_find(&known, 1, 1)), 1);
    ck_assert_ptr_null(suspects_find(&known, 1, 99));
}
END_TEST

enum { BEGIN_MS = 1000, STEP_MS = 5000 };

START_TEST(who_is_alone_without_an_answer_for_too_long_is_guilty_though_nobody_is_answered)
{
    enum suspect_sign sign = _i == 0 ? SUSPECT_BROKEN : SUSPECT_GATEWAY;
    for (uint64_t ms = 0; ms <= SUSPECTS_ALONE_MS; ms += STEP_MS) {
        suspects_request(&known, 1, BEGIN_MS + ms);
        ck_assert(!suspects_silent(&known, 1, 1, 5, sign));
    }
    suspects_request(&known, 1, BEGIN_MS + SUSPECTS_ALONE_MS + STEP_MS);
    ck_assert(!suspects_silent(&known, 1, 2, 5, sign));
    ck_assert(suspects_silent(&known, 1, 1, 5, sign));
}
END_TEST

START_TEST(time_with_others_or_without_a_try_is_not_time_alone)
{
    for (uint64_t ms = 0; ms <= 2 * SUSPECTS_ALONE_MS; ms += STEP_MS) {
        suspects_request(&known, 2, BEGIN_MS + ms);
        ck_assert(!suspects_silent(&known, 1, 1, 5, SUSPECT_BROKEN));
    }
    for (uint64_t i = 0; i <= SUSPECTS_ALONE_MS / SUSPECTS_GAP_MS; i++) {
        suspects_request(&known, 1, BEGIN_MS + (2 + i) * 2 * SUSPECTS_ALONE_MS);
        ck_assert(!suspects_silent(&known, 1, 1, 5, SUSPECT_BROKEN));
    }
}
END_TEST

START_TEST(an_answer_clears_the_suspicion)
{
    ck_assert(!suspects_silent(&known, 1, 1, 5, SUSPECT_BROKEN));
    suspects_clear(&known, 1, 1);
    suspects_clear(&known, 1, 99);
    ck_assert(!suspects_silent(&known, 1, 1, 9, SUSPECT_BROKEN));
}
END_TEST

/* It is not how long they are known but when they came to nothing last. */
START_TEST(only_the_last_are_remembered)
{
    for (uint64_t m = 1; m <= SUSPECTS_MAX; m++)
        ck_assert(!breaks(m, 0));
    ck_assert(!breaks(1, 0));
    ck_assert(!breaks(10000, 0));
    ck_assert_uint_eq(suspects_count(&known), SUSPECTS_MAX);
    ck_assert_ptr_null(suspects_find(&known, 1, 2));
    ck_assert(breaks(1, 1));
    ck_assert(!breaks(2, 1));
}
END_TEST

static bool is_odd(void *ctx, uint64_t queue, uint64_t sequence)
{
    ++*(unsigned *)ctx;
    return queue == 1 && sequence % 2 == 1;
}

START_TEST(what_is_gone_is_forgotten_and_not_looked_for_too_often)
{
    unsigned looks = 0;
    suspects_keep(&known, 1, is_odd, &looks);
    for (uint64_t m = 1; m <= 10; m++)
        ck_assert(!breaks(m, 0));
    suspects_keep(&known, BEGIN_MS, is_odd, &looks);
    ck_assert_uint_eq(looks, 10);
    ck_assert_uint_eq(suspects_count(&known), 5);
    ck_assert_ptr_null(suspects_find(&known, 1, 2));
    ck_assert_ptr_nonnull(suspects_find(&known, 1, 9));
    suspects_keep(&known, BEGIN_MS + SUSPECTS_LOOK_MS - 1, is_odd, &looks);
    ck_assert_uint_eq(looks, 10);
    suspects_keep(&known, BEGIN_MS + SUSPECTS_LOOK_MS, is_odd, &looks);
    ck_assert_uint_eq(looks, 15);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("suspects");
    TCase *c = tcase_create("suspects");
    tcase_set_timeout(c, 300); /* against hanging for ever, not a measure */
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, while_nobody_is_answered_nobody_is_guilty);
    tcase_add_test(c, what_is_out_when_an_outage_begins_is_not_guilty);
    tcase_add_test(c, an_outage_does_not_count_against_a_guilty_one);
    tcase_add_test(c, what_was_answered_before_it_was_alone_is_no_evidence);
    tcase_add_test(c, who_got_no_answer_before_and_after_others_did_is_guilty);
    tcase_add_test(c, who_is_alone_and_times_out_again_and_again_is_guilty_in_the_end);
    tcase_add_test(c, while_an_endpoint_hangs_for_all_nobody_is_guilty);
    tcase_add_test(c, those_that_time_out_together_are_not_guilty_by_that);
    tcase_add_test(c, while_nobody_is_answered_a_gateway_s_word_makes_nobody_guilty);
    tcase_add_test(c, who_has_the_gateway_s_word_again_and_again_while_others_are_answered_is_guilty);
    tcase_add_loop_test(c, what_came_to_nothing_with_others_is_guilty_only_by_itself, 0, 2);
    tcase_add_loop_test(c, who_is_alone_without_an_answer_for_too_long_is_guilty_though_nobody_is_answered, 0, 2);
    tcase_add_test(c, time_with_others_or_without_a_try_is_not_time_alone);
    tcase_add_test(c, an_answer_clears_the_suspicion);
    tcase_add_test(c, only_the_last_are_remembered);
    tcase_add_test(c, what_is_gone_is_forgotten_and_not_looked_for_too_often);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
