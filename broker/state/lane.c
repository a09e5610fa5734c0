#include "state/lane.h"

#include "state/chunk.h"
#include "state/exhaust.h"
#include "state/pick.h"
#include "state/queue.h"

/* How much is read ahead of what is asked for, when a lane's fresh chunks come from the store. */
enum { AHEAD_MESSAGES = 2048, AHEAD_CHUNKS = 512, AHEAD_GROUP_CHUNKS = 16 };

/* ---------------------------------------------------------------- making and finding */

/* Persistent: the hash is part of keys. Two groups with one hash would share a lane: their order stays right, they share a turn. */
static uint64_t lane_id(const struct machine *m, uint8_t priority, struct bytes group)
{
    if (priority == 0 && group.len == 0)
        return 0;
    uint64_t id = (uint64_t)priority << 61 | bytes_hash(group, m->secret) >> 3;
    return id != 0 ? id : 1;
}

void lane_init(struct lane *l, struct queue *q, uint64_t id, uint8_t priority, struct bytes group)
{
    ASSERT(q->settings != NULL); /* a queue has its settings before any lane */
    *l = (struct lane){.queue = q, .id = id, .priority = priority, .weight = 1};
    list_init(&l->open);
    l->group_len = (uint8_t)group.len;
    l->group = group.len > 0 ? memory_string((const char *)group.data, group.len) : NULL;
    l->frontier = 0;
    l->tail_from = UINT64_MAX;
    l->weight = settings_group_weight(q->settings, group);
}

struct lane *lane_find(const struct machine *m, const struct queue *q, uint8_t priority, struct bytes group)
{
    uint64_t id = lane_id(m, priority, group);
    return id == 0 ? (struct lane *)(uintptr_t)&q->lane : idmap_find(&q->lanes, id);
}

struct lane *lane_get(struct machine *m, struct queue *q, uint8_t priority, struct bytes group)
{
    uint64_t id = lane_id(m, priority, group);
    struct lane *l = id == 0 ? &q->lane : idmap_find(&q->lanes, id);
    if (l != NULL)
        return l;
    pick_begin(q);
    l = memory_alloc(sizeof *l);
    lane_init(l, q, id, priority, group);
    pick_join(l);
    idmap_put(&q->lanes, id, l);
    lane_mark(m, l, false);
    return l;
}

static void lane_free(struct machine *m, struct lane *l)
{
    ASSERT(l->refs == 0 && !l->dirty && tree_count(&l->ready) == 0);
    pick_forget(l);
    if (list_linked(&l->cached))
        list_remove(&m->cached_lanes, &l->cached);
    memory_free(l->group);
    l->group = NULL;
    if (l->id == 0)
        return;
    idmap_remove(&l->queue->lanes, l->id);
    memory_free(l);
}

/* ---------------------------------------------------------------- its record */

static bool lane_active(const struct lane *l)
{
    return !list_empty(&l->open) || l->waiting > 0 || l->moving > 0 || lane_has_fresh(l);
}

void lane_mark(struct machine *m, struct lane *l, bool changed)
{
    if (changed)
        l->changed = true;
    if (l->dirty)
        return;
    l->dirty = true;
    l->next_dirty = m->dirty_lanes;
    m->dirty_lanes = l;
}

static struct key record_key(const struct machine *m, const struct lane *l)
{
    return key_of2(m->options.shard, KEY_LANE, l->queue->id, l->id);
}

void lane_record_put(struct machine *m, const struct lane *l)
{
    struct key key = record_key(m, l);
    struct buffer *b = keys_begin(&m->keys, LANE_RECORD_VERSION);
    buffer_u8(b, l->priority);
    buffer_varint(b, l->halted_ms);
    buffer_varint(b, l->turn);
    buffer_varint(b, l->waiting);
    buffer_varint(b, l->last_due_ms);
    buffer_varint(b, l->passed_by);
    buffer_varint(b, l->moving);
    buffer_u8(b, l->turned_back);
    buffer_put(b, l->group, l->group_len);
    if (l->stored)
        keys_put(&m->keys, &key);
    else
        keys_put_new(&m->keys, &key);
}

