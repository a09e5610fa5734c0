/* The extents against a plain list of messages; spilling against what the list says is alive. */
#include "state/extent.h"

#include "state/chunk.h"
#include "state/keyspace.h"

enum { QUEUE = 5, TARGET = 2, MESSAGES = 20000, BODY = 1000 };

/* A chunk here has one message: number = position in the model; its record is a key of the store, so that a snapshot
 * sees it. */
struct message {
    struct message_ref ref;
    bool alive;
    bool moving;
    uint64_t chunk;
    uint64_t item;
};

struct rig {
    struct keyspace k;
    struct extents *x;
    uint64_t index;
    uint64_t next_chunk;
    uint64_t next_item;
    struct message *all;
    size_t count;
    uint64_t alive;
};

static void rig_open(struct rig *r)
{
    *r = (struct rig){.next_chunk = 1, .next_item = 1};
    keyspace_open(&r->k);
    r->all = calloc(MESSAGES, sizeof *r->all);
    ck_assert_ptr_nonnull(r->all);
    ck_assert_int_eq(extent_open(&r->k.keys, 0, &r->x, NULL), ERR_OK);
}

static void rig_close(struct rig *r)
{
    extent_close(r->x);
    keyspace_close(&r->k);
    free(r->all);
}

static void commit(struct rig *r)
{
    struct error e = {0};
    ck_assert_msg(extent_write(r->x, &r->k.keys, &e) == ERR_OK, "%s", e.message);
    keyspace_commit(&r->k);
}

static void reopen(struct rig *r)
{
    struct error e = {0};
    commit(r);
    extent_close(r->x);
    keyspace_reopen(&r->k);
    ck_assert_msg(extent_open(&r->k.keys, r->index, &r->x, &e) == ERR_OK, "%s", e.message);
}

static void write_chunk(struct rig *r, struct message *m)
{
    m->chunk = r->next_chunk++;
    struct key k = chunk_key(TEST_SHARD, QUEUE, m->chunk);
    struct buffer *v = keys_begin(&r->k.keys, 1);
    buffer_u64(v, m->ref.index);
    buffer_u32(v, m->ref.offset);
    buffer_u32(v, m->ref.len);
    keys_put(&r->k.keys, &k);
    extent_add(r->x, m->ref.index, QUEUE, m->chunk, 1, m->ref.len);
}

static void delete_chunk(struct rig *r, const struct message *m)
{
    struct key k = chunk_key(TEST_SHARD, QUEUE, m->chunk);
    keys_delete(&r->k.keys, &k);
}

static void add(struct rig *r, uint32_t offset, uint32_t len)
{
    ck_assert_uint_lt(r->count, MESSAGES);
    struct message *m = &r->all[r->count++];
    *m = (struct message){.ref = {.index = r->index, .offset = offset, .len = len}, .alive = true};
    write_chunk(r, m);
    r->alive++;
}

static void gone(struct rig *r, struct message *m)
{
    if (m->moving)
        extent_moved(r->x, &r->k.keys, m->ref.index, TARGET, m->item);
    else
        delete_chunk(r, m);
    extent_gone(r->x, m->ref.index, 1, m->ref.len);
    m->alive = false;
    r->alive--;
}

static void into_outbox(struct rig *r, struct message *m)
{
    delete_chunk(r, m);
    m->moving = true;
    m->item = r->next_item++;
    extent_moving(r->x, &r->k.keys, &m->ref, TARGET, m->item);
}

/* Refused by the other side: it is settled there, and back in a chunk of its own. */
static void back_from_outbox(struct rig *r, struct message *m)
{
    extent_moved(r->x, &r->k.keys, m->ref.index, TARGET, m->item);
    extent_gone(r->x, m->ref.index, 1, m->ref.len);
    m->moving = false;
    write_chunk(r, m);
}

