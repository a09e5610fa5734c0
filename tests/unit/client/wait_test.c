/* The synchronous use: a client with its own loop, calls without callbacks. */
#include <signal.h>

#include "client/harness.h"

static struct harness *open_waiting(double_request on_request)
{
    struct harness *h = calloc(1, sizeof *h);
    uv_loop_init(&h->loop);
    double_open(&h->broker, &h->loop, on_request, h);
    struct hato_options options = {.server = h->broker.address, .timeout_ms = patience(0)};
    h->client = hato_client_create(NULL, &options, NULL, 0);
    ck_assert_ptr_nonnull(h->client);
    /* the double goes over to the client's loop, which is the one that hato_wait runs */
    double_close(&h->broker);
    uv_run(&h->loop, UV_RUN_DEFAULT);
    uv_loop_close(&h->loop);
    h->broker.loop = hato_client_loop(h->client);
    double_listen(&h->broker, h->broker.port);
    return h;
}

static void close_waiting(struct harness *h)
{
    double_close(&h->broker);
    hato_client_destroy(h->client);
    free(h);
}

START_TEST(a_call_can_be_waited_for)
{
    struct harness *h = open_waiting(answer_well);
    struct hato_message m = {.body = "hello", .body_len = 5};
    struct hato_reply *r = hato_wait(hato_send(h->client, "jobs", &m, 1, NULL, NULL));
    ck_assert_int_eq(r->error.code, HATO_OK);
    ck_assert_str_eq(r->sent[0].message_id, "m1");
    hato_reply_destroy(r);
    r = hato_wait(hato_receive(h->client, "jobs", NULL, NULL, NULL));
    ck_assert_uint_eq(r->delivery_count, 1);
    ck_assert_str_eq(r->deliveries[0].message.body, "body 1");
    struct hato_reply *acked = hato_wait(hato_ack(h->client, "jobs", &r->deliveries[0].receipt, 1, NULL, NULL));
    ck_assert_int_eq(acked->error.code, HATO_OK);
    hato_reply_destroy(acked);
    hato_reply_destroy(r);
    close_waiting(h);
}
END_TEST

START_TEST(many_calls_can_be_made_before_the_first_is_waited_for)
{
    struct harness *h = open_waiting(answer_well);
    struct hato_call *calls[100];
    for (unsigned i = 0; i < 100; i++) {
        struct hato_message m = {.body = "hello", .body_len = 5};
        calls[i] = hato_send(h->client, "jobs", &m, 1, NULL, NULL);
    }
    for (unsigned i = 100; i-- > 0;) {
        struct hato_reply *r = hato_wait(calls[i]);
        char id[32];
        snprintf(id, sizeof id, "m%u", i + 1);
        ck_assert_str_eq(r->sent[0].message_id, id);
        hato_reply_destroy(r);
    }
    ck_assert_uint_eq(h->seen_count, 1);
    close_waiting(h);
}
END_TEST

START_TEST(an_error_can_be_waited_for)
{
    struct harness *h = open_waiting(answer_well);
    struct hato_reply *r = hato_wait(hato_send(h->client, "", NULL, 0, NULL, NULL));
    ck_assert_int_eq(r->error.code, HATO_INVALID);
    ck_assert_uint_gt(strlen(r->error.message), 0);
    hato_reply_destroy(r);
    close_waiting(h);
}
END_TEST

START_TEST(callbacks_of_other_calls_come_while_one_waits)
{
    struct harness *h = open_waiting(answer_well);
    struct outcome o = {0};
    send_text(h, "jobs", "x", &o);
    hato_reply_destroy(hato_wait(hato_ping(h->client, NULL, NULL)));
    ck_assert_uint_eq(o.times, 1);
    close_waiting(h);
}
END_TEST

START_TEST(a_call_that_nobody_waits_for_costs_nothing_but_its_reply)
{
    struct harness *h = open_waiting(answer_well);
    struct outcome o = {0};
    hato_ping(h->client, NULL, NULL);
    struct hato_message m = {0};
    hato_send(h->client, "jobs", &m, 1, NULL, NULL);
    hato_send(h->client, "jobs", &m, 1, hato_ignore, NULL);
    hato_reply_destroy(hato_wait(hato_ping(h->client, NULL, NULL)));
    send_text(h, "jobs", "x", &o); /* in flight while it closes */
    close_waiting(h);
    ck_assert_uint_eq(o.times, 1);
    ck_assert_int_eq(o.code, HATO_CLOSED);
}
END_TEST

START_TEST(a_client_that_is_never_used_can_be_destroyed)
{
    struct hato_options options = {.server = "127.0.0.1:1"};
    hato_client_destroy(hato_client_create(NULL, &options, NULL, 0));
    hato_client_destroy(NULL);
}
END_TEST

static void destroy_inside(void *user, const struct hato_reply *reply)
{
    (void)reply;
    hato_client_destroy(user);
}

static void wait_inside(void *user, const struct hato_reply *reply)
{
    (void)reply;
    hato_reply_destroy(hato_wait(hato_send(user, "", NULL, 0, NULL, NULL)));
}

static void close_inside(void *user, const struct hato_reply *reply)
{
    (void)reply;
    hato_client_close(user, NULL, NULL);
}

static void run_callback(hato_done_cb done)
{
    struct hato_options options = {.server = "127.0.0.1:1"};
    struct hato_client *client = hato_client_create(NULL, &options, NULL, 0);
    hato_send(client, "", NULL, 0, done, client);
    uv_run(hato_client_loop(client), UV_RUN_ONCE);
    uv_run(hato_client_loop(client), UV_RUN_ONCE);
}

START_TEST(destroying_a_client_from_its_callback_ends_the_program)
{
    run_callback(destroy_inside);
}
END_TEST

START_TEST(closing_a_client_with_a_loop_of_its_own_ends_the_program)
{
    run_callback(close_inside);
}
END_TEST

START_TEST(waiting_in_a_callback_ends_the_program)
{
    run_callback(wait_inside);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client/wait");
    TCase *tc = tcase_create("wait");
    tcase_set_timeout(tc, HARNESS_TIMEOUT_S);
    tcase_add_test(tc, a_call_can_be_waited_for);
    tcase_add_test(tc, many_calls_can_be_made_before_the_first_is_waited_for);
    tcase_add_test(tc, an_error_can_be_waited_for);
    tcase_add_test(tc, callbacks_of_other_calls_come_while_one_waits);
    tcase_add_test(tc, a_call_that_nobody_waits_for_costs_nothing_but_its_reply);
    tcase_add_test(tc, a_client_that_is_never_used_can_be_destroyed);
    tcase_add_test_raise_signal(tc, destroying_a_client_from_its_callback_ends_the_program, SIGABRT);
    tcase_add_test_raise_signal(tc, closing_a_client_with_a_loop_of_its_own_ends_the_program, SIGABRT);
    tcase_add_test_raise_signal(tc, waiting_in_a_callback_ends_the_program, SIGABRT);
    suite_add_tcase(suite, tc);
    return harness_run(suite);
}
