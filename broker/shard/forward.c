/* The carrier of a channel: takes what the outbox has for one target shard, brings it there as one Accept, and brings the answer
 * back as one Settled. The channel's sequences make it safe to repeat any step. A target that this node leads is visited, one
 * that another node leads is written to.
 *
 *   idle -> fetching -> at the target -> settling -> idle (again at once when there is more)
 *              |             |              |
 *              +-------------+--------------+-> idle, tried again at the next tick
 *
 * An Accept writes whole messages into the log: while the target's disk has no room for sends it has none for these either. They
 * wait, as references. */
#include "base/assert.h"
#include "base/memory.h"
#include "base/wire.h"
#include "proto/client.pb-c.h"
#include "proto/command.pb-c.h"
#include "shard/internal.h"

enum {
    FORWARD_ITEMS = 512,
    FORWARD_BYTES = 4 * 1024 * 1024,
    FORWARD_WAIT_TICKS = 30, /* for the answer of another node; also after one that says that its disk is full */
};

struct forward {
    struct task task;
    struct command command;
    struct shard *source;
    struct shard *at; /* the target, while there */
    uint16_t source_number;
    uint16_t target;
    bool busy;
    bool again; /* something came, or a step failed, while busy */
    bool away;  /* at another node: an answer with this round's number counts, until the wait is over */
    uint64_t round;
    uint32_t wait_ticks;
    uint32_t pause_ticks; /* the target has no room: what it refuses was read and sent for nothing */
    struct arena arena;
    struct outbox_item *items;
    struct fetch fetch;
    struct buffer payload;
    uint64_t first, last;
    uint8_t *codes;
    size_t code_count;
    int code;
};

static void start(struct forward *f);

static void end_round(struct forward *f, bool retry)
{
    struct shard *s = f->source;
    memory_free(f->codes);
    f->codes = NULL;
    f->code_count = 0;
    buffer_close(&f->payload);
    memory_free(f->fetch.messages);
    f->fetch.messages = NULL;
    arena_reset(&f->arena);
    f->busy = false;
    f->again = f->again || retry;
    shard_work_done(s);
}

/* ---------------------------------------------------------------- settling, back at the source */

static void on_settled(struct command *c, const struct reply *reply)
{
    struct forward *f = CONTAINER_OF(c, struct forward, command);
    bool ok = reply->code == ERR_OK;
    end_round(f, !ok);
    if (ok)
        start(f);
}

static void settle_round(struct forward *f)
{
    if (f->code != ERR_OK) {
        f->pause_ticks = f->code == ERR_STORAGE_FULL ? FORWARD_WAIT_TICKS : 0;
        end_round(f, true);
        return;
    }
    Hato__Log__Settled settled;
    hato__log__settled__init(&settled);
    settled.has_target = settled.has_upto = true;
    settled.target = f->target;
    settled.upto = f->last;
    settled.refused = arena_alloc(&f->arena, f->code_count * sizeof(uint64_t));
    for (size_t i = 0; i < f->code_count; i++)
        if (f->codes[i] != ERR_OK)
            settled.refused[settled.n_refused++] = f->first + i;
    buffer_clear(&f->payload);
    size_t len = hato__log__settled__get_packed_size(&settled);
    hato__log__settled__pack(&settled, buffer_reserve(&f->payload, len));
    f->command.done = on_settled;
    if (shard_command(f->source, &f->command, COMMAND_SETTLED, bytes_of(f->payload.data, len), NULL) != ERR_OK)
        end_round(f, true);
}

static void run_at_source(struct task *t, struct shard *on)
{
    struct forward *f = CONTAINER_OF(t, struct forward, task);
    ASSERT(on == NULL || on == f->source);
    if (on == NULL)
        end_round(f, true);
    else
        settle_round(f);
}

/* ---------------------------------------------------------------- at another node */

static void write_to(struct forward *f, uint64_t node)
{
    struct shard *s = f->source;
    struct peer_accept a = {.source = f->source_number, .round = random_next(&s->random)};
    struct buffer head = {0};
    peer_put_accept(&head, &a);
    f->away = true;
    f->round = a.round;
    f->wait_ticks = FORWARD_WAIT_TICKS;
    struct shard_part payload = {.data = buffer_view(&f->payload)};
    s->env->send(s->env->ctx, s, node, f->target, buffer_view(&head), &payload, 1);
    buffer_close(&head);
}

int shard_forward_accepted(struct shard *s, const struct peer_accepted *accepted, struct error *e)
{
    struct forward *f = idmap_find(&s->forwards, accepted->target);
    if (f == NULL || !f->away || f->round != accepted->round)
        return ERR_OK; /* of a round that was given up */
    size_t count = accepted->codes.len;
    if (accepted->code == ERR_OK && count != f->last - f->first + 1)
        return error_set(e, ERR_PROTOCOL, "an answer about %zu items of a channel, %llu were sent", count,
                         (unsigned long long)(f->last - f->first + 1));
    f->away = false;
    f->code = accepted->code;
    if (count > 0) {
        f->codes = memory_alloc(count);
        memcpy(f->codes, accepted->codes.data, count);
        f->code_count = count;
    }
    settle_round(f);
    return ERR_OK;
}

