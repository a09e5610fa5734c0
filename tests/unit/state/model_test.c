/* Random operations against a plain model: what the machine answers, what it counts, and that it answers the same when the log
 * is replayed after a crash. */
#include "base/random.h"
#include "state/rig.h"

enum { GROUPS = 6, MESSAGES_MAX = 40000, RECEIPTS_MAX = 4000, IDS = 20, SEEDS = 1, ENTRIES = 500 };

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
    uint64_t max_messages;
    uint32_t max_in_flight;
    uint32_t max_receives;
};

struct model {
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
    uint64_t moved;               /* into the dead-letter queue */
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
        if (g->group == group && (g->state == LEASED || g->state == HELD))
            return true;
    }
    return m->halted[group];
}

/* ---------------------------------------------------------------- what happens by itself */

/* A message is gone: its group is halted no longer when it was the last to be halted at. */
static void removed(struct model *m, const struct message *g)
{
    if (!m->halted[g->group] || g->receives < m->config.max_receives)
        return;
    m->halted[g->group] = false;
    for (size_t i = m->first; i < m->count; i++) {
        const struct message *o = &m->messages[i];
        if (o->group == g->group && o != g && (o->state == READY || o->state == LEASED || o->state == HELD) &&
            o->receives >= m->config.max_receives)
            m->halted[g->group] = true;
    }
}

static void expire_or_ready(struct model *m, struct message *g)
{
    bool over = g->available_ms + m->retention_ms <= m->rig.now_ms;
    g->state = over ? DEAD : READY;
    m->expired += over;
    if (over)
        removed(m, g);
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
    bool any[GROUPS] = {false};
    bool waiting[GROUPS] = {false};
    for (size_t i = m->first; i < m->count; i++) {
        const struct message *g = &m->messages[i];
        any[g->group] |= g->state != DEAD && g->state != MOVING;
        waiting[g->group] |= g->state == DELAYED;
    }
    for (unsigned g = 0; g < GROUPS; g++) {
        m->halted[g] &= any[g];
        if (!waiting[g])
            m->waiting_due[g] = 0;
    }
    while (m->first < m->count && m->messages[m->first].state == DEAD)
        m->first++;
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
        live += m->messages[i].state != DEAD && m->messages[i].state != MOVING;
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
    removed(m, g);
    m->acked++;
    return ERR_OK;
}

static int expect_nack(struct model *m, const struct settling *s, struct entry_lease l)
{
    struct message *g = find(m, l.sequence);
    if (!holds(g, l))
        return ERR_RECEIPT_STALE;
    if (s->uncounted)
        g->receives--;
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
    if (g == NULL || g->state == DEAD || g->state == MOVING)
        return ERR_NOT_FOUND;
    if (g->state == LEASED)
        return ERR_CONFLICT;
    g->state = DEAD;
    removed(m, g);
    return ERR_OK;
}

/* ---------------------------------------------------------------- one entry */

enum op_kind { OP_SEND, OP_RECEIVE, OP_ACK, OP_NACK, OP_EXTEND, OP_CANCEL, OP_PURGE, OP_RESUME, OP_RETENTION };

struct op {
    enum op_kind kind;
    struct sending send;
    struct settling settle;
    uint32_t max;
    uint64_t visibility_ms;
    uint64_t sequences[3];
    unsigned group;
    uint64_t retention_ms;
};

static void add_command(struct model *m, enum command_kind kind, const ProtobufCMessage *message)
{
    rig_add(&m->rig, kind, message);
}

