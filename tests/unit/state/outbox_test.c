#include "state/outbox.h"

#include "state/keyspace.h"

enum { TARGET = 7, SOURCE = 2 };

struct rig {
    struct keyspace k;
    struct outbox *o;
    struct arena arena;
};

static void rig_open(struct rig *r)
{
    *r = (struct rig){0};
    keyspace_open(&r->k);
    ck_assert_int_eq(outbox_open(&r->k.keys, &r->o, NULL), ERR_OK);
}

static void commit(struct rig *r)
{
    outbox_write(r->o, &r->k.keys);
    keyspace_commit(&r->k);
}

static void reopen(struct rig *r)
{
    struct error e = {0};
    commit(r);
    outbox_close(r->o);
    keyspace_reopen(&r->k);
    ck_assert_msg(outbox_open(&r->k.keys, &r->o, &e) == ERR_OK, "%s", e.message);
}

static void rig_close(struct rig *r)
{
    outbox_close(r->o);
    keyspace_close(&r->k);
    arena_close(&r->arena);
}

static struct moving item(uint64_t n)
{
    return (struct moving){.queue = bytes_text("000000000000:us-east-1:jobs-dead"),
                           .create = n % 2 == 0,
                           .kept = n % 4 == 0,
                           .redrive = n % 3 == 0 ? n : 0,
                           .ref = {.index = n, .offset = 24, .len = 1000},
                           .provenance = bytes_text("provenance"),
                           .from = 5,
                           .from_sequence = n * 64,
                           .sent_ms = 1000 + n,
                           .available_ms = 2000 + n,
                           .priority = 3,
                           .group = bytes_text("tenant"),
                           .source = bytes_text("000000000000:us-east-1:jobs"),
                           .reason = bytes_text("max-receives")};
}

static void put(struct rig *r, uint16_t target, uint64_t from, uint64_t to)
{
    for (uint64_t n = from; n <= to; n++) {
        struct moving m = item(n);
        ck_assert_uint_eq(outbox_put(r->o, &r->k.keys, target, &m), n);
    }
}

static bool every_fourth(const void *ctx, const struct moving *m)
{
    (void)ctx;
    return m->kept && m->from_sequence % 256 == 0;
}

static size_t list(struct rig *r, uint16_t target, uint64_t after, size_t max, struct outbox_item **out)
{
    size_t count = 0;
    struct error e = {0};
    arena_reset(&r->arena);
    ck_assert_msg(outbox_list(r->o, &r->k.keys, target, after, max, every_fourth, NULL, &r->arena, out, &count, &e) ==
                      ERR_OK,
                  "%s", e.message);
    return count;
}

/* What was settled: the sequences, and the sum of those refused. */
struct settled {
    uint64_t next;
    uint64_t refused_sum;
    uint64_t stop_at;
    bool version_1; /* of the items */
    struct rig *rig;
    uint16_t forward; /* puts each on into this channel when not 0 */
};

static int visit(void *ctx, const struct moving *m, bool refused, struct error *e)
{
    struct settled *s = ctx;
    struct moving expected = item(m->sequence);
    ck_assert_uint_eq(m->sequence, s->next++);
    ck_assert(bytes_equal(m->queue, expected.queue) && bytes_equal(m->provenance, expected.provenance) &&
              bytes_equal(m->group, expected.group) && bytes_equal(m->source, expected.source) &&
              bytes_equal(m->reason, expected.reason));
    ck_assert_int_eq(m->create, expected.create);
    ck_assert_uint_eq(m->redrive, s->version_1 ? 0 : expected.redrive);
    ck_assert_uint_eq(m->ref.index, expected.ref.index);
    ck_assert_uint_eq(m->ref.offset, 24);
    ck_assert_uint_eq(m->ref.len, 1000);
    ck_assert_uint_eq(m->from, 5);
    ck_assert_uint_eq(m->from_sequence, expected.from_sequence);
    ck_assert_uint_eq(m->sent_ms, expected.sent_ms);
    ck_assert_uint_eq(m->available_ms, s->version_1 ? 0 : expected.available_ms);
    ck_assert_uint_eq(m->priority, 3);
    s->refused_sum += refused ? m->sequence : 0;
    if (s->forward != 0) {
        outbox_put(s->rig->o, &s->rig->k.keys, s->forward, m);
        ck_assert(bytes_equal(m->group, expected.group)); /* still there */
    }
    return s->stop_at == m->sequence ? error_set(e, ERR_INTERNAL, "stop") : ERR_OK;
}

static int settle(struct rig *r, struct settled *s, uint64_t upto, const uint64_t *refused, size_t count)
{
    s->rig = r;
    return outbox_settle(r->o, &r->k.keys, TARGET, upto, refused, count, visit, s, NULL);
}

