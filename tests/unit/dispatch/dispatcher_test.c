#include "dispatch/dispatcher.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

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
    f.function.has_max_concurrency = true;
    f.function.max_concurrency = 2;
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
    for (int i = 0; i < 3; i++)
        uv_run(&f.loop, UV_RUN_NOWAIT);
    uint32_t leases = f.source->leases;
    /* libcurl's own last timer may still be there; after it, only the listening and kept sockets keep the loop. */
    while (uv_backend_timeout(&f.loop) != -1)
        uv_run(&f.loop, UV_RUN_ONCE);
    ck_assert_uint_eq(f.source->leases, leases);
    ck_assert(!dispatcher_busy(f.d));
    fixture_close(&f);
}
END_TEST

/* ------------------------------------------------------------------ answers */

static void keep_headers(struct web_server *s, struct web_request *r)
{
    struct fixture *f = fixture_of(s);
    snprintf(f->seen, sizeof f->seen, "%s\r\n%.1500s", r->line, r->headers);
    web_reply(r, 200, "", "");
}

/* The first request gets what the fixture says, later ones 200. */
static void answer_first_as_told(struct web_server *s, struct web_request *r)
{
    struct fixture *f = fixture_of(s);
    if (s->requests == 1)
        web_reply(r, f->status, f->headers, f->body);
    else
        web_reply(r, 200, "", "");
}

static const struct {
    int status;
    bool counted;
} statuses[] = {{200, false}, {204, false}, {301, true},  {302, true},  {307, true},  {400, true},
                {401, true},  {403, true},  {404, true},  {408, true},  {409, true},  {422, true},
                {429, false}, {500, true},  {501, true},  {502, false}, {503, false}, {504, false},
                {505, true},  {522, false}, {526, false}, {599, true}};

START_TEST(a_status_decides_whether_the_receive_counts)
{
    struct fixture f;
    fixture_open(&f, answer_first_as_told);
    f.status = statuses[_i].status;
    f.body = "so \x01 \xff it\nis";
    f.headers = f.status >= 300 && f.status < 400 ? "Location: http://127.0.0.1:1/elsewhere\r\n" : "";
    fixture_start(&f);
    fixture_fill(&f, 1, "");
    RUN_UNTIL(&f, f.source->acked == 1);
    struct fake_message *m = &f.source->messages[0];
    bool ok = f.status < 300;
    ck_assert_uint_eq(m->failures, statuses[_i].counted ? 1 : 0);
    ck_assert_uint_eq(m->returns, ok || statuses[_i].counted ? 0 : 1);
    ck_assert_uint_eq(f.web.requests, ok ? 1 : 2);
    if (!ok) {
        char want[64];
        snprintf(want, sizeof want, "HTTP %d: so   ? it is", f.status);
        ck_assert_str_eq(m->error, want);
        ck_assert_uint_eq(m->status, (unsigned)f.status);
        if (statuses[_i].counted)
            ck_assert_uint_ge(m->delay_ms, 1);
        else
            ck_assert_uint_eq(m->delay_ms, 0);
        ck_assert_str_eq(fixture_info(&f).last_error, want);
    }
    fixture_close(&f);
}
END_TEST

START_TEST(a_gone_endpoint_costs_nothing_and_is_shown_as_gone)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    f.status = 410;
    fixture_start(&f);
    fixture_fill(&f, 30, "");
    RUN_UNTIL(&f, fixture_info(&f).state == DISPATCHER_GONE && f.source->out == 0);
    ck_assert_uint_eq(fixture_info(&f).failed_total, 0);
    for (uint32_t i = 0; i < 30; i++)
        ck_assert_uint_eq(f.source->messages[i].receive_count, 0);
    /* New settings are the cure. */
    f.status = 200;
    dispatcher_function_changed(f.d, fixture_function, &f.function);
    RUN_UNTIL(&f, f.source->acked == 30);
    fixture_close(&f);
}
END_TEST

START_TEST(a_failing_message_waits_longer_each_time)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    f.status = 500;
    f.function.retry_min_ms = 2;
    f.function.retry_max_ms = 16;
    fixture_start(&f);
    fixture_fill(&f, 1, "");
    struct fake_message *m = &f.source->messages[0];
    for (uint32_t n = 1; n <= 6; n++) {
        RUN_UNTIL(&f, m->failures == n);
        uint64_t top = 2u << n;
        ck_assert_uint_ge(m->delay_ms, 2);
        ck_assert_uint_le(m->delay_ms, top < 16 ? top : 16);
    }
    f.status = 200;
    RUN_UNTIL(&f, f.source->acked == 1);
    ck_assert_uint_eq(fixture_info(&f).failed_total, 6);
    fixture_close(&f);
}
END_TEST

START_TEST(retry_after_of_a_failed_message_is_its_delay)
{
    struct fixture f;
    fixture_open(&f, answer_first_as_told);
    f.status = 500;
    f.headers = "Retry-After: 1\r\n";
    fixture_start(&f);
    fixture_fill(&f, 1, "");
    RUN_UNTIL(&f, f.source->messages[0].failures == 1);
    ck_assert_uint_eq(f.source->messages[0].delay_ms, 1000);
    RUN_UNTIL(&f, f.source->acked == 1);
    fixture_close(&f);
}
END_TEST

