/* A store that refuses writes for a while: what was acknowledged stays, and the shard goes on by itself. */
#include "shard/rig.h"

enum { MESSAGES = 3, ENOUGH_TICKS = 50, ENOUGH_MESSAGES = 150 /* for an extent that is dropped when all is dead */ };

static const char Q[] = "000000000000:us-east-1:q", OTHER[] = "000000000000:us-east-1:other";

static bool rests(void)
{
    struct shard_status status;
    shard_status(shard, &status);
    return strcmp(status.role, "resting") == 0;
}

static void flush_all(void)
{
    uint64_t mark = shard_flush_mark(shard);
    if (store_flush(store, STORE_STATE, NULL) == ERR_OK)
        shard_flushed(shard, mark);
}

/* What the node does each second. */
static void keep_up(int times)
{
    for (int i = 0; i < times; i++) {
        shard_upkeep(shard);
        run_works(0);
        flush_all();
        tick();
    }
}

static void receive(uint64_t queue, struct consumer *c, uint32_t count)
{
    *c = consumer_of(queue, count, true);
    delivered = 0;
    ck_assert_int_eq(shard_consumer_open(shard, c, NULL), ERR_OK);
    step();
    for (int i = 0; i < 4 && work_count > 0; i++)
        run_works(0);
}

/* The sweep that follows a purge reads the store, so what is pending has to be written first. */
static void rest_by_a_purge(uint64_t queue)
{
    struct answer a;
    start_send(&a, queue);
    step();
    a = waiting();
    Hato__Log__QueuePurge command = HATO__LOG__QUEUE_PURGE__INIT;
    command.has_queue = true;
    command.queue = queue;
    give(&a, COMMAND_QUEUE_PURGE, &command.base);
    step();
    for (int i = 0; i < ENOUGH_TICKS && !rests(); i++)
        tick();
    ck_assert(rests());
}

static void revive(void)
{
    store_env_fill(store_env, false);
    for (int i = 0; i < ENOUGH_TICKS && !shard_leads(shard); i++)
        tick();
    ck_assert_str_eq(shard_problem(shard), "");
    ck_assert(shard_leads(shard));
}

static void on_others(struct log_write *w, int code)
{
    (void)w;
    ck_assert_int_eq(code, ERR_OK);
}

/* Another shard fills the log far beyond its window. */
static void others_outgrow_the_log(void)
{
    struct log_group *group = log_group(log_, 2, port);
    struct log_write w;
    for (uint64_t bytes = 0; bytes < UINT64_C(2) * WINDOW; bytes += BODY) {
        struct buffer body = {0};
        memset(buffer_reserve(&body, BODY), (int)bytes, BODY);
        body.len = BODY;
        struct blob *owner = blob_adopt(&body);
        struct log_entry entry = {.index = log_last(group) + 1, .term = 1, .data = blob_view(owner), .owner = owner};
        w = (struct log_write){.entries = &entry, .entries_n = 1, .done = on_others};
        log_submit(group, &w);
        step();
        blob_unref(owner);
    }
}

/* 0: the store is full only when nobody speaks. 1: also when somebody does. */
START_TEST(acknowledged_messages_outlive_a_full_store_and_the_log)
{
    open_shard();
    uint64_t queue = make_queue(Q), other = make_queue(OTHER);
    flush_all();
    for (int i = 0; i < MESSAGES; i++)
        send_one(queue);
    struct shard_status status;
    shard_status(shard, &status);
    store_env_fill(store_env, true);
    keep_up(2);
    if (_i == 1) {
        rest_by_a_purge(other);
        keep_up(2);
        revive();
    }
    store_env_fill(store_env, false);
    others_outgrow_the_log();
    keep_up(5);
    ck_assert_uint_gt(log_first(log_group(log_, 1, port)), status.applied);
    struct consumer c;
    receive(queue, &c, MESSAGES);
    ck_assert_uint_eq(delivered, MESSAGES);
    ck_assert_str_eq(shard_problem(shard), "");
    close_shard();
}
END_TEST

/* Each round spills one file and then finds no room: the next goes on where it ended. */
START_TEST(a_store_that_takes_a_file_at_a_time_gets_all_of_them)
{
    open_shard();
    uint64_t queue = make_queue(Q);
    for (int i = 0; i < MESSAGES; i++)
        send_one(queue);
    struct shard_status status;
    shard_status(shard, &status);
    uint64_t all = status.applied;
    flush_all();
    others_outgrow_the_log();
    struct log_group *group = log_group(log_, 1, port);
    enum { FILES = MESSAGES * BODY / SPILL_FILE + 1 };
    for (int round = 0; round < FILES; round++) {
        store_env_fill_after(store_env, 1);
        shard_upkeep(shard);
        run_works(0);
        tick();
    }
    ck_assert_uint_gt(log_first(group), all);
    store_env_fill(store_env, false);
    struct consumer c;
    receive(queue, &c, MESSAGES);
    ck_assert_uint_eq(delivered, MESSAGES);
    close_shard();
}
END_TEST

