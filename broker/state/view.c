/* What the leader asks a machine between entries: nothing here changes anything. */
#include "state/chunk.h"
#include "state/lane.h"
#include "state/pick.h"
#include "state/queue.h"
#include "state/walk.h"

enum { OLDEST_LOOK_MAX = 64 };

/* Reading uses its buffers, and may put what is pending into the store: nobody sees a change. */
static struct keys *keys_of(const struct machine *m)
{
    return &((struct machine *)(uintptr_t)m)->keys;
}

/* ---------------------------------------------------------------- queues */

/* When the first chunk in memory that has something ready or leased was sent. */
static uint64_t oldest_in_memory(const struct queue *q)
{
    uint64_t number = 0;
    for (const struct chunk *c = tree_first(&q->chunks, &number); c != NULL;
         c = tree_after(&q->chunks, number, &number))
        if (c->ready != 0 || c->leased != 0)
            return c->sent_ms;
    return NEVER;
}

/* When the first fresh chunk of a class was sent, if it is not in memory. A chunk whose messages were all put off by a nack may be
 * taken for it. */
static uint64_t oldest_in_store(const struct machine *m, const struct queue *q, unsigned chunk_class)
{
    if (q->fresh_chunks[chunk_class] == 0 || (chunk_class == 0 && !q->lane.disk))
        return NEVER;
    struct store_iterator *i = walk_class(m, q, chunk_class, (q->fresh_from[chunk_class] & ~UINT64_C(1)) | chunk_class,
                                          q->next_number << 1 | chunk_class);
    uint64_t oldest = NEVER;
    for (int looked = 0; looked < OLDEST_LOOK_MAX && oldest == NEVER && store_iterator_valid(i); looked++) {
        struct chunk_record r;
        const struct chunk *c = tree_find(&q->chunks, chunk_key_number(store_iterator_key(i)));
        struct bytes key = store_iterator_key(i);
        struct cursor value;
        if (c == NULL && value_open(key, store_iterator_value(i), CHUNK_RECORD_VERSION, &value, NULL) == ERR_OK &&
            chunk_record_parse(key, &value, &r, NULL) == ERR_OK && r.due_ms == 0)
            oldest = r.sent_ms;
        store_iterator_next(i);
    }
    if (store_iterator_error(i, NULL) != ERR_OK) /* it is no older than this */
        oldest = q->fresh_from_ms[chunk_class];
    store_iterator_close(i);
    return oldest;
}

/* No fresh chunk is older. */
static uint64_t fresh_since(const struct queue *q)
{
    uint64_t since = NEVER;
    for (unsigned k = 0; k < 2; k++)
        if (q->fresh_chunks[k] > 0 && q->fresh_from_ms[k] < since)
            since = q->fresh_from_ms[k];
    return since;
}

static uint64_t oldest_sent(const struct machine *m, const struct queue *q)
{
    if (q->counts.ready + q->counts.in_flight == 0)
        return 0;
    uint64_t oldest = oldest_in_memory(q);
    for (unsigned k = 0; k < 2; k++) {
        uint64_t other = oldest_in_store(m, q, k);
        oldest = other < oldest ? other : oldest;
    }
    if (oldest == NEVER) /* it lies behind more delayed ones than were looked at */
        oldest = fresh_since(q);
    return oldest == NEVER ? 0 : oldest;
}

static void fill(const struct queue *q, struct queue_view *out)
{
    *out = (struct queue_view){
        .id = q->id,
        .name = q->name,
        .settings = q->settings,
        .created_ms = q->created_ms,
        .modified_ms = q->modified_ms,
        .counts = q->counts,
    };
}

bool machine_queue_find(const struct machine *m, const char *name, struct queue_view *out)
{
    const struct queue *q = queue_by_name(m, bytes_text(name));
    if (q != NULL)
        fill(q, out);
    return q != NULL;
}

bool machine_queue_get(const struct machine *m, uint64_t id, struct queue_view *out)
{
    const struct queue *q = queue_by_id(m, id);
    if (q != NULL)
        fill(q, out);
    return q != NULL;
}

uint64_t machine_queue_oldest_ms(const struct machine *m, uint64_t id)
{
    const struct queue *q = queue_by_id(m, id);
    return q != NULL ? oldest_sent(m, q) : 0;
}

void machine_queue_waited(const struct machine *m, uint64_t id, struct queue_waited *out)
{
    const struct queue *q = queue_by_id(m, id);
    *out = q != NULL && q->waited != NULL ? *q->waited : (struct queue_waited){0};
}

void machine_queue_each(const struct machine *m, const char *after,
                        bool (*visit)(void *ctx, const struct queue_view *q), void *ctx)
{
    size_t at = queue_place(m, after);
    if (at < m->ordered_count && strcmp(m->ordered[at]->name, after) == 0)
        at++;
    for (; at < m->ordered_count; at++) {
        struct queue_view view;
        fill(m->ordered[at], &view);
        if (!visit(ctx, &view))
            return;
    }
}

size_t machine_queue_count(const struct machine *m)
{
    return m->ordered_count;
}

/* ---------------------------------------------------------------- what a receive could get */