START_TEST(retry_after_of_a_throttling_endpoint_holds_everything_back)
{
    struct fixture f;
    fixture_open(&f, answer_first_as_told);
    f.status = 429;
    f.headers = "Retry-After: 1\r\n";
    fixture_start(&f);
    fixture_fill(&f, 1, "");
    uint64_t before = uv_hrtime();
    RUN_UNTIL(&f, f.source->messages[0].returns == 1);
    struct dispatcher_info info = fixture_info(&f);
    ck_assert_int_eq(info.state, DISPATCHER_OPEN);
    ck_assert_uint_gt(info.retry_at_ms, 0);
    uint32_t leases = f.source->leases;
    fixture_fill(&f, 20, "");
    RUN_UNTIL(&f, f.source->leases > leases);
    ck_assert_uint_ge(uv_hrtime() - before, 990 * 1000000ull);
    RUN_UNTIL(&f, f.source->acked == 21);
    ck_assert_uint_eq(fixture_info(&f).failed_total, 0);
    fixture_close(&f);
}
END_TEST

/* ------------------------------------------------------------------ an endpoint that is down */

START_TEST(while_the_endpoint_is_down_nothing_is_leased_and_no_receive_counted_and_delivery_resumes)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    web_stop(&f.web);
    fixture_start(&f);
    fixture_fill(&f, 100, "");
    RUN_UNTIL(&f, fixture_info(&f).state == DISPATCHER_OPEN && f.source->out == 0);
    for (int probes = 0; probes < 4; probes++) {
        uint32_t leases = f.source->leases;
        RUN_UNTIL(&f, f.source->leases > leases && f.source->out == 0 && f.source->asked_count == 0);
        /* A probe is one request. */
        ck_assert_uint_eq(f.source->leases, leases + 1);
    }
    for (uint32_t i = 0; i < 100; i++) {
        ck_assert_uint_eq(f.source->messages[i].receive_count, 0);
        ck_assert_uint_eq(f.source->messages[i].failures, 0);
    }
    ck_assert_ptr_nonnull(strstr(fixture_info(&f).last_error, "not reachable"));
    web_listen(&f.web);
    RUN_UNTIL(&f, f.source->acked == 100);
    for (uint32_t i = 0; i < 100; i++)
        ck_assert_uint_eq(f.source->messages[i].receive_count, 1);
    ck_assert_int_eq(fixture_info(&f).state, DISPATCHER_IDLE);
    fixture_close(&f);
}
END_TEST

START_TEST(a_name_that_does_not_exist_costs_no_receive)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    fixture_start(&f);
    Hato__FunctionSettings s = f.function;
    s.url = (char *)(uintptr_t) "http://no-such-host.invalid/";
    dispatcher_function_changed(f.d, fixture_function, &s);
    fixture_fill(&f, 10, "");
    RUN_UNTIL(&f, fixture_info(&f).state == DISPATCHER_OPEN && f.source->out == 0);
    ck_assert_uint_eq(fixture_info(&f).failed_total, 0);
    fixture_close(&f);
}
END_TEST

START_TEST(an_endpoint_that_does_not_speak_tls_costs_no_receive)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    fixture_start(&f);
    Hato__FunctionSettings s = f.function;
    char url[64];
    snprintf(url, sizeof url, "https://127.0.0.1:%d/", f.web.port);
    s.url = url;
    s.has_timeout_ms = true;
    s.timeout_ms = 300;
    dispatcher_function_changed(f.d, fixture_function, &s);
    fixture_fill(&f, 1, "");
    RUN_UNTIL(&f, fixture_info(&f).state == DISPATCHER_OPEN && f.source->out == 0);
    ck_assert_uint_eq(f.source->messages[0].failures, 0);
    ck_assert_uint_ge(f.source->messages[0].returns, 3);
    fixture_close(&f);
}
END_TEST

/* Listens, accepts nobody, and has no room to wait: to connect to it takes for ever. */
static int open_black_hole(int waiting[2], char *url, size_t size)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof a;
    int s = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(s, (struct sockaddr *)&a, sizeof a), 0);
    ck_assert_int_eq(listen(s, 0), 0);
    ck_assert_int_eq(getsockname(s, (struct sockaddr *)&a, &len), 0);
    for (int i = 0; i < 2; i++) {
        waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(waiting[i], (struct sockaddr *)&a, sizeof a);
    }
    snprintf(url, size, "http://127.0.0.1:%d/", ntohs(a.sin_port));
    return s;
}

