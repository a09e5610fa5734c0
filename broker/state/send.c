#include "state/send.h"

#include "state/chunk.h"
#include "state/command.h"
#include "state/lane.h"
#include "state/pick.h"
#include "state/queue.h"

/* ---------------------------------------------------------------- into chunks */

static struct chunk *begin(struct machine *m, struct queue *q, struct lane *l, const struct incoming *in,
                           unsigned chunk_class, uint32_t more)
{
    unsigned capacity = more >= CHUNK_SLOTS ? CHUNK_SLOTS : more + 1;
    struct chunk *c = chunk_create(q, l, queue_next_number(q, chunk_class), capacity);
    c->index = in->ref.index;
    c->sent_ms = in->sent_ms;
    c->born = true;
    chunk_mark(m, c);
    queue_mark(m, q);
    return c;
}

static bool takes_more(const struct chunk *c, const struct incoming *in)
{
    return c != NULL && c->born && c->count < CHUNK_SLOTS && c->index == in->ref.index && c->sent_ms == in->sent_ms;
}

static struct chunk *fresh_builder(struct machine *m, struct queue *q, struct lane *l, const struct incoming *in,
                                   uint32_t more)
{
    struct chunk *c = l->builder;
    ASSERT(in->sent_ms == m->clock_ms); /* fresh chunks are in order of time */
    if (takes_more(c, in) && c->state == CHUNK_FRESH && c->live != 0)
        return c;
    unsigned chunk_class = l->id == 0 ? 0 : 1;
    c = begin(m, q, l, in, chunk_class, more);
    c->state = CHUNK_FRESH;
    q->fresh_chunks[chunk_class]++;
    if (m->clock_ms < q->fresh_from_ms[chunk_class])
        q->fresh_from_ms[chunk_class] = m->clock_ms;
    lane_append(m, l, c);
    pick_update(l);
    if (!lane_blocked(l))
        queue_announce(m, q);
    l->builder = c;
    return c;
}

static struct chunk *delayed_builder(struct machine *m, struct queue *q, struct lane *l, const struct incoming *in,
                                     uint64_t due_ms, uint32_t more)
{
    struct chunk *c = q->delayed_builder;
    if (takes_more(c, in) && c->state == CHUNK_COLD && c->lane == l && c->due_ms == due_ms)
        return c;
    c = begin(m, q, l, in, 1, more);
    c->state = CHUNK_COLD;
    c->due_ms = due_ms;
    if (due_ms < q->due_from_ms)
        q->due_from_ms = due_ms;
    q->delayed_builder = c;
    return c;
}

struct stored send_store(struct machine *m, struct queue *q, const struct incoming *in, uint32_t more)
{
    struct lane *l = lane_get(m, q, in->priority, in->group);
    uint64_t due_ms = in->due_ms;
    if (q->fifo && l->waiting > 0 && due_ms < l->last_due_ms)
        due_ms = l->last_due_ms;
    struct chunk *c = due_ms == 0 ? fresh_builder(m, q, l, in, more) : delayed_builder(m, q, l, in, due_ms, more);
    unsigned slot = c->count;
    chunk_add_slot(c, in->ref.offset, in->ref.len);
    c->live |= chunk_bit(slot);
    if (due_ms == 0) {
        c->ready |= chunk_bit(slot);
        q->counts.ready++;
    } else {
        chunk_make_delayed(m, c, chunk_bit(slot));
        if (q->fifo)
            l->last_due_ms = due_ms;
    }
    q->counts.bytes += in->ref.len;
    return (struct stored){c, slot, chunk_sequence(c->number, slot)};
}

/* ---------------------------------------------------------------- limits */

int send_check_room(const struct queue *q, uint64_t bytes, struct error *e)
{
    const Hato__QueueSettings *s = q->settings;
    uint64_t messages = q->counts.ready + q->counts.in_flight + q->counts.delayed + q->moving;
    if (s->max_messages > 0 && messages >= s->max_messages)
        return error_field(e, ERR_LIMIT, "max_messages",
                           "the queue holds %llu messages, its max_messages is %llu: ack some, or raise it",
                           (unsigned long long)messages, (unsigned long long)s->max_messages);
    if (s->max_bytes > 0 && q->counts.bytes + bytes > s->max_bytes)
        return error_field(e, ERR_LIMIT, "max_bytes",
                           "the queue holds %llu bytes, with this message's %llu it would pass its max_bytes of %llu: "
                           "ack some, or raise it",
                           (unsigned long long)q->counts.bytes, (unsigned long long)bytes,
                           (unsigned long long)s->max_bytes);
    return ERR_OK;
}