static int chunk_refs(struct store *store, const struct store_snapshot *snapshot, uint16_t shard, uint64_t queue,
                      uint64_t chunk, struct buffer *buffer, struct message_ref out[EXTENT_CHUNK_SLOTS], size_t *count,
                      struct error *e)
{
    struct key k = chunk_key(shard, queue, chunk);
    struct cursor c;
    *count = 0;
    buffer_clear(buffer);
    int code = store_get_at(store, STORE_STATE, key_view(&k), snapshot, buffer, e);
    if (code == ERR_NOT_FOUND)
        return ERR_OK;
    if (code == ERR_OK)
        code = value_open(key_view(&k), buffer_view(buffer), 1, &c, e);
    if (code != ERR_OK)
        return code;
    out->index = cursor_u64(&c);
    out->offset = cursor_u32(&c);
    out->len = cursor_u32(&c);
    *count = 1;
    return ERR_OK;
}

/* Spills first..last: gives exactly what is alive there, in order. */
static size_t check_spill(struct rig *r, uint64_t first, uint64_t last)
{
    struct extent_spill *s = extent_spill_open(&r->k.keys, first, last, chunk_refs);
    struct message_ref ref;
    struct error e = {0};
    size_t given = 0;
    bool more = true;
    for (size_t i = 0; i < r->count; i++) { /* the model is in order of (index, offset) */
        const struct message *m = &r->all[i];
        if (!m->alive || m->ref.index < first || m->ref.index > last)
            continue;
        ck_assert_msg(extent_spill_next(s, &ref, &more, &e) == ERR_OK, "%s", e.message);
        ck_assert(more);
        ck_assert_uint_eq(ref.index, m->ref.index);
        ck_assert_uint_eq(ref.offset, m->ref.offset);
        ck_assert_uint_eq(ref.len, m->ref.len);
        given++;
    }
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(extent_spill_next(s, &ref, &more, &e), ERR_OK);
        ck_assert(!more);
    }
    extent_spill_close(s);
    return given;
}

static uint64_t first_alive(const struct rig *r)
{
    for (size_t i = 0; i < r->count; i++)
        if (r->all[i].alive)
            return r->all[i].ref.index;
    return UINT64_MAX;
}

/* As the records say. */
static uint64_t live_messages(const struct rig *r)
{
    struct key from = key_of(TEST_SHARD, KEY_EXTENT);
    struct key to = key_after(&from);
    uint64_t sum = 0;
    struct store_iterator *i = store_iterate(r->k.store, STORE_STATE, key_view(&from), key_view(&to), NULL);
    for (; store_iterator_valid(i); store_iterator_next(i)) {
        struct cursor c;
        ck_assert_int_eq(value_open(store_iterator_key(i), store_iterator_value(i), 1, &c, NULL), ERR_OK);
        for (int field = 0; field < 3; field++) /* last, bytes, live_from */
            cursor_varint(&c);
        sum += cursor_varint(&c);
    }
    store_iterator_close(i);
    return sum;
}

static void check_counts(const struct rig *r)
{
    ck_assert_uint_eq(live_messages(r), r->alive);
    uint64_t first = first_alive(r);
    ck_assert_uint_le(extent_first_live(r->x), first);
    if (r->alive == 0)
        ck_assert_uint_eq(extent_first_live(r->x), UINT64_MAX);
}

static void random_entry(struct rig *r, struct random *random)
{
    r->index += 1 + random_below(random, 3);
    for (uint64_t n = random_below(random, 4); n > 0 && r->count < MESSAGES; n--)
        add(r, 24 + (uint32_t)(4 - n) * 100, random_below(random, 3) == 0 ? 3 << 20 : BODY);
    for (uint64_t n = random_below(random, 5); n > 0 && r->count > 0; n--) {
        size_t window = r->count < 300 ? r->count : 300;
        struct message *m = &r->all[r->count - 1 - random_below(random, window)];
        if (!m->alive)
            continue;
        uint64_t what = random_below(random, 10);
        if (m->moving && what < 5)
            back_from_outbox(r, m);
        else if (!m->moving && what < 2)
            into_outbox(r, m);
        else
            gone(r, m);
    }
}