START_TEST(an_endpoint_that_does_not_take_the_connection_costs_no_receive)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    int waiting[2];
    char url[64];
    int hole = open_black_hole(waiting, url, sizeof url);
    fixture_start(&f);
    Hato__FunctionSettings s = f.function;
    s.url = url;
    s.has_timeout_ms = true;
    s.timeout_ms = 100;
    dispatcher_function_changed(f.d, fixture_function, &s);
    fixture_fill(&f, 10, "");
    RUN_UNTIL(&f, fixture_info(&f).state == DISPATCHER_OPEN && f.source->out == 0);
    ck_assert_ptr_nonnull(strstr(fixture_info(&f).last_error, "not reachable"));
    ck_assert_uint_eq(f.source->messages[0].failures, 0);
    /* The numbers of the sockets given up are free for others: a server's connections among them. */
    dispatcher_function_changed(f.d, fixture_function, &f.function);
    RUN_UNTIL(&f, f.source->acked == 10);
    /* Closing in the middle of connecting leaves nothing behind either. */
    s.timeout_ms = 60000;
    dispatcher_function_changed(f.d, fixture_function, &s);
    fixture_fill(&f, 10, "");
    RUN_UNTIL(&f, f.source->out == 10);
    uv_run(&f.loop, UV_RUN_NOWAIT);
    fixture_close(&f);
    close(waiting[0]);
    close(waiting[1]);
    close(hole);
}
END_TEST

START_TEST(private_addresses_are_not_connected_to_unless_allowed)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    f.options.policy.allow_private = false;
    fixture_start(&f);
    fixture_fill(&f, 3, "");
    RUN_UNTIL(&f, fixture_info(&f).state == DISPATCHER_OPEN && f.source->out == 0);
    ck_assert_uint_eq(f.web.accepted, 0);
    ck_assert_ptr_nonnull(strstr(fixture_info(&f).last_error, "address 127.0.0.1 is private"));
    ck_assert_uint_eq(f.source->messages[0].failures, 0);
    fixture_close(&f);

    fixture_open(&f, answer_as_told);
    f.options.policy.allow_private = false;
    ck_assert_int_eq(address_policy_allow(&f.options.policy, "127.0.0.0/8", NULL), ERR_OK);
    fixture_start(&f);
    fixture_fill(&f, 3, "");
    RUN_UNTIL(&f, f.source->acked == 3);
    fixture_close(&f);
}
END_TEST

/* ------------------------------------------------------------------ endpoints that misbehave */

static void answer_nothing(struct web_server *s, struct web_request *r)
{
    (void)s;
    (void)r;
}

