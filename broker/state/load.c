/* Opening: queues, their lanes and open chunks come back into memory as they were. */
#include "state/load.h"

#include "state/chunk.h"
#include "state/lane.h"
#include "state/pick.h"
#include "state/queue.h"

typedef int (*visit_fn)(struct machine *m, struct bytes key, struct bytes value, struct error *e);

/* Calls `visit` for each key of a kind. */
static int each(struct machine *m, enum key_kind kind, visit_fn visit, struct error *e)
{
    struct key from = key_of(m->options.shard, kind);
    struct key to = key_after(&from);
    struct store_iterator *i = keys_iterate(&m->keys, &from, &to);
    int code = ERR_OK;
    for (; code == ERR_OK && store_iterator_valid(i); store_iterator_next(i))
        code = visit(m, store_iterator_key(i), store_iterator_value(i), e);
    int closed = store_iterator_error(i, e);
    store_iterator_close(i);
    return code != ERR_OK ? code : closed;
}

/* ---------------------------------------------------------------- queues */

static int load_settings(struct machine *m, struct bytes key, struct bytes value, struct error *e)
{
    uint64_t id;
    struct queue *q;
    if (!key_numbers(key, KEY_SETTINGS, &id, 1))
        return value_corrupt(key, "the key is malformed", e);
    return queue_read_settings(m, id, key, value, &q, e);
}

static int load_record(struct machine *m, struct bytes key, struct bytes value, struct error *e)
{
    uint64_t id;
    struct cursor v;
    struct queue *q = key_numbers(key, KEY_QUEUE, &id, 1) ? queue_by_id(m, id) : NULL;
    if (q == NULL)
        return value_corrupt(key, "its queue has no settings record", e);
    int code = value_open(key, value, QUEUE_RECORD_VERSION, &v, e);
    if (code == ERR_OK)
        code = queue_read_record(q, key, &v, e);
    q->lane.disk = q->fresh_chunks[0] > 0;
    return code;
}

/* ---------------------------------------------------------------- lanes */

static int load_lane(struct machine *m, struct bytes key, struct bytes value, struct error *e)
{
    uint64_t n[2]; /* queue, lane */
    struct queue *q = key_numbers(key, KEY_LANE, n, 2) ? queue_by_id(m, n[0]) : NULL;
    if (q == NULL)
        return value_corrupt(key, "its queue has no settings record", e);
    return lane_record_read(q, n[1], key, value, e);
}

/* Which lanes have fresh chunks in the store: one seek a lane. */
static int find_fresh(struct machine *m, struct error *e)
{
    struct key from = key_of(m->options.shard, KEY_FRESH);
    struct key to = key_after(&from);
    struct store_iterator *i = keys_iterate(&m->keys, &from, &to);
    int code = ERR_OK;
    while (store_iterator_valid(i)) {
        uint64_t n[3]; /* queue, lane, chunk */
        struct bytes key = store_iterator_key(i);
        struct queue *q = key_numbers(key, KEY_FRESH, n, 3) ? queue_by_id(m, n[0]) : NULL;
        struct lane *l = q != NULL ? idmap_find(&q->lanes, n[1]) : NULL;
        if (l == NULL) {
            code = value_corrupt(key, "its lane has no record", e);
            break;
        }
        l->disk = true;
        l->frontier = n[2];
        struct key next = key_of2(m->options.shard, KEY_FRESH, n[0], n[1]);
        next = key_after(&next);
        store_iterator_seek(i, key_view(&next));
    }
    int closed = store_iterator_error(i, e);
    store_iterator_close(i);
    return code != ERR_OK ? code : closed;
}

/* ---------------------------------------------------------------- open chunks */

static void count_open(struct queue *q, struct chunk *c)
{
    struct lane *l = c->lane;
    list_append(&l->open, &c->open);
    for (uint32_t i = 0; i < c->lease_count; i++) {
        uint32_t n = chunk_bits_count(c->leases[i].bits);
        if (c->leases[i].id != 0) {
            l->in_flight += n;
        } else {
            l->held += n;
            q->held += n;
        }
    }
    if (c->ready != 0) {
        q->open_ready++;
        tree_put(&l->ready, c->number, c);
    }
    heap_put(&q->due, &c->due, chunk_deadline(c), c->number);
}

static int load_touch(struct machine *m, struct queue *q, uint64_t number, struct bytes key, struct bytes value,
                      struct error *e)
{
    struct key record = chunk_key(m->options.shard, q->id, number);
    struct cursor v;
    int code = keys_get(&m->keys, &record, CHUNK_RECORD_VERSION, &v, e);
    if (code == ERR_NOT_FOUND)
        return value_corrupt(key, "its chunk record is missing", e);
    struct chunk *c = NULL;
    if (code == ERR_OK)
        code = chunk_record_read(m, q, number, key_view(&record), &v, &c, e);
    if (code == ERR_OK)
        code = value_open(key, value, CHUNK_TOUCH_VERSION, &v, e);
    if (code == ERR_OK)
        code = chunk_touch_read(c, key, &v, e);
    if (code != ERR_OK)
        return code;
    if (c->state != CHUNK_OPEN)
        return value_corrupt(key, "nothing of it is ready or leased", e);
    c->stored |= STORED_OPEN;
    count_open(q, c);
    return ERR_OK;
}

static int load_open(struct machine *m, struct bytes key, struct bytes value, struct error *e)
{
    uint64_t n[2]; /* queue, chunk */
    if (!key_numbers(key, KEY_TOUCH, n, 2))
        return value_corrupt(key, "the key is malformed", e);
    struct queue *q = queue_by_id(m, n[0]);
    if (q == NULL || queue_purged(q, n[1])) /* being swept */
        return ERR_OK;
    return load_touch(m, q, n[1], key, value, e);
}

/* ---------------------------------------------------------------- all together */

static void wake(struct machine *m, struct queue *q)
{
    size_t at = 0;
    struct lane *l;
    while ((l = idmap_next(&q->lanes, &at, NULL)) != NULL)
        pick_update(l);
    pick_update(&q->lane);
    queue_reschedule(m, q);
}

int load_all(struct machine *m, struct error *e)
{
    int code = each(m, KEY_SETTINGS, load_settings, e);
    if (code == ERR_OK)
        code = each(m, KEY_QUEUE, load_record, e);
    if (code == ERR_OK)
        code = each(m, KEY_LANE, load_lane, e);
    if (code == ERR_OK)
        code = find_fresh(m, e);
    if (code == ERR_OK)
        code = each(m, KEY_TOUCH, load_open, e);
    for (size_t i = 0; i < m->ordered_count && code == ERR_OK; i++)
        wake(m, m->ordered[i]);
    return code;
}
