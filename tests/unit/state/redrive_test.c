#include "state/redrive.h"

#include "state/keyspace.h"
#include "state/lasterror.h"
#include "state/outbox.h"

enum { QUEUE = 5, CHUNKS = 400, SLOTS = 64 };
#define NAME "000000000000:us-east-1:jobs-dead"
#define SOURCE "000000000000:us-east-1:jobs"
#define OTHER "000000000000:us-east-1:elsewhere"

/* A queue as a redrive sees it. */
struct rig {
    struct keyspace k;
    struct redrives *r;
    struct outbox *o;
    uint64_t now;
    uint64_t live[CHUNKS];
    uint64_t held[CHUNKS];
    uint64_t moved;
    uint64_t stayed;
    bool order; /* a message that stays keeps those behind it in its chunk */
    uint64_t last;
    char destination[200];
    bool going; /* over chunks, from `at` to before `end` */
    uint64_t at;
    uint64_t end;
    uint64_t turn;
    uint64_t redrive; /* by which the last message was moved */
};

static void open_chunks(void *ctx, uint64_t queue, uint64_t redrive, uint64_t from, uint64_t end)
{
    struct rig *rig = ctx;
    (void)queue;
    (void)redrive;
    ck_assert(!rig->going);
    rig->going = true;
    rig->at = from;
    rig->end = end;
}

static int next_chunk(void *ctx, bool *found, uint64_t *chunk, uint64_t *live, uint64_t *free_bits, struct error *e)
{
    struct rig *rig = ctx;
    (void)e;
    ck_assert(rig->going);
    *found = false;
    for (; rig->at < rig->end && rig->at < CHUNKS && !*found; rig->at++) {
        if (rig->live[rig->at] == 0)
            continue;
        *found = true;
        *chunk = rig->at;
        *live = rig->live[rig->at];
        *free_bits = rig->live[rig->at] & ~rig->held[rig->at];
    }
    return ERR_OK;
}

static bool stay(void *ctx)
{
    struct rig *rig = ctx;
    ck_assert_uint_ne(rig->held[rig->at - 1], 0);
    rig->stayed++;
    return rig->order;
}

static int close_chunks(void *ctx, struct error *e)
{
    struct rig *rig = ctx;
    (void)e;
    ck_assert(rig->going);
    rig->going = false;
    return ERR_OK;
}

static int move(void *ctx, uint64_t queue, uint64_t sequence, struct bytes destination, uint64_t redrive,
                struct error *e)
{
    struct rig *rig = ctx;
    uint64_t bit = UINT64_C(1) << sequence % SLOTS;
    (void)e;
    ck_assert(rig->live[sequence / SLOTS] & ~rig->held[sequence / SLOTS] & bit);
    ck_assert(rig->moved == 0 || sequence > rig->last);
    rig->live[sequence / SLOTS] &= ~bit;
    rig->last = sequence;
    rig->redrive = redrive;
    rig->moved++;
    snprintf(rig->destination, sizeof rig->destination, "%.*s", (int)destination.len, (const char *)destination.data);
    struct moving m = {.queue = destination, .from = queue, .from_sequence = sequence, .redrive = redrive};
    outbox_put(rig->o, &rig->k.keys, 1, &m);
    return ERR_OK;
}

static void rig_open(struct rig *rig, uint64_t chunks)
{
    *rig = (struct rig){.now = 100000};
    keyspace_open(&rig->k);
    ck_assert_int_eq(redrive_open(&rig->k.keys, &rig->r, NULL), ERR_OK);
    ck_assert_int_eq(outbox_open(&rig->k.keys, &rig->o, NULL), ERR_OK);
    for (uint64_t c = 0; c < chunks; c++)
        rig->live[c] = UINT64_MAX;
}

static void rig_close(struct rig *rig)
{
    redrive_close(rig->r);
    outbox_close(rig->o);
    keyspace_close(&rig->k);
}

