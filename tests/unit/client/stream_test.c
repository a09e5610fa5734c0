/* Streams: credit, coming back, ending. */
#include "client/harness.h"

struct consumer {
    struct hato_stream *stream;
    unsigned delivered;
    unsigned ended;
    int end_code;
    char first[32];
    bool close_in_callback;
};

static void take(void *user, struct hato_stream *stream, const struct hato_delivery *deliveries, size_t count)
{
    struct consumer *c = user;
    ck_assert_ptr_eq(stream, c->stream);
    if (c->delivered == 0)
        copy_text(c->first, sizeof c->first, deliveries[0].message.body, deliveries[0].message.body_len);
    c->delivered += (unsigned)count;
    if (c->close_in_callback)
        hato_stream_close(stream);
}

static void ended(void *user, const struct hato_error *error)
{
    struct consumer *c = user;
    c->ended++;
    c->end_code = error->code;
}

static void open_stream(struct harness *h, struct consumer *c, uint32_t credit)
{
    struct hato_stream_options options = {.credit = credit};
    *c = (struct consumer){0};
    c->stream = hato_stream_open(h->client, "jobs", &options, take, ended, c);
}

/* The broker: keeps silent to all but what closes a stream, settles or pings. */
static void only_ends(struct double_broker *b, struct double_peer *p, const Hato__Request *r)
{
    see(b->user, p, r);
    if (r->op_case == HATO__REQUEST__OP_STREAM_CLOSE)
        double_stream_end(p, r->stream_close->stream, 0);
    if (r->op_case == HATO__REQUEST__OP_NACK)
        double_settled(p, r->id, NULL, 0);
    if (r->op_case == HATO__REQUEST__OP_PING)
        double_empty(p, r->id);
}

START_TEST(deliveries_come_without_asking_and_credit_is_told_once_a_turn)
{
    struct harness *h = harness_open(only_ends, NULL);
    struct consumer c;
    open_stream(h, &c, 10);
    RUN_UNTIL(h, h->seen_count == 1);
    ck_assert_int_eq(h->seen[0].op, HATO__REQUEST__OP_STREAM_OPEN);
    ck_assert_uint_eq(h->seen[0].number, 10);
    double_deliver(h->broker.last, h->seen[0].id, true, 1, 3);
    double_deliver(h->broker.last, h->seen[0].id, true, 4, 2);
    RUN_UNTIL(h, c.delivered == 5);
    ck_assert_str_eq(c.first, "body 1");
    hato_stream_credit(c.stream, 2);
    hato_stream_credit(c.stream, 3);
    RUN_UNTIL(h, h->seen_count == 2);
    ck_assert_int_eq(h->seen[1].op, HATO__REQUEST__OP_STREAM_CREDIT);
    ck_assert_uint_eq(h->seen[1].number, 5);
    ck_assert_uint_eq(h->seen[1].id, h->seen[0].id);
    harness_close(h);
    ck_assert_uint_eq(c.ended, 1);
    ck_assert_int_eq(c.end_code, HATO_CLOSED);
}
END_TEST

START_TEST(after_a_lost_connection_a_stream_opens_with_the_credit_that_is_left)
{
    struct harness *h = harness_open(only_ends, NULL);
    struct consumer c;
    open_stream(h, &c, 10);
    RUN_UNTIL(h, h->seen_count == 1);
    double_deliver(h->broker.last, h->seen[0].id, true, 1, 7);
    RUN_UNTIL(h, c.delivered == 7);
    double_hang_up(h->broker.last);
    RUN_UNTIL(h, h->lost == 1);
    hato_stream_credit(c.stream, 4);
    RUN_UNTIL(h, h->seen_count == 2);
    ck_assert_int_eq(h->seen[1].op, HATO__REQUEST__OP_STREAM_OPEN);
    ck_assert_uint_eq(h->seen[1].connection, 2);
    ck_assert_uint_eq(h->seen[1].number, 7);
    double_deliver(h->broker.last, h->seen[1].id, true, 8, 1);
    RUN_UNTIL(h, c.delivered == 8);
    ck_assert_uint_eq(c.ended, 0);
    harness_close(h);
}
END_TEST

