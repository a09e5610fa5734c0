/* Queues made, changed, limited, emptied and deleted; listings. */
#include "state/rig.h"

enum { BACKLOG = 5000 };

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

START_TEST(creating_again_with_equal_settings_succeeds_and_with_others_does_not)
{
    ck_assert_uint_eq(rig_create(&rig, RIG_NAME("jobs"), NULL), queue);
    ck_assert(!rig_has_effect(&rig, EFFECT_QUEUE, queue));
    Hato__QueueSettings s = HATO__QUEUE_SETTINGS__INIT;
    s.has_visibility_ms = 1;
    s.visibility_ms = 1;
    rig_try_create(&rig, RIG_NAME("jobs"), &s);
    ck_assert_int_eq(rig_reply(&rig)->code, ERR_EXISTS);
    ck_assert_str_eq(rig_reply(&rig)->field, "visibility_ms");
}
END_TEST

START_TEST(a_name_or_setting_out_of_bounds_is_refused)
{
    rig_try_create(&rig, RIG_NAME("no spaces"), NULL);
    ck_assert_int_eq(rig_reply(&rig)->code, ERR_INVALID);
    Hato__QueueSettings s = HATO__QUEUE_SETTINGS__INIT;
    s.has_visibility_ms = 1;
    s.visibility_ms = UINT64_MAX;
    rig_try_create(&rig, RIG_NAME("other"), &s);
    ck_assert_int_eq(rig_reply(&rig)->code, ERR_INVALID);
    ck_assert_str_eq(rig_reply(&rig)->field, "visibility_ms");
    ck_assert_uint_eq(machine_queue_count(rig.m), 1);
}
END_TEST

START_TEST(settings_survive_a_crash_and_are_whole)
{
    Hato__QueueSettings s = HATO__QUEUE_SETTINGS__INIT;
    s.has_visibility_ms = 1;
    s.visibility_ms = 1234;
    rig_set(&rig, queue, &s);
    ck_assert(rig_has_effect(&rig, EFFECT_QUEUE, queue));
    rig_flush(&rig);
    rig_crash(&rig);
    struct queue_view v;
    ck_assert(machine_queue_find(rig.m, RIG_NAME("jobs"), &v));
    ck_assert_uint_eq(v.id, queue);
    ck_assert_uint_eq(v.settings->visibility_ms, 1234);
    ck_assert(v.settings->has_retention_ms && v.settings->has_max_in_flight);
    ck_assert_ptr_nonnull(v.settings->dead_letter_queue);
    ck_assert_uint_eq(v.created_ms, rig.now_ms);
}
END_TEST

START_TEST(what_would_pass_a_limit_is_refused_by_name)
{
    Hato__QueueSettings s = HATO__QUEUE_SETTINGS__INIT;
    s.has_max_messages = s.has_max_message_bytes = 1;
    s.max_messages = 2;
    s.max_message_bytes = 5;
    rig_set(&rig, queue, &s);
    struct rig_message in[] = {{.body = "12345"}, {.body = "123456"}, {.body = "1", .delay_ms = 1000}, {.body = "1"}};
    rig_add_send(&rig, queue, in, 4, 0, 0);
    rig_commit(&rig);
    const struct send_result *sent = rig_reply(&rig)->sent;
    ck_assert_int_eq(sent[0].code, ERR_OK);
    ck_assert_int_eq(sent[1].code, ERR_TOO_LARGE);
    ck_assert_str_eq(sent[1].field, "body");
    ck_assert_int_eq(sent[2].code, ERR_OK);
    ck_assert_int_eq(sent[3].code, ERR_LIMIT);
    ck_assert_str_eq(sent[3].field, "max_messages");
    struct received got = rig_receive_one(&rig, queue, 1000);
    rig_ack(&rig, queue, &got);
    rig_send(&rig, queue, (struct rig_message){.body = "room"});
    s.has_max_bytes = 1;
    s.max_bytes = rig_counts(&rig, queue).bytes + 1;
    s.max_messages = 0;
    rig_set(&rig, queue, &s);
    rig_add_send(&rig, queue, in, 1, 0, 0);
    rig_commit(&rig);
    ck_assert_int_eq(rig_reply(&rig)->sent[0].code, ERR_LIMIT);
    ck_assert_str_eq(rig_reply(&rig)->sent[0].field, "max_bytes");
}
END_TEST