static void reopen(struct rig *rig)
{
    struct error e = {0};
    outbox_write(rig->o, &rig->k.keys);
    redrive_write(rig->r, &rig->k.keys);
    redrive_close(rig->r);
    outbox_close(rig->o);
    keyspace_reopen(&rig->k);
    ck_assert_msg(redrive_open(&rig->k.keys, &rig->r, &e) == ERR_OK, "%s", e.message);
    ck_assert_msg(outbox_open(&rig->k.keys, &rig->o, &e) == ERR_OK, "%s", e.message);
}

static int start(struct rig *rig, const char *destination, const char *reason, double rate, struct error *e)
{
    const char *id = NULL;
    int code = redrive_start(rig->r, QUEUE, bytes_text(NAME), bytes_text(destination), bytes_text(reason), rate, CHUNKS,
                             1234, rig->now, rig->now * 31, &id, e);
    if (code == ERR_OK)
        ck_assert_uint_eq(strlen(id), REDRIVE_ID_LEN);
    return code;
}

static void step(struct rig *rig)
{
    struct error e = {0};
    struct redrive_ops ops = {
        .ctx = rig, .open = open_chunks, .next = next_chunk, .stay = stay, .close = close_chunks, .move = move};
    ck_assert_msg(redrive_step(rig->r, &rig->k.keys, rig->o, rig->now, rig->turn++, &ops, &e) == ERR_OK, "%s",
                  e.message);
    redrive_write(rig->r, &rig->k.keys);
    keyspace_commit(&rig->k);
}

static int settled(void *ctx, const struct moving *m, bool refused, struct error *e)
{
    const struct rig *rig = ctx;
    (void)e;
    redrive_settled(rig->r, m->from, m->redrive, refused, rig->now);
    return ERR_OK;
}

static void settle(struct rig *rig, uint64_t upto, const uint64_t *refused, size_t refused_count)
{
    ck_assert_int_eq(outbox_settle(rig->o, &rig->k.keys, 1, upto, refused, refused_count, settled, rig, NULL), ERR_OK);
    outbox_write(rig->o, &rig->k.keys);
    redrive_write(rig->r, &rig->k.keys);
    keyspace_commit(&rig->k);
}

static void settle_all(struct rig *rig)
{
    settle(rig, UINT64_MAX, NULL, 0);
}

static struct redrive_view newest(const struct rig *rig)
{
    struct redrive_view v = {0};
    ck_assert_uint_ge(redrive_list(rig->r, QUEUE, &v, 1), 1);
    return v;
}

START_TEST(all_messages_move_in_order_and_then_it_is_over)
{
    struct rig rig;
    rig_open(&rig, 20);
    ck_assert_uint_eq(redrive_next_due_ms(rig.r, rig.o), UINT64_MAX);
    ck_assert_int_eq(start(&rig, OTHER, "", 0.0, NULL), ERR_OK);
    ck_assert_uint_le(redrive_next_due_ms(rig.r, rig.o), rig.now);
    step(&rig);
    ck_assert_uint_ge(rig.moved, REDRIVE_STEPS * SLOTS / (SLOTS + 1) - 1); /* a chunk takes a step too */
    ck_assert_uint_lt(rig.moved, REDRIVE_STEPS);
    ck_assert_str_eq(rig.destination, OTHER);
    reopen(&rig);
    step(&rig);
    ck_assert_uint_eq(rig.moved, 20 * SLOTS);
    ck_assert_uint_eq(redrive_next_due_ms(rig.r, rig.o), UINT64_MAX);
    step(&rig);
    settle(&rig, 20 * SLOTS - 1, NULL, 0);
    reopen(&rig);
    ck_assert_int_eq(newest(&rig).state, 0);
    ck_assert_uint_eq(newest(&rig).ended_ms, 0);
    ck_assert_int_eq(start(&rig, OTHER, "", 0.0, NULL), ERR_CONFLICT);
    rig.now += 500;
    settle_all(&rig);
    reopen(&rig);
    struct redrive_view v = newest(&rig);
    ck_assert_int_eq(v.state, 1);
    ck_assert_uint_eq(v.moved, 20 * SLOTS);
    ck_assert_uint_eq(v.skipped, 0);
    ck_assert_uint_eq(v.total, 1234);
    ck_assert_uint_eq(v.started_ms, 100000);
    ck_assert_uint_eq(v.ended_ms, rig.now);
    ck_assert_uint_eq(redrive_next_due_ms(rig.r, rig.o), UINT64_MAX);
    rig_close(&rig);
}
END_TEST

