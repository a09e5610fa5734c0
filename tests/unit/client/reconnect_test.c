/* Lost connections: what is repeated, with which numbers, what is not, and how long one tries. */
#include "client/harness.h"

/* Hangs up on the first connection when it has seen two requests; answers well on later ones. */
static void hang_up_first(struct double_broker *b, struct double_peer *p, const Hato__Request *r)
{
    struct harness *h = b->user;
    if (p->number > 1) {
        answer_well(b, p, r);
        return;
    }
    see(h, p, r);
    if (h->seen_count == 2)
        double_hang_up(p);
}

START_TEST(unanswered_sends_are_repeated_with_the_same_numbers_in_the_same_order)
{
    struct harness *h = harness_open(hang_up_first, NULL);
    RUN_UNTIL(h, hato_client_connected(h->client));
    struct outcome o[3] = {0};
    send_text(h, "a", "first", &o[0]);
    send_text(h, "b", "second", &o[1]);
    RUN_UNTIL(h, h->lost == 1);
    send_text(h, "c", "third", &o[2]);
    RUN_UNTIL(h, o[2].times > 0);
    ck_assert_uint_eq(h->seen_count, 5);
    const char *bodies[] = {"first", "second", "first", "second", "third"};
    uint64_t numbers[] = {1, 2, 1, 2, 3};
    for (unsigned i = 0; i < 5; i++) {
        ck_assert_str_eq(h->seen[i].first, bodies[i]);
        ck_assert_uint_eq(h->seen[i].sequence, numbers[i]);
        ck_assert_uint_eq(h->seen[i].producer, h->seen[0].producer);
        ck_assert_uint_eq(h->seen[i].connection, i < 2 ? 1 : 2);
        ck_assert_uint_eq(h->seen[i].settled_below, 1);
    }
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_uint_eq(o[i].times, 1);
        ck_assert_int_eq(o[i].code, HATO_OK);
    }
    harness_close(h);
}
END_TEST

START_TEST(a_repeated_request_is_the_same_byte_for_byte)
{
    struct harness *h = harness_open(hang_up_first, NULL);
    struct outcome o[2] = {0};
    for (unsigned i = 0; i < 2; i++)
        hato_queue_show(h->client, "jobs", record, &o[i]);
    RUN_UNTIL(h, h->seen_count == 4);
    ck_assert_uint_eq(h->seen[2].id, h->seen[0].id);
    ck_assert_uint_eq(h->seen[3].id, h->seen[1].id);
    harness_close(h);
}
END_TEST

START_TEST(what_must_not_be_done_twice_is_not_repeated)
{
    struct harness *h = harness_open(hang_up_first, NULL);
    struct outcome o[4] = {0};
    hato_queue_purge(h->client, "jobs", record, &o[0]);
    hato_function_create(h->client, "f", NULL, record, &o[1]);
    RUN_UNTIL(h, o[0].times > 0 && o[1].times > 0);
    ck_assert_int_eq(o[0].code, HATO_UNKNOWN_OUTCOME);
    ck_assert_int_eq(o[1].code, HATO_UNKNOWN_OUTCOME);
    hato_ping(h->client, record, &o[2]);
    RUN_UNTIL(h, o[2].times > 0);
    ck_assert_uint_eq(h->seen_count, 3);
    ck_assert_int_eq(h->seen[2].op, HATO__REQUEST__OP_PING);
    harness_close(h);
}
END_TEST

/* Once repeated, says that what was asked for is gone. */
static void gone_when_repeated(struct double_broker *b, struct double_peer *p, const Hato__Request *r)
{
    struct harness *h = b->user;
    see(h, p, r);
    if (p->number == 1) {
        if (h->seen_count == 3)
            double_hang_up(p);
        return;
    }
    Hato__Code stale[] = {HATO__CODE__RECEIPT_STALE, HATO__CODE__RECEIPT_INVALID};
    if (r->op_case == HATO__REQUEST__OP_ACK)
        double_settled(p, r->id, stale, 2);
    else if (r->op_case == HATO__REQUEST__OP_EXTEND)
        double_settled(p, r->id, stale, 1);
    else
        double_refuse(p, r->id, HATO_NOT_FOUND, "name", "no queue of this name");
}

