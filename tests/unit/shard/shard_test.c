#include "shard/rig.h"

/* ---------------------------------------------------------------- bodies */

START_TEST(a_message_read_from_disk_is_delivered)
{
    open_shard();
    uint64_t queue = make_queue("000000000000:us-east-1:q");
    send_one(queue);
    struct consumer c = consumer_of(queue, 1, true);
    ck_assert_int_eq(shard_consumer_open(shard, &c, NULL), ERR_OK);
    step();
    ck_assert_uint_eq(work_count, 1);
    run_works(0);
    ck_assert_uint_eq(delivered, 1);
    close_shard();
}
END_TEST

START_TEST(a_purge_while_bodies_are_read_takes_the_messages_and_harms_nothing)
{
    open_shard();
    uint64_t queue = make_queue("000000000000:us-east-1:q"), other = make_queue("000000000000:us-east-1:other");
    send_one(queue);
    send_one(queue);
    struct consumer c = consumer_of(queue, 2, true);
    ck_assert_int_eq(shard_consumer_open(shard, &c, NULL), ERR_OK);
    step();
    size_t readings = work_count;
    ck_assert_uint_ge(readings, 1);
    purge(queue);
    outgrow_the_log(other, readings);
    run_works(0);
    ck_assert_str_eq(shard_problem(shard), "");
    ck_assert_uint_eq(delivered, 0);
    ck_assert_int_eq(ended, ERR_OK);
    send_one(queue);
    ck_assert(shard_leads(shard));
    close_shard();
}
END_TEST

static void deliver_and_close(struct consumer *c, const struct delivered *messages, size_t count)
{
    on_deliver(c, messages, count);
    shard_consumer_close(shard, c);
}

START_TEST(nothing_more_is_leased_for_who_takes_one_delivery)
{
    open_shard();
    uint64_t queue = make_queue("000000000000:us-east-1:q");
    for (int i = 0; i < 3; i++)
        send_one(queue);
    struct consumer c = consumer_of(queue, 3, _i == 0);
    c.single = true;
    c.deliver = deliver_and_close;
    c.bytes_max = BODY;
    ck_assert_int_eq(shard_consumer_open(shard, &c, NULL), ERR_OK);
    for (int i = 0; i < 3; i++)
        step();
    struct queue_view q;
    ck_assert(machine_queue_get(shard_machine(shard), queue, &q));
    ck_assert_uint_eq(q.counts.in_flight, 1);
    run_works(0);
    ck_assert_uint_eq(delivered, 1);
    close_shard();
}
END_TEST

START_TEST(the_entry_that_is_wanted_next_is_read_before_it_is_asked_for)
{
    enum { ENTRIES = 20 };
    cache_bytes = 4 * BODY; /* three entries: those that are received first are no longer among them */
    open_shard();
    uint64_t queue = make_queue("000000000000:us-east-1:q");
    for (int i = 0; i < ENTRIES; i++)
        send_one(queue);
    struct consumer first = consumer_of(queue, 1, true), second = consumer_of(queue, 1, true);
    ck_assert_int_eq(shard_consumer_open(shard, &first, NULL), ERR_OK);
    step();
    ck_assert_uint_eq(work_count, 2); /* its own and the next */
    run_works(0);
    ck_assert_uint_eq(delivered, 1);
    ck_assert_int_eq(shard_consumer_open(shard, &second, NULL), ERR_OK);
    step();
    ck_assert_uint_eq(delivered, 2);
    ck_assert_uint_eq(work_count, 1); /* the third entry */
    run_works(0);
    close_shard();
}
END_TEST

START_TEST(what_would_not_be_kept_is_not_read_ahead)
{
    cache_bytes = BODY;
    open_shard();
    uint64_t queue = make_queue("000000000000:us-east-1:q");
    send_one(queue);
    send_one(queue);
    struct consumer c = consumer_of(queue, 1, true);
    ck_assert_int_eq(shard_consumer_open(shard, &c, NULL), ERR_OK);
    step();
    ck_assert_uint_eq(work_count, 1);
    run_works(0);
    close_shard();
}
END_TEST

static size_t held; /* bytes of memory that the messages delivered last hold */

static void count_held(const struct delivered *messages, size_t count)
{
    held = 0;
    for (size_t i = 0; i < count; i++)
        if (i == 0 || messages[i].owner != messages[i - 1].owner)
            held += messages[i].owner->len;
}

