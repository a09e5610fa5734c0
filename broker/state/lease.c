#include "state/lease.h"

#include "state/chunk.h"
#include "state/exhaust.h"
#include "state/lane.h"
#include "state/pick.h"
#include "state/queue.h"

/* More than twice what can hold something: a message of a chunk is in one lease, and late in one. */
enum { LEASES_UNTIDY = 256 };

void lease_tidy(struct chunk *c)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < c->lease_count; i++)
        if ((c->leases[i].bits | c->leases[i].late) != 0)
            c->leases[kept++] = c->leases[i];
    c->lease_count = kept;
}

/* An entry may begin and extend leases of a chunk ten thousands of times: what they leave behind is not gone over each time. Not while
 * leases are gone through. */
static void make_room(struct chunk *c)
{
    if (c->lease_count >= LEASES_UNTIDY)
        lease_tidy(c);
}

/* Picking goes round the lanes, so that one receive may come back to a chunk: its lease stays one. What holds nothing is passed over, so that nobody
 * can tell when it was dropped. */
static struct lease *same_lease(struct chunk *c, uint64_t id, uint64_t until_ms)
{
    for (uint32_t i = c->lease_count; i > 0; i--)
        if (c->leases[i - 1].id == id && c->leases[i - 1].until_ms == until_ms &&
            (c->leases[i - 1].bits | c->leases[i - 1].late) != 0)
            return &c->leases[i - 1];
    return NULL;
}

static struct lease *add(struct chunk *c, struct lease l)
{
    struct lease *same = same_lease(c, l.id, l.until_ms);
    if (same != NULL) {
        same->bits |= l.bits;
        same->late |= l.late;
        return same;
    }
    if (c->lease_count == c->lease_capacity) {
        c->lease_capacity = c->lease_capacity > 0 ? c->lease_capacity * 2 : 1;
        c->leases = memory_grow(c->leases, c->lease_capacity, sizeof *c->leases);
    }
    c->leases[c->lease_count] = l;
    return &c->leases[c->lease_count++];
}

void lease_forget_late(struct chunk *c, uint64_t bits)
{
    for (uint32_t i = 0; i < c->lease_count; i++)
        c->leases[i].late &= ~bits;
}

/* ---------------------------------------------------------------- beginning */

static void count_receive(struct machine *m, struct chunk *c, uint64_t bits)
{
    struct touch *touches = chunk_touches(c);
    for (uint64_t left = bits; left != 0; left &= left - 1) {
        struct touch *t = &touches[chunk_first_slot(left)];
        if (t->first_ms == 0)
            t->first_ms = m->clock_ms;
        if (t->receives < UINT32_MAX)
            t->receives++;
    }
}

void lease_start(struct machine *m, struct chunk *c, uint64_t id, uint64_t until_ms, uint64_t bits)
{
    ASSERT(c->state == CHUNK_OPEN && id != 0 && bits != 0);
    uint32_t n = chunk_bits_count(bits);
    make_room(c);
    lease_forget_late(c, bits);
    count_receive(m, c, bits);
    c->leased |= bits;
    c->lane->in_flight += n;
    c->queue->counts.in_flight += n;
    c->queue->counts.received_total += n;
    add(c, (struct lease){.id = id, .until_ms = until_ms, .bits = bits});
    chunk_take_ready(m, c, bits); /* last: it asks anew whether the lane is eligible */
}

void lease_hold(struct machine *m, struct chunk *c, uint64_t until_ms, uint64_t bits)
{
    ASSERT((bits & (c->ready | c->leased | c->delayed)) == 0 && (bits & ~c->live) == 0);
    uint32_t n = chunk_bits_count(bits);
    c->leased |= bits;
    c->lane->held += n;
    c->queue->held += n;
    c->queue->counts.delayed += n;
    add(c, (struct lease){.until_ms = until_ms, .bits = bits});
    c->touched = true;
    chunk_mark(m, c);
    pick_update(c->lane);
}

void lease_note_delay(struct chunk *c, uint64_t bits, uint64_t until_ms)
{
    add(c, (struct lease){.until_ms = until_ms, .late = bits});
}

/* ---------------------------------------------------------------- looking */

struct lease *lease_find(struct chunk *c, uint64_t id, uint64_t bit)
{
    if (id == 0)
        return NULL;
    for (uint32_t i = 0; i < c->lease_count; i++)
        if (c->leases[i].id == id && (c->leases[i].bits & bit) != 0)
            return &c->leases[i];
    return NULL;
}

bool lease_is_late(const struct chunk *c, uint64_t id, uint64_t bit)
{
    for (uint32_t i = 0; i < c->lease_count; i++)
        if (c->leases[i].id == id && (c->leases[i].late & bit) != 0)
            return id != 0;
    return false;
}

bool lease_holds(const struct chunk *c, uint64_t bit)
{
    for (uint32_t i = 0; i < c->lease_count; i++)
        if (c->leases[i].id == 0 && (c->leases[i].bits & bit) != 0)
            return true;
    return false;
}

