#include "state/move.h"

#include "base/wire.h"
#include "proto/client.pb-c.h"
#include "state/chunk.h"
#include "state/command.h"
#include "state/due.h"
#include "state/exhaust.h"
#include "state/lane.h"
#include "state/queue.h"
#include "state/send.h"
#include "state/unpack.h"
#include "state/walk.h"

/* A dead letter that was not taken is given out again after so long: who fails at it at once is not kept busy with it alone. A redrive
 * of a FIFO queue goes on after so long: what was refused is open in memory. */
enum { REFUSED_WAIT_MS = 10 * 1000 };

/* Of a dead-letter queue that is made anew: as long as that of one made by its name. */
#define DEAD_LETTER_RETENTION_MS (14 * SETTINGS_DAY_MS)

/* ---------------------------------------------------------------- why a message is here */

/* Keeps what a message's provenance says as its error record, for redrives and peeks. `raw` holds the provenance field. For one
 * that came back, `back` says where it had come from before. */
static void keep_provenance(struct machine *m, struct queue *q, struct stored s, struct bytes raw,
                            const struct moving *back)
{
    struct buffer *all = &m->scratch;
    buffer_clear(all);
    if (!message_provenance(raw, all) || all->len == 0)
        return;
    ProtobufCAllocator allocator = unpack_allocator(&m->out->arena);
    Hato__Provenance *p = hato__provenance__unpack(&allocator, all->len, all->data);
    if (p == NULL)
        return;
    struct lasterror l = {
        .text = bytes_text(p->last_error),
        .status = p->last_status,
        .source = back != NULL ? back->source : bytes_text(p->source_queue),
        .reason = back != NULL ? back->reason : bytes_text(p->reason),
    };
    if (l.source.len > IDENTITY_NAME_MAX)
        return;
    lasterror_put(&m->keys, q->id, s.sequence, &l);
    s.chunk->errors |= chunk_bit(s.slot);
}

/* ---------------------------------------------------------------- Accept */

struct item {
    struct bytes queue;
    struct bytes message;
    bool create;
};

static bool read_item(struct bytes raw, struct item *out)
{
    struct cursor c = cursor_open(raw);
    *out = (struct item){0};
    while (cursor_left(&c) > 0) {
        struct wire_field f = {0};
        if (!wire_next(&c, &f))
            return false;
        if (f.number == 1 && f.type == WIRE_BYTES)
            out->queue = f.bytes;
        else if (f.number == 2 && f.type == WIRE_BYTES)
            out->message = f.bytes;
        else if (f.number == 3 && f.type == WIRE_VARINT)
            out->create = f.value != 0;
    }
    return true;
}

/* Returns the code that goes back through the channel. */
static int take_item(struct machine *m, const struct item *item)
{
    if (item->queue.len == 0) /* withdrawn: only its turn came */
        return ERR_NOT_FOUND;
    struct queue *q = queue_by_name(m, item->queue);
    struct message msg;
    bool made = false;
    if (!message_scan(item->message, &msg) || msg.group.len > GROUP_BYTES_MAX)
        return ERR_INVALID;
    if (q == NULL && item->create) {
        Hato__QueueSettings settings = HATO__QUEUE_SETTINGS__INIT;
        settings.has_retention_ms = 1;
        settings.retention_ms = DEAD_LETTER_RETENTION_MS;
        int code = queue_create(m, item->queue, &settings, &q, &made, NULL);
        if (code != ERR_OK)
            return code;
        machine_effect(m, EFFECT_QUEUE_MADE, q->id, 0, arena_text(&m->out->arena, q->name, strlen(q->name)));
    }
    if (q == NULL)
        return ERR_NOT_FOUND;
    struct incoming in = {
        .ref = {m->index, (uint32_t)(item->message.data - m->payload), (uint32_t)item->message.len},
        .priority = q->fifo || msg.priority >= PRIORITIES ? 0 : (uint8_t)msg.priority,
        .group = msg.group,
        .sent_ms = m->clock_ms,
    };
    int code = send_check_room(q, item->message.len, NULL);
    if (code == ERR_OK)
        code = send_check_group(m, q, in.priority, in.group, NULL);
    if (code != ERR_OK)
        return code;
    struct stored s = send_store(m, q, &in, 0);
    q->counts.sent_total++;
    keep_provenance(m, q, s, item->message, NULL);
    return ERR_OK;
}