/* ---------------------------------------------------------------- at the target, on this node */

static void go_back(struct forward *f, struct shard *from)
{
    f->task.run = run_at_source;
    from->env->post(from->env->ctx, f->source_number, &f->task);
}

static void on_accepted(struct command *c, const struct reply *reply)
{
    struct forward *f = CONTAINER_OF(c, struct forward, command);
    f->code = reply->code;
    if (f->code == ERR_OK && reply->count > 0) {
        f->codes = memory_alloc(reply->count);
        memcpy(f->codes, reply->accepted, reply->count);
        f->code_count = reply->count;
    }
    go_back(f, f->at);
}

static void run_at_target(struct task *t, struct shard *on)
{
    struct forward *f = CONTAINER_OF(t, struct forward, task);
    if (on == NULL) {
        f->code = ERR_NOT_LEADER;
        run_at_source(t, f->source);
        return;
    }
    f->at = on;
    f->command.done = on_accepted;
    f->code = shard_command(on, &f->command, COMMAND_ACCEPT, buffer_view(&f->payload), NULL);
    if (f->code != ERR_OK)
        go_back(f, on);
}

/* ---------------------------------------------------------------- leaving the source */

enum { MESSAGE_PROVENANCE = 15 };

static void *arena_take(void *a, size_t size)
{
    return arena_alloc(a, size);
}

static void arena_give(void *a, void *p)
{
    (void)a, (void)p;
}

/* The provenance of all moves so far as one message: merging embedded messages is concatenation, and encoding what was merged keeps
 * a message from growing with every move. */
static struct bytes merge_provenance(struct arena *a, const struct buffer *parts)
{
    ProtobufCAllocator allocator = {.alloc = arena_take, .free = arena_give, .allocator_data = a};
    Hato__Provenance *merged = hato__provenance__unpack(&allocator, parts->len, parts->data);
    if (merged == NULL)
        return buffer_view(parts);
    size_t len = hato__provenance__get_packed_size(merged);
    uint8_t *bytes = arena_alloc(a, len > 0 ? len : 1);
    hato__provenance__pack(merged, bytes);
    return bytes_of(bytes, len);
}

/* The message as it arrives at the other side: its own fields, and one provenance. */
static ProtobufCBinaryData moved_message(struct arena *a, struct bytes message, struct bytes provenance)
{
    struct buffer out = {0};
    struct buffer parts = {0};
    struct bytes sources[2] = {message, provenance};
    for (int i = 0; i < 2; i++) {
        struct cursor c = cursor_open(sources[i]);
        struct wire_field field;
        const uint8_t *from = c.at;
        while (wire_next(&c, &field)) {
            if (field.number == MESSAGE_PROVENANCE && field.type == WIRE_BYTES)
                buffer_put(&parts, field.bytes.data, field.bytes.len);
            else
                buffer_put(&out, from, (size_t)(c.at - from));
            from = c.at;
        }
    }
    if (parts.len > 0)
        wire_put_bytes(&out, MESSAGE_PROVENANCE, merge_provenance(a, &parts));
    ProtobufCBinaryData moved = {.len = out.len, .data = arena_copy(a, out.data, out.len)};
    buffer_close(&out);
    buffer_close(&parts);
    return moved;
}

static void pack_accept(struct forward *f)
{
    struct arena *a = &f->arena;
    size_t n = f->fetch.count;
    Hato__Log__Accept accept;
    hato__log__accept__init(&accept);
    accept.has_source = accept.has_first = true;
    accept.source = f->source_number;
    accept.first = f->first;
    accept.items = arena_alloc(a, n * sizeof(void *));
    size_t bytes = 0;
    size_t i = 0;
    for (; i < n && (i == 0 || bytes < FORWARD_BYTES); i++) {
        Hato__Log__Accept__Item *item = arena_alloc(a, sizeof *item);
        hato__log__accept__item__init(item);
        accept.items[i] = item;
        if (f->items[i].withdrawn)
            continue;
        item->queue = arena_text(a, f->items[i].queue, strlen(f->items[i].queue));
        item->has_message = item->has_create = true;
        item->create = f->items[i].create;
        item->message = moved_message(a, f->fetch.messages[i].message, f->items[i].provenance);
        bytes += item->message.len;
    }
    accept.n_items = i;
    f->last = f->first + i - 1;
    size_t len = hato__log__accept__get_packed_size(&accept);
    hato__log__accept__pack(&accept, buffer_reserve(&f->payload, len));
    f->payload.len = len;
}

