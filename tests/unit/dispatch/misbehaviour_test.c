#include "dispatch/dispatcher.h"

#include "dispatch/fixture.h"
#include "dispatch/suspects.h"

START_TEST(a_silent_endpoint_costs_no_receive)
{
    struct fixture f;
    fixture_open(&f, answer_nothing);
    fixture_timeout(&f, 100);
    fixture_start(&f);
    fixture_fill(&f, 40, "");
    RUN_UNTIL(&f, fixture_info(&f).state == DISPATCHER_OPEN && f.source->out == 0);
    /* Two probes more, so that no message is tried more often than it may be. */
    for (int i = 0; i < 2; i++) {
        uint32_t leases = f.source->leases;
        RUN_UNTIL(&f, f.source->leases > leases && f.source->out == 0 && f.source->asked_count == 0);
    }
    for (uint32_t i = 0; i < 40; i++)
        ck_assert_uint_eq(f.source->messages[i].failures, 0);
    f.web.answer = answer_as_told;
    RUN_UNTIL(&f, f.source->acked == 40);
    fixture_close(&f);
}
END_TEST

/* The body "0" hangs the function; others are answered. */
static void answer_all_but_the_first(struct web_server *s, struct web_request *r)
{
    (void)s;
    if (r->body.len == 1 && r->body.data[0] == '0')
        return;
    web_reply(r, 200, "", "");
}

static void set_timeout(struct fixture *f, uint64_t ms)
{
    fixture_timeout(f, ms);
    fixture_change(f, &f->function);
}

/* Lets the first message be tried once more, and time out. What is asked for meanwhile waits, and is sent with time
 * enough; the first is kept from it. */
static void let_the_first_time_out(struct fixture *f)
{
    struct fake_message *first = &f->source->messages[0];
    uint32_t requests = f->web.requests;
    set_timeout(f, 100);
    first->due_ns = 0;
    fake_let_go(f->source);
    RUN_UNTIL(f, f->web.requests > requests);
    f->source->hold = true;
    RUN_UNTIL(f, f->source->out == 0);
    ck_assert_ptr_nonnull(strstr(first->error, "no answer in time"));
    first->state = FAKE_DELAYED; /* also when it has come due already */
    first->due_ns = UINT64_MAX;
    set_timeout(f, 300000);
    fake_let_go(f->source);
}

START_TEST(a_message_that_hangs_the_function_while_others_pass_is_counted)
{
    struct fixture f;
    fixture_open(&f, answer_all_but_the_first);
    f.function.format = HATO__FORMAT__RAW;
    fixture_start(&f);
    fixture_fill(&f, 1, "");
    struct fake_message *first = &f.source->messages[0];
    let_the_first_time_out(&f);
    ck_assert_uint_eq(first->failures, 0);
    for (uint32_t i = 1; i < 20; i++)
        fake_put(f.source, QUEUE, "", "another");
    dispatcher_wake(f.d, QUEUE);
    RUN_UNTIL(&f, f.source->acked == 19);
    for (uint32_t failures = 1; failures <= 3; failures++) {
        let_the_first_time_out(&f);
        ck_assert_uint_eq(first->failures, failures);
    }
    for (uint32_t i = 1; i < 20; i++)
        ck_assert_uint_eq(f.source->messages[i].receive_count, 1);
    fixture_close(&f);
}
END_TEST

/* The body "0" kills the process: everything in flight dies with it, and it is back at once. */
static void die_at_the_first(struct web_server *s, struct web_request *r)
{
    if (r->body.len != 1 || r->body.data[0] != '0') {
        web_reply(r, 200, "", "");
        return;
    }
    while (!list_empty(&s->connections))
        web_reset(CONTAINER_OF(list_first(&s->connections), struct web_connection, link));
}

START_TEST(a_message_that_kills_the_function_is_counted_and_holds_nobody_up)
{
    struct fixture f;
    fixture_open(&f, die_at_the_first);
    f.function.format = HATO__FORMAT__RAW;
    fixture_concurrency(&f, 1);
    fixture_start(&f);
    fixture_fill(&f, 20, "");
    RUN_UNTIL(&f, f.source->acked == 19 && f.source->messages[0].failures >= 2);
    for (uint32_t i = 1; i < 20; i++)
        ck_assert_uint_eq(f.source->messages[i].failures, 0);
    fixture_close(&f);
}
END_TEST

/* The body "0" kills the worker behind a proxy, which says so. */
static void answer_as_a_proxy(struct web_server *s, struct web_request *r)
{
    struct fixture *f = fixture_of(s);
    bool kills = r->body.len == 1 && r->body.data[0] == '0';
    web_reply(r, kills ? f->status : 200, "", "");
}

