/* Calls on a connection that works: batching, order, results, limits, timeouts, cancelling, closing. */
#include "client/harness.h"

START_TEST(sends_of_one_turn_share_a_request)
{
    struct harness *h = harness_open(answer_well, NULL);
    RUN_UNTIL(h, hato_client_connected(h->client));
    struct outcome o[50] = {0};
    for (unsigned i = 0; i < 50; i++)
        send_text(h, "jobs", "hello", &o[i]);
    RUN_UNTIL(h, o[49].times > 0);
    ck_assert_uint_eq(h->seen_count, 1);
    ck_assert_uint_eq(h->seen[0].items, 50);
    for (unsigned i = 0; i < 50; i++) {
        char id[32];
        snprintf(id, sizeof id, "m%u", i + 1);
        ck_assert_uint_eq(o[i].times, 1);
        ck_assert_int_eq(o[i].code, HATO_OK);
        ck_assert_str_eq(o[i].id, id);
        ck_assert_uint_eq(o[i].sent, 1);
    }
    harness_close(h);
}
END_TEST

START_TEST(each_queue_gets_its_own_request_and_numbers_without_gaps)
{
    struct harness *h = harness_open(answer_well, NULL);
    RUN_UNTIL(h, hato_client_connected(h->client));
    struct outcome o[6] = {0};
    for (unsigned i = 0; i < 6; i++)
        send_text(h, i % 2 == 0 ? "a" : "b", "hello", &o[i]);
    RUN_UNTIL(h, o[4].times > 0 && o[5].times > 0);
    ck_assert_uint_eq(h->seen_count, 2);
    ck_assert_str_eq(h->seen[0].queue, "a");
    ck_assert_uint_eq(h->seen[0].sequence, 1);
    ck_assert_uint_eq(h->seen[0].items, 3);
    ck_assert_str_eq(h->seen[1].queue, "b");
    ck_assert_uint_eq(h->seen[1].sequence, 4);
    ck_assert_uint_ne(h->seen[0].producer, 0);
    ck_assert_uint_eq(h->seen[0].producer, h->seen[1].producer);
    harness_close(h);
}
END_TEST

START_TEST(a_request_holds_at_most_a_thousand_messages_and_the_limit_of_bytes)
{
    struct hato_options options = {.batch_bytes_max = 10000};
    struct harness *h = harness_open(answer_well, &options);
    RUN_UNTIL(h, hato_client_connected(h->client));
    static struct outcome o[2500];
    memset(o, 0, sizeof o);
    for (unsigned i = 0; i < 2500; i++)
        send_text(h, "jobs", "", &o[i]);
    char large[4000] = {0};
    struct hato_message m = {.body = large, .body_len = sizeof large};
    struct outcome p[3] = {0};
    for (unsigned i = 0; i < 3; i++)
        hato_send(h->client, "large", &m, 1, record, &p[i]);
    RUN_UNTIL(h, p[2].times > 0 && o[2499].times > 0);
    size_t largest = 0;
    size_t total = 0;
    size_t large_items[4] = {0};
    unsigned large_count = 0;
    for (unsigned i = 0; i < h->seen_count; i++) {
        if (strcmp(h->seen[i].queue, "large") == 0)
            large_items[large_count++ % 4] = h->seen[i].items;
        largest = h->seen[i].items > largest ? h->seen[i].items : largest;
        total += h->seen[i].items;
    }
    ck_assert_uint_le(largest, 1000);
    ck_assert_uint_eq(total, 2503);
    ck_assert_uint_eq(large_items[0], 2);
    ck_assert_uint_eq(large_items[1], 1);
    harness_close(h);
}
END_TEST

START_TEST(one_message_that_is_refused_does_not_fail_the_others)
{
    struct harness *h = harness_open(answer_well, NULL);
    struct outcome o[3] = {0};
    send_text(h, "jobs", "one", &o[0]);
    send_text(h, "jobs", "refuse", &o[1]);
    send_text(h, "jobs", "three", &o[2]);
    RUN_UNTIL(h, o[2].times > 0);
    ck_assert_int_eq(o[0].code, HATO_OK);
    ck_assert_int_eq(o[1].code, HATO_LIMIT);
    ck_assert_str_eq(o[1].message, "the queue is full");
    ck_assert_int_eq(o[2].code, HATO_OK);
    harness_close(h);
}
END_TEST

