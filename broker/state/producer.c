#include "state/producer.h"

#include <string.h>

#include "base/assert.h"
#include "base/heap.h"
#include "base/idmap.h"
#include "base/memory.h"
#include "state/keys.h"
#include "store/store.h"

enum { VERSION = 1, RUNS_LEFT = 16, BLOCK_RUNS = 256 };
#define NO_BLOCK UINT64_MAX

/* Sequences first .. first + count - 1 of the producer were stored as sequence, sequence + 1, ... */
struct run {
    uint64_t first;
    uint64_t sequence;
    uint64_t queue;
    uint64_t count;
};

struct producer {
    uint64_t id;
    uint64_t settled_below;
    uint64_t heard_ms;
    uint64_t block_last; /* no block in the store ends below it; NO_BLOCK: there is none */
    uint64_t block_from; /* no block begins below it; memory only, it spares going over deleted ones */
    struct run *runs;    /* ascending */
    uint32_t run_count;
    uint32_t run_capacity;
    struct heap_node forget; /* by heard_ms, then id */
    bool dirty;
    struct producer *next_dirty;
};

struct producers {
    struct idmap by_id;
    struct heap by_heard;
    struct producer *dirty;
};

/* ---------------------------------------------------------------- runs */

static void insert_run(struct producer *p, uint32_t at, struct run r)
{
    if (p->run_count == p->run_capacity) {
        p->run_capacity = p->run_capacity == 0 ? 2 : p->run_capacity * 2;
        p->runs = memory_grow(p->runs, p->run_capacity, sizeof *p->runs);
    }
    ASSERT(p->runs != NULL);
    memmove(p->runs + at + 1, p->runs + at, (p->run_count - at) * sizeof *p->runs);
    p->runs[at] = r;
    p->run_count++;
}

static void drop_runs(struct producer *p, uint32_t count)
{
    if (count == 0)
        return;
    memmove(p->runs, p->runs + count, (p->run_count - count) * sizeof *p->runs);
    p->run_count -= count;
    if (p->run_capacity > PRODUCER_RUNS_KEPT && p->run_count <= RUNS_LEFT) {
        p->run_capacity = RUNS_LEFT;
        p->runs = memory_grow(p->runs, p->run_capacity, sizeof *p->runs);
    }
}

