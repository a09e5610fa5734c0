/* FIFO queues that halt a group at a message whose receives are used up: how long, and what is seen of it. */
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

/* Version 1 said only whether a lane is halted, in one byte; version 2 knew of no redrive that passed it by, version 3 of nothing
 * that moves, version 4 not whether that was turned back. */
static void read_lane_record_of(uint8_t version)
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
    ck_assert_int_eq(value_open(key, store_iterator_value(i), 5, &c, NULL), ERR_OK);
    struct buffer old = {0};
    value_begin(&old, version);
    buffer_u8(&old, cursor_u8(&c));
    uint64_t halted_ms = cursor_varint(&c);
    ck_assert_uint_gt(halted_ms, 1);
    buffer_varint(&old, version == 1 ? 1 : halted_ms);
    for (int field = 0; field < 3; field++) /* turn, waiting, last due time */
        buffer_varint(&old, cursor_varint(&c));
    const uint8_t since[] = {3, 4, 5}; /* the redrive, what moves, turned back */
    for (size_t field = 0; field < sizeof since; field++) {
        ck_assert_uint_eq(cursor_varint(&c), 0);
        if (version >= since[field])
            buffer_varint(&old, 0);
    }
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

START_TEST(a_lane_record_of_an_earlier_version_is_understood)
{
    read_lane_record_of(1);
    teardown();
    setup();
    read_lane_record_of(2);
    teardown();
    setup();
    read_lane_record_of(3);
    teardown();
    setup();
    read_lane_record_of(4);
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

/* The first message of a new group fails, and the group halts. */
static struct received halt(const char *group, size_t messages)
{
    uint64_t before = rig_counts(&rig, queue).halted_groups;
    set_halt(1);
    rig_send_many(&rig, queue, group, messages);
    struct received got = rig_receive_one(&rig, queue, 1000);
    ck_assert_int_eq(rig_nack(&rig, queue, &got, 0, false), ERR_OK);
    ck_assert_uint_eq(rig_counts(&rig, queue).halted_groups, before + 1);
    return got;
}

START_TEST(a_group_goes_on_when_its_messages_may_be_received_more_often)
{
    struct peeked seen[4];
    struct received got = halt("a", 2);
    set_halt(1); /* as it was */
    ck_assert_uint_eq(rig_counts(&rig, queue).halted_groups, 1);
    set_halt(2);
    ck_assert_uint_eq(rig_counts(&rig, queue).halted_groups, 0);
    ck_assert(rig_has_effect(&rig, EFFECT_READY, queue));
    ck_assert_uint_eq(peek(PEEK_READY, seen, 4), 2);
    rig_flush(&rig);
    rig_crash(&rig);
    struct received again = rig_receive_one(&rig, queue, 1000);
    ck_assert_uint_eq(again.sequence, got.sequence);
    ck_assert_uint_eq(again.receive_count, 2);
    ck_assert_int_eq(rig_nack(&rig, queue, &again, 0, false), ERR_OK);
    ck_assert_uint_eq(rig_counts(&rig, queue).halted_groups, 1);
    ck_assert_uint_eq(peek(PEEK_HALTED_AT, seen, 4), 1);
}
END_TEST

START_TEST(a_queue_that_halts_no_more_lets_all_its_groups_go_on)
{
    halt("", 2);
    halt("a", 2);
    Hato__QueueSettings s = HATO__QUEUE_SETTINGS__INIT;
    s.has_on_exhausted = 1;
    s.on_exhausted = HATO__ON_EXHAUSTED__DEAD_LETTER;
    s.dead_letter_queue = (char *)(uintptr_t)RIG_NAME("dead.fifo");
    rig_set(&rig, queue, &s);
    ck_assert_uint_eq(rig_counts(&rig, queue).halted_groups, 0);
    rig_flush(&rig);
    rig_crash(&rig);
    rig_receive(&rig, queue, 10, 1000);
    ck_assert_uint_eq(rig_reply(&rig)->count, 4);
}
END_TEST

START_TEST(a_group_goes_on_when_the_last_message_it_halted_at_is_gone)
{
    set_halt(1);
    for (int i = 0; i < 3; i++) /* a chunk each */
        rig_send(&rig, queue, (struct rig_message){.body = "x", .group = "a"});
    struct received got[2];
    memcpy(got, rig_receive(&rig, queue, 2, 1000), sizeof got);
    ck_assert_int_eq(rig_nack(&rig, queue, &got[0], 0, false), ERR_OK);
    ck_assert_int_eq(rig_nack(&rig, queue, &got[1], 5000, false), ERR_OK);
    ck_assert_int_eq(rig_cancel(&rig, queue, got[0].sequence), ERR_OK);
    ck_assert_uint_eq(rig_counts(&rig, queue).halted_groups, 1);
    ck_assert_int_eq(rig_cancel(&rig, queue, got[1].sequence), ERR_OK);
    ck_assert_uint_eq(rig_counts(&rig, queue).halted_groups, 0);
    ck_assert_uint_gt(rig_receive_one(&rig, queue, 1000).sequence, got[1].sequence);
}
END_TEST

/* `count` groups of one message each, all of them halted. */
static void halt_many(size_t count)
{
    struct rig_message *in = memory_zero(count, sizeof *in);
    char(*groups)[16] = memory_zero(count, sizeof *groups);
    for (size_t i = 0; i < count; i++) {
        snprintf(groups[i], sizeof groups[i], "halted %zu", i);
        in[i] = (struct rig_message){.body = "x", .group = groups[i]};
    }
    set_halt(1);
    rig_add_send(&rig, queue, in, count, 0, 0);
    rig_commit(&rig);
    rig_receive(&rig, queue, (uint32_t)count, 0);
    ck_assert_uint_eq(rig_counts(&rig, queue).halted_groups, count);
    memory_free(in);
    memory_free(groups);
}

START_TEST(however_many_groups_are_halted_the_delays_of_others_end)
{
    halt_many(5000);
    rig_send(&rig, queue, (struct rig_message){.body = "later", .group = "a", .delay_ms = 1000});
    rig_flush(&rig);
    rig_crash(&rig);
    ck_assert_uint_eq(machine_next_due_ms(rig.m), rig.now_ms + 1000);
    rig_advance(&rig, 1000);
    struct received got = rig_receive_one(&rig, queue, 1000);
    rig_expect_body(&rig, got.ref, "later");
}
END_TEST

START_TEST(delayed_messages_of_groups_in_flight_do_not_keep_others_waiting)
{
    const size_t count = 5000;
    struct rig_message *in = memory_zero(count, sizeof *in);
    rig_send(&rig, queue, (struct rig_message){.body = "held", .group = "a"});
    struct received held = rig_receive_one(&rig, queue, 60000);
    for (size_t i = 0; i < count; i++) /* a chunk each */
        in[i] = (struct rig_message){.body = "x", .group = "a", .delay_ms = 1 + i};
    rig_add_send(&rig, queue, in, count, 0, 0);
    rig_commit(&rig);
    rig_send(&rig, queue, (struct rig_message){.body = "later", .group = "b", .delay_ms = 10000});
    rig_advance(&rig, 10000);
    rig_commit(&rig);
    ck_assert_uint_eq(rig_counts(&rig, queue).delayed, 0);
    ck_assert_int_eq(rig_ack(&rig, queue, &held), ERR_OK);
    rig_receive(&rig, queue, 2 * count, 1000);
    ck_assert_uint_eq(rig_reply(&rig)->count, count + 1);
    memory_free(in);
}
END_TEST

START_TEST(a_halted_group_takes_a_bounded_number_of_delayed_messages_into_memory)
{
    const size_t count = 45000;
    struct rig_message *in = memory_zero(count, sizeof *in);
    halt_many(1);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < count; i++)
            in[i] = (struct rig_message){.body = "x", .group = "halted 0", .delay_ms = 1 + (uint64_t)round * count + i};
        rig_add_send(&rig, queue, in, count, 0, 0);
        rig_commit(&rig);
    }
    rig.now_ms += 3 * count;
    for (int i = 0; i < 100; i++)
        rig_commit(&rig);
    ck_assert_uint_gt(rig_counts(&rig, queue).delayed, 0);
    ck_assert_uint_gt(machine_next_due_ms(rig.m), rig.now_ms); /* no spinning while there is no room */
    resume("halted 0", ERR_OK);
    for (size_t got = 0; got < 3 * count + 1;) {
        const struct received *some = rig_receive(&rig, queue, 10000, 1000);
        size_t n = rig_reply(&rig)->count;
        struct entry_lease *l = memory_zero(n, sizeof *l);
        ck_assert_uint_gt(n, 0);
        for (size_t i = 0; i < n; i++)
            l[i] = rig_lease(&some[i]);
        entry_add_ack(rig_writer(&rig), queue, l, (uint32_t)n);
        rig_commit(&rig);
        memory_free(l);
        got += n;
    }
    memory_free(in);
}
END_TEST