START_TEST(a_repeated_ack_that_comes_too_late_is_an_unknown_outcome_and_a_repeated_delete_is_done)
{
    struct harness *h = harness_open(gone_when_repeated, NULL);
    RUN_UNTIL(h, hato_client_connected(h->client));
    struct outcome o[3] = {0};
    struct hato_bytes r[2] = {receipt_of("r0"), receipt_of("r1")};
    hato_ack(h->client, "jobs", r, 2, record, &o[0]);
    hato_extend(h->client, "jobs", r, 1, 1000, record, &o[1]);
    hato_queue_delete(h->client, "jobs", record, &o[2]);
    RUN_UNTIL(h, o[2].times > 0);
    ck_assert_int_eq(o[0].code_of[0], HATO_UNKNOWN_OUTCOME);
    ck_assert_int_eq(o[0].code_of[1], HATO_RECEIPT_INVALID);
    ck_assert_int_eq(o[1].code, HATO_RECEIPT_STALE);
    ck_assert_int_eq(o[2].code, HATO_OK);
    harness_close(h);
}
END_TEST

START_TEST(a_stale_receipt_of_a_first_try_stays_stale)
{
    struct harness *h = harness_open(gone_when_repeated, NULL);
    RUN_UNTIL(h, hato_client_connected(h->client));
    double_hang_up(h->broker.last);
    RUN_UNTIL(h, h->connected == 2);
    struct outcome o = {0};
    struct hato_bytes r[2] = {receipt_of("r0"), receipt_of("r1")};
    hato_ack(h->client, "jobs", r, 2, record, &o);
    RUN_UNTIL(h, o.times > 0);
    ck_assert_int_eq(o.code, HATO_RECEIPT_STALE);
    harness_close(h);
}
END_TEST

START_TEST(a_broker_that_comes_back_is_found_again)
{
    struct harness *h = harness_open(answer_well, NULL);
    RUN_UNTIL(h, hato_client_connected(h->client));
    int port = h->broker.port;
    double_close(&h->broker);
    RUN_UNTIL(h, h->lost >= 3); /* the connection, then tries */
    ck_assert_int_eq(h->lost_code, HATO_IO);
    struct outcome o = {0};
    send_text(h, "jobs", "meanwhile", &o);
    double_listen(&h->broker, port);
    RUN_UNTIL(h, o.times > 0);
    ck_assert_int_eq(o.code, HATO_OK);
    harness_close(h);
}
END_TEST

START_TEST(a_call_that_never_had_a_connection_was_not_done_and_tells_why)
{
    struct harness *h = harness_open(answer_well, NULL);
    double_stop_listening(&h->broker);
    struct outcome o = {0};
    struct hato_call *call = send_text(h, "jobs", "x", &o);
    RUN_UNTIL(h, h->lost > 0);
    hato_call_timeout(call, 1);
    RUN_UNTIL(h, o.times > 0);
    ck_assert_int_eq(o.code, HATO_IO);
    ck_assert_ptr_nonnull(strstr(o.message, "cannot reach 127.0.0.1:"));
    ck_assert_ptr_nonnull(strstr(o.message, "connection refused"));
    harness_close(h);
}
END_TEST

START_TEST(a_call_that_a_broker_never_greeted_was_not_done_and_tells_the_address)
{
    struct harness *h = harness_open(answer_well, NULL);
    h->broker.mute = true;
    struct outcome o = {0};
    struct hato_call *call = send_text(h, "jobs", "x", &o);
    hato_call_timeout(call, 1);
    RUN_UNTIL(h, o.times > 0);
    ck_assert_int_eq(o.code, HATO_IO);
    ck_assert_ptr_nonnull(strstr(o.message, h->broker.address));
    harness_close(h);
}
END_TEST