static void deliver_and_count(struct consumer *c, const struct delivered *messages, size_t count)
{
    on_deliver(c, messages, count);
    count_held(messages, count);
}

START_TEST(who_waits_for_many_entries_does_not_hold_those_it_takes_little_of)
{
    enum { ENTRIES = 3, OTHERS = 5 };
    open_shard();
    uint64_t queue = make_queue("000000000000:us-east-1:q"), other = make_queue("000000000000:us-east-1:other");
    for (int i = 0; i < ENTRIES; i++) {
        struct answer answers[1 + OTHERS];
        for (int k = 0; k <= OTHERS; k++)
            start_send(&answers[k], k == 0 ? queue : other);
        step();
    }
    struct consumer c = consumer_of(queue, ENTRIES, true);
    c.deliver = deliver_and_count;
    ck_assert_int_eq(shard_consumer_open(shard, &c, NULL), ERR_OK);
    step();
    ck_assert_uint_eq(work_count, ENTRIES);
    run_works(0);
    ck_assert_uint_eq(delivered, ENTRIES);
    /* The last one to come is whole. */
    size_t copies = (size_t)(ENTRIES - 1) * (3 + BODY);
    ck_assert_uint_ge(held, copies + (1 + OTHERS) * BODY);
    ck_assert_uint_lt(held, copies + (2 + OTHERS) * BODY);
    close_shard();
}
END_TEST

START_TEST(what_is_kept_is_copied_only_out_of_entries_much_larger_than_it)
{
    enum { LARGE = 1000, EACH = 100 };
    struct blob *little = blob_create(LARGE), *much = blob_create(LARGE);
    for (size_t i = 0; i < LARGE; i++)
        little->data[i] = (uint8_t)i;
    struct delivered d[] = {
        {.owner = blob_ref(little), .message = {little->data + 7, EACH}},
        {.owner = blob_ref(little), .message = {little->data + 300, EACH}},
        {.owner = NULL},
        {.owner = blob_ref(much), .message = {much->data, EACH}},
        {.owner = blob_ref(much), .message = {much->data + 100, EACH}},
        {.owner = blob_ref(much), .message = {much->data + 200, EACH}},
    };
    enum { COUNT = sizeof d / sizeof d[0] };
    shard_keep(d, COUNT);
    ck_assert_uint_eq(little->refs, 1);
    ck_assert_ptr_eq(d[0].owner, d[1].owner);
    ck_assert_uint_eq(d[0].owner->len, 2 * EACH);
    ck_assert_mem_eq(d[0].message.data, little->data + 7, EACH);
    ck_assert_mem_eq(d[1].message.data, little->data + 300, EACH);
    ck_assert_uint_eq(much->refs, 4);
    ck_assert_ptr_eq(d[5].message.data, much->data + 200);
    for (size_t i = 0; i < COUNT; i++)
        blob_unref(d[i].owner);
    blob_unref(little);
    blob_unref(much);
}
END_TEST

static bool spilled(uint64_t index, uint32_t offset)
{
    struct buffer value = {0};
    struct key key = key_of2(1, KEY_BODY, index, offset);
    int code = store_get(store, STORE_BODIES, key_view(&key), &value, NULL);
    buffer_close(&value);
    return code == ERR_OK;
}

/* Four messages of one entry, of which as many as the loop says belong to a queue that is purged. */
START_TEST(what_outlives_the_log_is_spilled_whole_or_in_parts)
{
    enum { MESSAGES = 4 };
    open_shard();
    uint64_t queue = make_queue("000000000000:us-east-1:q"), other = make_queue("000000000000:us-east-1:other");
    struct answer answers[MESSAGES];
    size_t gone = (size_t)_i, left = MESSAGES - gone;
    for (size_t i = 0; i < MESSAGES; i++)
        start_send(&answers[i], i < gone ? other : queue);
    step();
    struct shard_status status;
    shard_status(shard, &status);
    uint64_t index = status.applied;
    purge(other);
    outgrow_the_log(other, 0);
    ck_assert_int_eq(spilled(index, BODY_WHOLE_ENTRY), left * 2 > MESSAGES);

    struct consumer c = consumer_of(queue, MESSAGES, true);
    ck_assert_int_eq(shard_consumer_open(shard, &c, NULL), ERR_OK);
    step();
    for (int i = 0; i < 4 && work_count > 0; i++)
        run_works(0);
    ck_assert_str_eq(shard_problem(shard), "");
    ck_assert_uint_eq(delivered, left);
    close_shard();
}
END_TEST

