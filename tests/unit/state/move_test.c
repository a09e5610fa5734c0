/* Messages that leave for another queue: dead letters, what is refused on the other side, redrives. */
#include "state/message.h"
#include "state/outbox.h"
#include "state/rig.h"

static struct rig rig;
static uint64_t queue;
static uint64_t dead;

static void setup(void)
{
    rig_open(&rig);
    dead = rig_create(&rig, RIG_NAME("dead"), NULL);
    Hato__QueueSettings s = HATO__QUEUE_SETTINGS__INIT;
    s.dead_letter_queue = (char *)(uintptr_t)RIG_NAME("dead");
    s.has_max_receives = 1;
    s.max_receives = 2;
    queue = rig_create(&rig, RIG_NAME("jobs"), &s);
}

static void teardown(void)
{
    rig_close(&rig);
}

static void fail_once(const char *error, uint32_t status)
{
    struct received got = rig_receive_one(&rig, queue, 1000);
    struct entry_lease l = rig_lease(&got);
    struct entry_settle in = {.queue = queue, .status = status, .error = bytes_text(error), .count = 1};
    entry_add_nack(rig_writer(&rig), &in, &l);
    rig_commit(&rig);
    ck_assert_int_eq(rig_reply(&rig)->codes[0], ERR_OK);
}

static void start_redrive_of(uint64_t from, const char *destination, const char *reason)
{
    Hato__Log__RedriveStart c = HATO__LOG__REDRIVE_START__INIT;
    c.has_queue = 1;
    c.queue = from;
    c.destination = (char *)(uintptr_t)destination;
    c.reason = (char *)(uintptr_t)reason;
    rig_add(&rig, COMMAND_REDRIVE_START, &c.base);
    rig_commit(&rig);
    ck_assert_msg(rig_reply(&rig)->code == ERR_OK, "%s", rig_reply(&rig)->message);
    ck_assert_uint_gt(strlen(rig_reply(&rig)->redrive_id), 0);
}

static void start_redrive(const char *destination, const char *reason)
{
    start_redrive_of(dead, destination, reason);
}

static void settle_down(void)
{
    for (int i = 0; i < 5; i++) {
        rig_advance(&rig, 1);
        rig_forward(&rig);
    }
}

START_TEST(a_message_that_used_up_its_receives_moves_with_its_story)
{
    uint64_t sent_ms = rig.now_ms;
    rig_send(&rig, queue, (struct rig_message){.body = "poison", .group = "g"});
    rig.now_ms += 10;
    fail_once("first", 500);
    ck_assert_uint_eq(rig_counts(&rig, queue).moving, 0);
    fail_once("last words", 503);
    ck_assert(rig_has_effect(&rig, EFFECT_OUTBOX, 0));
    struct queue_counts c = rig_counts(&rig, queue);
    ck_assert_uint_eq(c.ready + c.in_flight, 0);
    ck_assert_uint_gt(c.bytes, 0);
    ck_assert_uint_eq(c.moving, 1);
    ck_assert_uint_eq(c.dead_lettered_total, 0);
    rig_flush(&rig);
    rig_crash(&rig);
    rig_forward(&rig);
    ck_assert_uint_eq(rig_counts(&rig, queue).moving, 0);
    ck_assert_uint_eq(rig_counts(&rig, queue).dead_lettered_total, 1);
    ck_assert_uint_eq(rig_counts(&rig, queue).bytes, 0);
    struct received got = rig_receive_one(&rig, dead, 1000);
    ck_assert_uint_eq(got.receive_count, 1);
    Hato__Message *m = rig_message(&rig, got.ref);
    ck_assert_uint_eq(m->body.len, 6);
    ck_assert_str_eq(m->group, "g");
    ck_assert_ptr_nonnull(m->provenance);
    ck_assert_str_eq(m->provenance->source_queue, RIG_NAME("jobs"));
    ck_assert_str_eq(m->provenance->reason, "max-receives");
    ck_assert_str_eq(m->provenance->last_error, "last words");
    ck_assert_uint_eq(m->provenance->last_status, 503);
    ck_assert_uint_eq(m->provenance->attempts, 2);
    ck_assert_uint_eq(m->provenance->sent_ms, sent_ms);
    ck_assert_uint_eq(m->provenance->first_received_ms, sent_ms + 10);
    hato__message__free_unpacked(m, NULL);
}
END_TEST