START_TEST(a_silent_endpoint_costs_no_receive)
{
    struct fixture f;
    fixture_open(&f, answer_nothing);
    f.function.has_timeout_ms = true;
    f.function.timeout_ms = 100;
    fixture_start(&f);
    fixture_fill(&f, 40, "");
    RUN_UNTIL(&f, fixture_info(&f).state == DISPATCHER_OPEN && f.source->out == 0);
    uint32_t leases = f.source->leases;
    RUN_UNTIL(&f, f.source->leases >= leases + 3 && f.source->out == 0);
    for (uint32_t i = 0; i < 40; i++)
        ck_assert_uint_eq(f.source->messages[i].failures, 0);
    ck_assert_ptr_nonnull(strstr(fixture_info(&f).last_error, "no answer in time"));
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

START_TEST(a_message_that_hangs_the_function_while_others_pass_is_counted)
{
    struct fixture f;
    fixture_open(&f, answer_all_but_the_first);
    f.function.format = HATO__FORMAT__RAW;
    f.function.has_timeout_ms = true;
    f.function.timeout_ms = 100;
    fixture_start(&f);
    fixture_fill(&f, 20, "");
    RUN_UNTIL(&f, f.source->acked == 19 && f.source->messages[0].failures >= 3);
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
    f.function.has_max_concurrency = true;
    f.function.max_concurrency = 1;
    fixture_start(&f);
    fixture_fill(&f, 20, "");
    RUN_UNTIL(&f, f.source->acked == 19 && f.source->messages[0].failures >= 2);
    for (uint32_t i = 1; i < 20; i++)
        ck_assert_uint_eq(f.source->messages[i].failures, 0);
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
    f.function.has_timeout_ms = true;
    f.function.timeout_ms = 150;
    fixture_start(&f);
    fixture_fill(&f, 1, "");
    RUN_UNTIL(&f, f.source->messages[0].returns == 1);
    ck_assert_uint_eq(f.source->messages[0].failures, 0);
    ck_assert_ptr_nonnull(strstr(f.source->messages[0].error, "no answer in time"));
    fixture_close(&f);
}
END_TEST

static const char *const broken_answers[] = {
    "",                                                             /* closes without a word */
    "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort",         /* promises more than it gives */
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", /* ends within a chunk */
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",  /* no chunk */
    "HTTP/1.1 200 OK\r\nContent-Le",                                /* ends within the headers */
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

START_TEST(settings_that_can_not_be_used_lease_nothing_and_say_why)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    char *secret = (char *)(uintptr_t) "whsec_short";
    f.function.n_secrets = 1;
    f.function.secrets = &secret;
    fixture_start(&f);
    fixture_fill(&f, 3, "");
    for (int i = 0; i < 5; i++)
        uv_run(&f.loop, UV_RUN_NOWAIT);
    ck_assert_uint_eq(f.source->leases, 0);
    ck_assert_ptr_nonnull(strstr(fixture_info(&f).last_error, "secret"));
    ck_assert_ptr_null(strstr(fixture_info(&f).last_error, "short"));
    f.function.n_secrets = 0;
    dispatcher_function_changed(f.d, fixture_function, &f.function);
    RUN_UNTIL(&f, f.source->acked == 3);
    fixture_close(&f);
}
END_TEST

/* ------------------------------------------------------------------ partial failures */

START_TEST(only_the_messages_named_as_failed_come_back)
{
    struct fixture f;
    fixture_open(&f, answer_first_as_told);
    f.body = "{\"batchItemFailures\":[{\"itemIdentifier\":\"message-3\"},{\"itemIdentifier\":\"message-1\"}]}";
    fixture_start(&f);
    fixture_fill(&f, 5, "");
    RUN_UNTIL(&f, f.source->acked == 5);
    for (uint32_t i = 0; i < 5; i++)
        ck_assert_uint_eq(f.source->messages[i].failures, i == 0 || i == 2 ? 1 : 0);
    ck_assert_str_eq(f.source->messages[0].error, "named in batchItemFailures");
    fixture_close(&f);
}
END_TEST

START_TEST(a_partial_answer_that_names_a_stranger_fails_the_whole_batch)
{
    struct fixture f;
    fixture_open(&f, answer_first_as_told);
    f.body = "{\"batchItemFailures\":[{\"itemIdentifier\":\"message-1\"},{\"itemIdentifier\":\"message-99\"}]}";
    fixture_start(&f);
    fixture_fill(&f, 5, "");
    RUN_UNTIL(&f, f.source->acked == 5);
    for (uint32_t i = 0; i < 5; i++)
        ck_assert_uint_eq(f.source->messages[i].failures, 1);
    fixture_close(&f);
}
END_TEST

START_TEST(on_a_fifo_queue_what_follows_a_failure_in_its_group_goes_back_uncounted)
{
    struct fixture f;
    fixture_open(&f, answer_first_as_told);
    f.source->fifo = true;
    f.body = "{\"batchItemFailures\":[{\"itemIdentifier\":\"message-3\"}]}";
    fake_put(f.source, QUEUE, "a", "0");
    fake_put(f.source, QUEUE, "b", "1");
    fake_put(f.source, QUEUE, "a", "2");
    fake_put(f.source, QUEUE, "b", "3");
    fake_put(f.source, QUEUE, "a", "4");
    fixture_start(&f);
    RUN_UNTIL(&f, f.source->acked == 5);
    ck_assert_uint_eq(f.source->messages[2].failures, 1);
    ck_assert_uint_eq(f.source->messages[2].receive_count, 2);
    ck_assert_uint_eq(f.source->messages[4].failures, 0);
    ck_assert_uint_eq(f.source->messages[4].returns, 1);
    ck_assert_uint_eq(f.source->messages[4].receive_count, 1);
    ck_assert_uint_eq(f.source->messages[4].delay_ms, f.source->messages[2].delay_ms);
    for (uint32_t i = 0; i < 4; i++)
        ck_assert_uint_eq(f.source->messages[i].failures, i == 2 ? 1 : 0);
    fixture_close(&f);
}
END_TEST

START_TEST(a_fifo_queue_gives_single_messages_of_a_group_one_after_another)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    f.source->fifo = true;
    f.function.format = HATO__FORMAT__RAW;
    fixture_start(&f);
    fixture_fill(&f, 30, "one");
    RUN_UNTIL(&f, f.source->acked == 30);
    ck_assert_uint_eq(f.source->max_out, 1);
    for (uint32_t i = 0; i < 30; i++)
        ck_assert_uint_eq(f.source->order[i], i);
    fixture_close(&f);
}
END_TEST

/* ------------------------------------------------------------------ the emulator of AWS */

static const char emulator_path[] = "/2015-03-31/functions/function/invocations";

static const struct {
    const char *headers;
    const char *body;
    const char *path;
    bool fails;
} lambda_answers[] = {
    {"", "{\"errorMessage\":\"no\",\"errorType\":\"ValueError\"}", emulator_path, true},
    {"", "{\"errorType\":\"ValueError\",\"errorMessage\":\"no\"}", emulator_path, true},
    {"", "Task timed out after 3.00 seconds", emulator_path, true},
    {"", "", emulator_path, true},
    {"", "null", emulator_path, false},
    {"", "{\"ok\":true}", emulator_path, false},
    {"", "", "/", false},
    {"", "ok", "/", false},
    {"", "{\"errorType\":\"ValueError\"}", "/", false},
    {"X-Amz-Function-Error: Unhandled\r\n", "{}", "/", true},
    {"Content-Type: application/json\r\n", "{\"batch", "/", true},
    {"", "{\"batchItemFailures\":[]}", "/", false},
    {"", "{\"batchItemFailures\":null}", "/", false},
};

START_TEST(a_lambda_says_by_header_or_body_that_it_failed)
{
    struct fixture f;
    fixture_open(&f, answer_first_as_told);
    f.path = lambda_answers[_i].path;
    f.headers = lambda_answers[_i].headers;
    f.body = lambda_answers[_i].body;
    fixture_start(&f);
    fixture_fill(&f, 2, "");
    if (lambda_answers[_i].fails)
        f.web.answer = answer_first_as_told;
    struct fake_message *m = &f.source->messages[0];
    /* The emulator answers with an empty body only when it died: later answers of this server are of that kind. */
    RUN_UNTIL(&f, m->failures > 0 || m->acks > 0);
    ck_assert_uint_eq(m->failures, lambda_answers[_i].fails ? 1 : 0);
    fixture_close(&f);
}
END_TEST