START_TEST(a_receive_that_is_taken_back_is_none_to_halt_at)
{
    set_halt(1);
    rig_send_many(&rig, queue, "a", 2);
    struct received got[2];
    memcpy(got, rig_receive(&rig, queue, 2, 1000), sizeof got);
    ck_assert_int_eq(rig_nack(&rig, queue, &got[0], 0, false), ERR_OK);
    ck_assert_int_eq(rig_cancel(&rig, queue, got[0].sequence), ERR_OK);
    ck_assert_uint_eq(rig_counts(&rig, queue).halted_groups, 1); /* the other one may fail yet */
    ck_assert_int_eq(rig_nack(&rig, queue, &got[1], 0, true), ERR_OK);
    ck_assert_uint_eq(rig_counts(&rig, queue).halted_groups, 0);
    ck_assert_uint_eq(rig_receive_one(&rig, queue, 1000).receive_count, 1);
}
END_TEST

/* As push does it: a failed message comes back after a while. */
START_TEST(the_receives_of_a_message_put_off_count_anew_when_its_group_is_resumed)
{
    set_halt(2);
    rig_send_many(&rig, queue, "a", 2);
    struct received got = rig_receive_one(&rig, queue, 1000);
    ck_assert_int_eq(rig_nack(&rig, queue, &got, 0, false), ERR_OK);
    got = rig_receive_one(&rig, queue, 1000);
    ck_assert_int_eq(rig_nack(&rig, queue, &got, 60000, false), ERR_OK);
    ck_assert_uint_eq(rig_counts(&rig, queue).halted_groups, 1);
    resume("a", ERR_OK);
    rig_flush(&rig);
    rig_crash(&rig);
    rig_advance(&rig, 60000);
    struct received again = rig_receive_one(&rig, queue, 1000);
    ck_assert_uint_eq(again.sequence, got.sequence);
    ck_assert_uint_eq(again.receive_count, 1);
    ck_assert_int_eq(rig_nack(&rig, queue, &again, 0, false), ERR_OK);
    ck_assert_uint_eq(rig_counts(&rig, queue).halted_groups, 0);
}
END_TEST

