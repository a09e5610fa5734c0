/* What a machine does, said plainly: a list of messages and a few rules. model_test.c gives both the same operations. Each function
 * expects something of the machine's answer, and moves the model on. */
#ifndef HATO_UNIT_STATE_MODEL_H
#define HATO_UNIT_STATE_MODEL_H

#include "base/random.h"
#include "state/rig.h"

enum { GROUPS = 6, MESSAGES_MAX = 40000, RECEIPTS_MAX = 4000, IDS = 20 };

enum state { READY, LEASED, HELD, DELAYED, MOVING, DEAD };

struct message {
    uint64_t sequence, bytes, sent_ms, available_ms, until_ms, lease, late;
    enum state state;
    unsigned group, priority;
    uint32_t receives;
};

struct receipt {
    uint64_t sequence, lease;
};

struct id {
    uint64_t sequence, at_ms;
    bool used;
};

struct config {
    bool fifo;
    bool priorities;
    bool halt;
    bool dead_letters;
    bool full; /* the dead-letter queue takes none */
    uint64_t max_messages;
    uint32_t max_in_flight;
    uint32_t max_receives;
};

struct model {
    uint64_t walked; /* keys that iterators went over: walked.h */
    struct rig rig;
    struct random random;
    struct config config;
    uint64_t queue;
    uint64_t dead_queue;
    uint64_t retention_ms;
    struct message *messages;
    size_t count;
    size_t first; /* all before are dead */
    struct receipt receipts[RECEIPTS_MAX];
    size_t receipt_count;
    struct id ids[IDS];
    bool halted[GROUPS];
    uint64_t waiting_due[GROUPS]; /* FIFO: last due time of a group with delayed messages */
    uint64_t moved;               /* into the dead-letter queue, or on the way */
    uint64_t expired, acked, received, sent;
};

static uint64_t below(struct model *m, uint64_t n)
{
    return random_below(&m->random, n);
}

static const char *group_name(unsigned group)
{
    static const char *const names[GROUPS] = {"", "a", "b", "c", "d", "e"};
    return names[group];
}

static struct message *find(struct model *m, uint64_t sequence)
{
    for (size_t i = m->first; i < m->count; i++)
        if (m->messages[i].sequence == sequence)
            return &m->messages[i];
    return NULL;
}

static uint64_t count_state(const struct model *m, enum state state)
{
    uint64_t n = 0;
    for (size_t i = m->first; i < m->count; i++)
        n += m->messages[i].state == state;
    return n;
}

static bool same_lane(const struct message *a, const struct message *b)
{
    return a->group == b->group && a->priority == b->priority;
}

static bool blocked(const struct model *m, unsigned group)
{
    if (!m->config.fifo)
        return false;
    for (size_t i = m->first; i < m->count; i++) {
        const struct message *g = &m->messages[i];
        if (g->group == group && (g->state == LEASED || g->state == HELD || g->state == MOVING))
            return true;
    }
    return m->halted[group];
}

/* ---------------------------------------------------------------- what happens by itself */

static void expire_or_ready(struct model *m, struct message *g)
{
    bool over = g->available_ms + m->retention_ms <= m->rig.now_ms;
    g->state = over ? DEAD : READY;
    m->expired += over;
}

static bool used_up(const struct model *m, const struct message *g)
{
    return m->config.max_receives > 0 && (m->config.dead_letters || m->config.halt) &&
           g->receives >= m->config.max_receives;
}

static void exhaust(struct model *m, struct message *g)
{
    if (m->config.halt) {
        m->halted[g->group] = true;
        return;
    }
    g->state = MOVING;
    m->moved++;
}

static void lease_over(struct model *m, struct message *g, bool late)
{
    expire_or_ready(m, g);
    if (g->state == READY && used_up(m, g))
        exhaust(m, g);
    g->late = g->state == READY && late && !m->config.fifo ? g->lease : 0;
}

static void tick(struct model *m)
{
    for (size_t i = m->first; i < m->count; i++) {
        struct message *g = &m->messages[i];
        if (g->state == LEASED && g->until_ms <= m->rig.now_ms)
            lease_over(m, g, true);
        else if (g->state == READY || ((g->state == HELD || g->state == DELAYED) && g->until_ms <= m->rig.now_ms))
            expire_or_ready(m, g);
    }
}

static void end_entry(struct model *m)
{
    bool at[GROUPS] = {false}; /* something to halt at */
    bool waiting[GROUPS] = {false};
    for (size_t i = m->first; i < m->count; i++) {
        const struct message *g = &m->messages[i];
        bool may_halt = g->state == READY || g->state == LEASED || g->state == HELD;
        at[g->group] |= may_halt && used_up(m, g);
        waiting[g->group] |= g->state == DELAYED;
    }
    for (unsigned g = 0; g < GROUPS; g++) {
        m->halted[g] &= at[g];
        if (!waiting[g])
            m->waiting_due[g] = 0;
    }
    while (m->first < m->count && m->messages[m->first].state == DEAD)
        m->first++;
}

