#include "state/move.h"

#include "state/chunk.h"
#include "state/command.h"
#include "state/due.h"
#include "state/lane.h"
#include "state/provenance.h"
#include "state/queue.h"
#include "state/send.h"
#include "state/unpack.h"
#include "state/walk.h"

/* A dead letter that was not taken is given out again after so long: who fails at it at once is not kept busy with it alone. A redrive
 * of a FIFO queue goes on after so long: its groups would only find out again that there is no room. */
enum { REFUSED_WAIT_MS = 10 * 1000 };

/* ---------------------------------------------------------------- setting out */

int move_message(struct machine *m, struct chunk *c, unsigned slot, struct bytes destination, uint64_t redrive,
                 struct error *e)
{
    struct lasterror last;
    struct buffer *provenance = &m->scratch;
    buffer_clear(provenance);
    int code = provenance_put(m, c, slot, destination, redrive != 0, &last, provenance, e);
    if (code != ERR_OK)
        return code;
    uint16_t target = identity_shard_of(destination, m->options.shards);
    struct moving moving = {
        .queue = destination,
        .create = redrive == 0, /* a dead letter is not lost because its queue is */
        .kept = redrive == 0 || c->queue->fifo,
        .ref = {c->index, c->slots[slot].offset, c->slots[slot].len},
        .provenance = buffer_view(provenance),
        .from = c->queue->id,
        .from_sequence = chunk_sequence(c->number, slot),
        .sent_ms = c->sent_ms,
        .available_ms = chunk_available_ms(c),
        .redrive = redrive,
        .source = last.source,
        .reason = last.reason,
        .priority = c->lane->priority,
        .group = lane_group(c->lane),
    };
    uint64_t sequence = outbox_put(m->outbox, &m->keys, target, &moving);
    machine_effect_once(m, EFFECT_OUTBOX, 0, target, NULL);
    if (moving.kept) {
        chunk_make_moving(m, c, chunk_bit(slot));
        return ERR_OK;
    }
    extent_moving(m->extents, &m->keys, &moving.ref, target, sequence);
    chunk_remove(m, c, chunk_bit(slot), false);
    c->queue->counts.moving++;
    return ERR_OK;
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
    provenance_keep(m, q, send_store(m, q, &in, 0), item->provenance, item);
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
    return chunk_thinned(m, c, e);
}

static void settle_taken(struct machine *m, struct queue *q, const struct moving *item, bool refused)
{
    queue_mark(m, q);
    if (q->counts.moving > 0)
        q->counts.moving--;
    if (refused && !queue_purged(q, item->from_sequence / CHUNK_SLOTS))
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
    chunk_take_ready(m, c, chunk_bit(slot));
    code = move_message(m, c, slot, destination, redrive, e);
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
    uint64_t total = q->counts.ready + q->counts.in_flight + q->counts.delayed + q->counts.moving;
    if (redrive_start(m->redrives, q->id, bytes_text(q->name), destination, reason, in->rate, q->next_number << 1,
                      total, m->clock_ms, m->seed, &id, &why) != ERR_OK)
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