uint64_t lease_first_end(const struct chunk *c)
{
    uint64_t first = NEVER;
    for (uint32_t i = 0; i < c->lease_count; i++)
        if (c->leases[i].bits != 0 && c->leases[i].until_ms < first)
            first = c->leases[i].until_ms;
    return first;
}

/* ---------------------------------------------------------------- ending */

/* A group that is free again, or room below max_in_flight, is as good as a new message. */
static void announce_room(struct machine *m, struct lane *l, uint64_t in_flight_before)
{
    struct queue *q = l->queue;
    bool was_full = in_flight_before >= q->settings->max_in_flight && q->counts.ready > 0;
    if (was_full || (q->fifo && !lane_blocked(l) && lane_has_ready(l)))
        queue_announce(m, q);
}

void lease_release(struct machine *m, struct chunk *c, uint64_t bits)
{
    struct queue *q = c->queue;
    uint64_t in_flight_before = q->counts.in_flight;
    for (uint32_t i = 0; i < c->lease_count; i++) {
        struct lease *l = &c->leases[i];
        uint32_t n = chunk_bits_count(l->bits & bits);
        if (n == 0)
            continue;
        l->bits &= ~bits;
        if (l->id != 0) {
            c->lane->in_flight -= n;
            q->counts.in_flight -= n;
        } else {
            c->lane->held -= n;
            q->held -= n;
            q->counts.delayed -= n;
        }
    }
    c->leased &= ~bits;
    c->touched = true;
    chunk_mark(m, c);
    pick_update(c->lane);
    announce_room(m, c->lane, in_flight_before);
}

static void count_waited(struct queue *q, uint64_t waited_ms)
{
    if (q->waited == NULL)
        q->waited = memory_zero(1, sizeof *q->waited);
    unsigned bucket = waited_ms == 0 ? 0 : 64 - (unsigned)__builtin_clzll(waited_ms);
    if (bucket >= WAITED_BUCKETS)
        bucket = WAITED_BUCKETS - 1;
    q->waited->counts[bucket]++;
    q->waited->total++;
    q->waited->sum_ms += waited_ms;
}

void lease_counted(struct chunk *c, uint64_t bits)
{
    for (; bits != 0; bits &= bits - 1) {
        const struct touch *t = &c->touches[chunk_first_slot(bits)];
        if (t->receives == 1)
            count_waited(c->queue, t->first_ms > c->sent_ms ? t->first_ms - c->sent_ms : 0);
    }
}

void lease_extend(struct machine *m, struct chunk *c, uint64_t id, uint64_t bits, uint64_t until_ms)
{
    make_room(c);
    for (uint32_t i = 0; i < c->lease_count; i++)
        if (c->leases[i].id == id)
            c->leases[i].bits &= ~bits;
    add(c, (struct lease){.id = id, .until_ms = until_ms, .bits = bits});
    c->touched = true;
    chunk_mark(m, c);
}

static bool retained(const struct machine *m, const struct chunk *c)
{
    return chunk_available_ms(c) + c->queue->settings->retention_ms > m->clock_ms;
}

static void expire(struct machine *m, struct chunk *c, uint64_t bits)
{
    c->queue->counts.expired_total += chunk_bits_count(bits);
    chunk_remove(m, c, bits, true);
}

int lease_back(struct machine *m, struct chunk *c, uint64_t bits)
{
    lease_release(m, c, bits);
    if (retained(m, c))
        chunk_make_ready(m, c, bits);
    else
        expire(m, c, bits);
    return ERR_OK;
}

int lease_over(struct machine *m, struct chunk *c, uint64_t bits, uint64_t late_id, struct error *e)
{
    struct queue *q = c->queue;
    lease_counted(c, bits);
    lease_release(m, c, bits);
    if (!retained(m, c)) {
        expire(m, c, bits);
        return ERR_OK;
    }
    uint64_t used_up = exhaust_bits(c, bits);
    uint64_t moved = 0;
    int code = used_up != 0 ? exhaust(m, c, used_up, &moved, e) : ERR_OK;
    if (code != ERR_OK)
        return code;
    bits &= ~moved;
    if (late_id != 0 && !q->fifo && bits != 0)
        add(c, (struct lease){.id = late_id, .late = bits});
    chunk_make_ready(m, c, bits);
    return ERR_OK;
}

int lease_end_due(struct machine *m, struct chunk *c, uint32_t *steps, struct error *e)
{
    *steps = 0;
    lease_tidy(c);
    uint32_t count = c->lease_count; /* those added below are not running */
    for (uint32_t i = 0; i < count; i++) {
        struct lease l = c->leases[i];
        if (l.bits == 0 || l.until_ms > m->clock_ms)
            continue;
        *steps += chunk_bits_count(l.bits);
        int code = l.id != 0 ? lease_over(m, c, l.bits, l.id, e) : lease_back(m, c, l.bits);
        if (code != ERR_OK)
            return code;
    }
    return ERR_OK;
}
