/* Connections that die without a word: nobody hangs up, what is written is taken, and nothing comes. Client and broker share a
 * loop, so that a slow machine is slow for both of them. */
#include <sys/socket.h>

#include "client/harness.h"

enum { SILENCE_MAX_MS = 40 };

static const struct hato_options impatient = {.silence_max_ms = SILENCE_MAX_MS};

static unsigned pings(const struct harness *h)
{
    unsigned count = 0;
    for (unsigned i = 0; i < h->seen_count; i++)
        count += h->seen[i].op == HATO__REQUEST__OP_PING;
    return count;
}

static const struct seen *find_seen(const struct harness *h, int op, unsigned connection)
{
    for (unsigned i = 0; i < h->seen_count; i++) {
        if (h->seen[i].op == op && h->seen[i].connection == connection)
            return &h->seen[i];
    }
    return NULL;
}

START_TEST(calls_on_a_connection_that_died_silently_are_repeated_on_a_new_one)
{
    struct harness *h = harness_open(answer_well, &impatient);
    RUN_UNTIL(h, hato_client_connected(h->client));
    double_vanish(h->broker.last);
    struct outcome o[2] = {0};
    send_text(h, "jobs", "x", &o[0]);
    hato_ping(h->client, record, &o[1]);
    RUN_UNTIL(h, o[0].times > 0 && o[1].times > 0);
    ck_assert_int_eq(o[0].code, HATO_OK);
    ck_assert_int_eq(o[1].code, HATO_OK);
    ck_assert_int_eq(h->lost_code, HATO_IO);
    ck_assert_ptr_nonnull(strstr(h->lost_message, "no sign of life for 40 ms"));
    ck_assert_ptr_nonnull(find_seen(h, HATO__REQUEST__OP_SEND, 2));
    harness_close(h);
}
END_TEST

static void take(void *user, struct hato_stream *stream, const struct hato_delivery *deliveries, size_t count)
{
    (void)stream;
    (void)deliveries;
    *(size_t *)user += count;
}

static void ended(void *user, const struct hato_error *error)
{
    (void)user;
    ck_assert_int_eq(error->code, HATO_CLOSED);
}

/* Opens streams and answers pings, and no more. */
static void answer_pings(struct double_broker *b, struct double_peer *p, const Hato__Request *r)
{
    see(b->user, p, r);
    if (r->op_case == HATO__REQUEST__OP_PING)
        double_empty(p, r->id);
}

START_TEST(a_stream_on_a_connection_that_died_silently_is_opened_on_a_new_one)
{
    struct harness *h = harness_open(answer_pings, &impatient);
    size_t delivered = 0;
    hato_stream_open(h->client, "jobs", NULL, take, ended, &delivered);
    RUN_UNTIL(h, h->seen_count > 0);
    double_vanish(h->broker.last);
    RUN_UNTIL(h, find_seen(h, HATO__REQUEST__OP_STREAM_OPEN, 2) != NULL);
    double_deliver(h->broker.last, find_seen(h, HATO__REQUEST__OP_STREAM_OPEN, 2)->id, true, 1, 1);
    RUN_UNTIL(h, delivered == 1);
    harness_close(h);
}
END_TEST

START_TEST(a_stream_of_a_broker_that_has_nothing_to_deliver_but_lives_is_kept)
{
    struct harness *h = harness_open(answer_pings, &impatient);
    size_t delivered = 0;
    hato_stream_open(h->client, "jobs", NULL, take, ended, &delivered);
    RUN_UNTIL(h, pings(h) == 5);
    ck_assert_uint_eq(h->connected, 1);
    ck_assert_uint_eq(h->lost, 0);
    harness_close(h);
}
END_TEST

START_TEST(a_receive_waits_as_long_as_its_broker_lives_whatever_its_timeout)
{
    struct harness *h = harness_open(answer_pings, &impatient);
    struct outcome o = {0};
    struct hato_call *call = hato_receive(h->client, "jobs", NULL, record, &o);
    RUN_UNTIL(h, h->seen_count == 1);
    hato_call_timeout(call, 1);
    RUN_UNTIL(h, pings(h) == 5);
    ck_assert_uint_eq(o.times, 0);
    ck_assert_uint_eq(h->lost, 0);
    double_deliver(h->broker.last, h->seen[0].id, false, 1, 1);
    RUN_UNTIL(h, o.times > 0);
    ck_assert_int_eq(o.code, HATO_OK);
    harness_close(h);
}
END_TEST

