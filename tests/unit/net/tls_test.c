/* TLS on streams, over real sockets: the side that dials and the side that is dialled share one loop. */
#include "net/tls.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "net/stream.h"
#include "unit/net/certificates.h"

static struct loop loop;
static struct listener listener;
static struct error e;
static char dir[64];

struct side {
    struct stream stream;
    struct tls_context *context;
    struct buffer in;
    size_t wanted; /* bytes after which it answers (the dialled side) or closes */
    bool connected;
    bool closed;
    int why;
    char reason[ERROR_MESSAGE_MAX];
};
static struct side dialler, dialled;

static struct side *side_of(struct stream *s)
{
    return s == &dialler.stream ? &dialler : &dialled;
}

static void on_connected(struct stream *s)
{
    side_of(s)->connected = true;
}

static size_t on_data(struct stream *s, struct bytes in)
{
    struct side *x = side_of(s);
    ck_assert(x->connected);
    buffer_put(&x->in, in.data, in.len);
    if (x->in.len < x->wanted)
        return in.len;
    if (x == &dialled)
        stream_put(s, x->in.data, x->in.len);
    else
        stream_close(s);
    return in.len;
}

static void on_closed(struct stream *s, int why)
{
    struct side *x = side_of(s);
    x->closed = true;
    x->why = why;
    snprintf(x->reason, sizeof x->reason, "%s", stream_why(s));
    if (!dialler.closed || !dialled.closed)
        return;
    listener_close(&listener, NULL);
    loop_stop(&loop);
}

static const struct stream_ops ops = {.connected = on_connected, .data = on_data, .closed = on_closed};

static void on_accepted(struct listener *l, void *ctx)
{
    (void)ctx;
    stream_accept(&dialled.stream, &loop, (uv_stream_t *)&l->tcp, &ops);
    if (dialled.context != NULL)
        stream_secure(&dialled.stream, tls_create(dialled.context, NULL));
}

static const char *path(const char *name)
{
    static char paths[8][96];
    static int next;
    char *p = paths[next++ % 8];
    snprintf(p, sizeof paths[0], "%s/%s", dir, name);
    return p;
}

static struct authority ours, foreign;

static struct tls_context *context(const char *certificate, const char *key, const char *ca)
{
    struct tls_context *c = NULL;
    const struct tls_files files = {path(certificate), path(key), path(ca)};
    ck_assert_msg(tls_context_create(&files, &c, &e) == ERR_OK, "%s", e.message);
    return c;
}

