/* FIFO queues: order within a group, one batch in flight a group. */
#include "state/rig.h"

static struct rig rig;
static uint64_t queue;

static void setup(void)
{
    rig_open(&rig);
    queue = rig_create(&rig, RIG_NAME("jobs.fifo"), NULL);
}

static void teardown(void)
{
    rig_close(&rig);
}

START_TEST(a_group_with_a_batch_in_flight_waits_while_others_go_on)
{
    rig_send_many(&rig, queue, "a", 3);
    rig_send_many(&rig, queue, "b", 1);
    struct received first = rig_receive_one(&rig, queue, 60000);
    rig_expect_body(&rig, first.ref, "0");
    rig_receive(&rig, queue, 10, 60000);
    ck_assert_uint_eq(rig_reply(&rig)->count, 1); /* of b */
    rig_receive_none(&rig, queue);
    ck_assert_uint_eq(machine_queue_available(rig.m, queue, 10), 0);
    ck_assert_int_eq(rig_ack(&rig, queue, &first), ERR_OK);
    ck_assert(rig_has_effect(&rig, EFFECT_READY, queue));
    const struct received *rest = rig_receive(&rig, queue, 10, 60000);
    ck_assert_uint_eq(rig_reply(&rig)->count, 2);
    rig_expect_body(&rig, rest[0].ref, "1");
    rig_expect_body(&rig, rest[1].ref, "2");
}
END_TEST

START_TEST(a_failed_message_comes_before_the_later_ones_of_its_group)
{
    rig_send_many(&rig, queue, "a", 3);
    struct received first = rig_receive_one(&rig, queue, 60000);
    ck_assert_int_eq(rig_nack(&rig, queue, &first, 0, false), ERR_OK);
    const struct received *got = rig_receive(&rig, queue, 10, 1000);
    ck_assert_uint_eq(rig_reply(&rig)->count, 3);
    ck_assert_uint_eq(got[0].sequence, first.sequence);
    rig_advance(&rig, 1000);
    got = rig_receive(&rig, queue, 10, 1000);
    ck_assert_uint_eq(got[0].sequence, first.sequence);
    ck_assert_uint_eq(rig_reply(&rig)->count, 3);
}
END_TEST

START_TEST(a_nack_with_delay_holds_its_whole_group)
{
    rig_send_many(&rig, queue, "a", 2);
    struct received first = rig_receive_one(&rig, queue, 60000);
    ck_assert_int_eq(rig_nack(&rig, queue, &first, 3000, false), ERR_OK);
    ck_assert_uint_eq(rig_counts(&rig, queue).delayed, 1);
    ck_assert_uint_eq(rig_counts(&rig, queue).ready, 1);
    rig_receive_none(&rig, queue);
    rig_flush(&rig);
    rig_crash(&rig);
    rig_receive_none(&rig, queue);
    rig_advance(&rig, 3000);
    ck_assert_uint_eq(rig_receive_one(&rig, queue, 1000).sequence, first.sequence);
}
END_TEST

START_TEST(a_group_whose_head_arrived_in_the_dead_letter_queue_is_announced)
{
    rig_create(&rig, RIG_NAME("dead.fifo"), NULL);
    Hato__QueueSettings s = HATO__QUEUE_SETTINGS__INIT;
    s.dead_letter_queue = (char *)(uintptr_t)RIG_NAME("dead.fifo");
    s.has_max_receives = 1;
    s.max_receives = 1;
    rig_set(&rig, queue, &s);
    rig_send_many(&rig, queue, "a", 2);
    rig_receive_one(&rig, queue, 1000);
    rig_advance(&rig, 1000);
    ck_assert_uint_eq(rig_counts(&rig, queue).moving, 1);
    rig_receive_none(&rig, queue);
    rig_forward(&rig);
    ck_assert(rig_has_effect(&rig, EFFECT_READY, queue));
    struct received got = rig_receive_one(&rig, queue, 1000);
    rig_expect_body(&rig, got.ref, "1");
}
END_TEST

START_TEST(all_of_a_group_is_available_however_it_was_sent)
{
    for (int i = 0; i < 20; i++)
        rig_send(&rig, queue, (struct rig_message){.body = "x", .group = "a"});
    ck_assert_uint_eq(machine_queue_available(rig.m, queue, 100), 20);
    ck_assert_uint_eq(machine_queue_available(rig.m, queue, 7), 7);
    rig_receive_one(&rig, queue, 1000);
    ck_assert_uint_eq(machine_queue_available(rig.m, queue, 100), 0);
    rig_advance(&rig, 1000);
    ck_assert_uint_eq(machine_queue_available(rig.m, queue, 100), 20);
}
END_TEST

