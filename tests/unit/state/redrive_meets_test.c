/* What happens to a queue while a redrive's messages are on their way: another redrive, a purge, halted groups, the end of retention. */
#include "state/internal.h"
#include "state/redrive.h"
#include "state/rig.h"

enum { RETENTION_MS = 3600000 };

static struct rig rig;
static uint64_t from;
static uint64_t to;

static void setup(void)
{
    Hato__QueueSettings s = HATO__QUEUE_SETTINGS__INIT;
    s.has_retention_ms = 1;
    s.retention_ms = RETENTION_MS;
    rig_open(&rig);
    from = rig_create(&rig, RIG_NAME("from.fifo"), &s);
    to = rig_create(&rig, RIG_NAME("to.fifo"), NULL);
}

static void teardown(void)
{
    rig_close(&rig);
}

static void limit(uint64_t queue, uint64_t messages)
{
    Hato__QueueSettings s = HATO__QUEUE_SETTINGS__INIT;
    s.has_max_messages = 1;
    s.max_messages = messages;
    rig_set(&rig, queue, &s);
}

static void fill_up(uint64_t queue)
{
    limit(queue, 1);
    rig_send(&rig, queue, (struct rig_message){.body = "full", .group = "x"});
}

static void send(const char *group, const char *body)
{
    rig_send(&rig, from, (struct rig_message){.body = body, .group = group});
}

static void add_start(uint64_t queue, const char *destination, const char *reason, double rate)
{
    Hato__Log__RedriveStart c = HATO__LOG__REDRIVE_START__INIT;
    c.has_queue = c.has_rate = 1;
    c.queue = queue;
    c.rate = rate;
    c.destination = (char *)(uintptr_t)destination;
    c.reason = (char *)(uintptr_t)reason;
    rig_add(&rig, COMMAND_REDRIVE_START, &c.base);
}

static void add_cancel(uint64_t queue)
{
    Hato__Log__RedriveCancel c = HATO__LOG__REDRIVE_CANCEL__INIT;
    c.has_queue = 1;
    c.queue = queue;
    rig_add(&rig, COMMAND_REDRIVE_CANCEL, &c.base);
}

/* Until its first step. */
static void start(uint64_t queue, const char *destination, const char *reason, double rate)
{
    add_start(queue, destination, reason, rate);
    rig_commit(&rig);
    ck_assert_msg(rig_reply(&rig)->code == ERR_OK, "%s", rig_reply(&rig)->message);
    rig_commit(&rig);
}

static void cancel(uint64_t queue)
{
    add_cancel(queue);
    rig_commit(&rig);
    ck_assert_int_eq(rig_reply(&rig)->code, ERR_OK);
}

static void begin_again(void)
{
    rig_flush(&rig);
    rig_crash(&rig);
}

static struct redrive_view newest(uint64_t queue)
{
    struct redrive_view v = {0};
    ck_assert_uint_eq(machine_redrives(rig.m, queue, &v, 1), 1);
    return v;
}

static void run_out(void)
{
    for (int i = 0; i < 100 && newest(from).state == 0; i++) {
        rig_advance(&rig, 1000);
        rig_forward(&rig);
    }
    ck_assert_int_eq(newest(from).state, 1);
}

static void expect(uint64_t queue, const char *bodies)
{
    char all[128];
    snprintf(all, sizeof all, "%s", bodies);
    char *at = NULL;
    for (char *body = strtok_r(all, " ", &at); body != NULL; body = strtok_r(NULL, " ", &at)) {
        struct received got = rig_receive_one(&rig, queue, 60000);
        rig_expect_body(&rig, got.ref, body);
        ck_assert_int_eq(rig_ack(&rig, queue, &got), ERR_OK);
    }
    rig_receive_none(&rig, queue);
}

static void make_room(void)
{
    expect(to, "full");
    limit(to, 0);
}

/* ---------------------------------------------------------------- another redrive */

START_TEST(one_that_follows_waits_for_what_the_cancelled_one_moved)
{
    fill_up(to);
    send("a", "a1");
    start(from, RIG_NAME("to.fifo"), "", 0.0);
    cancel(from);
    send("b", "b1");
    send("a", "a2");
    start(from, RIG_NAME("to.fifo"), "", 0.0);
    begin_again();
    ck_assert_uint_eq(newest(from).moved, 0);
    ck_assert_uint_eq(newest(from).total, 3);
    ck_assert_uint_gt(machine_next_due_ms(rig.m), rig.now_ms);
    rig_forward_some(&rig, 1, 1); /* a1 is refused */
    make_room();
    run_out();
    ck_assert_uint_eq(newest(from).moved, 3);
    expect(to, "a1 b1 a2");
    expect(from, "");
}
END_TEST