START_TEST(what_is_leased_or_came_after_the_start_is_left_and_counted_once)
{
    struct rig rig;
    rig_open(&rig, 20);
    for (size_t c = 0; c < 20; c++)
        rig.held[c] = 0xff;
    ck_assert_int_eq(start(&rig, OTHER, "", 0.0, NULL), ERR_OK);
    for (int i = 0; i < 5; i++) {
        step(&rig);
        reopen(&rig);
    }
    settle_all(&rig);
    struct redrive_view v = newest(&rig);
    ck_assert_int_eq(v.state, 1);
    ck_assert_uint_eq(v.moved, 20 * 56);
    ck_assert_uint_eq(v.skipped, 20 * 8);
    rig_close(&rig);
}
END_TEST

START_TEST(what_stays_may_keep_the_rest_of_its_chunk)
{
    struct rig rig;
    rig_open(&rig, 3);
    rig.order = true;
    rig.held[1] = 1 << 5 | 1 << 9;
    ck_assert_int_eq(start(&rig, OTHER, "", 0.0, NULL), ERR_OK);
    step(&rig);
    settle_all(&rig);
    ck_assert_uint_eq(newest(&rig).moved, 2 * SLOTS + 5);
    ck_assert_uint_eq(newest(&rig).skipped, SLOTS - 5);
    rig_close(&rig);
}
END_TEST

static void note_error(struct rig *rig, uint64_t sequence, const char *text, const char *source)
{
    struct lasterror l = {.text = bytes_text(text), .source = bytes_text(source)};
    lasterror_put(&rig->k.keys, QUEUE, sequence, &l);
    keyspace_commit(&rig->k);
}

START_TEST(only_messages_with_the_reason_move_each_to_its_source)
{
    struct rig rig;
    rig_open(&rig, 2);
    note_error(&rig, 3, "timeout after 30 s", SOURCE);
    note_error(&rig, 4, "refused", SOURCE);
    note_error(&rig, 70, "a timeout too", OTHER);
    note_error(&rig, 71, "timeout, from nowhere", "");
    ck_assert_int_eq(start(&rig, "", "timeout", 0.0, NULL), ERR_OK);
    step(&rig);
    ck_assert_uint_eq(rig.moved, 2);
    ck_assert_str_eq(rig.destination, OTHER);
    ck_assert_uint_eq(rig.last, 70);
    settle_all(&rig);
    struct redrive_view v = newest(&rig);
    ck_assert_int_eq(v.state, 1);
    ck_assert_uint_eq(v.skipped, 126);
    ck_assert_str_eq(v.reason, "timeout");
    rig_close(&rig);
}
END_TEST

START_TEST(without_a_destination_messages_of_unknown_source_stay)
{
    struct rig rig;
    rig_open(&rig, 1);
    note_error(&rig, 9, "", SOURCE);
    ck_assert_int_eq(start(&rig, "", "", 0.0, NULL), ERR_OK);
    step(&rig);
    ck_assert_uint_eq(rig.moved, 1);
    ck_assert_str_eq(rig.destination, SOURCE);
    rig_close(&rig);
}
END_TEST

/* Rates that are not whole numbers of messages a millisecond, stepped whenever it is due. */
START_TEST(the_rate_is_kept_in_machine_time)
{
    double rates[] = {0.5, 7.0, 333.0, 1700.0};
    double rate = rates[_i];
    struct rig rig;
    rig_open(&rig, CHUNKS);
    ck_assert_int_eq(start(&rig, OTHER, "", rate, NULL), ERR_OK);
    uint64_t begun = rig.now;
    uint64_t wanted = rate < 1.0 ? 10 : (uint64_t)(rate * 4.0);
    while (rig.moved < wanted) {
        uint64_t due = redrive_next_due_ms(rig.r, rig.o);
        ck_assert_uint_ne(due, UINT64_MAX);
        rig.now = due > rig.now ? due : rig.now + 1;
        step(&rig);
        settle_all(&rig);
        double most = (double)(rig.now - begun) * rate / 1000.0 + 1.0;
        ck_assert((double)rig.moved <= most + 0.001 * most);
    }
    double took = (double)(rig.now - begun) / 1000.0;
    double ideal = (double)(rig.moved - 1) / rate;
    ck_assert(took >= ideal * 0.99 && took <= ideal * 1.02 + 0.002);
    rig_close(&rig);
}
END_TEST

