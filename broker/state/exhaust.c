#include "state/exhaust.h"

#include "proto/client.pb-c.h"
#include "state/chunk.h"
#include "state/lane.h"
#include "state/pick.h"
#include "state/queue.h"

enum { PROVENANCE_TAG = 15 << 3 | 2 };

/* The reason of a dead letter. */
static const char dead[] = "max-receives";

static bool halts(const struct queue *q)
{
    return q->fifo && q->settings->on_exhausted == HATO__ON_EXHAUSTED__HALT_GROUP;
}

uint64_t exhaust_bits(const struct chunk *c, uint64_t bits)
{
    const Hato__QueueSettings *s = c->queue->settings;
    if (s->max_receives == 0 || c->touches == NULL)
        return 0;
    if (!halts(c->queue) && s->dead_letter_queue[0] == '\0')
        return 0;
    uint64_t used_up = 0;
    for (uint64_t left = bits; left != 0; left &= left - 1)
        if (c->touches[chunk_first_slot(left)].receives >= s->max_receives)
            used_up |= left & -left;
    return used_up;
}

static void halt(struct machine *m, struct lane *l)
{
    if (l->halted_ms != 0)
        return;
    l->halted_ms = m->clock_ms > 0 ? m->clock_ms : 1;
    l->queue->counts.halted_groups++;
    queue_mark(m, l->queue);
    lane_mark(m, l, true);
    pick_update(l);
}

int exhaust(struct machine *m, struct chunk *c, uint64_t bits, uint64_t *moved, struct error *e)
{
    struct queue *q = c->queue;
    *moved = 0;
    if (halts(q)) {
        halt(m, c->lane);
        return ERR_OK;
    }
    for (; bits != 0; bits &= bits - 1) {
        unsigned slot = chunk_first_slot(bits);
        int code = exhaust_move(m, c, slot, bytes_text(q->settings->dead_letter_queue), 0, e);
        if (code != ERR_OK)
            return code;
        *moved |= chunk_bit(slot);
    }
    return ERR_OK;
}

static int read_error(struct machine *m, const struct chunk *c, unsigned slot, struct lasterror *out, struct error *e)
{
    *out = (struct lasterror){0};
    if ((c->errors & chunk_bit(slot)) == 0)
        return ERR_OK;
    int code = lasterror_get(&m->keys, c->queue->id, chunk_sequence(c->number, slot), out, e);
    return code == ERR_NOT_FOUND ? ERR_OK : code;
}

/* A redrive takes a dead letter elsewhere than where it came from: it stays one, and can still be redriven there. */
static bool stays_dead(const struct lasterror *last, struct bytes destination)
{
    return last->source.len > 0 && bytes_equal(last->reason, bytes_text(dead)) &&
           !bytes_equal(last->source, destination);
}

/* The field `provenance` as it is appended to a Message. What it doesn't say stays as an earlier move said it: with reason NULL
 * all but when it moved and the last error. */
static void put_provenance(struct machine *m, const struct chunk *c, unsigned slot, const struct lasterror *last,
                           const char *reason, struct buffer *out)
{
    struct queue *q = c->queue;
    char id[IDENTITY_MESSAGE_ID_LEN + 1];
    char text[LASTERROR_TEXT_MAX + 1];
    size_t len = last->text.len < LASTERROR_TEXT_MAX ? last->text.len : LASTERROR_TEXT_MAX;
    if (len > 0)
        memcpy(text, last->text.data, len);
    text[len] = '\0';
    identity_message_id(id, q->id, chunk_sequence(c->number, slot));
    Hato__Provenance p = HATO__PROVENANCE__INIT;
    p.moved_ms = m->clock_ms;
    if (reason != NULL) {
        p.source_queue = q->name;
        p.message_id = id;
        p.sent_ms = last->source.len == 0 ? c->sent_ms : 0;
        p.attempts = c->touches != NULL ? c->touches[slot].receives : 0;
        p.first_received_ms = c->touches != NULL ? c->touches[slot].first_ms : 0;
        p.reason = (char *)(uintptr_t)reason;
    }
    p.last_error = text;
    p.last_status = last->status;
    size_t size = hato__provenance__get_packed_size(&p);
    buffer_varint(out, PROVENANCE_TAG);
    buffer_varint(out, size);
    hato__provenance__pack(&p, buffer_reserve(out, size));
    out->len += size;
}