/* The spill is listed, and the store fills up before its bodies are written; or before it is listed. */
START_TEST(what_is_not_spilled_stays_in_the_log)
{
    open_shard();
    uint64_t queue = make_queue(Q), other = make_queue(OTHER);
    flush_all();
    for (int i = 0; i < MESSAGES; i++)
        send_one(queue);
    others_outgrow_the_log();
    store_env_fill(store_env, _i == 0);
    shard_upkeep(shard);
    store_env_fill(store_env, true);
    run_works(0);
    rest_by_a_purge(other);
    revive();
    keep_up(5);
    struct consumer c;
    receive(queue, &c, MESSAGES);
    ck_assert_uint_eq(delivered, MESSAGES);
    ck_assert_str_eq(shard_problem(shard), "");
    close_shard();
}
END_TEST

static size_t peek(uint64_t queue, uint64_t sequences[MESSAGES], int *code)
{
    struct arena arena = {0};
    struct peeked *found;
    size_t count;
    uint64_t next;
    struct error e = {0};
    *code = machine_peek(shard_machine(shard), queue, 0, PEEK_ALL, NULL, MESSAGES, &arena, &found, &count, &next, &e);
    for (size_t i = 0; i < count; i++)
        sequences[i] = found[i].sequence;
    arena_close(&arena);
    return count;
}

START_TEST(a_purge_on_a_full_store_is_finished_when_there_is_space)
{
    open_shard();
    uint64_t queue = make_queue(Q), sequences[MESSAGES];
    int code;
    for (int i = 0; i < MESSAGES; i++)
        send_one(queue);
    ck_assert_uint_eq(peek(queue, sequences, &code), MESSAGES);
    flush_all();
    struct answer a = waiting();
    ck_assert_int_eq(shard_cancel(shard, &a.command, queue, sequences + 1, 1, NULL), ERR_OK);
    step();
    ck_assert_int_eq(a.code, ERR_OK);
    store_env_fill(store_env, true);
    rest_by_a_purge(queue);
    struct answer refused = waiting();
    struct error e = {0};
    ck_assert_int_eq(shard_cancel(shard, &refused.command, queue, sequences, 1, &e), ERR_STORAGE_FULL);
    revive();
    keep_up(2);
    struct queue_view q;
    ck_assert(machine_queue_get(shard_machine(shard), queue, &q));
    ck_assert_uint_eq(q.counts.ready, 0);
    ck_assert_uint_eq(machine_first_live(shard_machine(shard)), machine_applied(shard_machine(shard)) + 1);
    close_shard();
}
END_TEST

START_TEST(a_look_at_a_full_store_does_no_harm)
{
    open_shard();
    uint64_t queue = make_queue_that_gives_up(Q, OTHER), sequences[MESSAGES];
    send_one(queue);
    flush_all();
    receive_one(queue);
    nack_last(queue);
    store_env_fill(store_env, true);
    int code;
    ck_assert_uint_eq(peek(queue, sequences, &code), 0);
    ck_assert_int_eq(code, ERR_STORAGE_FULL);
    run_works(0);
    for (int i = 0; i < ENOUGH_TICKS; i++)
        tick();
    ck_assert_str_eq(shard_problem(shard), "");
    store_env_fill(store_env, false);
    keep_up(2);
    struct queue_view dead, q;
    ck_assert(machine_queue_find(shard_machine(shard), OTHER, &dead));
    ck_assert(machine_queue_get(shard_machine(shard), queue, &q));
    ck_assert_uint_eq(dead.counts.ready, 1);
    ck_assert_uint_eq(q.counts.moving, 0);
    ck_assert_uint_eq(peek(queue, sequences, &code), 0);
    ck_assert_int_eq(code, ERR_OK);
    close_shard();
}
END_TEST

static size_t bodies_in_store(void)
{
    struct key from = key_of(1, KEY_BODY), to = key_after(&from);
    struct store_iterator *i = store_iterate(store, STORE_BODIES, key_view(&from), key_view(&to), NULL);
    size_t n = 0;
    for (; store_iterator_valid(i); store_iterator_next(i))
        n++;
    store_iterator_close(i);
    return n;
}

START_TEST(spilled_bodies_that_a_full_store_could_not_drop_are_dropped_later)
{
    open_shard();
    uint64_t queue = make_queue(Q), other = make_queue(OTHER);
    for (int i = 0; i < MESSAGES; i++)
        send_one(queue);
    outgrow_the_log(other, 0);
    ck_assert_uint_gt(bodies_in_store(), 0);
    for (int i = 0; i < ENOUGH_MESSAGES; i++)
        send_one(other);
    purge(other);
    purge(queue);
    flush_all();
    store_env_fill(store_env, true);
    for (int i = 0; i < 2; i++) {
        shard_upkeep(shard);
        run_works(0);
    }
    ck_assert_uint_gt(bodies_in_store(), 0);
    ck_assert_str_eq(shard_problem(shard), "");
    store_env_fill(store_env, false);
    keep_up(2);
    ck_assert_uint_eq(bodies_in_store(), 0);
    close_shard();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("revive");
    TCase *t = tcase_create("revive");
    tcase_add_loop_test(t, acknowledged_messages_outlive_a_full_store_and_the_log, 0, 2);
    tcase_add_test(t, a_store_that_takes_a_file_at_a_time_gets_all_of_them);
    tcase_add_loop_test(t, what_is_not_spilled_stays_in_the_log, 0, 2);
    tcase_add_test(t, a_purge_on_a_full_store_is_finished_when_there_is_space);
    tcase_add_test(t, a_look_at_a_full_store_does_no_harm);
    tcase_add_test(t, spilled_bodies_that_a_full_store_could_not_drop_are_dropped_later);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