int send_check_group(const struct machine *m, const struct queue *q, uint8_t priority, struct bytes group,
                     struct error *e)
{
    if (idmap_count(&q->lanes) < GROUPS_MAX || lane_find(m, q, priority, group) != NULL)
        return ERR_OK;
    return error_field(e, ERR_LIMIT, "group", "%d groups of this queue have messages, which is the limit: retry later",
                       GROUPS_MAX);
}

static int check(const struct machine *m, const struct queue *q, const struct message *msg, struct error *e)
{
    const Hato__QueueSettings *s = q->settings;
    if (msg->has_provenance)
        return error_field(e, ERR_INVALID, "provenance", "provenance is set by the broker alone: leave it out");
    if (msg->size > s->max_message_bytes)
        return error_field(e, ERR_TOO_LARGE, "body",
                           "body and attributes have %llu bytes, the queue's max_message_bytes is %llu",
                           (unsigned long long)msg->size, (unsigned long long)s->max_message_bytes);
    if (msg->attributes > ATTRIBUTES_MAX)
        return error_field(e, ERR_INVALID, "attributes", "there are %u attributes, at most %d are possible",
                           msg->attributes, ATTRIBUTES_MAX);
    if (msg->group.len > GROUP_BYTES_MAX)
        return error_field(e, ERR_INVALID, "group", "group has %zu bytes, at most %d are possible", msg->group.len,
                           GROUP_BYTES_MAX);
    if (msg->deduplication_id.len > DEDUPLICATION_BYTES_MAX)
        return error_field(e, ERR_INVALID, "deduplication_id",
                           "deduplication_id has %zu bytes, at most %d are possible", msg->deduplication_id.len,
                           DEDUPLICATION_BYTES_MAX);
    if (msg->priority >= PRIORITIES)
        return error_field(e, ERR_INVALID, "priority", "priority is %u, at most %d is possible", msg->priority,
                           PRIORITIES - 1);
    if (msg->priority > 0 && q->fifo)
        return error_field(e, ERR_INVALID, "priority", "a FIFO queue has no priorities: its order is that of sending");
    if (msg->delay_ms > DELAY_MS_MAX)
        return error_field(e, ERR_INVALID, "delay_ms", "delay_ms is %llu, at most 10 years are possible",
                           (unsigned long long)msg->delay_ms);
    if (msg->not_before_ms > m->clock_ms && msg->not_before_ms - m->clock_ms > DELAY_MS_MAX)
        return error_field(e, ERR_INVALID, "not_before_ms", "not_before_ms is more than 10 years ahead");
    return send_check_group(m, q, (uint8_t)msg->priority, msg->group, e);
}

/* ---------------------------------------------------------------- the command */

static uint64_t due_of(const struct machine *m, const struct queue *q, const struct message *msg)
{
    uint64_t due = 0;
    if (msg->not_before_ms > 0)
        due = msg->not_before_ms;
    else if (msg->delay_ms > 0)
        due = m->clock_ms + msg->delay_ms;
    else if (!msg->no_delay && q->settings->delay_ms > 0)
        due = m->clock_ms + q->settings->delay_ms;
    return due > m->clock_ms ? due : 0;
}

static bool has_hash(const struct queue *q, const struct message *msg, struct dedup_hash *out)
{
    bool by_group = q->settings->deduplication_scope == HATO__DEDUPLICATION_SCOPE__SCOPE_GROUP;
    struct bytes group = by_group ? msg->group : (struct bytes){NULL, 0};
    if (msg->deduplication_id.len > 0)
        *out = dedup_hash_id(group, msg->deduplication_id);
    else if (q->settings->content_deduplication)
        *out = dedup_hash_body(group, msg->body);
    else
        return false;
    return true;
}

