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

void sim_stored(struct sim_model *m, uint32_t i, uint64_t sequence, bool duplicate)
{
    struct sim_message *x = &m->messages[i];
    if (x->state == SIM_REFUSED)
        sim_violate(m, "message %u was refused and then stored", i);
    if (x->sequence != 0 && x->at == x->queue && x->sequence != sequence)
        sim_violate(m, "message %u was stored twice: as %" PRIu64 " and %" PRIu64 " (duplicate %d)", i, x->sequence,
                    sequence, duplicate);
    if (x->state == SIM_SENDING) {
        x->state = SIM_STORED;
        m->stored++;
    }
    if (x->at == x->queue && x->sequence == 0)
        x->sequence = sequence;
}

void sim_settling(struct sim_model *m, uint32_t i, bool ends, int by)
{
    uint8_t *count = ends ? &m->messages[i].ending : &m->messages[i].changing;
    m->messages[i].changed = m->messages[i].changed || !ends;
    *count = (uint8_t)(*count + by);
}

static bool may_be_gone(const struct sim_message *x)
{
    return x->maybe_gone || x->ending > 0;
}

/* Receives that no client saw count as well: a leader that ends may lose one of each message. */
static bool may_have_moved(const struct sim_model *m, const struct sim_message *x)
{
    uint32_t most = m->queues[x->at].max_receives;
    return x->maybe_moved || (most > 0 && x->count + (m->lost[x->at] - x->lost) >= most);
}

/* On a FIFO queue nothing of the same group that came before may still be there. */
static void check_order(struct sim_model *m, const struct sim_delivery *d)
{
    const struct sim_message *x = &m->messages[d->message];
    for (size_t i = 0; i < m->count; i++) {
        const struct sim_message *y = &m->messages[i];
        if (y->queue != x->queue || y->at != x->at || y->group != x->group || y->state != SIM_STORED ||
            y->sequence == 0)
            continue;
        bool same_batch = y->lease == d->lease && y->lease_until_ms == d->until_ms;
        if (y->sequence < d->sequence && !may_be_gone(y) && !may_have_moved(m, y) && !same_batch)
            sim_violate(
                m, "FIFO: message %u (sequence %" PRIu64 ") of group %u came before message %zu (sequence %" PRIu64 ")",
                d->message, d->sequence, x->group, i, y->sequence);
    }
}

static void moved_to(struct sim_model *m, struct sim_message *x, const struct sim_delivery *d)
{
    const struct sim_queue *from = &m->queues[x->at];
    if (from->dead != d->queue) {
        sim_violate(m, "message %u of queue %d turned up in queue %d", d->message, x->at, d->queue);
        return;
    }
    m->dead++;
    x->former_lease = x->lease;
    x->at = (uint8_t)d->queue;
    x->sequence = 0;
    x->count = 0;
    x->maybe_moved = false;
    x->lost = 0;
    x->lease_until_ms = 0; /* its last lease ended by time or nack before it moved */
}

/* A leader that was cut off may learn so late that its receive was committed that another one has leased the message again: what it
 * delivers then is an older lease, which has to be over by the newer one's time. */
static bool is_late(struct sim_model *m, const struct sim_message *x, const struct sim_delivery *d)
{
    if (m->queues[d->queue].dead == x->at && x->at != d->queue) /* meanwhile it was dead-lettered */
        return d->lease <= x->former_lease || d->count == m->queues[d->queue].max_receives;
    if (d->queue != x->at || d->sequence != x->sequence || d->lease >= x->lease)
        return false;
    if (d->until_ms > x->leased_ms && x->changing == 0 && !x->changed)
        sim_violate(m, "message %u was leased until %" PRIu64 " and to another from %" PRIu64, d->message, d->until_ms,
                    x->leased_ms);
    return true;
}

void sim_delivered(struct sim_model *m, const struct sim_delivery *d)
{
    if (d->message >= m->count) {
        sim_violate(m, "a message that nobody sent was delivered: %u", d->message);
        return;
    }
    struct sim_message *x = &m->messages[d->message];
    m->deliveries++;
    if (is_late(m, x, d))
        return;
    x->deliveries++;
    if (x->state == SIM_GONE)
        sim_violate(m, "message %u was acked and is delivered again (queue %d, sequence %" PRIu64 ")", d->message,
                    d->queue, d->sequence);
    if (x->state == SIM_REFUSED)
        sim_violate(m, "message %u was refused and is delivered", d->message);
    if (x->at == d->queue && x->lease_until_ms > d->at_ms &&
        x->changing == 0) /* another shard has a clock of its own */
        sim_violate(m, "message %u is leased until %" PRIu64 " and delivered again at %" PRIu64, d->message,
                    x->lease_until_ms, d->at_ms);
    if (d->queue != x->at)
        moved_to(m, x, d);
    if (x->sequence != 0 && x->sequence != d->sequence)
        sim_violate(m, "message %u is stored twice: as %" PRIu64 " and %" PRIu64, d->message, x->sequence, d->sequence);
    if (x->due_ms > d->at_ms && d->queue == x->queue)
        sim_violate(m, "message %u is due at %" PRIu64 " and delivered at %" PRIu64, d->message, x->due_ms, d->at_ms);
    if (d->count <= x->count && x->changing == 0)
        sim_violate(m, "message %u is delivered with receive count %u after %u", d->message, d->count, x->count);
    uint32_t most = m->queues[d->queue].max_receives;
    if (most > 0 && d->count > most)
        sim_violate(m, "message %u is delivered for the %uth time, at most %u are allowed", d->message, d->count, most);
    x->sequence = d->sequence;
    x->count = d->count;
    x->lease = d->lease;
    x->leased_ms = d->at_ms;
    x->lease_until_ms = d->until_ms;
    x->maybe_moved = most > 0 && d->count == most;
    if (m->queues[d->queue].fifo)
        check_order(m, d);
}

static bool is_current(const struct sim_message *x, const struct sim_delivery *d)
{
    return x->at == d->queue && x->sequence == d->sequence && x->lease == d->lease;
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

void sim_cancelled(struct sim_model *m, uint32_t i, int code)
{
    struct sim_message *x = &m->messages[i];
    if (code == ERR_OK) {
        if (x->state == SIM_GONE)
            sim_violate(m, "message %u was cancelled after it was acked", i);
        x->state = SIM_GONE;
    } else if (code == ERR_UNKNOWN_OUTCOME || code == ERR_CLOSED) {
        x->maybe_gone = true;
    } else if (code == ERR_NOT_FOUND && x->state == SIM_STORED && x->at == x->queue && !may_be_gone(x) &&
               !may_have_moved(m, x)) {
        sim_violate(m, "message %u was acknowledged and cannot be found", i);
    }
}

void sim_check_drained(struct sim_model *m)
{
    for (size_t i = 0; i < m->count; i++) {
        const struct sim_message *x = &m->messages[i];
        if (x->state == SIM_STORED && !x->maybe_gone)
            sim_violate(m,
                        "message %zu was acknowledged and is lost (queue %u, last seen in %u, sequence %" PRIu64
                        ", %u deliveries)",
                        i, x->queue, x->at, x->sequence, x->deliveries);
        if (x->state == SIM_SENDING)
            sim_violate(m, "the send of message %zu was never answered", i);
    }
}