START_TEST(a_malformed_message_is_refused_and_its_neighbours_are_stored)
{
    const uint8_t bad[][4] = {{0x0a, 0x05, 1, 2}, {0x08, 0x01, 0x08, 0x01}, {0x0b, 0, 0, 0}, {0xff, 0xff, 0xff, 0xff}};
    for (size_t i = 0; i < 4; i++) {
        const uint8_t good[] = {0x0a, 0x01, 'x'};
        struct bytes messages[] = {bytes_of(good, 3), bytes_of(bad[i], 4), bytes_of(good, 3)};
        struct entry_send send = {.queue = queue, .count = 3};
        entry_add_send(rig_writer(&rig), &send, messages);
        rig_commit(&rig);
        ck_assert_int_eq(rig_reply(&rig)->sent[0].code, ERR_OK);
        ck_assert_int_eq(rig_reply(&rig)->sent[1].code, ERR_INVALID);
        ck_assert_int_eq(rig_reply(&rig)->sent[2].code, ERR_OK);
    }
    ck_assert_uint_eq(rig_counts(&rig, queue).ready, 8);
}
END_TEST

START_TEST(provenance_from_a_client_and_long_names_are_refused)
{
    char group[130];
    memset(group, 'g', 129);
    group[129] = '\0';
    struct rig_message in[] = {{.group = group}, {.deduplication_id = group}};
    rig_add_send(&rig, queue, in, 2, 0, 0);
    const uint8_t provenance[] = {0x7a, 0x00};
    struct bytes raw = bytes_of(provenance, 2);
    struct entry_send send = {.queue = queue, .count = 1};
    entry_add_send(rig_writer(&rig), &send, &raw);
    rig_commit(&rig);
    ck_assert_str_eq(rig.out.replies[0].sent[0].field, "group");
    ck_assert_str_eq(rig.out.replies[0].sent[1].field, "deduplication_id");
    ck_assert_str_eq(rig.out.replies[1].sent[0].field, "provenance");
}
END_TEST

/* Something of everything: ready, leased, delayed, put off, with errors, in groups. */
static void fill(uint64_t q)
{
    rig_send_many(&rig, q, NULL, 200);
    rig_send_many(&rig, q, "a", 70);
    rig_send(&rig, q, (struct rig_message){.body = "x", .delay_ms = 100000});
    const struct received *got = rig_receive(&rig, q, 100, 60000);
    struct entry_lease l[10];
    for (int i = 0; i < 10; i++)
        l[i] = rig_lease(&got[i]);
    struct entry_settle nack = {.queue = q, .delay_ms = 5000, .error = bytes_text("no"), .count = 10};
    entry_add_nack(rig_writer(&rig), &nack, l);
    rig_commit(&rig);
}

static void expect_clean(void)
{
    while (machine_next_due_ms(rig.m) <= rig.now_ms)
        rig_commit(&rig);
    const enum key_kind kinds[] = {KEY_CHUNK, KEY_TOUCH, KEY_COLD,       KEY_FRESH, KEY_LANE,
                                   KEY_DUE,   KEY_DEDUP, KEY_LAST_ERROR, KEY_SWEEP};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        ck_assert_msg(rig_keys(&rig, kinds[i]) == 0, "keys of kind %c are left", kinds[i]);
    ck_assert_uint_eq(machine_first_live(rig.m), machine_applied(rig.m) + 1);
}