START_TEST(a_lease_that_ends_by_time_uses_a_receive_up_too)
{
    rig_send(&rig, queue, (struct rig_message){.body = "x"});
    for (int i = 0; i < 2; i++) {
        rig_receive_one(&rig, queue, 1000);
        rig_advance(&rig, 1000);
    }
    rig_forward(&rig);
    ck_assert_uint_eq(rig_counts(&rig, queue).dead_lettered_total, 1);
}
END_TEST

START_TEST(an_endpoint_that_is_down_costs_no_message_its_receives)
{
    rig_send(&rig, queue, (struct rig_message){.body = "x"});
    for (int i = 0; i < 20; i++) {
        struct received got = rig_receive_one(&rig, queue, 1000);
        ck_assert_int_eq(rig_nack(&rig, queue, &got, 100, true), ERR_OK);
        rig_advance(&rig, 100);
    }
    ck_assert_uint_eq(rig_counts(&rig, queue).dead_lettered_total, 0);
    ck_assert_uint_eq(rig_receive_one(&rig, queue, 1000).receive_count, 1);
}
END_TEST

START_TEST(without_a_dead_letter_queue_a_message_stays)
{
    Hato__QueueSettings s = HATO__QUEUE_SETTINGS__INIT;
    s.dead_letter_queue = (char *)(uintptr_t) "";
    rig_set(&rig, queue, &s);
    rig_send(&rig, queue, (struct rig_message){.body = "x"});
    for (int i = 0; i < 5; i++)
        fail_once("no", 0);
    ck_assert_uint_eq(rig_receive_one(&rig, queue, 1000).receive_count, 6);
}
END_TEST

START_TEST(a_dead_letter_makes_its_queue_anew)
{
    rig_delete(&rig, dead);
    rig_send(&rig, queue, (struct rig_message){.body = "x"});
    fail_once("no", 0);
    fail_once("no", 0);
    rig_forward(&rig);
    struct queue_view v;
    ck_assert(machine_queue_find(rig.m, RIG_NAME("dead"), &v));
    ck_assert_uint_eq(v.counts.ready, 1);
    ck_assert_uint_eq(v.settings->retention_ms, 14ull * 24 * 3600 * 1000);
}
END_TEST

/* The dead-letter queue takes nothing more, and the queue keeps messages for so long. */
static void refuse_messages(uint64_t retention_ms)
{
    Hato__QueueSettings full = HATO__QUEUE_SETTINGS__INIT;
    full.has_max_messages = 1;
    full.max_messages = 1;
    rig_set(&rig, dead, &full);
    rig_send(&rig, dead, (struct rig_message){.body = "full"});
    Hato__QueueSettings s = HATO__QUEUE_SETTINGS__INIT;
    s.has_retention_ms = 1;
    s.retention_ms = retention_ms;
    rig_set(&rig, queue, &s);
}

static void set_out(void)
{
    start_redrive_of(queue, RIG_NAME("dead"), "");
    rig_commit(&rig);
    ck_assert_uint_eq(rig_counts(&rig, queue).moving, 1);
}

static void come_back(void)
{
    rig_flush(&rig);
    rig_crash(&rig);
    rig_forward(&rig);
    ck_assert_uint_le(machine_next_due_ms(rig.m), rig.now_ms);
    rig_commit(&rig);
    ck_assert_uint_eq(rig_counts(&rig, queue).moving, 0);
    ck_assert_uint_eq(rig_counts(&rig, queue).delayed, 0);
}

START_TEST(what_a_redrive_brought_in_vain_comes_back)
{
    refuse_messages(100000);
    rig_send(&rig, queue, (struct rig_message){.body = "x"});
    set_out();
    come_back();
    rig_flush(&rig);
    rig_crash(&rig);
    struct received got = rig_receive_one(&rig, queue, 1000);
    rig_expect_body(&rig, got.ref, "x");
    ck_assert_int_eq(rig_ack(&rig, queue, &got), ERR_OK);
    struct received full = rig_receive_one(&rig, dead, 1000);
    ck_assert_int_eq(rig_ack(&rig, dead, &full), ERR_OK);
    ck_assert_uint_eq(machine_first_live(rig.m), machine_applied(rig.m) + 1);
}
END_TEST