START_TEST(counts_and_spills_are_right_for_any_sequence_of_entries)
{
    struct rig r;
    struct random random;
    rig_open(&r);
    random_open(&random, (uint64_t)_i + 1);
    for (int step = 0; step < 3000; step++) {
        random_entry(&r, &random);
        commit(&r);
        check_counts(&r);
        if (step % 500 == 499)
            reopen(&r);
        if (step % 100 == 99) {
            uint64_t first = random_below(&random, r.index) + 1;
            check_spill(&r, first, first + random_below(&random, 500));
        }
    }
    ck_assert_uint_gt(check_spill(&r, 1, r.index), 0);
    for (size_t i = 0; i < r.count; i++)
        if (r.all[i].alive)
            gone(&r, &r.all[i]);
    r.index++;
    commit(&r);
    check_counts(&r);
    ck_assert_uint_eq(check_spill(&r, 1, r.index), 0);
    ck_assert_uint_le(keyspace_count(&r.k, KEY_EXTENT), 1);
    rig_close(&r);
}
END_TEST

/* 100 entries of 1 MiB of messages; those that `stays` says stay. */
static void fill(struct rig *r, uint64_t stays)
{
    for (int n = 0; n < 100; n++) {
        r->index++;
        add(r, 24, 1 << 20);
        commit(r);
    }
    for (size_t i = 0; i < r->count; i++)
        if (r->all[i].ref.index != stays && r->all[i].alive)
            gone(r, &r->all[i]);
    r->index++;
    commit(r);
}

START_TEST(one_stuck_message_holds_its_own_extent_only)
{
    struct rig r;
    uint64_t ranges[10][2];
    rig_open(&r);
    fill(&r, 50);
    ck_assert_uint_le(extent_first_live(r.x), 50);
    ck_assert_uint_gt(extent_first_live(r.x), 50 - 16);
    ck_assert_uint_eq(keyspace_count(&r.k, KEY_EXTENT), 1);
    ck_assert_uint_le(keyspace_count(&r.k, KEY_ENTRY), 16);
    size_t count = extent_dead_ranges(r.x, 90, ranges, 10);
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq(ranges[0][0], 1);
    ck_assert_uint_lt(ranges[0][1], 50);
    ck_assert_uint_gt(ranges[1][0], 50);
    ck_assert_uint_eq(ranges[1][1], 89);
    ck_assert_uint_eq(extent_dead_ranges(r.x, 90, ranges, 10), 0);
    extent_dead_again(r.x, ranges[1][0], ranges[1][1]);
    extent_dead_again(r.x, ranges[0][0], ranges[0][1]);
    uint64_t again[10][2];
    ck_assert_uint_eq(extent_dead_ranges(r.x, 90, again, 10), 2);
    ck_assert_mem_eq(again, ranges, 2 * sizeof ranges[0]);
    ck_assert_uint_eq(extent_dead_ranges(r.x, 95, ranges, 10), 1);
    ck_assert_uint_eq(ranges[0][0], 90);
    ck_assert_uint_eq(ranges[0][1], 94);
    rig_close(&r);
}
END_TEST

START_TEST(what_was_not_reported_before_a_restart_is_reported_after_it)
{
    struct rig r;
    uint64_t ranges[10][2];
    rig_open(&r);
    fill(&r, 50);
    reopen(&r);
    ck_assert_uint_eq(extent_dead_ranges(r.x, 90, ranges, 1), 1);
    ck_assert_uint_eq(ranges[0][0], 1);
    ck_assert_uint_lt(ranges[0][1], 50);
    ck_assert_uint_eq(extent_dead_ranges(r.x, 90, ranges, 1), 1);
    ck_assert_uint_gt(ranges[0][0], 50);
    ck_assert_uint_eq(ranges[0][1], 89);
    ck_assert_uint_eq(extent_dead_ranges(r.x, 1, ranges, 1), 0);
    rig_close(&r);
}
END_TEST

