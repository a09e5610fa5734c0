/* Dead letters keep their place until the dead-letter queue has them. */
#include "state/rig.h"

enum { WAIT_MS = 10000 };

static struct rig rig;
static uint64_t dead;
static uint64_t standard;
static uint64_t fifo;

static uint64_t create(const char *name, const char *dead_letter_queue)
{
    Hato__QueueSettings s = HATO__QUEUE_SETTINGS__INIT;
    s.dead_letter_queue = (char *)(uintptr_t)dead_letter_queue;
    s.has_max_receives = 1;
    s.max_receives = 1;
    return rig_create(&rig, name, &s);
}

static void setup(void)
{
    rig_open(&rig);
    dead = rig_create(&rig, RIG_NAME("dead"), NULL);
    rig_create(&rig, RIG_NAME("dead.fifo"), NULL);
    standard = create(RIG_NAME("jobs"), RIG_NAME("dead"));
    fifo = create(RIG_NAME("jobs.fifo"), RIG_NAME("dead.fifo"));
}

static void teardown(void)
{
    rig_close(&rig);
}

static uint64_t by_name(const char *name)
{
    struct queue_view v;
    ck_assert(machine_queue_find(rig.m, name, &v));
    return v.id;
}

/* The dead-letter queues take nothing more, or all again. */
static void fill(const char *name, bool full)
{
    Hato__QueueSettings s = HATO__QUEUE_SETTINGS__INIT;
    s.has_max_messages = 1;
    s.max_messages = full;
    rig_set(&rig, by_name(name), &s);
    if (full)
        rig_send(&rig, by_name(name), (struct rig_message){.body = "full", .group = "g"});
}

static struct received use_up(uint64_t queue)
{
    struct received got = rig_receive_one(&rig, queue, 60000);
    ck_assert_int_eq(rig_nack(&rig, queue, &got, 0, false), ERR_OK);
    return got;
}

static void send(uint64_t queue, const char *body)
{
    rig_send(&rig, queue, (struct rig_message){.body = body, .group = "g"});
}

static void begin_again(void)
{
    rig_flush(&rig);
    rig_crash(&rig);
}

START_TEST(its_group_waits_until_it_has_arrived)
{
    send(fifo, "1");
    send(fifo, "2");
    use_up(fifo);
    begin_again();
    struct queue_counts c = rig_counts(&rig, fifo);
    ck_assert_uint_eq(c.moving, 1);
    ck_assert_uint_eq(c.ready, 1);
    ck_assert_uint_eq(machine_queue_available(rig.m, fifo, 10), 0);
    rig_receive_none(&rig, fifo);
    rig_send(&rig, fifo, (struct rig_message){.body = "other", .group = "h"});
    struct received other = rig_receive_one(&rig, fifo, 60000);
    rig_expect_body(&rig, other.ref, "other");
    rig_forward(&rig);
    ck_assert(rig_has_effect(&rig, EFFECT_READY, fifo));
    begin_again();
    rig_expect_body(&rig, rig_receive_one(&rig, fifo, 60000).ref, "2");
    c = rig_counts(&rig, fifo);
    ck_assert_uint_eq(c.moving, 0);
    ck_assert_uint_eq(c.dead_lettered_total, 1);
}
END_TEST

START_TEST(refused_it_is_the_first_of_its_group_again)
{
    fill(RIG_NAME("dead.fifo"), true);
    send(fifo, "1");
    send(fifo, "2");
    struct received first = use_up(fifo);
    rig_forward(&rig);
    begin_again();
    ck_assert_uint_eq(rig_counts(&rig, fifo).moving, 0);
    ck_assert_uint_eq(rig_counts(&rig, fifo).delayed, 1);
    rig_advance(&rig, WAIT_MS - 1);
    rig_receive_none(&rig, fifo);
    rig_advance(&rig, 1);
    begin_again();
    struct received got = rig_receive_one(&rig, fifo, 60000);
    ck_assert_uint_eq(got.sequence, first.sequence);
    ck_assert_uint_eq(got.receive_count, 2);
    rig_expect_body(&rig, got.ref, "1");
    rig_receive_none(&rig, fifo);
    ck_assert_int_eq(rig_ack(&rig, fifo, &got), ERR_OK);
    rig_expect_body(&rig, rig_receive_one(&rig, fifo, 60000).ref, "2");
}
END_TEST