static void answer_in_a_while(struct web_connection *c)
{
    static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
    web_put(c, ok, sizeof ok - 1);
    web_done(c);
}

static void answer_slowly(struct web_server *s, struct web_request *r)
{
    (void)s;
    web_later(r->connection, 20, answer_in_a_while);
}

START_TEST(the_emulator_gets_one_request_at_a_time)
{
    struct fixture f;
    fixture_open(&f, answer_slowly);
    f.path = emulator_path;
    fixture_start(&f);
    fixture_fill(&f, 60, "");
    RUN_UNTIL(&f, f.source->acked == 60);
    ck_assert_uint_eq(f.web.at_once_max, 1);
    fixture_close(&f);
}
END_TEST

/* ------------------------------------------------------------------ how much at once */

START_TEST(the_window_opens_as_the_endpoint_keeps_up)
{
    struct fixture f;
    fixture_open(&f, answer_slowly);
    f.binding.has_batch_size = true;
    f.binding.batch_size = 1;
    fixture_start(&f);
    ck_assert_uint_eq(fixture_info(&f).window, 4);
    fixture_fill(&f, 600, "");
    RUN_UNTIL(&f, f.source->acked == 600);
    ck_assert_uint_gt(f.web.at_once_max, 16);
    ck_assert_uint_gt(fixture_info(&f).window, 16);
    fixture_close(&f);
}
END_TEST

/* Takes three at once; to more it says 429. */
static void answer_three_at_once(struct web_server *s, struct web_request *r)
{
    if (s->at_once > 3)
        web_reply(r, 429, "", "slow down");
    else
        web_later(r->connection, 20, answer_in_a_while);
}

START_TEST(the_window_closes_when_the_endpoint_says_it_is_too_much)
{
    struct fixture f;
    fixture_open(&f, answer_three_at_once);
    f.binding.has_batch_size = true;
    f.binding.batch_size = 1;
    fixture_start(&f);
    fixture_fill(&f, 100, "");
    RUN_UNTIL(&f, f.source->acked == 100);
    struct dispatcher_info info = fixture_info(&f);
    ck_assert_uint_gt(info.returned_total, 0);
    ck_assert_uint_eq(info.failed_total, 0);
    ck_assert_uint_le(info.window, 8);
    for (uint32_t i = 0; i < 100; i++)
        ck_assert_uint_eq(f.source->messages[i].receive_count, 1);
    fixture_close(&f);
}
END_TEST

START_TEST(no_more_requests_are_out_than_function_and_binding_allow)
{
    struct fixture f;
    fixture_open(&f, answer_slowly);
    f.function.format = HATO__FORMAT__RAW;
    f.function.has_max_concurrency = true;
    f.function.max_concurrency = 3;
    f.binding.has_max_concurrency = true;
    f.binding.max_concurrency = 2;
    fixture_start(&f);
    fixture_fill(&f, 20, "");
    RUN_UNTIL(&f, f.source->acked == 20);
    ck_assert_uint_eq(f.web.at_once_max, 2);
    f.binding.max_concurrency = 100;
    fixture_bind_to(&f, QUEUE, fixture_function);
    fixture_fill(&f, 20, "");
    RUN_UNTIL(&f, f.source->acked == 40);
    ck_assert_uint_eq(f.web.at_once_max, 3);
    fixture_close(&f);
}
END_TEST

START_TEST(the_dispatcher_as_a_whole_keeps_to_its_limit_and_shares_it)
{
    struct fixture f;
    fixture_open(&f, answer_slowly);
    f.function.format = HATO__FORMAT__RAW;
    f.options.requests_max = 2;
    fixture_start(&f);
    for (uint64_t queue = 1; queue <= 4; queue++) {
        char name[32];
        snprintf(name, sizeof name, "a:r:other-%d", (int)queue);
        for (int i = 0; i < 5; i++)
            fake_put(f.source, queue, "", "x");
        fixture_bind_to(&f, queue, name);
    }
    RUN_UNTIL(&f, f.source->acked == 20);
    ck_assert_uint_eq(f.web.at_once_max, 2);
    /* No function had all its messages out before every other had its first. */
    uint64_t first[5] = {0};
    for (uint32_t i = 0; i < f.source->order_count; i++) {
        uint64_t queue = f.source->messages[f.source->order[i]].queue;
        if (first[queue] == 0)
            first[queue] = i + 1;
    }
    for (int queue = 1; queue <= 4; queue++)
        ck_assert_uint_le(first[queue], 8);
    fixture_close(&f);
}
END_TEST

START_TEST(a_short_memory_is_waited_for_and_not_exceeded)
{
    struct fixture f;
    fixture_open(&f, answer_slowly);
    f.function.format = HATO__FORMAT__RAW;
    f.options.memory_max = 1; /* less than any lease: one at a time */
    fixture_start(&f);
    fixture_fill(&f, 5, "");
    RUN_UNTIL(&f, f.source->acked == 5);
    fixture_close(&f);
}
END_TEST