/* FIFO groups of which an item of this Accept was refused: what follows of them is refused as well, or it would come before it. Behind
 * this Accept the source sees to it (lane.turned_back): it sends nothing before it knows the answers. */
struct refused_groups {
    struct map groups; /* to `all` */
    struct arena *arena;
};

/* Queue and group. Empty where order is nobody's business. */
static struct bytes group_key(struct arena *a, const struct item *item)
{
    struct message msg;
    if (!identity_is_fifo(item->queue) || !message_scan(item->message, &msg))
        return bytes_of(NULL, 0);
    uint8_t *key = arena_alloc(a, item->queue.len + 1 + msg.group.len);
    memcpy(key, item->queue.data, item->queue.len);
    key[item->queue.len] = 0;
    if (msg.group.len > 0)
        memcpy(key + item->queue.len + 1, msg.group.data, msg.group.len);
    return bytes_of(key, item->queue.len + 1 + msg.group.len);
}

static bool refused_before(const struct refused_groups *r, const struct item *item)
{
    if (map_count(&r->groups) == 0)
        return false;
    struct bytes key = group_key(r->arena, item);
    return key.len > 0 && map_find(&r->groups, key) != NULL;
}

static void note_refused(struct refused_groups *r, const struct item *item)
{
    struct bytes key = group_key(r->arena, item);
    if (key.len > 0)
        map_put(&r->groups, key, r);
}

static int accept_one(struct machine *m, uint16_t source, uint64_t sequence, const struct item *item,
                      struct refused_groups *refused, uint8_t *answer)
{
    int code = ERR_OK;
    switch (inbox_look(m->outbox, source, sequence, &code)) {
    case INBOX_NEW:
        code = refused_before(refused, item) ? ERR_LIMIT : take_item(m, item);
        inbox_answer(m->outbox, source, sequence, code);
        break;
    case INBOX_SEEN:
        break;
    case INBOX_GAP:
        return ERR_CONFLICT;
    }
    if (code != ERR_OK)
        note_refused(refused, item);
    *answer = (uint8_t)code;
    return ERR_OK;
}

struct accept {
    uint64_t source;
    uint64_t first;
    uint32_t count;
};

/* Items follow each other in `items` as they are met; with NULL they are only counted. */
static bool read_accept(struct bytes payload, struct accept *a, struct item *items)
{
    struct cursor c = cursor_open(payload);
    *a = (struct accept){0};
    while (cursor_left(&c) > 0) {
        struct wire_field f = {0};
        if (!wire_next(&c, &f))
            return false;
        if (f.number == 1 && f.type == WIRE_VARINT) {
            a->source = f.value;
        } else if (f.number == 2 && f.type == WIRE_VARINT) {
            a->first = f.value;
        } else if (f.number == 3 && f.type == WIRE_BYTES) {
            if (items != NULL && !read_item(f.bytes, &items[a->count]))
                return false;
            a->count++;
        }
    }
    return a->source <= UINT16_MAX && a->first <= UINT64_MAX - a->count;
}

bool machine_accept_sound(struct bytes payload, uint16_t *source)
{
    struct accept a;
    if (!read_accept(payload, &a, NULL) ||
        a.count > OUTBOX_WINDOW) /* an item takes 2 bytes there, and many more here */
        return false;
    struct item *items = memory_alloc((a.count + 1) * sizeof *items);
    bool sound = read_accept(payload, &a, items);
    memory_free(items);
    *source = (uint16_t)a.source;
    return sound;
}

