#include "sim/sim_model.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/error.h"

void sim_violate(struct sim_model *m, const char *format, ...)
{
    if (m->violation[0] != '\0')
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(m->violation, sizeof m->violation, format, args);
    va_end(args);
}

/* ---------------------------------------------------------------- where a message is */

static int compare(const struct sim_place *a, const struct sim_place *b)
{
    if (a->queue != b->queue)
        return a->queue < b->queue ? -1 : 1;
    return a->sequence == b->sequence ? 0 : a->sequence < b->sequence ? -1 : 1;
}

static struct sim_place *place_in(struct sim_message *x, int queue)
{
    return &x->places[queue != x->queue];
}

const struct sim_place *sim_place(const struct sim_message *x)
{
    return &x->places[x->at != x->queue];
}

static bool may_be_gone(const struct sim_message *x)
{
    return x->maybe_gone || x->confused || x->ending > 0;
}

/* Receives that no client saw count as well: a leader that ends may lose one of each message. */
static bool may_have_moved(const struct sim_model *m, const struct sim_message *x)
{
    uint32_t most = m->queues[x->at].max_receives;
    if (x->at != x->queue)
        return m->redrives[x->at] > 0;
    return m->queues[x->at].dead >= 0 && (x->maybe_moved || x->count + (m->lost[x->at] - x->lost) >= most);
}

/* Not taken by its dead-letter queue it stays, and is received more often than allowed. */
static bool may_be_refused(const struct sim_model *m, int queue)
{
    int dead = m->queues[queue].dead;
    return dead >= 0 && m->limits[dead] > 0;
}

static bool may_come_back(const struct sim_model *m, const struct sim_message *x)
{
    int dead = m->queues[x->queue].dead;
    return dead >= 0 && m->redrives[dead] > 0;
}

static bool may_be_in(const struct sim_model *m, const struct sim_message *x, int queue)
{
    bool knows = queue == x->queue || queue == m->queues[x->queue].dead;
    return x->at == queue || (knows && may_have_moved(m, x));
}

/* ---------------------------------------------------------------- sends */

static void merge(struct sim_model *m, struct sim_message *x, const struct sim_message *into)
{
    x->state = SIM_REFUSED;
    m->merged++;
    if (x->deliveries > 0)
        sim_violate(m, "messages %zu and %zu are one by their deduplication id, and both were delivered",
                    (size_t)(x - m->messages), (size_t)(into - m->messages));
}

/* Of those with one deduplication id only one is stored within a window. An answer may be called a duplicate only because it is the
 * second one to the same send. */
static void check_twin(struct sim_model *m, uint32_t i, struct sim_message *other, bool duplicate, uint64_t now_ms)
{
    struct sim_message *x = &m->messages[i];
    if (other == x || other->id != x->id || other->state == SIM_REFUSED)
        return;
    if (other->first.sequence == 0 && duplicate && x->deliveries == 0)
        x->confused = true; /* which of the two was stored? */
    if (other->first.queue != x->first.queue)
        return;
    uint64_t begun_ms = x->begun_ms < other->begun_ms ? x->begun_ms : other->begun_ms;
    if (x->first.sequence == other->first.sequence) {
        if (other->itself || other->deliveries > 0)
            merge(m, x, other);
        else if (x->itself || x->deliveries > 0)
            merge(m, other, x);
        else
            x->confused = other->confused = true;
    } else if (now_ms < begun_ms + SIM_DEDUPLICATION_WINDOW_MS) {
        sim_violate(m, "messages %u and %zu were both stored since %" PRIu64 ", but have one deduplication id", i,
                    (size_t)(other - m->messages), begun_ms);
    }
}

