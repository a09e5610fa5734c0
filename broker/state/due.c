#include "state/due.h"

#include "state/chunk.h"
#include "state/lane.h"
#include "state/lease.h"
#include "state/queue.h"

struct key due_key(const struct machine *m, const struct chunk *c, uint64_t bits, uint64_t at_ms)
{
    return key_of4(m->options.shard, KEY_DUE, c->queue->id, at_ms, c->number, bits);
}

void due_key_put(struct machine *m, const struct chunk *c, uint64_t bits, uint64_t at_ms)
{
    struct key key = due_key(m, c, bits, at_ms);
    keys_begin(&m->keys, 1);
    keys_put_new(&m->keys, &key);
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

int due_promote(struct machine *m, struct queue *q, uint32_t *steps_left, struct error *e)
{
    if (due_next_ms(q) > m->clock_ms)
        return ERR_OK;
    struct key from = key_of2(m->options.shard, KEY_DUE, q->id, q->due_from_ms);
    struct key to = key_of1(m->options.shard, KEY_DUE, q->id);
    to = key_after(&to);
    struct store_iterator *i = keys_iterate(&m->keys, &from, &to);
    int code = ERR_OK;
    q->due_from_ms = NEVER;
    while (code == ERR_OK && store_iterator_valid(i)) {
        uint64_t n[4]; /* queue, time, chunk, bits */
        struct bytes key = store_iterator_key(i);
        if (!key_numbers(key, KEY_DUE, n, 4)) {
            code = value_corrupt(key, "the key is malformed", e);
            break;
        }
        if (n[1] > m->clock_ms || due_full(q) || *steps_left == 0) {
            q->due_from_ms = n[1];
            break;
        }
        uint32_t steps;
        code = promote(m, q, n[2], n[3], &steps, e);
        *steps_left -= steps < *steps_left ? steps : *steps_left;
        struct key done = key_of4(m->options.shard, KEY_DUE, n[0], n[1], n[2], n[3]);
        keys_delete(&m->keys, &done);
        store_iterator_next(i);
    }
    int closed = store_iterator_error(i, e);
    store_iterator_close(i);
    queue_mark(m, q);
    return code != ERR_OK ? code : closed;
}