/* All dead letters on their way arrive, or come back: no time goes by. */
static void forward(struct model *m)
{
    const uint64_t wait_ms = 10000;
    uint16_t target;
    if (machine_outbox_targets(m->rig.m, &target, 1) == 0)
        return; /* and no entry */
    rig_forward(&m->rig);
    tick(m);
    for (size_t i = m->first; i < m->count; i++) {
        struct message *g = &m->messages[i];
        if (g->state != MOVING)
            continue;
        g->state = !m->config.full ? DEAD : m->config.fifo ? HELD : DELAYED;
        g->until_ms = m->rig.now_ms + wait_ms;
        m->moved -= m->config.full;
    }
    end_entry(m);
}

/* ---------------------------------------------------------------- sends */

static bool fifo_waits(const struct model *m, unsigned group)
{
    for (size_t i = m->first; i < m->count; i++)
        if (m->messages[i].group == group && m->messages[i].state == DELAYED)
            return true;
    return false;
}

static void expect_sent(struct model *m, const struct rig_message *in, unsigned group, int id,
                        const struct send_result *got)
{
    const uint64_t window_ms = 300000;
    uint64_t live = 0;
    if (id >= 0 && m->ids[id].used && m->rig.now_ms - m->ids[id].at_ms < window_ms) {
        ck_assert(got->duplicate);
        ck_assert_uint_eq(got->sequence, m->ids[id].sequence);
        return;
    }
    for (size_t i = m->first; i < m->count; i++)
        live += m->messages[i].state != DEAD;
    if (m->config.max_messages > 0 && live >= m->config.max_messages) {
        ck_assert_int_eq(got->code, ERR_LIMIT);
        ck_assert_str_eq(got->field, "max_messages");
        return;
    }
    ck_assert_msg(got->code == ERR_OK, "%s", got->message);
    ck_assert(!got->duplicate);
    ck_assert_ptr_null(find(m, got->sequence));
    ck_assert_uint_lt(m->count, MESSAGES_MAX);
    uint64_t due = in->delay_ms > 0 ? m->rig.now_ms + in->delay_ms : 0;
    if (m->config.fifo && fifo_waits(m, group) && due < m->waiting_due[group])
        due = m->waiting_due[group];
    if (due > 0)
        m->waiting_due[group] = due;
    struct message *g = &m->messages[m->count++];
    *g =
        (struct message){.sequence = got->sequence, .sent_ms = m->rig.now_ms, .group = group, .priority = in->priority};
    g->available_ms = due > 0 ? due : m->rig.now_ms;
    g->until_ms = due;
    g->state = due > 0 ? DELAYED : READY;
    m->sent++;
    if (id >= 0)
        m->ids[id] = (struct id){got->sequence, m->rig.now_ms, true};
}

struct sending {
    struct rig_message in[70];
    char bodies[70][16];
    char ids[70][16];
    unsigned groups[70];
    int id[70];
    size_t count;
};

static void add_send(struct model *m, struct sending *s)
{
    s->count = below(m, 10) == 0 ? 70 : 1 + below(m, 5);
    unsigned group = (unsigned)below(m, GROUPS);
    for (size_t i = 0; i < s->count; i++) {
        if (below(m, 3) == 0)
            group = (unsigned)below(m, GROUPS);
        snprintf(s->bodies[i], sizeof s->bodies[i], "%u", (unsigned)below(m, 1000000));
        s->groups[i] = group;
        s->id[i] = below(m, 12) == 0 ? (int)below(m, IDS) : -1;
        s->in[i] = (struct rig_message){.body = s->bodies[i], .group = group_name(group)};
        if (s->id[i] >= 0) {
            snprintf(s->ids[i], sizeof s->ids[i], "id%d", s->id[i]);
            s->in[i].deduplication_id = s->ids[i];
        }
        if (below(m, 10) == 0)
            s->in[i].delay_ms = 1 + below(m, 5000);
        if (m->config.priorities)
            s->in[i].priority = (uint32_t)below(m, 3);
    }
    rig_add_send(&m->rig, m->queue, s->in, s->count, 0, 0);
}

static void check_send(struct model *m, const struct sending *s, const struct reply *r)
{
    ck_assert_int_eq(r->code, ERR_OK);
    ck_assert_uint_eq(r->count, s->count);
    for (size_t i = 0; i < s->count; i++)
        expect_sent(m, &s->in[i], s->groups[i], s->id[i], &r->sent[i]);
}

/* ---------------------------------------------------------------- receives */

static uint64_t receivable(const struct model *m)
{
    uint64_t n = 0;
    bool is_blocked[GROUPS];
    for (unsigned g = 0; g < GROUPS; g++)
        is_blocked[g] = blocked(m, g);
    for (size_t i = m->first; i < m->count; i++)
        n += m->messages[i].state == READY && !is_blocked[m->messages[i].group];
    return n;
}

/* It is the first of its lane that is ready. */
static void expect_lowest(const struct model *m, const struct message *g)
{
    for (size_t i = m->first; i < m->count; i++) {
        const struct message *other = &m->messages[i];
        ck_assert_msg(other->state != READY || !same_lane(other, g) || other->sequence >= g->sequence,
                      "received %llu before %llu", (unsigned long long)g->sequence,
                      (unsigned long long)other->sequence);
    }
}