void sim_stored(struct sim_model *m, uint32_t i, uint64_t queue_id, uint64_t sequence, bool duplicate, uint64_t now_ms)
{
    struct sim_message *x = &m->messages[i];
    if (x->state == SIM_REFUSED)
        sim_violate(m, "message %u was refused and then stored", i);
    if (queue_id != 0 && x->first.queue == queue_id && x->first.sequence != sequence)
        sim_violate(m, "message %u was stored twice: as %" PRIu64 " and %" PRIu64 " (duplicate %d)", i,
                    x->first.sequence, sequence, duplicate);
    if (x->state == SIM_SENDING) {
        x->state = SIM_STORED;
        m->stored++;
    }
    if (queue_id == 0 || sequence == 0)
        return;
    x->first = (struct sim_place){.queue = queue_id, .sequence = sequence};
    x->itself = x->itself || !duplicate;
    for (size_t k = 0; x->id != 0 && x->state != SIM_REFUSED && k < m->count; k++)
        check_twin(m, i, &m->messages[k], duplicate, now_ms);
    if (x->places[0].sequence == 0 && x->state != SIM_REFUSED)
        x->places[0] = x->first;
}

void sim_left_behind(struct sim_model *m, uint32_t i)
{
    struct sim_message *x = &m->messages[i];
    x->maybe_gone = true;
    if (x->state == SIM_SENDING)
        x->state = SIM_STORED;
}

void sim_settling(struct sim_model *m, uint32_t i, bool ends, int by)
{
    uint8_t *count = ends ? &m->messages[i].ending : &m->messages[i].changing;
    m->messages[i].changed = m->messages[i].changed || !ends;
    *count = (uint8_t)(*count + by);
}

/* ---------------------------------------------------------------- deliveries */

/* On a FIFO queue nothing of the same group that came before may still be there. */
static void check_order(struct sim_model *m, const struct sim_delivery *d, const struct sim_message *y)
{
    const struct sim_message *x = &m->messages[d->message];
    const struct sim_place *place = sim_place(y);
    bool same_batch = y->lease == d->lease && y->lease_until_ms == d->until_ms;
    if (place->queue == d->queue_id && place->sequence < d->sequence && !may_have_moved(m, y) && !same_batch)
        sim_violate(
            m, "FIFO: message %u (sequence %" PRIu64 ") of group %u came before message %zu (sequence %" PRIu64 ")",
            d->message, d->sequence, x->group, (size_t)(y - m->messages), place->sequence);
}

/* It was received before, and did not leave: nothing behind it was received since. */
static void check_behind(struct sim_model *m, const struct sim_delivery *d, uint64_t before_ms,
                         const struct sim_message *y)
{
    const struct sim_place *place = sim_place(y);
    if (before_ms != 0 && place->queue == d->queue_id && place->sequence > d->sequence && y->lease != d->lease &&
        y->leased_ms > before_ms)
        sim_violate(m,
                    "FIFO: message %zu (sequence %" PRIu64 ") came at %" PRIu64 ", between two leases of message %u "
                    "(sequence %" PRIu64 ", since %" PRIu64 ")",
                    (size_t)(y - m->messages), place->sequence, y->leased_ms, d->message, d->sequence, before_ms);
}

static bool may_be_resumed(const struct sim_model *m, const struct sim_message *x)
{
    const struct sim_group *g = &m->groups[x->at][x->group];
    return g->unknown || g->resuming > 0 || x->leased_ms <= g->resumed_ms;
}

/* A group that halted, or whose message has its last lease, is not received from. */
static void check_halt(struct sim_model *m, const struct sim_delivery *d, const struct sim_message *y)
{
    const struct sim_queue *q = &m->queues[y->at];
    if (q->halts && y->count >= q->max_receives && y->changing == 0 && d->at_ms > y->leased_ms &&
        d->lease != y->lease && sim_place(y)->queue == d->queue_id && !may_be_resumed(m, y))
        sim_violate(m, "message %u was leased at %" PRIu64 ", its group halts at message %zu, which was at %" PRIu64,
                    d->message, d->at_ms, (size_t)(y - m->messages), y->leased_ms);
}

/* `before_ms`: its lease before this one began then, in the same place; 0: it had none there. */
static void check_group(struct sim_model *m, const struct sim_delivery *d, uint64_t before_ms)
{
    const struct sim_message *x = &m->messages[d->message];
    for (size_t i = 0; i < m->count; i++) {
        const struct sim_message *y = &m->messages[i];
        if (y == x || y->queue != x->queue || y->at != x->at || y->group != x->group || sim_place(y)->sequence == 0 ||
            y->confused)
            continue;
        check_behind(m, d, before_ms, y);
        if (y->state != SIM_STORED || may_be_gone(y))
            continue;
        check_order(m, d, y);
        check_halt(m, d, y);
    }
}

