#include "state/producer.h"

#include "state/keyspace.h"
#include "state/walked.h"

enum { QUEUE = 5, SEQUENCES = 4000, BATCH_MAX = 40 };

struct rig {
    struct keyspace k;
    struct producers *ps;
    uint64_t now;
};

static void rig_open(struct rig *r)
{
    *r = (struct rig){.now = 1000};
    keyspace_open(&r->k);
    ck_assert_int_eq(producer_open(&r->k.keys, &r->ps, NULL), ERR_OK);
}

static void commit(struct rig *r)
{
    struct error e = {0};
    ck_assert_msg(producer_write(r->ps, &r->k.keys, &e) == ERR_OK, "%s", e.message);
    keyspace_commit(&r->k);
}

static void reopen(struct rig *r)
{
    struct error e = {0};
    commit(r);
    producer_close(r->ps);
    keyspace_reopen(&r->k);
    ck_assert_msg(producer_open(&r->k.keys, &r->ps, &e) == ERR_OK, "%s", e.message);
}

static void rig_close(struct rig *r)
{
    producer_close(r->ps);
    keyspace_close(&r->k);
}

static int begin(struct rig *r, uint64_t producer, uint64_t queue, uint64_t first, uint32_t count, uint64_t settled,
                 struct producer_seen *seen, struct error *e)
{
    bool broken = true;
    int code = producer_begin(r->ps, &r->k.keys, producer, queue, first, count, settled, r->now, seen, &broken, e);
    ck_assert(!broken);
    return code;
}

/* Sends one message, stored as `sequence` unless it is known; returns what the sender is told. */
static uint64_t send_one(struct rig *r, uint64_t producer, uint64_t number, uint64_t settled, uint64_t sequence)
{
    struct producer_seen seen;
    struct error e = {0};
    ck_assert_msg(begin(r, producer, QUEUE, number, 1, settled, &seen, &e) == ERR_OK, "%s", e.message);
    if (seen.stored)
        return seen.sequence;
    producer_stored(r->ps, producer, number, QUEUE, sequence);
    return sequence;
}

START_TEST(a_repeated_send_is_answered_with_the_first_one_in_any_entry_and_after_a_restart)
{
    struct rig r;
    rig_open(&r);
    ck_assert_uint_eq(send_one(&r, 9, 1, 0, 640), 640);
    ck_assert_uint_eq(send_one(&r, 9, 1, 0, 641), 640);
    commit(&r);
    ck_assert_uint_eq(send_one(&r, 9, 1, 0, 642), 640);
    reopen(&r);
    ck_assert_uint_eq(send_one(&r, 9, 1, 0, 643), 640);
    ck_assert_uint_eq(send_one(&r, 10, 1, 0, 644), 644);
    rig_close(&r);
}
END_TEST

START_TEST(a_message_that_was_refused_may_be_sent_again)
{
    struct rig r;
    struct producer_seen seen[4];
    rig_open(&r);
    ck_assert_int_eq(begin(&r, 9, QUEUE, 1, 4, 0, seen, NULL), ERR_OK);
    producer_stored(r.ps, 9, 1, QUEUE, 64);
    producer_stored(r.ps, 9, 4, QUEUE, 65);
    reopen(&r);
    ck_assert_int_eq(begin(&r, 9, QUEUE, 1, 4, 0, seen, NULL), ERR_OK);
    ck_assert(seen[0].stored && !seen[1].stored && !seen[2].stored && seen[3].stored);
    ck_assert_uint_eq(seen[3].sequence, 65);
    rig_close(&r);
}
END_TEST

START_TEST(what_is_settled_is_never_stored_again)
{
    struct rig r;
    rig_open(&r);
    send_one(&r, 9, 1, 0, 64);
    send_one(&r, 9, 2, 2, 65);
    reopen(&r);
    struct producer_seen seen;
    ck_assert_int_eq(begin(&r, 9, QUEUE, 1, 1, 0, &seen, NULL), ERR_OK); /* came late over a lost connection */
    ck_assert(seen.stored);
    ck_assert_uint_eq(seen.sequence, 0);
    rig_close(&r);
}
END_TEST

/* So many are on their way that what was stored is remembered in blocks, which go as it is settled. */
START_TEST(what_a_busy_producer_settled_is_gone_over_once)
{
    enum { SENDS = 50000, ON_THE_WAY = 200 };
    struct rig r;
    rig_open(&r);
    uint64_t before = walked();
    for (uint64_t s = 1; s <= SENDS; s++) {
        send_one(&r, 9, s, s > ON_THE_WAY ? s - ON_THE_WAY : 1, 64 * s);
        if (s > ON_THE_WAY) /* and some come twice */
            ck_assert_uint_eq(send_one(&r, 9, s - 150, 0, 1), 64 * (s - 150));
        commit(&r);
    }
    ck_assert_uint_lt(walked() - before, 4 * SENDS);
    rig_close(&r);
}
END_TEST