START_TEST(a_stream_without_credit_opens_again_when_there_is_some)
{
    struct harness *h = harness_open(only_ends, NULL);
    struct consumer c;
    open_stream(h, &c, 3);
    RUN_UNTIL(h, h->seen_count == 1);
    double_deliver(h->broker.last, h->seen[0].id, true, 1, 3);
    RUN_UNTIL(h, c.delivered == 3);
    double_hang_up(h->broker.last);
    RUN_UNTIL(h, h->connected == 2);
    struct outcome o = {0};
    hato_ping(h->client, record, &o);
    RUN_UNTIL(h, o.times > 0);
    ck_assert_uint_eq(h->seen_count, 2); /* the ping only */
    hato_stream_credit(c.stream, 2);
    RUN_UNTIL(h, h->seen_count == 3);
    ck_assert_int_eq(h->seen[2].op, HATO__REQUEST__OP_STREAM_OPEN);
    ck_assert_uint_eq(h->seen[2].number, 2);
    harness_close(h);
}
END_TEST

START_TEST(closing_a_stream_gives_back_what_was_on_its_way)
{
    struct harness *h = harness_open(answer_nothing, NULL);
    struct consumer c;
    open_stream(h, &c, 10);
    RUN_UNTIL(h, h->seen_count == 1);
    uint64_t id = h->seen[0].id;
    double_deliver(h->broker.last, id, true, 1, 1);
    RUN_UNTIL(h, c.delivered == 1);
    hato_stream_close(c.stream);
    RUN_UNTIL(h, h->seen_count == 2);
    ck_assert_int_eq(h->seen[1].op, HATO__REQUEST__OP_STREAM_CLOSE);
    double_deliver(h->broker.last, id, true, 2, 2);
    RUN_UNTIL(h, h->seen_count == 3);
    ck_assert_int_eq(h->seen[2].op, HATO__REQUEST__OP_NACK);
    ck_assert_str_eq(h->seen[2].first, "receipt 2");
    ck_assert_uint_eq(h->seen[2].items, 2);
    ck_assert(h->seen[2].uncounted);
    ck_assert_uint_eq(c.ended, 0);
    double_stream_end(h->broker.last, id, 0);
    RUN_UNTIL(h, c.ended > 0);
    ck_assert_int_eq(c.end_code, HATO_OK);
    ck_assert_uint_eq(c.delivered, 1);
    harness_close(h);
    ck_assert_uint_eq(c.ended, 1);
}
END_TEST

START_TEST(a_stream_may_be_closed_from_its_callback)
{
    struct harness *h = harness_open(only_ends, NULL);
    struct consumer c;
    open_stream(h, &c, 10);
    c.close_in_callback = true;
    RUN_UNTIL(h, h->seen_count == 1);
    double_deliver(h->broker.last, h->seen[0].id, true, 1, 2);
    RUN_UNTIL(h, c.ended > 0);
    ck_assert_int_eq(c.end_code, HATO_OK);
    ck_assert_uint_eq(c.delivered, 2);
    harness_close(h);
}
END_TEST

START_TEST(a_close_that_is_never_answered_ends_at_the_timeout)
{
    struct hato_options options = {.timeout_ms = 20};
    struct harness *h = harness_open(answer_nothing, &options);
    struct consumer c;
    open_stream(h, &c, 10);
    RUN_UNTIL(h, h->seen_count == 1);
    hato_stream_close(c.stream);
    RUN_UNTIL(h, c.ended > 0);
    ck_assert_int_eq(c.end_code, HATO_OK);
    harness_close(h);
}
END_TEST

START_TEST(a_stream_closed_while_there_is_no_connection_ends)
{
    struct harness *h = harness_open(only_ends, NULL);
    struct consumer c;
    open_stream(h, &c, 10);
    RUN_UNTIL(h, h->seen_count == 1);
    double_close(&h->broker);
    RUN_UNTIL(h, h->lost > 0);
    hato_stream_close(c.stream);
    RUN_UNTIL(h, c.ended > 0);
    ck_assert_int_eq(c.end_code, HATO_OK);
    harness_close(h);
}
END_TEST

