#include "state/machine.h"

#include <stdarg.h>
#include <stdio.h>

#include "state/chunk.h"
#include "state/command.h"
#include "state/due.h"
#include "state/lane.h"
#include "state/lease.h"
#include "state/load.h"
#include "state/move.h"
#include "state/queue.h"
#include "state/retention.h"
#include "state/sweep.h"

enum { APPLIED_VERSION = 2, MEMBERSHIP_VERSION = 1, FORGET_PRODUCERS_MAX = 1000, EFFECTS_FIRST = 16 };

static const command_fn commands[COMMAND_KINDS] = {
    [COMMAND_SEND] = command_send,
    [COMMAND_RECEIVE] = command_receive,
    [COMMAND_ACK] = command_ack,
    [COMMAND_NACK] = command_nack,
    [COMMAND_EXTEND] = command_extend,
    [COMMAND_CANCEL] = command_cancel,
    [COMMAND_QUEUE_CREATE] = command_queue_create,
    [COMMAND_QUEUE_SET] = command_queue_set,
    [COMMAND_QUEUE_DELETE] = command_queue_delete,
    [COMMAND_QUEUE_PURGE] = command_queue_purge,
    [COMMAND_REDRIVE_START] = command_redrive_start,
    [COMMAND_REDRIVE_CANCEL] = command_redrive_cancel,
    [COMMAND_GROUP_RESUME] = command_group_resume,
    [COMMAND_ACCEPT] = command_accept,
    [COMMAND_SETTLED] = command_settled,
    [COMMAND_FUNCTION_CREATE] = command_function,
    [COMMAND_FUNCTION_SET] = command_function,
    [COMMAND_FUNCTION_DELETE] = command_function,
    [COMMAND_NODES_FOUND] = command_nodes,
    [COMMAND_NODE_ADD] = command_nodes,
    [COMMAND_NODE_SET] = command_nodes,
    [COMMAND_NODE_REMOVE] = command_nodes,
    [COMMAND_SHARD_LEAD] = command_nodes,
};

/* ---------------------------------------------------------------- the output */

void machine_output_close(struct machine_output *out)
{
    arena_close(&out->arena);
    memory_free(out->effects);
    *out = (struct machine_output){0};
}

void machine_effect(struct machine *m, enum effect_kind kind, uint64_t queue, uint16_t target, const char *name)
{
    struct machine_output *out = m->out;
    if (out->effect_count == out->effect_capacity) {
        out->effect_capacity = out->effect_capacity > 0 ? out->effect_capacity * 2 : EFFECTS_FIRST;
        out->effects = memory_grow(out->effects, out->effect_capacity, sizeof *out->effects);
    }
    out->effects[out->effect_count++] = (struct effect){kind, queue, target, name};
}

void machine_effect_once(struct machine *m, enum effect_kind kind, uint64_t queue, uint16_t target, const char *name)
{
    for (size_t i = 0; i < m->out->effect_count; i++) {
        const struct effect *f = &m->out->effects[i];
        bool same_name = f->name == name || (f->name != NULL && name != NULL && strcmp(f->name, name) == 0);
        if (f->kind == kind && f->queue == queue && f->target == target && same_name)
            return;
    }
    machine_effect(m, kind, queue, target, name);
}