int command_accept(struct machine *m, const struct entry_command *c, struct reply *r, struct error *e)
{
    struct accept a;
    struct item *items = NULL;
    bool sound = read_accept(c->payload, &a, NULL);
    if (sound) {
        items = arena_alloc(&m->out->arena, a.count * sizeof *items);
        sound = read_accept(c->payload, &a, items);
    }
    if (!sound)
        return error_set(e, ERR_CORRUPT, "a committed Accept is malformed");
    r->accepted = arena_alloc(&m->out->arena, a.count);
    r->count = a.count;
    struct refused_groups refused = {.groups = {.seed = m->secret}, .arena = &m->out->arena};
    uint32_t i = 0;
    while (i < a.count &&
           accept_one(m, (uint16_t)a.source, a.first + i, &items[i], &refused, &r->accepted[i]) == ERR_OK)
        i++;
    map_close(&refused.groups);
    if (i == a.count)
        return ERR_OK;
    r->count = 0;
    return reply_refuse(m, r, ERR_CONFLICT, "first", "items before %llu are missing: begin with the first not settled",
                        (unsigned long long)(a.first + i));
}

/* ---------------------------------------------------------------- Settled */

struct settled {
    struct machine *m;
    uint16_t target;
};

/* What a redrive took out and the other side did not take goes to the end of the queue it left, no younger than it was: like a message
 * delayed until it became available there, which is ready with the next entry, or expires then. */
static void take_back(struct machine *m, struct queue *q, const struct moving *item)
{
    struct incoming in = {
        .ref = item->ref,
        .priority = q->fifo ? 0 : item->priority,
        .group = item->group,
        .sent_ms = item->sent_ms,
        .due_ms = item->available_ms != 0 ? item->available_ms : m->clock_ms,
    };
    keep_provenance(m, q, send_store(m, q, &in, 0), item->provenance, item);
}

/* What lies behind it in its group and is on its way already has to come back, too. */
static void turn_group_back(struct machine *m, struct lane *l, uint64_t redrive)
{
    l->turned_back = l->moving > 0;
    if (redrive != 0)
        l->passed_by = redrive;
    lane_mark(m, l, true);
}

/* It stays in its slot, as it was. */
static void stay_there(struct machine *m, struct chunk *c, uint64_t bit, uint64_t redrive)
{
    struct queue *q = c->queue;
    if (q->fifo)
        turn_group_back(m, c->lane, redrive);
    if (redrive == 0) {
        q->counts.dead_letters_refused_total++;
        due_put_off(m, c, bit, m->clock_ms + REFUSED_WAIT_MS);
        return;
    }
    if (c->state == CHUNK_COLD)
        chunk_open(m, c);
    chunk_make_ready(m, c, bit);
    redrive_put_off(m->redrives, q->id, redrive, m->clock_ms + REFUSED_WAIT_MS);
}

/* What its slot kept leaves it when it was taken. */
static int settle_kept(struct machine *m, struct queue *q, const struct moving *item, bool refused, struct error *e)
{
    struct chunk *c = NULL;
    uint64_t bit = chunk_bit(item->from_sequence % CHUNK_SLOTS);
    int code = chunk_load(m, q, item->from_sequence / CHUNK_SLOTS, &c, e);
    if (code != ERR_OK || c == NULL) /* purged meanwhile */
        return code;
    if ((c->moving & bit) == 0)
        return error_set(e, ERR_CORRUPT, "queue %s: message %llu has arrived elsewhere, but was not on its way",
                         q->name, (unsigned long long)item->from_sequence);
    chunk_take_moving(m, c, bit);
    if (refused) {
        stay_there(m, c, bit, item->redrive);
        return ERR_OK;
    }
    chunk_remove(m, c, bit, true);
    if (item->redrive == 0)
        q->counts.dead_lettered_total++;
    return ERR_OK;
}

static void settle_taken(struct machine *m, struct queue *q, const struct moving *item, bool refused)
{
    queue_mark(m, q);
    if (q->counts.moving > 0)
        q->counts.moving--;
    if (refused)
        take_back(m, q, item);
    else if (item->redrive == 0)
        q->counts.dead_lettered_total++;
}

