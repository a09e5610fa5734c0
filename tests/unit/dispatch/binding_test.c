#include "dispatch/dispatcher.h"

#include "dispatch/fixture.h"

START_TEST(a_paused_binding_leases_nothing_until_it_is_resumed)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    f.binding.has_paused = true;
    f.binding.paused = true;
    fixture_start(&f);
    fixture_fill(&f, 5, "");
    for (int i = 0; i < 5; i++)
        uv_run(&f.loop, UV_RUN_NOWAIT);
    ck_assert_uint_eq(f.source->leases, 0);
    ck_assert_int_eq(fixture_info(&f).state, DISPATCHER_PAUSED);
    f.binding.paused = false;
    fixture_bind_to(&f, QUEUE, fixture_function);
    RUN_UNTIL(&f, f.source->acked == 5);
    fixture_close(&f);
}
END_TEST

START_TEST(what_is_leased_for_a_queue_that_is_unbound_goes_back)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    fixture_start(&f);
    f.source->hold = true;
    fixture_fill(&f, 10, "");
    RUN_UNTIL(&f, f.source->asked_count == 1);
    dispatcher_unbind(f.d, QUEUE);
    fake_let_go(f.source);
    RUN_UNTIL(&f, f.source->messages[9].returns == 1);
    ck_assert_uint_eq(f.web.requests, 0);
    struct dispatcher_info info;
    ck_assert(!dispatcher_info(f.d, fixture_function, &f.arena, &info));
    fixture_close(&f);
}
END_TEST

START_TEST(a_queue_bound_to_another_function_delivers_nothing_more_to_the_old_one)
{
    struct fixture f;
    fixture_open(&f, keep_headers);
    fixture_start(&f);
    f.source->hold = true;
    fixture_fill(&f, 10, "");
    RUN_UNTIL(&f, f.source->asked_count == 1);
    f.path = "/new";
    fixture_bind_to(&f, QUEUE, "000000000000:us-east-1:other");
    fake_let_go(f.source);
    RUN_UNTIL(&f, f.source->acked == 10);
    ck_assert_ptr_nonnull(strstr(f.seen, "POST /new "));
    ck_assert_uint_eq(f.web.requests, 1);
    struct dispatcher_info info;
    ck_assert(!dispatcher_info(f.d, fixture_function, &f.arena, &info));
    ck_assert(dispatcher_info(f.d, "000000000000:us-east-1:other", &f.arena, &info));
    ck_assert_uint_eq(info.delivered_total, 10);
    fixture_close(&f);
}
END_TEST

START_TEST(requests_that_are_out_are_settled_after_the_queue_is_unbound)
{
    struct fixture f;
    fixture_open(&f, answer_slowly);
    fixture_start(&f);
    fixture_fill(&f, 10, "");
    RUN_UNTIL(&f, f.web.requests == 1);
    dispatcher_unbind(f.d, QUEUE);
    RUN_UNTIL(&f, f.source->acked == 10);
    fixture_close(&f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("binding");
    TCase *c = tcase_create("binding");
    tcase_set_timeout(c, 300); /* against hanging for ever, not a measure */
    tcase_add_test(c, a_paused_binding_leases_nothing_until_it_is_resumed);
    tcase_add_test(c, what_is_leased_for_a_queue_that_is_unbound_goes_back);
    tcase_add_test(c, a_queue_bound_to_another_function_delivers_nothing_more_to_the_old_one);
    tcase_add_test(c, requests_that_are_out_are_settled_after_the_queue_is_unbound);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
