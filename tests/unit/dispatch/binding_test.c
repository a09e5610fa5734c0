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
    fixture_turns(&f);
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
    fixture_fill_held(&f, 10, "");
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
    fixture_fill_held(&f, 10, "");
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

START_TEST(when_the_function_is_deleted_what_is_leased_goes_back_and_nothing_more_is)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    fixture_start(&f);
    fixture_fill_held(&f, 10, "");
    dispatcher_function_deleted(f.d, fixture_function);
    f.source->hold = false;
    fake_let_go(f.source);
    RUN_UNTIL(&f, f.source->messages[9].returns == 1);
    uint32_t leases = f.source->leases;
    fixture_fill(&f, 10, "");
    fixture_turns(&f);
    ck_assert_uint_eq(f.source->leases, leases);
    ck_assert_uint_eq(f.web.requests, 0);
    fixture_close(&f);
}
END_TEST

/* The requests that were out when the function was deleted are answered with what the test says. */
static const struct {
    int status;
    const char *body;
    uint32_t acked;
} last_answers[] = {
    {200, "", 10},
    {500, "no", 0},
    {429, "", 0},
    {200, "{\"batchItemFailures\":[{\"itemIdentifier\":\"message-3\"}]}", 9},
};

static void answer_told_in_a_while(struct web_connection *c)
{
    struct fixture *f = fixture_of(c->server);
    struct buffer out = {0};
    buffer_printf(&out, "HTTP/1.1 %d Whatever\r\nContent-Length: %zu\r\n\r\n%s", f->status, strlen(f->body), f->body);
    web_put(c, out.data, out.len);
    buffer_close(&out);
    web_done(c);
}

static void answer_told_slowly(struct web_server *s, struct web_request *r)
{
    (void)s;
    web_later(r->connection, 20, answer_told_in_a_while);
}

START_TEST(when_the_function_is_deleted_only_a_success_of_what_is_out_still_counts)
{
    struct fixture f;
    fixture_open(&f, answer_told_slowly);
    f.status = last_answers[_i].status;
    f.body = last_answers[_i].body;
    fixture_start(&f);
    fixture_fill(&f, 10, "");
    RUN_UNTIL(&f, f.web.requests == 1);
    dispatcher_function_deleted(f.d, fixture_function);
    RUN_UNTIL(&f, f.source->out == 0);
    ck_assert_uint_eq(f.source->acked, last_answers[_i].acked);
    for (uint32_t i = 0; i < 10; i++)
        ck_assert_uint_eq(f.source->messages[i].failures, 0);
    ck_assert_uint_eq(f.web.requests, 1);
    fixture_close(&f);
}
END_TEST

START_TEST(a_function_created_anew_under_the_name_begins_afresh)
{
    struct fixture f;
    fixture_open(&f, keep_headers);
    web_stop(&f.web);
    fixture_start(&f);
    fixture_fill(&f, 3, "");
    RUN_UNTIL(&f, fixture_info(&f).state == DISPATCHER_OPEN && f.source->out == 0);
    dispatcher_function_deleted(f.d, fixture_function);
    web_listen(&f.web);
    struct quota *quota = quota_create(fixture_function, NULL, NULL);
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/anew", f.web.port);
    f.function.url = url;
    dispatcher_function_changed(f.d, fixture_function, &f.function, quota);
    struct dispatcher_info info = fixture_info(&f);
    ck_assert_uint_eq(info.attempt_count, 0);
    ck_assert_str_eq(info.last_error, "");
    RUN_UNTIL(&f, f.source->acked == 3);
    ck_assert_ptr_nonnull(strstr(f.seen, "POST /anew "));
    ck_assert_uint_eq(fixture_info(&f).delivered_total, 3);
    fixture_close(&f);
    quota_unref(quota);
}
END_TEST

START_TEST(after_a_window_that_found_nothing_the_next_batch_has_one_again)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    fixture_window(&f, 20);
    fixture_start(&f);
    f.source->hold = true;
    fixture_fill(&f, 3, "");
    uv_run(&f.loop, UV_RUN_NOWAIT);
    for (uint32_t i = 0; i < 3; i++)
        f.source->messages[i].state = FAKE_ACKED; /* somebody else has consumed them */
    fake_let_go(f.source);
    while (uv_backend_timeout(&f.loop) != -1)
        uv_run(&f.loop, UV_RUN_ONCE);
    uint32_t leases = f.source->leases;
    f.binding.window_ms = 300000;
    fixture_bind_to(&f, QUEUE, fixture_function);
    fixture_fill(&f, 3, "");
    fixture_turns(&f);
    ck_assert_uint_eq(f.source->leases, leases);
    fixture_fill(&f, 7, "");
    RUN_UNTIL(&f, f.source->acked == 10);
    ck_assert_uint_eq(f.web.requests, 1);
    fixture_close(&f);
}
END_TEST

START_TEST(a_queue_bound_before_its_function_is_known_is_delivered_once_it_is)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    fixture_start(&f);
    dispatcher_unbind(f.d, QUEUE);
    dispatcher_bind(f.d, &(struct dispatcher_binding){.queue = QUEUE,
                                                      .queue_name = "a:r:jobs",
                                                      .queue_arn = "arn:aws:sqs:r:a:jobs",
                                                      .function = fixture_function});
    fixture_fill(&f, 3, "");
    fixture_turns(&f);
    ck_assert_uint_eq(f.source->leases, 0);
    fixture_change(&f, &f.function);
    RUN_UNTIL(&f, f.source->acked == 3);
    fixture_close(&f);
}
END_TEST

static void add(TCase *c)
{
    tcase_add_test(c, a_paused_binding_leases_nothing_until_it_is_resumed);
    tcase_add_test(c, what_is_leased_for_a_queue_that_is_unbound_goes_back);
    tcase_add_test(c, a_queue_bound_to_another_function_delivers_nothing_more_to_the_old_one);
    tcase_add_test(c, requests_that_are_out_are_settled_after_the_queue_is_unbound);
    tcase_add_test(c, when_the_function_is_deleted_what_is_leased_goes_back_and_nothing_more_is);
    tcase_add_loop_test(c, when_the_function_is_deleted_only_a_success_of_what_is_out_still_counts, 0,
                        sizeof last_answers / sizeof last_answers[0]);
    tcase_add_test(c, a_function_created_anew_under_the_name_begins_afresh);
    tcase_add_test(c, after_a_window_that_found_nothing_the_next_batch_has_one_again);
    tcase_add_test(c, a_queue_bound_before_its_function_is_known_is_delivered_once_it_is);
}

int main(void)
{
    return fixture_main("binding", add);
}
