/* What a redrive moves of a FIFO queue keeps its place until the other queue has it, so its group's order holds whatever the answers. */
#include "state/rig.h"

enum { WAIT_MS = 10000, RETENTION_MS = 3600000 };

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

static void limit(uint64_t messages, uint64_t bytes)
{
    Hato__QueueSettings s = HATO__QUEUE_SETTINGS__INIT;
    s.has_max_messages = s.has_max_bytes = 1;
    s.max_messages = messages;
    s.max_bytes = bytes;
    rig_set(&rig, to, &s);
}

static void send(const char *group, const char *body)
{
    rig_send(&rig, from, (struct rig_message){.body = body, .group = group});
}

static void start_to(const char *destination, const char *reason)
{
    Hato__Log__RedriveStart c = HATO__LOG__REDRIVE_START__INIT;
    c.has_queue = 1;
    c.queue = from;
    c.destination = (char *)(uintptr_t)destination;
    c.reason = (char *)(uintptr_t)reason;
    rig_add(&rig, COMMAND_REDRIVE_START, &c.base);
    rig_commit(&rig);
    ck_assert_msg(rig_reply(&rig)->code == ERR_OK, "%s", rig_reply(&rig)->message);
    rig_commit(&rig); /* its first step */
}

static void start(const char *reason)
{
    start_to(RIG_NAME("to.fifo"), reason);
}

static struct redrive_view newest(void)
{
    struct redrive_view v;
    ck_assert_uint_eq(machine_redrives(rig.m, from, &v, 1), 1);
    return v;
}

static void begin_again(void)
{
    rig_flush(&rig);
    rig_crash(&rig);
}

static void forward(size_t rounds, size_t max)
{
    begin_again();
    rig_forward_some(&rig, rounds, max);
    begin_again();
}

/* Receives and acks `bodies` ("a b c"), one after the other, and then nothing. */
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

static void run_out(void)
{
    for (int i = 0; i < 100 && newest().state == 0; i++) {
        rig_advance(&rig, 1000);
        rig_forward(&rig);
    }
    ck_assert_int_eq(newest().state, 1);
}

START_TEST(what_is_on_its_way_keeps_its_place_and_its_group_waits)
{
    send("a", "a1");
    send("a", "a2");
    send("b", "b1");
    start("");
    begin_again();
    struct queue_counts c = rig_counts(&rig, from);
    ck_assert_uint_eq(c.moving, 3);
    ck_assert_uint_eq(c.ready, 0);
    send("a", "a3");
    rig_receive_none(&rig, from);
    ck_assert_int_eq(newest().state, 0);
    forward(1, 2);
    ck_assert_int_eq(newest().state, 0);
    expect(from, "a3"); /* both before it have arrived */
    forward(1, 2);
    c = rig_counts(&rig, from);
    ck_assert_uint_eq(c.moving, 0);
    ck_assert_uint_eq(c.dead_lettered_total, 0);
    ck_assert_int_eq(newest().state, 1);
    ck_assert_uint_eq(newest().moved, 3);
    expect(to, "a1 b1 a2"); /* groups take turns */
}
END_TEST

/* The queue has room for one, and is emptied as soon as it was refused another. */
START_TEST(what_lies_behind_a_refused_one_comes_back_too)
{
    limit(1, 0);
    send("a", "a1");
    send("a", "a2");
    send("b", "b1");
    send("a", "a3");
    send("a", "a4");
    start("");
    forward(1, 2);
    ck_assert_uint_eq(rig_counts(&rig, from).moving, 3);
    rig_receive_none(&rig, from); /* a2 is back, a3 on its way */
    limit(0, 0);
    expect(to, "a1");
    forward(SIZE_MAX, 1);
    expect(to, "b1");
    run_out();
    ck_assert_uint_eq(newest().moved, 2);
    ck_assert_uint_eq(newest().skipped, 3);
    start("");
    forward(SIZE_MAX, 1);
    expect(to, "a2 a3 a4");
    expect(from, "");
}
END_TEST

START_TEST(a_small_one_does_not_pass_a_large_one)
{
    char large[2000];
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    limit(0, 1500);
    send("a", large);
    send("a", "a2");
    send("b", "b1");
    start("");
    forward(SIZE_MAX, 100);
    expect(to, "b1");
    rig_expect_body(&rig, rig_receive_one(&rig, from, 60000).ref, large);
}
END_TEST

/* The same items come with others behind them, as from a leader that does not know the answer yet. */
START_TEST(an_answer_given_before_counts_for_what_comes_behind_it)
{
    limit(1, 0);
    rig_send(&rig, to, (struct rig_message){.body = "full", .group = "x"});
    send("a", "a1");
    send("a", "a2");
    start("");
    begin_again();
    Hato__Log__Settled nothing = HATO__LOG__SETTLED__INIT;
    nothing.has_target = nothing.has_upto = 1;
    nothing.target = rig.shard;
    size_t at = rig.count;
    rig_forward_some(&rig, 1, 1); /* an Accept and its Settled; only the first was committed */
    rig.count--;
    buffer_close(&rig.entries[at + 1].payload);
    rig_load_again(&rig);
    while (machine_applied(rig.m) < rig.count)
        ck_assert_int_eq(rig_apply(&rig, NULL), ERR_OK);
    rig_add(&rig, COMMAND_SETTLED, &nothing.base);
    rig_commit(&rig);
    limit(0, 0);
    forward(SIZE_MAX, 100);
    expect(to, "full");
    expect(from, "a1 a2");
}
END_TEST