START_TEST(what_is_turned_back_of_one_redrive_is_moved_by_the_next)
{
    fill_up(to);
    send("a", "a1");
    send("a", "a2");
    start(from, RIG_NAME("to.fifo"), "", 0.0);
    rig_forward_some(&rig, 1, 1); /* a1 is refused, a2 still on its way */
    cancel(from);
    make_room();
    start(from, RIG_NAME("to.fifo"), "", 0.0);
    run_out();
    ck_assert_uint_eq(newest(from).moved, 2);
    ck_assert_uint_eq(newest(from).skipped, 0);
    expect(to, "a1 a2");
}
END_TEST

START_TEST(those_begun_in_one_entry_have_their_own_ids)
{
    send("a", "a1");
    add_start(from, RIG_NAME("to.fifo"), "", 0.0);
    add_cancel(from);
    add_start(from, RIG_NAME("to.fifo"), "", 0.0);
    rig_commit(&rig);
    for (size_t i = 0; i < 3; i++)
        ck_assert_int_eq(rig.out.replies[i].code, ERR_OK);
    run_out();
    struct redrive_view v[2];
    ck_assert_uint_eq(machine_redrives(rig.m, from, v, 2), 2);
    ck_assert_str_ne(v[0].id, v[1].id);
    expect(to, "a1");
}
END_TEST

/* What is forgotten can't be waited for. */
START_TEST(none_is_forgotten_that_has_messages_on_their_way)
{
    send("a", "a1");
    for (int i = 0; i < REDRIVE_KEPT; i++) {
        start(from, RIG_NAME("to.fifo"), "", 0.0);
        cancel(from);
    }
    add_start(from, RIG_NAME("to.fifo"), "", 0.0);
    rig_commit(&rig);
    ck_assert_int_eq(rig_reply(&rig)->code, ERR_CONFLICT);
    ck_assert_ptr_nonnull(strstr(rig_reply(&rig)->message, "still on its way"));
    rig_forward(&rig);
    start(from, RIG_NAME("to.fifo"), "", 0.0);
    run_out();
    expect(to, "a1");
}
END_TEST

/* ---------------------------------------------------------------- the work it is */

/* Groups and the default lane, from the front and from the middle: no more is looked at in an entry than is promised, and nothing of it stays
 * in memory. */
START_TEST(what_moves_needs_no_memory_and_lets_nothing_before_it_be_opened)
{
    enum { MANY = 3000 };
    const char *const groups[] = {"a", ""};
    for (size_t g = 0; g < 2; g++) {
        uint64_t jobs = 0;
        Hato__QueueSettings s = HATO__QUEUE_SETTINGS__INIT;
        s.has_max_receives = 1;
        s.max_receives = 1;
        s.dead_letter_queue = (char *)(uintptr_t)RIG_NAME("from.fifo");
        jobs = rig_create(&rig, g == 0 ? RIG_NAME("jobs1.fifo") : RIG_NAME("jobs2.fifo"), &s);
        for (int i = 0; i < MANY; i++)
            send(groups[g], "x");
        rig_send(&rig, jobs, (struct rig_message){.body = "last", .group = groups[g]});
        struct received got = rig_receive_one(&rig, jobs, 60000);
        struct entry_lease l = rig_lease(&got);
        struct entry_settle in = {.queue = jobs, .count = 1, .error = bytes_text("slow")};
        entry_add_nack(rig_writer(&rig), &in, &l);
        rig_commit(&rig);
        rig_forward(&rig);
        begin_again();
        add_start(from, RIG_NAME("to.fifo"), "slow", 0.0);
        rig_commit(&rig);
        while (machine_next_due_ms(rig.m) <= rig.now_ms) {
            rig_commit(&rig);
            ck_assert_uint_eq(rig_keys(&rig, KEY_TOUCH), 0);
        }
        ck_assert_uint_eq(newest(from).moved, 1);
        run_out();
        expect(to, "last");
        rig_purge(&rig, from);
    }
}
END_TEST

START_TEST(what_is_refused_needs_no_memory)
{
    enum { MANY = 3000 };
    fill_up(to);
    for (int i = 0; i < MANY; i++) {
        char group[16];
        snprintf(group, sizeof group, "%d", i / 10);
        send(group, group);
    }
    start(from, RIG_NAME("to.fifo"), "", 0.0);
    while (newest(from).state == 0) {
        rig_advance(&rig, 1000);
        rig_forward_some(&rig, 5, 512);
    }
    ck_assert_uint_eq(newest(from).skipped, MANY);
    ck_assert_uint_eq(rig_keys(&rig, KEY_TOUCH), 0);
    begin_again();
    for (int i = 0; i < MANY; i++) {
        struct received got = rig_receive_one(&rig, from, 60000);
        ck_assert_uint_eq(got.receive_count, 1);
        ck_assert_int_eq(rig_ack(&rig, from, &got), ERR_OK);
    }
    rig_receive_none(&rig, from);
}
END_TEST

/* ---------------------------------------------------------------- what else may happen */