/* The first run that does not end before the sequence. */
static uint32_t run_at(const struct run *runs, uint32_t count, uint64_t sequence)
{
    uint32_t low = 0;
    uint32_t high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (runs[middle].first + runs[middle].count <= sequence)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void put_run(struct buffer *v, const struct run *r)
{
    buffer_varint(v, r->first);
    buffer_varint(v, r->count);
    buffer_varint(v, r->sequence);
    buffer_varint(v, r->queue);
}

static struct run take_run(struct cursor *c)
{
    struct run r;
    r.first = cursor_varint(c);
    r.count = cursor_varint(c);
    r.sequence = cursor_varint(c);
    r.queue = cursor_varint(c);
    return r;
}

/* Whether a run as read can be: it comes after what ended at `from` and does not wrap. */
static bool sane(const struct run *r, uint64_t from)
{
    return r->count > 0 && r->first >= from && r->first <= PRODUCER_NUMBER_MAX && r->count <= PRODUCER_NUMBER_MAX;
}

/* ---------------------------------------------------------------- records */

static struct producer *add(struct producers *ps, uint64_t id, uint64_t heard_ms)
{
    struct producer *p = memory_zero(1, sizeof *p);
    p->id = id;
    p->heard_ms = heard_ms;
    p->block_last = NO_BLOCK;
    idmap_put(&ps->by_id, id, p);
    heap_put(&ps->by_heard, &p->forget, heard_ms, id);
    return p;
}

static void destroy(struct producer *p)
{
    memory_free(p->runs);
    memory_free(p);
}

static int load_one(struct producers *ps, struct bytes key, struct bytes value, struct error *e)
{
    struct cursor c;
    uint64_t id = 0;
    int code = value_open(key, value, VERSION, &c, e);
    if (code != ERR_OK)
        return code;
    if (!key_numbers(key, KEY_PRODUCER, &id, 1) || idmap_find(&ps->by_id, id) != NULL)
        return value_corrupt(key, "its key is malformed", e);
    uint64_t settled_below = cursor_varint(&c);
    struct producer *p = add(ps, id, cursor_varint(&c));
    p->settled_below = settled_below;
    p->block_last = cursor_u64(&c);
    uint64_t from = 0;
    for (uint64_t left = cursor_varint(&c); left > 0 && !c.failed; left--) {
        struct run r = take_run(&c);
        if (!c.failed && !sane(&r, from))
            return value_corrupt(key, "its runs are out of order", e);
        insert_run(p, p->run_count, r);
        from = r.first + r.count;
    }
    return value_done(key, &c, e);
}

int producer_open(struct keys *ks, struct producers **out, struct error *e)
{
    struct producers *ps = memory_zero(1, sizeof *ps);
    uintptr_t secret = (uintptr_t)ps; /* nobody outside knows an address */
    ps->by_id.seed = bytes_hash(bytes_of(&secret, sizeof secret), ks->shard);
    struct key from = key_of(ks->shard, KEY_PRODUCER);
    struct key to = key_after(&from);
    int code = ERR_OK;
    struct store_iterator *i = keys_iterate(ks, &from, &to);
    for (; code == ERR_OK && store_iterator_valid(i); store_iterator_next(i))
        code = load_one(ps, store_iterator_key(i), store_iterator_value(i), e);
    if (code == ERR_OK)
        code = store_iterator_error(i, e);
    store_iterator_close(i);
    if (code != ERR_OK) {
        producer_close(ps);
        return code;
    }
    *out = ps;
    return ERR_OK;
}

void producer_close(struct producers *ps)
{
    if (ps == NULL)
        return;
    heap_close(&ps->by_heard);
    size_t at = 0;
    for (struct producer *p; (p = idmap_next(&ps->by_id, &at, NULL)) != NULL;)
        destroy(p);
    idmap_close(&ps->by_id);
    memory_free(ps);
}

static void write_record(struct keys *ks, const struct producer *p)
{
    struct key k = key_of1(ks->shard, KEY_PRODUCER, p->id);
    struct buffer *v = keys_begin(ks, VERSION);
    buffer_varint(v, p->settled_below);
    buffer_varint(v, p->heard_ms);
    buffer_u64(v, p->block_last);
    buffer_varint(v, p->run_count);
    for (uint32_t i = 0; i < p->run_count; i++)
        put_run(v, &p->runs[i]);
    keys_put(ks, &k);
}

/* ---------------------------------------------------------------- blocks of older runs */

static int take_block(struct bytes key, struct bytes value, struct run runs[BLOCK_RUNS], uint32_t *count,
                      struct error *e)
{
    struct cursor c;
    int code = value_open(key, value, VERSION, &c, e);
    if (code != ERR_OK)
        return code;
    uint64_t all = cursor_varint(&c);
    if (all == 0 || all > BLOCK_RUNS)
        return value_corrupt(key, "its number of runs can't be", e);
    uint64_t from = 0;
    for (*count = 0; *count < all && !c.failed; (*count)++) {
        struct run r = take_run(&c);
        if (!c.failed && !sane(&r, from))
            return value_corrupt(key, "its runs are out of order", e);
        runs[*count] = r;
        from = r.first + r.count;
    }
    return value_done(key, &c, e);
}

static uint64_t write_block(struct keys *ks, const struct producer *p, const struct run *runs, uint32_t count)
{
    struct key k = key_of2(ks->shard, KEY_PRODUCER_RUNS, p->id, runs[0].first);
    struct buffer *v = keys_begin(ks, VERSION);
    buffer_varint(v, count);
    for (uint32_t i = 0; i < count; i++)
        put_run(v, &runs[i]);
    keys_put(ks, &k);
    return runs[count - 1].first + runs[count - 1].count - 1;
}

/* All but the newest runs go to the store. */
static void write_blocks(struct keys *ks, struct producer *p)
{
    uint32_t done = 0;
    for (uint32_t left = p->run_count - RUNS_LEFT; left > 0;) {
        uint32_t count = left < BLOCK_RUNS ? left : BLOCK_RUNS;
        uint64_t first = p->runs[done].first;
        uint64_t last = write_block(ks, p, p->runs + done, count);
        if (first < p->block_from)
            p->block_from = first;
        if (last < p->block_last)
            p->block_last = last;
        done += count;
        left -= count;
    }
    drop_runs(p, done);
}

static struct store_iterator *iterate_blocks(struct keys *ks, const struct producer *p, uint64_t upto)
{
    struct key from = key_of2(ks->shard, KEY_PRODUCER_RUNS, p->id, p->block_from);
    struct key to = key_of2(ks->shard, KEY_PRODUCER_RUNS, p->id, upto + 1);
    return keys_iterate(ks, &from, &to);
}

/* Deletes blocks that are settled throughout. Blocks are put at the end of an entry only, after this: the store has
 * all. */
static int drop_blocks(struct keys *ks, struct producer *p, struct error *e)
{
    struct run runs[BLOCK_RUNS];
    int code = ERR_OK;
    uint64_t last_min = NO_BLOCK;
    uint64_t first_min = NO_BLOCK;
    struct store_iterator *i = iterate_blocks(ks, p, PRODUCER_NUMBER_MAX);
    for (; code == ERR_OK && store_iterator_valid(i); store_iterator_next(i)) {
        struct bytes key = store_iterator_key(i);
        uint32_t count = 0;
        code = take_block(key, store_iterator_value(i), runs, &count, e);
        if (code != ERR_OK)
            break;
        ASSERT(count > 0);
        uint64_t last = runs[count - 1].first + runs[count - 1].count - 1;
        if (last < p->settled_below) {
            store_delete(ks->batch, STORE_STATE, key);
            continue;
        }
        last_min = last < last_min ? last : last_min;
        first_min = runs[0].first < first_min ? runs[0].first : first_min;
    }
    if (code == ERR_OK)
        code = store_iterator_error(i, e);
    store_iterator_close(i);
    p->block_last = last_min;
    if (code == ERR_OK)
        p->block_from = first_min;
    return code;
}

/* ---------------------------------------------------------------- a send */

static void forget(struct producers *ps, struct keys *ks, struct producer *p)
{
    struct key k = key_of1(ks->shard, KEY_PRODUCER, p->id);
    keys_delete(ks, &k);
    if (p->block_last != NO_BLOCK) {
        struct key from = key_of1(ks->shard, KEY_PRODUCER_RUNS, p->id);
        struct key to = key_of2(ks->shard, KEY_PRODUCER_RUNS, p->id, UINT64_MAX);
        keys_delete_range(ks, &from, &to);
    }
    idmap_remove(&ps->by_id, p->id);
    destroy(p);
}

static struct producer *silent_longest(const struct producers *ps)
{
    struct heap_node *first = heap_first(&ps->by_heard);
    return first != NULL ? CONTAINER_OF(first, struct producer, forget) : NULL;
}

/* Whether there is room for one more, or someone may be forgotten for it. */
static bool has_room(const struct producers *ps, uint64_t now_ms)
{
    return idmap_count(&ps->by_id) < PRODUCERS_MAX || silent_longest(ps)->heard_ms + PRODUCER_KEPT_MS <= now_ms;
}

/* Who is forgotten was not heard of in this entry: it is not among the dirty ones. */
static void make_room(struct producers *ps, struct keys *ks)
{
    if (idmap_count(&ps->by_id) < PRODUCERS_MAX)
        return;
    struct producer *p = silent_longest(ps);
    ASSERT(!p->dirty);
    heap_remove(&ps->by_heard, &p->forget);
    forget(ps, ks, p);
}

static int notice(const struct run *r, uint64_t queue, uint64_t first, uint32_t count, struct producer_seen *seen,
                  struct error *e)
{
    uint64_t from = r->first > first ? r->first : first;
    uint64_t to = r->first + r->count < first + count ? r->first + r->count : first + count;
    if (from < to && r->queue != queue)
        return error_field(e, ERR_INVALID, "sequence",
                           "sequence %llu of this producer was used for another queue: number all sends of a producer "
                           "from one counter",
                           (unsigned long long)from);
    for (uint64_t s = from; s < to; s++)
        seen[s - first] = (struct producer_seen){.stored = true, .sequence = r->sequence + (s - r->first)};
    return ERR_OK;
}

static int look_at_runs(const struct run *runs, uint32_t run_count, uint64_t queue, uint64_t first, uint32_t count,
                        struct producer_seen *seen, struct error *e)
{
    int code = ERR_OK;
    ASSERT(run_count == 0 || runs != NULL);
    for (uint32_t i = run_at(runs, run_count, first); i < run_count && runs[i].first < first + count && code == ERR_OK;
         i++)
        code = notice(&runs[i], queue, first, count, seen, e);
    return code;
}

static int look_at_blocks(struct keys *ks, const struct producer *p, uint64_t queue, uint64_t first, uint32_t count,
                          struct producer_seen *seen, bool *broken, struct error *e)
{
    struct run runs[BLOCK_RUNS];
    int code = ERR_OK;
    struct store_iterator *i = iterate_blocks(ks, p, first + count - 1);
    for (; code == ERR_OK && store_iterator_valid(i); store_iterator_next(i)) {
        uint32_t run_count = 0;
        code = take_block(store_iterator_key(i), store_iterator_value(i), runs, &run_count, e);
        *broken = code != ERR_OK;
        if (code == ERR_OK)
            code = look_at_runs(runs, run_count, queue, first, count, seen, e);
    }
    if (code == ERR_OK) {
        code = store_iterator_error(i, e);
        *broken = code != ERR_OK;
    }
    store_iterator_close(i);
    return code;
}

static int look(struct keys *ks, const struct producer *p, uint64_t queue, uint64_t first, uint32_t count,
                struct producer_seen *seen, bool *broken, struct error *e)
{
    for (uint32_t i = 0; i < count && first + i < p->settled_below; i++)
        seen[i] = (struct producer_seen){.stored = true};
    /* What is above all that was ever stored is new: no need to look. */
    const struct run *newest = p->run_count > 0 ? &p->runs[p->run_count - 1] : NULL;
    if (newest != NULL && newest->first + newest->count <= first)
        return ERR_OK;
    int code = look_at_runs(p->runs, p->run_count, queue, first, count, seen, e);
    if (code == ERR_OK && p->block_last != NO_BLOCK)
        code = look_at_blocks(ks, p, queue, first, count, seen, broken, e);
    return code;
}

static int check(const struct producers *ps, const struct producer *p, uint64_t first, uint32_t count,
                 uint64_t settled_below, uint64_t now_ms, struct error *e)
{
    if (first == 0 || first > PRODUCER_NUMBER_MAX)
        return error_field(e, ERR_INVALID, "sequence", "a producer numbers its messages 1 to %llu, not %llu",
                           (unsigned long long)PRODUCER_NUMBER_MAX, (unsigned long long)first);
    if (settled_below > first)
        return error_field(e, ERR_INVALID, "settled_below",
                           "settled_below %llu is above sequence %llu, which is being sent: it is the lowest that the "
                           "producer still waits for",
                           (unsigned long long)settled_below, (unsigned long long)first);
    if (p == NULL && !has_room(ps, now_ms))
        return error_field(
            e, ERR_LIMIT, "producer",
            "%d producers sent to this shard within %d minutes, the most allowed: retry later, and keep a "
            "client for many sends",
            (int)PRODUCERS_MAX, (int)(PRODUCER_KEPT_MS / 60000));
    uint64_t settled = p != NULL && p->settled_below > settled_below ? p->settled_below : settled_below;
    if (first + count > (settled > 0 ? settled : 1) + PRODUCER_SEQUENCES_MAX)
        return error_field(
            e, ERR_LIMIT, "settled_below",
            "a producer may be at most %d sequences above settled_below (%llu): raise it as replies come",
            (int)PRODUCER_SEQUENCES_MAX, (unsigned long long)settled);
    return ERR_OK;
}

static void mark(struct producers *ps, struct producer *p)
{
    if (p->dirty)
        return;
    p->dirty = true;
    p->next_dirty = ps->dirty;
    ps->dirty = p;
}

int producer_begin(struct producers *ps, struct keys *ks, uint64_t producer, uint64_t queue, uint64_t first,
                   uint32_t count, uint64_t settled_below, uint64_t now_ms, struct producer_seen *seen, bool *broken,
                   struct error *e)
{
    ASSERT(count > 0);
    *broken = false;
    memset(seen, 0, count * sizeof *seen);
    struct producer *p = idmap_find(&ps->by_id, producer);
    int code = check(ps, p, first, count, settled_below, now_ms, e);
    if (code == ERR_OK && p != NULL)
        code = look(ks, p, queue, first, count, seen, broken, e);
    if (code != ERR_OK)
        return code;
    if (p == NULL) {
        make_room(ps, ks);
        p = add(ps, producer, now_ms);
    }
    p->heard_ms = now_ms;
    heap_move(&ps->by_heard, &p->forget, now_ms, producer);
    if (settled_below > p->settled_below) {
        p->settled_below = settled_below;
        drop_runs(p, run_at(p->runs, p->run_count, settled_below));
    }
    mark(ps, p);
    return ERR_OK;
}

void producer_stored(struct producers *ps, uint64_t producer, uint64_t producer_sequence, uint64_t queue,
                     uint64_t sequence)
{
    struct producer *p = idmap_find(&ps->by_id, producer);
    ASSERT(p != NULL && p->dirty);
    uint32_t at = run_at(p->runs, p->run_count, producer_sequence);
    ASSERT(at == p->run_count || p->runs[at].first > producer_sequence);
    struct run *before = at > 0 ? &p->runs[at - 1] : NULL;
    if (before != NULL && before->first + before->count == producer_sequence && before->queue == queue &&
        before->sequence + before->count == sequence) {
        before->count++;
        return;
    }
    insert_run(p, at, (struct run){.first = producer_sequence, .sequence = sequence, .queue = queue, .count = 1});
}

static int write_one(struct keys *ks, struct producer *p, struct error *e)
{
    int code = ERR_OK;
    if (p->block_last < p->settled_below)
        code = drop_blocks(ks, p, e);
    if (p->run_count > PRODUCER_RUNS_KEPT)
        write_blocks(ks, p);
    write_record(ks, p);
    return code;
}

int producer_write(struct producers *ps, struct keys *ks, struct error *e)
{
    int code = ERR_OK;
    for (struct producer *p = ps->dirty; p != NULL && code == ERR_OK; p = p->next_dirty) {
        p->dirty = false;
        code = write_one(ks, p, e);
    }
    ps->dirty = NULL;
    return code;
}

/* ---------------------------------------------------------------- forgetting */

size_t producer_forget(struct producers *ps, struct keys *ks, uint64_t now_ms, uint64_t led_from_ms, size_t max)
{
    ASSERT(ps->dirty == NULL); /* at an entry's start */
    size_t count = 0;
    for (; count < max && producer_next_due_ms(ps, led_from_ms) <= now_ms; count++)
        forget(ps, ks, CONTAINER_OF(heap_take(&ps->by_heard), struct producer, forget));
    return count;
}

uint64_t producer_next_due_ms(const struct producers *ps, uint64_t led_from_ms)
{
    const struct heap_node *first = heap_first(&ps->by_heard);
    if (first == NULL)
        return UINT64_MAX;
    return (first->key > led_from_ms ? first->key : led_from_ms) + PRODUCER_FORGET_MS;
}