START_TEST(a_message_that_kills_the_function_behind_a_proxy_is_counted_in_the_end)
{
    struct fixture f;
    fixture_open(&f, answer_as_a_proxy);
    f.function.format = HATO__FORMAT__RAW;
    f.status = _i == 0 ? 502 : 504;
    fixture_start(&f);
    fixture_fill(&f, 20, "");
    struct fake_message *m = &f.source->messages[0];
    while (m->failures < 2) {
        uint32_t tries = m->failures + m->returns;
        fake_put(f.source, QUEUE, "", "another");
        dispatcher_wake(f.d, QUEUE);
        RUN_UNTIL(&f, f.source->acked == f.source->count - 1 && m->failures + m->returns > tries);
        ck_assert_uint_lt(f.source->count, 40);
    }
    ck_assert_uint_ge(m->returns, 3);
    ck_assert_uint_eq(m->status, (unsigned)f.status);
    for (uint32_t i = 1; i < f.source->count; i++)
        ck_assert_uint_eq(f.source->messages[i].receive_count, 1);
    fixture_close(&f);
}
END_TEST

/* It answers until the endpoint behind it goes down, in the middle of things. */
static void answer_as_a_proxy_that_loses_its_endpoint(struct web_server *s, struct web_request *r)
{
    struct fixture *f = fixture_of(s);
    web_reply(r, s->requests <= 10 ? 200 : f->status, "", "");
}

START_TEST(a_proxy_whose_endpoint_goes_down_costs_no_receive_however_often_it_says_so)
{
    struct fixture f;
    fixture_open(&f, answer_as_a_proxy_that_loses_its_endpoint);
    f.function.format = HATO__FORMAT__RAW;
    f.status = _i == 0 ? 502 : 504;
    fixture_start(&f);
    fixture_fill(&f, 12, "");
    RUN_UNTIL(&f, f.source->acked == 10 && fixture_info(&f).returned_total >= 8);
    f.web.answer = answer_as_told;
    f.status = 200;
    RUN_UNTIL(&f, f.source->acked == 12);
    for (uint32_t i = 0; i < 12; i++)
        ck_assert_uint_eq(f.source->messages[i].receive_count, 1);
    fixture_close(&f);
}
END_TEST

START_TEST(a_message_that_is_alone_and_always_times_out_is_counted_after_a_few_tries)
{
    struct fixture f;
    fixture_open(&f, answer_nothing);
    fixture_timeout(&f, 100);
    fixture_start(&f);
    fixture_fill(&f, 1, "");
    struct fake_message *m = &f.source->messages[0];
    RUN_UNTIL(&f, m->failures == 2);
    ck_assert_uint_ge(m->returns, SUSPECTS_TIMEOUTS);
    ck_assert_ptr_nonnull(strstr(m->error, "no answer in time"));
    fixture_close(&f);
}
END_TEST

static void drop_it(struct web_server *s, struct web_request *r)
{
    (void)s;
    web_reset(r->connection);
}

/* As a proxy does while what is behind it is down. */
START_TEST(an_endpoint_that_drops_every_connection_costs_no_receive_however_often)
{
    struct fixture f;
    fixture_open(&f, drop_it);
    fixture_start(&f);
    fixture_fill(&f, 1, "");
    RUN_UNTIL(&f, f.source->messages[0].returns == 6);
    ck_assert_uint_eq(f.source->messages[0].failures, 0);
    f.web.answer = answer_as_told;
    RUN_UNTIL(&f, f.source->acked == 1);
    fixture_close(&f);
}
END_TEST

static void trickle(struct web_connection *c)
{
    web_put(c, "x", 1);
    web_later(c, 10, trickle);
}

static void answer_by_drops(struct web_server *s, struct web_request *r)
{
    (void)s;
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
    web_put(r->connection, head, sizeof head - 1);
    web_later(r->connection, 10, trickle);
}

START_TEST(an_answer_that_trickles_is_cut_off_at_the_timeout)
{
    struct fixture f;
    fixture_open(&f, answer_by_drops);
    fixture_timeout(&f, 150);
    fixture_start(&f);
    fixture_fill(&f, 1, "");
    /* Where it takes longer than that to connect, it is said to be not reachable, and tried again. */
    RUN_UNTIL(&f, strstr(f.source->messages[0].error, "no answer in time") != NULL);
    ck_assert_uint_eq(f.source->messages[0].failures, 0);
    fixture_close(&f);
}
END_TEST