START_TEST(credit_of_messages_that_vanished_serves_later_ones)
{
    open_shard();
    uint64_t queue = make_queue("000000000000:us-east-1:q"), other = make_queue("000000000000:us-east-1:other");
    send_one(queue);
    struct consumer c = consumer_of(queue, 1, false);
    ck_assert_int_eq(shard_consumer_open(shard, &c, NULL), ERR_OK);
    step();
    ck_assert_uint_eq(work_count, 1);
    purge(queue);
    outgrow_the_log(other, 1);
    run_works(0);
    ck_assert_uint_eq(delivered, 0);
    send_one(queue);
    run_works(0);
    ck_assert_uint_eq(delivered, 1);
    shard_consumer_close(shard, &c);
    close_shard();
}
END_TEST

/* ---------------------------------------------------------------- flushes */

START_TEST(what_is_applied_during_a_flush_counts_for_the_next)
{
    open_shard();
    uint64_t queue = make_queue("000000000000:us-east-1:q");
    while (!shard_wants_flush(shard))
        send_one(queue);
    uint64_t mark = shard_flush_mark(shard);
    for (size_t sent = 0; sent < FLUSH; sent += BODY)
        send_one(queue);
    flushed(mark);
    ck_assert(shard_wants_flush(shard));
    flushed(shard_flush_mark(shard));
    ck_assert(!shard_wants_flush(shard));
    close_shard();
}
END_TEST

/* ---------------------------------------------------------------- a full disk */

START_TEST(what_a_full_disk_refused_is_written_when_there_is_room_again)
{
    struct answer a[3];
    open_shard();
    uint64_t queue = make_queue("000000000000:us-east-1:q");
    sim_disk_fail(disk, SIM_DISK_WRITE, 0, 0, ERR_STORAGE_FULL);
    for (int i = 0; i < 3; i++)
        start_send(&a[i], queue);
    step();
    for (int i = 0; i < 3; i++) {
        tick();
        ck_assert_int_eq(a[i].code, -1);
    }
    struct answer late = waiting();
    struct bytes message = bytes_of("\x0a\x01x", 3);
    struct entry_send send = {.queue = queue, .count = 1};
    ck_assert_int_eq(shard_send(shard, &late.command, &send, &message, NULL), ERR_STORAGE_FULL);
    sim_disk_heal(disk);
    for (int i = 0; i < 5; i++) {
        log_check_space(log_);
        tick();
    }
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(a[i].code, ERR_OK);
    struct queue_view q;
    ck_assert(machine_queue_get(shard_machine(shard), queue, &q));
    ck_assert_uint_eq(q.counts.ready, 3);
    close_shard();
}
END_TEST

START_TEST(nobody_is_made_to_wait_for_a_full_disk_when_stopping)
{
    struct answer a;
    open_shard();
    uint64_t queue = make_queue("000000000000:us-east-1:q");
    sim_disk_fail(disk, SIM_DISK_WRITE, 0, 0, ERR_STORAGE_FULL);
    start_send(&a, queue);
    step();
    tick();
    ck_assert_int_eq(a.code, -1);
    shard_retire(shard);
    tick();
    ck_assert_int_eq(a.code, ERR_UNKNOWN_OUTCOME);
    ck_assert(!shard_busy(shard));
    close_shard();
}
END_TEST

START_TEST(what_was_proposed_when_the_disk_failed_has_an_unknown_outcome)
{
    struct answer a;
    open_shard();
    uint64_t queue = make_queue("000000000000:us-east-1:q");
    sim_disk_fail(disk, SIM_DISK_SYNC, 0, 0, ERR_IO);
    start_send(&a, queue);
    step();
    ck_assert_int_eq(a.code, ERR_UNKNOWN_OUTCOME);
    ck_assert_str_ne(shard_problem(shard), "");
    ck_assert(!shard_leads(shard));
    struct answer b = waiting();
    struct entry_lease lease = {1, 1};
    struct error e = {0};
    ck_assert_int_eq(shard_ack(shard, &b.command, queue, &lease, 1, &e), ERR_CORRUPT);
    close_shard();
}
END_TEST

/* ---------------------------------------------------------------- a snapshot half installed */

enum { STAGED = 0x80, APPLIED_AT = 2 };

static size_t count_keys(uint8_t first)
{
    const uint8_t from[] = {first, 1}, to[] = {first, 2};
    struct store_iterator *i = store_iterate(store, STORE_STATE, bytes_of(from, 2), bytes_of(to, 2), NULL);
    size_t n = 0;
    for (; store_iterator_valid(i); store_iterator_next(i))
        n++;
    store_iterator_close(i);
    return n;
}