int reply_refuse(struct machine *m, struct reply *r, int code, const char *field, const char *format, ...)
{
    char text[ERROR_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    ASSERT(len >= 0);
    r->code = code;
    r->field = arena_text(&m->out->arena, field, strlen(field));
    r->message = arena_text(&m->out->arena, text, strlen(text));
    return ERR_OK;
}

int reply_error(struct machine *m, struct reply *r, const struct error *e)
{
    return reply_refuse(m, r, (int)e->code, e->field, "%s", e->message);
}

/* ---------------------------------------------------------------- opening */

static int read_applied(struct machine *m, struct bytes key, struct bytes value, struct error *e)
{
    struct cursor c;
    int code = value_open(key, value, APPLIED_VERSION, &c, e);
    if (code != ERR_OK)
        return code;
    m->applied = cursor_varint(&c);
    m->clock_ms = cursor_varint(&c);
    m->secret = cursor_u64(&c);
    m->next_queue = cursor_varint(&c);
    m->next_lease = cursor_varint(&c);
    if (cursor_left(&c) > 0) /* version 1 ends before it */
        m->led_from_ms = cursor_varint(&c);
    return value_done(key, &c, e);
}

int machine_applied_in(struct bytes key, struct bytes value, uint64_t *applied, struct error *e)
{
    struct machine m = {0};
    int code = read_applied(&m, key, value, e);
    *applied = code == ERR_OK ? m.applied : 0;
    return code;
}

static void put_applied(struct machine *m)
{
    struct key key = key_of(m->options.shard, KEY_APPLIED);
    struct buffer *b = keys_begin(&m->keys, APPLIED_VERSION);
    buffer_varint(b, m->applied);
    buffer_varint(b, m->clock_ms);
    buffer_u64(b, m->secret);
    buffer_varint(b, m->next_queue);
    buffer_varint(b, m->next_lease);
    buffer_varint(b, m->led_from_ms);
    keys_put(&m->keys, &key);
}

static int load_applied(struct machine *m, struct error *e)
{
    struct key key = key_of(m->options.shard, KEY_APPLIED);
    buffer_clear(&m->scratch);
    int code = store_get(m->store, STORE_STATE, key_view(&key), &m->scratch, e);
    if (code == ERR_NOT_FOUND)
        return ERR_OK;
    return code == ERR_OK ? read_applied(m, key_view(&key), buffer_view(&m->scratch), e) : code;
}

static int load_membership(struct machine *m, struct error *e)
{
    struct key key = key_of(m->options.shard, KEY_MEMBERSHIP);
    struct cursor c;
    int code = keys_get(&m->keys, &key, MEMBERSHIP_VERSION, &c, e);
    if (code != ERR_OK)
        return code == ERR_NOT_FOUND ? ERR_OK : code;
    struct bytes membership = cursor_take(&c, cursor_left(&c));
    buffer_put(&m->membership, membership.data, membership.len);
    return value_done(key_view(&key), &c, e);
}

static int open_modules(struct machine *m, struct error *e)
{
    int code = producer_open(&m->keys, &m->producers, e);
    if (code == ERR_OK)
        code = outbox_open(&m->keys, &m->outbox, e);
    if (code == ERR_OK)
        code = extent_open(&m->keys, m->applied, &m->extents, e);
    if (code == ERR_OK)
        code = redrive_open(&m->keys, &m->redrives, e);
    if (code == ERR_OK && m->options.shard == 0)
        code = catalog_open(&m->keys, &m->catalog, e);
    if (code == ERR_OK && m->options.shard == 0)
        code = nodes_open(&m->keys, m->options.shards, &m->nodes, e);
    return code;
}

int machine_open(const struct machine_options *options, struct machine **out, struct error *e)
{
    struct machine *m = memory_zero(1, sizeof *m);
    m->options = *options;
    m->store = options->store;
    m->next_queue = 1;
    m->next_lease = 1;
    list_init(&m->cached_lanes);
    keys_init(&m->keys, options->shard, options->store, store_batch_create());
    m->keys.pending = store_batch_create();
    int code = load_applied(m, e);
    if (code == ERR_OK)
        code = load_membership(m, e);
    if (code == ERR_OK)
        code = open_modules(m, e);
    if (code == ERR_OK)
        code = sweep_load_all(m, e);
    if (code == ERR_OK)
        code = load_all(m, e);
    if (code != ERR_OK) {
        error_wrap(e, "shard %u", options->shard);
        machine_close(m);
        return code;
    }
    *out = m;
    return ERR_OK;
}

void machine_close(struct machine *m)
{
    if (m == NULL)
        return;
    for (struct chunk *c = m->dirty_chunks; c != NULL; c = c->next_dirty)
        c->dirty = false;
    for (struct queue *q = m->dirty_queues, *next; q != NULL; q = next) {
        next = q->next_dirty;
        if (q->gone)
            queue_free(m, q);
    }
    for (size_t i = 0; i < m->ordered_count; i++)
        queue_free(m, m->ordered[i]);
    sweep_free_all(m);
    producer_close(m->producers);
    outbox_close(m->outbox);
    extent_close(m->extents);
    redrive_close(m->redrives);
    catalog_close(m->catalog);
    nodes_close(m->nodes);
    map_close(&m->names);
    idmap_close(&m->ids);
    heap_close(&m->timers);
    memory_free(m->ordered);
    memory_free(m->taken);
    buffer_close(&m->scratch);
    buffer_close(&m->membership);
    store_batch_destroy(m->keys.batch);
    store_batch_destroy(m->keys.pending);
    keys_close(&m->keys);
    memory_free(m);
}

/* ---------------------------------------------------------------- what falls due */

static int tick_chunk(struct machine *m, struct queue *q, struct chunk *c, uint32_t *steps_left, struct error *e)
{
    uint32_t ended = 0;
    int code = lease_end_due(m, c, &ended, e);
    if (code != ERR_OK)
        return code;
    ended += 1;
    *steps_left -= ended < *steps_left ? ended : *steps_left;
    retention_open(m, c, steps_left);
    heap_move(&q->due, &c->due, chunk_deadline(c), c->number);
    return ERR_OK;
}

static int tick_queue(struct machine *m, struct queue *q, uint32_t *steps_left, struct error *e)
{
    const struct heap_node *n;
    while (*steps_left > 0 && (n = heap_first(&q->due)) != NULL && n->key <= m->clock_ms) {
        int code = tick_chunk(m, q, CONTAINER_OF(n, struct chunk, due), steps_left, e);
        if (code != ERR_OK)
            return code;
    }
    return *steps_left > 0 ? due_promote(m, q, steps_left, e) : ERR_OK;
}

/* A backlog that nobody received expires after all that somebody waits for. */
static int tick_queues(struct machine *m, uint32_t *steps_left, struct error *e)
{
    int code = ERR_OK;
    struct queue *first = NULL;
    struct queue **end = &first;
    const struct heap_node *n;
    while (code == ERR_OK && *steps_left > 0 && (n = heap_first(&m->timers)) != NULL && n->key <= m->clock_ms) {
        struct queue *q = CONTAINER_OF(n, struct queue, timer);
        heap_remove(&m->timers, &q->timer); /* back when the entry ends: once an entry is enough */
        queue_mark(m, q);
        code = tick_queue(m, q, steps_left, e);
        q->next_due = NULL;
        *end = q;
        end = &q->next_due;
    }
    for (struct queue *q = first; q != NULL && code == ERR_OK && *steps_left > 0; q = q->next_due)
        code = retention_fresh(m, q, steps_left, e);
    return code;
}

/* What somebody waits for comes first; a sweep has time, but is never put off for good. */
static int tick(struct machine *m, struct error *e)
{
    uint32_t steps_left = TICK_STEPS_MAX;
    producer_forget(m->producers, &m->keys, m->clock_ms, m->led_from_ms, FORGET_PRODUCERS_MAX);
    int code = move_redrives(m, e);
    if (code == ERR_OK)
        code = tick_queues(m, &steps_left, e);
    if (steps_left < TICK_STEPS_MIN)
        steps_left = TICK_STEPS_MIN;
    return code == ERR_OK ? sweep_step(m, &steps_left, e) : code;
}

uint64_t machine_next_due_ms(const struct machine *m)
{
    uint64_t next = tree_count(&m->sweeps) > 0 ? m->clock_ms : NEVER;
    const struct heap_node *first = heap_first(&m->timers);
    if (first != NULL && first->key < next)
        next = first->key;
    uint64_t producers = producer_next_due_ms(m->producers, m->led_from_ms);
    uint64_t redrives = redrive_next_due_ms(m->redrives, m->outbox);
    next = producers < next ? producers : next;
    return redrives < next ? redrives : next;
}

/* ---------------------------------------------------------------- applying */

/* Everything that changed goes into the batch: chunks first, whose lanes and queues have to be looked at after them. */
static int finish(struct machine *m, struct error *e)
{
    struct chunk *c;
    while ((c = m->dirty_chunks) != NULL) {
        m->dirty_chunks = c->next_dirty;
        chunk_finish(m, c);
    }
    struct lane *l;
    while ((l = m->dirty_lanes) != NULL) {
        m->dirty_lanes = l->next_dirty;
        lane_finish(m, l);
    }
    struct queue *q;
    while ((q = m->dirty_queues) != NULL) {
        m->dirty_queues = q->next_dirty;
        queue_finish(m, q);
    }
    outbox_write(m->outbox, &m->keys);
    redrive_write(m->redrives, &m->keys);
    int code = producer_write(m->producers, &m->keys, e);
    return code == ERR_OK ? extent_write(m->extents, &m->keys, e) : code;
}

static int commit(struct machine *m, uint64_t index, struct error *e)
{
    m->applied = index;
    put_applied(m);
    return keys_finish(&m->keys, e);
}

static int run(struct machine *m, const struct entry_command *c, struct reply *r, struct error *e)
{
    *r = (struct reply){.kind = c->kind, .field = "", .message = ""};
    if (c->kind >= COMMAND_KINDS || commands[c->kind] == NULL)
        return error_set(e, ERR_VERSION,
                         "a log entry has a command of kind %u, which this build does not know: upgrade this node",
                         c->kind);
    return commands[c->kind](m, c, r, e);
}

static int run_all(struct machine *m, struct entry_reader *in, struct error *e)
{
    struct machine_output *out = m->out;
    out->replies = arena_alloc(&out->arena, in->count * sizeof *out->replies);
    for (;;) {
        struct entry_command c;
        bool more;
        int code = entry_next(in, &c, &more, e);
        if (code != ERR_OK || !more)
            return code;
        code = run(m, &c, &out->replies[out->reply_count], e);
        if (code != ERR_OK)
            return code;
        out->reply_count++;
    }
}

static void take_seed(struct machine *m, uint64_t seed)
{
    m->seed = seed;
    if (m->secret != 0)
        return;
    m->secret = bytes_hash(bytes_of(&seed, sizeof seed), m->options.shard);
    if (m->secret == 0)
        m->secret = 1;
}

static int apply(struct machine *m, uint64_t index, struct bytes payload, struct error *e)
{
    struct entry_reader in;
    int code = entry_read(&in, payload, e);
    if (code != ERR_OK)
        return code;
    if (in.time_ms > CLOCK_MS_MAX || in.count > cursor_left(&in.at) / ENTRY_COMMAND_BYTES)
        return error_set(e, ERR_CORRUPT, "a committed log entry's time or count is impossible");
    m->index = index;
    m->payload = payload.data;
    take_seed(m, in.seed);
    if (in.time_ms > m->clock_ms)
        m->clock_ms = in.time_ms;
    if (m->led_from_ms == 0)
        m->led_from_ms = m->clock_ms;
    code = tick(m, e);
    if (code == ERR_OK)
        code = run_all(m, &in, e);
    if (code == ERR_OK)
        code = finish(m, e);
    if (code == ERR_OK)
        code = commit(m, index, e);
    if (code == ERR_OK) /* else there are chunks that were not written */
        lane_trim(m);
    return code;
}

/* Notes the first failure; nothing is applied after it, and who tries is told the same. */
static int fail(struct machine *m, int code, const struct error *e)
{
    if (code != ERR_OK && !m->broken) {
        m->broken = true;
        if (e != NULL)
            m->failure = *e;
        m->failure.code = (enum error_code)code;
    }
    return code;
}

static int refuse_broken(const struct machine *m, struct error *e)
{
    if (e != NULL)
        *e = m->failure;
    return (int)m->failure.code;
}

int machine_apply(struct machine *m, uint64_t index, struct bytes payload, struct machine_output *out, struct error *e)
{
    ASSERT(index == m->applied + 1);
    arena_reset(&out->arena);
    out->replies = NULL;
    out->reply_count = 0;
    out->effect_count = 0;
    if (m->broken)
        return refuse_broken(m, e);
    m->out = out;
    keys_start(&m->keys);
    int code = apply(m, index, payload, e);
    m->out = NULL;
    m->payload = NULL;
    if (code != ERR_OK && m->keys.code != ERR_OK) { /* whatever the entry made of it */
        code = m->keys.code;
        if (e != NULL)
            *e = m->keys.error;
    }
    if (code != ERR_OK)
        error_wrap(e, "shard %u, entry %llu", m->options.shard, (unsigned long long)index);
    return fail(m, code, e);
}

static int skip(struct machine *m, uint64_t index, struct error *e)
{
    ASSERT(index == m->applied + 1);
    keys_start(&m->keys);
    return fail(m, commit(m, index, e), e);
}

int machine_skip(struct machine *m, uint64_t index, struct error *e)
{
    if (m->broken)
        return refuse_broken(m, e);
    m->led_from_ms = 0;
    return skip(m, index, e);
}

int machine_set_membership(struct machine *m, uint64_t index, struct bytes membership, struct error *e)
{
    if (m->broken)
        return refuse_broken(m, e);
    buffer_clear(&m->membership);
    buffer_put(&m->membership, membership.data, membership.len);
    struct key key = key_of(m->options.shard, KEY_MEMBERSHIP);
    struct buffer *b = keys_begin(&m->keys, MEMBERSHIP_VERSION);
    buffer_put(b, membership.data, membership.len);
    keys_put(&m->keys, &key);
    return skip(m, index, e);
}

struct bytes machine_membership(const struct machine *m)
{
    return buffer_view(&m->membership);
}

int machine_write(struct machine *m, struct error *e)
{
    if (m->broken)
        return refuse_broken(m, e);
    struct error why = {0};
    int code = keys_settle(&m->keys, &why);
    if (code != ERR_OK && e != NULL)
        *e = why;
    return code == ERR_STORAGE_FULL ? code : fail(m, code, &why);
}

uint64_t machine_applied(const struct machine *m)
{
    return m->applied;
}

uint64_t machine_clock_ms(const struct machine *m)
{
    return m->clock_ms;
}

uint64_t machine_secret(const struct machine *m)
{
    return m->secret;
}