static struct hato_reply *kept;

static void keep(void *user, const struct hato_reply *reply)
{
    (void)user;
    kept = hato_reply_keep(reply);
}

START_TEST(a_kept_reply_of_a_shared_request_has_its_own_memory)
{
    struct harness *h = harness_open(answer_well, NULL);
    struct hato_message m[3] = {{.body = "a", .body_len = 1}, {.body = "refuse", .body_len = 6}, {0}};
    struct outcome other = {0};
    kept = NULL;
    send_text(h, "jobs", "first", &other);
    hato_send(h->client, "jobs", m, 3, keep, NULL);
    RUN_UNTIL(h, kept != NULL);
    harness_close(h);
    ck_assert_uint_eq(kept->sent_count, 3);
    ck_assert_str_eq(kept->sent[0].message_id, "m2");
    ck_assert_int_eq(kept->sent[1].error.code, HATO_LIMIT);
    ck_assert_str_eq(kept->sent[1].error.message, "the queue is full");
    ck_assert_int_eq(kept->error.code, HATO_LIMIT);
    ck_assert_str_eq(kept->sent[2].message_id, "m4");
    hato_reply_destroy(kept);
}
END_TEST

START_TEST(the_error_of_a_nack_is_cut_at_a_whole_character)
{
    struct harness *h = harness_open(answer_well, NULL);
    char error[4000];
    struct outcome o = {0};
    struct hato_bytes receipt = receipt_of("r0");
    struct hato_nack_options options = {.error = error};
    for (size_t i = 0; i < sizeof error - 1; i += 3)
        memcpy(error + i, "\xe2\x82\xac", 3);
    error[sizeof error - 1] = '\0';
    hato_nack(h->client, "jobs", &receipt, 1, &options, record, &o);
    RUN_UNTIL(h, o.times > 0);
    ck_assert_uint_eq(h->seen_count, 1);
    ck_assert_uint_eq(h->seen[0].error_len, 1023);
    ck_assert(h->seen[0].error_is_text);
    harness_close(h);
}
END_TEST

START_TEST(settlements_share_a_request_when_they_say_the_same)
{
    struct harness *h = harness_open(answer_well, NULL);
    RUN_UNTIL(h, hato_client_connected(h->client));
    struct outcome o[8] = {0};
    struct hato_bytes r[3] = {receipt_of("r0"), receipt_of("r1"), receipt_of("r2")};
    struct hato_nack_options later = {.delay_ms = 500, .error = "broken", .status = 503};
    hato_ack(h->client, "jobs", &r[0], 1, record, &o[0]);
    hato_nack(h->client, "jobs", &r[1], 1, &later, record, &o[1]);
    hato_ack(h->client, "jobs", &r[1], 2, record, &o[2]);
    hato_nack(h->client, "jobs", &r[2], 1, NULL, record, &o[3]);
    hato_nack(h->client, "jobs", &r[0], 1, &later, record, &o[4]);
    hato_extend(h->client, "jobs", &r[0], 1, 9000, record, &o[5]);
    hato_extend(h->client, "jobs", &r[1], 1, 8000, record, &o[6]);
    hato_ack(h->client, "other", &r[0], 1, record, &o[7]);
    RUN_UNTIL(h, o[7].times > 0);
    ck_assert_uint_eq(h->seen_count, 6);
    ck_assert_int_eq(h->seen[0].op, HATO__REQUEST__OP_ACK);
    ck_assert_uint_eq(h->seen[0].items, 3);
    ck_assert_int_eq(h->seen[1].op, HATO__REQUEST__OP_NACK);
    ck_assert_uint_eq(h->seen[1].items, 2);
    ck_assert_uint_eq(h->seen[1].number, 500);
    ck_assert_uint_eq(h->seen[2].number, 0);
    ck_assert_uint_eq(h->seen[3].number, 9000);
    ck_assert_uint_eq(h->seen[4].number, 8000);
    ck_assert_str_eq(h->seen[5].queue, "other");
    for (unsigned i = 0; i < 8; i++) {
        ck_assert_uint_eq(o[i].times, 1);
        ck_assert_int_eq(o[i].code, HATO_OK);
    }
    ck_assert_uint_eq(o[2].codes, 2);
    harness_close(h);
}
END_TEST

