/* Receives: what is given, in which order, for how long, and how much of it. */
#include "state/rig.h"

static struct rig rig;
static uint64_t queue;

static void setup(void)
{
    rig_open(&rig);
    queue = rig_create(&rig, RIG_NAME("jobs"), NULL);
}

static void teardown(void)
{
    rig_close(&rig);
}

START_TEST(a_message_sent_is_received_once_and_gone_after_its_ack)
{
    rig_send(&rig, queue, (struct rig_message){.body = "hello"});
    ck_assert(rig_has_effect(&rig, EFFECT_READY, queue));
    struct received got = rig_receive_one(&rig, queue, 30000);
    rig_expect_body(&rig, got.ref, "hello");
    ck_assert_uint_eq(got.receive_count, 1);
    ck_assert_uint_eq(got.lease_until_ms, rig.now_ms + 30000);
    rig_receive_none(&rig, queue);
    ck_assert_int_eq(rig_ack(&rig, queue, &got), ERR_OK);
    struct queue_counts c = rig_counts(&rig, queue);
    ck_assert_uint_eq(c.ready + c.in_flight + c.delayed + c.bytes, 0);
    ck_assert_uint_eq(c.acked_total, 1);
    ck_assert_int_eq(rig_ack(&rig, queue, &got), ERR_RECEIPT_STALE);
    ck_assert_uint_eq(rig_keys(&rig, KEY_CHUNK) + rig_keys(&rig, KEY_TOUCH), 0);
}
END_TEST

START_TEST(messages_come_in_the_order_sent_whatever_the_batches)
{
    for (size_t i = 0; i < 10; i++)
        rig_send_many(&rig, queue, NULL, 100);
    uint64_t last = 0;
    for (size_t i = 0; i < 1000;) {
        const struct received *got = rig_receive(&rig, queue, 77, 1000);
        size_t n = rig_reply(&rig)->count;
        ck_assert_uint_gt(n, 0);
        for (size_t k = 0; k < n; k++, i++) {
            char body[16];
            snprintf(body, sizeof body, "%zu", i % 100);
            rig_expect_body(&rig, got[k].ref, body);
            ck_assert_uint_gt(got[k].sequence, last);
            last = got[k].sequence;
        }
    }
    rig_receive_none(&rig, queue);
}
END_TEST

START_TEST(a_receive_takes_what_was_sent_before_it_in_the_same_entry)
{
    struct rig_message in = {.body = "x"};
    struct entry_receive receive = {.queue = queue, .max_messages = 10, .visibility_ms = 1000};
    rig_add_send(&rig, queue, &in, 1, 0, 0);
    entry_add_receive(rig_writer(&rig), &receive);
    rig_add_send(&rig, queue, &in, 1, 0, 0);
    entry_add_receive(rig_writer(&rig), &receive);
    rig_commit(&rig);
    ck_assert_uint_eq(rig.out.replies[1].count, 1);
    ck_assert_uint_eq(rig.out.replies[3].count, 1);
    ck_assert_uint_eq(rig.out.replies[1].received[0].sequence, rig.out.replies[0].sent[0].sequence);
    ck_assert_uint_eq(rig.out.replies[3].received[0].sequence, rig.out.replies[2].sent[0].sequence);
}
END_TEST

START_TEST(an_expired_lease_gives_the_message_again_in_its_old_place)
{
    rig_send(&rig, queue, (struct rig_message){.body = "first"});
    struct received got = rig_receive_one(&rig, queue, 1000);
    rig_send(&rig, queue, (struct rig_message){.body = "second"});
    ck_assert_uint_eq(machine_next_due_ms(rig.m), rig.now_ms + 1000);
    rig_advance(&rig, 999);
    ck_assert_uint_eq(rig_counts(&rig, queue).in_flight, 1);
    rig_advance(&rig, 1);
    ck_assert_uint_eq(rig_counts(&rig, queue).in_flight, 0);
    ck_assert(rig_has_effect(&rig, EFFECT_READY, queue));
    struct received again = rig_receive_one(&rig, queue, 1000);
    ck_assert_uint_eq(again.sequence, got.sequence);
    ck_assert_uint_eq(again.receive_count, 2);
    ck_assert_uint_eq(again.first_received_ms, got.first_received_ms);
    ck_assert_uint_ne(again.lease, got.lease);
}
END_TEST