static int settled_one(void *ctx, const struct moving *item, bool refused, struct error *e)
{
    struct settled *s = ctx;
    struct machine *m = s->m;
    if (!item->kept) {
        extent_moved(m->extents, &m->keys, item->ref.index, s->target, item->sequence);
        extent_gone(m->extents, item->ref.index, 1, item->ref.len);
    }
    struct queue *q = queue_by_id(m, item->from);
    if (q == NULL)
        return ERR_OK;
    int code = ERR_OK;
    if (item->kept)
        code = settle_kept(m, q, item, refused, e);
    else
        settle_taken(m, q, item, refused);
    if (item->redrive != 0)
        redrive_settled(m->redrives, q->id, item->redrive, refused, m->clock_ms);
    return code;
}

int command_settled(struct machine *m, const struct entry_command *c, struct reply *r, struct error *e)
{
    (void)r;
    ProtobufCAllocator allocator = unpack_allocator(&m->out->arena);
    Hato__Log__Settled *in = hato__log__settled__unpack(&allocator, c->payload.len, c->payload.data);
    if (in == NULL || in->target > UINT16_MAX)
        return error_set(e, ERR_CORRUPT, "a committed Settled is malformed");
    struct settled s = {m, (uint16_t)in->target};
    int code = outbox_settle(m->outbox, &m->keys, s.target, in->upto, in->refused, in->n_refused, settled_one, &s, e);
    machine_effect_once(m, EFFECT_OUTBOX, 0, s.target, NULL);
    return code;
}

/* ---------------------------------------------------------------- redrives */

/* A redrive's step through its queue. */
struct redriving {
    struct machine *m;
    struct queue *queue;
    uint64_t redrive;
    struct chunk *chunk; /* the last one of the walk */
    struct walk walk;
};

static void redrive_walk_open(void *ctx, uint64_t queue, uint64_t redrive, uint64_t from, uint64_t end)
{
    struct redriving *r = ctx;
    r->redrive = redrive;
    r->queue = queue_by_id(r->m, queue);
    ASSERT(r->queue != NULL); /* a redrive goes with its queue */
    walk_open(&r->walk, r->m, r->queue, from, end);
}

/* The ready ones. Of a FIFO group none when one has stayed, or is in flight or held: what was passed over may be free in the next entry,
 * and what lies behind it must not go before it. */
static uint64_t free_to_move(const struct redriving *r, const struct chunk *c)
{
    const struct lane *l = c->lane;
    if (r->queue->fifo && (l->in_flight > 0 || l->held > 0 || l->passed_by == r->redrive))
        return 0;
    return c->ready;
}

static bool redrive_stay(void *ctx)
{
    const struct redriving *r = ctx;
    struct lane *l = r->chunk->lane;
    if (!r->queue->fifo)
        return false;
    if (l->passed_by != r->redrive)
        lane_mark(r->m, l, true);
    l->passed_by = r->redrive;
    return true;
}

static int redrive_walk_next(void *ctx, bool *found, uint64_t *number, uint64_t *live, uint64_t *free, struct error *e)
{
    struct redriving *r = ctx;
    int code = ERR_OK;
    *found = false;
    for (; code == ERR_OK && walk_valid(&r->walk) && !*found; walk_next(&r->walk)) {
        struct chunk *c;
        code = chunk_load(r->m, r->queue, walk_number(&r->walk), &c, e);
        if (code != ERR_OK || c == NULL)
            continue;
        *found = true;
        r->chunk = c;
        *number = c->number;
        *live = c->live;
        *free = free_to_move(r, c);
    }
    return code;
}

static int redrive_walk_close(void *ctx, struct error *e)
{
    struct redriving *r = ctx;
    return walk_close(&r->walk, e);
}

/* A message that stays in its slot meanwhile is in an open chunk. The default lane's are opened in order, so all are. */
static int open_up_to(struct machine *m, struct chunk *c, struct error *e)
{
    while (c->state == CHUNK_FRESH) {
        struct chunk *first;
        int code = lane_first_fresh(m, c->lane, &first, e);
        if (code != ERR_OK)
            return code;
        ASSERT(first != NULL && first->number <= c->number);
        lane_unlist(m, first);
        chunk_open(m, first);
    }
    return ERR_OK;
}

