#include "net/stream.h"

#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "base/memory.h"
#include "unit/net/peer.h"

/* A server of one connection: frames of one byte of length and so many bytes, which it collects. */
static struct loop loop;
static struct listener listener;
static struct stream stream;
static struct stream_ops ops;
static struct buffer frames; /* the contents of all frames, a comma after each */
static int closed_why = 1;
static int drains;

static size_t take_frames(struct stream *s, struct bytes in)
{
    (void)s;
    size_t used = 0;
    while (used < in.len && in.len - used > in.data[used]) {
        buffer_put(&frames, in.data + used + 1, in.data[used]);
        buffer_u8(&frames, ',');
        used += 1u + in.data[used];
    }
    return used;
}

static void on_closed(struct stream *s, int why)
{
    (void)s;
    closed_why = why;
    listener_close(&listener, NULL);
    loop_stop(&loop);
}

static void on_drained(struct stream *s)
{
    (void)s;
    drains++;
}

static void (*when_accepted)(void);

static void on_accepted(struct listener *l, void *ctx)
{
    (void)ctx;
    stream_accept(&stream, &loop, (uv_stream_t *)&l->tcp, &ops);
    if (when_accepted != NULL)
        when_accepted();
}

static void *(*peer)(void *);
static pthread_t peer_thread;

static void serve(void)
{
    struct error e = {0};
    signal(SIGPIPE, SIG_IGN);
    if (ops.data == NULL)
        ops.data = take_frames;
    ops.drained = on_drained;
    ops.closed = on_closed;
    ck_assert_int_eq(loop_open(&loop, 0, &e), ERR_OK);
    ck_assert_int_eq(listener_open(&listener, &loop, "127.0.0.1:0", false, on_accepted, NULL, &e), ERR_OK);
    ck_assert_int_eq(listener_start(&listener, &e), ERR_OK);
    ck_assert_int_eq(pthread_create(&peer_thread, NULL, peer, NULL), 0);
    loop_run(&loop);
    pthread_join(peer_thread, NULL);
    loop_close(&loop);
    buffer_u8(&frames, 0);
}

/* ---------------------------------------------------------------- in */

static void *send_in_pieces(void *arg)
{
    (void)arg;
    static const char bytes[] = "\003abc\000\002de\001f";
    int fd = peer_connect(listener.port);
    for (size_t i = 0; i < sizeof bytes - 1; i++) {
        peer_send(fd, bytes + i, 1);
        usleep(1000);
    }
    close(fd);
    return NULL;
}

START_TEST(frames_come_whole_however_they_are_cut)
{
    peer = send_in_pieces;
    serve();
    ck_assert_str_eq((const char *)frames.data, "abc,,de,f,");
    ck_assert_int_eq(closed_why, UV_EOF);
    buffer_close(&frames);
}
END_TEST

enum { BIG = 9 * 1024 * 1024 };

static size_t asked;

static size_t take_big(struct stream *s, struct bytes in)
{
    asked++;
    if (in.len < BIG) {
        s->want = BIG;
        return 0;
    }
    size_t wrong = 0;
    for (size_t i = 0; i < BIG; i++)
        wrong += in.data[i] != i % 251;
    ck_assert_uint_eq(wrong, 0);
    stream_put(s, "ok", 2);
    stream_close_soon(s);
    return BIG;
}

/* ---------------------------------------------------------------- what is kept */

/* ---------------------------------------------------------------- no more than its part in a turn */

static size_t turn_most;
static size_t turn_sum;
static size_t all_came;
static struct turn turn_over;

static void on_turn_over(struct turn *turn)
{
    (void)turn;
    turn_most = turn_sum > turn_most ? turn_sum : turn_most;
    turn_sum = 0;
}

static size_t take_all(struct stream *s, struct bytes in)
{
    turn_over.run = on_turn_over;
    loop_at_turn_end(s->loop, TURN_SHARD, &turn_over);
    turn_sum += in.len;
    all_came += in.len;
    usleep(2000); /* so that there is more */
    if (all_came == BIG)
        stream_close(s);
    return in.len;
}

static void *send_much_at_once(void *arg)
{
    (void)arg;
    int fd = peer_connect(listener.port);
    char *much = memory_zero(BIG, 1);
    peer_send(fd, much, BIG);
    memory_free(much);
    usleep(1000);
    close(fd);
    return NULL;
}

START_TEST(who_sends_much_is_read_in_several_turns)
{
    ops.data = take_all;
    peer = send_much_at_once;
    serve();
    ck_assert_uint_eq(all_came, BIG);
    ck_assert_uint_lt(turn_most, STREAM_TURN_BYTES + LOOP_SCRATCH);
}
END_TEST

static struct stream_budget budget = {.bytes_max = 1 << 20};
static size_t kept_most;

static size_t want_all(struct stream *s, struct bytes in)
{
    s->want = BIG;
    kept_most = in.len;
    return 0;
}

static void on_crowded(struct stream *s)
{
    kept_most = s->in.len;
    stream_put(s, "full", 4);
    stream_close_soon(s);
}