START_TEST(what_comes_back_is_as_old_as_it_was)
{
    refuse_messages(100000);
    uint64_t sent_ms = rig.now_ms;
    rig_send(&rig, queue, (struct rig_message){.body = "old"});
    rig.now_ms += 60000;
    set_out();
    rig_send(&rig, queue, (struct rig_message){.body = "young"});
    come_back();
    rig_flush(&rig);
    rig_crash(&rig);
    struct received got[2];
    memcpy(got, rig_receive(&rig, queue, 2, 1000), sizeof got);
    ck_assert_uint_eq(rig_reply(&rig)->count, 2);
    rig_expect_body(&rig, got[0].ref, "young");
    rig_expect_body(&rig, got[1].ref, "old");
    ck_assert_uint_eq(got[0].sent_ms, sent_ms + 60000);
    ck_assert_uint_eq(got[1].sent_ms, sent_ms);
    ck_assert_uint_eq(got[1].receive_count, 1);
}
END_TEST

START_TEST(the_retention_of_what_comes_back_goes_on)
{
    refuse_messages(100000);
    rig_send(&rig, queue, (struct rig_message){.body = "old"});
    rig.now_ms += 60000;
    set_out();
    rig_send(&rig, queue, (struct rig_message){.body = "young"});
    come_back();
    ck_assert_uint_eq(rig_counts(&rig, queue).ready, 2);
    rig_advance(&rig, 39999);
    ck_assert_uint_eq(rig_counts(&rig, queue).ready, 2);
    rig_advance(&rig, 1);
    ck_assert_uint_eq(rig_counts(&rig, queue).ready, 1);
    ck_assert_uint_eq(rig_counts(&rig, queue).expired_total, 1);
    rig_expect_body(&rig, rig_receive_one(&rig, queue, 1000).ref, "young");
}
END_TEST

START_TEST(the_retention_of_what_comes_back_after_a_delay_began_with_its_end)
{
    refuse_messages(100000);
    uint64_t sent_ms = rig.now_ms;
    rig_send(&rig, queue, (struct rig_message){.body = "x", .delay_ms = 80000});
    rig_advance(&rig, 130000);
    set_out();
    come_back();
    struct received got = rig_receive_one(&rig, queue, 1000);
    ck_assert_uint_eq(got.sent_ms, sent_ms);
    ck_assert_int_eq(rig_nack(&rig, queue, &got, 0, true), ERR_OK);
    rig_advance(&rig, 49999);
    ck_assert_uint_eq(rig_counts(&rig, queue).ready, 1);
    rig_advance(&rig, 1);
    ck_assert_uint_eq(rig_counts(&rig, queue).ready, 0);
}
END_TEST

START_TEST(what_comes_back_late_expires)
{
    refuse_messages(100000);
    rig_send(&rig, queue, (struct rig_message){.body = "x"});
    set_out();
    rig_advance(&rig, 100000);
    rig_forward(&rig);
    rig_commit(&rig);
    ck_assert_uint_eq(rig_counts(&rig, queue).ready + rig_counts(&rig, queue).delayed, 0);
    ck_assert_uint_eq(rig_counts(&rig, queue).expired_total, 1);
    ck_assert_uint_eq(rig_counts(&rig, queue).bytes, 0);
}
END_TEST

START_TEST(an_accept_that_is_repeated_stores_once_and_answers_the_same)
{
    rig_send(&rig, queue, (struct rig_message){.body = "x"});
    fail_once("no", 0);
    fail_once("no", 0);
    Hato__Log__Accept a = HATO__LOG__ACCEPT__INIT;
    Hato__Log__Accept__Item item = HATO__LOG__ACCEPT__ITEM__INIT;
    Hato__Log__Accept__Item *items[] = {&item};
    uint8_t message[] = {0x0a, 0x01, 'x'};
    item.queue = (char *)(uintptr_t)RIG_NAME("dead");
    item.has_message = 1;
    item.message = (ProtobufCBinaryData){3, message};
    a.has_source = a.has_first = 1;
    a.source = 2;
    a.first = 1;
    a.n_items = 1;
    a.items = items;
    for (int i = 0; i < 3; i++) {
        rig_add(&rig, COMMAND_ACCEPT, &a.base);
        rig_commit(&rig);
        ck_assert_int_eq(rig_reply(&rig)->accepted[0], ERR_OK);
    }
    ck_assert_uint_eq(rig_counts(&rig, dead).ready, 1);
    a.first = 5;
    rig_add(&rig, COMMAND_ACCEPT, &a.base);
    rig_commit(&rig);
    ck_assert_int_eq(rig_reply(&rig)->code, ERR_CONFLICT);
    ck_assert_uint_eq(rig_counts(&rig, dead).ready, 1);
}
END_TEST