START_TEST(a_visibility_of_zero_counts_a_receive_and_leaves_the_message_ready)
{
    rig_send(&rig, queue, (struct rig_message){.body = "x"});
    struct received first = rig_receive_one(&rig, queue, 0);
    struct received second = rig_receive_one(&rig, queue, 0);
    ck_assert_uint_eq(second.receive_count, 2);
    ck_assert_int_eq(rig_ack(&rig, queue, &first), ERR_RECEIPT_STALE);
    ck_assert_int_eq(rig_ack(&rig, queue, &second), ERR_OK);
}
END_TEST

START_TEST(a_receive_that_names_no_visibility_takes_the_queues)
{
    Hato__QueueSettings s = HATO__QUEUE_SETTINGS__INIT;
    s.has_visibility_ms = 1;
    s.visibility_ms = 4321;
    rig_set(&rig, queue, &s);
    rig_send(&rig, queue, (struct rig_message){.body = "x"});
    struct received got = rig_receive_one(&rig, queue, ENTRY_VISIBILITY_DEFAULT);
    ck_assert_uint_eq(got.lease_until_ms, rig.now_ms + 4321);
}
END_TEST

START_TEST(a_visibility_above_seven_days_is_refused_by_name)
{
    struct entry_receive in = {.queue = queue, .max_messages = 1, .visibility_ms = 7ull * 24 * 3600 * 1000 + 1};
    entry_add_receive(rig_writer(&rig), &in);
    rig_commit(&rig);
    ck_assert_int_eq(rig_reply(&rig)->code, ERR_INVALID);
    ck_assert_str_eq(rig_reply(&rig)->field, "visibility_ms");
}
END_TEST

START_TEST(a_limit_of_bytes_stops_before_the_message_that_passes_it)
{
    char large[1001];
    memset(large, 'x', 1000);
    large[1000] = '\0';
    for (int i = 0; i < 5; i++)
        rig_send(&rig, queue, (struct rig_message){.body = large});
    struct entry_receive in = {.queue = queue, .max_messages = 10, .max_bytes = 2500, .visibility_ms = 1000};
    entry_add_receive(rig_writer(&rig), &in);
    in.max_bytes = 1; /* at least one is given */
    entry_add_receive(rig_writer(&rig), &in);
    rig_commit(&rig);
    ck_assert_uint_eq(rig.out.replies[0].count, 2);
    ck_assert_uint_eq(rig.out.replies[1].count, 1);
}
END_TEST

START_TEST(no_more_is_in_flight_than_the_queue_allows)
{
    Hato__QueueSettings s = HATO__QUEUE_SETTINGS__INIT;
    s.has_max_in_flight = 1;
    s.max_in_flight = 3;
    rig_set(&rig, queue, &s);
    rig_send_many(&rig, queue, NULL, 10);
    struct received held = rig_receive(&rig, queue, 10, 1000)[0];
    ck_assert_uint_eq(rig_reply(&rig)->count, 3);
    ck_assert_uint_eq(machine_queue_available(rig.m, queue, 10), 0);
    struct entry_receive in = {.queue = queue, .max_messages = 1, .visibility_ms = 1000};
    entry_add_receive(rig_writer(&rig), &in);
    rig_commit(&rig);
    ck_assert_int_eq(rig_reply(&rig)->code, ERR_LIMIT);
    ck_assert_str_eq(rig_reply(&rig)->field, "max_in_flight");
    ck_assert_int_eq(rig_ack(&rig, queue, &held), ERR_OK);
    ck_assert(rig_has_effect(&rig, EFFECT_READY, queue)); /* there is room again */
    s.max_in_flight = 5;
    rig_set(&rig, queue, &s);
    ck_assert(rig_has_effect(&rig, EFFECT_READY, queue));
    ck_assert_uint_eq(machine_queue_available(rig.m, queue, 10), 3);
}
END_TEST

START_TEST(commands_for_a_queue_that_is_not_there_are_refused)
{
    struct rig_message message = {.body = "x"};
    struct entry_receive receive = {.queue = 99, .max_messages = 1};
    struct entry_lease lease = {1, 1};
    rig_add_send(&rig, 99, &message, 1, 0, 0);
    entry_add_receive(rig_writer(&rig), &receive);
    entry_add_ack(rig_writer(&rig), 99, &lease, 1);
    rig_commit(&rig);
    ck_assert_int_eq(rig.out.replies[0].code, ERR_NOT_FOUND);
    ck_assert_int_eq(rig.out.replies[1].code, ERR_NOT_FOUND);
    ck_assert_int_eq(rig.out.replies[2].codes[0], ERR_NOT_FOUND);
}
END_TEST