/* It may go into its dead-letter queue when its receives are used up, and back to where it came from by a redrive, both also unseen. */
static void arrive(struct sim_model *m, struct sim_message *x, const struct sim_delivery *d)
{
    bool possible = may_have_moved(m, x) && (d->queue != x->at || may_come_back(m, x));
    if (!possible)
        sim_violate(m,
                    "message %u of queue %d (sequence %" PRIu64 ", received %u times) turned up in queue %d as %" PRIu64
                    ", received %u times",
                    d->message, x->at, sim_place(x)->sequence, x->count, d->queue, d->sequence, d->count);
    if (d->queue == x->queue)
        m->redriven++;
    else
        m->dead++;
    x->at = (uint8_t)d->queue;
    x->count = 0;
    x->maybe_moved = false;
    x->lost = 0;
    x->due_ms = 0;
    x->lease = 0;
    x->lease_until_ms = 0; /* its last lease ended by time or nack before it moved */
}

/* A leader that was cut off may learn so late that its receive was committed that another one has leased the message again, or moved it:
 * what it delivers then is an older lease, which has to be over by the newer one's time. */
static bool is_late(struct sim_model *m, struct sim_message *x, const struct sim_delivery *d, int compared)
{
    const struct sim_place *p = place_in(x, d->queue);
    if (p->sequence == 0) {
        if (d->queue == x->at || d->queue != x->queue)
            return false;
        x->confused = m->redrives[x->at] > 0; /* from before it left, or from after it came back? */
        return true;
    }
    if (compared > 0)
        return false;
    if (compared < 0 && p->seen_ms != 0 && d->at_ms > p->seen_ms)
        sim_violate(m, "message %u is stored twice: as %" PRIu64 " and %" PRIu64, d->message, p->sequence, d->sequence);
    if (compared < 0 || d->queue != x->at)
        return true;
    if (d->lease >= x->lease)
        return false;
    if (d->until_ms > x->leased_ms && x->changing == 0 && !x->changed)
        sim_violate(m, "message %u was leased until %" PRIu64 " and to another from %" PRIu64, d->message, d->until_ms,
                    x->leased_ms);
    return true;
}

static void check_lease(struct sim_model *m, const struct sim_message *x, const struct sim_delivery *d)
{
    if (x->lease_until_ms > d->at_ms && x->changing == 0)
        sim_violate(m, "message %u is leased until %" PRIu64 " and delivered again at %" PRIu64, d->message,
                    x->lease_until_ms, d->at_ms);
    if (d->queue == x->queue && d->sent_ms < x->asked_ms)
        sim_violate(m, "message %u was sent at %" PRIu64 " and counts as sent at %" PRIu64, d->message, x->asked_ms,
                    d->sent_ms);
    if (x->due_ms > d->at_ms)
        sim_violate(m, "message %u is due at %" PRIu64 " and delivered at %" PRIu64, d->message, x->due_ms, d->at_ms);
    bool halts = m->queues[d->queue].halts;
    if (d->count <= x->count && x->changing == 0 && !(halts && may_be_resumed(m, x)))
        sim_violate(m, "message %u is delivered with receive count %u after %u", d->message, d->count, x->count);
    uint32_t most = m->queues[d->queue].max_receives;
    if (most > 0 && d->count > most && !may_be_refused(m, d->queue))
        sim_violate(m, "message %u is delivered for the %uth time, at most %u are allowed", d->message, d->count, most);
}

static void take(struct sim_model *m, struct sim_message *x, const struct sim_delivery *d, int compared)
{
    uint32_t most = m->queues[d->queue].max_receives;
    struct sim_place *p = place_in(x, d->queue);
    if (compared != 0)
        *p = (struct sim_place){.queue = d->queue_id, .sequence = d->sequence};
    if (p->seen_ms == 0)
        p->seen_ms = d->at_ms;
    if (x->first.sequence == 0 && x->deliveries == 0 && d->queue == x->queue && !may_come_back(m, x))
        x->first = *p;
    x->deliveries++;
    x->count = d->count;
    x->lease = d->lease;
    x->leased_ms = d->at_ms;
    x->lease_until_ms = d->until_ms;
    x->maybe_moved = most > 0 && d->count >= most;
}