START_TEST(an_accept_with_more_items_than_a_channel_has_under_way_is_refused)
{
    struct buffer frame = {0};
    uint16_t source = 0;
    for (int i = 0; i < OUTBOX_WINDOW; i++)
        buffer_put(&frame, "\x1a", 2); /* an empty item */
    ck_assert(machine_accept_sound(buffer_view(&frame), &source));
    buffer_put(&frame, "\x1a", 2); /* an empty item */
    ck_assert(!machine_accept_sound(buffer_view(&frame), &source));
    buffer_close(&frame);
}
END_TEST

START_TEST(a_redrive_takes_messages_back_to_where_they_came_from)
{
    for (int i = 0; i < 70; i++)
        rig_send(&rig, queue, (struct rig_message){.body = "x"});
    for (int i = 0; i < 140; i++)
        fail_once("no", 0);
    rig_forward(&rig);
    ck_assert_uint_eq(rig_counts(&rig, dead).ready, 70);
    struct received held = rig_receive_one(&rig, dead, 100000);
    start_redrive("", "");
    settle_down();
    ck_assert_uint_eq(rig_counts(&rig, dead).ready, 0);
    ck_assert_uint_eq(rig_counts(&rig, dead).in_flight, 1);
    ck_assert_uint_eq(rig_counts(&rig, queue).ready, 69);
    struct redrive_view v;
    ck_assert_uint_eq(machine_redrives(rig.m, dead, &v, 1), 1);
    ck_assert_uint_eq(v.moved, 69);
    ck_assert_uint_eq(v.skipped, 1);
    ck_assert_int_eq(v.state, 1);
    ck_assert_int_eq(rig_ack(&rig, dead, &held), ERR_OK);
    struct received got = rig_receive_one(&rig, queue, 1000);
    ck_assert_uint_eq(got.receive_count, 1);
    Hato__Message *m = rig_message(&rig, got.ref);
    ck_assert_str_eq(m->provenance->reason, "redrive");
    ck_assert_str_eq(m->provenance->last_error, "no");
    hato__message__free_unpacked(m, NULL);
}
END_TEST

START_TEST(what_a_redrive_brought_is_not_taken_back_by_another)
{
    rig_send(&rig, queue, (struct rig_message){.body = "x"});
    fail_once("no", 0);
    fail_once("no", 0);
    rig_forward(&rig);
    start_redrive("", "");
    settle_down();
    ck_assert_uint_eq(rig_counts(&rig, queue).ready, 1);
    start_redrive_of(queue, "", "");
    settle_down();
    ck_assert_uint_eq(rig_counts(&rig, queue).ready, 1);
    ck_assert_uint_eq(rig_counts(&rig, dead).ready, 0);
    struct redrive_view v;
    ck_assert_uint_eq(machine_redrives(rig.m, queue, &v, 1), 1);
    ck_assert_uint_eq(v.skipped, 1);
    fail_once("no", 0);
    fail_once("no", 0); /* a dead letter again, it can be redriven again */
    rig_forward(&rig);
    start_redrive("", "");
    settle_down();
    ck_assert_uint_eq(rig_counts(&rig, queue).ready, 1);
}
END_TEST

/* As the shard's carrier merges it. Free with hato__provenance__free_unpacked. */
static Hato__Provenance *provenance_of(struct message_ref ref)
{
    struct buffer merged = {0};
    const struct buffer *entry = &rig.entries[ref.index - 1].payload;
    ck_assert(message_provenance(bytes_of(entry->data + ref.offset, ref.len), &merged));
    Hato__Provenance *p = hato__provenance__unpack(NULL, merged.len, merged.data);
    ck_assert_ptr_nonnull(p);
    buffer_close(&merged);
    return p;
}

