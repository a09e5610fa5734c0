/* Delays and retention. */
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

static void set_retention(uint64_t ms)
{
    Hato__QueueSettings s = HATO__QUEUE_SETTINGS__INIT;
    s.has_retention_ms = 1;
    s.retention_ms = ms;
    rig_set(&rig, queue, &s);
}

START_TEST(a_delayed_message_is_never_early_and_ready_when_due)
{
    rig_send(&rig, queue, (struct rig_message){.body = "later", .delay_ms = 5000});
    rig_send(&rig, queue, (struct rig_message){.body = "now"});
    ck_assert_uint_eq(rig_counts(&rig, queue).delayed, 1);
    ck_assert_uint_eq(machine_next_due_ms(rig.m), rig.now_ms + 5000);
    struct received got = rig_receive_one(&rig, queue, 60000);
    rig_expect_body(&rig, got.ref, "now");
    rig_advance(&rig, 4999);
    rig_receive_none(&rig, queue);
    rig_advance(&rig, 1);
    ck_assert(rig_has_effect(&rig, EFFECT_READY, queue));
    got = rig_receive_one(&rig, queue, 60000);
    rig_expect_body(&rig, got.ref, "later");
    ck_assert_uint_eq(got.sent_ms, rig.now_ms - 5000);
    ck_assert_uint_eq(rig_keys(&rig, KEY_DUE), 0);
}
END_TEST

START_TEST(a_point_in_time_a_queue_delay_and_no_delay_each_count)
{
    Hato__QueueSettings s = HATO__QUEUE_SETTINGS__INIT;
    s.has_delay_ms = 1;
    s.delay_ms = 1000;
    rig_set(&rig, queue, &s);
    rig_send(&rig, queue, (struct rig_message){.body = "queue"});
    rig_send(&rig, queue, (struct rig_message){.body = "none", .no_delay = true});
    rig_send(&rig, queue, (struct rig_message){.body = "point", .not_before_ms = rig.now_ms + 500});
    rig_send(&rig, queue, (struct rig_message){.body = "past", .not_before_ms = rig.now_ms - 500});
    ck_assert_uint_eq(rig_counts(&rig, queue).ready, 2);
    rig_advance(&rig, 500);
    ck_assert_uint_eq(rig_counts(&rig, queue).ready, 3);
    rig_advance(&rig, 500);
    ck_assert_uint_eq(rig_counts(&rig, queue).ready, 4);
}
END_TEST

START_TEST(delays_survive_a_crash_and_years_are_possible)
{
    const uint64_t years = 9ull * 365 * 24 * 3600 * 1000;
    rig_send(&rig, queue, (struct rig_message){.body = "x", .delay_ms = years});
    rig_flush(&rig);
    rig_crash(&rig);
    ck_assert_uint_eq(machine_next_due_ms(rig.m), rig.now_ms + years);
    rig_advance(&rig, years);
    rig_receive_one(&rig, queue, 1000);
}
END_TEST

START_TEST(a_delay_above_ten_years_is_refused_by_name)
{
    struct rig_message in[] = {{.delay_ms = 11ull * 366 * 24 * 3600 * 1000},
                               {.not_before_ms = rig.now_ms + 11ull * 366 * 24 * 3600 * 1000}};
    rig_add_send(&rig, queue, in, 2, 0, 0);
    rig_commit(&rig);
    ck_assert_int_eq(rig_reply(&rig)->sent[0].code, ERR_INVALID);
    ck_assert_str_eq(rig_reply(&rig)->sent[0].field, "delay_ms");
    ck_assert_str_eq(rig_reply(&rig)->sent[1].field, "not_before_ms");
}
END_TEST

START_TEST(a_delayed_message_can_be_cancelled_and_leaves_nothing)
{
    uint64_t sequence = rig_send(&rig, queue, (struct rig_message){.body = "x", .delay_ms = 5000});
    ck_assert_int_eq(rig_cancel(&rig, queue, sequence), ERR_OK);
    ck_assert_int_eq(rig_cancel(&rig, queue, sequence), ERR_NOT_FOUND);
    ck_assert_uint_eq(rig_counts(&rig, queue).delayed, 0);
    ck_assert_uint_eq(rig_keys(&rig, KEY_DUE) + rig_keys(&rig, KEY_CHUNK) + rig_keys(&rig, KEY_COLD), 0);
    rig_advance(&rig, 6000);
    rig_receive_none(&rig, queue);
}
END_TEST

START_TEST(an_empty_queue_that_is_deleted_leaves_no_due_key)
{
    uint64_t sequence = rig_send(&rig, queue, (struct rig_message){.body = "x"});
    struct received got = rig_receive_one(&rig, queue, 1000);
    ck_assert_int_eq(rig_nack(&rig, queue, &got, 5000, false), ERR_OK);
    ck_assert_int_eq(rig_cancel(&rig, queue, sequence), ERR_OK);
    ck_assert_uint_eq(rig_counts(&rig, queue).delayed, 0);
    rig_delete(&rig, queue);
    ck_assert_uint_eq(rig_keys(&rig, KEY_DUE), 0);
}
END_TEST