/* As version 1 had it: all but the last two fields. */
static void make_version_1(struct rig *r, uint64_t sequence)
{
    struct key key = key_of2(TEST_SHARD, KEY_OUTBOX, TARGET, sequence);
    struct buffer value = {0};
    struct buffer old = {0};
    struct cursor c;
    ck_assert_int_eq(store_get(r->k.store, STORE_STATE, key_view(&key), &value, NULL), ERR_OK);
    ck_assert_int_eq(value_open(key_view(&key), buffer_view(&value), 4, &c, NULL), ERR_OK);
    value_begin(&old, 1);
    buffer_put(&old, c.at, cursor_left(&c) - 3 /* bytes of those varints */);
    value_seal(&old, key_view(&key));
    store_put(r->k.batch, STORE_STATE, key_view(&key), buffer_view(&old));
    keyspace_commit(&r->k);
    buffer_close(&value);
    buffer_close(&old);
}

START_TEST(an_item_of_the_first_version_is_understood)
{
    struct rig r;
    struct settled s = {.next = 1, .version_1 = true};
    rig_open(&r);
    put(&r, TARGET, 1, 2);
    reopen(&r);
    make_version_1(&r, 1);
    make_version_1(&r, 2);
    reopen(&r);
    ck_assert_int_eq(settle(&r, &s, 2, NULL, 0), ERR_OK);
    ck_assert_uint_eq(s.next, 3);
    rig_close(&r);
}
END_TEST

START_TEST(items_come_out_in_order_until_they_are_settled)
{
    struct rig r;
    struct outbox_item *items;
    struct settled s = {.next = 1};
    rig_open(&r);
    ck_assert_uint_eq(list(&r, TARGET, 0, 10, &items), 0);
    put(&r, TARGET, 1, 10);
    ck_assert_uint_eq(list(&r, TARGET, 0, 100, &items), 10); /* before it is written, too */
    reopen(&r);
    ck_assert_uint_eq(outbox_pending(r.o), 10);
    ck_assert_uint_eq(list(&r, TARGET, 0, 4, &items), 4);
    for (uint64_t n = 1; n <= 4; n++) {
        ck_assert_uint_eq(items[n - 1].sequence, n);
        ck_assert_str_eq(items[n - 1].queue, "000000000000:us-east-1:jobs-dead");
        ck_assert_int_eq(items[n - 1].create, n % 2 == 0);
        ck_assert_uint_eq(items[n - 1].ref.index, n);
        ck_assert(bytes_equal(items[n - 1].provenance, bytes_text("provenance")));
    }
    ck_assert_int_eq(settle(&r, &s, 6, NULL, 0), ERR_OK);
    ck_assert_uint_eq(s.next, 7);
    reopen(&r);
    ck_assert_uint_eq(outbox_pending(r.o), 4);
    ck_assert_uint_eq(list(&r, TARGET, 0, 100, &items), 4);
    ck_assert_uint_eq(items[0].sequence, 7);
    ck_assert_uint_eq(list(&r, TARGET, 8, 100, &items), 2);
    ck_assert_uint_eq(list(&r, TARGET, UINT64_MAX - 1, 100, &items), 0);
    ck_assert_int_eq(settle(&r, &s, 10, NULL, 0), ERR_OK);
    commit(&r);
    ck_assert_uint_eq(keyspace_count(&r.k, KEY_OUTBOX), 0);
    put(&r, TARGET, 11, 11); /* sequences go on */
    rig_close(&r);
}
END_TEST

START_TEST(a_repeated_or_mistaken_settlement_does_no_harm)
{
    struct rig r;
    struct settled s = {.next = 1};
    uint64_t refused[] = {9, 2, 2, 1000, 0};
    rig_open(&r);
    ck_assert_int_eq(settle(&r, &s, 100, refused, 5), ERR_OK); /* nothing was ever put */
    put(&r, TARGET, 1, 5);
    commit(&r);
    ck_assert_int_eq(settle(&r, &s, 3, refused, 5), ERR_OK);
    ck_assert_uint_eq(s.refused_sum, 2);
    ck_assert_int_eq(settle(&r, &s, 3, refused, 5), ERR_OK);
    ck_assert_int_eq(settle(&r, &s, 1, refused, 5), ERR_OK);
    ck_assert_uint_eq(s.next, 4);
    ck_assert_int_eq(settle(&r, &s, UINT64_MAX, refused, 5), ERR_OK);
    ck_assert_uint_eq(s.next, 6);
    ck_assert_uint_eq(s.refused_sum, 2);
    ck_assert_uint_eq(outbox_pending(r.o), 0);
    rig_close(&r);
}
END_TEST