START_TEST(a_late_receipt_is_stale_at_once)
{
    rig_send_many(&rig, queue, "a", 1);
    struct received got = rig_receive_one(&rig, queue, 1000);
    rig_advance(&rig, 1000);
    ck_assert_int_eq(rig_ack(&rig, queue, &got), ERR_RECEIPT_STALE);
}
END_TEST

START_TEST(a_delayed_message_does_not_let_later_ones_of_its_group_pass)
{
    rig_send(&rig, queue, (struct rig_message){.body = "1", .group = "a", .delay_ms = 5000});
    rig_send(&rig, queue, (struct rig_message){.body = "2", .group = "a"});
    rig_send(&rig, queue, (struct rig_message){.body = "3", .group = "b"});
    struct received got = rig_receive_one(&rig, queue, 60000);
    rig_expect_body(&rig, got.ref, "3");
    rig_flush(&rig);
    rig_crash(&rig);
    rig_send(&rig, queue, (struct rig_message){.body = "4", .group = "a"});
    rig_advance(&rig, 5000);
    const struct received *all = rig_receive(&rig, queue, 10, 60000);
    ck_assert_uint_eq(rig_reply(&rig)->count, 3);
    rig_expect_body(&rig, all[0].ref, "1");
    rig_expect_body(&rig, all[1].ref, "2");
    rig_expect_body(&rig, all[2].ref, "4");
}
END_TEST

START_TEST(messages_without_a_group_are_a_group)
{
    rig_send_many(&rig, queue, NULL, 2);
    struct received got = rig_receive_one(&rig, queue, 60000);
    rig_receive_none(&rig, queue);
    ck_assert_int_eq(rig_ack(&rig, queue, &got), ERR_OK);
    rig_receive_one(&rig, queue, 60000);
}
END_TEST

START_TEST(a_priority_is_refused_by_name)
{
    struct rig_message in = {.body = "x", .group = "a", .priority = 1};
    rig_add_send(&rig, queue, &in, 1, 0, 0);
    rig_commit(&rig);
    ck_assert_int_eq(rig_reply(&rig)->sent[0].code, ERR_INVALID);
    ck_assert_str_eq(rig_reply(&rig)->sent[0].field, "priority");
}
END_TEST

START_TEST(a_deduplication_id_stores_once_within_its_window)
{
    Hato__QueueSettings s = HATO__QUEUE_SETTINGS__INIT;
    s.has_deduplication_window_ms = 1;
    s.deduplication_window_ms = 10000;
    rig_set(&rig, queue, &s);
    struct rig_message in[] = {{.body = "x", .group = "a", .deduplication_id = "1"},
                               {.body = "y", .group = "b", .deduplication_id = "1"}};
    rig_add_send(&rig, queue, in, 2, 0, 0);
    rig_commit(&rig);
    ck_assert(!rig_reply(&rig)->sent[0].duplicate);
    ck_assert(rig_reply(&rig)->sent[1].duplicate);
    uint64_t sequence = rig_reply(&rig)->sent[0].sequence;
    ck_assert_uint_eq(rig_reply(&rig)->sent[1].sequence, sequence);
    struct received got = rig_receive_one(&rig, queue, 1000);
    rig_ack(&rig, queue, &got);
    rig_flush(&rig);
    rig_crash(&rig);
    ck_assert_uint_eq(rig_send(&rig, queue, in[0]), sequence); /* deleted since, but not sent again */
    rig.now_ms += 10000;
    ck_assert_uint_ne(rig_send(&rig, queue, in[0]), sequence);
}
END_TEST

/* ---------------------------------------------------------------- redrives */

enum { BACKLOG = 1500 }; /* more than a redrive looks at in one entry */

static void start_redrive(void)
{
    rig_create(&rig, RIG_NAME("other.fifo"), NULL);
    Hato__Log__RedriveStart c = HATO__LOG__REDRIVE_START__INIT;
    c.has_queue = 1;
    c.queue = queue;
    c.destination = (char *)(uintptr_t)RIG_NAME("other.fifo");
    rig_add(&rig, COMMAND_REDRIVE_START, &c.base);
    rig_commit(&rig);
    ck_assert_int_eq(rig_reply(&rig)->code, ERR_OK);
}

