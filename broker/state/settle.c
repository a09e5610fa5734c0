/* ack, nack, extend: what happens to messages by their receipts. Receipts of one chunk and lease that follow each other are
 * handled together. */
#include "state/chunk.h"
#include "state/command.h"
#include "state/due.h"
#include "state/exhaust.h"
#include "state/lease.h"
#include "state/queue.h"

struct settling {
    struct queue *queue;
    struct entry_settle in;
    /* the receipts gathered: of one chunk and lease */
    struct chunk *chunk;
    uint64_t lease;
    uint64_t bits; /* held */
    uint64_t late; /* ended, but still to be acked */
    bool allow_late;
    int (*perform)(struct machine *m, struct settling *s, struct error *e);
};

static int perform_ack(struct machine *m, struct settling *s, struct error *e)
{
    (void)e;
    struct chunk *c = s->chunk;
    s->queue->counts.acked_total += chunk_bits_count(s->bits | s->late);
    if (s->bits != 0) {
        lease_counted(c, s->bits);
        lease_release(m, c, s->bits);
    }
    chunk_take_ready(m, c, s->late);
    chunk_remove(m, c, s->bits | s->late, true);
    return ERR_OK;
}

static int keep_error(struct machine *m, struct settling *s, struct error *e)
{
    if (s->in.error.len == 0 && s->in.status == 0)
        return ERR_OK;
    struct chunk *c = s->chunk;
    for (uint64_t left = s->bits; left != 0; left &= left - 1) {
        unsigned slot = chunk_first_slot(left);
        uint64_t sequence = chunk_sequence(c->number, slot);
        struct buffer *kept = &m->scratch; /* what the record had: views of it die with the put */
        struct lasterror l = {0};
        buffer_clear(kept);
        int code = ERR_NOT_FOUND;
        if ((c->errors & chunk_bit(slot)) != 0)
            code = lasterror_get(&m->keys, s->queue->id, sequence, &l, e);
        if (code != ERR_OK && code != ERR_NOT_FOUND)
            return code;
        if (code == ERR_OK) {
            buffer_put(kept, l.source.data, l.source.len);
            buffer_put(kept, l.reason.data, l.reason.len);
            l.source = bytes_of(kept->data, l.source.len);
            l.reason = bytes_of(kept->data + l.source.len, l.reason.len);
        }
        l.text = s->in.error;
        l.status = s->in.status;
        lasterror_put(&m->keys, s->queue->id, sequence, &l);
    }
    c->errors |= s->bits;
    return ERR_OK;
}

static void take_receive_back(struct chunk *c, uint64_t bits)
{
    for (; bits != 0; bits &= bits - 1) {
        struct touch *t = &c->touches[chunk_first_slot(bits)];
        t->receives -= t->receives > 0 ? 1 : 0;
        if (t->receives == 0)
            t->first_ms = 0;
    }
}

static int perform_nack(struct machine *m, struct settling *s, struct error *e)
{
    struct chunk *c = s->chunk;
    int code = keep_error(m, s, e);
    if (code != ERR_OK)
        return code;
    if (s->in.uncounted)
        take_receive_back(c, s->bits);
    if (s->in.delay_ms == 0)
        return s->in.uncounted ? lease_back(m, c, s->bits) : lease_over(m, c, s->bits, 0, e);
    if (!s->in.uncounted)
        lease_counted(c, s->bits);
    lease_release(m, c, s->bits);
    uint64_t used_up = s->in.uncounted ? 0 : exhaust_bits(c, s->bits);
    uint64_t moved = 0;
    code = used_up != 0 ? exhaust(m, c, used_up, &moved, e) : ERR_OK;
    if (code == ERR_OK)
        due_put_off(m, c, s->bits & ~moved, m->clock_ms + s->in.delay_ms);
    return code;
}