static void answer_stale(struct double_broker *b, struct double_peer *p, const Hato__Request *r)
{
    see(b->user, p, r);
    Hato__Code codes[] = {HATO__CODE__OK, HATO__CODE__RECEIPT_STALE, HATO__CODE__OK, HATO__CODE__RECEIPT_INVALID};
    double_settled(p, r->id, codes, 4);
}

START_TEST(codes_of_a_shared_settlement_go_to_the_calls_they_belong_to)
{
    struct harness *h = harness_open(answer_stale, NULL);
    struct outcome o[3] = {0};
    struct hato_bytes r[2] = {receipt_of("r0"), receipt_of("r1")};
    hato_ack(h->client, "jobs", r, 1, record, &o[0]);
    hato_ack(h->client, "jobs", r, 2, record, &o[1]);
    hato_ack(h->client, "jobs", r, 1, record, &o[2]);
    RUN_UNTIL(h, o[2].times > 0);
    ck_assert_int_eq(o[0].code, HATO_OK);
    ck_assert_int_eq(o[1].code, HATO_RECEIPT_STALE);
    ck_assert_int_eq(o[1].code_of[0], HATO_RECEIPT_STALE);
    ck_assert_int_eq(o[1].code_of[1], HATO_OK);
    ck_assert_int_eq(o[2].code, HATO_RECEIPT_INVALID);
    harness_close(h);
}
END_TEST

/* Answers the first two requests in the other order. */
static void answer_backwards(struct double_broker *b, struct double_peer *p, const Hato__Request *r)
{
    struct harness *h = b->user;
    see(h, p, r);
    if (h->seen_count < 3)
        return;
    for (unsigned i = h->seen_count; i-- > 0;)
        double_deliver(p, h->seen[i].id, false, i, 1);
}

START_TEST(replies_in_any_order_find_their_calls)
{
    struct harness *h = harness_open(answer_backwards, NULL);
    struct outcome o[3] = {0};
    for (unsigned i = 0; i < 3; i++)
        hato_receive(h->client, "jobs", NULL, record, &o[i]);
    RUN_UNTIL(h, o[0].times > 0);
    ck_assert_str_eq(o[0].id, "m0");
    ck_assert_str_eq(o[1].id, "m1");
    ck_assert_str_eq(o[2].id, "m2");
    harness_close(h);
}
END_TEST

START_TEST(requests_are_pipelined_without_waiting_for_answers)
{
    struct harness *h = harness_open(answer_nothing, NULL);
    struct outcome o[20] = {0};
    for (unsigned i = 0; i < 20; i++)
        hato_queue_show(h->client, "jobs", record, &o[i]);
    RUN_UNTIL(h, h->seen_count == 20);
    ck_assert_uint_eq(hato_client_pending(h->client), 20);
    harness_close(h);
    for (unsigned i = 0; i < 20; i++) {
        ck_assert_uint_eq(o[i].times, 1);
        ck_assert_int_eq(o[i].code, HATO_CLOSED);
    }
}
END_TEST

START_TEST(another_request_comes_after_the_sends_before_it_and_before_those_after)
{
    struct harness *h = harness_open(answer_well, NULL);
    RUN_UNTIL(h, hato_client_connected(h->client));
    struct outcome o[3] = {0};
    send_text(h, "jobs", "before", &o[0]);
    hato_queue_delete(h->client, "jobs", record, &o[1]);
    send_text(h, "jobs", "after", &o[2]);
    RUN_UNTIL(h, o[2].times > 0);
    ck_assert_uint_eq(h->seen_count, 3);
    ck_assert_str_eq(h->seen[0].first, "before");
    ck_assert_int_eq(h->seen[1].op, HATO__REQUEST__OP_QUEUE_DELETE);
    ck_assert_str_eq(h->seen[2].first, "after");
    harness_close(h);
}
END_TEST