static void expect_waited(uint64_t messages, uint64_t ms)
{
    struct queue_waited w;
    machine_queue_waited(rig.m, queue, &w);
    ck_assert_uint_eq(w.total, messages);
    ck_assert_uint_eq(w.sum_ms, ms);
}

START_TEST(time_in_the_queue_is_that_to_the_first_receive_alone)
{
    rig_send(&rig, queue, (struct rig_message){.body = "x"});
    rig.now_ms += 100;
    rig_receive_one(&rig, queue, 0);
    rig.now_ms += 5000;
    rig_receive_one(&rig, queue, 1000);
    expect_waited(1, 100);
    struct queue_waited w;
    machine_queue_waited(rig.m, queue, &w);
    ck_assert_uint_eq(w.counts[7], 1); /* below 128 ms */
}
END_TEST

enum ending { NACKED, PUT_OFF, TIME_OVER };

static void end(enum ending how, struct received got)
{
    if (how == TIME_OVER)
        rig_advance(&rig, 60000);
    else
        ck_assert_int_eq(rig_nack(&rig, queue, &got, how == PUT_OFF ? 1000 : 0, false), ERR_OK);
    rig_advance(&rig, 1000);
}

static void receive_uncounted(void)
{
    struct received got = rig_receive_one(&rig, queue, 60000);
    ck_assert_int_eq(rig_nack(&rig, queue, &got, 0, true), ERR_OK);
}

static void receive_and_ack(void)
{
    struct received got = rig_receive_one(&rig, queue, 60000);
    ck_assert_int_eq(rig_ack(&rig, queue, &got), ERR_OK);
}

/* As a function's endpoint that is down is looked at. */
START_TEST(time_in_the_queue_goes_on_where_receives_do_not_count)
{
    for (enum ending how = NACKED; how <= TIME_OVER; how++) {
        const char *names[] = {RIG_NAME("nacked"), RIG_NAME("put-off"), RIG_NAME("time-over")};
        queue = rig_create(&rig, names[how], NULL);
        rig_send(&rig, queue, (struct rig_message){.body = "x"});
        for (int i = 0; i < 10; i++) {
            rig.now_ms += 1000;
            receive_uncounted();
        }
        rig.now_ms += 1000;
        struct received got = rig_receive_one(&rig, queue, 60000);
        expect_waited(0, 0);
        end(how, got);
        expect_waited(1, 11000);
        receive_uncounted();
        receive_and_ack();
        expect_waited(1, 11000);
        rig_send(&rig, queue, (struct rig_message){.body = "y"});
        receive_and_ack();
        expect_waited(2, 11000);
    }
}
END_TEST

START_TEST(a_clock_that_goes_back_does_not)
{
    rig_send(&rig, queue, (struct rig_message){.body = "x"});
    rig_receive_one(&rig, queue, 1000);
    rig.now_ms -= 500;
    rig_commit(&rig);
    ck_assert_uint_eq(machine_clock_ms(rig.m), rig.now_ms + 500);
    rig_receive_none(&rig, queue);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_message_sent_is_received_once_and_gone_after_its_ack,
        messages_come_in_the_order_sent_whatever_the_batches,
        a_receive_takes_what_was_sent_before_it_in_the_same_entry,
        an_expired_lease_gives_the_message_again_in_its_old_place,
        a_visibility_of_zero_counts_a_receive_and_leaves_the_message_ready,
        a_receive_that_names_no_visibility_takes_the_queues,
        a_visibility_above_seven_days_is_refused_by_name,
        a_limit_of_bytes_stops_before_the_message_that_passes_it,
        no_more_is_in_flight_than_the_queue_allows,
        commands_for_a_queue_that_is_not_there_are_refused,
        time_in_the_queue_is_that_to_the_first_receive_alone,
        time_in_the_queue_goes_on_where_receives_do_not_count,
        a_clock_that_goes_back_does_not,
    };
    return rig_main("state/receive", tests, sizeof tests / sizeof tests[0], setup, teardown);
}