/* Packed, and on its way to who leads the target. */
static void set_out(struct forward *f)
{
    struct shard *s = f->source;
    pack_accept(f);
    uint64_t node = s->env->leader(s->env->ctx, f->target);
    if (node == s->options.node) {
        f->task.run = run_at_target;
        s->env->post(s->env->ctx, f->target, &f->task);
    } else if (node != 0) {
        write_to(f, node);
    } else {
        end_round(f, true);
    }
}

/* A body that is gone is damage, unless the message went while it was read: another leader brought it over and it is settled by now,
 * or its queue was purged. */
static bool gone_meanwhile(struct forward *f, int code)
{
    struct shard *s = f->source;
    struct arena arena = {0};
    struct outbox_item *items = NULL;
    size_t count = 0;
    bool is = code == ERR_NOT_FOUND && machine_outbox(s->machine, f->target, f->first - 1, f->fetch.count, &arena,
                                                      &items, &count, NULL) == ERR_OK;
    if (is && count == f->fetch.count && items[0].sequence == f->first) {
        is = false;
        for (size_t i = 0; i < count; i++)
            is = is || items[i].withdrawn;
    }
    arena_close(&arena);
    return is;
}

static void on_bodies(struct fetch *fetch, int code, const struct error *e)
{
    struct forward *f = CONTAINER_OF(fetch, struct forward, fetch);
    struct shard *s = f->source;
    if (code == ERR_OK && s->leads) {
        set_out(f);
        return;
    }
    bool damaged = code != ERR_OK && s->leads && !gone_meanwhile(f, code);
    end_round(f, true);
    if (damaged)
        shard_stop(s, e);
}

/* What a round takes. Bodies are fetched for one round only: a channel may hold many large messages. What was withdrawn has none, and
 * makes a round of its own. */
static size_t one_round(const struct outbox_item *items, size_t count)
{
    size_t n = 0;
    for (size_t bytes = 0;
         n < count && items[n].withdrawn == items[0].withdrawn && (n == 0 || bytes + items[n].ref.len <= FORWARD_BYTES);
         n++)
        bytes += items[n].ref.len;
    return n;
}

/* A target on this node has the same disk: no need to ask it. */
static bool has_to_wait(const struct forward *f)
{
    const struct shard *s = f->source;
    bool here = s->env->leader(s->env->ctx, f->target) == s->options.node;
    return f->pause_ticks > 0 || (here && shard_refuse_messages(s, NULL) != ERR_OK);
}

static void start(struct forward *f)
{
    struct shard *s = f->source;
    f->again = false;
    if (!s->leads || s->stopped || s->closing || s->retiring)
        return;
    f->again = has_to_wait(f);
    if (f->again)
        return;
    size_t count = 0;
    struct error e = {0};
    int rc = machine_outbox(s->machine, f->target, 0, FORWARD_ITEMS, &f->arena, &f->items, &count, &e);
    if (rc != ERR_OK) {
        shard_stop(s, &e);
        return;
    }
    if (count == 0)
        return;
    f->busy = true;
    s->works_out++;
    f->first = f->items[0].sequence;
    f->fetch = (struct fetch){.count = one_round(f->items, count), .done = on_bodies};
    if (f->items[0].withdrawn) {
        set_out(f);
        return;
    }
    count = f->fetch.count;
    f->fetch.messages = memory_zero(count, sizeof *f->fetch.messages);
    for (size_t i = 0; i < count; i++)
        f->fetch.messages[i].is.ref = f->items[i].ref;
    shard_fetch(s, &f->fetch);
}

void shard_forward(struct shard *s, uint16_t target)
{
    struct forward *f = idmap_find(&s->forwards, target);
    if (f == NULL) {
        f = memory_zero(1, sizeof *f);
        f->source = s;
        f->source_number = s->options.number;
        f->target = target;
        idmap_put(&s->forwards, target, f);
    }
    if (f->busy)
        f->again = true;
    else
        start(f);
}

static void recall(struct forward *f)
{
    if (!f->away)
        return;
    f->away = false;
    end_round(f, true);
}

void shard_forwards_recall(struct shard *s)
{
    size_t at = 0;
    struct forward *f;
    while ((f = idmap_next(&s->forwards, &at, NULL)) != NULL)
        recall(f);
}

void shard_forwards_tick(struct shard *s)
{
    size_t at = 0;
    struct forward *f;
    while ((f = idmap_next(&s->forwards, &at, NULL)) != NULL) {
        if (f->away && (s->retiring || !s->leads || --f->wait_ticks == 0))
            recall(f);
        if (f->pause_ticks > 0)
            f->pause_ticks--;
        if (f->again && !f->busy)
            start(f);
    }
}

void shard_forwards_close(struct shard *s)
{
    size_t at = 0;
    struct forward *f;
    while ((f = idmap_next(&s->forwards, &at, NULL)) != NULL) {
        ASSERT(!f->busy);
        arena_close(&f->arena);
        memory_free(f);
    }
    idmap_close(&s->forwards);
}