START_TEST(a_dead_range_never_covers_a_live_message)
{
    struct rig r;
    struct random random;
    rig_open(&r);
    random_open(&random, (uint64_t)_i + 77);
    for (int step = 0; step < 2000; step++) {
        random_entry(&r, &random);
        commit(&r);
        if (step % 300 == 299)
            reopen(&r);
        uint64_t ranges[4][2];
        size_t count = step % 20 == 19 ? extent_dead_ranges(r.x, r.index / 2 + 1, ranges, 4) : 0;
        for (size_t i = 0; i < count; i++) {
            ck_assert_uint_le(ranges[i][0], ranges[i][1]);
            for (size_t m = 0; m < r.count; m++)
                ck_assert(!r.all[m].alive || r.all[m].ref.index < ranges[i][0] || r.all[m].ref.index > ranges[i][1]);
        }
    }
    rig_close(&r);
}
END_TEST

START_TEST(a_queue_emptied_after_each_message_costs_no_range_each_time)
{
    struct rig r;
    size_t ranges = 0;
    rig_open(&r);
    for (int n = 0; n < 3000; n++) {
        r.index++;
        add(&r, 24, 100);
        commit(&r);
        ck_assert_uint_eq(extent_first_live(r.x), r.index);
        r.index++;
        gone(&r, &r.all[r.count - 1]);
        ck_assert_int_eq(extent_write(r.x, &r.k.keys, NULL), ERR_OK);
        struct key first = key_of1(TEST_SHARD, KEY_ENTRY, r.index - 1);
        struct bytes value;
        ranges += store_batch_get(r.k.batch, STORE_STATE, key_view(&first), &value) == STORE_BATCH_DELETED ? 1 : 0;
        keyspace_commit(&r.k);
        ck_assert_uint_eq(extent_first_live(r.x), UINT64_MAX);
    }
    ck_assert_uint_ge(ranges, 3);
    ck_assert_uint_le(ranges, 6);
    ck_assert_uint_le(keyspace_count(&r.k, KEY_ENTRY), 1100);
    rig_close(&r);
}
END_TEST

/* Replicas may come to the messages of an entry in another order. */
START_TEST(what_is_dropped_does_not_depend_on_the_order_in_which_messages_go)
{
    struct rig r;
    rig_open(&r);
    r.index = 1;
    add(&r, 24, BODY);
    commit(&r);
    r.index = 1 + EXTENT_ENTRIES; /* another extent, large enough to be dropped as the last one */
    add(&r, 24, 2 << 20);
    commit(&r);
    ck_assert_uint_eq(keyspace_count(&r.k, KEY_EXTENT), 2);
    r.index++;
    gone(&r, &r.all[_i]);
    gone(&r, &r.all[1 - _i]);
    commit(&r);
    ck_assert_uint_eq(keyspace_count(&r.k, KEY_EXTENT), 0);
    ck_assert_uint_eq(keyspace_count(&r.k, KEY_ENTRY), 0);
    rig_close(&r);
}
END_TEST

START_TEST(a_spill_sees_the_moment_it_was_opened)
{
    struct rig r;
    rig_open(&r);
    for (int n = 0; n < 10; n++) {
        r.index++;
        add(&r, 24, BODY);
    }
    commit(&r);
    struct extent_spill *s = extent_spill_open(&r.k.keys, 1, 10, chunk_refs);
    for (int n = 0; n < 10; n++)
        gone(&r, &r.all[n]);
    r.index++;
    add(&r, 24, BODY);
    commit(&r);
    struct message_ref ref;
    bool more = true;
    size_t given = 0;
    while (extent_spill_next(s, &ref, &more, NULL) == ERR_OK && more)
        given++;
    ck_assert(!more);
    ck_assert_uint_eq(given, 10);
    extent_spill_close(s);
    rig_close(&r);
}
END_TEST

