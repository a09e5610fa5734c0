/* Random operations against a plain model: what the machine answers, what it counts, and that it answers the same when the log
 * is replayed after a crash. */
#include "state/model.h"

enum { SEEDS = 1, ENTRIES = 500, WALKED_FOR_EACH = 4 /* keys gone over for a message or an entry */ };

/* ---------------------------------------------------------------- one entry */

enum op_kind { OP_SEND, OP_RECEIVE, OP_ACK, OP_NACK, OP_EXTEND, OP_CANCEL, OP_PURGE, OP_RESUME, OP_SET };

struct op {
    enum op_kind kind;
    struct sending send;
    struct settling settle;
    uint32_t max;
    uint64_t visibility_ms;
    uint64_t sequences[3];
    unsigned group;
    uint64_t retention_ms;
    uint32_t max_receives;
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
        op->max_receives = m->config.max_receives;
        if (m->config.max_receives > 0)
            op->max_receives = 1 + (uint32_t)below(m, 4);
        s.has_retention_ms = 1;
        s.retention_ms = op->retention_ms;
        s.has_max_receives = op->max_receives > 0;
        s.max_receives = op->max_receives;
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
    if (n < 12)
        return OP_SET;
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
        if (m->messages[i].state == DEAD)
            continue;
        m->moved -= m->messages[i].state == MOVING;
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
        bool there = g->state == READY || g->state == LEASED || g->state == HELD;
        if (g->group == op->group && there && used_up(m, g))
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
    case OP_SET:
        ck_assert_int_eq(r->code, ERR_OK);
        m->retention_ms = op->retention_ms;
        m->config.max_receives = op->max_receives;
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
    ck_assert_uint_eq(c.dead_lettered_total + c.moving, m->moved);
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
    if (c.delayed + c.moving == 0)
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
    m->walked += m->rig.walked;
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
    Hato__QueueSettings of_dead = HATO__QUEUE_SETTINGS__INIT;
    of_dead.has_max_messages = 1;
    of_dead.max_messages = config.full;
    m->dead_queue = rig_create(&m->rig, dead, &of_dead);
    if (config.full)
        rig_send(&m->rig, m->dead_queue, (struct rig_message){.body = "full"});
    if (config.dead_letters)
        s.dead_letter_queue = (char *)(uintptr_t)dead;
    m->queue = rig_create(&m->rig, config.fifo ? RIG_NAME("jobs.fifo") : RIG_NAME("jobs"), &s);
}

static void check_end(struct model *m)
{
    forward(m);
    check_counts(m);
    ck_assert_uint_eq(rig_counts(&m->rig, m->queue).moving, 0);
    ck_assert_uint_eq(rig_counts(&m->rig, m->dead_queue).ready, m->moved + m->config.full);
    rig_purge(&m->rig, m->queue);
    tick(m); /* the last entry may have changed the retention */
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
        if (below(m, 10) == 0)
            forward(m);
        if (below(m, 60) == 0)
            rig_flush(&m->rig);
        if (below(m, 100) == 0)
            crash(m);
    }
    ck_assert_msg(m->walked <= WALKED_FOR_EACH * (m->sent + (uint64_t)entries), "%llu keys for %llu messages",
                  (unsigned long long)m->walked, (unsigned long long)m->sent);
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
    {.max_in_flight = 1000, .max_receives = 2, .dead_letters = true, .full = true},
    {.max_in_flight = 1000, .fifo = true},
    {.max_in_flight = 1000, .fifo = true, .max_receives = 2, .dead_letters = true},
    {.max_in_flight = 1000, .fifo = true, .max_receives = 2, .dead_letters = true, .full = true, .max_messages = 300},
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