START_TEST(a_producer_that_does_not_settle_is_refused_at_its_limit_and_nothing_is_forgotten)
{
    struct rig r;
    struct error e = {0};
    struct producer_seen seen;
    rig_open(&r);
    send_one(&r, 9, 1, 0, 64);
    send_one(&r, 9, PRODUCER_SEQUENCES_MAX, 0, 70);
    ck_assert_int_eq(begin(&r, 9, QUEUE, PRODUCER_SEQUENCES_MAX + 1, 1, 0, &seen, &e), ERR_LIMIT);
    ck_assert_str_eq(e.field, "settled_below");
    ck_assert_ptr_nonnull(strstr(e.message, "65536"));
    commit(&r);
    ck_assert_uint_eq(send_one(&r, 9, 1, 0, 99), 64);
    ck_assert_uint_eq(send_one(&r, 9, PRODUCER_SEQUENCES_MAX + 1, 2, 71), 71);
    rig_close(&r);
}
END_TEST

START_TEST(impossible_numbers_are_refused_with_their_field)
{
    struct rig r;
    struct error e = {0};
    struct producer_seen seen[2];
    rig_open(&r);
    ck_assert_int_eq(begin(&r, 9, QUEUE, 0, 1, 0, seen, &e), ERR_INVALID);
    ck_assert_str_eq(e.field, "sequence");
    ck_assert_int_eq(begin(&r, 9, QUEUE, UINT64_MAX, 2, 0, seen, &e), ERR_INVALID);
    ck_assert_int_eq(begin(&r, 9, QUEUE, 5, 1, 6, seen, &e), ERR_INVALID);
    ck_assert_str_eq(e.field, "settled_below");
    commit(&r);
    ck_assert_uint_eq(keyspace_count(&r.k, KEY_PRODUCER), 0);
    send_one(&r, 9, 5, 5, 64);
    ck_assert_int_eq(begin(&r, 9, QUEUE + 1, 4, 2, 1, seen, &e), ERR_INVALID);
    ck_assert_str_eq(e.field, "sequence");
    ck_assert_ptr_nonnull(strstr(e.message, "another queue"));
    rig_close(&r);
}
END_TEST

/* As many as there may be; a millisecond for each thousand. */
static void fill_with_producers(struct rig *r)
{
    for (uint64_t p = 1; p <= PRODUCERS_MAX; p++) {
        r->now = 1000 + p / 1000;
        send_one(r, p, 1, 0, p);
    }
    commit(r);
}

START_TEST(a_new_producer_takes_the_place_of_the_one_silent_longest)
{
    struct rig r;
    struct error e = {0};
    struct producer_seen seen;
    rig_open(&r);
    fill_with_producers(&r);
    r.now = 1000 + PRODUCER_KEPT_MS - 1;
    ck_assert_uint_eq(send_one(&r, 1, 1, 0, 7), 1); /* it is heard of again */
    ck_assert_int_eq(begin(&r, PRODUCERS_MAX + 1, QUEUE, 1, 1, 0, &seen, &e), ERR_LIMIT);
    ck_assert_str_eq(e.field, "producer");
    r.now++;
    ck_assert_int_eq(begin(&r, PRODUCERS_MAX + 1, QUEUE, 1, 1, 2, &seen, &e), ERR_INVALID); /* forgets nobody */
    for (uint64_t p = 1; p <= 998; p++)
        ck_assert_uint_eq(send_one(&r, PRODUCERS_MAX + p, 1, 0, 70), 70);
    ck_assert_int_eq(begin(&r, PRODUCERS_MAX + 999, QUEUE, 1, 1, 0, &seen, &e), ERR_LIMIT);
    reopen(&r);
    ck_assert_uint_eq(keyspace_count(&r.k, KEY_PRODUCER), PRODUCERS_MAX);
    ck_assert_uint_eq(send_one(&r, 1, 1, 0, 78), 1);
    ck_assert_uint_eq(send_one(&r, 1000, 1, 0, 79), 1000);
    ck_assert_uint_eq(send_one(&r, PRODUCERS_MAX + 998, 1, 0, 80), 70);
    ck_assert_int_eq(begin(&r, 2, QUEUE, 1, 1, 0, &seen, &e), ERR_LIMIT); /* as new as any */
    rig_close(&r);
}
END_TEST