static const char *const broken_answers[] = {
    "",                                                             /* closes without a word */
    "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort",         /* promises more than it gives */
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", /* ends within a chunk */
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",  /* no chunk */
    "HTTP/1.1 200 OK\r\nContent-Le",                                /* ends within the headers */
    "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nCont",      /* the same, behind some that were whole */
    "SSH-2.0-OpenSSH_9.2\r\n",                                      /* speaks something else */
};

static void answer_broken(struct web_server *s, struct web_request *r)
{
    struct fixture *f = fixture_of(s);
    if (s->requests == 1) {
        web_put(r->connection, f->body, strlen(f->body));
        web_finish(r->connection);
    } else {
        web_reply(r, 200, "", "");
    }
}

START_TEST(an_answer_that_is_not_whole_is_no_answer)
{
    struct fixture f;
    fixture_open(&f, answer_broken);
    f.body = broken_answers[_i];
    fixture_start(&f);
    fixture_fill(&f, 1, "");
    RUN_UNTIL(&f, f.source->acked == 1);
    ck_assert_uint_eq(f.source->messages[0].returns, 1);
    ck_assert_uint_eq(f.source->messages[0].failures, 0);
    ck_assert_ptr_nonnull(strstr(f.source->messages[0].error, "no whole answer"));
    fixture_close(&f);
}
END_TEST

static const char *const odd_answers[] = {
    /* with trailers behind the body */
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\n{}\r\n0\r\nX-Sum: 1\r\n\r\n",
    /* with hints before it */
    "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
};

static void answer_oddly(struct web_server *s, struct web_request *r)
{
    struct fixture *f = fixture_of(s);
    web_put(r->connection, f->body, strlen(f->body));
    web_done(r->connection);
}

START_TEST(an_answer_that_is_whole_though_odd_is_an_answer)
{
    struct fixture f;
    fixture_open(&f, answer_oddly);
    f.body = odd_answers[_i];
    fixture_start(&f);
    fixture_fill(&f, 1, "");
    RUN_UNTIL(&f, f.source->acked + f.source->messages[0].returns == 1);
    ck_assert_uint_eq(f.source->acked, 1);
    fixture_close(&f);
}
END_TEST

static void pour(struct web_connection *c)
{
    static char block[256 * 1024];
    if (uv_stream_get_write_queue_size((uv_stream_t *)&c->tcp) < 1024 * 1024)
        web_put(c, block, sizeof block);
    web_later(c, 1, pour);
}

static void answer_without_end(struct web_server *s, struct web_request *r)
{
    (void)s;
    static const char head[] = "HTTP/1.1 200 OK\r\n\r\n";
    web_put(r->connection, head, sizeof head - 1);
    pour(r->connection);
}

START_TEST(an_answer_without_end_is_stopped_and_a_success_when_nothing_in_it_matters)
{
    struct fixture f;
    fixture_open(&f, answer_without_end);
    f.function.format = HATO__FORMAT__RAW;
    fixture_start(&f);
    fixture_fill(&f, 1, "");
    RUN_UNTIL(&f, f.source->acked == 1);
    struct dispatcher_info info = fixture_info(&f);
    ck_assert_uint_eq(info.attempts[0].answer.len, DISPATCHER_ANSWER_KEPT);
    fixture_close(&f);
}
END_TEST

START_TEST(an_answer_without_end_is_a_failure_where_it_would_name_failures)
{
    struct fixture f;
    fixture_open(&f, answer_without_end);
    fixture_start(&f);
    fixture_fill(&f, 1, "");
    RUN_UNTIL(&f, f.source->messages[0].failures == 1);
    ck_assert_ptr_nonnull(strstr(f.source->messages[0].error, "larger than 6 MiB"));
    fixture_close(&f);
}
END_TEST

static void answer_first_at_length(struct web_server *s, struct web_request *r)
{
    static char body[64 * 1024];
    memset(body, ' ', sizeof body - 1);
    web_reply(r, 200, "", s->requests == 1 ? body : "");
}

START_TEST(an_answer_for_which_the_answers_of_others_leave_no_room_costs_no_receive)
{
    struct fixture f;
    fixture_open(&f, answer_first_at_length);
    f.options.answers_max = 32 * 1024;
    fixture_start(&f);
    fixture_fill(&f, 1, "");
    RUN_UNTIL(&f, f.source->acked == 1);
    ck_assert_uint_eq(f.source->messages[0].failures, 0);
    ck_assert_uint_eq(f.source->messages[0].returns, 1);
    ck_assert_uint_eq(f.source->messages[0].receive_count, 1);
    ck_assert_ptr_nonnull(strstr(f.source->messages[0].error, "together would exceed 32768 bytes"));
    fixture_close(&f);
}
END_TEST