START_TEST(a_halted_group_stays_halted_when_it_is_refused)
{
    Hato__QueueSettings s = HATO__QUEUE_SETTINGS__INIT;
    s.has_max_receives = s.has_on_exhausted = 1;
    s.max_receives = 1;
    s.on_exhausted = HATO__ON_EXHAUSTED__HALT_GROUP;
    rig_set(&rig, from, &s);
    fill_up(to);
    send("a", "a1");
    send("a", "a2");
    struct received got = rig_receive_one(&rig, from, 60000);
    ck_assert_int_eq(rig_nack(&rig, from, &got, 0, false), ERR_OK);
    start(from, RIG_NAME("to.fifo"), "", 0.0);
    begin_again();
    ck_assert_uint_eq(rig_counts(&rig, from).halted_groups, 1);
    rig_forward(&rig);
    rig_commit(&rig);
    ck_assert_uint_eq(rig_counts(&rig, from).ready, 2);
    ck_assert_uint_eq(rig_counts(&rig, from).halted_groups, 1);
    rig_receive_none(&rig, from);
    make_room();
    start(from, RIG_NAME("to.fifo"), "", 0.0);
    run_out();
    expect(to, "a1 a2");
    rig_commit(&rig);
    ck_assert_uint_eq(rig_counts(&rig, from).halted_groups, 0);
}
END_TEST

START_TEST(what_was_purged_does_not_come_back_to_a_standard_queue)
{
    uint64_t q = rig_create(&rig, RIG_NAME("q"), NULL);
    uint64_t d = rig_create(&rig, RIG_NAME("d"), NULL);
    fill_up(d);
    rig_send(&rig, q, (struct rig_message){.body = "purged"});
    start(q, RIG_NAME("d"), "", 0.0);
    rig_purge(&rig, q);
    rig_send(&rig, q, (struct rig_message){.body = "sent since"});
    begin_again();
    rig_forward(&rig);
    rig_commit(&rig);
    struct queue_counts c = rig_counts(&rig, q);
    ck_assert_uint_eq(c.ready, 1);
    ck_assert_uint_eq(c.moving, 0);
    expect(d, "full");
    rig_expect_body(&rig, rig_receive_one(&rig, q, 60000).ref, "sent since");
}
END_TEST

START_TEST(a_redrive_meets_no_more_than_its_total)
{
    Hato__QueueSettings s = HATO__QUEUE_SETTINGS__INIT;
    s.has_max_receives = 1;
    s.max_receives = 1;
    s.dead_letter_queue = (char *)(uintptr_t)RIG_NAME("to.fifo");
    rig_set(&rig, from, &s);
    send("a", "a1");
    struct received got = rig_receive_one(&rig, from, 60000);
    ck_assert_int_eq(rig_nack(&rig, from, &got, 0, false), ERR_OK); /* it sets out for the dead-letter queue */
    start(from, RIG_NAME("other.fifo"), "", 0.0);
    ck_assert_uint_eq(newest(from).total, 1);
    ck_assert_uint_eq(newest(from).moved + newest(from).skipped, 1);
}
END_TEST

static void end_retention(const char *group, bool refused)
{
    struct rig_message several[] = {
        {.body = "1", .group = group}, {.body = "2", .group = group}, {.body = "3", .group = group}};
    uint64_t expired = rig_counts(&rig, from).expired_total;
    if (refused)
        fill_up(to);
    rig_add_send(&rig, from, several, 3, 0, 0);
    rig_commit(&rig);
    start(from, RIG_NAME("to.fifo"), "", 0.001); /* one is moved */
    ck_assert_uint_eq(newest(from).moved, 1);
    cancel(from);
    rig_advance(&rig, RETENTION_MS);
    begin_again();
    ck_assert_uint_eq(rig_counts(&rig, from).ready, 0);
    ck_assert_uint_eq(rig_counts(&rig, from).moving, 1);
    ck_assert_uint_eq(rig_counts(&rig, from).expired_total, expired + 2);
    rig_forward(&rig);
    rig_advance(&rig, 1);
    begin_again();
    ck_assert_uint_eq(rig_counts(&rig, from).expired_total, expired + 2 + refused);
    ck_assert_uint_eq(rig_counts(&rig, from).bytes, 0);
    expect(to, refused ? "full" : "1");
    limit(to, 0);
    send(group, "next");
    expect(from, "next");
}

START_TEST(what_stays_expires_and_what_is_on_its_way_when_it_is_back)
{
    end_retention("a", false);
    end_retention("", false);
    end_retention("a", true);
    end_retention("", true);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        one_that_follows_waits_for_what_the_cancelled_one_moved,
        what_is_turned_back_of_one_redrive_is_moved_by_the_next,
        those_begun_in_one_entry_have_their_own_ids,
        none_is_forgotten_that_has_messages_on_their_way,
        what_moves_needs_no_memory_and_lets_nothing_before_it_be_opened,
        what_is_refused_needs_no_memory,
        a_halted_group_stays_halted_when_it_is_refused,
        what_was_purged_does_not_come_back_to_a_standard_queue,
        a_redrive_meets_no_more_than_its_total,
        what_stays_expires_and_what_is_on_its_way_when_it_is_back,
    };
    return rig_main("state/redrive_meets", tests, sizeof tests / sizeof tests[0], setup, teardown);
}
