/* Nodes of a cluster that are cut off from its majority: they are there and answer, but can't decide anything. */
#include "client/harness.h"

/* Such a node; pings it answers by itself. */
static void answer_cut_off(struct double_broker *b, struct double_peer *p, const Hato__Request *r)
{
    (*(unsigned *)b->user)++;
    if (r->op_case == HATO__REQUEST__OP_PING)
        double_empty(p, r->id);
    else if (r->op_case == HATO__REQUEST__OP_STREAM_OPEN)
        double_stream_end(p, r->id, HATO_NOT_LEADER);
    else
        double_refuse(p, r->id, HATO_NOT_LEADER, "", "shard 1 has had no leader for 10 s");
}

struct two_servers {
    struct double_broker cut_off;
    unsigned asked; /* of it */
    struct harness *h;
    struct hato_client *client;
};

static void two_servers_open(struct two_servers *t)
{
    char servers[100];
    t->asked = 0;
    t->h = harness_open(answer_well, NULL);
    double_open(&t->cut_off, &t->h->loop, answer_cut_off, &t->asked);
    snprintf(servers, sizeof servers, "%s,%s", t->cut_off.address, t->h->broker.address);
    struct hato_options options = {.server = servers, .timeout_ms = patience(0)};
    t->client = hato_client_create(&t->h->loop, &options, NULL, 0);
    ck_assert_ptr_nonnull(t->client);
}

static void two_servers_close(struct two_servers *t)
{
    hato_client_close(t->client, NULL, NULL);
    double_close(&t->cut_off);
    harness_close(t->h);
}

START_TEST(a_node_that_keeps_answering_that_it_can_not_decide_is_left_for_the_next_server)
{
    struct two_servers t;
    two_servers_open(&t);
    struct outcome o[5] = {0};
    for (unsigned i = 0; i < 3; i++) {
        hato_queue_delete(t.client, "jobs", record, &o[i]);
        RUN_UNTIL(t.h, o[i].times > 0);
        ck_assert_int_eq(o[i].code, HATO_NOT_LEADER);
    }
    hato_ping(t.client, record, &o[3]);
    hato_queue_delete(t.client, "jobs", record, &o[4]);
    RUN_UNTIL(t.h, o[3].times > 0 && o[4].times > 0);
    ck_assert_int_eq(o[4].code, HATO_OK);
    ck_assert_uint_eq(t.asked, 3);
    two_servers_close(&t);
}
END_TEST

START_TEST(what_a_node_answers_by_itself_says_nothing_about_its_being_cut_off)
{
    struct two_servers t;
    two_servers_open(&t);
    struct outcome o = {0};
    struct outcome alive = {0};
    while (o.code != HATO_OK || o.times == 0) {
        unsigned before = o.times;
        hato_queue_delete(t.client, "jobs", record, &o);
        hato_ping(t.client, record, &alive);
        RUN_UNTIL(t.h, o.times > before && alive.times > before);
        ck_assert_uint_le(o.times, 4);
    }
    two_servers_close(&t);
}
END_TEST

START_TEST(what_is_under_way_when_a_node_is_left_is_asked_of_the_next)
{
    struct two_servers t;
    two_servers_open(&t);
    struct outcome o[5] = {0};
    for (unsigned i = 0; i < 2; i++) {
        hato_queue_delete(t.client, "jobs", record, &o[0]);
        RUN_UNTIL(t.h, o[0].times > i);
    }
    for (unsigned i = 0; i < 5; i++)
        hato_queue_delete(t.client, "jobs", record, &o[i]);
    RUN_UNTIL(t.h, o[3].times > 0 && o[4].times > 0);
    for (unsigned i = 0; i < 5; i++)
        ck_assert_int_eq(o[i].code, i < 1 ? HATO_NOT_LEADER : HATO_OK);
    two_servers_close(&t);
}
END_TEST