static void give_budget(void)
{
    stream.budget = &budget;
}

static void *announce_big(void *arg)
{
    (void)arg;
    int fd = peer_connect(listener.port);
    uint8_t *bytes = memory_zero(1, BIG);
    size_t sent = 0; /* as far as the server reads */
    for (ssize_t n; sent < BIG && (n = send(fd, bytes + sent, BIG - sent, MSG_NOSIGNAL)) > 0;)
        sent += (size_t)n;
    memory_free(bytes);
    close(fd);
    return NULL;
}

START_TEST(frames_that_are_begun_share_a_budget)
{
    ops.data = want_all;
    ops.crowded = on_crowded;
    when_accepted = give_budget;
    atomic_store(&budget.bytes, 100 * 1024); /* others have this much */
    peer = announce_big;
    serve();
    ck_assert_uint_gt(kept_most, (1 << 20) - 100 * 1024);
    ck_assert_uint_lt(kept_most, BIG); /* it was refused long before the frame was there */
    ck_assert_uint_eq(atomic_load(&budget.bytes), 100 * 1024);
    buffer_close(&frames);
}
END_TEST

static void *announce_little(void *arg)
{
    (void)arg;
    int fd = peer_connect(listener.port);
    peer_send(fd, (uint8_t[30000]){0}, 30000);
    close(fd);
    return NULL;
}

START_TEST(the_beginning_of_a_frame_is_free)
{
    ops.data = want_all;
    when_accepted = give_budget;
    atomic_store(&budget.bytes, 2 << 20); /* more than there is */
    peer = announce_little;
    serve();
    ck_assert_int_eq(closed_why, UV_EOF);
    ck_assert_uint_eq(atomic_load(&budget.bytes), 2 << 20);
    buffer_close(&frames);
}
END_TEST

static void *send_big(void *arg)
{
    (void)arg;
    int fd = peer_connect(listener.port);
    uint8_t *bytes = memory_alloc(BIG);
    for (size_t i = 0; i < BIG; i++)
        bytes[i] = (uint8_t)(i % 251);
    peer_send(fd, bytes, BIG);
    memory_free(bytes);
    struct buffer in = {0};
    peer_read_all(fd, &in);
    ck_assert_str_eq((const char *)in.data, "ok");
    buffer_close(&in);
    close(fd);
    return NULL;
}

START_TEST(a_large_frame_is_asked_about_at_its_beginning_and_when_it_is_whole)
{
    ops.data = take_big;
    peer = send_big;
    serve();
    ck_assert_uint_eq(asked, 2);
    ck_assert_int_eq(closed_why, 0);
    buffer_close(&frames);
}
END_TEST

static uv_timer_t resume_timer;

static void on_resume(uv_timer_t *t)
{
    (void)t;
    stream_resume(&stream);
}

/* Takes one frame at a time and is busy with it for a moment. */
static size_t take_one(struct stream *s, struct bytes in)
{
    if (stream.paused_by_owner || in.len == 0 || in.len <= in.data[0])
        return 0;
    buffer_put(&frames, in.data + 1, in.data[0]);
    buffer_u8(&frames, ',');
    if (frames.len == 6) {
        uv_close((uv_handle_t *)&resume_timer, NULL);
        stream_close(s);
        return 0;
    }
    stream_pause(s);
    uv_timer_start(&resume_timer, on_resume, 5, 0);
    return 1u + in.data[0];
}

static void *send_three_and_wait(void *arg)
{
    (void)arg;
    int fd = peer_connect(listener.port);
    peer_send(fd, "\001a\001b\001c", 6);
    struct buffer in = {0};
    peer_read_all(fd, &in);
    buffer_close(&in);
    close(fd);
    return NULL;
}

static void init_timer(void)
{
    uv_timer_init(&loop.uv, &resume_timer);
}

START_TEST(what_came_before_a_pause_is_given_after_it_though_nothing_more_comes)
{
    when_accepted = init_timer;
    ops.data = take_one;
    peer = send_three_and_wait;
    serve();
    ck_assert_str_eq((const char *)frames.data, "a,b,c,");
    buffer_close(&frames);
}
END_TEST

/* ---------------------------------------------------------------- out */

static void *say_all_and_listen(void *arg)
{
    (void)arg;
    int fd = peer_connect(listener.port);
    peer_send(fd, "\001a", 2);
    shutdown(fd, SHUT_WR);
    struct buffer in = {0};
    peer_read_all(fd, &in);
    ck_assert_str_eq((const char *)in.data, "answer");
    buffer_close(&in);
    close(fd);
    return NULL;
}

static size_t answer(struct stream *s, struct bytes in)
{
    stream_put(s, "answer", 6);
    return in.len;
}

START_TEST(a_peer_that_has_said_all_still_gets_its_answer)
{
    ops.data = answer;
    peer = say_all_and_listen;
    serve();
    ck_assert_int_eq(closed_why, UV_EOF);
    buffer_close(&frames);
}
END_TEST

enum { FLOOD = STREAM_BACKLOG_PAUSE + 100 * 1024 };