START_TEST(the_broker_is_told_which_numbers_are_settled)
{
    struct harness *h = harness_open(answer_nothing, NULL);
    RUN_UNTIL(h, hato_client_connected(h->client));
    struct outcome o[3] = {0};
    for (unsigned i = 0; i < 2; i++) {
        send_text(h, "jobs", "x", &o[i]);
        RUN_UNTIL(h, h->seen_count == i + 1);
    }
    Hato__Message message = HATO__MESSAGE__INIT;
    Hato__Message *messages[] = {&message};
    Hato__Send send = HATO__SEND__INIT;
    send.n_messages = 1;
    send.messages = messages;
    send.sequence = 1;
    double_stored(h->broker.last, h->seen[0].id, &send);
    RUN_UNTIL(h, o[0].times > 0);
    send_text(h, "jobs", "x", &o[2]);
    RUN_UNTIL(h, h->seen_count == 3);
    ck_assert_uint_eq(h->seen[1].settled_below, 1);
    ck_assert_uint_eq(h->seen[2].sequence, 3);
    ck_assert_uint_eq(h->seen[2].settled_below, 2);
    harness_close(h);
}
END_TEST

static void answer_refusal(struct double_broker *b, struct double_peer *p, const Hato__Request *r)
{
    see(b->user, p, r);
    double_refuse(p, r->id, HATO_NOT_FOUND, "queue", "no queue named jobs");
}

START_TEST(a_refusal_reaches_every_call_of_the_request_with_code_field_and_message)
{
    struct harness *h = harness_open(answer_refusal, NULL);
    struct outcome o[3] = {0};
    send_text(h, "jobs", "a", &o[0]);
    send_text(h, "jobs", "b", &o[1]);
    hato_queue_purge(h->client, "jobs", record, &o[2]);
    RUN_UNTIL(h, o[2].times > 0);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_uint_eq(o[i].times, 1);
        ck_assert_int_eq(o[i].code, HATO_NOT_FOUND);
        ck_assert_str_eq(o[i].field, "queue");
        ck_assert_str_eq(o[i].message, "no queue named jobs");
    }
    harness_close(h);
}
END_TEST

START_TEST(wrong_arguments_are_told_by_callback_and_never_from_inside_the_call)
{
    struct harness *h = harness_open(answer_well, NULL);
    struct outcome o[6] = {0};
    struct hato_message m = {0};
    struct hato_bytes none = {"", 0};
    struct hato_attribute many[65] = {{0}};
    struct hato_message attributes = {.attributes = many, .attribute_count = 65};
    hato_send(h->client, "", &m, 1, record, &o[0]);
    hato_send(h->client, NULL, &m, 1, record, &o[1]);
    hato_send(h->client, "jobs", &m, 0, record, &o[2]);
    hato_send(h->client, "jobs", &attributes, 1, record, &o[3]);
    hato_ack(h->client, "jobs", &none, 1, record, &o[4]);
    hato_cancel(h->client, "jobs", NULL, 1001, record, &o[5]);
    for (unsigned i = 0; i < 6; i++)
        ck_assert_uint_eq(o[i].times, 0);
    RUN_UNTIL(h, o[5].times > 0);
    const char *fields[] = {"queue", "queue", "count", "attributes", "receipts", "count"};
    for (unsigned i = 0; i < 6; i++) {
        ck_assert_uint_eq(o[i].times, 1);
        ck_assert_int_eq(o[i].code, HATO_INVALID);
        ck_assert_str_eq(o[i].field, fields[i]);
    }
    ck_assert_uint_eq(h->seen_count, 0);
    harness_close(h);
}
END_TEST