static void add_rare(struct model *m, struct op *op)
{
    if (op->kind == OP_PURGE) {
        Hato__Log__QueuePurge c = HATO__LOG__QUEUE_PURGE__INIT;
        c.has_queue = 1;
        c.queue = m->queue;
        add_command(m, COMMAND_QUEUE_PURGE, &c.base);
    } else if (op->kind == OP_RESUME) {
        Hato__Log__GroupResume c = HATO__LOG__GROUP_RESUME__INIT;
        op->group = (unsigned)below(m, GROUPS);
        c.has_queue = 1;
        c.queue = m->queue;
        c.group = (char *)(uintptr_t)group_name(op->group);
        add_command(m, COMMAND_GROUP_RESUME, &c.base);
    } else {
        Hato__QueueSettings s = HATO__QUEUE_SETTINGS__INIT;
        Hato__Log__QueueSet c = HATO__LOG__QUEUE_SET__INIT;
        op->retention_ms = 5000 + below(m, 60000);
        s.has_retention_ms = 1;
        s.retention_ms = op->retention_ms;
        c.has_queue = 1;
        c.queue = m->queue;
        c.settings = &s;
        add_command(m, COMMAND_QUEUE_SET, &c.base);
    }
}

static enum op_kind choose(struct model *m)
{
    uint64_t n = below(m, 1000);
    if (n < 3)
        return OP_PURGE;
    if (n < 8)
        return OP_RETENTION;
    if (n < 30)
        return OP_RESUME;
    if (n < 80)
        return OP_CANCEL;
    if (n < 330)
        return OP_SEND;
    if (n < 600)
        return OP_RECEIVE;
    if (n < 820)
        return OP_ACK;
    return n < 920 ? OP_NACK : OP_EXTEND;
}

static void add_settle(struct model *m, struct op *op)
{
    struct settling *s = &op->settle;
    pick_receipts(m, s);
    struct entry_writer *w = rig_writer(&m->rig);
    struct entry_settle nack = {
        .queue = m->queue, .delay_ms = s->delay_ms, .uncounted = s->uncounted, .count = s->count};
    nack.error = below(m, 2) == 0 ? bytes_text("it failed") : bytes_text("");
    if (op->kind == OP_ACK)
        entry_add_ack(w, m->queue, s->leases, s->count);
    else if (op->kind == OP_NACK)
        entry_add_nack(w, &nack, s->leases);
    else
        entry_add_extend(w, m->queue, s->delay_ms, s->leases, s->count);
}

static void add_op(struct model *m, struct op *op)
{
    op->kind = choose(m);
    if (op->kind == OP_SEND) {
        add_send(m, &op->send);
    } else if (op->kind == OP_RECEIVE) {
        op->max = 1 + (uint32_t)below(m, 20);
        op->visibility_ms = below(m, 10) == 0 ? 0 : 1 + below(m, 8000);
        struct entry_receive in = {.queue = m->queue, .max_messages = op->max, .visibility_ms = op->visibility_ms};
        entry_add_receive(rig_writer(&m->rig), &in);
    } else if (op->kind == OP_CANCEL) {
        for (int i = 0; i < 3; i++)
            op->sequences[i] =
                m->count > m->first ? m->messages[m->first + below(m, m->count - m->first)].sequence : 999;
        entry_add_cancel(rig_writer(&m->rig), m->queue, op->sequences, 3);
    } else if (op->kind <= OP_EXTEND) {
        add_settle(m, op);
    } else {
        add_rare(m, op);
    }
}

static void check_settle(struct model *m, const struct op *op, const struct reply *r)
{
    ck_assert_uint_eq(r->count, op->settle.count);
    for (uint32_t i = 0; i < op->settle.count; i++) {
        struct entry_lease l = op->settle.leases[i];
        int code = op->kind == OP_ACK    ? expect_ack(m, l)
                   : op->kind == OP_NACK ? expect_nack(m, &op->settle, l)
                                         : expect_extend(m, &op->settle, l);
        ck_assert_int_eq(r->codes[i], code);
    }
}

static void check_purge(struct model *m, const struct reply *r)
{
    uint64_t n = 0;
    for (size_t i = m->first; i < m->count; i++) {
        if (m->messages[i].state == DEAD || m->messages[i].state == MOVING)
            continue;
        m->messages[i].state = DEAD;
        n++;
    }
    memset(m->halted, 0, sizeof m->halted);
    ck_assert_uint_eq(r->purged, n);
}

