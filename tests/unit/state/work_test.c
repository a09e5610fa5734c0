/* Nothing is gone over again and again: what all entries together read in order grows as the messages do, however they lie. */
#include "state/internal.h"
#include "state/rig.h"

enum {
    MESSAGES = 3000, /* each in a chunk of its own */
    FOR_EACH = 4,    /* keys gone over for one of them */
    ROUNDS_MAX = 100000,
};

static struct rig rig;
static uint64_t queue;
static uint64_t walked_all;

static void setup(void)
{
    rig_open(&rig);
    queue = rig_create(&rig, RIG_NAME("jobs"), NULL);
    walked_all = 0;
}

static void teardown(void)
{
    rig_close(&rig);
}

static void commit(void)
{
    rig_commit(&rig);
    walked_all += rig.walked;
}

static void expect_little(uint64_t messages)
{
    ck_assert_uint_gt(walked_all, 0); /* else this RocksDB doesn't count */
    ck_assert_msg(walked_all <= messages * FOR_EACH, "%llu keys for %llu messages", (unsigned long long)walked_all,
                  (unsigned long long)messages);
}

/* As after a restart: the lanes are in the store alone. */
static void store_all(void)
{
    rig_flush(&rig);
    rig_load_again(&rig);
}

static void fill(uint64_t to, const char *group, int count)
{
    for (int i = 0; i < count; i++) {
        rig_send(&rig, to, (struct rig_message){.body = "x", .group = group});
        walked_all += rig.walked;
    }
}

static void send_later(int count, uint64_t at_ms, uint64_t apart_ms)
{
    for (int i = 0; i < count; i++)
        rig_send(&rig, queue, (struct rig_message){.body = "x", .not_before_ms = at_ms + (uint64_t)i * apart_ms});
}

/* Receives what there is, acks it, and counts it. */
static size_t take(uint32_t max)
{
    rig_receive(&rig, queue, max, 60000);
    walked_all += rig.walked;
    size_t count = rig_reply(&rig)->count;
    struct entry_lease leases[100];
    ck_assert_uint_le(count, 100);
    for (size_t i = 0; i < count; i++)
        leases[i] = rig_lease(&rig_reply(&rig)->received[i]);
    entry_add_ack(rig_writer(&rig), queue, leases, (uint32_t)count);
    commit();
    return count;
}

static void cancel_after(uint64_t of, uint64_t after, uint32_t at_once)
{
    struct arena arena = {0};
    uint64_t ids[100];
    for (;;) {
        struct peeked *seen;
        size_t count;
        uint64_t next;
        ck_assert_uint_le(at_once, 100);
        ck_assert_int_eq(machine_peek(rig.m, of, after, PEEK_ALL, NULL, at_once, &arena, &seen, &count, &next, NULL),
                         ERR_OK);
        for (size_t i = 0; i < count; i++)
            after = ids[i] = seen[i].sequence;
        arena_reset(&arena);
        if (count == 0)
            break;
        entry_add_cancel(rig_writer(&rig), of, ids, (uint32_t)count);
        commit();
    }
    arena_close(&arena);
}

/* How many messages there are behind one. */
static size_t browse(uint64_t of, uint64_t after)
{
    struct arena arena = {0};
    struct peeked *seen;
    size_t count;
    uint64_t next;
    ck_assert_int_eq(machine_peek(rig.m, of, after, PEEK_ALL, NULL, 100, &arena, &seen, &count, &next, NULL), ERR_OK);
    arena_close(&arena);
    return count;
}

static void redrive(const char *destination, double rate)
{
    Hato__Log__RedriveStart c = HATO__LOG__REDRIVE_START__INIT;
    c.has_queue = c.has_rate = 1;
    c.queue = queue;
    c.destination = (char *)(uintptr_t)destination;
    c.rate = rate;
    rig_add(&rig, COMMAND_REDRIVE_START, &c.base);
    commit();
    ck_assert_int_eq(rig_reply(&rig)->code, ERR_OK);
}

static void commit_until_empty(uint64_t ms_apart)
{
    for (int i = 0; rig_counts(&rig, queue).ready > 0; i++) {
        ck_assert_int_lt(i, ROUNDS_MAX);
        rig.now_ms += ms_apart;
        commit();
    }
}