START_TEST(the_receives_of_a_message_in_flight_count_anew_when_its_group_is_resumed)
{
    set_halt(1);
    rig_send_many(&rig, queue, "a", 2);
    struct received got[2];
    memcpy(got, rig_receive(&rig, queue, 2, 1000), sizeof got);
    ck_assert_int_eq(rig_nack(&rig, queue, &got[0], 0, false), ERR_OK);
    resume("a", ERR_OK);
    ck_assert_int_eq(rig_nack(&rig, queue, &got[1], 0, false), ERR_OK);
    ck_assert_uint_eq(rig_counts(&rig, queue).halted_groups, 0);
    rig_receive(&rig, queue, 2, 1000);
    ck_assert_uint_eq(rig_reply(&rig)->count, 2);
    ck_assert_uint_eq(rig_reply(&rig)->received[1].receive_count, 1);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_group_halts_at_a_message_that_used_up_its_receives,
        where_a_group_halted_is_shown,
        a_lane_record_of_an_earlier_version_is_understood,
        a_halted_group_that_is_emptied_is_halted_no_more,
        cancelling_the_message_a_group_halted_at_lets_the_group_go_on,
        a_group_goes_on_when_its_messages_may_be_received_more_often,
        a_queue_that_halts_no_more_lets_all_its_groups_go_on,
        a_group_goes_on_when_the_last_message_it_halted_at_is_gone,
        however_many_groups_are_halted_the_delays_of_others_end,
        delayed_messages_of_groups_in_flight_do_not_keep_others_waiting,
        a_halted_group_takes_a_bounded_number_of_delayed_messages_into_memory,
        a_receive_that_is_taken_back_is_none_to_halt_at,
        the_receives_of_a_message_put_off_count_anew_when_its_group_is_resumed,
        the_receives_of_a_message_in_flight_count_anew_when_its_group_is_resumed,
    };
    return rig_main("state/exhaust", tests, sizeof tests / sizeof tests[0], setup, teardown);
}
