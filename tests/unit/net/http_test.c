#include "net/http.h"

#include <check.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "unit/net/peer.h"

enum { BODY_MAX = 1000 };

/* A server that answers with what it understood; to paths under /late a moment later. */
static struct loop loop;
static struct listener listener;
static struct alarms alarms;
static struct http_server server;

struct late {
    struct alarm alarm;
    struct http_connection *connection;
    char text[256];
};

static struct late late;
static sem_t held; /* requests that are never answered */

static void answer_late(struct alarm *a)
{
    struct late *l = CONTAINER_OF(a, struct late, alarm);
    http_reply(l->connection, 200, "text/plain", bytes_text(l->text));
}

static void on_request(struct http_connection *c, const struct http_request *r)
{
    struct bytes mark = http_header(r, "x-mark");
    struct bytes empty = http_header(r, "x-empty");
    snprintf(late.text, sizeof late.text, "[%s %.*s ? %.*s | %.*s%.*s | %.*s | %zu]", r->method, (int)r->path.len,
             r->path.data, (int)r->query.len, r->query.data, (int)mark.len, mark.data, (int)empty.len, empty.data,
             (int)r->body.len, r->body.data, r->header_count);
    if (r->path.len == 5 && memcmp(r->path.data, "/held", 5) == 0) {
        sem_post(&held);
        return;
    }
    if (r->path.len < 5 || memcmp(r->path.data, "/late", 5) != 0) {
        http_reply(c, 200, "text/plain", bytes_text(late.text));
        return;
    }
    late.connection = c;
    alarm_set(&alarms, &late.alarm, 5, answer_late);
}

static void on_gone(struct http_connection *c)
{
    if (late.connection == c)
        alarm_clear(&alarms, &late.alarm);
}

static void on_accepted(struct listener *l, void *ctx)
{
    (void)ctx;
    http_server_accept(&server, l);
}

static void on_server_closed(struct http_server *s)
{
    (void)s;
    alarms_close(&alarms);
    loop_stop(&loop);
}

static void stop(struct mail *mail)
{
    (void)mail;
    listener_close(&listener, NULL);
    http_server_close(&server, on_server_closed);
}

static struct mail stop_mail = {.run = stop};

static void start_server(void)
{
    struct error e = {0};
    signal(SIGPIPE, SIG_IGN);
    ck_assert_int_eq(loop_open(&loop, 0, &e), ERR_OK);
    ck_assert_int_eq(listener_open(&listener, &loop, "127.0.0.1:0", false, on_accepted, NULL, &e), ERR_OK);
    ck_assert_int_eq(listener_start(&listener, &e), ERR_OK);
    alarms_open(&alarms, &loop);
    server = (struct http_server){.body_max = BODY_MAX, .connections_max = 4, .request = on_request, .gone = on_gone};
    http_server_open(&server, &loop, &alarms);
    ck_assert_int_eq(loop_start(&loop, &e), ERR_OK);
}

static void stop_server(void)
{
    loop_post(&loop, &stop_mail);
    loop_join(&loop);
    loop_close(&loop);
}

/* What comes back until the server closes; it has to. */
static void ask(const char *request, size_t len, struct buffer *out)
{
    buffer_clear(out);
    int fd = peer_connect(listener.port);
    peer_send(fd, request, len);
    peer_read_all(fd, out);
    close(fd);
}

static void ask_text(const char *request, struct buffer *out)
{
    ask(request, strlen(request), out);
}

static void expect(const struct buffer *got, const char *text)
{
    ck_assert_msg(strstr((const char *)got->data, text) != NULL, "no '%s' in: %s", text, (const char *)got->data);
}

static int count(const struct buffer *got, const char *text)
{
    int n = 0;
    for (const char *at = (const char *)got->data; (at = strstr(at, text)) != NULL; at++)
        n++;
    return n;
}

#define CLOSE "Connection: close\r\n\r\n"

/* ---------------------------------------------------------------- what is understood */

START_TEST(a_request_is_read_in_all_its_parts)
{
    struct buffer got = {0};
    start_server();
    ask_text("POST /a/b?c=d HTTP/1.1\r\nHost: h\r\nX-MARK:  m \r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody",
             &got);
    expect(&got, "HTTP/1.1 200 OK\r\n");
    expect(&got, "[POST /a/b ? c=d | m | body | 4]");
    ask_text("POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
             "2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n",
             &got);
    expect(&got, "[POST /c ?  |  | abcde | 3]");
    stop_server();
    buffer_close(&got);
}
END_TEST