START_TEST(too_many_producers_are_refused_until_one_is_forgotten)
{
    struct rig r;
    struct error e = {0};
    struct producer_seen seen;
    rig_open(&r);
    fill_with_producers(&r);
    ck_assert_int_eq(begin(&r, PRODUCERS_MAX + 1, QUEUE, 1, 1, 0, &seen, &e), ERR_LIMIT);
    ck_assert_str_eq(e.field, "producer");
    r.now += PRODUCER_FORGET_MS;
    ck_assert_uint_eq(producer_forget(r.ps, &r.k.keys, r.now, 0, 10), 10);
    ck_assert_int_eq(begin(&r, PRODUCERS_MAX + 1, QUEUE, 1, 1, 0, &seen, &e), ERR_OK);
    commit(&r);
    ck_assert_uint_eq(keyspace_count(&r.k, KEY_PRODUCER), PRODUCERS_MAX - 9);
    rig_close(&r);
}
END_TEST

START_TEST(a_silent_producer_is_forgotten_after_an_hour_and_not_before)
{
    struct rig r;
    rig_open(&r);
    ck_assert_uint_eq(producer_next_due_ms(r.ps, 0), UINT64_MAX);
    for (uint64_t n = 1; n < 400; n += 2) /* no two in a row: many runs, so that there are blocks */
        send_one(&r, 9, n, 0, n);
    send_one(&r, 10, 1, 0, 64);
    reopen(&r);
    r.now += 1000;
    send_one(&r, 10, 2, 0, 65);
    reopen(&r);
    ck_assert_uint_gt(keyspace_count(&r.k, KEY_PRODUCER_RUNS), 0);
    ck_assert_uint_eq(producer_next_due_ms(r.ps, 0), 1000 + PRODUCER_FORGET_MS);
    ck_assert_uint_eq(producer_forget(r.ps, &r.k.keys, 1000 + PRODUCER_FORGET_MS - 1, 0, 100), 0);
    ck_assert_uint_eq(producer_forget(r.ps, &r.k.keys, 1000 + PRODUCER_FORGET_MS, 0, 100), 1);
    commit(&r);
    ck_assert_uint_eq(keyspace_count(&r.k, KEY_PRODUCER_RUNS), 0);
    ck_assert_uint_eq(keyspace_count(&r.k, KEY_PRODUCER), 1);
    ck_assert_uint_eq(producer_next_due_ms(r.ps, 0), 2000 + PRODUCER_FORGET_MS);
    ck_assert_uint_eq(send_one(&r, 9, 1, 0, 77), 77);
    ck_assert_uint_eq(send_one(&r, 10, 1, 0, 78), 64);
    rig_close(&r);
}
END_TEST

/* What two producers have stored, in plain arrays. */
struct model {
    uint64_t stored[2][SEQUENCES + BATCH_MAX + 1];
    uint64_t settled[2];
    uint64_t reach[2]; /* the highest sequence used */
};

static void send_batch(struct rig *r, struct model *m, struct random *random, uint64_t *next)
{
    struct producer_seen seen[BATCH_MAX];
    struct error e = {0};
    uint64_t p = random_below(random, 2);
    uint32_t count = 1 + (uint32_t)random_below(random, BATCH_MAX);
    uint64_t span = m->reach[p] + 2 - m->settled[p];
    /* Mostly new ones, otherwise something from the unsettled stretch, or from before it. */
    uint64_t first = m->reach[p] + 1;
    if (random_below(random, 3) == 0)
        first = m->settled[p] + random_below(random, span);
    else if (random_below(random, 20) == 0)
        first = 1 + random_below(random, m->settled[p]);
    if (first > SEQUENCES)
        first = SEQUENCES;
    uint64_t settled = m->settled[p];
    if (random_below(random, 4) == 0 && first > settled)
        settled += random_below(random, first - settled + 1);
    else if (settled > first)
        settled = first;
    ck_assert_msg(begin(r, 100 + p, QUEUE + p, first, count, settled, seen, &e) == ERR_OK, "%s", e.message);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t n = first + i;
        if (n < m->settled[p]) {
            ck_assert(seen[i].stored);
            continue;
        }
        ck_assert_int_eq(seen[i].stored, m->stored[p][n] != 0);
        ck_assert_uint_eq(seen[i].sequence, m->stored[p][n]);
        if (seen[i].stored || random_below(random, 6) == 0 || n < settled)
            continue;
        *next += random_below(random, 3) == 0 ? 1 + random_below(random, 64) : 1;
        m->stored[p][n] = *next;
        producer_stored(r->ps, 100 + p, n, QUEUE + p, *next);
    }
    m->settled[p] = settled > m->settled[p] ? settled : m->settled[p];
    m->reach[p] = first + count - 1 > m->reach[p] ? first + count - 1 : m->reach[p];
}

