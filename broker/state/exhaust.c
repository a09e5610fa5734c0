#include "state/exhaust.h"

#include "state/chunk.h"
#include "state/lane.h"
#include "state/move.h"
#include "state/pick.h"
#include "state/queue.h"

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
        int code = move_message(m, c, slot, bytes_text(q->settings->dead_letter_queue), 0, e);
        if (code != ERR_OK)
            return code;
        *moved |= chunk_bit(slot);
    }
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

/* What it halted at may be on its way elsewhere, and come back. */
void exhaust_recheck(struct machine *m, struct lane *l)
{
    if (l->halted_ms != 0 && l->moving == 0 && !(halts(l->queue) && has_used_up(l)))
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