START_TEST(a_stream_that_the_broker_ends_for_good_tells_why)
{
    struct harness *h = harness_open(only_ends, NULL);
    struct consumer c[2];
    open_stream(h, &c[0], 10);
    open_stream(h, &c[1], 10);
    RUN_UNTIL(h, h->seen_count == 2);
    double_stream_end(h->broker.last, h->seen[0].id, HATO_NOT_FOUND);
    double_refuse(h->broker.last, h->seen[1].id, HATO_FORBIDDEN, "queue", "not yours");
    RUN_UNTIL(h, c[0].ended > 0 && c[1].ended > 0);
    ck_assert_int_eq(c[0].end_code, HATO_NOT_FOUND);
    ck_assert_int_eq(c[1].end_code, HATO_FORBIDDEN);
    harness_close(h);
    ck_assert_uint_eq(c[0].ended, 1);
}
END_TEST

START_TEST(a_stream_that_the_broker_ends_for_now_is_opened_again)
{
    struct harness *h = harness_open(only_ends, NULL);
    struct consumer c;
    open_stream(h, &c, 10);
    RUN_UNTIL(h, h->seen_count == 1);
    double_deliver(h->broker.last, h->seen[0].id, true, 1, 4);
    double_stream_end(h->broker.last, h->seen[0].id, HATO_NOT_LEADER);
    RUN_UNTIL(h, h->seen_count == 2);
    ck_assert_int_eq(h->seen[1].op, HATO__REQUEST__OP_STREAM_OPEN);
    ck_assert_uint_eq(h->seen[1].number, 6);
    ck_assert_uint_eq(c.ended, 0);
    harness_close(h);
}
END_TEST

START_TEST(a_stream_with_wrong_options_ends_in_a_later_turn)
{
    struct harness *h = harness_open(only_ends, NULL);
    struct consumer c;
    open_stream(h, &c, 100001);
    ck_assert_uint_eq(c.ended, 0);
    RUN_UNTIL(h, c.ended > 0);
    ck_assert_int_eq(c.end_code, HATO_INVALID);
    ck_assert_uint_eq(h->seen_count, 0);
    harness_close(h);
}
END_TEST

START_TEST(a_stream_that_never_reaches_a_broker_ends_when_patience_does)
{
    struct hato_options options = {.first_connect_ms = 1};
    struct harness *h = harness_open(only_ends, &options);
    double_stop_listening(&h->broker);
    struct consumer c;
    open_stream(h, &c, 10);
    RUN_UNTIL(h, c.ended > 0);
    ck_assert_int_eq(c.end_code, HATO_IO);
    harness_close(h);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client/stream");
    TCase *tc = tcase_create("stream");
    tcase_set_timeout(tc, HARNESS_TIMEOUT_S);
    tcase_add_test(tc, deliveries_come_without_asking_and_credit_is_told_once_a_turn);
    tcase_add_test(tc, after_a_lost_connection_a_stream_opens_with_the_credit_that_is_left);
    tcase_add_test(tc, a_stream_without_credit_opens_again_when_there_is_some);
    tcase_add_test(tc, closing_a_stream_gives_back_what_was_on_its_way);
    tcase_add_test(tc, a_stream_may_be_closed_from_its_callback);
    tcase_add_test(tc, a_close_that_is_never_answered_ends_at_the_timeout);
    tcase_add_test(tc, a_stream_closed_while_there_is_no_connection_ends);
    tcase_add_test(tc, a_stream_that_the_broker_ends_for_good_tells_why);
    tcase_add_test(tc, a_stream_that_the_broker_ends_for_now_is_opened_again);
    tcase_add_test(tc, a_stream_with_wrong_options_ends_in_a_later_turn);
    tcase_add_test(tc, a_stream_that_never_reaches_a_broker_ends_when_patience_does);
    suite_add_tcase(suite, tc);
    return harness_run(suite);
}