START_TEST(what_is_larger_than_the_broker_takes_is_refused_here)
{
    struct harness *h = harness_open(answer_well, NULL);
    h->broker.max_frame_bytes = 10000;
    RUN_UNTIL(h, hato_client_connected(h->client));
    char *body = calloc(1, 20000);
    struct hato_message m = {.body = body, .body_len = 20000};
    struct outcome o = {0};
    hato_send(h->client, "jobs", &m, 1, record, &o);
    RUN_UNTIL(h, o.times > 0);
    ck_assert_int_eq(o.code, HATO_TOO_LARGE);
    ck_assert_uint_eq(h->seen_count, 0);
    free(body);
    harness_close(h);
}
END_TEST

START_TEST(a_request_made_before_the_limit_was_known_is_refused_when_it_is)
{
    struct harness *h = harness_open(answer_well, NULL);
    h->broker.max_frame_bytes = 10000;
    char *body = calloc(1, 20000);
    struct hato_message m = {.body = body, .body_len = 20000};
    struct outcome o[2] = {0};
    hato_send(h->client, "jobs", &m, 1, record, &o[0]);
    send_text(h, "small", "x", &o[1]);
    RUN_UNTIL(h, o[0].times > 0 && o[1].times > 0);
    ck_assert_int_eq(o[0].code, HATO_TOO_LARGE);
    ck_assert_int_eq(o[1].code, HATO_OK);
    free(body);
    harness_close(h);
}
END_TEST

START_TEST(above_its_buffer_the_client_refuses_and_takes_again_after_replies)
{
    struct hato_options options = {.pending_bytes_max = 4000};
    struct harness *h = harness_open(answer_well, &options);
    char body[1500] = {0};
    struct hato_message m = {.body = body, .body_len = sizeof body};
    struct outcome o[4] = {0};
    for (unsigned i = 0; i < 3; i++)
        hato_send(h->client, "jobs", &m, 1, record, &o[i]);
    RUN_UNTIL(h, o[0].times > 0 && o[1].times > 0 && o[2].times > 0);
    ck_assert_int_eq(o[0].code, HATO_OK);
    ck_assert_int_eq(o[1].code, HATO_OK);
    ck_assert_int_eq(o[2].code, HATO_OVERLOADED);
    hato_send(h->client, "jobs", &m, 1, record, &o[3]);
    RUN_UNTIL(h, o[3].times > 0);
    ck_assert_int_eq(o[3].code, HATO_OK);
    harness_close(h);
}
END_TEST

START_TEST(a_call_that_is_not_answered_times_out_alone)
{
    struct harness *h = harness_open(answer_nothing, NULL);
    struct outcome o[2] = {0};
    struct hato_call *call = send_text(h, "jobs", "short", &o[0]);
    send_text(h, "jobs", "long", &o[1]);
    RUN_UNTIL(h, h->seen_count == 1);
    hato_call_timeout(call, 1);
    RUN_UNTIL(h, o[0].times > 0);
    ck_assert_int_eq(o[0].code, HATO_TIMEOUT);
    ck_assert_uint_eq(o[1].times, 0);
    ck_assert_uint_eq(h->seen[0].items, 2);
    Hato__Message message = HATO__MESSAGE__INIT;
    Hato__Message *messages[] = {&message, &message};
    Hato__Send send = HATO__SEND__INIT;
    send.n_messages = 2;
    send.messages = messages;
    send.sequence = 1;
    double_stored(h->broker.last, h->seen[0].id, &send);
    RUN_UNTIL(h, o[1].times > 0);
    ck_assert_str_eq(o[1].id, "m2");
    ck_assert_uint_eq(o[0].times, 1);
    harness_close(h);
}
END_TEST