void sim_delivered(struct sim_model *m, const struct sim_delivery *d)
{
    if (d->message >= m->count) {
        sim_violate(m, "a message that nobody sent was delivered: %u", d->message);
        return;
    }
    struct sim_message *x = &m->messages[d->message];
    m->deliveries++;
    if (d->queue != x->queue && d->queue != m->queues[x->queue].dead) {
        sim_violate(m, "message %u of queue %d turned up in queue %d", d->message, x->queue, d->queue);
        return;
    }
    if (x->state == SIM_REFUSED)
        sim_violate(m, "message %u was refused and is delivered", d->message);
    const struct sim_place is = {.queue = d->queue_id, .sequence = d->sequence};
    const struct sim_place *known = place_in(x, d->queue);
    int compared = compare(&is, known);
    if (compared == 0 && known->purged_ms != 0 && d->at_ms > known->purged_ms)
        sim_violate(m, "message %u (queue %d, sequence %" PRIu64 ") was purged by %" PRIu64 " and leased at %" PRIu64,
                    d->message, d->queue, d->sequence, known->purged_ms, d->at_ms);
    if (d->queue == x->queue && x->first.sequence != 0 && x->first.queue == d->queue_id &&
        d->sequence < x->first.sequence)
        sim_violate(m, "message %u was stored as %" PRIu64 ", and before as %" PRIu64, d->message, x->first.sequence,
                    d->sequence);
    if (is_late(m, x, d, compared) || x->confused)
        return;
    if (x->state == SIM_GONE &&
        d->until_ms <= x->cancelled_ms) /* late too: its lease was over, or it could not be cancelled */
        return;
    if (x->state == SIM_GONE)
        sim_violate(m, "message %u was acked and is delivered again (queue %d, sequence %" PRIu64 ")", d->message,
                    d->queue, d->sequence);
    if (d->queue != x->at || (known->sequence != 0 && compared > 0))
        arrive(m, x, d);
    uint64_t before_ms = compared == 0 ? x->leased_ms : 0;
    check_lease(m, x, d); /* not before: another shard has a clock of its own */
    take(m, x, d, compared);
    if (m->queues[d->queue].fifo)
        check_group(m, d, before_ms);
}

/* ---------------------------------------------------------------- settling */

static bool is_current(const struct sim_message *x, const struct sim_delivery *d)
{
    const struct sim_place *p = sim_place(x);
    return x->at == d->queue && p->queue == d->queue_id && p->sequence == d->sequence && x->lease == d->lease;
}

/* A settlement was refused as stale: only right when the lease is over. */
static void check_stale(struct sim_model *m, const struct sim_delivery *d, uint64_t now_ms, const char *what)
{
    const struct sim_message *x = &m->messages[d->message];
    if (is_current(x, d) && x->lease_until_ms > now_ms && x->changing == 0 && !may_be_gone(x) && x->state != SIM_GONE)
        sim_violate(m, "%s of message %u was refused as stale at %" PRIu64 ", its lease lasts until %" PRIu64, what,
                    d->message, now_ms, x->lease_until_ms);
}

void sim_acked(struct sim_model *m, const struct sim_delivery *d, int code, uint64_t now_ms)
{
    struct sim_message *x = &m->messages[d->message];
    if (code == ERR_OK) {
        if (!is_current(x, d) && !may_be_gone(x))
            sim_violate(m, "a stale receipt of message %u was accepted", d->message);
        x->state = SIM_GONE;
        m->acked++;
    } else if (code == ERR_RECEIPT_STALE) {
        check_stale(m, d, now_ms, "ack");
    } else if (code == ERR_UNKNOWN_OUTCOME || code == ERR_CLOSED) {
        x->maybe_gone = true;
    }
}