START_TEST(a_rate_is_kept)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    f.function.format = HATO__FORMAT__RAW;
    f.function.has_rate = true;
    f.function.rate = 50;
    fixture_start(&f);
    uint64_t before = uv_hrtime();
    fixture_fill(&f, 25, "");
    RUN_UNTIL(&f, f.source->acked == 25);
    /* Five at once, the other twenty at one each 20 ms. */
    ck_assert_uint_ge(uv_hrtime() - before, 395 * 1000000ull);
    fixture_close(&f);
}
END_TEST

/* ------------------------------------------------------------------ batches */

START_TEST(a_window_waits_for_a_fuller_batch)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    f.binding.has_window_ms = true;
    f.binding.window_ms = 500;
    fixture_start(&f);
    uint64_t before = uv_hrtime();
    fixture_fill(&f, 3, "");
    uv_run(&f.loop, UV_RUN_NOWAIT);
    uv_run(&f.loop, UV_RUN_NOWAIT);
    fixture_fill(&f, 3, "");
    RUN_UNTIL(&f, f.source->acked == 6);
    ck_assert_uint_ge(uv_hrtime() - before, 495 * 1000000ull);
    ck_assert_uint_eq(f.web.requests, 1);
    fixture_close(&f);
}
END_TEST

START_TEST(a_full_batch_does_not_wait_for_the_window)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    f.binding.has_window_ms = true;
    f.binding.window_ms = 300000;
    fixture_start(&f);
    fixture_fill(&f, 20, "");
    RUN_UNTIL(&f, f.source->acked == 20);
    ck_assert_uint_eq(f.web.requests, 2);
    fixture_close(&f);
}
END_TEST

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

/* ------------------------------------------------------------------ leases */

START_TEST(a_lease_is_asked_for_the_timeout_and_a_margin)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    f.function.has_timeout_ms = true;
    f.function.timeout_ms = 2000;
    fixture_start(&f);
    fixture_fill(&f, 1, "");
    RUN_UNTIL(&f, f.source->acked == 1);
    ck_assert_uint_eq(f.source->visibility_ms, 2000 + DISPATCHER_LEASE_MARGIN_MS);
    fixture_close(&f);
}
END_TEST

static void answer_after_half_a_second(struct web_server *s, struct web_request *r)
{
    (void)s;
    web_later(r->connection, 500, answer_in_a_while);
}

START_TEST(a_lease_is_extended_while_the_request_is_out)
{
    struct fixture f;
    fixture_open(&f, answer_after_half_a_second);
    f.options.lease_ms = 150;
    fixture_start(&f);
    fixture_fill(&f, 3, "");
    RUN_UNTIL(&f, f.source->acked == 3);
    ck_assert_uint_eq(f.source->visibility_ms, 150);
    /* Every 100 ms. */
    ck_assert_uint_ge(f.source->messages[0].extensions, 3);
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
    struct fixture f;
    fixture_open(&f, answer_as_told);
    fixture_start(&f);
    f.source->hold = true;
    fixture_fill(&f, 10, "");
    RUN_UNTIL(&f, f.source->asked_count == 1);
    dispatcher_function_changed(f.d, fixture_function, NULL);
    fake_let_go(f.source);
    RUN_UNTIL(&f, f.source->messages[9].returns == 1);
    ck_assert_uint_eq(f.web.requests, 0);
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
    for (int i = 0; i < 5; i++)
        uv_run(&f.loop, UV_RUN_NOWAIT);
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
    f.binding.has_window_ms = true;
    f.binding.window_ms = 300000;
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

/* ------------------------------------------------------------------ what the function sees */

START_TEST(raw_requests_carry_the_message_s_properties_in_headers)
{
    struct fixture f;
    fixture_open(&f, keep_headers);
    f.function.format = HATO__FORMAT__RAW;
    f.path = "/hook?x=1";
    f.function.content_type = (char *)(uintptr_t) "text/plain";
    char *secrets[] = {(char *)(uintptr_t) "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"};
    char *headers[] = {(char *)(uintptr_t) "X-Team: images", (char *)(uintptr_t) "Authorization: Bearer abc"};
    f.function.n_secrets = 1;
    f.function.secrets = secrets;
    f.function.n_headers = 2;
    f.function.headers = headers;
    Hato__Attribute kind = HATO__ATTRIBUTE__INIT;
    kind.name = (char *)(uintptr_t) "kind";
    kind.value_case = HATO__ATTRIBUTE__VALUE_TEXT;
    kind.text = (char *)(uintptr_t) "new";
    Hato__Attribute evil = kind;
    evil.name = (char *)(uintptr_t) "evil";
    evil.text = (char *)(uintptr_t) "a\r\nX-Injected: yes";
    Hato__Attribute *attributes[] = {&kind, &evil};
    Hato__Message content = HATO__MESSAGE__INIT;
    content.body.data = (uint8_t *)(uintptr_t) "hello";
    content.body.len = 5;
    content.n_attributes = 2;
    content.attributes = attributes;
    content.group = (char *)(uintptr_t) "tenant-1";
    content.traceparent = (char *)(uintptr_t) "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    fake_put_message(f.source, QUEUE, &content);
    fixture_start(&f);
    RUN_UNTIL(&f, f.source->acked == 1);
    static const char *const want[] = {"POST /hook?x=1 HTTP/1.1\r\n",
                                       "\r\nhato-message-id: message-1\r\n",
                                       "\r\nhato-queue: jobs\r\n",
                                       "\r\nhato-receive-count: 1\r\n",
                                       "\r\nhato-sent: 1700000000000\r\n",
                                       "\r\nhato-group: tenant-1\r\n",
                                       "\r\nhato-attr-kind: new\r\n",
                                       "\r\nContent-Type: text/plain\r\n",
                                       "\r\nX-Team: images\r\n",
                                       "\r\nAuthorization: Bearer abc\r\n",
                                       "\r\nUser-Agent: Hato\r\n",
                                       "\r\nwebhook-id: message-1\r\n",
                                       "\r\nwebhook-signature: v1,",
                                       "\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n",
                                       "\r\nContent-Length: 5\r\n"};
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++)
        ck_assert_msg(strstr(f.seen, want[i]) != NULL, "no %s in\n%s", want[i], f.seen);
    ck_assert_ptr_null(strstr(f.seen, "X-Injected"));
    ck_assert_ptr_null(strstr(f.seen, "Expect"));
    fixture_close(&f);
}
END_TEST

