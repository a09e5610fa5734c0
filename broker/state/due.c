#include "state/due.h"

#include "state/chunk.h"
#include "state/lane.h"
#include "state/lease.h"
#include "state/queue.h"

/* ---------------------------------------------------------------- what need not be gone over */

/* Keys that were deleted cost as much to go over as others, until the store has cleared them away. The queue remembers the widest
 * stretch without keys that matters. It is in memory only, and spares reading what is not there: the keys found are the same
 * without it, so replicas can't differ by it. */
static bool before(struct due_place a, struct due_place b)
{
    if (a.ms != b.ms)
        return a.ms < b.ms;
    return a.number != b.number ? a.number < b.number : a.bits < b.bits;
}

/* A key is put: the later part of the gap stays, which is the one that others due soon would make go over. */
static void cut_gap(struct due_gap *g, struct due_place key)
{
    if (!before(key, g->after) && before(key, g->to))
        g->after = key;
}

/* There is nothing between the two any more. `again`: what lies there is in the way of the next promotion. */
static void add_gap(struct due_gap *g, struct due_place after, struct due_place to, bool again)
{
    bool apart = before(g->to, after) || !before(g->after, to) || !before(g->after, g->to);
    if (!apart) {
        if (before(after, g->after))
            g->after = after;
        if (before(g->to, to))
            g->to = to;
    } else if (again || !before(after, g->after)) {
        *g = (struct due_gap){after, to};
    }
}

/* ---------------------------------------------------------------- keys */

struct key due_key(const struct machine *m, const struct chunk *c, uint64_t bits, uint64_t at_ms)
{
    return key_of4(m->options.shard, KEY_DUE, c->queue->id, at_ms, c->number, bits);
}

void due_key_put(struct machine *m, const struct chunk *c, uint64_t bits, uint64_t at_ms)
{
    struct key key = due_key(m, c, bits, at_ms);
    keys_begin(&m->keys, 1);
    keys_put_new(&m->keys, &key);
    cut_gap(&c->queue->due_gap, (struct due_place){at_ms, c->number, bits});
}

void due_put(struct machine *m, struct chunk *c, uint64_t bits, uint64_t until_ms)
{
    chunk_make_delayed(m, c, bits);
    lease_note_delay(c, bits, until_ms);
    due_key_put(m, c, bits, until_ms);
    if (until_ms < c->queue->due_from_ms)
        c->queue->due_from_ms = until_ms;
    queue_mark(m, c->queue);
}

void due_put_off(struct machine *m, struct chunk *c, uint64_t bits, uint64_t until_ms)
{
    if (bits == 0)
        return;
    if (!c->queue->fifo) {
        due_put(m, c, bits, until_ms);
        return;
    }
    if (c->state == CHUNK_COLD)
        chunk_open(m, c);
    lease_hold(m, c, until_ms, bits);
}

/* What halted and leased groups have ready is not about to be received: it may not keep others waiting, but for the memory it takes. */
static bool due_full(const struct queue *q)
{
    return q->open_ready - q->open_blocked >= PROMOTED_CHUNKS_MAX || q->open_blocked >= BLOCKED_CHUNKS_MAX;
}

uint64_t due_next_ms(const struct queue *q)
{
    return due_full(q) ? NEVER : q->due_from_ms;
}

/* What of a chunk was waiting under a due key: some of it may have been cancelled since. */
static int promote(struct machine *m, struct queue *q, uint64_t number, uint64_t bits, uint32_t *steps, struct error *e)
{
    struct chunk *c;
    *steps = 1;
    int code = chunk_load(m, q, number, &c, e);
    if (code != ERR_OK || c == NULL)
        return code;
    bits &= c->delayed;
    *steps += chunk_bits_count(bits);
    chunk_take_delayed(m, c, bits);
    if (chunk_available_ms(c) + q->settings->retention_ms <= m->clock_ms) {
        q->counts.expired_total += chunk_bits_count(bits);
        chunk_remove(m, c, bits, true);
        return ERR_OK;
    }
    if (c->state == CHUNK_COLD)
        chunk_open(m, c);
    chunk_make_ready(m, c, bits);
    return ERR_OK;
}

static struct key key_at(const struct machine *m, const struct queue *q, struct due_place p)
{
    return key_of4(m->options.shard, KEY_DUE, q->id, p.ms, p.number, p.bits);
}

/* A promotion under way. */
struct promoting {
    uint32_t *steps_left;
    struct due_place at; /* the first key that is left; NEVER: there is none */
    bool over;           /* it came there */
};

/* Promotes what is due as far as there is room and steps. */
static int promote_range(struct machine *m, struct queue *q, const struct key *from, const struct key *to,
                         struct promoting *p, struct error *e)
{
    int code = ERR_OK;
    struct store_iterator *i = keys_iterate(&m->keys, from, to);
    for (; code == ERR_OK && store_iterator_valid(i); store_iterator_next(i)) {
        uint64_t n[4]; /* queue, time, chunk, bits */
        struct bytes key = store_iterator_key(i);
        if (!key_numbers(key, KEY_DUE, n, 4)) {
            code = value_corrupt(key, "the key is malformed", e);
            break;
        }
        p->over = n[1] > m->clock_ms || due_full(q) || *p->steps_left == 0;
        if (p->over) {
            p->at = (struct due_place){n[1], n[2], n[3]};
            break;
        }
        uint32_t steps;
        code = promote(m, q, n[2], n[3], &steps, e);
        *p->steps_left -= steps < *p->steps_left ? steps : *p->steps_left;
        struct key done = key_of4(m->options.shard, KEY_DUE, n[0], n[1], n[2], n[3]);
        keys_delete(&m->keys, &done);
    }
    int closed = store_iterator_error(i, code == ERR_OK ? e : NULL);
    store_iterator_close(i);
    return code != ERR_OK ? code : closed;
}

/* What lies before the queue's gap, then what lies behind it. */
static int promote_around(struct machine *m, struct queue *q, struct due_place from, struct promoting *p,
                          struct error *e)
{
    const struct due_gap *g = &q->due_gap; /* promoting puts no due key */
    int code = ERR_OK;
    struct key first = key_at(m, q, from);
    if (before(g->after, g->to) && before(from, g->to)) {
        struct key end = key_at(m, q, g->after);
        end.data[end.len++] = 0; /* the key itself is not in the gap */
        if (before(from, g->after))
            code = promote_range(m, q, &first, &end, p, e);
        first = key_at(m, q, g->to);
    }
    struct key all = key_of1(m->options.shard, KEY_DUE, q->id);
    struct key end = key_after(&all);
    return code == ERR_OK && !p->over ? promote_range(m, q, &first, &end, p, e) : code;
}

int due_promote(struct machine *m, struct queue *q, uint32_t *steps_left, struct error *e)
{
    if (due_next_ms(q) > m->clock_ms)
        return ERR_OK;
    struct due_place from = {.ms = q->due_from_ms}; /* no key is there itself */
    struct promoting p = {.steps_left = steps_left, .at = {NEVER, UINT64_MAX, UINT64_MAX}};
    int code = promote_around(m, q, from, &p, e);
    queue_mark(m, q);
    if (code != ERR_OK)
        return code;
    q->due_from_ms = p.at.ms;
    add_gap(&q->due_gap, from, p.at, p.at.ms <= m->clock_ms);
    return ERR_OK;
}