static void check_resume(struct model *m, const struct op *op, const struct reply *r)
{
    ck_assert_int_eq(r->code, m->halted[op->group] ? ERR_OK : ERR_NOT_FOUND);
    for (size_t i = m->first; i < m->count && m->halted[op->group]; i++) {
        struct message *g = &m->messages[i];
        if (g->group == op->group && g->state == READY && used_up(m, g))
            g->receives = 0;
    }
    m->halted[op->group] = false;
}

static void check_op(struct model *m, const struct op *op, const struct reply *r)
{
    switch (op->kind) {
    case OP_SEND:
        check_send(m, &op->send, r);
        break;
    case OP_RECEIVE:
        check_receive(m, op->max, op->visibility_ms, r);
        break;
    case OP_CANCEL:
        for (int i = 0; i < 3; i++)
            ck_assert_int_eq(r->codes[i], expect_cancel(m, op->sequences[i]));
        break;
    case OP_PURGE:
        check_purge(m, r);
        break;
    case OP_RESUME:
        check_resume(m, op, r);
        break;
    case OP_RETENTION:
        ck_assert_int_eq(r->code, ERR_OK);
        m->retention_ms = op->retention_ms;
        break;
    default:
        check_settle(m, op, r);
    }
}

static void check_counts(const struct model *m)
{
    struct queue_counts c = rig_counts(&m->rig, m->queue);
    uint64_t halted = 0;
    for (unsigned g = 0; g < GROUPS; g++)
        halted += m->halted[g];
    ck_assert_uint_eq(c.ready, count_state(m, READY));
    ck_assert_uint_eq(c.in_flight, count_state(m, LEASED));
    ck_assert_uint_eq(c.delayed, count_state(m, DELAYED) + count_state(m, HELD));
    ck_assert_uint_eq(c.halted_groups, halted);
    ck_assert_uint_eq(c.sent_total, m->sent);
    ck_assert_uint_eq(c.received_total, m->received);
    ck_assert_uint_eq(c.acked_total, m->acked);
    ck_assert_uint_eq(c.expired_total, m->expired);
    ck_assert_uint_eq(c.dead_lettered_total, m->moved);
    uint32_t available = machine_queue_available(m->rig.m, m->queue, 5);
    uint64_t room = c.in_flight < m->config.max_in_flight ? m->config.max_in_flight - c.in_flight : 0;
    uint64_t could = receivable(m) < room ? receivable(m) : room;
    if (!m->config.fifo) {
        ck_assert_uint_eq(available, could < 5 ? could : 5);
    } else {
        ck_assert_uint_ge(available, could < 5 ? could : 5);
        ck_assert(could > 0 || available == 0);
    }
    uint64_t oldest = 0;
    for (size_t i = m->first; i < m->count && oldest == 0; i++)
        if (m->messages[i].state == READY || m->messages[i].state == LEASED)
            oldest = m->messages[i].sent_ms;
    if (c.delayed == 0)
        ck_assert_uint_eq(machine_queue_oldest_ms(m->rig.m, m->queue), oldest);
}

static void one_entry(struct model *m)
{
    static struct op ops[6];
    size_t count = below(m, 6);
    if (below(m, 4) == 0)
        m->rig.now_ms += below(m, 3000);
    for (size_t i = 0; i < count; i++)
        add_op(m, &ops[i]);
    rig_commit(&m->rig);
    ck_assert_uint_eq(m->rig.out.reply_count, count);
    tick(m);
    for (size_t i = 0; i < count; i++)
        check_op(m, &ops[i], &m->rig.out.replies[i]);
    end_entry(m);
    check_counts(m);
}

static void crash(struct model *m)
{
    uint64_t before = rig_hash_state(&m->rig);
    rig_crash(&m->rig);
    ck_assert_uint_eq(rig_hash_state(&m->rig), before);
    check_counts(m);
}