START_TEST(headers_of_the_function_are_sent_and_may_replace_the_content_type)
{
    struct fixture f;
    fixture_open(&f, keep_headers);
    char *headers[] = {(char *)(uintptr_t) "X-Team:images", (char *)(uintptr_t) "content-type: text/csv",
                       (char *)(uintptr_t) "X-Empty:", (char *)(uintptr_t) "User-Agent: mine"};
    f.function.n_headers = 4;
    f.function.headers = headers;
    fixture_start(&f);
    fixture_fill(&f, 1, "");
    RUN_UNTIL(&f, f.source->acked == 1);
    ck_assert_ptr_nonnull(strstr(f.seen, "\r\nX-Team: images\r\n"));
    ck_assert_ptr_nonnull(strstr(f.seen, "\r\ncontent-type: text/csv\r\n"));
    ck_assert_ptr_nonnull(strstr(f.seen, "\r\nX-Empty:\r\n"));
    ck_assert_ptr_nonnull(strstr(f.seen, "\r\nUser-Agent: mine\r\n"));
    ck_assert_ptr_null(strstr(f.seen, "application/json"));
    ck_assert_ptr_null(strstr(f.seen, "User-Agent: Hato"));
    fixture_close(&f);
}
END_TEST

START_TEST(the_id_of_a_signed_message_stays_and_its_time_is_that_of_the_attempt)
{
    struct fixture f;
    fixture_open(&f, answer_first_as_told);
    f.function.format = HATO__FORMAT__RAW;
    f.status = 500;
    char *secrets[] = {(char *)(uintptr_t) "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"};
    f.function.n_secrets = 1;
    f.function.secrets = secrets;
    fixture_start(&f);
    fixture_fill(&f, 1, "");
    RUN_UNTIL(&f, f.source->messages[0].failures == 1);
    f.web.answer = keep_headers;
    RUN_UNTIL(&f, f.source->acked == 1);
    ck_assert_ptr_nonnull(strstr(f.seen, "\r\nwebhook-id: message-1\r\n"));
    const char *time = strstr(f.seen, "\r\nwebhook-timestamp: ");
    ck_assert_ptr_nonnull(time);
    struct clock clock = clock_real();
    uint64_t now = clock_now_ms(&clock) / 1000;
    uint64_t sent = strtoull(time + 21, NULL, 10);
    ck_assert_uint_le(sent, now);
    ck_assert_uint_ge(sent, f.source->messages[0].acks > 0 ? now - 3600 : now);
    fixture_close(&f);
}
END_TEST