START_TEST(a_call_made_after_the_connection_was_lost_times_out_with_the_reason)
{
    struct harness *h = harness_open(answer_well, NULL);
    RUN_UNTIL(h, hato_client_connected(h->client));
    double_close(&h->broker);
    RUN_UNTIL(h, h->lost >= 2);
    struct outcome o = {0};
    hato_call_timeout(send_text(h, "jobs", "x", &o), 1);
    RUN_UNTIL(h, o.times > 0);
    ck_assert_int_eq(o.code, HATO_TIMEOUT);
    ck_assert_ptr_nonnull(strstr(o.message, "cannot reach 127.0.0.1:"));
    ck_assert_ptr_nonnull(strstr(o.message, "connection refused"));
    harness_close(h);
}
END_TEST

START_TEST(a_first_connection_that_fails_is_told_when_the_patience_ends)
{
    struct hato_options options = {.first_connect_ms = 1};
    struct harness *h = harness_open(answer_well, &options);
    double_stop_listening(&h->broker);
    struct outcome o[2] = {0};
    send_text(h, "jobs", "x", &o[0]);
    hato_status(h->client, record, &o[1]);
    RUN_UNTIL(h, o[0].times > 0 && o[1].times > 0);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_int_eq(o[i].code, HATO_IO);
        ck_assert_ptr_nonnull(strstr(o[i].message, "cannot reach 127.0.0.1:"));
    }
    harness_close(h);
}
END_TEST

START_TEST(patience_for_the_first_connection_does_not_end_calls_of_a_later_one)
{
    struct hato_options options = {.first_connect_ms = 1};
    struct harness *h = harness_open(answer_well, &options);
    RUN_UNTIL(h, hato_client_connected(h->client));
    int port = h->broker.port;
    double_close(&h->broker);
    RUN_UNTIL(h, h->lost >= 1);
    struct outcome o = {0};
    send_text(h, "jobs", "x", &o);
    RUN_UNTIL(h, h->lost >= 3);
    ck_assert_uint_eq(o.times, 0);
    double_listen(&h->broker, port);
    RUN_UNTIL(h, o.times > 0);
    ck_assert_int_eq(o.code, HATO_OK);
    harness_close(h);
}
END_TEST

START_TEST(several_servers_are_tried_in_turn)
{
    uv_loop_t loop;
    uv_loop_init(&loop);
    struct double_broker dead;
    double_open(&dead, &loop, answer_well, NULL);
    char servers[100];
    struct harness *h = harness_open(answer_well, NULL);
    snprintf(servers, sizeof servers, "127.0.0.1:%d,localhost:%d", dead.port, h->broker.port);
    double_close(&dead);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    struct hato_options options = {.server = servers};
    struct hato_client *second = hato_client_create(&h->loop, &options, NULL, 0);
    ck_assert_ptr_nonnull(second);
    struct outcome o = {0};
    hato_ping(second, record, &o);
    RUN_UNTIL(h, o.times > 0);
    ck_assert_int_eq(o.code, HATO_OK);
    hato_client_close(second, NULL, NULL);
    harness_close(h);
}
END_TEST

static uint64_t now_ms(void)
{
    return uv_hrtime() / 1000000;
}

/* Hangs up on a receive when a half of its time is over. Returns how long it went on then; 0 when the machine was so slow that
 * nothing was left to hang up on, or that the timeout was over before there was a new connection. */
static uint64_t time_after_hanging_up(uint64_t wait_ms, uint64_t timeout_ms)
{
    struct hato_options options = {.timeout_ms = timeout_ms};
    struct harness *h = harness_open(answer_nothing, &options);
    struct hato_receive_options wait = {.has_wait = true, .wait_ms = wait_ms};
    struct outcome o = {0};
    RUN_UNTIL(h, hato_client_connected(h->client));
    uint64_t began = now_ms();
    hato_receive(h->client, "jobs", &wait, record, &o);
    RUN_UNTIL(h, h->seen_count == 1 || o.times > 0);
    while (o.times == 0 && now_ms() - began < (wait_ms + timeout_ms) / 2)
        uv_run(&h->loop, UV_RUN_NOWAIT);
    if (o.times > 0) {
        harness_close(h);
        return 0;
    }
    uint64_t hung_up = now_ms();
    double_hang_up(h->broker.last);
    RUN_UNTIL(h, o.times > 0);
    uint64_t after = now_ms() - hung_up;
    bool repeated = h->seen_count == 2;
    ck_assert_int_eq(o.code, HATO_TIMEOUT);
    harness_close(h);
    return repeated ? after + 1 : 0; /* both were cut to whole milliseconds */
}

