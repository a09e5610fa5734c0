#include "state/chunk.h"
#include "state/command.h"
#include "state/lane.h"
#include "state/lease.h"
#include "state/pick.h"
#include "state/queue.h"

/* A receive under way. */
struct taking {
    uint64_t lease;
    uint64_t until_ms;
    uint64_t bytes_left; /* only heeded after the first message */
    uint32_t left;
    bool full; /* the next message does not fit */
    struct received *out;
    size_t count;
};

static void give(const struct chunk *c, unsigned slot, struct taking *t)
{
    const struct touch *touch = &c->touches[slot];
    t->out[t->count++] = (struct received){
        .ref = {c->index, c->slots[slot].offset, c->slots[slot].len},
        .sequence = chunk_sequence(c->number, slot),
        .lease = t->lease,
        .sent_ms = c->sent_ms,
        .first_received_ms = touch->first_ms,
        .lease_until_ms = t->until_ms,
        .receive_count = touch->receives,
    };
}

/* The lowest ready messages of a chunk that fit. */
static uint64_t choose(const struct chunk *c, uint32_t n, struct taking *t)
{
    uint64_t bits = 0;
    for (uint64_t left = c->ready; left != 0 && n > 0; left &= left - 1, n--) {
        uint64_t len = c->slots[chunk_first_slot(left)].len;
        if (len > t->bytes_left && (t->count > 0 || bits != 0)) {
            t->full = true;
            break;
        }
        t->bytes_left -= len < t->bytes_left ? len : t->bytes_left;
        bits |= left & -left;
    }
    return bits;
}

/* The lane's lowest chunk with something ready; a fresh one is opened. */
static int lowest_chunk(struct machine *m, struct lane *l, struct chunk **out, struct error *e)
{
    uint64_t number = 0;
    struct chunk *open = tree_first(&l->ready, &number);
    struct chunk *fresh = NULL;
    if (lane_has_fresh(l)) {
        int code = lane_first_fresh(m, l, &fresh, e);
        if (code != ERR_OK)
            return code;
    }
    if (fresh == NULL || (open != NULL && number < fresh->number)) {
        *out = open;
        return ERR_OK;
    }
    lane_unlist(m, fresh);
    chunk_open(m, fresh);
    *out = fresh;
    return ERR_OK;
}

static int take_from_lane(struct machine *m, struct lane *l, uint32_t run, struct taking *t, struct error *e)
{
    uint32_t taken = 0;
    while (taken < run && !t->full) {
        struct chunk *c;
        int code = lowest_chunk(m, l, &c, e);
        if (code != ERR_OK)
            return code;
        if (c == NULL)
            break;
        uint64_t bits = choose(c, run - taken, t);
        if (bits == 0)
            break;
        lease_start(m, c, t->lease, t->until_ms, bits);
        taken += chunk_bits_count(bits);
        for (; bits != 0; bits &= bits - 1)
            give(c, chunk_first_slot(bits), t);
    }
    t->left -= taken;
    if (taken > 0)
        pick_served(m, l, taken);
    else
        pick_update(l);
    return ERR_OK;
}

static int take(struct machine *m, struct queue *q, struct taking *t, struct error *e)
{
    while (t->left > 0 && !t->full) {
        uint32_t run = 0;
        struct lane *l = pick_next(q, t->left, &run);
        if (l == NULL)
            break;
        size_t before = t->count;
        int code = take_from_lane(m, l, run, t, e);
        if (code != ERR_OK)
            return code;
        ASSERT(t->count > before || t->full || pick_next(q, t->left, &run) != l);
    }
    return ERR_OK;
}

/* With a visibility of 0 the messages are ready again at once; their receipts are those of a lease that ended. */
static int end_at_once(struct machine *m, struct queue *q, const struct taking *t, struct error *e)
{
    uint64_t last = 0;
    for (size_t i = 0; i < t->count; i++) {
        uint64_t number = t->out[i].sequence / CHUNK_SLOTS;
        if (number == last)
            continue;
        last = number;
        struct chunk *c = tree_find(&q->chunks, number);
        uint64_t bits = 0;
        for (uint32_t k = 0; k < c->lease_count; k++)
            if (c->leases[k].id == t->lease)
                bits |= c->leases[k].bits;
        int code = bits != 0 ? lease_over(m, c, bits, t->lease, e) : ERR_OK;
        if (code != ERR_OK)
            return code;
    }
    return ERR_OK;
}

/* What could be given may be much more than what is: it is gathered where one receive after the other can use the memory. */
static struct received *room_for(struct machine *m, uint32_t count)
{
    if (m->taken_capacity < count) {
        m->taken = memory_grow(m->taken, count, sizeof *m->taken);
        m->taken_capacity = count;
    }
    return m->taken;
}

static uint32_t at_most(uint32_t a, uint64_t b)
{
    return b < a ? (uint32_t)b : a;
}

int command_receive(struct machine *m, const struct entry_command *c, struct reply *r, struct error *e)
{
    struct entry_receive in;
    int code = entry_read_receive(c->payload, &in, e);
    if (code != ERR_OK)
        return code;
    r->queue = in.queue;
    r->tag = in.tag;
    struct queue *q = queue_by_id(m, in.queue);
    if (q == NULL)
        return reply_refuse(m, r, ERR_NOT_FOUND, "queue", "there is no such queue");
    uint64_t visibility = in.visibility_ms == ENTRY_VISIBILITY_DEFAULT ? q->settings->visibility_ms : in.visibility_ms;
    if (visibility > SETTINGS_VISIBILITY_MAX_MS)
        return reply_refuse(m, r, ERR_INVALID, "visibility_ms", "visibility_ms is %llu, at most %llu is possible",
                            (unsigned long long)visibility, (unsigned long long)SETTINGS_VISIBILITY_MAX_MS);
    uint64_t room =
        q->settings->max_in_flight > q->counts.in_flight ? q->settings->max_in_flight - q->counts.in_flight : 0;
    if (room == 0 && q->counts.ready > 0 && !q->fifo)
        return reply_refuse(m, r, ERR_LIMIT, "max_in_flight",
                            "%llu messages are in flight, the queue's max_in_flight is %u: ack some, or raise it",
                            (unsigned long long)q->counts.in_flight, q->settings->max_in_flight);
    struct taking t = {.lease = m->next_lease, .until_ms = m->clock_ms + visibility};
    t.left = at_most(at_most(at_most(in.max_messages, RECEIVE_MESSAGES_MAX), room), q->counts.ready);
    t.bytes_left = in.max_bytes > 0 ? in.max_bytes : UINT64_MAX;
    t.out = room_for(m, t.left);
    code = take(m, q, &t, e);
    if (code == ERR_OK && visibility == 0)
        code = end_at_once(m, q, &t, e);
    if (t.count > 0)
        m->next_lease++;
    r->received = arena_copy(&m->out->arena, t.out, t.count * sizeof *t.out);
    r->count = t.count;
    return code;
}