START_TEST(a_backlog_of_a_group_that_expires_is_gone_over_once)
{
    fill(queue, "g", MESSAGES);
    store_all();
    Hato__QueueSettings s = HATO__QUEUE_SETTINGS__INIT;
    s.has_retention_ms = 1;
    s.retention_ms = 60000;
    rig.now_ms += 70000;
    rig_set(&rig, queue, &s);
    commit_until_empty(0);
    expect_little(MESSAGES);
}
END_TEST

START_TEST(a_backlog_that_is_cancelled_in_order_is_gone_over_once)
{
    uint64_t grouped = rig_create(&rig, RIG_NAME("grouped"), NULL);
    fill(queue, NULL, MESSAGES);
    fill(grouped, "g", MESSAGES);
    store_all();
    cancel_after(queue, 0, 100);
    expect_little(MESSAGES);
    cancel_after(grouped, 0, 100);
    expect_little((uint64_t)2 * MESSAGES);
}
END_TEST

START_TEST(a_backlog_that_is_redriven_is_gone_over_once)
{
    rig_create(&rig, RIG_NAME("other"), NULL);
    fill(queue, NULL, MESSAGES);
    fill(queue, "g", MESSAGES);
    store_all();
    redrive(RIG_NAME("other"), 0);
    commit_until_empty(0);
    expect_little((uint64_t)2 * MESSAGES);
}
END_TEST

/* The default lane's chunks and the others' lie apart: a redrive goes over both at once, from where it was. */
START_TEST(a_slow_redrive_goes_once_over_what_is_gone)
{
    rig_create(&rig, RIG_NAME("other"), NULL);
    uint64_t last = 0;
    for (int i = 0; i < 500; i++)
        last = rig_send(&rig, queue, (struct rig_message){.body = "x"});
    fill(queue, "g", MESSAGES);
    store_all();
    cancel_after(queue, last, 100);
    walked_all = 0;
    redrive(RIG_NAME("other"), 100);
    commit_until_empty(10);
    expect_little(MESSAGES + 500);
}
END_TEST

START_TEST(how_old_a_backlog_is_may_be_asked_often)
{
    fill(queue, "g", MESSAGES);
    uint64_t last_ms = rig.now_ms += 1000;
    fill(queue, "g", 1);
    store_all();
    for (int left = MESSAGES; left > 0; left -= 100)
        ck_assert_uint_eq(take(100), 100);
    store_all();
    walked_all = 0;
    uint64_t before = walked();
    for (int i = 0; i < 100; i++)
        ck_assert_uint_eq(machine_queue_oldest_ms(rig.m, queue), last_ms);
    walked_all += walked() - before;
    expect_little(MESSAGES + 100);
}
END_TEST

/* Who browses from the last message on, or from beyond it, finds nothing gone there that is worth knowing. */
START_TEST(how_old_a_backlog_is_may_be_asked_often_while_its_end_is_browsed)
{
    fill(queue, "g", MESSAGES);
    uint64_t last_ms = rig.now_ms += 1000;
    uint64_t last = rig_send(&rig, queue, (struct rig_message){.body = "x", .group = "g"});
    store_all();
    for (int left = MESSAGES; left > 0; left -= 100)
        ck_assert_uint_eq(take(100), 100);
    store_all();
    walked_all = 0;
    uint64_t before = walked();
    for (int i = 0; i < 100; i++) {
        ck_assert_uint_eq(machine_queue_oldest_ms(rig.m, queue), last_ms);
        ck_assert_uint_eq(browse(queue, i % 2 == 0 ? last - 1 : UINT64_MAX), i % 2 == 0);
    }
    walked_all += walked() - before;
    expect_little(MESSAGES + 200);
}
END_TEST

static void purge_often(int times)
{
    for (int i = 0; i < times; i++)
        ck_assert_uint_eq(rig_purge(&rig, queue), 0);
}

/* Deleted ranges are looked at by all that read among them, until they are flushed away. */
START_TEST(purging_what_is_empty_leaves_nothing_to_go_over)
{
    rig_send(&rig, queue, (struct rig_message){.body = "x", .delay_ms = 1000});
    ck_assert_uint_eq(rig_purge(&rig, queue), 1);
    uint32_t before = store_batch_count(rig.m->keys.pending);
    purge_often(100);
    ck_assert_uint_le(store_batch_count(rig.m->keys.pending), before);
}
END_TEST