int exhaust_move(struct machine *m, struct chunk *c, unsigned slot, struct bytes destination, uint64_t redrive,
                 struct error *e)
{
    struct lasterror last;
    struct buffer *provenance = &m->scratch;
    int code = read_error(m, c, slot, &last, e);
    if (code != ERR_OK)
        return code;
    buffer_clear(provenance);
    const char *reason = redrive == 0 ? dead : stays_dead(&last, destination) ? NULL : "redrive";
    put_provenance(m, c, slot, &last, reason, provenance);
    uint16_t target = identity_shard_of(destination, m->options.shards);
    struct moving moving = {
        .queue = destination,
        .create = redrive == 0, /* a dead letter is not lost because its queue is */
        .kept = redrive == 0 || c->queue->fifo,
        .ref = {c->index, c->slots[slot].offset, c->slots[slot].len},
        .provenance = buffer_view(provenance),
        .from = c->queue->id,
        .from_sequence = chunk_sequence(c->number, slot),
        .sent_ms = c->sent_ms,
        .available_ms = chunk_available_ms(c),
        .redrive = redrive,
        .source = last.source,
        .reason = last.reason,
        .priority = c->lane->priority,
        .group = lane_group(c->lane),
    };
    uint64_t sequence = outbox_put(m->outbox, &m->keys, target, &moving);
    machine_effect_once(m, EFFECT_OUTBOX, 0, target, NULL);
    if (moving.kept) {
        chunk_make_moving(m, c, chunk_bit(slot));
        return ERR_OK;
    }
    extent_moving(m->extents, &m->keys, &moving.ref, target, sequence);
    chunk_remove(m, c, chunk_bit(slot), false);
    c->queue->counts.moving++;
    return ERR_OK;
}

static void lift(struct machine *m, struct lane *l)
{
    l->halted_ms = 0;
    l->queue->counts.halted_groups--;
    queue_mark(m, l->queue);
    lane_mark(m, l, true);
    pick_update(l);
    if (!lane_blocked(l) && lane_has_ready(l))
        queue_announce(m, l->queue);
}

/* What was ever received of a FIFO queue and is live is in an open chunk. */
static bool has_used_up(const struct lane *l)
{
    for (const struct list_link *i = list_first(&l->open); i != NULL; i = list_next(&l->open, i)) {
        const struct chunk *c = CONTAINER_OF(i, const struct chunk, open);
        if (exhaust_bits(c, c->ready | c->leased) != 0)
            return true;
    }
    return false;
}

void exhaust_recheck(struct machine *m, struct lane *l)
{
    if (l->halted_ms != 0 && !(halts(l->queue) && has_used_up(l)))
        lift(m, l);
}

bool exhaust_resume(struct machine *m, struct queue *q, struct bytes group)
{
    struct lane *l = lane_find(m, q, 0, group);
    if (l == NULL || l->halted_ms == 0)
        return false;
    for (struct list_link *i = list_first(&l->open); i != NULL; i = list_next(&l->open, i)) {
        struct chunk *c = CONTAINER_OF(i, struct chunk, open);
        uint64_t bits = exhaust_bits(c, c->ready | c->leased);
        if (bits == 0)
            continue;
        for (; bits != 0; bits &= bits - 1)
            c->touches[chunk_first_slot(bits)].receives = 0;
        c->touched = true;
        chunk_mark(m, c);
    }
    lift(m, l);
    return true;
}
