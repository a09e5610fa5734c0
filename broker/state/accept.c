/* Accept: what comes through a channel from another queue, of this shard or another. */
#include "base/wire.h"
#include "state/command.h"
#include "state/provenance.h"
#include "state/queue.h"
#include "state/send.h"

/* Of a dead-letter queue that is made anew: as long as that of one made by its name. */
#define DEAD_LETTER_RETENTION_MS (14 * SETTINGS_DAY_MS)

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
    provenance_keep(m, q, s, item->message, NULL);
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