START_TEST(after_a_pause_no_more_than_a_second_of_the_rate_comes_at_once)
{
    struct rig rig;
    rig_open(&rig, CHUNKS);
    ck_assert_int_eq(start(&rig, OTHER, "", 100.0, NULL), ERR_OK);
    step(&rig);
    ck_assert_uint_eq(rig.moved, 1);
    rig.now += 3600000;
    step(&rig);
    ck_assert_uint_ge(rig.moved, 100);
    ck_assert_uint_le(rig.moved, 102);
    step(&rig);
    ck_assert_uint_le(rig.moved, 102);
    rig_close(&rig);
}
END_TEST

START_TEST(it_waits_while_too_much_is_on_its_way)
{
    struct rig rig;
    rig_open(&rig, CHUNKS);
    ck_assert_int_eq(start(&rig, OTHER, "", 0.0, NULL), ERR_OK);
    for (int i = 0; i < 50; i++)
        step(&rig);
    ck_assert_uint_eq(rig.moved, REDRIVE_OUTSTANDING);
    ck_assert_uint_eq(outbox_pending(rig.o), REDRIVE_OUTSTANDING);
    ck_assert_uint_eq(redrive_next_due_ms(rig.r, rig.o), UINT64_MAX);
    settle_all(&rig);
    ck_assert_uint_le(redrive_next_due_ms(rig.r, rig.o), rig.now);
    step(&rig);
    ck_assert_uint_gt(rig.moved, REDRIVE_OUTSTANDING);
    rig_close(&rig);
}
END_TEST

START_TEST(one_runs_at_a_time_and_a_cancelled_one_stops)
{
    struct rig rig;
    struct error e = {0};
    rig_open(&rig, CHUNKS);
    ck_assert_int_eq(redrive_cancel(rig.r, QUEUE, bytes_text(""), rig.now, &e), ERR_NOT_FOUND);
    ck_assert_int_eq(start(&rig, OTHER, "", 0.0, NULL), ERR_OK);
    ck_assert_int_eq(start(&rig, OTHER, "", 0.0, &e), ERR_CONFLICT);
    step(&rig);
    char id[REDRIVE_ID_LEN + 1];
    snprintf(id, sizeof id, "%s", newest(&rig).id);
    ck_assert_int_eq(redrive_cancel(rig.r, QUEUE, bytes_text("no such"), rig.now, &e), ERR_NOT_FOUND);
    ck_assert_int_eq(redrive_cancel(rig.r, QUEUE, bytes_text(id), rig.now + 5, &e), ERR_OK);
    reopen(&rig);
    uint64_t before = rig.moved;
    step(&rig);
    ck_assert_uint_eq(rig.moved, before);
    ck_assert_int_eq(newest(&rig).state, 2);
    ck_assert_uint_eq(newest(&rig).ended_ms, rig.now + 5);
    ck_assert_int_eq(redrive_cancel(rig.r, QUEUE, bytes_text(id), rig.now, &e), ERR_CONFLICT);
    ck_assert_int_eq(start(&rig, OTHER, "", 0.0, NULL), ERR_OK);
    rig_close(&rig);
}
END_TEST