START_TEST(it_remembers_exactly_what_was_stored_for_any_sequence_of_sends_and_restarts)
{
    struct rig r;
    struct random random;
    static struct model m;
    uint64_t next = 0;
    memset(&m, 0, sizeof m);
    m.settled[0] = m.settled[1] = 1;
    rig_open(&r);
    random_open(&random, (uint64_t)_i + 1);
    for (int step = 0; step < 1500 && m.reach[0] < SEQUENCES && m.reach[1] < SEQUENCES; step++) {
        r.now += random_below(&random, 1000);
        send_batch(&r, &m, &random, &next);
        uint64_t what = random_below(&random, 40);
        if (what == 0)
            reopen(&r);
        else if (what < 20)
            commit(&r);
    }
    rig_close(&r);
}
END_TEST

START_TEST(blocks_go_as_they_are_settled)
{
    struct rig r;
    rig_open(&r);
    size_t most = 0;
    for (uint64_t n = 1; n < 20000; n += 2) {
        send_one(&r, 9, n, n > 1000 ? n - 1000 : 0, n);
        commit(&r);
        size_t blocks = n % 499 == 0 ? keyspace_count(&r.k, KEY_PRODUCER_RUNS) : 0;
        most = blocks > most ? blocks : most;
    }
    ck_assert_uint_gt(most, 5);
    ck_assert_uint_lt(most, 15);
    ck_assert_uint_eq(send_one(&r, 9, 19001, 0, 77), 19001);
    send_one(&r, 9, 20001, 20001, 20001);
    commit(&r);
    ck_assert_uint_eq(keyspace_count(&r.k, KEY_PRODUCER_RUNS), 0);
    rig_close(&r);
}
END_TEST

START_TEST(damaged_records_are_reported_or_read_as_something_that_can_be)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct rig r;
        struct random random;
        struct producer_seen seen[10];
        bool broken = false;
        rig_open(&r);
        random_open(&random, seed);
        for (uint64_t n = 1; n < 300; n += 2)
            send_one(&r, 9, n, 0, n * 1000);
        commit(&r);
        enum key_kind kind = seed % 2 == 0 ? KEY_PRODUCER : KEY_PRODUCER_RUNS;
        if (seed % 3 == 0)
            keyspace_damage(&r.k, kind, &random);
        else
            keyspace_scramble(&r.k, kind, &random);
        producer_close(r.ps);
        r.ps = NULL;
        struct error e = {0};
        int code = producer_open(&r.k.keys, &r.ps, &e);
        if (code == ERR_OK)
            code = producer_begin(r.ps, &r.k.keys, 9, QUEUE, 10, 10, 2, r.now, seen, &broken, &e);
        if (seed % 3 == 0)
            ck_assert_int_eq(code, ERR_CORRUPT);
        if (code == ERR_CORRUPT)
            ck_assert_ptr_nonnull(strstr(e.message, "producer"));
        if (code == ERR_OK)
            ck_assert_int_ne(producer_write(r.ps, &r.k.keys, &e), ERR_INTERNAL);
        rig_close(&r);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("producer");
    TCase *c = tcase_create("producer");
    tcase_set_timeout(c, 0);
    tcase_add_test(c, a_repeated_send_is_answered_with_the_first_one_in_any_entry_and_after_a_restart);
    tcase_add_test(c, a_message_that_was_refused_may_be_sent_again);
    tcase_add_test(c, what_is_settled_is_never_stored_again);
    tcase_add_test(c, what_a_busy_producer_settled_is_gone_over_once);
    tcase_add_test(c, a_producer_that_does_not_settle_is_refused_at_its_limit_and_nothing_is_forgotten);
    tcase_add_test(c, impossible_numbers_are_refused_with_their_field);
    tcase_add_test(c, a_new_producer_takes_the_place_of_the_one_silent_longest);
    tcase_add_test(c, too_many_producers_are_refused_until_one_is_forgotten);
    tcase_add_test(c, a_silent_producer_is_forgotten_after_an_hour_and_not_before);
    tcase_add_loop_test(c, it_remembers_exactly_what_was_stored_for_any_sequence_of_sends_and_restarts, 0, 10);
    tcase_add_test(c, blocks_go_as_they_are_settled);
    tcase_add_test(c, damaged_records_are_reported_or_read_as_something_that_can_be);
    suite_add_tcase(s, c);
    return keyspace_main(s);
}
