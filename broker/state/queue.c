#include "state/queue.h"

#include "state/chunk.h"
#include "state/due.h"
#include "state/lane.h"
#include "state/pick.h"
#include "state/retention.h"
#include "state/sweep.h"

/* ---------------------------------------------------------------- finding */

struct queue *queue_by_id(const struct machine *m, uint64_t id)
{
    return idmap_find(&m->ids, id);
}

struct queue *queue_by_name(const struct machine *m, struct bytes name)
{
    return map_find(&m->names, name);
}

size_t queue_place(const struct machine *m, const char *name)
{
    size_t low = 0;
    size_t high = m->ordered_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(m->ordered[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void enrol(struct machine *m, struct queue *q)
{
    map_put(&m->names, bytes_text(q->name), q);
    idmap_put(&m->ids, q->id, q);
    if (m->ordered_count == m->ordered_capacity) {
        m->ordered_capacity = m->ordered_capacity > 0 ? m->ordered_capacity * 2 : 16;
        m->ordered = memory_grow(m->ordered, m->ordered_capacity, sizeof(struct queue *));
    }
    size_t at = queue_place(m, q->name);
    memmove(m->ordered + at + 1, m->ordered + at, (m->ordered_count - at) * sizeof(struct queue *));
    m->ordered[at] = q;
    m->ordered_count++;
}

static void strike(struct machine *m, struct queue *q)
{
    map_remove(&m->names, bytes_text(q->name));
    idmap_remove(&m->ids, q->id);
    size_t at = queue_place(m, q->name);
    ASSERT(at < m->ordered_count && m->ordered[at] == q);
    m->ordered_count--;
    memmove(m->ordered + at, m->ordered + at + 1, (m->ordered_count - at) * sizeof(struct queue *));
}

/* ---------------------------------------------------------------- making and changing */

static struct queue *make(uint64_t id, struct bytes name, Hato__QueueSettings *settings)
{
    struct queue *q = memory_zero(1, sizeof *q);
    q->id = id;
    q->name = memory_string((const char *)name.data, name.len);
    q->settings = settings;
    q->fifo = settings->kind == HATO__QUEUE_KIND__FIFO;
    q->next_number = 1;
    q->due_from_ms = NEVER;
    q->fresh_from_ms[0] = q->fresh_from_ms[1] = NEVER;
    lane_init(&q->lane, q, 0, 0, (struct bytes){NULL, 0});
    return q;
}

int queue_create(struct machine *m, struct bytes name, const Hato__QueueSettings *given, struct queue **out,
                 bool *changed, struct error *e)
{
    struct identity parts;
    Hato__QueueSettings *settings = NULL;
    *changed = false;
    int code = identity_split_queue(name, "name", &parts, e);
    if (code == ERR_OK)
        code = settings_queue_create(name, given, &settings, e);
    if (code != ERR_OK)
        return code;
    struct queue *q = queue_by_name(m, name);
    if (q != NULL) {
        bool equal = settings_queue_equal(q->settings, settings, true);
        const char *other = equal ? "" : settings_queue_difference(q->settings, settings);
        settings_queue_free(settings);
        *out = q;
        return equal ? ERR_OK
                     : error_field(e, ERR_EXISTS, other,
                                   "the queue exists already with another %s: change it with a set (hato queue set)",
                                   other);
    }
    if (m->ordered_count >= QUEUES_MAX) {
        settings_queue_free(settings);
        return error_field(e, ERR_LIMIT, "name", "the shard has %d queues, which is the limit", QUEUES_MAX);
    }
    q = make(identity_queue_id(m->options.shard, m->next_queue++), name, settings);
    q->created_ms = q->modified_ms = m->clock_ms;
    q->settings_dirty = true;
    enrol(m, q);
    queue_mark(m, q);
    machine_effect_once(m, EFFECT_QUEUE, q->id, 0, NULL);
    *changed = true;
    *out = q;
    return ERR_OK;
}

static void take_weights(struct queue *q)
{
    q->lane.weight = settings_group_weight(q->settings, (struct bytes){NULL, 0});
    pick_update(&q->lane);
    size_t at = 0;
    struct lane *l;
    while ((l = idmap_next(&q->lanes, &at, NULL)) != NULL) {
        l->weight = settings_group_weight(q->settings, lane_group(l));
        pick_update(l);
    }
}

/* Open chunks' retention counts by the new setting. */
static void take_retention(struct machine *m, struct queue *q)
{
    uint64_t number = 0;
    for (struct chunk *c = tree_first(&q->chunks, &number); c != NULL; c = tree_after(&q->chunks, number, &number))
        if (c->state == CHUNK_OPEN)
            chunk_mark(m, c);
}

/* Halted groups are asked by the new settings whether they still are. */
static void take_halts(struct machine *m, struct queue *q)
{
    if (q->counts.halted_groups == 0)
        return;
    lane_mark(m, &q->lane, false);
    size_t at = 0;
    struct lane *l;
    while ((l = idmap_next(&q->lanes, &at, NULL)) != NULL)
        if (l->halted_ms != 0)
            lane_mark(m, l, false);
}

int queue_set(struct machine *m, struct queue *q, const Hato__QueueSettings *given, struct error *e)
{
    Hato__QueueSettings *settings = NULL;
    int code = settings_queue_merge(bytes_text(q->name), q->settings, given, &settings, e);
    if (code != ERR_OK)
        return code;
    Hato__QueueSettings *before = q->settings;
    q->settings = settings;
    if (before->retention_ms != settings->retention_ms)
        take_retention(m, q);
    if (before->max_in_flight < settings->max_in_flight && q->counts.ready > 0)
        queue_announce(m, q);
    settings_queue_free(before);
    take_weights(q);
    take_halts(m, q);
    q->modified_ms = m->clock_ms;
    q->settings_dirty = true;
    queue_mark(m, q);
    machine_effect_once(m, EFFECT_QUEUE, q->id, 0, NULL);
    return ERR_OK;
}

/* ---------------------------------------------------------------- emptying */

/* What this entry did to the queue's chunks is written first: the sweep goes by the records. */
static void finish_chunks(struct machine *m, struct queue *q)
{
    struct chunk *mine = NULL;
    for (struct chunk **c = &m->dirty_chunks; *c != NULL;) {
        struct chunk *at = *c;
        if (at->queue != q) {
            c = &at->next_dirty;
            continue;
        }
        *c = at->next_dirty;
        at->next_dirty = mine;
        mine = at;
    }
    while (mine != NULL) {
        struct chunk *c = mine;
        mine = c->next_dirty;
        chunk_finish(m, c);
    }
}

static void clear_range(struct machine *m, enum key_kind kind, uint64_t queue)
{
    struct key from = key_of1(m->options.shard, kind, queue);
    struct key to = key_after(&from);
    keys_delete_range(&m->keys, &from, &to);
}

static void forget_messages(struct queue *q)
{
    struct queue_counts *c = &q->counts;
    c->ready = c->in_flight = c->delayed = c->bytes = c->halted_groups = 0;
    c->moving -= q->moving; /* what redrives took has left */
    q->waiting = q->held = q->moving = q->open_ready = q->open_blocked = q->cold_fresh = 0;
    q->due_from_ms = NEVER;
    for (int i = 0; i < 2; i++) {
        q->fresh_chunks[i] = 0;
        q->fresh_from_ms[i] = NEVER;
        q->fresh_from[i] = q->next_number << 1;
    }
    q->delayed_builder = NULL;
}

uint64_t queue_purge(struct machine *m, struct queue *q)
{
    uint64_t purged = q->counts.ready + q->counts.in_flight + q->counts.delayed + q->moving;
    bool lanes = idmap_count(&q->lanes) > 0;
    bool due = q->due_from_ms != NEVER; /* also when there is no message: those of cancelled ones may be left */
    finish_chunks(m, q);
    lane_free_all(m, q);
    pick_free(q);
    lane_init(&q->lane, q, 0, 0, (struct bytes){NULL, 0});
    q->purged_below = q->next_number;
    forget_messages(q);
    if (lanes) {
        clear_range(m, KEY_LANE, q->id);
        clear_range(m, KEY_FRESH, q->id);
    }
    if (due)
        clear_range(m, KEY_DUE, q->id);
    if (purged > 0) {
        lasterror_clear(&m->keys, q->id);
        sweep_add(m, q->id, q->next_number);
    }
    queue_mark(m, q);
    return purged;
}

void queue_delete(struct machine *m, struct queue *q)
{
    queue_purge(m, q);
    strike(m, q);
    if (q->dedup.generation > 0)
        dedup_clear(&m->keys, q->id);
    redrive_clear(m->redrives, &m->keys, q->id);
    q->gone = true;
    queue_mark(m, q);
    machine_effect_once(m, EFFECT_QUEUE, q->id, 0, NULL);
}

void queue_free(struct machine *m, struct queue *q)
{
    lane_free_all(m, q);
    pick_free(q);
    heap_close(&q->due);
    if (heap_holds(&q->timer))
        heap_remove(&m->timers, &q->timer);
    settings_queue_free(q->settings);
    memory_free(q->waited);
    memory_free(q->name);
    memory_free(q);
}

/* ---------------------------------------------------------------- its records */

static void put_counters(struct buffer *b, const struct queue *q)
{
    const struct queue_counts *c = &q->counts;
    const uint64_t fields[] = {
        c->ready,
        c->in_flight,
        c->delayed,
        c->moving,
        c->bytes,
        c->halted_groups,
        c->sent_total,
        c->received_total,
        c->acked_total,
        c->expired_total,
        c->dead_lettered_total,
        q->next_number,
        q->purged_below,
        q->picks,
        q->turn,
        q->waiting,
        q->due_from_ms,
        q->fresh_chunks[0],
        q->fresh_chunks[1],
        q->fresh_from_ms[0],
        q->fresh_from_ms[1],
        q->fresh_from[0],
        q->fresh_from[1],
        q->cold_fresh,
        q->dedup.generation,
        q->dedup.since_ms,
        q->lane.turn,
        q->lane.waiting,
        q->lane.last_due_ms,
        q->lane.halted_ms,
        q->lane.passed_by,
        q->lane.moving,
        q->moving,
        c->dead_letters_refused_total,
        q->lane.turned_back,
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        buffer_varint(b, fields[i] + 1); /* NEVER is one byte so */
}

static void take_counters(struct cursor *v, struct queue *q)
{
    struct queue_counts *c = &q->counts;
    uint64_t *const fields[] = {
        &c->ready,
        &c->in_flight,
        &c->delayed,
        &c->moving,
        &c->bytes,
        &c->halted_groups,
        &c->sent_total,
        &c->received_total,
        &c->acked_total,
        &c->expired_total,
        &c->dead_lettered_total,
        &q->next_number,
        &q->purged_below,
        &q->picks,
        &q->turn,
        &q->waiting,
        &q->due_from_ms,
        &q->fresh_chunks[0],
        &q->fresh_chunks[1],
        &q->fresh_from_ms[0],
        &q->fresh_from_ms[1],
        &q->fresh_from[0],
        &q->fresh_from[1],
        &q->cold_fresh,
        &q->dedup.generation,
        &q->dedup.since_ms,
        &q->lane.turn,
        &q->lane.waiting,
        &q->lane.last_due_ms,
        &q->lane.halted_ms,
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        *fields[i] = cursor_varint(v) - 1;
    if (cursor_left(v) > 0) /* version 1 ends before it */
        q->lane.passed_by = cursor_varint(v) - 1;
    if (cursor_left(v) > 0) { /* version 2 before these */
        q->lane.moving = cursor_varint(v) - 1;
        q->moving = cursor_varint(v) - 1;
        c->dead_letters_refused_total = cursor_varint(v) - 1;
    }
    if (cursor_left(v) > 0) /* version 3 before it */
        q->lane.turned_back = cursor_varint(v) - 1 != 0;
}

static void put_record(struct machine *m, const struct queue *q)
{
    struct key key = key_of1(m->options.shard, KEY_QUEUE, q->id);
    put_counters(keys_begin(&m->keys, QUEUE_RECORD_VERSION), q);
    keys_put(&m->keys, &key);
}

static void put_settings(struct machine *m, const struct queue *q)
{
    struct key key = key_of1(m->options.shard, KEY_SETTINGS, q->id);
    struct buffer *b = keys_begin(&m->keys, QUEUE_SETTINGS_VERSION);
    buffer_varint(b, q->created_ms);
    buffer_varint(b, q->modified_ms);
    buffer_u8(b, (uint8_t)strlen(q->name));
    buffer_put(b, q->name, strlen(q->name));
    settings_queue_encode(q->settings, b);
    keys_put(&m->keys, &key);
}

int queue_read_settings(struct machine *m, uint64_t id, struct bytes key, struct bytes value, struct queue **out,
                        struct error *e)
{
    struct cursor c;
    int code = value_open(key, value, QUEUE_SETTINGS_VERSION, &c, e);
    if (code != ERR_OK)
        return code;
    uint64_t created = cursor_varint(&c);
    uint64_t modified = cursor_varint(&c);
    struct bytes name = cursor_take(&c, cursor_u8(&c));
    struct bytes encoded = cursor_take(&c, cursor_left(&c));
    if (c.failed || name.len == 0 || queue_by_name(m, name) != NULL)
        return value_corrupt(key, "its name is missing, or another queue's", e);
    Hato__QueueSettings *settings;
    code = settings_queue_decode(encoded, &settings, e);
    if (code != ERR_OK)
        return code;
    struct queue *q = make(id, name, settings);
    q->created_ms = created;
    q->modified_ms = modified;
    enrol(m, q);
    *out = q;
    return ERR_OK;
}

int queue_read_record(struct queue *q, struct bytes key, struct cursor *v, struct error *e)
{
    take_counters(v, q);
    return value_done(key, v, e);
}

void queue_mark(struct machine *m, struct queue *q)
{
    if (q->dirty)
        return;
    q->dirty = true;
    q->next_dirty = m->dirty_queues;
    m->dirty_queues = q;
}

static void delete_records(struct machine *m, struct queue *q)
{
    struct key record = key_of1(m->options.shard, KEY_QUEUE, q->id);
    struct key settings = key_of1(m->options.shard, KEY_SETTINGS, q->id);
    keys_delete(&m->keys, &record);
    keys_delete(&m->keys, &settings);
}

void queue_finish(struct machine *m, struct queue *q)
{
    q->dirty = false;
    if (q->gone) {
        delete_records(m, q);
        queue_free(m, q);
        return;
    }
    q->announced = false;
    q->delayed_builder = NULL;
    for (int i = 0; i < 2; i++)
        if (q->fresh_chunks[i] == 0)
            q->fresh_from_ms[i] = NEVER;
    if (q->settings_dirty)
        put_settings(m, q);
    q->settings_dirty = false;
    put_record(m, q);
    queue_reschedule(m, q);
}

void queue_reschedule(struct machine *m, struct queue *q)
{
    uint64_t next = due_next_ms(q);
    const struct heap_node *first = heap_first(&q->due);
    if (first != NULL && first->key < next)
        next = first->key;
    if (retention_next_ms(q) < next)
        next = retention_next_ms(q);
    if (heap_holds(&q->timer))
        heap_move(&m->timers, &q->timer, next, q->id);
    else
        heap_put(&m->timers, &q->timer, next, q->id);
}

void queue_announce(struct machine *m, struct queue *q)
{
    queue_mark(m, q);
    if (q->announced)
        return;
    q->announced = true;
    machine_effect(m, EFFECT_READY, q->id, 0, NULL);
}

uint64_t queue_next_number(struct queue *q, unsigned chunk_class)
{
    return q->next_number++ << 1 | chunk_class;
}
