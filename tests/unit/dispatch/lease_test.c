#include "dispatch/dispatcher.h"

#include "dispatch/fixture.h"

/* ------------------------------------------------------------------ batches */

START_TEST(a_window_waits_for_a_fuller_batch)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    fixture_window(&f, 300000);
    fixture_start(&f);
    for (int i = 0; i < 3; i++) {
        fixture_fill(&f, 3, "");
        fixture_turns(&f);
        ck_assert_uint_eq(f.source->leases, 0);
    }
    fixture_fill(&f, 1, "");
    RUN_UNTIL(&f, f.source->acked == 10);
    ck_assert_uint_eq(f.web.requests, 1);
    fixture_close(&f);
}
END_TEST

START_TEST(what_is_there_when_the_window_ends_goes)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    fixture_window(&f, 100);
    fixture_start(&f);
    uint64_t before = uv_hrtime();
    fixture_fill(&f, 3, "");
    RUN_UNTIL(&f, f.source->acked == 3);
    ck_assert_uint_ge(uv_hrtime() - before, 95 * 1000000ull);
    ck_assert_uint_eq(f.web.requests, 1);
    fixture_close(&f);
}
END_TEST

START_TEST(a_full_batch_does_not_wait_for_the_window)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    fixture_window(&f, 300000);
    fixture_start(&f);
    fixture_fill(&f, 20, "");
    RUN_UNTIL(&f, f.source->acked == 20);
    ck_assert_uint_eq(f.web.requests, 2);
    fixture_close(&f);
}
END_TEST

/* ------------------------------------------------------------------ leases */

START_TEST(a_lease_is_asked_for_the_timeout_and_a_margin)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    fixture_timeout(&f, 2000);
    fixture_start(&f);
    fixture_fill(&f, 1, "");
    RUN_UNTIL(&f, f.source->acked == 1);
    ck_assert_uint_eq(f.source->visibility_ms, 2000 + DISPATCHER_LEASE_MARGIN_MS);
    fixture_close(&f);
}
END_TEST

static void answer_once_extended(struct web_connection *c)
{
    if (fixture_of(c->server)->source->messages[0].extensions < 3)
        web_later(c, 5, answer_once_extended);
    else
        answer_in_a_while(c);
}

static void answer_extended(struct web_server *s, struct web_request *r)
{
    (void)s;
    answer_once_extended(r->connection);
}

START_TEST(a_lease_is_extended_while_the_request_is_out)
{
    struct fixture f;
    fixture_open(&f, answer_extended);
    f.options.lease_ms = 150;
    fixture_start(&f);
    fixture_fill(&f, 3, "");
    RUN_UNTIL(&f, f.source->acked == 3);
    ck_assert_uint_eq(f.source->visibility_ms, 150);
    ck_assert_uint_eq(f.source->messages[2].extensions, f.source->messages[0].extensions);
    fixture_close(&f);
}
END_TEST

START_TEST(a_source_that_refuses_is_asked_again_later)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    f.source->refuse = ERR_OVERLOADED;
    fixture_start(&f);
    fixture_fill(&f, 3, "");
    RUN_UNTIL(&f, f.source->empty == 2);
    ck_assert_uint_le(f.source->leases, 3);
    f.source->refuse = 0;
    RUN_UNTIL(&f, f.source->acked == 3);
    fixture_close(&f);
}
END_TEST

START_TEST(what_is_leased_when_the_endpoint_falls_goes_back_unsent)
{
    static const char throttle[] = "HTTP/1.1 429 Too Many\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n";
    struct fixture f;
    fixture_open(&f, answer_nothing);
    fixture_start(&f);
    fixture_fill(&f, 1, "");
    RUN_UNTIL(&f, f.web.requests == 1);
    fixture_fill_held(&f, 10, "");
    struct web_connection *c = CONTAINER_OF(list_first(&f.web.connections), struct web_connection, link);
    web_put(c, throttle, sizeof throttle - 1);
    web_done(c);
    RUN_UNTIL(&f, fixture_info(&f).state == DISPATCHER_OPEN);
    fake_let_go(f.source);
    RUN_UNTIL(&f, f.source->messages[9].returns == 1);
    ck_assert_uint_eq(f.web.requests, 1);
    fixture_close(&f);
}
END_TEST

/* A batch was reserved one request; by itself each message needs one. */
START_TEST(a_batch_leased_before_the_format_takes_messages_one_by_one_goes_back_and_comes_so)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    f.source->fifo = _i == 1;
    fixture_start(&f);
    fixture_fill_held(&f, 5, _i == 1 ? "group" : "");
    f.function.format = HATO__FORMAT__RAW;
    fixture_change(&f, &f.function);
    fake_let_go(f.source);
    RUN_UNTIL(&f, f.source->acked == 5);
    ck_assert_uint_eq(f.web.requests, 5);
    for (uint32_t i = 0; i < 5; i++)
        ck_assert_uint_eq(f.source->messages[i].failures, 0);
    fixture_close(&f);
}
END_TEST

START_TEST(messages_leased_one_by_one_go_together_when_the_format_takes_batches_by_then)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    f.function.format = HATO__FORMAT__RAW;
    fixture_concurrency(&f, 2);
    fixture_start(&f);
    fixture_fill_held(&f, 2, "");
    f.function.format = HATO__FORMAT__LAMBDA;
    fixture_change(&f, &f.function);
    fake_let_go(f.source);
    RUN_UNTIL(&f, f.source->acked == 2);
    ck_assert_uint_eq(f.web.requests, 1);
    /* The permit that was not needed is there again. */
    ck_assert_uint_eq(quota_take(f.quota, 1, 2, 2), 2);
    fixture_close(&f);
}
END_TEST

static void add(TCase *c)
{
    tcase_add_test(c, a_window_waits_for_a_fuller_batch);
    tcase_add_test(c, what_is_there_when_the_window_ends_goes);
    tcase_add_test(c, a_full_batch_does_not_wait_for_the_window);
    tcase_add_test(c, a_lease_is_asked_for_the_timeout_and_a_margin);
    tcase_add_test(c, a_lease_is_extended_while_the_request_is_out);
    tcase_add_test(c, a_source_that_refuses_is_asked_again_later);
    tcase_add_test(c, what_is_leased_when_the_endpoint_falls_goes_back_unsent);
    tcase_add_loop_test(c, a_batch_leased_before_the_format_takes_messages_one_by_one_goes_back_and_comes_so, 0, 2);
    tcase_add_test(c, messages_leased_one_by_one_go_together_when_the_format_takes_batches_by_then);
}

int main(void)
{
    return fixture_main("lease", add);
}