/* What the shard has in the store is staged as a snapshot would be; of its own keys all go, or only some do. */
static void stage(bool all_go)
{
    const uint8_t from[] = {0, 1}, to[] = {0, 2};
    struct store_batch *b = store_batch_create();
    struct store_iterator *i = store_iterate(store, STORE_STATE, bytes_of(from, 2), bytes_of(to, 2), NULL);
    for (size_t n = 0; store_iterator_valid(i); store_iterator_next(i), n++) {
        uint8_t key[256];
        size_t len = store_iterator_key(i).len;
        memcpy(key, store_iterator_key(i).data, len);
        if (all_go || key[APPLIED_AT] == 'a' || n % 2 == 0)
            store_delete(b, STORE_STATE, store_iterator_key(i));
        key[0] |= STAGED;
        store_put(b, STORE_STATE, bytes_of(key, len), store_iterator_value(i));
    }
    store_iterator_close(i);
    ck_assert_int_eq(store_write(store, b, NULL), ERR_OK);
    store_batch_destroy(b);
}

static void on_reset(struct log_write *w, int code)
{
    ck_assert_int_eq(code, ERR_OK);
    *(bool *)w->ctx = true;
}

static void begin_log_behind(uint64_t index)
{
    struct log_group *group = log_group(log_, 1, port);
    struct buffer members = {0};
    struct membership m = {0};
    bool done = false;
    membership_add(&m.voters, 1);
    membership_encode(&m, &members);
    struct log_snapshot mark = {.index = index, .membership = buffer_view(&members)};
    ck_assert_int_eq(log_term(group, index, &mark.term), ERR_OK);
    struct log_write w = {.reset = &mark, .done = on_reset, .ctx = &done};
    log_submit(group, &w);
    while (!done) {
        log_step(log_);
        log_port_drain(port);
    }
    buffer_close(&members);
}

START_TEST(an_installation_that_a_crash_interrupted_is_finished_at_the_next_start)
{
    open_shard();
    uint64_t queue = make_queue("000000000000:us-east-1:q");
    send_one(queue);
    uint64_t applied = shard_flush_mark(shard);
    shard_abandon_begin(shard);
    shard_abandon_end(shard);
    turn_asked = false;
    stage(_i == 0);
    begin_log_behind(applied);
    start_shard();
    struct queue_view q;
    ck_assert(machine_queue_find(shard_machine(shard), "000000000000:us-east-1:q", &q));
    ck_assert_uint_eq(q.counts.ready, 1);
    struct shard_status status;
    shard_status(shard, &status);
    ck_assert_uint_ge(status.durable, applied);
    ck_assert_uint_eq(count_keys(STAGED), 0);
    send_one(queue);
    close_shard();
}
END_TEST

START_TEST(what_was_staged_for_a_snapshot_that_was_never_taken_is_dropped)
{
    open_shard();
    uint64_t queue = make_queue("000000000000:us-east-1:q");
    send_one(queue);
    shard_flush_mark(shard);
    shard_abandon_begin(shard);
    shard_abandon_end(shard);
    turn_asked = false;
    stage(true); /* all is replayed from the log */
    start_shard();
    struct queue_view q;
    ck_assert(machine_queue_find(shard_machine(shard), "000000000000:us-east-1:q", &q));
    ck_assert_uint_eq(q.counts.ready, 1);
    ck_assert_uint_eq(count_keys(STAGED), 0);
    close_shard();
}
END_TEST

static bool is_ready;

static bool ready_when_told(struct consumer *c, size_t count, uint64_t bytes)
{
    (void)c, (void)bytes;
    return count == 0 || is_ready; /* with 0 it is asked whether to lease anything */
}

static uint32_t receive_count;

static void note_count(struct consumer *c, const struct delivered *messages, size_t count)
{
    (void)c, (void)count;
    receive_count = messages[0].is.receive_count;
}

START_TEST(a_receive_without_visibility_is_given_though_it_had_to_wait)
{
    open_shard();
    uint64_t queue = make_queue("000000000000:us-east-1:q");
    send_one(queue);
    struct consumer c = consumer_of(queue, 1, true);
    c.visibility_ms = 0;
    c.ready = ready_when_told;
    c.deliver = note_count;
    is_ready = false;
    ck_assert_int_eq(shard_consumer_open(shard, &c, NULL), ERR_OK);
    step();
    ck_assert_uint_eq(receive_count, 0);
    wall_ms += 10;
    is_ready = true;
    shard_consumer_ready(shard, &c);
    step();
    run_works(0);
    ck_assert_uint_eq(receive_count, 1);
    close_shard();
}
END_TEST