START_TEST(an_answer_after_the_timeout_is_ignored)
{
    struct harness *h = harness_open(answer_nothing, NULL);
    struct outcome late = {0};
    struct outcome next = {0};
    struct hato_call *call = hato_ping(h->client, record, &late);
    RUN_UNTIL(h, h->seen_count == 1);
    hato_call_timeout(call, 1);
    RUN_UNTIL(h, late.times > 0);
    ck_assert_int_eq(late.code, HATO_TIMEOUT);
    double_empty(h->broker.last, h->seen[0].id);
    hato_ping(h->client, record, &next);
    RUN_UNTIL(h, h->seen_count == 2);
    double_empty(h->broker.last, h->seen[1].id);
    RUN_UNTIL(h, next.times > 0);
    ck_assert_int_eq(next.code, HATO_OK);
    ck_assert_uint_eq(late.times, 1);
    ck_assert_uint_eq(h->connected, 1);
    harness_close(h);
}
END_TEST

START_TEST(messages_brought_by_a_cancelled_receive_are_given_back_uncounted)
{
    struct harness *h = harness_open(answer_nothing, NULL);
    struct outcome o = {0};
    struct hato_receive_options options = {.has_wait = true, .wait_ms = 60000, .max_messages = 10};
    struct hato_call *call = hato_receive(h->client, "jobs", &options, record, &o);
    RUN_UNTIL(h, h->seen_count == 1);
    hato_call_cancel(call);
    ck_assert_uint_eq(o.times, 0);
    RUN_UNTIL(h, o.times > 0);
    ck_assert_int_eq(o.code, HATO_CANCELLED);
    double_deliver(h->broker.last, h->seen[0].id, false, 7, 3);
    RUN_UNTIL(h, h->seen_count == 2);
    ck_assert_int_eq(h->seen[1].op, HATO__REQUEST__OP_NACK);
    ck_assert_str_eq(h->seen[1].queue, "jobs");
    ck_assert_str_eq(h->seen[1].first, "receipt 7");
    ck_assert_uint_eq(h->seen[1].items, 3);
    ck_assert(h->seen[1].uncounted);
    ck_assert_uint_eq(o.times, 1);
    harness_close(h);
}
END_TEST

static void send_again(void *user, const struct hato_reply *reply)
{
    struct harness *h = user;
    if (reply->error.code == HATO_CLOSED)
        h->lost++;
    else
        hato_ping(h->client, send_again, h);
}

START_TEST(closing_ends_calls_in_flight_and_those_made_meanwhile_once_each)
{
    struct harness *h = harness_open(answer_nothing, NULL);
    struct outcome o[4] = {0};
    send_text(h, "jobs", "a", &o[0]);
    hato_receive(h->client, "jobs", NULL, record, &o[1]);
    RUN_UNTIL(h, h->seen_count == 2);
    send_text(h, "jobs", "not sent yet", &o[2]);
    hato_ping(h->client, send_again, h);
    hato_client_close(h->client, harness_closed, h);
    hato_ping(h->client, record, &o[3]);
    ck_assert_uint_eq(o[0].times, 0);
    RUN_UNTIL(h, h->closed);
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_uint_eq(o[i].times, 1);
        ck_assert_int_eq(o[i].code, HATO_CLOSED);
    }
    ck_assert_uint_eq(h->lost, 1);
    double_close(&h->broker);
    uv_run(&h->loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&h->loop), 0);
    free(h);
}
END_TEST

static void close_inside(void *user, const struct hato_reply *reply)
{
    struct harness *h = user;
    ck_assert_int_eq(reply->error.code, HATO_OK);
    hato_client_close(h->client, harness_closed, h);
}

START_TEST(a_callback_may_close_the_client)
{
    struct harness *h = harness_open(answer_well, NULL);
    struct outcome o[2] = {0};
    send_text(h, "jobs", "a", &o[0]);
    struct hato_message m = {0};
    hato_send(h->client, "jobs", &m, 1, close_inside, h);
    send_text(h, "jobs", "b", &o[1]);
    RUN_UNTIL(h, h->closed);
    ck_assert_int_eq(o[0].code, HATO_OK);
    ck_assert_uint_eq(o[1].times, 1);
    double_close(&h->broker);
    uv_run(&h->loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&h->loop), 0);
    free(h);
}
END_TEST

static struct hato_call *other_call;

static void cancel_other(void *user, const struct hato_reply *reply)
{
    record(user, reply);
    hato_call_cancel(other_call);
}