/* As when a leader goes: the node that is connected to is not cut off for that. */
START_TEST(a_node_is_kept_though_all_that_was_under_way_ends_undecided_at_once)
{
    struct two_servers t;
    two_servers_open(&t);
    struct outcome o[5] = {0};
    for (unsigned i = 0; i < 5; i++)
        hato_queue_delete(t.client, "jobs", record, &o[i]);
    RUN_UNTIL(t.h, o[4].times > 0);
    hato_queue_delete(t.client, "jobs", record, &o[0]);
    RUN_UNTIL(t.h, o[0].times > 1);
    ck_assert_uint_eq(t.asked, 6);
    two_servers_close(&t);
}
END_TEST

static void deliver_to_streams(struct double_broker *b, struct double_peer *p, const Hato__Request *r)
{
    see(b->user, p, r);
    if (r->op_case == HATO__REQUEST__OP_STREAM_OPEN)
        double_deliver(p, r->id, true, 1, 1);
}

static void take_one(void *user, struct hato_stream *stream, const struct hato_delivery *deliveries, size_t count)
{
    (void)stream;
    (void)deliveries;
    *(size_t *)user += count;
}

static void stream_ended(void *user, const struct hato_error *error)
{
    (void)user;
    (void)error;
}

START_TEST(a_stream_leaves_a_node_that_keeps_ending_it_because_it_can_not_decide)
{
    struct two_servers t;
    two_servers_open(&t);
    size_t delivered = 0;
    t.h->broker.on_request = deliver_to_streams;
    hato_stream_open(t.client, "jobs", NULL, take_one, stream_ended, &delivered);
    RUN_UNTIL(t.h, delivered > 0);
    ck_assert_uint_eq(t.asked, 3);
    two_servers_close(&t);
}
END_TEST

/* Two of three times it can't decide. */
static void lead_every_third(struct double_broker *b, struct double_peer *p, const Hato__Request *r)
{
    if (++*(unsigned *)b->user % 3 == 0)
        double_empty(p, r->id);
    else
        double_refuse(p, r->id, HATO_NOT_LEADER, "", "shard 1 has had no leader for 10 s");
}

START_TEST(a_node_that_decides_now_and_then_is_kept)
{
    struct two_servers t;
    two_servers_open(&t);
    t.cut_off.on_request = lead_every_third;
    struct outcome o = {0};
    for (unsigned i = 0; i < 10; i++) {
        hato_queue_delete(t.client, "jobs", record, &o);
        RUN_UNTIL(t.h, o.times > i);
    }
    ck_assert_uint_eq(t.asked, 10);
    ck_assert_uint_eq(t.h->seen_count, 0);
    two_servers_close(&t);
}
END_TEST

static void refuse_always(struct double_broker *b, struct double_peer *p, const Hato__Request *r)
{
    see(b->user, p, r);
    double_refuse(p, r->id, HATO_NOT_LEADER, "", "shard 1 has had no leader for 10 s");
}

START_TEST(the_only_server_is_kept_whatever_it_answers)
{
    struct harness *h = harness_open(refuse_always, NULL);
    struct outcome o = {0};
    for (unsigned i = 0; i < 10; i++) {
        hato_queue_delete(h->client, "jobs", record, &o);
        RUN_UNTIL(h, o.times > i);
    }
    ck_assert_uint_eq(h->lost, 0);
    harness_close(h);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client/cut_off");
    TCase *tc = tcase_create("cut_off");
    tcase_set_timeout(tc, HARNESS_TIMEOUT_S);
    tcase_add_test(tc, a_node_that_keeps_answering_that_it_can_not_decide_is_left_for_the_next_server);
    tcase_add_test(tc, what_a_node_answers_by_itself_says_nothing_about_its_being_cut_off);
    tcase_add_test(tc, what_is_under_way_when_a_node_is_left_is_asked_of_the_next);
    tcase_add_test(tc, a_node_is_kept_though_all_that_was_under_way_ends_undecided_at_once);
    tcase_add_test(tc, a_stream_leaves_a_node_that_keeps_ending_it_because_it_can_not_decide);
    tcase_add_test(tc, a_node_that_decides_now_and_then_is_kept);
    tcase_add_test(tc, the_only_server_is_kept_whatever_it_answers);
    suite_add_tcase(suite, tc);
    return harness_run(suite);
}