START_TEST(an_empty_queue_that_is_purged_has_no_due_key_left)
{
    uint64_t sequence = rig_send(&rig, queue, (struct rig_message){.body = "x"});
    struct received got = rig_receive_one(&rig, queue, 1000);
    ck_assert_int_eq(rig_nack(&rig, queue, &got, 5000, false), ERR_OK);
    ck_assert_int_eq(rig_cancel(&rig, queue, sequence), ERR_OK);
    ck_assert_uint_eq(rig_purge(&rig, queue), 0);
    ck_assert_uint_eq(rig_keys(&rig, KEY_DUE), 0);
}
END_TEST

START_TEST(what_is_ready_can_be_cancelled_and_what_is_held_cannot)
{
    rig_send_many(&rig, queue, NULL, 3);
    struct received got = rig_receive_one(&rig, queue, 1000);
    ck_assert_int_eq(rig_cancel(&rig, queue, got.sequence), ERR_CONFLICT);
    ck_assert_int_eq(rig_cancel(&rig, queue, got.sequence + 1), ERR_OK);
    ck_assert_int_eq(rig_cancel(&rig, queue, 123456789), ERR_NOT_FOUND);
    struct received next = rig_receive_one(&rig, queue, 1000);
    ck_assert_uint_eq(next.sequence, got.sequence + 2);
}
END_TEST

START_TEST(cancelling_in_a_backlog_is_seen_when_its_turn_comes)
{
    for (int i = 0; i < 20; i++)
        rig_send_many(&rig, queue, NULL, 64);
    struct received first = rig_receive_one(&rig, queue, 0);
    for (uint64_t i = 0; i < 640; i++) /* ten whole chunks of the default lane's, each second number */
        ck_assert_int_eq(rig_cancel(&rig, queue, first.sequence + 640 + i / 64 * 128 + i % 64), ERR_OK);
    ck_assert_int_eq(rig_cancel(&rig, queue, first.sequence + 128 + 5), ERR_OK);
    rig_flush(&rig);
    rig_crash(&rig);
    ck_assert_uint_eq(rig_counts(&rig, queue).ready, 639);
    size_t n = 0;
    while (rig_receive(&rig, queue, 50, 100000), rig_reply(&rig)->count > 0)
        n += rig_reply(&rig)->count;
    ck_assert_uint_eq(n, 639);
}
END_TEST

/* Chunks in memory, before and behind what is in the store only. */
START_TEST(cancelling_anywhere_in_a_backlog_leaves_the_rest_in_order)
{
    enum { MESSAGES = 300 };
    uint64_t sequences[MESSAGES];
    bool gone[MESSAGES] = {false};
    for (int i = 0; i < MESSAGES; i++) { /* a chunk each */
        if (i == MESSAGES / 2) { /* what is in the store is read when its turn comes, the rest follows in memory */
            rig_flush(&rig);
            rig_crash(&rig);
        }
        sequences[i] = rig_send(&rig, queue, (struct rig_message){.body = "x"});
    }
    for (int i = 0; i < MESSAGES; i++) {
        int k = i * 7 % MESSAGES; /* everywhere */
        if (k % 3 == 0)
            continue;
        gone[k] = true;
        ck_assert_int_eq(rig_cancel(&rig, queue, sequences[k]), ERR_OK);
    }
    for (int i = 0; i < MESSAGES; i++)
        if (!gone[i])
            ck_assert_uint_eq(rig_receive_one(&rig, queue, 100000).sequence, sequences[i]);
    rig_receive_none(&rig, queue);
}
END_TEST

START_TEST(a_message_nobody_took_goes_when_its_retention_ends)
{
    set_retention(10000);
    rig_send(&rig, queue, (struct rig_message){.body = "x"});
    rig_send(&rig, queue, (struct rig_message){.body = "y", .group = "g"});
    rig_advance(&rig, 9999);
    ck_assert_uint_eq(rig_counts(&rig, queue).ready, 2);
    rig_advance(&rig, 1);
    struct queue_counts c = rig_counts(&rig, queue);
    ck_assert_uint_eq(c.ready, 0);
    ck_assert_uint_eq(c.bytes, 0);
    ck_assert_uint_eq(c.expired_total, 2);
    ck_assert_uint_eq(rig_keys(&rig, KEY_CHUNK) + rig_keys(&rig, KEY_FRESH) + rig_keys(&rig, KEY_LANE), 0);
}
END_TEST

START_TEST(retention_leaves_what_is_held_until_its_lease_ends)
{
    set_retention(10000);
    rig_send(&rig, queue, (struct rig_message){.body = "x"});
    struct received got = rig_receive_one(&rig, queue, 60000);
    rig_advance(&rig, 20000);
    ck_assert_uint_eq(rig_counts(&rig, queue).in_flight, 1);
    ck_assert_int_eq(rig_extend(&rig, queue, &got, 1000), ERR_OK);
    rig_advance(&rig, 1000);
    ck_assert_uint_eq(rig_counts(&rig, queue).expired_total, 1);
    rig_receive_none(&rig, queue);
}
END_TEST