START_TEST(the_last_attempts_are_kept_newest_first)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    f.function.format = HATO__FORMAT__RAW;
    f.function.has_max_concurrency = true;
    f.function.max_concurrency = 1;
    fixture_start(&f);
    f.body = "fine";
    fixture_fill(&f, 60, "");
    RUN_UNTIL(&f, f.source->acked == 60);
    f.body = "the last one";
    fixture_fill(&f, 1, "");
    RUN_UNTIL(&f, f.source->acked == 61);
    struct dispatcher_info info = fixture_info(&f);
    ck_assert_uint_eq(info.attempt_count, DISPATCHER_ATTEMPTS_MAX);
    ck_assert(bytes_equal(info.attempts[0].answer, bytes_text("the last one")));
    ck_assert(bytes_equal(info.attempts[1].answer, bytes_text("fine")));
    ck_assert_uint_ge(info.attempts[0].started_ms, info.attempts[49].started_ms);
    fixture_close(&f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("dispatcher");
    TCase *c = tcase_create("dispatcher");
    tcase_set_timeout(c, 300); /* against hanging for ever, not a measure */
    tcase_add_test(c, messages_of_a_queue_reach_the_function_and_are_acked);
    tcase_add_test(c, messages_that_were_there_before_the_binding_are_delivered);
    tcase_add_test(c, raw_sends_one_message_a_request_as_it_is);
    tcase_add_test(c, connections_are_used_again);
    tcase_add_test(c, an_idle_dispatcher_holds_no_timer_and_asks_nothing);
    tcase_add_loop_test(c, a_status_decides_whether_the_receive_counts, 0, sizeof statuses / sizeof statuses[0]);
    tcase_add_test(c, a_gone_endpoint_costs_nothing_and_is_shown_as_gone);
    tcase_add_test(c, a_failing_message_waits_longer_each_time);
    tcase_add_test(c, retry_after_of_a_failed_message_is_its_delay);
    tcase_add_test(c, retry_after_of_a_throttling_endpoint_holds_everything_back);
    tcase_add_test(c, while_the_endpoint_is_down_nothing_is_leased_and_no_receive_counted_and_delivery_resumes);
    tcase_add_test(c, a_name_that_does_not_exist_costs_no_receive);
    tcase_add_test(c, an_endpoint_that_does_not_speak_tls_costs_no_receive);
    tcase_add_test(c, an_endpoint_that_does_not_take_the_connection_costs_no_receive);
    tcase_add_test(c, private_addresses_are_not_connected_to_unless_allowed);
    tcase_add_test(c, a_silent_endpoint_costs_no_receive);
    tcase_add_test(c, a_message_that_hangs_the_function_while_others_pass_is_counted);
    tcase_add_test(c, a_message_that_kills_the_function_is_counted_and_holds_nobody_up);
    tcase_add_test(c, an_answer_that_trickles_is_cut_off_at_the_timeout);
    tcase_add_loop_test(c, an_answer_that_is_not_whole_is_no_answer, 0,
                        sizeof broken_answers / sizeof broken_answers[0]);
    tcase_add_test(c, an_answer_without_end_is_stopped_and_a_success_when_nothing_in_it_matters);
    tcase_add_test(c, an_answer_without_end_is_a_failure_where_it_would_name_failures);
    tcase_add_test(c, settings_that_can_not_be_used_lease_nothing_and_say_why);
    tcase_add_test(c, only_the_messages_named_as_failed_come_back);
    tcase_add_test(c, a_partial_answer_that_names_a_stranger_fails_the_whole_batch);
    tcase_add_test(c, on_a_fifo_queue_what_follows_a_failure_in_its_group_goes_back_uncounted);
    tcase_add_test(c, a_fifo_queue_gives_single_messages_of_a_group_one_after_another);
    tcase_add_loop_test(c, a_lambda_says_by_header_or_body_that_it_failed, 0,
                        sizeof lambda_answers / sizeof lambda_answers[0]);
    tcase_add_test(c, the_emulator_gets_one_request_at_a_time);
    tcase_add_test(c, the_window_opens_as_the_endpoint_keeps_up);
    tcase_add_test(c, the_window_closes_when_the_endpoint_says_it_is_too_much);
    tcase_add_test(c, no_more_requests_are_out_than_function_and_binding_allow);
    tcase_add_test(c, the_dispatcher_as_a_whole_keeps_to_its_limit_and_shares_it);
    tcase_add_test(c, a_short_memory_is_waited_for_and_not_exceeded);
    tcase_add_test(c, a_rate_is_kept);
    tcase_add_test(c, a_window_waits_for_a_fuller_batch);
    tcase_add_test(c, a_full_batch_does_not_wait_for_the_window);
    tcase_add_test(c, a_paused_binding_leases_nothing_until_it_is_resumed);
    tcase_add_test(c, a_lease_is_asked_for_the_timeout_and_a_margin);
    tcase_add_test(c, a_lease_is_extended_while_the_request_is_out);
    tcase_add_test(c, a_source_that_refuses_is_asked_again_later);
    tcase_add_test(c, what_is_leased_when_the_endpoint_falls_goes_back_unsent);
    tcase_add_test(c, what_is_leased_for_a_queue_that_is_unbound_goes_back);
    tcase_add_test(c, a_queue_bound_to_another_function_delivers_nothing_more_to_the_old_one);
    tcase_add_test(c, requests_that_are_out_are_settled_after_the_queue_is_unbound);
    tcase_add_test(c, a_message_that_can_not_be_decoded_fails_alone);
    tcase_add_test(c, closing_returns_what_is_out_uncounted_and_each_message_once);
    tcase_add_test(c, closing_waits_for_leases_that_were_asked_for);
    tcase_add_test(c, closing_while_the_breaker_is_open_or_a_batch_waits_leaves_nothing_behind);
    tcase_add_test(c, draining_leases_nothing_more_and_ends_when_requests_do);
    tcase_add_test(c, raw_requests_carry_the_message_s_properties_in_headers);
    tcase_add_test(c, headers_of_the_function_are_sent_and_may_replace_the_content_type);
    tcase_add_test(c, the_id_of_a_signed_message_stays_and_its_time_is_that_of_the_attempt);
    tcase_add_test(c, the_last_attempts_are_kept_newest_first);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