START_TEST(a_receive_whose_broker_died_silently_ends_with_its_timeout)
{
    struct harness *h = harness_open(answer_pings, &impatient);
    struct outcome o = {0};
    struct hato_call *call = hato_receive(h->client, "jobs", NULL, record, &o);
    RUN_UNTIL(h, h->seen_count == 1);
    hato_call_timeout(call, 1);
    double_vanish(h->broker.last);
    double_stop_listening(&h->broker);
    RUN_UNTIL(h, o.times > 0);
    ck_assert_int_eq(o.code, HATO_TIMEOUT);
    ck_assert_int_eq(h->lost_code, HATO_IO);
    harness_close(h);
}
END_TEST

START_TEST(calls_that_time_out_early_do_not_keep_a_dead_connection)
{
    struct harness *h = harness_open(answer_well, &impatient);
    RUN_UNTIL(h, hato_client_connected(h->client));
    double_vanish(h->broker.last);
    struct outcome o = {0};
    hato_call_timeout(send_text(h, "jobs", "x", &o), 1);
    RUN_UNTIL(h, o.times > 0);
    ck_assert_int_eq(o.code, HATO_TIMEOUT);
    ck_assert_uint_eq(hato_client_pending(h->client), 0);
    RUN_UNTIL(h, h->connected == 2);
    harness_close(h);
}
END_TEST

static void on_alarm(uv_timer_t *timer)
{
    (*(unsigned *)timer->data)++;
}

START_TEST(a_client_that_waits_for_nothing_asks_for_nothing)
{
    struct harness *h = harness_open(answer_well, &impatient);
    struct outcome o = {0};
    send_text(h, "jobs", "x", &o);
    RUN_UNTIL(h, o.times > 0);
    unsigned alarms = 0;
    uv_timer_t timer;
    uv_timer_init(&h->loop, &timer);
    timer.data = &alarms;
    uv_timer_start(&timer, on_alarm, SILENCE_MAX_MS, SILENCE_MAX_MS);
    RUN_UNTIL(h, alarms == 3);
    ck_assert_uint_eq(h->seen_count, 1);
    ck_assert_uint_eq(h->connected, 1);
    uv_close((uv_handle_t *)&timer, NULL);
    harness_close(h);
}
END_TEST

/* ---------------------------------------------------------------- what is large */

static void shrink(uv_handle_t *handle, void *user)
{
    (void)user;
    uv_os_fd_t fd;
    int bytes = 64 * 1024;
    if (handle->type != UV_TCP || uv_fileno(handle, &fd) != 0)
        return;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
}

static void on_read_some(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    double_on_read(s, n, buf);
    if (n > 0)
        uv_read_stop(s);
}

static void on_time_to_read(uv_timer_t *timer)
{
    struct double_peer *p = timer->data;
    uv_read_start((uv_stream_t *)&p->tcp, double_on_alloc, on_read_some);
}

START_TEST(a_request_that_is_long_in_being_written_is_no_silence)
{
    struct harness *h = harness_open(answer_well, &impatient);
    RUN_UNTIL(h, hato_client_connected(h->client));
    uv_walk(&h->loop, shrink, NULL);
    struct double_peer *p = h->broker.last;
    double_vanish(p);
    uv_timer_t timer;
    uv_timer_init(&h->loop, &timer);
    timer.data = p;
    uv_timer_start(&timer, on_time_to_read, 1, 1);
    size_t len = 16u << 20;
    char *body = calloc(1, len);
    struct hato_message m = {.body = body, .body_len = len};
    struct outcome o = {0};
    hato_send(h->client, "jobs", &m, 1, record, &o);
    RUN_UNTIL(h, o.times > 0);
    ck_assert_int_eq(o.code, HATO_OK);
    ck_assert_uint_eq(h->connected, 1);
    free(body);
    uv_close((uv_handle_t *)&timer, NULL);
    harness_close(h);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client/silence");
    TCase *tc = tcase_create("silence");
    tcase_set_timeout(tc, HARNESS_TIMEOUT_S);
    tcase_add_test(tc, calls_on_a_connection_that_died_silently_are_repeated_on_a_new_one);
    tcase_add_test(tc, a_stream_on_a_connection_that_died_silently_is_opened_on_a_new_one);
    tcase_add_test(tc, a_stream_of_a_broker_that_has_nothing_to_deliver_but_lives_is_kept);
    tcase_add_test(tc, a_receive_waits_as_long_as_its_broker_lives_whatever_its_timeout);
    tcase_add_test(tc, a_receive_whose_broker_died_silently_ends_with_its_timeout);
    tcase_add_test(tc, calls_that_time_out_early_do_not_keep_a_dead_connection);
    tcase_add_test(tc, a_client_that_waits_for_nothing_asks_for_nothing);
    tcase_add_test(tc, a_request_that_is_long_in_being_written_is_no_silence);
    suite_add_tcase(suite, tc);
    return harness_run(suite);
}