START_TEST(a_purge_takes_everything_at_once_and_nothing_sent_after_it)
{
    fill(queue);
    struct received held = rig_receive_one(&rig, queue, 60000);
    ck_assert_uint_eq(rig_purge(&rig, queue), 271);
    ck_assert_int_eq(rig_ack(&rig, queue, &held), ERR_RECEIPT_STALE);
    struct queue_counts c = rig_counts(&rig, queue);
    ck_assert_uint_eq(c.ready + c.in_flight + c.delayed + c.bytes, 0);
    rig_receive_none(&rig, queue);
    rig_send(&rig, queue, (struct rig_message){.body = "after", .group = "a"});
    rig_send(&rig, queue, (struct rig_message){.body = "after"});
    rig_flush(&rig);
    rig_crash(&rig);
    rig_receive(&rig, queue, 10, 1000);
    ck_assert_uint_eq(rig_reply(&rig)->count, 2);
    struct received got[2];
    memcpy(got, rig_reply(&rig)->received, sizeof got);
    rig_ack(&rig, queue, &got[0]);
    rig_ack(&rig, queue, &got[1]);
    expect_clean();
}
END_TEST

/* So many that their chunks take more than a few entries to sweep. */
static void purge_many(void)
{
    struct rig_message *in = memory_zero(BACKLOG, sizeof *in);
    char(*groups)[16] = memory_zero(BACKLOG, sizeof *groups);
    for (size_t i = 0; i < BACKLOG; i++) { /* a chunk each */
        snprintf(groups[i], sizeof groups[i], "%zu", i);
        in[i] = (struct rig_message){.body = "x", .group = groups[i]};
    }
    rig_add_send(&rig, queue, in, BACKLOG, 0, 0);
    rig_commit(&rig);
    ck_assert_uint_eq(rig_purge(&rig, queue), BACKLOG);
    memory_free(in);
    memory_free(groups);
}

START_TEST(what_is_due_in_other_queues_does_not_wait_for_a_sweep)
{
    uint64_t other = rig_create(&rig, RIG_NAME("other"), NULL);
    rig_send(&rig, other, (struct rig_message){.body = "leased"});
    rig_receive_one(&rig, other, 1000);
    rig_send(&rig, other, (struct rig_message){.body = "delayed", .delay_ms = 1000});
    purge_many();
    rig_advance(&rig, 1000);
    ck_assert_uint_eq(rig_keys(&rig, KEY_SWEEP), 1);
    ck_assert_uint_eq(rig_counts(&rig, other).ready, 2);
    ck_assert(rig_has_effect(&rig, EFFECT_READY, other));
}
END_TEST

START_TEST(a_sweep_goes_on_while_more_is_due_than_an_entry_can_do)
{
    uint64_t other = rig_create(&rig, RIG_NAME("other"), NULL);
    for (int i = 0; i < 3; i++)
        rig_send_many(&rig, other, NULL, 10000);
    purge_many();
    Hato__QueueSettings s = HATO__QUEUE_SETTINGS__INIT;
    s.has_retention_ms = 1;
    s.retention_ms = 1000;
    rig_set(&rig, other, &s);
    size_t chunks = rig_keys(&rig, KEY_CHUNK);
    size_t live = (rig_counts(&rig, other).ready + 63) / 64;
    rig_advance(&rig, 1000);
    ck_assert_uint_gt(rig_counts(&rig, other).ready, 0);
    size_t expired = live - (rig_counts(&rig, other).ready + 63) / 64;
    ck_assert_uint_lt(rig_keys(&rig, KEY_CHUNK) + expired, chunks);
}
END_TEST

START_TEST(a_purge_between_other_commands_of_its_entry_keeps_their_order)
{
    fill(queue);
    struct rig_message in = {.body = "x", .group = "a"};
    struct entry_receive receive = {.queue = queue, .max_messages = 10, .visibility_ms = 1000};
    Hato__Log__QueuePurge purge = HATO__LOG__QUEUE_PURGE__INIT;
    purge.has_queue = 1;
    purge.queue = queue;
    rig_add_send(&rig, queue, &in, 1, 0, 0);
    entry_add_receive(rig_writer(&rig), &receive);
    rig_add(&rig, COMMAND_QUEUE_PURGE, &purge.base);
    entry_add_receive(rig_writer(&rig), &receive);
    rig_add_send(&rig, queue, &in, 1, 0, 0);
    entry_add_receive(rig_writer(&rig), &receive);
    rig_commit(&rig);
    ck_assert_uint_eq(rig.out.replies[1].count, 10);
    ck_assert_uint_eq(rig.out.replies[2].purged, 272);
    ck_assert_uint_eq(rig.out.replies[3].count, 0);
    ck_assert_uint_eq(rig.out.replies[5].count, 1);
    ck_assert_uint_eq(rig_counts(&rig, queue).in_flight, 1);
    uint64_t before = rig_hash_state(&rig);
    rig_crash(&rig);
    ck_assert_uint_eq(rig_hash_state(&rig), before);
    rig_purge(&rig, queue);
    expect_clean();
}
END_TEST