/* Until it is over; each entry may be the last before a crash. */
static struct redrive_view run_redrive(void)
{
    struct redrive_view v;
    do {
        rig_advance(&rig, 1);
        rig_forward(&rig);
        rig_flush(&rig);
        rig_load_again(&rig);
        ck_assert_uint_eq(machine_redrives(rig.m, queue, &v, 1), 1);
    } while (v.state == 0);
    return v;
}

static void keep_together(const char *group)
{
    rig_send_many(&rig, queue, group, BACKLOG);
    struct received first = rig_receive_one(&rig, queue, 60000);
    start_redrive();
    rig_advance(&rig, 1);
    struct redrive_view v;
    ck_assert_uint_eq(machine_redrives(rig.m, queue, &v, 1), 1);
    ck_assert_uint_gt(v.skipped, 0);
    ck_assert_int_eq(v.state, 0);
    ck_assert_int_eq(rig_nack(&rig, queue, &first, 0, true), ERR_OK);
    v = run_redrive();
    ck_assert_uint_eq(v.moved, 0);
    ck_assert_uint_eq(v.skipped, BACKLOG);
    rig_expect_body(&rig, rig_receive_one(&rig, queue, 1000).ref, "0");
}

START_TEST(a_redrive_leaves_the_whole_group_of_a_message_in_flight)
{
    rig_send_many(&rig, queue, "a", 3);
    rig_send_many(&rig, queue, "b", 70);
    struct received first = rig_receive_one(&rig, queue, 60000);
    rig_expect_body(&rig, first.ref, "0");
    start_redrive();
    struct redrive_view v = run_redrive();
    ck_assert_uint_eq(v.moved, 70);
    ck_assert_uint_eq(v.skipped, 3);
    rig_nack(&rig, queue, &first, 5000, true); /* put off, it keeps them as well */
    start_redrive();
    v = run_redrive();
    ck_assert_uint_eq(v.moved, 0);
    ck_assert_uint_eq(v.skipped, 3);
    rig_advance(&rig, 5000);
    start_redrive();
    v = run_redrive();
    ck_assert_uint_eq(v.moved, 3);
    ck_assert_uint_eq(v.skipped, 0);
}
END_TEST

START_TEST(a_redrive_that_left_a_message_of_a_group_takes_none_behind_it)
{
    keep_together("a");
}
END_TEST

START_TEST(a_redrive_that_left_a_message_without_group_takes_none_behind_it)
{
    keep_together(NULL);
}
END_TEST

/* What is put off comes due while the redrive is between the two. */
START_TEST(a_redrive_that_left_a_delayed_message_takes_none_behind_it)
{
    rig_send_many(&rig, queue, "a", 2);
    rig_send(&rig, queue, (struct rig_message){.body = "put off", .group = "a", .delay_ms = 10});
    rig_send_many(&rig, queue, "b", (size_t)2 * BACKLOG);
    rig_send(&rig, queue, (struct rig_message){.body = "last", .group = "a"});
    start_redrive();
    rig_advance(&rig, 1);
    rig_advance(&rig, 10);
    struct redrive_view v = run_redrive();
    ck_assert_uint_eq(v.moved, 2 * BACKLOG + 2);
    ck_assert_uint_eq(v.skipped, 2);
    rig_expect_body(&rig, rig_receive_one(&rig, queue, 1000).ref, "put off");
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_group_with_a_batch_in_flight_waits_while_others_go_on,
        a_failed_message_comes_before_the_later_ones_of_its_group,
        a_nack_with_delay_holds_its_whole_group,
        a_group_whose_head_arrived_in_the_dead_letter_queue_is_announced,
        all_of_a_group_is_available_however_it_was_sent,
        a_late_receipt_is_stale_at_once,
        a_delayed_message_does_not_let_later_ones_of_its_group_pass,
        messages_without_a_group_are_a_group,
        a_priority_is_refused_by_name,
        a_deduplication_id_stores_once_within_its_window,
        a_redrive_leaves_the_whole_group_of_a_message_in_flight,
        a_redrive_that_left_a_message_of_a_group_takes_none_behind_it,
        a_redrive_that_left_a_message_without_group_takes_none_behind_it,
        a_redrive_that_left_a_delayed_message_takes_none_behind_it,
    };
    return rig_main("state/fifo", tests, sizeof tests / sizeof tests[0], setup, teardown);
}