static uint64_t delivered_ms;

static void note_time(struct consumer *c, const struct delivered *messages, size_t count)
{
    (void)c, (void)messages, (void)count;
    delivered_ms = wall_ms;
}

/* What joins an entry while the disk stalls was asked for later than what the entry began with. */
START_TEST(a_delay_begins_when_it_was_asked_for_though_the_disk_stalled_before)
{
    enum { STALL_MS = 5000, DELAY_MS = 3000, GATHERING = 5 }; /* one more than is on its way at a time */
    open_shard();
    uint64_t queue = make_queue("000000000000:us-east-1:q");
    struct consumer c = consumer_of(queue, 10, false);
    c.deliver = note_time;
    ck_assert_int_eq(shard_consumer_open(shard, &c, NULL), ERR_OK);
    step();
    struct answer before[GATHERING];
    for (int i = 0; i < GATHERING; i++) {
        Hato__Log__QueuePurge purge = HATO__LOG__QUEUE_PURGE__INIT;
        purge.has_queue = true;
        purge.queue = queue;
        before[i] = waiting();
        give(&before[i], COMMAND_QUEUE_PURGE, &purge.base);
        shard_turn(shard);
    }
    for (int i = 0; i < STALL_MS; i += SHARD_TICK_MS) {
        wall_ms += SHARD_TICK_MS;
        shard_tick(shard);
        shard_turn(shard);
    }
    uint8_t message[] = {0x0a, 1, 'x', 0x28, (DELAY_MS & 0x7f) | 0x80, DELAY_MS >> 7}; /* body, delay_ms */
    struct bytes messages = bytes_of(message, sizeof message);
    struct entry_send send = {.queue = queue, .count = 1};
    struct answer sent = waiting();
    ck_assert_int_eq(shard_send(shard, &sent.command, &send, &messages, NULL), ERR_OK);
    uint64_t asked_ms = wall_ms;
    delivered_ms = 0;
    shard_turn(shard);
    step();
    ck_assert_int_eq(sent.code, ERR_OK);
    for (int i = 0; i < 100 && delivered_ms == 0; i++) {
        run_works(0);
        if (delivered_ms == 0)
            tick();
    }
    ck_assert_uint_ge(delivered_ms, asked_ms + DELAY_MS);
    shard_consumer_close(shard, &c);
    close_shard();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("shard");
    TCase *t = tcase_create("shard");
    tcase_add_test(t, a_message_read_from_disk_is_delivered);
    tcase_add_loop_test(t, nothing_more_is_leased_for_who_takes_one_delivery, 0, 2);
    tcase_add_test(t, the_entry_that_is_wanted_next_is_read_before_it_is_asked_for);
    tcase_add_test(t, what_would_not_be_kept_is_not_read_ahead);
    tcase_add_loop_test(t, what_outlives_the_log_is_spilled_whole_or_in_parts, 0, 4);
    tcase_add_test(t, a_purge_while_bodies_are_read_takes_the_messages_and_harms_nothing);
    tcase_add_test(t, credit_of_messages_that_vanished_serves_later_ones);
    tcase_add_test(t, who_waits_for_many_entries_does_not_hold_those_it_takes_little_of);
    tcase_add_test(t, what_is_kept_is_copied_only_out_of_entries_much_larger_than_it);
    tcase_add_test(t, what_is_applied_during_a_flush_counts_for_the_next);
    tcase_add_test(t, what_a_full_disk_refused_is_written_when_there_is_room_again);
    tcase_add_test(t, nobody_is_made_to_wait_for_a_full_disk_when_stopping);
    tcase_add_test(t, what_was_proposed_when_the_disk_failed_has_an_unknown_outcome);
    tcase_add_loop_test(t, an_installation_that_a_crash_interrupted_is_finished_at_the_next_start, 0, 2);
    tcase_add_test(t, what_was_staged_for_a_snapshot_that_was_never_taken_is_dropped);
    tcase_add_test(t, a_delay_begins_when_it_was_asked_for_though_the_disk_stalled_before);
    tcase_add_test(t, a_receive_without_visibility_is_given_though_it_had_to_wait);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