START_TEST(a_settled_item_may_be_put_into_another_channel_meanwhile)
{
    struct rig r;
    struct settled s = {.next = 1, .forward = 300};
    struct outbox_item *items;
    uint16_t targets[4];
    rig_open(&r);
    put(&r, TARGET, 1, 3);
    commit(&r);
    ck_assert_int_eq(settle(&r, &s, 3, NULL, 0), ERR_OK);
    commit(&r);
    ck_assert_uint_eq(outbox_targets(r.o, targets, 4), 1);
    ck_assert_uint_eq(targets[0], 300);
    ck_assert_uint_eq(list(&r, 300, 0, 10, &items), 3);
    rig_close(&r);
}
END_TEST

START_TEST(no_more_than_a_window_is_forwarded_beyond_what_is_settled)
{
    struct rig r;
    struct outbox_item *items;
    struct settled s = {.next = 1};
    rig_open(&r);
    put(&r, TARGET, 1, OUTBOX_WINDOW + 100);
    commit(&r);
    ck_assert_uint_eq(list(&r, TARGET, 0, 100000, &items), OUTBOX_WINDOW);
    ck_assert_uint_eq(list(&r, TARGET, OUTBOX_WINDOW, 100000, &items), 0);
    ck_assert_int_eq(settle(&r, &s, 10, NULL, 0), ERR_OK);
    ck_assert_uint_eq(list(&r, TARGET, OUTBOX_WINDOW, 100000, &items), 10);
    rig_close(&r);
}
END_TEST

START_TEST(targets_with_something_to_forward_are_told_in_order)
{
    struct rig r;
    uint16_t targets[4];
    struct settled s = {.next = 1};
    rig_open(&r);
    put(&r, 9, 1, 1);
    put(&r, TARGET, 1, 1);
    put(&r, TEST_SHARD, 1, 1); /* its own shard is a target like others */
    reopen(&r);
    ck_assert_uint_eq(outbox_targets(r.o, targets, 4), 3);
    ck_assert_uint_eq(targets[0], TEST_SHARD);
    ck_assert_uint_eq(targets[1], TARGET);
    ck_assert_uint_eq(targets[2], 9);
    ck_assert_uint_eq(outbox_targets(r.o, targets, 2), 2);
    ck_assert_int_eq(settle(&r, &s, 1, NULL, 0), ERR_OK);
    ck_assert_uint_eq(outbox_targets(r.o, targets, 4), 2);
    rig_close(&r);
}
END_TEST

START_TEST(each_item_is_taken_once_and_its_answer_repeated)
{
    struct rig r;
    int code = -1;
    rig_open(&r);
    ck_assert_int_eq(inbox_look(r.o, SOURCE, 1, &code), INBOX_NEW);
    ck_assert_int_eq(inbox_look(r.o, SOURCE, 2, &code), INBOX_GAP);
    inbox_answer(r.o, SOURCE, 1, ERR_OK);
    inbox_answer(r.o, SOURCE, 2, ERR_LIMIT);
    inbox_answer(r.o, SOURCE, 3, ERR_NOT_FOUND);
    inbox_answer(r.o, SOURCE, 4, ERR_OK);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(inbox_look(r.o, SOURCE, 1, &code), INBOX_SEEN);
        ck_assert_int_eq(code, ERR_OK);
        ck_assert_int_eq(inbox_look(r.o, SOURCE, 2, &code), INBOX_SEEN);
        ck_assert_int_eq(code, ERR_LIMIT); /* said again, or the message would be lost */
        ck_assert_int_eq(inbox_look(r.o, SOURCE, 3, &code), INBOX_SEEN);
        ck_assert_int_eq(code, ERR_NOT_FOUND);
        ck_assert_int_eq(inbox_look(r.o, SOURCE, 0, &code), INBOX_SEEN);
        ck_assert_int_eq(inbox_look(r.o, SOURCE, 5, &code), INBOX_NEW);
        ck_assert_int_eq(inbox_look(r.o, SOURCE, 6, &code), INBOX_GAP);
        ck_assert_int_eq(inbox_look(r.o, SOURCE + 1, 1, &code), INBOX_NEW);
        reopen(&r);
    }
    rig_close(&r);
}
END_TEST