int lane_record_read(struct queue *q, uint64_t id, struct bytes key, struct bytes value, struct error *e)
{
    struct cursor c;
    int code = value_open(key, value, LANE_RECORD_VERSION, &c, e);
    if (code != ERR_OK)
        return code;
    uint8_t priority = cursor_u8(&c);
    uint64_t halted_ms = cursor_varint(&c); /* version 1 had 0 or 1 */
    uint64_t turn = cursor_varint(&c);
    uint64_t waiting = cursor_varint(&c);
    uint64_t last_due_ms = cursor_varint(&c);
    uint8_t written_by = value.data[0]; /* this version */
    uint64_t passed_by = written_by >= 3 ? cursor_varint(&c) : 0;
    uint64_t moving = written_by >= 4 ? cursor_varint(&c) : 0;
    bool turned_back = written_by >= 5 && cursor_u8(&c) != 0;
    struct bytes group = cursor_take(&c, cursor_left(&c));
    if (c.failed || priority >= PRIORITIES || group.len > GROUP_BYTES_MAX || id == 0)
        return value_corrupt(key, "a field is out of bounds", e);
    pick_begin(q);
    struct lane *l = memory_alloc(sizeof *l);
    lane_init(l, q, id, priority, group);
    l->turn = turn;
    l->waiting = waiting;
    l->last_due_ms = last_due_ms;
    l->passed_by = passed_by;
    l->moving = moving;
    l->turned_back = turned_back;
    l->halted_ms = halted_ms;
    l->stored = true;
    idmap_put(&q->lanes, id, l);
    return ERR_OK;
}

static void lane_retire(struct machine *m, struct lane *l)
{
    if (l->stored) {
        struct key key = record_key(m, l);
        keys_delete(&m->keys, &key);
        l->stored = false;
    }
    if (l->refs == 0 && l->id != 0)
        lane_free(m, l);
}

static void forget_tail(struct machine *m, struct lane *l);

void lane_finish(struct machine *m, struct lane *l)
{
    exhaust_recheck(m, l);
    l->dirty = false;
    l->builder = NULL;
    bool changed = l->changed;
    l->changed = false;
    if (!lane_active(l)) {
        lane_retire(m, l);
        return;
    }
    pick_update(l);
    if (l->id == 0) {
        if (changed)
            queue_mark(m, l->queue);
    } else if (changed || !l->stored) {
        lane_record_put(m, l);
        l->stored = true;
    }
    if (l->disk) /* a backlog is read from the store when its turn comes */
        forget_tail(m, l);
}

/* ---------------------------------------------------------------- lists of fresh chunks */

static void list_push(struct lane *l, struct chunk_list *list, struct chunk *c)
{
    ASSERT(!c->listed);
    c->listed = true;
    c->next = NULL;
    c->before = list->last;
    if (list->last != NULL)
        list->last->next = c;
    else
        list->first = c;
    list->last = c;
    l->listed++;
}

static void list_drop(struct lane *l, struct chunk_list *list, struct chunk *c)
{
    if (c->before != NULL)
        c->before->next = c->next;
    else
        list->first = c->next;
    if (c->next != NULL)
        c->next->before = c->before;
    else
        list->last = c->before;
    c->next = NULL;
    c->before = NULL;
    c->listed = false;
    l->listed--;
}

static void cache_count(struct machine *m, struct lane *l, struct chunk *c)
{
    c->cached_bytes = (uint32_t)chunk_memory(c);
    m->cached_bytes += c->cached_bytes;
    if (!list_linked(&l->cached))
        list_append(&m->cached_lanes, &l->cached);
}

void lane_append(struct machine *m, struct lane *l, struct chunk *c)
{
    if (!l->disk && l->tail.first == NULL) {
        list_push(l, &l->head, c);
    } else {
        if (l->tail.first == NULL)
            l->tail_from = c->number;
        list_push(l, &l->tail, c);
    }
    cache_count(m, l, c);
    lane_mark(m, l, !l->stored);
}