START_TEST(refused_it_keeps_its_id_and_receives)
{
    fill(RIG_NAME("dead"), true);
    struct received first;
    for (uint32_t round = 1; round <= 3; round++) {
        if (round == 1)
            send(standard, "x");
        struct received got = use_up(standard);
        if (round == 1)
            first = got;
        ck_assert_uint_eq(got.sequence, first.sequence);
        ck_assert_uint_eq(got.receive_count, round);
        begin_again();
        rig_forward(&rig);
        begin_again();
        ck_assert_uint_eq(rig_counts(&rig, standard).dead_lettered_total, 0);
        ck_assert_uint_eq(rig_counts(&rig, standard).dead_letters_refused_total, round);
        rig_advance(&rig, WAIT_MS - 1);
        rig_receive_none(&rig, standard);
        rig_advance(&rig, 1);
    }
    fill(RIG_NAME("dead"), false);
    use_up(standard);
    rig_forward(&rig);
    ck_assert_uint_eq(rig_counts(&rig, standard).dead_lettered_total, 1);
    ck_assert_uint_eq(rig_counts(&rig, standard).bytes, 0);
    ck_assert_uint_eq(rig_counts(&rig, dead).ready, 2);
}
END_TEST

START_TEST(on_its_way_it_is_seen_and_counts_but_is_in_nobody_s_hands)
{
    Hato__QueueSettings s = HATO__QUEUE_SETTINGS__INIT;
    s.has_max_messages = 1;
    s.max_messages = 1;
    rig_set(&rig, standard, &s);
    send(standard, "x");
    struct received got = use_up(standard);
    begin_again();
    struct arena arena = {0};
    struct peeked *seen;
    size_t count;
    uint64_t next;
    ck_assert_int_eq(machine_peek(rig.m, standard, 0, PEEK_ALL, NULL, 10, &arena, &seen, &count, &next, NULL), 0);
    ck_assert_uint_eq(count, 1);
    ck_assert_int_eq(seen[0].state, 'm');
    arena_close(&arena);
    ck_assert_int_eq(rig_cancel(&rig, standard, got.sequence), ERR_CONFLICT);
    ck_assert_int_eq(rig_ack(&rig, standard, &got), ERR_RECEIPT_STALE);
    rig_add_send(&rig, standard, &(struct rig_message){.body = "y"}, 1, 0, 0);
    rig_commit(&rig);
    ck_assert_int_eq(rig_reply(&rig)->sent[0].code, ERR_LIMIT);
    rig_forward(&rig);
    send(standard, "y");
}
END_TEST

static void expect_nothing_left(void)
{
    while (machine_next_due_ms(rig.m) <= rig.now_ms)
        rig_commit(&rig);
    ck_assert_uint_eq(machine_first_live(rig.m), machine_applied(rig.m) + 1);
    enum key_kind kinds[] = {KEY_CHUNK, KEY_TOUCH, KEY_COLD, KEY_DUE, KEY_LANE, KEY_LAST_ERROR};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        ck_assert_msg(rig_keys(&rig, kinds[i]) == 0, "keys of kind %c are left", kinds[i]);
}

static void purge_on_its_way(uint64_t queue, const char *dead_letter_queue)
{
    send(queue, "1");
    use_up(queue);
    begin_again();
    ck_assert_uint_eq(rig_purge(&rig, queue), 1);
    ck_assert_uint_eq(rig_counts(&rig, queue).moving, 0);
    ck_assert_uint_eq(rig_counts(&rig, queue).bytes, 0);
    begin_again();
    expect_nothing_left();
    rig_forward(&rig);
    ck_assert_uint_eq(rig_counts(&rig, by_name(dead_letter_queue)).ready, 0);
    ck_assert_uint_eq(rig_counts(&rig, queue).dead_lettered_total, 0);
}