START_TEST(an_empty_value_ends_its_header)
{
    struct buffer got = {0};
    start_server();
    ask_text("GET / HTTP/1.1\r\nHost: h\r\nX-Empty:\r\nX-Mark: m\r\n" CLOSE, &got);
    expect(&got, "[GET / ?  | m |  | 4]");
    ask_text("GET / HTTP/1.1\r\nHost: h\r\nX-Empty:   \r\nX-Mark: m\r\n" CLOSE, &got);
    expect(&got, "[GET / ?  | m |  | 4]");
    stop_server();
    buffer_close(&got);
}
END_TEST

START_TEST(a_request_may_come_byte_by_byte)
{
    static const char request[] = "GET /slow?q HTTP/1.1\r\nHost: h\r\nX-Mark: m\r\n" CLOSE;
    struct buffer got = {0};
    start_server();
    int fd = peer_connect(listener.port);
    for (size_t i = 0; i < sizeof request - 1; i++) {
        peer_send(fd, request + i, 1);
        usleep(500);
    }
    peer_read_all(fd, &got);
    expect(&got, "[GET /slow ? q | m |  | 3]");
    close(fd);
    stop_server();
    buffer_close(&got);
}
END_TEST

START_TEST(head_gets_the_length_and_no_body)
{
    struct buffer got = {0};
    start_server();
    ask_text("HEAD /x HTTP/1.1\r\nHost: h\r\n" CLOSE, &got);
    expect(&got, "Content-Length: ");
    ck_assert_int_eq(count(&got, "["), 0);
    stop_server();
    buffer_close(&got);
}
END_TEST

/* ---------------------------------------------------------------- connections */

START_TEST(a_connection_is_kept_for_the_next_request)
{
    struct buffer got = {0};
    start_server();
    int fd = peer_connect(listener.port);
    for (int i = 1; i <= 3; i++) {
        peer_send(fd, "GET /k HTTP/1.1\r\nHost: h\r\n\r\n", 28);
        peer_read_until(fd, &got, "[GET /k ?  |  |  | 1]", i);
    }
    ck_assert_int_eq(count(&got, "Connection: close"), 0);
    close(fd);
    stop_server();
    buffer_close(&got);
}
END_TEST

/* As clients that would like HTTP/2 ask. */
START_TEST(an_offer_to_upgrade_is_not_taken_and_the_connection_is_kept)
{
    static const char offer[] = "GET /offer HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\n"
                                "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n";
    static const char with_body[] = "POST /b HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n"
                                    "Content-Length: 4\r\n\r\nbody";
    static const char last[] = "GET /last HTTP/1.1\r\nHost: h\r\n" CLOSE;
    struct buffer got = {0};
    start_server();
    int fd = peer_connect(listener.port);
    for (int i = 1; i <= 2; i++) {
        peer_send(fd, offer, sizeof offer - 1);
        peer_read_until(fd, &got, "[GET /offer ?  |  |  | 4]", i);
    }
    peer_send(fd, with_body, sizeof with_body - 1);
    peer_read_until(fd, &got, "[POST /b ?  |  | body | 4]", 1);
    peer_send(fd, last, sizeof last - 1);
    peer_read_all(fd, &got);
    expect(&got, "[GET /last ?");
    ck_assert_int_eq(count(&got, "HTTP/1.1 200 OK"), 4);
    close(fd);
    stop_server();
    buffer_close(&got);
}
END_TEST

START_TEST(a_connection_of_http_1_0_is_closed_after_the_answer)
{
    struct buffer got = {0};
    start_server();
    ask_text("GET /old HTTP/1.0\r\n\r\n", &got);
    expect(&got, "[GET /old");
    expect(&got, "Connection: close");
    stop_server();
    buffer_close(&got);
}
END_TEST

START_TEST(requests_sent_at_once_are_answered_in_order)
{
    struct buffer got = {0};
    start_server();
    ask_text("GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\nGET /3 HTTP/1.1\r\nHost: h\r\n" CLOSE,
             &got);
    const char *one = strstr((const char *)got.data, "[GET /1"), *two = strstr((const char *)got.data, "[GET /2");
    const char *three = strstr((const char *)got.data, "[GET /3");
    ck_assert(one != NULL && two != NULL && three != NULL && one < two && two < three);
    stop_server();
    buffer_close(&got);
}
END_TEST

