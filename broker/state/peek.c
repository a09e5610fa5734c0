/* Looking at messages without receiving them. */
#include "state/chunk.h"
#include "state/exhaust.h"
#include "state/lane.h"
#include "state/queue.h"
#include "state/walk.h"

enum { PEEK_CHUNKS_MAX = 1000 };

struct looking {
    const struct machine *m;
    const struct queue *q;
    uint64_t after;
    enum peek_which which;
    const char *group;
    size_t max;
    struct arena *arena;
    struct peeked *out;
    size_t count;
};

/* A lane that is not in memory is not halted. */
static uint64_t halted_ms(const struct lane *l)
{
    return l != NULL ? l->halted_ms : 0;
}

static struct keys *keys_of(const struct machine *m) /* reading uses its buffers */
{
    return &((struct machine *)(uintptr_t)m)->keys;
}

/* State and time of a message; what a nack put off stands among the leases, with id 0 in `late`. */
static void place(const struct chunk *c, uint64_t bit, struct peeked *p)
{
    p->state = (c->ready & bit) != 0 ? 'r' : (c->moving & bit) != 0 ? 'm' : 'd';
    p->due_ms = (c->delayed & bit) != 0 ? c->due_ms : 0;
    for (uint32_t i = 0; i < c->lease_count; i++) {
        const struct lease *l = &c->leases[i];
        if ((l->bits & bit) != 0) {
            p->state = l->id != 0 ? 'f' : 'd';
            p->due_ms = l->until_ms;
        } else if (l->id == 0 && (l->late & bit) != 0) {
            p->due_ms = l->until_ms;
        }
    }
}

/* A halted group gives nothing; it halted at those of its messages that are used up. */
static void place_halted(const struct chunk *c, uint64_t bit, struct peeked *p)
{
    if (halted_ms(c->lane) == 0 || p->state == 'f' || p->state == 'm')
        return;
    if (c->queue != NULL && exhaust_bits(c, bit) != 0)
        p->halted_ms = c->lane->halted_ms;
    if (p->state == 'r' || p->halted_ms != 0)
        p->state = 'h';
}

static bool wanted(enum peek_which which, const struct peeked *p)
{
    return which == PEEK_ALL || (which == PEEK_READY && p->state == 'r') ||
           (which == PEEK_IN_FLIGHT && p->state == 'f') || (which == PEEK_DELAYED && p->state == 'd') ||
           (which == PEEK_HALTED_AT && p->halted_ms != 0);
}

static int find_error(struct looking *k, const struct chunk *c, uint64_t number, unsigned slot, struct peeked *p,
                      struct error *e)
{
    p->last_error = "";
    if ((c->errors & chunk_bit(slot)) == 0)
        return ERR_OK;
    struct lasterror l;
    int code = lasterror_get(keys_of(k->m), k->q->id, chunk_sequence(number, slot), &l, e);
    if (code == ERR_OK)
        p->last_error = arena_text(k->arena, l.text.data, l.text.len);
    return code == ERR_NOT_FOUND ? ERR_OK : code;
}

/* False in `*go_on` when there are enough. */
static int look_at(struct looking *k, const struct chunk *c, uint64_t number, bool *go_on, struct error *e)
{
    for (uint64_t left = c->live; left != 0; left &= left - 1) {
        unsigned slot = chunk_first_slot(left);
        uint64_t sequence = chunk_sequence(number, slot);
        if (sequence <= k->after && k->after != 0)
            continue;
        struct peeked p = {.ref = {c->index, c->slots[slot].offset, c->slots[slot].len},
                           .sequence = sequence,
                           .sent_ms = c->sent_ms,
                           .receive_count = c->touches != NULL ? c->touches[slot].receives : 0};
        place(c, left & -left, &p);
        place_halted(c, left & -left, &p);
        if (!wanted(k->which, &p))
            continue;
        if (k->count == k->max) {
            *go_on = false;
            return ERR_OK;
        }
        int code = find_error(k, c, number, slot, &p, e);
        if (code != ERR_OK)
            return code;
        k->out[k->count++] = p;
    }
    return ERR_OK;
}

static bool group_matches(const struct looking *k, struct bytes group)
{
    return k->group == NULL || bytes_equal(group, bytes_text(k->group));
}

/* A chunk that is not in memory, put together for a look: it belongs to no queue. Its slots are the record's. */
static int put_together(const struct machine *m, uint64_t queue, uint64_t number, struct chunk_record *r,
                        struct chunk *c, struct error *e)
{
    *c = (struct chunk){.slots = r->slots};
    chunk_record_apply(c, r);
    struct key key = key_of2(m->options.shard, KEY_COLD, queue, number);
    struct cursor v;
    int code = keys_get(keys_of(m), &key, CHUNK_TOUCH_VERSION, &v, e);
    if (code == ERR_NOT_FOUND)
        return ERR_OK;
    return code == ERR_OK ? chunk_touch_read(c, key_view(&key), &v, e) : code;
}

static void take_apart(struct chunk *c)
{
    memory_free(c->touches);
    memory_free(c->leases);
}