void lane_unlist(struct machine *m, struct chunk *c)
{
    struct lane *l = c->lane;
    ASSERT(c->listed);
    bool in_head = l->tail.first == NULL || c->number < l->tail.first->number;
    list_drop(l, in_head ? &l->head : &l->tail, c);
    if (in_head && l->frontier <= c->number)
        l->frontier = c->number + 1;
    m->cached_bytes -= c->cached_bytes;
    if (l->listed == 0 && list_linked(&l->cached))
        list_remove(&m->cached_lanes, &l->cached);
    lane_mark(m, l, false);
}

/* ---------------------------------------------------------------- from the store */

/* Goes over a lane's fresh chunks in the store, from its frontier to below its tail. */
struct scan {
    struct store_iterator *i;
    bool by_index;
};

static struct scan scan_open(struct machine *m, struct lane *l)
{
    uint16_t shard = m->options.shard;
    uint64_t queue = l->queue->id;
    struct scan s = {.by_index = l->id != 0};
    struct key from, to;
    if (s.by_index) {
        from = key_of3(shard, KEY_FRESH, queue, l->id, l->frontier);
        to = key_of3(shard, KEY_FRESH, queue, l->id, l->tail_from);
    } else {
        uint64_t first = l->frontier > l->queue->fresh_from[0] ? l->frontier : l->queue->fresh_from[0];
        from = chunk_key(shard, queue, (first + 1) & ~UINT64_C(1));
        to = chunk_key(shard, queue, l->tail_from & ~UINT64_C(1));
    }
    if (bytes_compare(key_view(&from), key_view(&to)) < 0)
        s.i = keys_iterate(&m->keys, &from, &to);
    return s;
}

static bool scan_valid(const struct scan *s)
{
    return s->i != NULL && store_iterator_valid(s->i);
}

static uint64_t scan_number(const struct scan *s)
{
    struct bytes key = store_iterator_key(s->i);
    if (!s->by_index)
        return chunk_key_number(key);
    struct cursor c = {key.data + key.len - 8, key.data + key.len, false};
    return cursor_u64be(&c);
}

static int scan_close(struct scan *s, struct error *e)
{
    if (s->i == NULL)
        return ERR_OK;
    int code = store_iterator_error(s->i, e);
    store_iterator_close(s->i);
    return code;
}

/* Whether the chunk that the scan is at is one to be received: the store does not know yet what this entry did. */
static bool scan_fresh(const struct scan *s, const struct lane *l)
{
    uint64_t number = scan_number(s);
    if (queue_purged(l->queue, number))
        return false;
    const struct chunk *c = tree_find(&l->queue->chunks, number);
    return c == NULL || (c->state == CHUNK_FRESH && c->live != 0);
}

static int scan_load(struct machine *m, const struct scan *s, struct lane *l, struct chunk **out, struct error *e)
{
    struct queue *q = l->queue;
    uint64_t number = scan_number(s);
    struct chunk *c = tree_find(&q->chunks, number);
    int code = ERR_OK;
    if (c == NULL && s->by_index) {
        code = chunk_load_fresh(m, q, number, &c, e);
        if (code == ERR_OK && c == NULL)
            code =
                error_set(e, ERR_CORRUPT,
                          "queue %s: chunk %llu is in its lane's index, but its record is missing: repair this replica",
                          q->name, (unsigned long long)number);
    } else if (c == NULL) {
        struct bytes key = store_iterator_key(s->i);
        struct cursor value;
        code = value_open(key, store_iterator_value(s->i), CHUNK_RECORD_VERSION, &value, e);
        if (code == ERR_OK)
            code = chunk_record_read(m, q, number, key, &value, &c, e);
        if (code == ERR_OK && q->cold_fresh > 0)
            code = chunk_load_cold(m, c, e);
    }
    *out = c;
    return code;
}

/* Moves the scan to the next chunk to be received. */
static void scan_settle(struct scan *s, const struct lane *l)
{
    while (scan_valid(s) && !scan_fresh(s, l))
        store_iterator_next(s->i);
}

/* The scan is over: what lies before where it stands is never fresh again, and never gone over again either. The frontier is in
 * memory only, and from any that is not too far a scan finds the same chunk: replicas can't differ by it. */
static int scan_end(struct scan *s, struct lane *l, struct error *e)
{
    l->disk = scan_valid(s);
    if (l->disk)
        l->frontier = scan_number(s);
    return scan_close(s, e);
}