static int perform_extend(struct machine *m, struct settling *s, struct error *e)
{
    if (s->in.delay_ms == 0)
        return lease_over(m, s->chunk, s->bits, s->lease, e);
    lease_extend(m, s->chunk, s->lease, s->bits, m->clock_ms + s->in.delay_ms);
    return ERR_OK;
}

static int perform(struct machine *m, struct settling *s, struct error *e)
{
    if ((s->bits | s->late) == 0)
        return ERR_OK;
    queue_mark(m, s->queue);
    int code = s->perform(m, s, e);
    s->bits = 0;
    s->late = 0;
    return code;
}

static int settle_one(struct machine *m, struct settling *s, struct entry_lease in, uint8_t *out, struct error *e)
{
    uint64_t number = in.sequence / CHUNK_SLOTS;
    uint64_t bit = chunk_bit(in.sequence % CHUNK_SLOTS);
    if (s->chunk == NULL || s->chunk->number != number || s->lease != in.lease || ((s->bits | s->late) & bit) != 0) {
        int code = perform(m, s, e);
        if (code != ERR_OK)
            return code;
        s->chunk = tree_find(&s->queue->chunks, number); /* one with leases is in memory */
        s->lease = in.lease;
    }
    *out = ERR_OK;
    if (s->chunk != NULL && lease_find(s->chunk, in.lease, bit) != NULL)
        s->bits |= bit;
    else if (s->chunk != NULL && s->allow_late && lease_is_late(s->chunk, in.lease, bit))
        s->late |= bit;
    else
        *out = ERR_RECEIPT_STALE;
    return ERR_OK;
}

static int settle_all(struct machine *m, struct settling *s, struct reply *r, struct error *e)
{
    r->queue = s->in.queue;
    r->count = s->in.count;
    r->codes = arena_alloc(&m->out->arena, s->in.count);
    s->queue = queue_by_id(m, s->in.queue);
    if (s->queue == NULL) {
        memset(r->codes, ERR_NOT_FOUND, s->in.count);
        return ERR_OK;
    }
    for (uint32_t i = 0; i < s->in.count; i++) {
        int code = settle_one(m, s, entry_lease_next(&s->in), &r->codes[i], e);
        if (code != ERR_OK)
            return code;
    }
    return perform(m, s, e);
}

static int refuse_duration(struct machine *m, struct reply *r, const struct settling *s, const char *field)
{
    r->queue = s->in.queue;
    return reply_refuse(m, r, ERR_INVALID, field, "%s is %llu, at most %llu is possible", field,
                        (unsigned long long)s->in.delay_ms, (unsigned long long)SETTINGS_VISIBILITY_MAX_MS);
}

int command_ack(struct machine *m, const struct entry_command *c, struct reply *r, struct error *e)
{
    struct settling s = {.perform = perform_ack, .allow_late = true};
    int code = entry_read_settle(COMMAND_ACK, c->payload, &s.in, e);
    return code == ERR_OK ? settle_all(m, &s, r, e) : code;
}

int command_nack(struct machine *m, const struct entry_command *c, struct reply *r, struct error *e)
{
    struct settling s = {.perform = perform_nack};
    int code = entry_read_settle(COMMAND_NACK, c->payload, &s.in, e);
    if (code != ERR_OK)
        return code;
    if (s.in.delay_ms > SETTINGS_VISIBILITY_MAX_MS)
        return refuse_duration(m, r, &s, "delay_ms");
    return settle_all(m, &s, r, e);
}

int command_extend(struct machine *m, const struct entry_command *c, struct reply *r, struct error *e)
{
    struct settling s = {.perform = perform_extend};
    int code = entry_read_settle(COMMAND_EXTEND, c->payload, &s.in, e);
    if (code != ERR_OK)
        return code;
    if (s.in.delay_ms > SETTINGS_VISIBILITY_MAX_MS)
        return refuse_duration(m, r, &s, "visibility_ms");
    return settle_all(m, &s, r, e);
}