START_TEST(the_last_ten_are_remembered_newest_first_until_the_queue_goes)
{
    struct rig rig;
    struct redrive_view v[REDRIVE_KEPT + 5];
    rig_open(&rig, 0);
    for (int i = 0; i < REDRIVE_KEPT + 3; i++) {
        rig.now += 1000;
        ck_assert_int_eq(start(&rig, OTHER, "", 0.0, NULL), ERR_OK);
        step(&rig);
    }
    reopen(&rig);
    ck_assert_uint_eq(redrive_list(rig.r, QUEUE, v, REDRIVE_KEPT + 5), REDRIVE_KEPT);
    for (int i = 1; i < REDRIVE_KEPT; i++) {
        ck_assert_uint_eq(v[i].started_ms, v[i - 1].started_ms - 1000);
        ck_assert_str_ne(v[i].id, v[i - 1].id);
    }
    ck_assert_uint_eq(redrive_list(rig.r, QUEUE, v, 3), 3);
    ck_assert_uint_eq(redrive_list(rig.r, QUEUE + 1, v, 3), 0);
    redrive_clear(rig.r, &rig.k.keys, QUEUE);
    redrive_clear(rig.r, &rig.k.keys, QUEUE + 1);
    reopen(&rig);
    ck_assert_uint_eq(redrive_list(rig.r, QUEUE, v, 3), 0);
    ck_assert_uint_eq(keyspace_count(&rig.k, KEY_REDRIVE), 0);
    rig_close(&rig);
}
END_TEST

START_TEST(what_came_back_counts_as_skipped)
{
    struct rig rig;
    rig_open(&rig, 1);
    redrive_settled(rig.r, QUEUE, 5, true, rig.now); /* of a redrive that nobody remembers */
    ck_assert_int_eq(start(&rig, OTHER, "", 0.0, NULL), ERR_OK);
    step(&rig);
    ck_assert_uint_ne(rig.redrive, 0);
    redrive_settled(rig.r, QUEUE, rig.redrive + 1, true, rig.now);
    reopen(&rig);
    settle(&rig, 64, &(uint64_t){64}, 1);
    reopen(&rig);
    ck_assert_uint_eq(newest(&rig).moved, 63);
    ck_assert_uint_eq(newest(&rig).skipped, 1);
    ck_assert_int_eq(newest(&rig).state, 1);
    rig_close(&rig);
}
END_TEST

START_TEST(what_comes_back_counts_for_the_redrive_that_moved_it)
{
    struct rig rig;
    struct redrive_view v[2];
    rig_open(&rig, 1);
    ck_assert_int_eq(start(&rig, OTHER, "", 0.0, NULL), ERR_OK);
    step(&rig);
    rig.now += 1000;
    ck_assert_int_eq(redrive_cancel(rig.r, QUEUE, bytes_text(""), rig.now, NULL), ERR_OK);
    ck_assert_int_eq(start(&rig, OTHER, "", 0.0, NULL), ERR_OK); /* which finds nothing */
    reopen(&rig);
    settle(&rig, 1, &(uint64_t){1}, 1);
    reopen(&rig);
    ck_assert_uint_eq(redrive_list(rig.r, QUEUE, v, 2), 2);
    ck_assert_uint_eq(v[0].moved, 0);
    ck_assert_uint_eq(v[0].skipped, 0);
    ck_assert_uint_eq(v[1].moved, 63);
    ck_assert_uint_eq(v[1].skipped, 1);
    rig_close(&rig);
}
END_TEST

START_TEST(put_off_it_rests_until_then)
{
    struct rig rig;
    rig_open(&rig, CHUNKS);
    redrive_put_off(rig.r, QUEUE, 5, rig.now + 10000); /* of a redrive that nobody remembers */
    ck_assert_int_eq(start(&rig, OTHER, "", 0.0, NULL), ERR_OK);
    step(&rig);
    uint64_t before = rig.moved;
    redrive_put_off(rig.r, QUEUE, rig.redrive, rig.now + 10000);
    redrive_put_off(rig.r, QUEUE, rig.redrive, rig.now + 5000);
    reopen(&rig);
    ck_assert_uint_eq(redrive_next_due_ms(rig.r, rig.o), rig.now + 10000);
    rig.now += 9999;
    step(&rig);
    ck_assert_uint_eq(rig.moved, before);
    rig.now++;
    step(&rig);
    ck_assert_uint_gt(rig.moved, before);
    rig_close(&rig);
}
END_TEST