static void setup(void)
{
    signal(SIGPIPE, SIG_IGN);
    snprintf(dir, sizeof dir, "/tmp/hato-tls-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ours = authority_make("ours", path("ca"));
    foreign = authority_make("foreign", path("foreign-ca"));
    authority_issue(&ours, "node-1", "IP:127.0.0.1", -DAY_S, DAY_S, path("one"), path("one.key"));
    authority_issue(&ours, "node-2", "DNS:elsewhere", -DAY_S, DAY_S, path("two"), path("two.key"));
    authority_issue(&ours, "late", "IP:127.0.0.1", -2 * DAY_S, -DAY_S, path("late"), path("late.key"));
    authority_issue(&foreign, "stranger", "IP:127.0.0.1", -DAY_S, DAY_S, path("stranger"), path("stranger.key"));
}

static void teardown(void)
{
    char command[96];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    ck_assert_int_eq(system(command), 0);
    authority_free(&ours);
    authority_free(&foreign);
    tls_context_destroy(dialler.context);
    tls_context_destroy(dialled.context);
    buffer_close(&dialler.in);
    buffer_close(&dialled.in);
}

static void begin(void)
{
    ck_assert_int_eq(loop_open(&loop, 0, &e), ERR_OK);
    ck_assert_int_eq(listener_open(&listener, &loop, "127.0.0.1:0", false, on_accepted, NULL, &e), ERR_OK);
    ck_assert_int_eq(listener_start(&listener, &e), ERR_OK);
    struct sockaddr_in to;
    uv_ip4_addr("127.0.0.1", listener.port, &to);
    stream_connect(&dialler.stream, &loop, (const struct sockaddr *)&to, &ops);
    if (dialler.context != NULL)
        stream_secure(&dialler.stream, tls_create(dialler.context, "127.0.0.1"));
}

static void end(void)
{
    loop_run(&loop);
    loop_close(&loop);
}

enum { BIG = 5 * 1000 * 1000 };

static void echo_big(void)
{
    uint8_t *bytes = memory_alloc(BIG);
    for (size_t i = 0; i < BIG; i++)
        bytes[i] = (uint8_t)(i % 251);
    dialler.wanted = dialled.wanted = BIG;
    begin();
    stream_put(&dialler.stream, bytes, BIG); /* long before it is connected */
    end();
    ck_assert_uint_eq(dialler.in.len, BIG);
    ck_assert_int_eq(memcmp(dialler.in.data, bytes, BIG), 0);
    ck_assert_int_eq(dialler.why, 0);
    memory_free(bytes);
}

START_TEST(what_is_put_before_the_connection_is_there_leaves_once_it_is)
{
    dialled.connected = true; /* nothing to wait for on a stream that is accepted without TLS */
    echo_big();
    ck_assert(dialler.connected);
}
END_TEST

START_TEST(both_sides_of_one_authority_understand_each_other)
{
    dialled.context = context("one", "one.key", "ca");
    dialler.context = context("two", "two.key", "ca"); /* only the dialled side's host is looked at */
    echo_big();
    ck_assert(dialler.connected && dialled.connected);
}
END_TEST

static void refused(const char *by_dialler, const char *by_dialled)
{
    dialler.wanted = dialled.wanted = BIG;
    begin();
    stream_put(&dialler.stream, "hello", 5);
    end();
    ck_assert_uint_eq(dialled.in.len, 0);
    ck_assert_msg(strstr(dialler.reason, by_dialler) != NULL, "%s", dialler.reason);
    ck_assert_msg(strstr(dialled.reason, by_dialled) != NULL, "%s", dialled.reason);
}

START_TEST(a_certificate_of_another_authority_is_refused_by_name)
{
    dialled.context = context("one", "one.key", "ca");
    dialler.context = context("stranger", "stranger.key", "ca");
    refused("refused this side's certificate", "/CN=stranger is refused");
}
END_TEST

START_TEST(a_certificate_whose_time_is_over_is_refused_with_that_reason)
{
    dialled.context = context("late", "late.key", "ca");
    dialler.context = context("one", "one.key", "ca");
    refused("/CN=late is refused: certificate has expired", "alert");
}
END_TEST

START_TEST(a_certificate_for_another_host_is_refused_by_who_dialled)
{
    dialled.context = context("two", "two.key", "ca");
    dialler.context = context("one", "one.key", "ca");
    refused("/CN=node-2 is refused: IP address mismatch", "refused this side's certificate");
}
END_TEST

START_TEST(who_does_not_speak_TLS_is_refused)
{
    dialled.context = context("one", "one.key", "ca");
    refused("end of file", "does not speak TLS");
}
END_TEST

static void on_never_connected(struct stream *s)
{
    (void)s;
    ck_abort_msg("connected to a port where nobody listens");
}

static void on_not_there(struct stream *s, int why)
{
    dialler.why = why;
    snprintf(dialler.reason, sizeof dialler.reason, "%s", stream_why(s));
    loop_stop(&loop);
}

START_TEST(a_port_where_nobody_listens_is_told_as_that)
{
    static const struct stream_ops not_there = {
        .connected = on_never_connected, .data = on_data, .closed = on_not_there};
    ck_assert_int_eq(loop_open(&loop, 0, &e), ERR_OK);
    ck_assert_int_eq(listener_open(&listener, &loop, "127.0.0.1:0", false, on_accepted, NULL, &e), ERR_OK);
    struct sockaddr_in to;
    uv_ip4_addr("127.0.0.1", listener.port, &to);
    stream_connect(&dialler.stream, &loop, (const struct sockaddr *)&to, &not_there);
    stream_put(&dialler.stream, "hello", 5);
    loop_run(&loop);
    ck_assert_int_eq(dialler.why, UV_ECONNREFUSED);
    ck_assert_ptr_nonnull(strstr(dialler.reason, "refused"));
}
END_TEST

START_TEST(a_dialling_that_takes_too_long_can_be_ended)
{
    static const struct stream_ops not_there = {
        .connected = on_never_connected, .data = on_data, .closed = on_not_there};
    struct sockaddr_in to;
    ck_assert_int_eq(loop_open(&loop, 0, &e), ERR_OK);
    uv_ip4_addr("127.0.0.1", 1, &to);
    stream_connect(&dialler.stream, &loop, (const struct sockaddr *)&to, &not_there);
    stream_close(&dialler.stream);
    loop_run(&loop);
    loop_close(&loop);
    ck_assert_int_eq(dialler.why, 0);
}
END_TEST

static void cannot(const struct tls_files *files, const char *text)
{
    struct tls_context *c = NULL;
    ck_assert_int_eq(tls_context_create(files, &c, &e), ERR_INVALID);
    ck_assert_msg(strstr(e.message, text) != NULL, "%s", e.message);
}

START_TEST(files_that_cannot_be_used_are_named)
{
    cannot(&(struct tls_files){path("none"), path("one.key"), path("ca")}, "none");
    cannot(&(struct tls_files){path("one"), path("one"), path("ca")}, "key");
    cannot(&(struct tls_files){path("one"), path("two.key"), path("ca")}, "does not belong");
    cannot(&(struct tls_files){path("one"), path("one.key"), path("one.key")}, "ca ");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tls");
    TCase *t = tcase_create("tls");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, what_is_put_before_the_connection_is_there_leaves_once_it_is);
    tcase_add_test(t, both_sides_of_one_authority_understand_each_other);
    tcase_add_test(t, a_certificate_of_another_authority_is_refused_by_name);
    tcase_add_test(t, a_certificate_whose_time_is_over_is_refused_with_that_reason);
    tcase_add_test(t, a_certificate_for_another_host_is_refused_by_who_dialled);
    tcase_add_test(t, who_does_not_speak_TLS_is_refused);
    tcase_add_test(t, a_port_where_nobody_listens_is_told_as_that);
    tcase_add_test(t, a_dialling_that_takes_too_long_can_be_ended);
    tcase_add_test(t, files_that_cannot_be_used_are_named);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