static void check_receive(struct model *m, uint32_t max, uint64_t visibility_ms, const struct reply *r)
{
    uint64_t in_flight = count_state(m, LEASED);
    uint64_t ready = count_state(m, READY);
    uint64_t room = m->config.max_in_flight > in_flight ? m->config.max_in_flight - in_flight : 0;
    if (room == 0 && ready > 0 && !m->config.fifo) {
        ck_assert_int_eq(r->code, ERR_LIMIT);
        ck_assert_str_eq(r->field, "max_in_flight");
        return;
    }
    ck_assert_msg(r->code == ERR_OK, "%s", r->message);
    uint64_t expected = receivable(m);
    expected = expected < max ? expected : max;
    expected = expected < room ? expected : room;
    ck_assert_uint_eq(r->count, expected);
    bool was_blocked[GROUPS];
    for (unsigned g = 0; g < GROUPS; g++)
        was_blocked[g] = blocked(m, g);
    for (size_t i = 0; i < r->count; i++) {
        const struct received *got = &r->received[i];
        struct message *g = find(m, got->sequence);
        ck_assert_ptr_nonnull(g);
        ck_assert_int_eq(g->state, READY);
        ck_assert(!was_blocked[g->group]);
        expect_lowest(m, g);
        g->state = LEASED;
        g->late = 0;
        g->lease = got->lease;
        g->until_ms = m->rig.now_ms + visibility_ms;
        g->receives++;
        ck_assert_uint_eq(got->receive_count, g->receives);
        ck_assert_uint_eq(got->sent_ms, g->sent_ms);
        ck_assert_uint_eq(got->lease_until_ms, g->until_ms);
        m->receipts[m->receipt_count++ % RECEIPTS_MAX] = (struct receipt){got->sequence, got->lease};
        m->received++;
    }
    for (size_t i = 0; i < r->count && visibility_ms == 0; i++)
        lease_over(m, find(m, r->received[i].sequence), true);
}

/* ---------------------------------------------------------------- settling */

struct settling {
    struct entry_lease leases[10];
    uint32_t count;
    uint64_t delay_ms;
    bool uncounted;
};

static void pick_receipts(struct model *m, struct settling *s)
{
    s->count = 0;
    size_t kept = m->receipt_count < RECEIPTS_MAX ? m->receipt_count : RECEIPTS_MAX;
    uint32_t want = 1 + (uint32_t)below(m, 10);
    size_t recent = kept < 30 ? kept : 30;
    while (kept > 0 && s->count < want) {
        size_t back = 1 + (below(m, 8) == 0 ? below(m, kept) : below(m, recent));
        const struct receipt *r = &m->receipts[(m->receipt_count - back) % RECEIPTS_MAX];
        s->leases[s->count++] = (struct entry_lease){r->sequence, r->lease + (below(m, 50) == 0)};
    }
    s->delay_ms = below(m, 2) == 0 ? 0 : 1 + below(m, 4000);
    s->uncounted = below(m, 3) == 0;
}

static bool holds(const struct message *g, struct entry_lease l)
{
    return g != NULL && g->state == LEASED && g->lease == l.lease;
}

static int expect_ack(struct model *m, struct entry_lease l)
{
    struct message *g = find(m, l.sequence);
    bool late = g != NULL && g->state == READY && g->late == l.lease && l.lease != 0;
    if (!holds(g, l) && !late)
        return ERR_RECEIPT_STALE;
    g->state = DEAD;
    m->acked++;
    return ERR_OK;
}

static int expect_nack(struct model *m, const struct settling *s, struct entry_lease l)
{
    struct message *g = find(m, l.sequence);
    if (!holds(g, l))
        return ERR_RECEIPT_STALE;
    if (s->uncounted)
        g->receives -= g->receives > 0; /* none is left when the group was resumed since */
    if (s->delay_ms == 0 && s->uncounted) {
        expire_or_ready(m, g);
        g->late = 0;
    } else if (s->delay_ms == 0) {
        lease_over(m, g, false);
    } else {
        g->state = m->config.fifo ? HELD : DELAYED;
        g->until_ms = m->rig.now_ms + s->delay_ms;
        if (!s->uncounted && used_up(m, g))
            exhaust(m, g);
    }
    return ERR_OK;
}

static int expect_extend(struct model *m, const struct settling *s, struct entry_lease l)
{
    struct message *g = find(m, l.sequence);
    if (!holds(g, l))
        return ERR_RECEIPT_STALE;
    g->until_ms = m->rig.now_ms + s->delay_ms;
    if (s->delay_ms == 0)
        lease_over(m, g, true);
    return ERR_OK;
}

static int expect_cancel(struct model *m, uint64_t sequence)
{
    struct message *g = find(m, sequence);
    if (g == NULL || g->state == DEAD)
        return ERR_NOT_FOUND;
    if (g->state == LEASED || g->state == MOVING)
        return ERR_CONFLICT;
    g->state = DEAD;
    return ERR_OK;
}

#endif