START_TEST(a_second_life_s_story_has_nothing_of_the_first)
{
    rig_send(&rig, queue, (struct rig_message){.body = "x"});
    fail_once("first life", 501);
    fail_once("first life", 501);
    rig_forward(&rig);
    start_redrive("", "");
    settle_down();
    struct received home = rig_receive_one(&rig, queue, 1);
    Hato__Provenance *p = provenance_of(home.ref);
    ck_assert_str_eq(p->reason, "redrive");
    ck_assert_str_eq(p->last_error, "first life");
    ck_assert_uint_eq(p->attempts, 0); /* of the dead-letter queue, where nobody received it */
    hato__provenance__free_unpacked(p, NULL);
    rig_advance(&rig, 10);
    rig_commit(&rig);
    fail_once("second life", 0);
    settle_down();
    struct received got = rig_receive_one(&rig, dead, 1);
    p = provenance_of(got.ref);
    ck_assert_str_eq(p->last_error, "second life");
    ck_assert_uint_eq(p->last_status, 0);
    ck_assert_uint_eq(p->attempts, 2);
    hato__provenance__free_unpacked(p, NULL);
}
END_TEST

START_TEST(a_dead_letter_that_a_redrive_took_elsewhere_still_finds_home)
{
    uint64_t parked = rig_create(&rig, RIG_NAME("parked"), NULL);
    rig_send(&rig, queue, (struct rig_message){.body = "x"});
    fail_once("no", 500);
    fail_once("no", 500);
    rig_forward(&rig);
    struct received there = rig_receive_one(&rig, dead, 1);
    rig_advance(&rig, 10);
    rig_commit(&rig);
    start_redrive(RIG_NAME("parked"), "");
    settle_down();
    struct received got = rig_receive_one(&rig, parked, 1);
    Hato__Provenance *before = provenance_of(there.ref), *after = provenance_of(got.ref);
    ck_assert_str_eq(after->source_queue, RIG_NAME("jobs"));
    ck_assert_str_eq(after->message_id, before->message_id);
    ck_assert_str_eq(after->reason, "max-receives");
    ck_assert_uint_eq(after->attempts, 2);
    ck_assert_uint_eq(after->sent_ms, before->sent_ms);
    ck_assert_uint_eq(after->last_status, 500);
    ck_assert_uint_gt(after->moved_ms, before->moved_ms);
    hato__provenance__free_unpacked(before, NULL);
    hato__provenance__free_unpacked(after, NULL);
    rig_advance(&rig, 10);
    rig_commit(&rig);
    start_redrive_of(parked, "", "");
    settle_down();
    ck_assert_uint_eq(rig_counts(&rig, parked).ready, 0);
    ck_assert_uint_eq(rig_counts(&rig, queue).ready, 1);
}
END_TEST

START_TEST(a_redrive_may_take_only_those_with_a_reason)
{
    const char *const errors[] = {"timeout", "refused", "timeout again"};
    for (int i = 0; i < 3; i++) {
        rig_send(&rig, queue, (struct rig_message){.body = "x"});
        fail_once(errors[i], 0);
        fail_once(errors[i], 0);
    }
    rig_forward(&rig);
    start_redrive("", "timeout");
    rig_flush(&rig);
    rig_crash(&rig);
    settle_down();
    ck_assert_uint_eq(rig_counts(&rig, dead).ready, 1);
    ck_assert_uint_eq(rig_counts(&rig, queue).ready, 2);
}
END_TEST

START_TEST(a_redrive_keeps_the_order_of_a_fifo_group)
{
    uint64_t from = rig_create(&rig, RIG_NAME("from.fifo"), NULL);
    uint64_t to = rig_create(&rig, RIG_NAME("to.fifo"), NULL);
    rig_send_many(&rig, from, "a", 150);
    dead = from;
    start_redrive(RIG_NAME("to.fifo"), "");
    settle_down();
    const struct received *got = rig_receive(&rig, to, 200, 1000);
    ck_assert_uint_eq(rig_reply(&rig)->count, 150);
    for (size_t i = 0; i < 150; i++) {
        char body[16];
        snprintf(body, sizeof body, "%zu", i);
        rig_expect_body(&rig, got[i].ref, body);
    }
}
END_TEST