static void refuse(struct machine *m, struct send_result *r, const struct error *e)
{
    r->code = (int)e->code;
    r->field = arena_text(&m->out->arena, e->field, strlen(e->field));
    r->message = arena_text(&m->out->arena, e->message, strlen(e->message));
}

/* A return value other than 0 is the store's. */
static int send_one(struct machine *m, struct queue *q, struct bytes raw, uint32_t more, struct send_result *r,
                    struct error *e)
{
    struct message msg;
    struct error why;
    if (!message_scan(raw, &msg)) {
        error_field(&why, ERR_INVALID, "messages", "the message is not a well-formed Message");
        refuse(m, r, &why);
        return ERR_OK;
    }
    if (check(m, q, &msg, &why) != ERR_OK) {
        refuse(m, r, &why);
        return ERR_OK;
    }
    struct dedup_hash hash;
    bool hashed = has_hash(q, &msg, &hash);
    uint64_t window = q->settings->deduplication_window_ms;
    if (hashed) {
        dedup_turn(&q->dedup, &m->keys, q->id, m->clock_ms, window);
        int code = dedup_find(&q->dedup, &m->keys, q->id, &hash, m->clock_ms, window, &r->duplicate, &r->sequence, e);
        if (code != ERR_OK || r->duplicate)
            return code;
    }
    if (send_check_room(q, raw.len, &why) != ERR_OK) {
        refuse(m, r, &why);
        return ERR_OK;
    }
    struct incoming in = {
        .ref = {m->index, (uint32_t)(raw.data - m->payload), (uint32_t)raw.len},
        .priority = (uint8_t)msg.priority,
        .group = msg.group,
        .sent_ms = m->clock_ms,
        .due_ms = due_of(m, q, &msg),
    };
    r->sequence = send_store(m, q, &in, more).sequence;
    q->counts.sent_total++;
    if (hashed)
        dedup_put(&q->dedup, &m->keys, q->id, &hash, m->clock_ms, r->sequence);
    return ERR_OK;
}

static int send_all(struct machine *m, struct queue *q, struct entry_send *in, const struct producer_seen *seen,
                    struct reply *r, struct error *e)
{
    for (uint32_t i = 0; i < in->count; i++) {
        struct bytes raw = entry_send_next(in);
        struct send_result *result = &r->sent[i];
        *result = (struct send_result){.field = "", .message = ""};
        if (seen != NULL && seen[i].stored) {
            result->duplicate = true;
            result->sequence = seen[i].sequence;
            continue;
        }
        int code = send_one(m, q, raw, in->count - i - 1, result, e);
        if (code != ERR_OK)
            return code;
        if (seen != NULL && result->code == ERR_OK)
            producer_stored(m->producers, in->producer, in->sequence + i, q->id, result->sequence);
    }
    return ERR_OK;
}

int command_send(struct machine *m, const struct entry_command *c, struct reply *r, struct error *e)
{
    struct entry_send in;
    int code = entry_read_send(c->payload, &in, e);
    if (code != ERR_OK)
        return code;
    r->queue = in.queue;
    struct queue *q = queue_by_id(m, in.queue);
    if (q == NULL)
        return reply_refuse(m, r, ERR_NOT_FOUND, "queue", "there is no such queue");
    if (in.count > SEND_MESSAGES_MAX)
        return reply_refuse(m, r, ERR_TOO_LARGE, "messages", "there are %u messages, at most %d are possible", in.count,
                            SEND_MESSAGES_MAX);
    struct producer_seen *seen = NULL;
    if (in.producer != 0 && in.count > 0) {
        seen = arena_alloc(&m->out->arena, in.count * sizeof *seen);
        struct error why;
        bool broken = false;
        code = producer_begin(m->producers, &m->keys, in.producer, q->id, in.sequence, in.count, in.settled_below,
                              m->clock_ms, seen, &broken, &why);
        if (code != ERR_OK && broken) {
            if (e != NULL)
                *e = why;
            return code;
        }
        if (code != ERR_OK)
            return reply_error(m, r, &why);
    }
    r->sent = arena_alloc(&m->out->arena, in.count * sizeof *r->sent);
    r->count = in.count;
    queue_mark(m, q);
    return send_all(m, q, &in, seen, r, e);
}