void sim_nacked(struct sim_model *m, const struct sim_delivery *d, int code, uint64_t now_ms, uint64_t delay_ms,
                bool uncounted)
{
    struct sim_message *x = &m->messages[d->message];
    if (code == ERR_RECEIPT_STALE) {
        check_stale(m, d, now_ms, "nack");
        return;
    }
    if (!is_current(x, d))
        return;
    bool is_here = x->queue == x->at;
    x->lease_until_ms = 0;
    if (uncounted && x->count > 0)
        x->count--;
    if (uncounted && code == ERR_OK)
        x->maybe_moved = false;
    if (code == ERR_OK && is_here)
        x->due_ms = now_ms + delay_ms;
}

void sim_extended(struct sim_model *m, const struct sim_delivery *d, int code, uint64_t now_ms, uint64_t until_ms)
{
    struct sim_message *x = &m->messages[d->message];
    if (code == ERR_RECEIPT_STALE)
        check_stale(m, d, now_ms, "extend");
    else if (is_current(x, d) && (code == ERR_OK || until_ms < x->lease_until_ms))
        x->lease_until_ms = until_ms; /* when the outcome is not known: the earlier of the two ends */
}

void sim_cancelled(struct sim_model *m, uint32_t i, int code, uint64_t now_ms)
{
    struct sim_message *x = &m->messages[i];
    if (code == ERR_OK) {
        if (x->state == SIM_GONE)
            sim_violate(m, "message %u was cancelled after it was acked", i);
        x->state = SIM_GONE;
        x->cancelled_ms = now_ms;
    } else if (code == ERR_UNKNOWN_OUTCOME || code == ERR_CLOSED) {
        x->maybe_gone = true;
    } else if (code == ERR_NOT_FOUND && x->state == SIM_STORED && x->at == x->queue && !may_be_gone(x) &&
               !may_have_moved(m, x)) {
        sim_violate(m, "message %u was acknowledged and cannot be found", i);
    }
}

/* ---------------------------------------------------------------- what empties a queue or lets it go on */

/* What was or may have been in the queue may be gone from now on; what is sent later may not. */
static void may_go(struct sim_model *m, int queue)
{
    for (size_t i = 0; i < m->count; i++) {
        struct sim_message *x = &m->messages[i];
        if ((x->state == SIM_SENDING || x->state == SIM_STORED) && may_be_in(m, x, queue))
            x->maybe_gone = true;
    }
}

void sim_emptying(struct sim_model *m, int queue)
{
    may_go(m, queue);
    for (size_t i = 0; i < m->count; i++) {
        struct sim_message *x = &m->messages[i];
        if (queue == x->queue || queue == m->queues[x->queue].dead)
            place_in(x, queue)->purging = place_in(x, queue)->sequence != 0;
    }
}

void sim_emptied(struct sim_model *m, int queue, int code, uint64_t now_ms)
{
    may_go(m, queue);
    for (size_t i = 0; i < m->count; i++) {
        struct sim_message *x = &m->messages[i];
        if (queue != x->queue && queue != m->queues[x->queue].dead)
            continue;
        struct sim_place *p = place_in(x, queue);
        if (p->purging && code == ERR_OK && p->purged_ms == 0)
            p->purged_ms = now_ms;
        p->purging = false;
    }
}

void sim_resuming(struct sim_model *m, int queue, unsigned group)
{
    m->groups[queue][group].resuming++;
}

void sim_resumed(struct sim_model *m, int queue, unsigned group, int code, uint64_t now_ms)
{
    struct sim_group *g = &m->groups[queue][group];
    g->resuming--;
    if (code == ERR_OK)
        g->resumed_ms = now_ms;
    else if (code != ERR_NOT_FOUND)
        g->unknown = true;
    m->resumed += code == ERR_OK;
}

/* ---------------------------------------------------------------- the end */

void sim_check_drained(struct sim_model *m)
{
    for (size_t i = 0; i < m->count; i++) {
        const struct sim_message *x = &m->messages[i];
        if (x->state == SIM_STORED && !x->maybe_gone && !x->confused)
            sim_violate(m,
                        "message %zu was acknowledged and is lost (queue %u, last seen in %u, sequence %" PRIu64
                        ", %u deliveries)",
                        i, x->queue, x->at, sim_place(x)->sequence, x->deliveries);
        if (x->state == SIM_SENDING)
            sim_violate(m, "the send of message %zu was never answered", i);
    }
}