START_TEST(it_rests_after_a_refusal_and_leaves_the_group)
{
    enum { MANY = 5000 };
    limit(1, 0);
    rig_send(&rig, to, (struct rig_message){.body = "full", .group = "x"});
    rig_send_many(&rig, from, "a", MANY);
    rig_send(&rig, from, (struct rig_message){.body = "b1", .group = "b"});
    start("");
    forward(SIZE_MAX, 1000);
    uint64_t skipped = newest().skipped;
    ck_assert_uint_gt(skipped, 0);
    ck_assert_uint_lt(skipped, MANY);
    ck_assert_uint_eq(newest().moved, 0);
    limit(0, 0);
    rig_advance(&rig, WAIT_MS - 1);
    ck_assert_uint_eq(newest().moved, 0);
    ck_assert_uint_eq(newest().skipped, skipped);
    run_out();
    expect(to, "full b1");
    ck_assert_uint_eq(newest().skipped, MANY);
    for (int i = 0; i < MANY; i++) {
        char body[16];
        snprintf(body, sizeof body, "%d", i);
        struct received got = rig_receive_one(&rig, from, 60000);
        rig_expect_body(&rig, got.ref, body);
        ck_assert_int_eq(rig_ack(&rig, from, &got), ERR_OK);
    }
}
END_TEST

/* A queue whose dead letters come to `from`. */
static uint64_t create_source(const char *name)
{
    Hato__QueueSettings s = HATO__QUEUE_SETTINGS__INIT;
    s.has_max_receives = s.has_max_messages = 1;
    s.max_receives = 1;
    s.max_messages = 1;
    s.dead_letter_queue = (char *)(uintptr_t)RIG_NAME("from.fifo");
    return rig_create(&rig, name, &s);
}

static void send_dead(uint64_t source, const char *body, const char *error)
{
    rig_send(&rig, source, (struct rig_message){.body = body});
    struct received got = rig_receive_one(&rig, source, 60000);
    struct entry_lease l = rig_lease(&got);
    struct entry_settle in = {.queue = source, .count = 1, .error = bytes_text(error)};
    entry_add_nack(rig_writer(&rig), &in, &l);
    rig_commit(&rig);
    rig_forward(&rig);
}

START_TEST(what_goes_elsewhere_arrives_though_one_before_it_was_refused)
{
    uint64_t full = create_source(RIG_NAME("full.fifo"));
    uint64_t empty = create_source(RIG_NAME("empty.fifo"));
    send_dead(full, "m1", "");
    send_dead(empty, "m2", "");
    rig_send(&rig, full, (struct rig_message){.body = "full"});
    start_to("", "");
    forward(SIZE_MAX, 100);
    expect(empty, "m2");
    expect(full, "full");
    run_out();
    ck_assert_uint_eq(newest().skipped, 1);
    start_to("", "");
    forward(SIZE_MAX, 100);
    expect(full, "m1");
}
END_TEST

/* Messages without a group lie in the default lane, which is read in order: those passed over for their reason are opened with it. */
START_TEST(what_has_another_reason_is_found_again)
{
    uint64_t jobs = create_source(RIG_NAME("jobs.fifo"));
    const char *bodies[] = {"m0", "m1", "m2", "m3", "m4", "m5"};
    for (size_t i = 0; i < 6; i++)
        send_dead(jobs, bodies[i], i % 3 == 2 ? "slow" : "bad");
    limit(1, 0);
    start("slow");
    forward(SIZE_MAX, 1);
    limit(0, 0);
    run_out();
    ck_assert_uint_eq(newest().moved, 1);
    expect(to, "m2");
    begin_again();
    expect(from, "m0 m1 m3 m4 m5");
    ck_assert_uint_eq(rig_keys(&rig, KEY_CHUNK), 0);
}
END_TEST

START_TEST(a_purge_takes_what_is_on_its_way)
{
    send("a", "a1");
    start("");
    begin_again();
    ck_assert_uint_eq(rig_purge(&rig, from), 1);
    forward(SIZE_MAX, 1);
    ck_assert_uint_eq(rig_counts(&rig, to).ready, 0);
    ck_assert_uint_eq(rig_counts(&rig, from).moving, 0);
    ck_assert_int_eq(newest().state, 1);
    ck_assert_uint_eq(newest().moved, 0);
    while (machine_next_due_ms(rig.m) <= rig.now_ms)
        rig_commit(&rig);
    ck_assert_uint_eq(machine_first_live(rig.m), machine_applied(rig.m) + 1);
}
END_TEST

START_TEST(what_comes_back_expires_when_its_time_is_over)
{
    limit(1, 0);
    rig_send(&rig, to, (struct rig_message){.body = "full", .group = "x"});
    send("a", "a1");
    start("");
    rig_advance(&rig, RETENTION_MS / 2);
    forward(SIZE_MAX, 1);
    rig_advance(&rig, RETENTION_MS / 2 - 1);
    ck_assert_uint_eq(rig_counts(&rig, from).ready, 1);
    rig_advance(&rig, 1);
    ck_assert_uint_eq(rig_counts(&rig, from).ready, 0);
    ck_assert_uint_eq(rig_counts(&rig, from).expired_total, 1);
    ck_assert_uint_eq(rig_counts(&rig, from).bytes, 0);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        what_is_on_its_way_keeps_its_place_and_its_group_waits,
        what_lies_behind_a_refused_one_comes_back_too,
        a_small_one_does_not_pass_a_large_one,
        an_answer_given_before_counts_for_what_comes_behind_it,
        it_rests_after_a_refusal_and_leaves_the_group,
        what_goes_elsewhere_arrives_though_one_before_it_was_refused,
        what_has_another_reason_is_found_again,
        a_purge_takes_what_is_on_its_way,
        what_comes_back_expires_when_its_time_is_over,
    };
    return rig_main("state/redrive_fifo", tests, sizeof tests / sizeof tests[0], setup, teardown);
}