START_TEST(queues_that_come_and_go_leave_no_more_than_their_keys)
{
    enum { QUEUES = 100, KEYS_EACH = 2 };
    uint32_t before = store_batch_count(rig.m->keys.pending);
    for (int i = 0; i < QUEUES; i++)
        rig_delete(&rig, rig_create(&rig, RIG_NAME("passing"), NULL));
    ck_assert_uint_le(store_batch_count(rig.m->keys.pending) - before, QUEUES * KEYS_EACH);
}
END_TEST

START_TEST(what_is_swept_of_one_sort_goes_once_over_what_is_gone_of_the_other)
{
    enum { SWEPT = 20000, AT_ONCE = 1000 };
    fill(queue, NULL, MESSAGES);
    store_all();
    cancel_after(queue, 0, 100);
    walked_all = 0;
    static struct rig_message in[AT_ONCE];
    static char groups[AT_ONCE][8];
    for (int i = 0; i < AT_ONCE; i++) {
        snprintf(groups[i], sizeof groups[i], "%d", i);
        in[i] = (struct rig_message){.body = "x", .group = groups[i]};
    }
    for (int i = 0; i < SWEPT; i += AT_ONCE) {
        rig_add_send(&rig, queue, in, AT_ONCE, 0, 0);
        commit();
    }
    rig_purge(&rig, queue);
    for (int i = 0; machine_next_due_ms(rig.m) <= rig.now_ms; i++) {
        ck_assert_int_lt(i, ROUNDS_MAX);
        commit();
    }
    ck_assert_uint_eq(rig_keys(&rig, KEY_CHUNK), 0);
    expect_little(MESSAGES + SWEPT);
}
END_TEST

START_TEST(what_is_due_at_one_time_is_gone_over_once)
{
    enum { MANY = 6000 }; /* more than are made ready ahead of being received */
    send_later(MANY, rig.now_ms + 100000, 0);
    store_all();
    rig.now_ms += 100000;
    for (size_t taken = 0, n; taken < MANY; taken += n) {
        n = take(50);
        ck_assert_uint_gt(n, 0);
    }
    expect_little(MANY);
}
END_TEST

START_TEST(what_is_put_off_by_little_goes_once_over_what_was_cancelled)
{
    fill(queue, NULL, 1);
    send_later(MESSAGES, rig.now_ms + 100000000, 1);
    store_all();
    struct received got = rig_receive_one(&rig, queue, 60000);
    cancel_after(queue, 0, 100);
    walked_all = 0;
    for (int i = 0; i < 500; i++) {
        ck_assert_int_eq(rig_nack(&rig, queue, &got, 1000, false), ERR_OK);
        walked_all += rig.walked;
        rig.now_ms += 1000;
        got = rig_receive_one(&rig, queue, 60000);
        walked_all += rig.walked;
    }
    expect_little(MESSAGES + 500);
}
END_TEST

/* Whenever retention is looked at, what nobody has received yet is young still. */
START_TEST(retention_goes_once_over_what_was_received)
{
    Hato__QueueSettings s = HATO__QUEUE_SETTINGS__INIT;
    s.has_retention_ms = 1;
    s.retention_ms = 60000;
    rig_set(&rig, queue, &s);
    fill(queue, "g", MESSAGES);
    store_all();
    while (take(100) > 0)
        ;
    walked_all = 0;
    for (int i = 0; i < 200; i++) {
        rig.now_ms += 30000;
        fill(queue, "g", 1);
        if (i > 0)
            take(1);
    }
    expect_little(MESSAGES + 400);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_backlog_of_a_group_that_expires_is_gone_over_once,
        a_backlog_that_is_cancelled_in_order_is_gone_over_once,
        a_backlog_that_is_redriven_is_gone_over_once,
        a_slow_redrive_goes_once_over_what_is_gone,
        how_old_a_backlog_is_may_be_asked_often,
        how_old_a_backlog_is_may_be_asked_often_while_its_end_is_browsed,
        purging_what_is_empty_leaves_nothing_to_go_over,
        queues_that_come_and_go_leave_no_more_than_their_keys,
        what_is_swept_of_one_sort_goes_once_over_what_is_gone_of_the_other,
        what_is_due_at_one_time_is_gone_over_once,
        what_is_put_off_by_little_goes_once_over_what_was_cancelled,
        retention_goes_once_over_what_was_received,
    };
    return rig_main("state/work", tests, sizeof tests / sizeof tests[0], setup, teardown);
}
