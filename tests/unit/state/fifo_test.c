/* FIFO queues: order within a group, one batch in flight a group, halts. */
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

static void resume(const char *group, int expected)
{
    Hato__Log__GroupResume c = HATO__LOG__GROUP_RESUME__INIT;
    c.has_queue = 1;
    c.queue = queue;
    c.group = (char *)(uintptr_t)group;
    rig_add(&rig, COMMAND_GROUP_RESUME, &c.base);
    rig_commit(&rig);
    ck_assert_int_eq(rig_reply(&rig)->code, expected);
}

static void set_halt(uint32_t max_receives)
{
    Hato__QueueSettings s = HATO__QUEUE_SETTINGS__INIT;
    s.has_on_exhausted = s.has_max_receives = 1;
    s.on_exhausted = HATO__ON_EXHAUSTED__HALT_GROUP;
    s.max_receives = max_receives;
    rig_set(&rig, queue, &s);
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

START_TEST(a_group_whose_head_left_for_the_dead_letter_queue_is_announced)
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

START_TEST(a_group_halts_at_a_message_that_used_up_its_receives)
{
    set_halt(2);
    rig_send_many(&rig, queue, "a", 2);
    rig_send_many(&rig, queue, "b", 1);
    for (int i = 0; i < 2; i++) {
        struct received got = rig_receive_one(&rig, queue, 1000);
        ck_assert_int_eq(rig_nack(&rig, queue, &got, 0, false), ERR_OK);
        got = rig_receive_one(&rig, queue, 1000);
        ck_assert_int_eq(rig_nack(&rig, queue, &got, 0, true), ERR_OK); /* of b: not counted, no halt */
    }
    ck_assert_uint_eq(rig_counts(&rig, queue).halted_groups, 1);
    rig_flush(&rig);
    rig_crash(&rig);
    struct received other = rig_receive_one(&rig, queue, 60000);
    rig_expect_body(&rig, other.ref, "0");
    rig_receive_none(&rig, queue);
    resume("b", ERR_NOT_FOUND);
    resume("a", ERR_OK);
    ck_assert_uint_eq(rig_counts(&rig, queue).halted_groups, 0);
    ck_assert_uint_eq(rig_receive_one(&rig, queue, 1000).receive_count, 1);
}
END_TEST

static size_t peek(enum peek_which which, struct peeked *out, size_t max)
{
    struct arena arena = {0};
    struct peeked *found;
    size_t count;
    uint64_t next;
    struct error e = {0};
    ck_assert_msg(machine_peek(rig.m, queue, 0, which, NULL, max, &arena, &found, &count, &next, &e) == 0, "%s",
                  e.message);
    memcpy(out, found, count * sizeof *out);
    for (size_t i = 0; i < count; i++)
        out[i].last_error = strcmp(found[i].last_error, "why") == 0 ? "why" : "";
    arena_close(&arena);
    return count;
}

START_TEST(where_a_group_halted_is_shown)
{
    struct peeked seen[100];
    set_halt(1);
    rig_send_many(&rig, queue, "a", 2);
    for (int i = 0; i < 3; i++) /* entries, and so chunks, that stay in the store */
        rig_send_many(&rig, queue, "a", 2);
    rig_send_many(&rig, queue, "b", 1);
    struct received got = rig_receive_one(&rig, queue, 1000);
    ck_assert_uint_eq(peek(PEEK_HALTED_AT, seen, 100), 0);
    struct entry_lease l = rig_lease(&got);
    struct entry_settle in = {.queue = queue, .error = bytes_text("why"), .count = 1};
    entry_add_nack(rig_writer(&rig), &in, &l);
    rig_commit(&rig);
    uint64_t halted_ms = rig.now_ms;
    rig.now_ms += 100;
    for (int round = 0; round < 2; round++) {
        ck_assert_uint_eq(peek(PEEK_HALTED_AT, seen, 100), 1);
        ck_assert_uint_eq(seen[0].sequence, got.sequence);
        ck_assert_uint_eq(seen[0].halted_ms, halted_ms);
        ck_assert_uint_eq(seen[0].receive_count, 1);
        ck_assert_int_eq(seen[0].state, 'h');
        ck_assert_str_eq(seen[0].last_error, "why");
        ck_assert_uint_eq(peek(PEEK_ALL, seen, 100), 9);
        for (int i = 0; i < 8; i++) { /* nothing of the group can be received */
            ck_assert_int_eq(seen[i].state, 'h');
            ck_assert_uint_eq(seen[i].halted_ms, i == 0 ? halted_ms : 0);
        }
        ck_assert_int_eq(seen[8].state, 'r');
        ck_assert_uint_eq(peek(PEEK_READY, seen, 100), 1);
        rig_flush(&rig);
        rig_crash(&rig);
    }
    resume("a", ERR_OK);
    ck_assert_uint_eq(peek(PEEK_HALTED_AT, seen, 100), 0);
    ck_assert_uint_eq(peek(PEEK_READY, seen, 100), 9);
}
END_TEST

/* Version 1 said only whether a lane is halted, in one byte. */
START_TEST(a_lane_record_of_the_first_version_is_understood)
{
    set_halt(1);
    rig_send_many(&rig, queue, "a", 1);
    struct received got = rig_receive_one(&rig, queue, 1000);
    rig_nack(&rig, queue, &got, 0, false);
    rig_flush(&rig);
    struct key from = key_of1(rig.shard, KEY_LANE, queue);
    struct key to = key_after(&from);
    struct store_iterator *i = store_iterate(rig.store, STORE_STATE, key_view(&from), key_view(&to), NULL);
    ck_assert(store_iterator_valid(i));
    struct bytes key = store_iterator_key(i);
    struct cursor c;
    ck_assert_int_eq(value_open(key, store_iterator_value(i), 2, &c, NULL), ERR_OK);
    struct buffer old = {0};
    value_begin(&old, 1);
    buffer_u8(&old, cursor_u8(&c));
    ck_assert_uint_gt(cursor_varint(&c), 1); /* since when */
    buffer_u8(&old, 1);
    buffer_put(&old, c.at, cursor_left(&c));
    value_seal(&old, key);
    struct store_batch *b = store_batch_create();
    store_put(b, STORE_STATE, key, buffer_view(&old));
    ck_assert_int_eq(store_write(rig.store, b, NULL), ERR_OK);
    ck_assert_int_eq(store_flush(rig.store, STORE_STATE, NULL), ERR_OK);
    store_iterator_close(i);
    store_batch_destroy(b);
    buffer_close(&old);
    rig_crash(&rig);
    rig_receive_none(&rig, queue);
    resume("a", ERR_OK);
    rig_receive_one(&rig, queue, 1000);
}
END_TEST

START_TEST(a_halted_group_that_is_emptied_is_halted_no_more)
{
    set_halt(1);
    uint64_t sequence = rig_send(&rig, queue, (struct rig_message){.body = "x", .group = "a"});
    struct received got = rig_receive_one(&rig, queue, 1000);
    rig_nack(&rig, queue, &got, 0, false);
    ck_assert_uint_eq(rig_counts(&rig, queue).halted_groups, 1);
    ck_assert_int_eq(rig_cancel(&rig, queue, sequence), ERR_OK);
    ck_assert_uint_eq(rig_counts(&rig, queue).halted_groups, 0);
    rig_send(&rig, queue, (struct rig_message){.body = "y", .group = "a"});
    rig_receive_one(&rig, queue, 1000);
}
END_TEST

START_TEST(cancelling_the_message_a_group_halted_at_lets_the_group_go_on)
{
    set_halt(1);
    rig_send_many(&rig, queue, "a", 3);
    struct received got = rig_receive_one(&rig, queue, 1000);
    rig_nack(&rig, queue, &got, 0, false);
    rig_receive_none(&rig, queue);
    ck_assert_int_eq(rig_cancel(&rig, queue, got.sequence + 1), ERR_OK); /* not that one */
    ck_assert_uint_eq(rig_counts(&rig, queue).halted_groups, 1);
    ck_assert_int_eq(rig_cancel(&rig, queue, got.sequence), ERR_OK);
    ck_assert_uint_eq(rig_counts(&rig, queue).halted_groups, 0);
    ck_assert(rig_has_effect(&rig, EFFECT_READY, queue));
    struct received next = rig_receive_one(&rig, queue, 1000);
    rig_expect_body(&rig, next.ref, "2");
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

int main(void)
{
    const TTest *const tests[] = {
        a_group_with_a_batch_in_flight_waits_while_others_go_on,
        a_failed_message_comes_before_the_later_ones_of_its_group,
        a_nack_with_delay_holds_its_whole_group,
        a_group_whose_head_left_for_the_dead_letter_queue_is_announced,
        all_of_a_group_is_available_however_it_was_sent,
        a_late_receipt_is_stale_at_once,
        a_delayed_message_does_not_let_later_ones_of_its_group_pass,
        messages_without_a_group_are_a_group,
        a_group_halts_at_a_message_that_used_up_its_receives,
        where_a_group_halted_is_shown,
        a_lane_record_of_the_first_version_is_understood,
        a_halted_group_that_is_emptied_is_halted_no_more,
        cancelling_the_message_a_group_halted_at_lets_the_group_go_on,
        a_priority_is_refused_by_name,
        a_deduplication_id_stores_once_within_its_window,
    };
    return rig_main("state/fifo", tests, sizeof tests / sizeof tests[0], setup, teardown);
}