START_TEST(retention_of_a_delayed_message_counts_from_when_it_was_due)
{
    set_retention(10000);
    rig_send(&rig, queue, (struct rig_message){.body = "x", .delay_ms = 50000});
    rig_advance(&rig, 50000);
    ck_assert_uint_eq(rig_counts(&rig, queue).ready, 1);
    rig_advance(&rig, 9999);
    ck_assert_uint_eq(rig_counts(&rig, queue).ready, 1);
    rig_advance(&rig, 1);
    ck_assert_uint_eq(rig_counts(&rig, queue).ready, 0);
}
END_TEST

START_TEST(a_backlog_expires_over_some_entries)
{
    set_retention(10000);
    for (int i = 0; i < 25; i++)
        rig_send_many(&rig, queue, i % 2 == 0 ? NULL : "g", 1000);
    rig_advance(&rig, 10000);
    ck_assert_uint_gt(rig_counts(&rig, queue).ready, 0);
    ck_assert_uint_le(machine_next_due_ms(rig.m), rig.now_ms);
    for (int i = 0; i < 8; i++)
        rig_commit(&rig);
    ck_assert_uint_eq(rig_counts(&rig, queue).ready, 0);
    ck_assert_uint_eq(machine_next_due_ms(rig.m), NEVER);
    ck_assert_uint_eq(rig_keys(&rig, KEY_CHUNK), 0);
}
END_TEST

START_TEST(what_is_due_in_other_queues_does_not_wait_for_a_backlog_to_expire)
{
    uint64_t other = rig_create(&rig, RIG_NAME("other"), NULL);
    for (int i = 0; i < 3; i++)
        rig_send_many(&rig, queue, NULL, 10000);
    rig_send(&rig, other, (struct rig_message){.body = "leased"});
    rig_receive_one(&rig, other, 10000);
    rig_send(&rig, other, (struct rig_message){.body = "delayed", .delay_ms = 10000});
    set_retention(5000);
    rig_advance(&rig, 10000);
    ck_assert_uint_gt(rig_counts(&rig, queue).ready, 10000);
    ck_assert_uint_eq(rig_counts(&rig, other).ready, 2);
}
END_TEST

START_TEST(promotion_waits_for_room_and_goes_on)
{
    struct rig_message in[100];
    for (int i = 0; i < 100; i++)
        in[i] = (struct rig_message){.body = "x"};
    for (int i = 0; i < 50; i++) { /* each message due at its own time: a chunk each */
        for (int k = 0; k < 100; k++)
            in[k].delay_ms = (uint64_t)(1000 + i * 100 + k);
        rig_add_send(&rig, queue, in, 100, 0, 0);
        rig_commit(&rig);
    }
    rig_advance(&rig, 100000);
    for (int i = 0; i < 3; i++)
        rig_commit(&rig);
    struct queue_counts c = rig_counts(&rig, queue);
    ck_assert_uint_eq(c.ready, 4096);
    ck_assert_uint_eq(c.delayed, 5000 - 4096);
    ck_assert_uint_gt(machine_next_due_ms(rig.m), rig.now_ms); /* no spinning while there is no room */
    rig_receive(&rig, queue, 2000, 100000);
    ck_assert_uint_eq(rig_reply(&rig)->count, 2000);
    rig_commit(&rig);
    c = rig_counts(&rig, queue);
    ck_assert_uint_eq(c.ready, 3000);
    ck_assert_uint_eq(c.delayed, 0);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_delayed_message_is_never_early_and_ready_when_due,
        a_point_in_time_a_queue_delay_and_no_delay_each_count,
        delays_survive_a_crash_and_years_are_possible,
        a_delay_above_ten_years_is_refused_by_name,
        a_delayed_message_can_be_cancelled_and_leaves_nothing,
        an_empty_queue_that_is_deleted_leaves_no_due_key,
        an_empty_queue_that_is_purged_has_no_due_key_left,
        what_is_ready_can_be_cancelled_and_what_is_held_cannot,
        cancelling_in_a_backlog_is_seen_when_its_turn_comes,
        cancelling_anywhere_in_a_backlog_leaves_the_rest_in_order,
        a_message_nobody_took_goes_when_its_retention_ends,
        retention_leaves_what_is_held_until_its_lease_ends,
        retention_of_a_delayed_message_counts_from_when_it_was_due,
        a_backlog_expires_over_some_entries,
        what_is_due_in_other_queues_does_not_wait_for_a_backlog_to_expire,
        promotion_waits_for_room_and_goes_on,
    };
    return rig_main("state/due", tests, sizeof tests / sizeof tests[0], setup, teardown);
}