static int look_at_stored(struct looking *k, const struct walk *w, uint64_t number, bool *go_on, struct error *e)
{
    struct chunk_record r;
    struct cursor value;
    int code = value_open(walk_key(w), walk_value(w), CHUNK_RECORD_VERSION, &value, e);
    if (code == ERR_OK)
        code = chunk_record_parse(walk_key(w), &value, &r, e);
    if (code != ERR_OK || !group_matches(k, r.group))
        return code;
    struct lane *lane = lane_find(k->m, k->q, r.priority, r.group);
    struct chunk c;
    code = put_together(k->m, k->q->id, number, &r, &c, e);
    c.lane = lane;
    if (code == ERR_OK)
        code = look_at(k, &c, number, go_on, e);
    take_apart(&c);
    return code;
}

static int look(struct looking *k, uint64_t *next, struct error *e)
{
    struct walk w;
    int code = ERR_OK;
    bool go_on = true;
    uint64_t seen = k->after;
    walk_open(&w, k->m, k->q, k->after / CHUNK_SLOTS, k->q->next_number << 1);
    for (int chunks = 0; code == ERR_OK && go_on && walk_valid(&w); chunks++, walk_next(&w)) {
        if (chunks == PEEK_CHUNKS_MAX) {
            go_on = false;
            break;
        }
        uint64_t number = walk_number(&w);
        const struct chunk *c = tree_find(&k->q->chunks, number);
        if (c == NULL)
            code = look_at_stored(k, &w, number, &go_on, e);
        else if (group_matches(k, bytes_of(c->lane->group, c->lane->group_len)))
            code = look_at(k, c, number, &go_on, e);
        if (go_on)
            seen = chunk_sequence(number, CHUNK_SLOTS - 1);
    }
    int closed = walk_close(&w, code == ERR_OK ? e : NULL);
    if (!go_on && k->count == k->max && k->count > 0)
        seen = k->out[k->count - 1].sequence;
    *next = go_on ? 0 : seen;
    return code != ERR_OK ? code : closed;
}

/* Of the chunks in memory: what was received and is live is there. */
static int look_at_halted(struct looking *k, uint64_t *next, struct error *e)
{
    uint64_t number = k->after / CHUNK_SLOTS;
    bool go_on = true;
    int code = ERR_OK;
    const struct chunk *c = tree_from(&k->q->chunks, number, &number);
    for (; c != NULL && go_on && code == ERR_OK; c = tree_after(&k->q->chunks, number, &number))
        if (halted_ms(c->lane) != 0 && group_matches(k, bytes_of(c->lane->group, c->lane->group_len)))
            code = look_at(k, c, number, &go_on, e);
    *next = go_on || k->count == 0 ? 0 : k->out[k->count - 1].sequence;
    return code;
}

int machine_peek(const struct machine *m, uint64_t queue, uint64_t after, enum peek_which which, const char *group,
                 size_t max, struct arena *arena, struct peeked **out, size_t *count, uint64_t *next, struct error *e)
{
    *out = NULL;
    *count = 0;
    *next = 0;
    const struct queue *q = queue_by_id(m, queue);
    if (q == NULL)
        return error_field(e, ERR_NOT_FOUND, "queue", "there is no such queue");
    struct looking k = {.m = m, .q = q, .after = after, .which = which, .group = group, .max = max, .arena = arena};
    k.out = arena_alloc(arena, max * sizeof *k.out);
    int code = which == PEEK_HALTED_AT ? look_at_halted(&k, next, e) : look(&k, next, e);
    *out = k.out;
    *count = k.count;
    return code;
}

static bool has(const struct chunk *c, unsigned slot, const struct message_ref *ref)
{
    return slot < c->count && (c->live & chunk_bit(slot)) != 0 &&
           (ref == NULL || (c->index == ref->index && c->slots[slot].offset == ref->offset));
}

int machine_holds(const struct machine *m, uint64_t queue, uint64_t sequence, const struct message_ref *ref,
                  bool *holds, struct error *e)
{
    *holds = false;
    const struct queue *q = queue_by_id(m, queue);
    if (q == NULL)
        return ERR_OK;
    uint64_t number = sequence / CHUNK_SLOTS;
    unsigned slot = (unsigned)(sequence % CHUNK_SLOTS);
    const struct chunk *found = tree_find(&q->chunks, number);
    if (found != NULL) {
        *holds = has(found, slot, ref);
        return ERR_OK;
    }
    if (queue_purged(q, number) || number >> 1 >= q->next_number)
        return ERR_OK;
    struct key key = chunk_key(m->options.shard, queue, number);
    struct cursor v;
    int code = keys_get(keys_of(m), &key, CHUNK_RECORD_VERSION, &v, e);
    if (code == ERR_NOT_FOUND)
        return ERR_OK;
    struct chunk_record r;
    if (code == ERR_OK)
        code = chunk_record_parse(key_view(&key), &v, &r, e);
    if (code != ERR_OK)
        return code;
    struct chunk c;
    code = put_together(m, queue, number, &r, &c, e);
    *holds = code == ERR_OK && has(&c, slot, ref);
    take_apart(&c);
    return code;
}