START_TEST(a_repeated_receive_waits_its_whole_time_anew)
{
    uint64_t after;
    while ((after = time_after_hanging_up(60, 40)) == 0) {
    }
    ck_assert_uint_ge(after, 100);
}
END_TEST

START_TEST(a_repeated_receive_is_answered)
{
    struct harness *h = harness_open(answer_nothing, NULL);
    struct outcome o = {0};
    hato_receive(h->client, "jobs", NULL, record, &o);
    RUN_UNTIL(h, h->seen_count == 1);
    double_hang_up(h->broker.last);
    RUN_UNTIL(h, h->seen_count == 2);
    double_deliver(h->broker.last, h->seen[1].id, false, 1, 1);
    RUN_UNTIL(h, o.times > 0);
    ck_assert_int_eq(o.code, HATO_OK);
    ck_assert_uint_eq(o.deliveries, 1);
    harness_close(h);
}
END_TEST

START_TEST(a_receive_that_never_reaches_a_broker_waits_no_longer_than_its_timeout)
{
    struct hato_options options = {.timeout_ms = 1};
    struct harness *h = harness_open(answer_well, &options);
    double_stop_listening(&h->broker);
    struct hato_receive_options wait = {.has_wait = true, .wait_ms = 3600000};
    struct outcome o[2] = {0};
    hato_receive(h->client, "jobs", NULL, record, &o[0]);
    hato_receive(h->client, "jobs", &wait, record, &o[1]);
    RUN_UNTIL(h, o[0].times > 0 && o[1].times > 0);
    ck_assert_int_eq(o[0].code, HATO_IO);
    ck_assert_int_eq(o[1].code, HATO_IO);
    harness_close(h);
}
END_TEST

START_TEST(a_receive_whose_broker_is_gone_waits_no_longer_than_its_timeout)
{
    struct harness *h = harness_open(answer_nothing, NULL);
    struct hato_receive_options wait = {.has_wait = true, .wait_ms = 3600000};
    struct outcome o[2] = {0};
    struct hato_call *calls[] = {hato_receive(h->client, "jobs", NULL, record, &o[0]),
                                 hato_receive(h->client, "jobs", &wait, record, &o[1])};
    RUN_UNTIL(h, h->seen_count == 2);
    for (unsigned i = 0; i < 2; i++)
        hato_call_timeout(calls[i], 1);
    double_close(&h->broker);
    RUN_UNTIL(h, o[0].times > 0 && o[1].times > 0);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_int_eq(o[i].code, HATO_TIMEOUT);
        ck_assert_ptr_nonnull(strstr(o[i].message, "within 1 ms: "));
    }
    harness_close(h);
}
END_TEST

START_TEST(a_cancelled_receive_stays_cancelled_when_its_connection_is_lost)
{
    struct harness *h = harness_open(answer_nothing, NULL);
    struct outcome o = {0};
    struct hato_call *call = hato_receive(h->client, "jobs", NULL, record, &o);
    RUN_UNTIL(h, h->seen_count == 1);
    hato_call_cancel(call);
    double_hang_up(h->broker.last);
    RUN_UNTIL(h, o.times > 0);
    ck_assert_int_eq(o.code, HATO_CANCELLED);
    harness_close(h);
}
END_TEST