static int refill(struct machine *m, struct lane *l, struct error *e)
{
    uint32_t messages = 0;
    uint32_t chunks = 0;
    uint32_t chunks_max = l->id == 0 ? AHEAD_CHUNKS : AHEAD_GROUP_CHUNKS;
    int code = ERR_OK;
    struct scan s = scan_open(m, l);
    scan_settle(&s, l);
    while (scan_valid(&s) && messages < AHEAD_MESSAGES && chunks < chunks_max) {
        struct chunk *c;
        code = scan_load(m, &s, l, &c, e);
        if (code != ERR_OK)
            break;
        list_push(l, &l->head, c);
        cache_count(m, l, c);
        messages += chunk_bits_count(c->live);
        chunks++;
        l->frontier = c->number + 1;
        store_iterator_next(s.i);
        scan_settle(&s, l);
    }
    int closed = scan_end(&s, l, e);
    return code != ERR_OK ? code : closed;
}

int lane_first_fresh(struct machine *m, struct lane *l, struct chunk **out, struct error *e)
{
    if (l->head.first == NULL && l->disk) {
        int code = refill(m, l, e);
        if (code != ERR_OK)
            return code;
    }
    if (l->head.first == NULL && !l->disk) {
        l->head = l->tail;
        l->tail = (struct chunk_list){NULL, NULL};
        l->tail_from = UINT64_MAX;
    }
    *out = l->head.first;
    return ERR_OK;
}

int lane_recheck(struct machine *m, struct lane *l, struct error *e)
{
    int code = ERR_OK;
    if (l->disk) {
        struct scan s = scan_open(m, l);
        scan_settle(&s, l);
        code = scan_end(&s, l, e);
    }
    pick_update(l);
    lane_mark(m, l, false);
    return code;
}

/* ---------------------------------------------------------------- bounds of memory */

static void forget_list(struct machine *m, struct lane *l, struct chunk_list *list)
{
    struct chunk *next;
    for (struct chunk *c = list->first; c != NULL; c = next) {
        next = c->next;
        ASSERT(!c->dirty);
        c->listed = false;
        l->listed--;
        m->cached_bytes -= c->cached_bytes;
        chunk_free(m, c);
    }
    *list = (struct chunk_list){NULL, NULL};
}

static void forget_tail(struct machine *m, struct lane *l)
{
    forget_list(m, l, &l->tail);
    l->tail_from = UINT64_MAX;
    if (l->listed == 0 && list_linked(&l->cached))
        list_remove(&m->cached_lanes, &l->cached);
}

void lane_forget(struct machine *m, struct lane *l)
{
    if (l->head.first != NULL)
        l->frontier = l->head.first->number;
    else if (!l->disk && l->tail.first != NULL)
        l->frontier = l->tail.first->number;
    l->disk = lane_has_fresh(l);
    forget_list(m, l, &l->head);
    forget_tail(m, l);
}

void lane_trim(struct machine *m)
{
    while (m->cached_bytes > CACHED_BYTES_MAX) {
        struct list_link *oldest = list_first(&m->cached_lanes);
        ASSERT(oldest != NULL);
        lane_forget(m, CONTAINER_OF(oldest, struct lane, cached));
    }
}

void lane_free_all(struct machine *m, struct queue *q)
{
    uint64_t number;
    struct chunk *c;
    while ((c = tree_first(&q->chunks, &number)) != NULL) {
        ASSERT(!c->dirty);
        if (c->listed)
            m->cached_bytes -= c->cached_bytes;
        c->listed = false;
        chunk_free(m, c);
    }
    for (struct lane **l = &m->dirty_lanes; *l != NULL;) {
        if ((*l)->queue == q) {
            (*l)->dirty = false;
            *l = (*l)->next_dirty;
        } else {
            l = &(*l)->next_dirty;
        }
    }
    size_t at = 0;
    struct lane *l;
    while ((l = idmap_next(&q->lanes, &at, NULL)) != NULL) {
        tree_close(&l->ready);
        lane_free(m, l);
    }
    idmap_close(&q->lanes);
    tree_close(&q->lane.ready);
    lane_free(m, &q->lane);
}