static int redrive_move(void *ctx, uint64_t queue, uint64_t sequence, struct bytes destination, uint64_t redrive,
                        struct error *e)
{
    struct machine *m = ((struct redriving *)ctx)->m;
    struct queue *q = queue_by_id(m, queue);
    ASSERT(q != NULL && destination.len <= IDENTITY_NAME_MAX);
    uint8_t name[IDENTITY_NAME_MAX]; /* the view may not outlive the reads below */
    memcpy(name, destination.data, destination.len);
    destination = bytes_of(name, destination.len);
    struct chunk *c;
    unsigned slot = (unsigned)(sequence % CHUNK_SLOTS);
    int code = chunk_load(m, q, sequence / CHUNK_SLOTS, &c, e);
    if (code != ERR_OK || c == NULL || (c->ready & chunk_bit(slot)) == 0)
        return code;
    if (q->fifo)
        code = open_up_to(m, c, e);
    if (code != ERR_OK)
        return code;
    chunk_take_ready(m, c, chunk_bit(slot));
    code = exhaust_move(m, c, slot, destination, redrive, e);
    return code == ERR_OK ? chunk_thinned(m, c, e) : code;
}

int move_redrives(struct machine *m, struct error *e)
{
    struct redriving r = {.m = m};
    const struct redrive_ops ops = {
        .ctx = &r,
        .open = redrive_walk_open,
        .next = redrive_walk_next,
        .stay = redrive_stay,
        .close = redrive_walk_close,
        .move = redrive_move,
    };
    return redrive_step(m->redrives, &m->keys, m->outbox, m->clock_ms, m->index, &ops, e);
}

int command_redrive_start(struct machine *m, const struct entry_command *c, struct reply *r, struct error *e)
{
    ProtobufCAllocator allocator = unpack_allocator(&m->out->arena);
    Hato__Log__RedriveStart *in = hato__log__redrive_start__unpack(&allocator, c->payload.len, c->payload.data);
    if (in == NULL)
        return error_set(e, ERR_CORRUPT, "a committed RedriveStart is malformed");
    r->queue = in->queue;
    struct queue *q = queue_by_id(m, in->queue);
    if (q == NULL)
        return reply_refuse(m, r, ERR_NOT_FOUND, "queue", "there is no such queue");
    struct error why;
    const char *id = NULL;
    struct bytes destination = bytes_text(in->destination != NULL ? in->destination : "");
    struct bytes reason = bytes_text(in->reason != NULL ? in->reason : "");
    uint64_t total = q->counts.ready + q->counts.in_flight + q->counts.delayed;
    if (redrive_start(m->redrives, q->id, bytes_text(q->name), destination, reason, in->rate,
                      q->next_number << 1, total, m->clock_ms, m->seed, &id, &why) != ERR_OK)
        return reply_error(m, r, &why);
    r->redrive_id = arena_text(&m->out->arena, id, strlen(id));
    return ERR_OK;
}

int command_redrive_cancel(struct machine *m, const struct entry_command *c, struct reply *r, struct error *e)
{
    ProtobufCAllocator allocator = unpack_allocator(&m->out->arena);
    Hato__Log__RedriveCancel *in = hato__log__redrive_cancel__unpack(&allocator, c->payload.len, c->payload.data);
    if (in == NULL)
        return error_set(e, ERR_CORRUPT, "a committed RedriveCancel is malformed");
    r->queue = in->queue;
    if (queue_by_id(m, in->queue) == NULL)
        return reply_refuse(m, r, ERR_NOT_FOUND, "queue", "there is no such queue");
    struct error why;
    struct bytes id = bytes_text(in->id != NULL ? in->id : "");
    if (redrive_cancel(m->redrives, in->queue, id, m->clock_ms, &why) != ERR_OK)
        return reply_error(m, r, &why);
    return ERR_OK;
}