START_TEST(refusals_are_kept_as_long_as_they_may_be_asked_for_and_no_longer)
{
    struct rig r;
    int code = ERR_OK;
    rig_open(&r);
    for (uint64_t n = 1; n <= 3 * OUTBOX_WINDOW; n++) {
        inbox_answer(r.o, SOURCE, n, ERR_LIMIT);
        uint64_t oldest = n > OUTBOX_WINDOW ? n - OUTBOX_WINDOW + 1 : 1;
        ck_assert_int_eq(inbox_look(r.o, SOURCE, oldest, &code), INBOX_SEEN);
        ck_assert_int_eq(code, ERR_LIMIT);
    }
    reopen(&r);
    ck_assert_int_eq(inbox_look(r.o, SOURCE, 2 * OUTBOX_WINDOW + 1, &code), INBOX_SEEN);
    ck_assert_int_eq(code, ERR_LIMIT);
    struct key k = key_of1(TEST_SHARD, KEY_INBOX, SOURCE);
    struct buffer v = {0};
    ck_assert_int_eq(store_get(r.k.store, STORE_STATE, key_view(&k), &v, NULL), ERR_OK);
    ck_assert_uint_lt(v.len, OUTBOX_WINDOW * 4 + 20);
    buffer_close(&v);
    rig_close(&r);
}
END_TEST

START_TEST(a_missing_or_damaged_item_is_corruption_not_the_end)
{
    struct rig r;
    struct outbox_item *items;
    size_t count;
    struct error e = {0};
    struct settled s = {.next = 1};
    rig_open(&r);
    put(&r, TARGET, 1, 3);
    commit(&r);
    struct key k = key_of2(TEST_SHARD, KEY_OUTBOX, TARGET, 2);
    keys_delete(&r.k.keys, &k);
    keyspace_commit(&r.k);
    ck_assert_int_eq(outbox_list(r.o, &r.k.keys, TARGET, 0, 10, every_fourth, NULL, &r.arena, &items, &count, &e),
                     ERR_CORRUPT);
    ck_assert_ptr_nonnull(strstr(e.message, "outbox item"));
    ck_assert_int_eq(settle(&r, &s, 3, NULL, 0), ERR_CORRUPT);
    ck_assert_uint_eq(s.next, 2);
    rig_close(&r);
}
END_TEST

static int any_visit(void *ctx, const struct moving *m, bool refused, struct error *e)
{
    (void)refused;
    (void)e;
    *(size_t *)ctx += m->queue.len + m->group.len + m->provenance.len;
    return ERR_OK;
}

START_TEST(hostile_records_are_reported_or_read_within_their_bounds)
{
    enum key_kind kinds[] = {KEY_OUTBOX, KEY_OUTBOX_HEAD, KEY_INBOX};
    for (uint64_t seed = 1; seed <= 600; seed++) {
        struct rig r;
        struct random random;
        struct error e = {0};
        size_t bytes = 0;
        rig_open(&r);
        random_open(&random, seed);
        put(&r, TARGET, 1, 3);
        inbox_answer(r.o, SOURCE, 1, ERR_LIMIT);
        commit(&r);
        outbox_close(r.o);
        r.o = NULL;
        if (seed % 2 == 0)
            keyspace_damage(&r.k, kinds[seed % 3], &random);
        else
            keyspace_scramble(&r.k, kinds[seed % 3], &random);
        int code = outbox_open(&r.k.keys, &r.o, &e);
        if (code == ERR_OK)
            code = outbox_settle(r.o, &r.k.keys, TARGET, 3, NULL, 0, any_visit, &bytes, &e);
        ck_assert_msg(code == ERR_OK || code == ERR_CORRUPT || code == ERR_VERSION, "%s", e.message);
        if (seed % 2 == 0)
            ck_assert_int_eq(code, ERR_CORRUPT);
        ck_assert_uint_lt(bytes, 1000);
        rig_close(&r);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("outbox");
    TCase *c = tcase_create("outbox");
    tcase_set_timeout(c, 0);
    tcase_add_test(c, items_come_out_in_order_until_they_are_settled);
    tcase_add_test(c, an_item_of_the_first_version_is_understood);
    tcase_add_test(c, a_repeated_or_mistaken_settlement_does_no_harm);
    tcase_add_test(c, a_settled_item_may_be_put_into_another_channel_meanwhile);
    tcase_add_test(c, no_more_than_a_window_is_forwarded_beyond_what_is_settled);
    tcase_add_test(c, targets_with_something_to_forward_are_told_in_order);
    tcase_add_test(c, each_item_is_taken_once_and_its_answer_repeated);
    tcase_add_test(c, refusals_are_kept_as_long_as_they_may_be_asked_for_and_no_longer);
    tcase_add_test(c, a_missing_or_damaged_item_is_corruption_not_the_end);
    tcase_add_test(c, hostile_records_are_reported_or_read_within_their_bounds);
    suite_add_tcase(s, c);
    return keyspace_main(s);
}
