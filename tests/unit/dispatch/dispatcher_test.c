#include "dispatch/dispatcher.h"

#include "dispatch/fixture.h"

/* ------------------------------------------------------------------ does anything get through at all? */

START_TEST(messages_of_a_queue_reach_the_function_and_are_acked)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    fixture_start(&f);
    fixture_fill(&f, 25, "");
    RUN_UNTIL(&f, f.source->acked == 25);
    ck_assert_uint_eq(f.web.requests, 3);
    struct dispatcher_info info = fixture_info(&f);
    ck_assert_uint_eq(info.delivered_total, 25);
    ck_assert_uint_eq(info.failed_total, 0);
    ck_assert_str_eq(info.last_error, "");
    ck_assert_int_eq(info.state, DISPATCHER_IDLE);
    ck_assert_uint_eq(info.attempt_count, 3);
    ck_assert_uint_eq(info.attempts[0].status, 200);
    ck_assert_str_eq(info.attempts[0].queue, "000000000000:us-east-1:jobs");
    fixture_close(&f);
}
END_TEST

START_TEST(messages_that_were_there_before_the_binding_are_delivered)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    fixture_fill(&f, 3, "");
    fixture_start(&f);
    RUN_UNTIL(&f, f.source->acked == 3);
    fixture_close(&f);
}
END_TEST

START_TEST(raw_sends_one_message_a_request_as_it_is)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    f.function.format = HATO__FORMAT__RAW;
    fixture_start(&f);
    fixture_fill(&f, 150, "");
    RUN_UNTIL(&f, f.source->acked == 150);
    ck_assert_uint_eq(f.web.requests, 150);
    ck_assert_uint_lt(f.source->leases, 150);
    fixture_close(&f);
}
END_TEST

START_TEST(connections_are_used_again)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    fixture_concurrency(&f, 2);
    fixture_start(&f);
    for (uint32_t i = 0; i < 20; i++) {
        fixture_fill(&f, 10, "");
        RUN_UNTIL(&f, f.source->acked == 10 * (i + 1));
    }
    ck_assert_uint_le(f.web.accepted, 2);
    fixture_close(&f);
}
END_TEST

START_TEST(an_idle_dispatcher_holds_no_timer_and_asks_nothing)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    fixture_start(&f);
    fixture_fill(&f, 5, "");
    RUN_UNTIL(&f, f.source->acked == 5);
    fixture_turns(&f);
    uint32_t leases = f.source->leases;
    /* libcurl's own last timer may still be there; after it, only the listening and kept sockets keep the loop. */
    while (uv_backend_timeout(&f.loop) != -1)
        uv_run(&f.loop, UV_RUN_ONCE);
    ck_assert_uint_eq(f.source->leases, leases);
    ck_assert(!dispatcher_busy(f.d));
    fixture_close(&f);
}
END_TEST

/* ------------------------------------------------------------------ closing */

START_TEST(closing_returns_what_is_out_uncounted_and_each_message_once)
{
    struct fixture f;
    fixture_open(&f, answer_nothing);
    fixture_start(&f);
    fixture_fill(&f, 100, "");
    RUN_UNTIL(&f, f.web.requests == 4);
    uint32_t out = f.source->out;
    ck_assert_uint_eq(out, 40);
    fixture_close_dispatcher(&f);
    ck_assert_uint_eq(f.source->out, 0);
    ck_assert_uint_eq(f.source->batches, 0);
    uint32_t returned = 0;
    for (uint32_t i = 0; i < 100; i++) {
        ck_assert_uint_eq(f.source->messages[i].failures, 0);
        ck_assert_uint_eq(f.source->messages[i].receive_count, 0);
        returned += f.source->messages[i].returns;
    }
    ck_assert_uint_eq(returned, out);
    fixture_close(&f);
}
END_TEST

START_TEST(closing_waits_for_leases_that_were_asked_for)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    fixture_start(&f);
    f.source->hold = true;
    fixture_fill(&f, 30, "");
    RUN_UNTIL(&f, f.source->asked_count == 3);
    struct dispatcher *d = f.d;
    f.d = NULL;
    f.source->dispatcher = NULL;
    dispatcher_close(d, fixture_closed, &f);
    fixture_turns(&f);
    ck_assert(!f.closed);
    fake_let_go(f.source);
    RUN_UNTIL(&f, f.closed);
    ck_assert_uint_eq(f.web.requests, 0);
    for (uint32_t i = 0; i < 30; i++) {
        ck_assert_int_eq(f.source->messages[i].state, FAKE_READY);
        ck_assert_uint_eq(f.source->messages[i].receive_count, 0);
    }
    fixture_close(&f);
}
END_TEST

START_TEST(closing_while_the_breaker_is_open_or_a_batch_waits_leaves_nothing_behind)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    web_stop(&f.web);
    fixture_start(&f);
    fixture_fill(&f, 10, "");
    RUN_UNTIL(&f, fixture_info(&f).state == DISPATCHER_OPEN && f.source->out == 0);
    fixture_close(&f);

    fixture_open(&f, answer_as_told);
    fixture_window(&f, 300000);
    fixture_start(&f);
    fixture_fill(&f, 1, "");
    uv_run(&f.loop, UV_RUN_NOWAIT);
    uv_run(&f.loop, UV_RUN_NOWAIT);
    fixture_close(&f);
}
END_TEST

START_TEST(draining_leases_nothing_more_and_ends_when_requests_do)
{
    struct fixture f;
    fixture_open(&f, answer_slowly);
    fixture_start(&f);
    fixture_fill(&f, 100, "");
    RUN_UNTIL(&f, f.web.requests == 4);
    dispatcher_drain(f.d);
    ck_assert(dispatcher_busy(f.d));
    RUN_UNTIL(&f, !dispatcher_busy(f.d));
    ck_assert_uint_eq(f.source->acked, 40);
    fixture_close(&f);
}
END_TEST

START_TEST(what_is_leased_when_draining_begins_goes_back_unsent)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    fixture_start(&f);
    fixture_fill_held(&f, 10, "");
    dispatcher_drain(f.d);
    fake_let_go(f.source);
    RUN_UNTIL(&f, !dispatcher_busy(f.d));
    ck_assert_uint_eq(f.source->messages[9].returns, 1);
    ck_assert_uint_eq(f.web.requests, 0);
    fixture_close(&f);
}
END_TEST

static void add(TCase *c)
{
    tcase_add_test(c, messages_of_a_queue_reach_the_function_and_are_acked);
    tcase_add_test(c, messages_that_were_there_before_the_binding_are_delivered);
    tcase_add_test(c, raw_sends_one_message_a_request_as_it_is);
    tcase_add_test(c, connections_are_used_again);
    tcase_add_test(c, an_idle_dispatcher_holds_no_timer_and_asks_nothing);
    tcase_add_test(c, closing_returns_what_is_out_uncounted_and_each_message_once);
    tcase_add_test(c, closing_waits_for_leases_that_were_asked_for);
    tcase_add_test(c, closing_while_the_breaker_is_open_or_a_batch_waits_leaves_nothing_behind);
    tcase_add_test(c, draining_leases_nothing_more_and_ends_when_requests_do);
    tcase_add_test(c, what_is_leased_when_draining_begins_goes_back_unsent);
}

int main(void)
{
    return fixture_main("dispatcher", add);
}