START_TEST(a_callback_may_cancel_a_call_that_the_same_answer_ends)
{
    struct harness *h = harness_open(answer_well, NULL);
    struct outcome o[2] = {0};
    struct hato_message m = {0};
    hato_send(h->client, "jobs", &m, 1, cancel_other, &o[0]);
    other_call = send_text(h, "jobs", "x", &o[1]);
    RUN_UNTIL(h, o[1].times > 0);
    ck_assert_int_eq(o[1].code, HATO_OK);
    hato_ping(h->client, record, &o[0]);
    RUN_UNTIL(h, o[0].times == 2);
    ck_assert_uint_eq(o[1].times, 1);
    harness_close(h);
}
END_TEST

START_TEST(wrong_options_are_refused_with_a_reason)
{
    const char *servers[] = {"", ":9325", "host:", "host:99999", "host:12x", "[::1", "[::1]9325", "a:1,,b:2", "host:0"};
    char text[200];
    for (size_t i = 0; i < sizeof servers / sizeof *servers; i++) {
        struct hato_options o = {.server = servers[i]};
        text[0] = '\0';
        ck_assert_msg(hato_client_create(NULL, &o, text, sizeof text) == NULL, "'%s' was taken", servers[i]);
        ck_assert_ptr_nonnull(strstr(text, "is not HOST:PORT"));
    }
    struct hato_options o = {.batch_messages_max = 1001};
    ck_assert_ptr_null(hato_client_create(NULL, &o, text, sizeof text));
    ck_assert_ptr_nonnull(strstr(text, "1000"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client/call");
    TCase *tc = tcase_create("call");
    tcase_set_timeout(tc, HARNESS_TIMEOUT_S);
    tcase_add_test(tc, sends_of_one_turn_share_a_request);
    tcase_add_test(tc, each_queue_gets_its_own_request_and_numbers_without_gaps);
    tcase_add_test(tc, a_request_holds_at_most_a_thousand_messages_and_the_limit_of_bytes);
    tcase_add_test(tc, one_message_that_is_refused_does_not_fail_the_others);
    tcase_add_test(tc, a_kept_reply_of_a_shared_request_has_its_own_memory);
    tcase_add_test(tc, the_error_of_a_nack_is_cut_at_a_whole_character);
    tcase_add_test(tc, settlements_share_a_request_when_they_say_the_same);
    tcase_add_test(tc, codes_of_a_shared_settlement_go_to_the_calls_they_belong_to);
    tcase_add_test(tc, replies_in_any_order_find_their_calls);
    tcase_add_test(tc, requests_are_pipelined_without_waiting_for_answers);
    tcase_add_test(tc, another_request_comes_after_the_sends_before_it_and_before_those_after);
    tcase_add_test(tc, the_broker_is_told_which_numbers_are_settled);
    tcase_add_test(tc, a_refusal_reaches_every_call_of_the_request_with_code_field_and_message);
    tcase_add_test(tc, wrong_arguments_are_told_by_callback_and_never_from_inside_the_call);
    tcase_add_test(tc, what_is_larger_than_the_broker_takes_is_refused_here);
    tcase_add_test(tc, a_request_made_before_the_limit_was_known_is_refused_when_it_is);
    tcase_add_test(tc, above_its_buffer_the_client_refuses_and_takes_again_after_replies);
    tcase_add_test(tc, a_call_that_is_not_answered_times_out_alone);
    tcase_add_test(tc, an_answer_after_the_timeout_is_ignored);
    tcase_add_test(tc, messages_brought_by_a_cancelled_receive_are_given_back_uncounted);
    tcase_add_test(tc, closing_ends_calls_in_flight_and_those_made_meanwhile_once_each);
    tcase_add_test(tc, a_callback_may_close_the_client);
    tcase_add_test(tc, a_callback_may_cancel_a_call_that_the_same_answer_ends);
    tcase_add_test(tc, wrong_options_are_refused_with_a_reason);
    suite_add_tcase(suite, tc);
    return harness_run(suite);
}