START_TEST(a_request_behind_one_that_takes_time_is_answered_though_nothing_more_comes)
{
    struct buffer got = {0};
    start_server();
    ask_text("GET /late/1 HTTP/1.1\r\nHost: h\r\n\r\nGET /late/2 HTTP/1.1\r\nHost: h\r\n\r\n"
             "GET /3 HTTP/1.1\r\nHost: h\r\n" CLOSE,
             &got);
    ck_assert_int_eq(count(&got, "HTTP/1.1 200"), 3);
    expect(&got, "[GET /3");
    stop_server();
    buffer_close(&got);
}
END_TEST

START_TEST(one_who_leaves_before_the_answer_harms_nobody)
{
    struct buffer got = {0};
    start_server();
    int fd = peer_connect(listener.port);
    peer_send(fd, "GET /late HTTP/1.1\r\nHost: h\r\n\r\n", 31);
    close(fd);
    ask_text("GET /next HTTP/1.1\r\nHost: h\r\n" CLOSE, &got);
    expect(&got, "[GET /next");
    stop_server();
    buffer_close(&got);
}
END_TEST

START_TEST(beyond_the_limit_the_one_whose_request_is_awaited_longest_gives_way)
{
    struct buffer got = {0};
    int fds[4];
    start_server();
    for (int i = 0; i < 4; i++) {
        struct buffer one = {0};
        fds[i] = peer_connect(listener.port);
        peer_send(fds[i], "GET /k HTTP/1.1\r\nHost: h\r\n\r\n", 28);
        peer_read_until(fds[i], &one, "[GET /k", 1);
        buffer_close(&one);
    }
    peer_send(fds[0], "GET /k HTTP/1.1\r\nHost: h\r\n\r\n", 28);
    peer_read_until(fds[0], &got, "[GET /k", 1);
    peer_send(fds[1], "GET /half HTTP/1.1\r\n", 20);
    ask_text("GET /new HTTP/1.1\r\nHost: h\r\n" CLOSE, &got);
    expect(&got, "[GET /new");
    buffer_clear(&got);
    peer_read_all(fds[1], &got);
    ck_assert_uint_eq(got.len, 0);
    for (int i = 0; i < 4; i++) {
        if (i != 1) {
            peer_send(fds[i], "GET /z HTTP/1.1\r\nHost: h\r\n\r\n", 28);
            peer_read_until(fds[i], &got, "[GET /z", 1);
            buffer_clear(&got);
        }
        close(fds[i]);
    }
    stop_server();
    buffer_close(&got);
}
END_TEST

START_TEST(beyond_the_limit_a_new_one_is_closed_where_all_are_being_answered)
{
    struct buffer got = {0};
    int fds[4];
    start_server();
    sem_init(&held, 0, 0);
    for (int i = 0; i < 4; i++) {
        fds[i] = peer_connect(listener.port);
        peer_send(fds[i], "GET /held HTTP/1.1\r\nHost: h\r\n\r\n", 31);
    }
    for (int i = 0; i < 4; i++)
        sem_wait(&held);
    int fd = peer_connect(listener.port);
    peer_read_all(fd, &got);
    ck_assert_uint_eq(got.len, 0);
    close(fd);
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    stop_server();
    buffer_close(&got);
}
END_TEST

/* ---------------------------------------------------------------- limits */

static void ask_long(const char *before, char fill, size_t times, const char *after, struct buffer *got)
{
    struct buffer request = {0};
    buffer_put(&request, before, strlen(before));
    memset(buffer_reserve(&request, times), fill, times);
    request.len += times;
    buffer_put(&request, after, strlen(after));
    ask((const char *)request.data, request.len, got);
    buffer_close(&request);
}

START_TEST(what_is_beyond_a_limit_is_refused_by_its_own_status)
{
    struct buffer got = {0};
    start_server();
    ask_long("GET /", 'a', HTTP_LINE_MAX, " HTTP/1.1\r\nHost: h\r\n" CLOSE, &got);
    expect(&got, "HTTP/1.1 414 ");
    ask_long("GET / HTTP/1.1\r\nHost: h\r\nX-Long: ", 'a', HTTP_LINE_MAX + HTTP_HEADER_BYTES_MAX, "\r\n" CLOSE, &got);
    expect(&got, "HTTP/1.1 431 ");
    ask_text("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n", &got);
    expect(&got, "HTTP/1.1 413 ");
    ask_long("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n", 'a', 1001, "\r\n0\r\n\r\n",
             &got);
    expect(&got, "HTTP/1.1 413 ");
    ask_long("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\nConnection: close\r\n\r\n", 'a', 1000, "", &got);
    expect(&got, "HTTP/1.1 200 ");
    stop_server();
    buffer_close(&got);
}
END_TEST

