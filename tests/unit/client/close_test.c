/* What is asked of a client while it closes: other things on the loop go on, and each callback comes once. */
#include "client/harness.h"

enum { CALLS_MAX = 5 };

/* Looks at each turn of the loop, between what its callbacks did and the ends of handles. */
struct closer {
    struct harness *h;
    uv_check_t check;
    void (*ask)(struct closer *c); /* in the first turn */
    unsigned turns;
    unsigned calls;
    unsigned told;
    unsigned last_turn; /* in which the last callback came */
};

static void on_check(uv_check_t *check)
{
    struct closer *c = check->data;
    if (++c->turns == 1)
        c->ask(c);
}

static void close_and_look(struct closer *c, void (*ask)(struct closer *c))
{
    *c = (struct closer){.h = harness_open(answer_nothing, NULL), .ask = ask};
    RUN_UNTIL(c->h, hato_client_connected(c->h->client));
    uv_check_init(&c->h->loop, &c->check);
    c->check.data = c;
    uv_check_start(&c->check, on_check);
    hato_client_close(c->h->client, harness_closed, c->h);
    RUN_UNTIL(c->h, c->h->closed);
    ck_assert_uint_ge(c->turns, 1);
    uv_close((uv_handle_t *)&c->check, NULL);
    double_close(&c->h->broker);
    uv_run(&c->h->loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&c->h->loop), 0);
    free(c->h);
}

static void call_again(struct closer *c);

static void on_failed(void *user, const struct hato_reply *reply)
{
    struct closer *c = user;
    ck_assert_int_eq(reply->error.code, HATO_CLOSED);
    c->told++;
    c->last_turn = c->turns;
    call_again(c);
}

static void call_again(struct closer *c)
{
    if (c->calls++ < CALLS_MAX)
        hato_ping(c->h->client, on_failed, c);
}

START_TEST(calls_that_answer_failures_while_a_client_closes_are_told_in_turns_of_their_own)
{
    struct closer c;
    close_and_look(&c, call_again);
    ck_assert_uint_eq(c.told, CALLS_MAX);
    ck_assert_uint_ge(c.last_turn, CALLS_MAX);
}
END_TEST

static void never(void *user, struct hato_stream *stream, const struct hato_delivery *deliveries, size_t count)
{
    (void)user;
    (void)stream;
    (void)deliveries;
    ck_abort_msg("%zu messages came", count);
}

static void on_end(void *user, const struct hato_error *error)
{
    struct closer *c = user;
    ck_assert_int_eq(error->code, HATO_CLOSED);
    c->told++;
}

static void open_stream(struct closer *c)
{
    hato_stream_open(c->h->client, "jobs", NULL, never, on_end, c);
}

START_TEST(a_stream_opened_while_a_client_closes_ends_once)
{
    struct closer c;
    close_and_look(&c, open_stream);
    ck_assert_uint_eq(c.told, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client/close");
    TCase *tc = tcase_create("close");
    tcase_set_timeout(tc, HARNESS_TIMEOUT_S);
    tcase_add_test(tc, calls_that_answer_failures_while_a_client_closes_are_told_in_turns_of_their_own);
    tcase_add_test(tc, a_stream_opened_while_a_client_closes_ends_once);
    suite_add_tcase(suite, tc);
    return harness_run(suite);
}