START_TEST(closing_while_there_is_no_broker_ends_everything_once)
{
    struct harness *h = harness_open(answer_well, NULL);
    double_stop_listening(&h->broker);
    struct outcome o[3] = {0};
    for (unsigned i = 0; i < 3; i++)
        send_text(h, "jobs", "x", &o[i]);
    RUN_UNTIL(h, h->lost >= 1);
    harness_close(h);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_uint_eq(o[i].times, 1);
        ck_assert_int_eq(o[i].code, HATO_CLOSED);
    }
}
END_TEST

START_TEST(closing_while_a_name_is_looked_up_ends_everything_once)
{
    struct hato_options options = {.server = "localhost:1"};
    struct harness *h = harness_open(answer_well, &options);
    struct outcome o = {0};
    send_text(h, "jobs", "x", &o);
    uv_run(&h->loop, UV_RUN_NOWAIT);
    harness_close(h);
    ck_assert_uint_eq(o.times, 1);
    ck_assert_int_eq(o.code, HATO_CLOSED);
}
END_TEST

START_TEST(a_connection_lost_in_the_middle_of_a_large_write_repeats_it_whole)
{
    struct harness *h = harness_open(answer_well, NULL);
    RUN_UNTIL(h, hato_client_connected(h->client));
    size_t len = 20u << 20;
    char *body = malloc(len);
    memset(body, 'x', len);
    struct hato_message m = {.body = body, .body_len = len};
    struct outcome o = {0};
    hato_send(h->client, "jobs", &m, 1, record, &o);
    uv_run(&h->loop, UV_RUN_NOWAIT);
    uv_run(&h->loop, UV_RUN_NOWAIT);
    ck_assert_uint_eq(h->seen_count, 0);
    double_hang_up(h->broker.last);
    RUN_UNTIL(h, o.times > 0);
    ck_assert_int_eq(o.code, HATO_OK);
    ck_assert_uint_eq(h->seen_count, 1);
    ck_assert_uint_eq(h->seen[0].connection, 2);
    free(body);
    harness_close(h);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client/reconnect");
    TCase *tc = tcase_create("reconnect");
    tcase_set_timeout(tc, HARNESS_TIMEOUT_S);
    tcase_add_test(tc, unanswered_sends_are_repeated_with_the_same_numbers_in_the_same_order);
    tcase_add_test(tc, a_repeated_request_is_the_same_byte_for_byte);
    tcase_add_test(tc, what_must_not_be_done_twice_is_not_repeated);
    tcase_add_test(tc, a_repeated_ack_that_comes_too_late_is_an_unknown_outcome_and_a_repeated_delete_is_done);
    tcase_add_test(tc, a_stale_receipt_of_a_first_try_stays_stale);
    tcase_add_test(tc, a_broker_that_comes_back_is_found_again);
    tcase_add_test(tc, a_call_that_never_had_a_connection_was_not_done_and_tells_why);
    tcase_add_test(tc, a_call_that_a_broker_never_greeted_was_not_done_and_tells_the_address);
    tcase_add_test(tc, a_call_made_after_the_connection_was_lost_times_out_with_the_reason);
    tcase_add_test(tc, a_first_connection_that_fails_is_told_when_the_patience_ends);
    tcase_add_test(tc, patience_for_the_first_connection_does_not_end_calls_of_a_later_one);
    tcase_add_test(tc, several_servers_are_tried_in_turn);
    tcase_add_test(tc, a_repeated_receive_waits_its_whole_time_anew);
    tcase_add_test(tc, a_repeated_receive_is_answered);
    tcase_add_test(tc, a_receive_that_never_reaches_a_broker_waits_no_longer_than_its_timeout);
    tcase_add_test(tc, a_receive_whose_broker_is_gone_waits_no_longer_than_its_timeout);
    tcase_add_test(tc, a_cancelled_receive_stays_cancelled_when_its_connection_is_lost);
    tcase_add_test(tc, closing_while_there_is_no_broker_ends_everything_once);
    tcase_add_test(tc, closing_while_a_name_is_looked_up_ends_everything_once);
    tcase_add_test(tc, a_connection_lost_in_the_middle_of_a_large_write_repeats_it_whole);
    suite_add_tcase(suite, tc);
    return harness_run(suite);
}