START_TEST(a_deleted_queue_is_gone_and_its_name_makes_another)
{
    fill(queue);
    rig_delete(&rig, queue);
    ck_assert(rig_has_effect(&rig, EFFECT_QUEUE, queue));
    struct queue_view v;
    ck_assert(!machine_queue_get(rig.m, queue, &v));
    ck_assert_uint_eq(machine_queue_count(rig.m), 0);
    rig_flush(&rig);
    rig_crash(&rig);
    uint64_t again = rig_create(&rig, RIG_NAME("jobs"), NULL);
    ck_assert_uint_ne(again, queue);
    rig_receive_none(&rig, again);
    expect_clean();
}
END_TEST

START_TEST(a_queue_made_used_and_deleted_in_one_entry_leaves_nothing)
{
    Hato__Log__QueueCreate create = HATO__LOG__QUEUE_CREATE__INIT;
    Hato__Log__QueueDelete delete = HATO__LOG__QUEUE_DELETE__INIT;
    create.name = (char *)(uintptr_t)RIG_NAME("short");
    delete.has_queue = 1;
    delete.queue = queue + 1;
    struct rig_message in = {.body = "x", .group = "a", .deduplication_id = "once"};
    rig_add(&rig, COMMAND_QUEUE_CREATE, &create.base);
    rig_add_send(&rig, queue + 1, &in, 1, 0, 0);
    rig_add(&rig, COMMAND_QUEUE_DELETE, &delete.base);
    rig_add_send(&rig, queue + 1, &in, 1, 0, 0);
    rig_commit(&rig);
    ck_assert_uint_eq(rig.out.replies[0].queue, queue + 1);
    ck_assert_int_eq(rig.out.replies[1].sent[0].code, ERR_OK);
    ck_assert_int_eq(rig.out.replies[2].code, ERR_OK);
    ck_assert_int_eq(rig.out.replies[3].code, ERR_NOT_FOUND);
    ck_assert_uint_eq(rig_keys(&rig, KEY_QUEUE), 1);
    expect_clean();
}
END_TEST

struct listing {
    char names[10][64];
    size_t count;
    size_t max;
};

static bool list_one(void *ctx, const struct queue_view *q)
{
    struct listing *l = ctx;
    snprintf(l->names[l->count++], sizeof l->names[0], "%s", q->name);
    return l->count < l->max;
}

START_TEST(queues_are_listed_by_name_and_in_pages)
{
    rig_create(&rig, RIG_NAME("zebra"), NULL);
    rig_create(&rig, RIG_NAME("apple"), NULL);
    struct listing l = {.max = 2};
    machine_queue_each(rig.m, "", list_one, &l);
    ck_assert_uint_eq(l.count, 2);
    ck_assert_str_eq(l.names[0], RIG_NAME("apple"));
    ck_assert_str_eq(l.names[1], RIG_NAME("jobs"));
    l.max = 10;
    machine_queue_each(rig.m, l.names[1], list_one, &l);
    ck_assert_uint_eq(l.count, 3);
    ck_assert_str_eq(l.names[2], RIG_NAME("zebra"));
}
END_TEST

START_TEST(the_oldest_message_is_known_in_memory_or_not)
{
    ck_assert_uint_eq(machine_queue_oldest_ms(rig.m, queue), 0);
    uint64_t first_ms = rig.now_ms;
    rig_send_many(&rig, queue, "a", 3);
    rig.now_ms += 1000;
    rig_send_many(&rig, queue, NULL, 3);
    rig_flush(&rig);
    rig_crash(&rig);
    ck_assert_uint_eq(machine_queue_oldest_ms(rig.m, queue), first_ms);
    struct received got[3];
    size_t n = 0;
    while (n < 3) { /* those of the group */
        struct received one = rig_receive_one(&rig, queue, 60000);
        if (one.sent_ms == first_ms)
            got[n++] = one;
    }
    for (size_t i = 0; i < 3; i++)
        rig_ack(&rig, queue, &got[i]);
    ck_assert_uint_eq(machine_queue_oldest_ms(rig.m, queue), first_ms + 1000);
}
END_TEST