START_TEST(there_is_a_most_of_headers)
{
    struct buffer got = {0};
    start_server();
    for (int extra = 0; extra < 2; extra++) {
        struct buffer request = {0};
        buffer_printf(&request, "GET / HTTP/1.1\r\n");
        for (int i = 0; i < HTTP_HEADERS_MAX - 1 + extra; i++)
            buffer_printf(&request, "X-%d: 1\r\n", i);
        buffer_printf(&request, CLOSE);
        ask((const char *)request.data, request.len, &got);
        expect(&got, extra == 0 ? "HTTP/1.1 200 " : "HTTP/1.1 431 ");
        buffer_close(&request);
    }
    stop_server();
    buffer_close(&got);
}
END_TEST

/* ---------------------------------------------------------------- what must not be understood */

/* Two readers of such bytes may see different requests in them: one of them could be made to answer for another. */
static const char *const doubtful[] = {
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\nabcde",
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5 5\r\n\r\nabcde",
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length : 5\r\n\r\nabcde",
    "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\n X-Folded-First: 1\r\nno colon here\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\nX-Bad\x01: 1\r\n\r\n",
    "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET / HTTP/9.9\r\nHost: h\r\n\r\n",
    "GET\r\n\r\n",
    "HATO\x01\x00\x00\x00........................",
    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03............",
};

START_TEST(what_can_be_read_in_two_ways_is_refused_and_the_connection_closed)
{
    struct buffer got = {0};
    start_server();
    ask_text(doubtful[_i], &got);
    ck_assert_msg(strncmp((const char *)got.data, "HTTP/1.1 400 ", 13) == 0, "%s", (const char *)got.data);
    ck_assert_int_eq(count(&got, "HTTP/1.1"), 1);
    ask_text("GET /after HTTP/1.1\r\nHost: h\r\n" CLOSE, &got);
    expect(&got, "[GET /after");
    stop_server();
    buffer_close(&got);
}
END_TEST

START_TEST(what_follows_a_refused_request_is_not_read)
{
    struct buffer got = {0};
    start_server();
    ask_text("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2000\r\n\r\nGET /hidden HTTP/1.1\r\nHost: h\r\n\r\n", &got);
    ck_assert_int_eq(count(&got, "HTTP/1.1"), 1);
    ck_assert_int_eq(count(&got, "hidden"), 0);
    stop_server();
    buffer_close(&got);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("http");
    TCase *t = tcase_create("http");
    tcase_add_test(t, a_request_is_read_in_all_its_parts);
    tcase_add_test(t, an_empty_value_ends_its_header);
    tcase_add_test(t, a_request_may_come_byte_by_byte);
    tcase_add_test(t, head_gets_the_length_and_no_body);
    tcase_add_test(t, a_connection_is_kept_for_the_next_request);
    tcase_add_test(t, an_offer_to_upgrade_is_not_taken_and_the_connection_is_kept);
    tcase_add_test(t, a_connection_of_http_1_0_is_closed_after_the_answer);
    tcase_add_test(t, requests_sent_at_once_are_answered_in_order);
    tcase_add_test(t, a_request_behind_one_that_takes_time_is_answered_though_nothing_more_comes);
    tcase_add_test(t, one_who_leaves_before_the_answer_harms_nobody);
    tcase_add_test(t, beyond_the_limit_the_one_whose_request_is_awaited_longest_gives_way);
    tcase_add_test(t, beyond_the_limit_a_new_one_is_closed_where_all_are_being_answered);
    tcase_add_test(t, what_is_beyond_a_limit_is_refused_by_its_own_status);
    tcase_add_test(t, there_is_a_most_of_headers);
    tcase_add_loop_test(t, what_can_be_read_in_two_ways_is_refused_and_the_connection_closed, 0,
                        sizeof doubtful / sizeof doubtful[0]);
    tcase_add_test(t, what_follows_a_refused_request_is_not_read);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