static size_t record_len(struct rig *r, uint64_t index)
{
    struct key k = key_of1(TEST_SHARD, KEY_ENTRY, index);
    struct cursor c;
    ck_assert_int_eq(keys_get(&r->k.keys, &k, 1, &c, NULL), ERR_OK);
    return cursor_left(&c);
}

/* A full dead-letter queue sends them back each time. */
START_TEST(however_often_messages_come_back_their_entry_s_record_stays_small)
{
    enum { ROUNDS = 3000, PAIR_BYTES = 3 };
    size_t messages = _i == 0 ? 1 : 50;
    struct rig r;
    struct random random;
    rig_open(&r);
    random_open(&random, 5);
    r.index = 1;
    for (size_t n = 0; n < messages; n++)
        add(&r, 24 + (uint32_t)n * BODY, BODY);
    commit(&r);
    for (int round = 0; round < ROUNDS; round++) {
        r.index++;
        for (uint64_t n = 1 + random_below(&random, 3); n > 0; n--) {
            struct message *m = &r.all[random_below(&random, messages)];
            if (m->moving)
                back_from_outbox(&r, m);
            else
                into_outbox(&r, m);
        }
        commit(&r);
        ck_assert_uint_le(record_len(&r, 1), (3 * messages + 4) * PAIR_BYTES);
        if (round % 500 == 0)
            reopen(&r);
    }
    ck_assert_uint_eq(check_spill(&r, 1, 1), messages);
    rig_close(&r);
}
END_TEST

START_TEST(hostile_records_are_reported_or_stay_within_bounds)
{
    enum key_kind kinds[] = {KEY_EXTENT, KEY_ENTRY};
    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct rig r;
        struct random random;
        struct error e = {0};
        rig_open(&r);
        random_open(&random, seed);
        for (int n = 0; n < 3; n++) {
            r.index++;
            add(&r, 24, BODY);
            add(&r, 2000, BODY);
        }
        if (seed % 4 < 2)
            into_outbox(&r, &r.all[r.count - 1]);
        commit(&r);
        extent_close(r.x);
        r.x = NULL;
        if (seed % 2 == 0)
            keyspace_damage(&r.k, kinds[seed / 2 % 2], &random);
        else
            keyspace_scramble(&r.k, kinds[seed / 2 % 2], &random);
        int code = extent_open(&r.k.keys, r.index, &r.x, &e);
        struct extent_spill *s = extent_spill_open(&r.k.keys, 1, 10, chunk_refs);
        struct message_ref ref;
        bool more = code == ERR_OK;
        for (int n = 0; n < 100 && more && code == ERR_OK; n++)
            code = extent_spill_next(s, &ref, &more, &e);
        extent_spill_close(s);
        ck_assert_msg(code == ERR_CORRUPT || (code == ERR_OK && seed % 2 == 1), "%s", e.message);
        rig_close(&r);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("extent");
    TCase *c = tcase_create("extent");
    tcase_set_timeout(c, 0);
    tcase_add_loop_test(c, counts_and_spills_are_right_for_any_sequence_of_entries, 0, 4);
    tcase_add_test(c, one_stuck_message_holds_its_own_extent_only);
    tcase_add_test(c, what_was_not_reported_before_a_restart_is_reported_after_it);
    tcase_add_loop_test(c, a_dead_range_never_covers_a_live_message, 0, 4);
    tcase_add_test(c, a_queue_emptied_after_each_message_costs_no_range_each_time);
    tcase_add_loop_test(c, what_is_dropped_does_not_depend_on_the_order_in_which_messages_go, 0, 2);
    tcase_add_test(c, a_spill_sees_the_moment_it_was_opened);
    tcase_add_loop_test(c, however_often_messages_come_back_their_entry_s_record_stays_small, 0, 2);
    tcase_add_test(c, hostile_records_are_reported_or_stay_within_bounds);
    suite_add_tcase(s, c);
    return keyspace_main(s);
}