static void open_model(struct model *m, struct config config, uint64_t seed)
{
    *m = (struct model){.config = config, .retention_ms = 40000};
    m->messages = memory_zero(MESSAGES_MAX, sizeof *m->messages);
    random_open(&m->random, seed);
    rig_open(&m->rig);
    Hato__QueueSettings s = HATO__QUEUE_SETTINGS__INIT;
    s.has_retention_ms = s.has_max_messages = s.has_max_in_flight = 1;
    s.retention_ms = m->retention_ms;
    s.max_messages = config.max_messages;
    s.max_in_flight = config.max_in_flight;
    if (config.max_receives > 0) {
        s.has_max_receives = 1;
        s.max_receives = config.max_receives;
    }
    if (config.halt) {
        s.has_on_exhausted = 1;
        s.on_exhausted = HATO__ON_EXHAUSTED__HALT_GROUP;
    }
    const char *dead = config.fifo ? RIG_NAME("dead.fifo") : RIG_NAME("dead");
    m->dead_queue = rig_create(&m->rig, dead, NULL);
    if (config.dead_letters)
        s.dead_letter_queue = (char *)(uintptr_t)dead;
    m->queue = rig_create(&m->rig, config.fifo ? RIG_NAME("jobs.fifo") : RIG_NAME("jobs"), &s);
}

static void check_end(struct model *m)
{
    rig_forward(&m->rig);
    ck_assert_uint_eq(rig_counts(&m->rig, m->queue).moving, 0);
    ck_assert_uint_eq(rig_counts(&m->rig, m->dead_queue).ready, m->moved);
    rig_purge(&m->rig, m->queue);
    check_purge(m, rig_reply(&m->rig));
    rig_purge(&m->rig, m->dead_queue);
    while (machine_next_due_ms(m->rig.m) <= m->rig.now_ms)
        rig_commit(&m->rig);
    enum key_kind kinds[] = {KEY_CHUNK, KEY_TOUCH, KEY_COLD, KEY_FRESH, KEY_LANE, KEY_DUE, KEY_LAST_ERROR, KEY_SWEEP};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        ck_assert_msg(rig_keys(&m->rig, kinds[i]) == 0, "keys of kind %c are left", kinds[i]);
    ck_assert_uint_eq(machine_first_live(m->rig.m), machine_applied(m->rig.m) + 1);
}

static void run(struct config config, uint64_t seed, int entries)
{
    struct model *m = memory_zero(1, sizeof *m);
    open_model(m, config, seed);
    for (int i = 0; i < entries; i++) {
        one_entry(m);
        if (below(m, 60) == 0)
            rig_flush(&m->rig);
        if (below(m, 100) == 0)
            crash(m);
    }
    check_end(m);
    crash(m);
    rig_close(&m->rig);
    memory_free(m->messages);
    memory_free(m);
}

static const struct config configs[] = {
    {.max_in_flight = 1000},
    {.max_in_flight = 1000, .priorities = true},
    {.max_in_flight = 15, .max_messages = 100},
    {.max_in_flight = 1000, .max_receives = 3, .dead_letters = true},
    {.max_in_flight = 1000, .fifo = true},
    {.max_in_flight = 1000, .fifo = true, .max_receives = 2, .dead_letters = true},
    {.max_in_flight = 1000, .fifo = true, .max_receives = 3, .halt = true, .max_messages = 300},
};

START_TEST(a_random_run_answers_as_the_model_and_replays_the_same)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run(configs[_i], seed * 1000 + (uint64_t)_i, ENTRIES);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("state/model");
    TCase *t = tcase_create("model");
    tcase_set_timeout(t, 0);
    tcase_add_loop_test(t, a_random_run_answers_as_the_model_and_replays_the_same, 0,
                        (int)(sizeof configs / sizeof configs[0]));
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    SRunner *r = srunner_create(suite());
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