/* Queues with a running redrive of which nothing moves: none of their messages has the reason. */
static void redrive_in_vain(uint64_t *queues, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char name[64];
        snprintf(name, sizeof name, RIG_NAME("many%02zu"), i);
        queues[i] = rig_create(&rig, name, NULL);
        for (int k = 0; k < 30; k++)
            rig_send_many(&rig, queues[i], k % 2 == 0 ? NULL : "g", 64);
    }
    for (size_t i = 0; i < count; i++) {
        Hato__Log__RedriveStart c = HATO__LOG__REDRIVE_START__INIT;
        c.has_queue = 1;
        c.queue = queues[i];
        c.destination = (char *)(uintptr_t)RIG_NAME("jobs");
        c.reason = (char *)(uintptr_t) "no such error";
        rig_add(&rig, COMMAND_REDRIVE_START, &c.base);
    }
    rig_commit(&rig);
}

static uint64_t looked_at(const uint64_t *queues, size_t count, uint64_t *least)
{
    uint64_t sum = 0;
    *least = UINT64_MAX;
    for (size_t i = 0; i < count; i++) {
        struct redrive_view v;
        ck_assert_uint_eq(machine_redrives(rig.m, queues[i], &v, 1), 1);
        ck_assert_uint_eq(v.moved, 0);
        sum += v.skipped;
        *least = v.skipped < *least ? v.skipped : *least;
    }
    return sum;
}

START_TEST(all_redrives_together_take_no_more_of_an_entry_than_one)
{
    enum { QUEUES = 40, MESSAGES = 30 * 64 };
    uint64_t queues[QUEUES];
    uint64_t least = 0;
    redrive_in_vain(queues, QUEUES);
    uint64_t before = 0;
    size_t entries = 0;
    for (; before < QUEUES * MESSAGES; entries++) {
        rig_commit(&rig);
        uint64_t sum = looked_at(queues, QUEUES, &least);
        ck_assert_uint_gt(sum, before);
        ck_assert_uint_le(sum - before, 1000);
        if (entries == 50) /* of about 80: each had its turns */
            ck_assert_uint_gt(least, MESSAGES / 4);
        before = sum;
    }
    ck_assert_uint_gt(entries, 50);
    rig_commit(&rig);
    ck_assert_uint_gt(machine_next_due_ms(rig.m), rig.now_ms);
    rig_crash(&rig);
    ck_assert_uint_eq(looked_at(queues, QUEUES, &least), QUEUES * MESSAGES);
}
END_TEST

START_TEST(a_message_that_moves_counts_as_alive_until_it_has_arrived)
{
    rig_send(&rig, queue, (struct rig_message){.body = "x"});
    uint64_t index = machine_applied(rig.m);
    fail_once("no", 0);
    fail_once("no", 0);
    ck_assert_uint_le(machine_first_live(rig.m), index);
    struct machine_spill *s = machine_spill_open(rig.m, 1, machine_applied(rig.m));
    struct message_ref ref;
    bool more;
    ck_assert_int_eq(machine_spill_next(s, &ref, &more, NULL), 0);
    ck_assert(more);
    ck_assert_uint_eq(ref.index, index);
    rig_expect_body(&rig, ref, "x");
    ck_assert_int_eq(machine_spill_next(s, &ref, &more, NULL), 0);
    ck_assert(!more);
    machine_spill_close(s);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_message_that_used_up_its_receives_moves_with_its_story,
        a_lease_that_ends_by_time_uses_a_receive_up_too,
        an_endpoint_that_is_down_costs_no_message_its_receives,
        without_a_dead_letter_queue_a_message_stays,
        a_dead_letter_makes_its_queue_anew,
        what_a_redrive_brought_in_vain_comes_back,
        what_comes_back_is_as_old_as_it_was,
        the_retention_of_what_comes_back_goes_on,
        the_retention_of_what_comes_back_after_a_delay_began_with_its_end,
        what_comes_back_late_expires,
        an_accept_that_is_repeated_stores_once_and_answers_the_same,
        an_accept_with_more_items_than_a_channel_has_under_way_is_refused,
        a_redrive_takes_messages_back_to_where_they_came_from,
        what_a_redrive_brought_is_not_taken_back_by_another,
        a_second_life_s_story_has_nothing_of_the_first,
        a_dead_letter_that_a_redrive_took_elsewhere_still_finds_home,
        a_redrive_may_take_only_those_with_a_reason,
        a_redrive_keeps_the_order_of_a_fifo_group,
        all_redrives_together_take_no_more_of_an_entry_than_one,
        a_message_that_moves_counts_as_alive_until_it_has_arrived,
    };
    return rig_main("state/move", tests, sizeof tests / sizeof tests[0], setup, teardown);
}