START_TEST(a_message_behind_many_delayed_ones_has_an_age_after_a_restart)
{
    for (int i = 0; i < 100; i++)
        rig_send(&rig, queue, (struct rig_message){.body = "later", .delay_ms = 86400000});
    uint64_t sent_ms = rig.now_ms += 1000;
    rig_send(&rig, queue, (struct rig_message){.body = "now", .group = "g"});
    ck_assert_uint_eq(machine_queue_oldest_ms(rig.m, queue), sent_ms);
    rig_flush(&rig);
    rig_crash(&rig);
    ck_assert_uint_eq(machine_queue_oldest_ms(rig.m, queue), sent_ms);
}
END_TEST

START_TEST(the_oldest_message_is_no_younger_while_the_store_cannot_be_read)
{
    uint64_t first_ms = rig.now_ms;
    rig_send_many(&rig, queue, "a", 3);
    rig_flush(&rig);
    rig_crash(&rig);
    rig.now_ms += 1000;
    rig_send_many(&rig, queue, "b", 3);
    store_env_fill(rig.env, true); /* what is pending has no space, so that nothing can be looked up */
    ck_assert_uint_eq(machine_queue_oldest_ms(rig.m, queue), first_ms);
    store_env_fill(rig.env, false);
    ck_assert_uint_eq(machine_queue_oldest_ms(rig.m, queue), first_ms);
}
END_TEST

START_TEST(a_repeated_send_of_a_producer_is_stored_once)
{
    struct rig_message in[] = {{.body = "1"}, {.body = "2"}};
    rig_add_send(&rig, queue, in, 2, 77, 1);
    rig_commit(&rig);
    uint64_t first = rig_reply(&rig)->sent[0].sequence;
    rig_crash(&rig);
    rig_add_send(&rig, queue, in, 2, 77, 1);
    rig_commit(&rig);
    ck_assert(rig_reply(&rig)->sent[0].duplicate);
    ck_assert_uint_eq(rig_reply(&rig)->sent[0].sequence, first);
    ck_assert_uint_eq(rig_counts(&rig, queue).ready, 2);
}
END_TEST

START_TEST(a_send_that_is_repeated_after_hours_without_a_leader_is_stored_once)
{
    struct rig_message in = {.body = "x"};
    enum { HOUR_MS = 3600000 };
    rig_add_send(&rig, queue, &in, 1, 77, 1);
    rig_commit(&rig);
    rig_new_leader(&rig);
    rig_flush(&rig);
    rig_load_again(&rig);
    rig.now_ms += 5 * HOUR_MS;
    rig_commit(&rig);
    rig_flush(&rig);
    rig_load_again(&rig);
    ck_assert_uint_eq(machine_next_due_ms(rig.m), rig.now_ms + HOUR_MS);
    rig.now_ms += HOUR_MS - 1;
    rig_add_send(&rig, queue, &in, 1, 77, 1);
    rig_commit(&rig);
    ck_assert(rig_reply(&rig)->sent[0].duplicate);
    rig.now_ms += HOUR_MS; /* one with a leader */
    rig_add_send(&rig, queue, &in, 1, 77, 1);
    rig_commit(&rig);
    ck_assert(!rig_reply(&rig)->sent[0].duplicate);
}
END_TEST

static void put_value(const struct key *k, const struct buffer *value)
{
    struct store_batch *b = store_batch_create();
    store_put(b, STORE_STATE, key_view(k), buffer_view(value));
    ck_assert_int_eq(store_write(rig.store, b, NULL), ERR_OK);
    ck_assert_int_eq(store_flush(rig.store, STORE_STATE, NULL), ERR_OK);
    store_batch_destroy(b);
}