static uint64_t list_available(const struct chunk_list *list, uint64_t limit)
{
    uint64_t n = 0;
    for (const struct chunk *c = list->first; c != NULL && n < limit; c = c->next)
        n += chunk_bits_count(c->live);
    return n;
}

/* Of an eligible lane. What of it is in the store alone is not counted but taken to be enough. */
static uint64_t lane_available(const struct lane *l, uint64_t limit)
{
    if (l->disk)
        return limit;
    uint64_t n = 0;
    uint64_t number = 0;
    for (const struct chunk *c = tree_first(&l->ready, &number); c != NULL && n < limit;
         c = tree_after(&l->ready, number, &number))
        n += chunk_bits_count(c->ready);
    return n + list_available(&l->head, limit) + list_available(&l->tail, limit);
}

static uint32_t fifo_available(const struct queue *q, uint32_t limit)
{
    uint64_t n = 0;
    if (q->pick == NULL && pick_eligible(q) > 0)
        n = lane_available(&q->lane, limit);
    for (uint32_t i = 0; q->pick != NULL && i < q->pick->heaps[0].count && n < limit; i++)
        n += lane_available(q->pick->heaps[0].lanes[i], limit);
    if (n > q->counts.ready)
        n = q->counts.ready;
    return n < limit ? (uint32_t)n : limit;
}

uint32_t machine_queue_available(const struct machine *m, uint64_t id, uint32_t limit)
{
    const struct queue *q = queue_by_id(m, id);
    if (q == NULL || q->counts.ready == 0 || q->counts.in_flight >= q->settings->max_in_flight)
        return 0;
    uint64_t room = q->settings->max_in_flight - q->counts.in_flight;
    if (room < limit)
        limit = (uint32_t)room;
    if (q->fifo)
        return fifo_available(q, limit);
    return q->counts.ready < limit ? (uint32_t)q->counts.ready : limit;
}

bool machine_queue_next(const struct machine *m, uint64_t id, uint64_t index, struct message_ref *out)
{
    const struct queue *q = queue_by_id(m, id);
    const struct chunk *c = q != NULL ? q->lane.head.first : NULL;
    while (c != NULL && c->index <= index)
        c = c->next;
    if (c == NULL)
        return false;
    const struct slot *last = &c->slots[c->count - 1];
    *out = (struct message_ref){.index = c->index, .offset = last->offset, .len = last->len};
    return true;
}

/* ---------------------------------------------------------------- the modules' */

size_t machine_redrives(const struct machine *m, uint64_t queue, struct redrive_view *out, size_t max)
{
    return redrive_list(m->redrives, queue, out, max);
}

bool machine_function_find(const struct machine *m, const char *name, struct function_view *out)
{
    return m->catalog != NULL && catalog_find(m->catalog, bytes_text(name), out);
}

void machine_function_each(const struct machine *m, const char *after,
                           bool (*visit)(void *ctx, const struct function_view *f), void *ctx)
{
    if (m->catalog != NULL)
        catalog_each(m->catalog, bytes_text(after), visit, ctx);
}

size_t machine_function_count(const struct machine *m)
{
    return m->catalog != NULL ? catalog_count(m->catalog) : 0;
}

bool machine_nodes(const struct machine *m, struct nodes_view *out)
{
    return m->nodes != NULL && nodes_look(m->nodes, out);
}

/* What its slot kept went with it, or goes back because one before it in its group did. */
static bool withdrawn(const void *ctx, const struct moving *item)
{
    const struct machine *m = ctx;
    const struct queue *q = queue_by_id(m, item->from);
    if (!item->kept)
        return false;
    if (q == NULL || queue_purged(q, item->from_sequence / CHUNK_SLOTS))
        return true;
    const struct lane *l = q->fifo ? lane_find(m, q, 0, item->group) : NULL;
    return l != NULL && l->turned_back;
}

int machine_outbox(const struct machine *m, uint16_t target, uint64_t after, size_t max, struct arena *arena,
                   struct outbox_item **out, size_t *count, struct error *e)
{
    return outbox_list(m->outbox, keys_of(m), target, after, max, withdrawn, m, arena, out, count, e);
}

size_t machine_outbox_targets(const struct machine *m, uint16_t *out, size_t max)
{
    return outbox_targets(m->outbox, out, max);
}

uint64_t machine_first_live(const struct machine *m)
{
    uint64_t first = extent_first_live(m->extents);
    return first < m->applied + 1 ? first : m->applied + 1;
}

size_t machine_dead_ranges(struct machine *m, uint64_t below, uint64_t (*out)[2], size_t max)
{
    return extent_dead_ranges(m->extents, below, out, max);
}

void machine_dead_again(struct machine *m, uint64_t first, uint64_t last)
{
    extent_dead_again(m->extents, first, last);
}

struct machine_spill *machine_spill_open(struct machine *m, uint64_t first, uint64_t last)
{
    return (struct machine_spill *)extent_spill_open(&m->keys, first, last, chunk_live_refs);
}

int machine_spill_next(struct machine_spill *s, struct message_ref *out, bool *more, struct error *e)
{
    return extent_spill_next((struct extent_spill *)s, out, more, e);
}

void machine_spill_close(struct machine_spill *s)
{
    extent_spill_close((struct extent_spill *)s);
}
