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
            ck_assert(!suspects_silent(&known, 1, m, 5, 5, SUSPECT_BROKEN));
}
END_TEST

START_TEST(who_got_no_answer_while_others_did_is_guilty_at_once)
{
    ck_assert(suspects_silent(&known, 1, 1, 5, 6, SUSPECT_BROKEN));
}
END_TEST

START_TEST(who_got_no_answer_before_and_after_others_did_is_guilty)
{
    ck_assert(!suspects_silent(&known, 1, 1, 5, 5, SUSPECT_BROKEN));
    ck_assert(!suspects_silent(&known, 1, 2, 5, 5, SUSPECT_BROKEN));
    ck_assert(suspects_silent(&known, 1, 1, 8, 8, SUSPECT_BROKEN));
    ck_assert(suspects_silent(&known, 1, 1, 8, 8, SUSPECT_BROKEN));
    ck_assert(!suspects_silent(&known, 2, 1, 8, 8, SUSPECT_BROKEN));
}
END_TEST

static bool times_out(uint64_t sequence)
{
    suspects_request(&known);
    return suspects_silent(&known, 1, sequence, 5, 5, SUSPECT_TIMED_OUT);
}

START_TEST(who_is_alone_and_times_out_again_and_again_is_guilty_in_the_end)
{
    ck_assert(!times_out(2)); /* before */
    for (int i = 0; i < SUSPECTS_TIMEOUTS; i++) {
        ck_assert(!times_out(1));
        suspects_request(&known);
        ck_assert(!suspects_silent(&known, 1, 1, 5, 5, SUSPECT_BROKEN));
    }
    ck_assert(times_out(1));
    ck_assert(suspects_silent(&known, 1, 1, 5, 5, SUSPECT_BROKEN));
    suspects_clear(&known, 1, 1);
    ck_assert(!times_out(1));
}
END_TEST

START_TEST(while_an_endpoint_hangs_for_all_nobody_is_guilty)
{
    for (int round = 0; round < 1000; round++)
        for (uint64_t m = 1; m <= 3; m++)
            ck_assert(!times_out(m));
    suspects_request(&known);
    ck_assert(suspects_silent(&known, 1, 1, 6, 6, SUSPECT_TIMED_OUT)); /* others are answered again */
}
END_TEST

START_TEST(those_that_always_time_out_together_are_no_comparison)
{
    for (int i = 0; i <= SUSPECTS_TIMEOUTS; i++) {
        suspects_request(&known);
        for (uint64_t m = 1; m <= 10; m++)
            ck_assert(suspects_silent(&known, 1, m, 5, 5, SUSPECT_TIMED_OUT) == (i == SUSPECTS_TIMEOUTS));
    }
}
END_TEST

/* A proxy's word that it got no answer: of the message or of what is behind it. */
START_TEST(while_nobody_is_answered_a_gateway_s_word_makes_nobody_guilty)
{
    /* The first was out while the last answers came. */
    for (int i = 0; i < 1000; i++)
        ck_assert(!suspects_silent(&known, 1, 1, 4, 5, SUSPECT_GATEWAY));
}
END_TEST

START_TEST(who_has_the_gateway_s_word_again_and_again_while_others_are_answered_is_guilty)
{
    for (uint64_t i = 1; i <= SUSPECTS_GATEWAYS; i++) {
        ck_assert(!suspects_silent(&known, 1, 1, i - 1, i, SUSPECT_GATEWAY));
        ck_assert(!suspects_silent(&known, 1, 1, i, i, SUSPECT_GATEWAY));
        ck_assert(!suspects_silent(&known, 1, 2, 0, 0, SUSPECT_GATEWAY));
    }
    ck_assert(suspects_silent(&known, 1, 1, 10, 10, SUSPECT_GATEWAY));
    ck_assert(suspects_silent(&known, 1, 1, 10, 10, SUSPECT_GATEWAY));
    suspects_clear(&known, 1, 1);
    ck_assert(!suspects_silent(&known, 1, 1, 10, 11, SUSPECT_GATEWAY));
}
END_TEST

START_TEST(an_answer_clears_the_suspicion)
{
    ck_assert(!suspects_silent(&known, 1, 1, 5, 5, SUSPECT_BROKEN));
    suspects_clear(&known, 1, 1);
    suspects_clear(&known, 1, 99);
    ck_assert(!suspects_silent(&known, 1, 1, 9, 9, SUSPECT_BROKEN));
}
END_TEST

START_TEST(only_so_many_are_remembered)
{
    ck_assert(!suspects_silent(&known, 1, 1, 0, 0, SUSPECT_BROKEN));
    for (uint64_t m = 2; m <= SUSPECTS_MAX; m++)
        suspects_silent(&known, 1, m, 0, 0, SUSPECT_BROKEN);
    ck_assert(suspects_silent(&known, 1, 1, 1, 1, SUSPECT_BROKEN));
    suspects_silent(&known, 1, 1000, 1, 1, SUSPECT_BROKEN);
    ck_assert(!suspects_silent(&known, 1, 1, 1, 1, SUSPECT_BROKEN));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("suspects");
    TCase *c = tcase_create("suspects");
    tcase_set_timeout(c, 300); /* against hanging for ever, not a measure */
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, while_nobody_is_answered_nobody_is_guilty);
    tcase_add_test(c, who_got_no_answer_while_others_did_is_guilty_at_once);
    tcase_add_test(c, who_got_no_answer_before_and_after_others_did_is_guilty);
    tcase_add_test(c, who_is_alone_and_times_out_again_and_again_is_guilty_in_the_end);
    tcase_add_test(c, while_an_endpoint_hangs_for_all_nobody_is_guilty);
    tcase_add_test(c, those_that_always_time_out_together_are_no_comparison);
    tcase_add_test(c, while_nobody_is_answered_a_gateway_s_word_makes_nobody_guilty);
    tcase_add_test(c, who_has_the_gateway_s_word_again_and_again_while_others_are_answered_is_guilty);
    tcase_add_test(c, an_answer_clears_the_suspicion);
    tcase_add_test(c, only_so_many_are_remembered);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