START_TEST(a_purge_takes_what_is_on_its_way)
{
    purge_on_its_way(standard, RIG_NAME("dead"));
    purge_on_its_way(fifo, RIG_NAME("dead.fifo"));
    send(fifo, "2");
    use_up(fifo);
    rig_forward(&rig);
    ck_assert_uint_eq(rig_counts(&rig, fifo).dead_lettered_total, 1);
}
END_TEST

START_TEST(a_deleted_queue_takes_it_along)
{
    send(standard, "1");
    use_up(standard);
    rig_delete(&rig, standard);
    expect_nothing_left();
    begin_again();
    rig_forward(&rig);
    ck_assert_uint_eq(rig_counts(&rig, dead).ready, 0);
}
END_TEST

/* The first of a batch that used up its receives is refused for its size; the queue has room for the others. */
static void one_batch(size_t rounds_of)
{
    char large[2000];
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    Hato__QueueSettings s = HATO__QUEUE_SETTINGS__INIT;
    s.has_max_bytes = 1;
    s.max_bytes = 1500;
    rig_set(&rig, by_name(RIG_NAME("dead.fifo")), &s);
    send(fifo, large);
    send(fifo, "2");
    send(fifo, "3");
    rig_receive(&rig, fifo, 10, 1000);
    ck_assert_uint_eq(rig_reply(&rig)->count, 3);
    rig_advance(&rig, 1000);
    ck_assert_uint_eq(rig_counts(&rig, fifo).moving, 3);
    while (rig_counts(&rig, fifo).moving > 0) {
        begin_again();
        rig_forward_some(&rig, 1, rounds_of);
    }
    begin_again();
    ck_assert_uint_eq(rig_counts(&rig, by_name(RIG_NAME("dead.fifo"))).ready, 0);
    ck_assert_uint_eq(rig_counts(&rig, fifo).dead_lettered_total, 0);
    rig_advance(&rig, WAIT_MS);
    const struct received *got = rig_receive(&rig, fifo, 10, 1000);
    ck_assert_uint_eq(rig_reply(&rig)->count, 3);
    rig_expect_body(&rig, got[0].ref, large);
    rig_expect_body(&rig, got[1].ref, "2");
    rig_expect_body(&rig, got[2].ref, "3");
}

START_TEST(none_of_a_group_overtakes_a_refused_one_that_came_with_it)
{
    one_batch(100);
}
END_TEST

START_TEST(none_of_a_group_overtakes_a_refused_one_that_came_before_it)
{
    one_batch(1);
}
END_TEST

START_TEST(a_redrive_leaves_a_group_that_waits_for_one)
{
    fill(RIG_NAME("dead.fifo"), true);
    send(fifo, "1");
    send(fifo, "2");
    use_up(fifo);
    Hato__Log__RedriveStart c = HATO__LOG__REDRIVE_START__INIT;
    c.has_queue = 1;
    c.queue = fifo;
    c.destination = (char *)(uintptr_t)RIG_NAME("dead.fifo");
    rig_add(&rig, COMMAND_REDRIVE_START, &c.base);
    rig_commit(&rig);
    ck_assert_int_eq(rig_reply(&rig)->code, ERR_OK);
    rig_advance(&rig, 1000);
    rig_forward(&rig);
    rig_advance(&rig, WAIT_MS);
    rig_expect_body(&rig, rig_receive_one(&rig, fifo, 60000).ref, "1");
    ck_assert_uint_eq(rig_counts(&rig, fifo).ready, 1);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        its_group_waits_until_it_has_arrived,
        refused_it_is_the_first_of_its_group_again,
        refused_it_keeps_its_id_and_receives,
        on_its_way_it_is_seen_and_counts_but_is_in_nobody_s_hands,
        a_purge_takes_what_is_on_its_way,
        a_deleted_queue_takes_it_along,
        none_of_a_group_overtakes_a_refused_one_that_came_with_it,
        none_of_a_group_overtakes_a_refused_one_that_came_before_it,
        a_redrive_leaves_a_group_that_waits_for_one,
    };
    return rig_main("state/dead_letter", tests, sizeof tests / sizeof tests[0], setup, teardown);
}