START_TEST(bad_arguments_are_refused_with_their_field)
{
    struct rig rig;
    struct error e = {0};
    char long_reason[REDRIVE_REASON_MAX + 2];
    memset(long_reason, 'x', sizeof long_reason);
    long_reason[REDRIVE_REASON_MAX + 1] = '\0';
    rig_open(&rig, 1);
    ck_assert_int_eq(start(&rig, NAME, "", 0.0, &e), ERR_INVALID);
    ck_assert_str_eq(e.field, "destination");
    ck_assert_int_eq(start(&rig, OTHER ".fifo", "", 0.0, &e), ERR_INVALID);
    ck_assert_str_eq(e.field, "destination");
    ck_assert_int_eq(start(&rig, "elsewhere", "", 0.0, &e), ERR_INVALID);
    ck_assert_str_eq(e.field, "destination");
    ck_assert_int_eq(start(&rig, OTHER, long_reason, 0.0, &e), ERR_INVALID);
    ck_assert_str_eq(e.field, "reason");
    double rates[] = {-1.0, 1e-9, 1e9, 0.0 / 0.0};
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        ck_assert_int_eq(start(&rig, OTHER, "", rates[i], &e), ERR_INVALID);
        ck_assert_str_eq(e.field, "rate");
    }
    ck_assert_uint_eq(redrive_next_due_ms(rig.r, rig.o), UINT64_MAX);
    rig_close(&rig);
}
END_TEST

START_TEST(hostile_records_are_reported_or_stay_within_bounds)
{
    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct rig rig;
        struct random random;
        struct error e = {0};
        struct redrive_view v;
        rig_open(&rig, 3);
        random_open(&random, seed);
        ck_assert_int_eq(start(&rig, OTHER, "reason", 5.0, NULL), ERR_OK);
        redrive_write(rig.r, &rig.k.keys);
        keyspace_commit(&rig.k);
        if (seed % 2 == 0)
            keyspace_damage(&rig.k, KEY_REDRIVE, &random);
        else
            keyspace_scramble(&rig.k, KEY_REDRIVE, &random);
        redrive_close(rig.r);
        rig.r = NULL;
        int code = redrive_open(&rig.k.keys, &rig.r, &e);
        ck_assert_msg(code == ERR_CORRUPT || (code == ERR_OK && seed % 2 == 1), "%s", e.message);
        if (code == ERR_OK) {
            redrive_list(rig.r, QUEUE, &v, 1);
            rig.now += 5000;
            step(&rig);
            redrive_next_due_ms(rig.r, rig.o);
        }
        rig_close(&rig);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("redrive");
    TCase *c = tcase_create("redrive");
    tcase_set_timeout(c, 0);
    tcase_add_test(c, all_messages_move_in_order_and_then_it_is_over);
    tcase_add_test(c, what_is_leased_or_came_after_the_start_is_left_and_counted_once);
    tcase_add_test(c, what_stays_may_keep_the_rest_of_its_chunk);
    tcase_add_test(c, only_messages_with_the_reason_move_each_to_its_source);
    tcase_add_test(c, without_a_destination_messages_of_unknown_source_stay);
    tcase_add_loop_test(c, the_rate_is_kept_in_machine_time, 0, 4);
    tcase_add_test(c, after_a_pause_no_more_than_a_second_of_the_rate_comes_at_once);
    tcase_add_test(c, it_waits_while_too_much_is_on_its_way);
    tcase_add_test(c, one_runs_at_a_time_and_a_cancelled_one_stops);
    tcase_add_test(c, the_last_ten_are_remembered_newest_first_until_the_queue_goes);
    tcase_add_test(c, what_came_back_counts_as_skipped);
    tcase_add_test(c, what_comes_back_counts_for_the_redrive_that_moved_it);
    tcase_add_test(c, put_off_it_rests_until_then);
    tcase_add_test(c, bad_arguments_are_refused_with_their_field);
    tcase_add_test(c, hostile_records_are_reported_or_stay_within_bounds);
    suite_add_tcase(s, c);
    return keyspace_main(s);
}