/* Version 1 ends before the time from which the shard is led. */
START_TEST(an_applied_record_of_the_first_version_is_understood)
{
    rig_send_many(&rig, queue, NULL, 3);
    rig_flush(&rig);
    struct key k = key_of(rig.shard, KEY_APPLIED);
    struct buffer now = {0};
    struct buffer old = {0};
    struct cursor c;
    ck_assert_int_eq(store_get(rig.store, STORE_STATE, key_view(&k), &now, NULL), ERR_OK);
    ck_assert_int_eq(value_open(key_view(&k), buffer_view(&now), 2, &c, NULL), ERR_OK);
    uint64_t applied = machine_applied(rig.m);
    struct buffer led = {0};
    buffer_varint(&led, rig.now_ms);
    value_begin(&old, 1);
    buffer_put(&old, c.at, cursor_left(&c) - led.len);
    value_seal(&old, key_view(&k));
    put_value(&k, &old);
    rig_load_again(&rig);
    ck_assert_uint_eq(machine_applied(rig.m), applied);
    rig_send_many(&rig, queue, NULL, 3);
    ck_assert_uint_eq(rig_counts(&rig, queue).ready, 6);
    buffer_close(&led);
    buffer_close(&old);
    buffer_close(&now);
}
END_TEST

/* Version 1 ends before the redrive that passed the default lane by, version 2 before what moves, of that lane and of all, and what was
 * refused, version 3 before whether that lane's were turned back. */
static void read_record_of(uint8_t version, size_t fields_less)
{
    rig_send_many(&rig, queue, NULL, 3);
    rig_flush(&rig);
    struct key k = key_of1(rig.shard, KEY_QUEUE, queue);
    struct buffer now = {0};
    struct buffer old = {0};
    struct cursor c;
    ck_assert_int_eq(store_get(rig.store, STORE_STATE, key_view(&k), &now, NULL), ERR_OK);
    ck_assert_int_eq(value_open(key_view(&k), buffer_view(&now), 4, &c, NULL), ERR_OK);
    value_begin(&old, version);
    buffer_put(&old, c.at, cursor_left(&c) - fields_less);
    value_seal(&old, key_view(&k));
    put_value(&k, &old);
    buffer_close(&old);
    buffer_close(&now);
    rig_crash(&rig);
    ck_assert_uint_eq(rig_counts(&rig, queue).ready, 3);
    rig_receive(&rig, queue, 10, 1000);
    ck_assert_uint_eq(rig_reply(&rig)->count, 3);
    rig_purge(&rig, queue);
}

START_TEST(a_queue_record_of_an_earlier_version_is_understood)
{
    read_record_of(1, 5);
    read_record_of(2, 4);
    read_record_of(3, 1);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        creating_again_with_equal_settings_succeeds_and_with_others_does_not,
        a_name_or_setting_out_of_bounds_is_refused,
        a_queue_record_of_an_earlier_version_is_understood,
        an_applied_record_of_the_first_version_is_understood,
        a_send_that_is_repeated_after_hours_without_a_leader_is_stored_once,
        settings_survive_a_crash_and_are_whole,
        what_would_pass_a_limit_is_refused_by_name,
        a_malformed_message_is_refused_and_its_neighbours_are_stored,
        provenance_from_a_client_and_long_names_are_refused,
        a_purge_takes_everything_at_once_and_nothing_sent_after_it,
        what_is_due_in_other_queues_does_not_wait_for_a_sweep,
        a_sweep_goes_on_while_more_is_due_than_an_entry_can_do,
        a_purge_between_other_commands_of_its_entry_keeps_their_order,
        a_deleted_queue_is_gone_and_its_name_makes_another,
        a_queue_made_used_and_deleted_in_one_entry_leaves_nothing,
        queues_are_listed_by_name_and_in_pages,
        the_oldest_message_is_known_in_memory_or_not,
        a_message_behind_many_delayed_ones_has_an_age_after_a_restart,
        the_oldest_message_is_no_younger_while_the_store_cannot_be_read,
        a_repeated_send_of_a_producer_is_stored_once,
    };
    return rig_main("state/queue", tests, sizeof tests / sizeof tests[0], setup, teardown);
}