static void put_flood(void)
{
    char *bytes = memory_zero(1, FLOOD);
    stream_put(&stream, bytes, FLOOD);
    memory_free(bytes);
    ck_assert_uint_gt(stream_backlog(&stream), STREAM_BACKLOG_PAUSE);
    ck_assert(!stream.reading);
    stream_close_soon(&stream);
}

static void *read_everything(void *arg)
{
    (void)arg;
    int fd = peer_connect(listener.port);
    struct buffer in = {0};
    peer_read_all(fd, &in);
    ck_assert_uint_eq(in.len, FLOOD);
    buffer_close(&in);
    close(fd);
    return NULL;
}

/* Who sees a large backlog waits for `drained`: it has to come even when the kernel takes so much at once that the backlog is
 * small again before the loop waits. */
START_TEST(a_large_backlog_is_always_followed_by_drained)
{
    when_accepted = put_flood;
    peer = read_everything;
    serve();
    ck_assert_int_eq(drains, 1);
    ck_assert_int_eq(closed_why, 0);
    buffer_close(&frames);
}
END_TEST

static void put_too_much(void)
{
    char *bytes = memory_zero(1, FLOOD);
    stream.backlog_max = 3 * (size_t)FLOOD;
    for (int i = 0; i < 10; i++)
        stream_put(&stream, bytes, FLOOD);
    ck_assert_uint_le(stream_backlog(&stream), 4 * (size_t)FLOOD);
    memory_free(bytes);
}

static void *connect_and_wait(void *arg)
{
    (void)arg;
    int fd = peer_connect(listener.port);
    struct buffer in = {0};
    peer_read_all(fd, &in);
    buffer_close(&in);
    close(fd);
    return NULL;
}

START_TEST(a_backlog_beyond_its_limit_closes_the_stream_within_the_turn)
{
    when_accepted = put_too_much;
    peer = connect_and_wait;
    serve();
    ck_assert_int_eq(closed_why, UV_ENOBUFS);
    buffer_close(&frames);
}
END_TEST

/* ---------------------------------------------------------------- addresses */

START_TEST(only_addresses_of_this_machine_are_loopback)
{
    bool is = false;
    struct error e = {0};
    static const char *const own[] = {"127.0.0.1:1", "127.9.9.9:0", "localhost:80", "[::1]:65535"};
    static const char *const open[] = {"0.0.0.0:1", "[::]:1", "10.0.0.1:1"};
    static const char *const wrong[] = {"",      ":1", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536",
                                        "host:1"};
    for (size_t i = 0; i < 4; i++) {
        ck_assert_int_eq(address_is_loopback(own[i], &is, &e), ERR_OK);
        ck_assert_msg(is, "%s", own[i]);
    }
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(address_is_loopback(open[i], &is, &e), ERR_OK);
        ck_assert_msg(!is, "%s", open[i]);
    }
    for (size_t i = 0; i < 7; i++)
        ck_assert_msg(address_is_loopback(wrong[i], &is, &e) == ERR_INVALID, "%s", wrong[i]);
}
END_TEST

START_TEST(a_port_shared_among_loops_is_not_shared_with_another_process)
{
    struct error e = {0};
    struct listener first, second;
    char address[32];
    ck_assert_int_eq(loop_open(&loop, 0, &e), ERR_OK);
    ck_assert_int_eq(listener_open(&first, &loop, "127.0.0.1:0", true, on_accepted, NULL, &e), ERR_OK);
    snprintf(address, sizeof address, "127.0.0.1:%d", first.port);
    ck_assert_int_eq(listener_open(&second, &loop, address, true, on_accepted, NULL, &e), ERR_OK);
    ck_assert_int_eq(listener_start(&first, &e), ERR_OK);
    ck_assert_int_eq(listener_start(&second, &e), ERR_OK);
    ck_assert_int_eq(listener_probe(address, &e), ERR_IO);
    listener_close(&first, NULL);
    listener_close(&second, NULL);
    loop_stop(&loop);
    loop_run(&loop);
    loop_close(&loop);
    ck_assert_int_eq(listener_probe(address, &e), ERR_OK);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("stream");
    TCase *t = tcase_create("stream");
    tcase_add_test(t, frames_come_whole_however_they_are_cut);
    tcase_add_test(t, a_large_frame_is_asked_about_at_its_beginning_and_when_it_is_whole);
    tcase_add_test(t, who_sends_much_is_read_in_several_turns);
    tcase_add_test(t, frames_that_are_begun_share_a_budget);
    tcase_add_test(t, the_beginning_of_a_frame_is_free);
    tcase_add_test(t, what_came_before_a_pause_is_given_after_it_though_nothing_more_comes);
    tcase_add_test(t, a_peer_that_has_said_all_still_gets_its_answer);
    tcase_add_test(t, a_large_backlog_is_always_followed_by_drained);
    tcase_add_test(t, a_backlog_beyond_its_limit_closes_the_stream_within_the_turn);
    tcase_add_test(t, a_port_shared_among_loops_is_not_shared_with_another_process);
    tcase_add_test(t, only_addresses_of_this_machine_are_loopback);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