static void pour_headers(struct web_connection *c)
{
    static const char line[] = "X-More: and more and more and more and more and more and more and more and more\r\n";
    for (int i = 0; i < 100 && uv_stream_get_write_queue_size((uv_stream_t *)&c->tcp) < 1024 * 1024; i++)
        web_put(c, line, sizeof line - 1);
    web_later(c, 1, pour_headers);
}

static void answer_headers_without_end(struct web_server *s, struct web_request *r)
{
    struct fixture *f = fixture_of(s);
    char head[64];
    web_put(r->connection, head, (size_t)snprintf(head, sizeof head, "HTTP/1.1 %d Whatever\r\n", f->status));
    pour_headers(r->connection);
}

START_TEST(headers_without_end_are_stopped)
{
    struct fixture f;
    fixture_open(&f, answer_headers_without_end);
    f.status = _i;
    fixture_start(&f);
    fixture_fill(&f, 1, "");
    RUN_UNTIL(&f, f.source->messages[0].failures == 1);
    fixture_close(&f);
}
END_TEST

START_TEST(settings_that_can_not_be_used_lease_nothing_and_say_why)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    char *secret = (char *)(uintptr_t) "whsec_short";
    f.function.n_secrets = 1;
    f.function.secrets = &secret;
    fixture_start(&f);
    fixture_fill(&f, 3, "");
    fixture_turns(&f);
    ck_assert_uint_eq(f.source->leases, 0);
    ck_assert_ptr_nonnull(strstr(fixture_info(&f).last_error, "secret"));
    ck_assert_ptr_null(strstr(fixture_info(&f).last_error, "short"));
    f.function.n_secrets = 0;
    fixture_change(&f, &f.function);
    RUN_UNTIL(&f, f.source->acked == 3);
    fixture_close(&f);
}
END_TEST

START_TEST(a_message_that_can_not_be_decoded_fails_alone)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    fixture_fill(&f, 3, "");
    struct fake_message *bad = &f.source->messages[1];
    buffer_clear(&bad->encoded);
    buffer_put(&bad->encoded, "\x0a\xff\xff\xff", 4);
    fixture_start(&f);
    RUN_UNTIL(&f, f.source->acked == 2 && bad->failures >= 2);
    ck_assert_str_eq(bad->error, "the message can't be decoded");
    fixture_close(&f);
}
END_TEST

static void add(TCase *c)
{
    tcase_add_test(c, a_silent_endpoint_costs_no_receive);
    tcase_add_test(c, a_message_that_hangs_the_function_while_others_pass_is_counted);
    tcase_add_test(c, a_message_that_kills_the_function_is_counted_and_holds_nobody_up);
    tcase_add_loop_test(c, a_message_that_kills_the_function_behind_a_proxy_is_counted_in_the_end, 0, 2);
    tcase_add_loop_test(c, a_proxy_whose_endpoint_goes_down_costs_no_receive_however_often_it_says_so, 0, 2);
    tcase_add_test(c, a_message_that_is_alone_and_always_times_out_is_counted_after_a_few_tries);
    tcase_add_test(c, an_endpoint_that_drops_every_connection_costs_no_receive_however_often);
    tcase_add_test(c, an_answer_that_trickles_is_cut_off_at_the_timeout);
    tcase_add_loop_test(c, an_answer_that_is_not_whole_is_no_answer, 0,
                        sizeof broken_answers / sizeof broken_answers[0]);
    tcase_add_loop_test(c, an_answer_that_is_whole_though_odd_is_an_answer, 0,
                        sizeof odd_answers / sizeof odd_answers[0]);
    tcase_add_test(c, an_answer_without_end_is_stopped_and_a_success_when_nothing_in_it_matters);
    tcase_add_test(c, an_answer_without_end_is_a_failure_where_it_would_name_failures);
    tcase_add_test(c, an_answer_for_which_the_answers_of_others_leave_no_room_costs_no_receive);
    tcase_add_loop_test(c, headers_without_end_are_stopped, 500, 501);
    tcase_add_loop_test(c, headers_without_end_are_stopped, 200, 201);
    tcase_add_test(c, settings_that_can_not_be_used_lease_nothing_and_say_why);
    tcase_add_test(c, a_message_that_can_not_be_decoded_fails_alone);
}

int main(void)
{
    return fixture_main("misbehaviour", add);
}
