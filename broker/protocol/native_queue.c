/* Queues: create, set, show, delete, purge, peek, groups. */
#include "command/check.h"
#include "proto/command.pb-c.h"
#include "protocol/native_route.h"
#include "state/settings.h"

struct queue_op {
    const char *name; /* full */
    const char *dead; /* full name of the dead-letter queue that is to exist, or NULL */
    Hato__QueueSettings settings;
    enum command_kind kind;
};

/* ---------------------------------------------------------------- replies */

static void reply_info(struct op *op, const struct queue_view *q, bool waited)
{
    struct queue_waited w = {0};
    if (waited)
        machine_queue_waited(shard_machine(op->shard), q->id, &w);
    Hato__Reply reply = HATO__REPLY__INIT;
    reply.op_case = HATO__REPLY__OP_QUEUE;
    reply.queue = encode_queue_info(&op->arena, shard_machine(op->shard), q, waited ? &w : NULL);
    op_reply(op, &reply);
    unsent_hold(op, op->frame.len);
}

static void reply_empty(struct op *op)
{
    Hato__Empty empty = HATO__EMPTY__INIT;
    Hato__Reply reply = HATO__REPLY__INIT;
    reply.op_case = HATO__REPLY__OP_EMPTY;
    reply.empty = &empty;
    op_reply(op, &reply);
}

static void on_done_empty(struct command *c, const struct reply *reply)
{
    struct op *op = CONTAINER_OF(c, struct op, command);
    if (reply->code != ERR_OK)
        op_refused(op, reply);
    else
        reply_empty(op);
    op_return(op);
}

static void on_done_info(struct command *c, const struct reply *reply)
{
    struct op *op = CONTAINER_OF(c, struct op, command);
    struct queue_op *x = op->extra;
    struct queue_view q;
    if (reply->code != ERR_OK)
        op_refused(op, reply);
    else if (op_find_queue(op, x->name, &q))
        reply_info(op, &q, true);
    op_return(op);
}

void native_submit(struct op *op, struct shard *s, enum command_kind kind, const ProtobufCMessage *message,
                   void (*done)(struct command *c, const struct reply *reply))
{
    size_t len = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = arena_alloc(&op->arena, len > 0 ? len : 1);
    protobuf_c_message_pack(message, bytes);
    op->command.done = done;
    if (shard_command(s, &op->command, kind, bytes_of(bytes, len), &op->error) != ERR_OK)
        op_return(op);
}

/* ---------------------------------------------------------------- create and set */

static void write_at(struct op *op, struct shard *s)
{
    struct queue_op *x = op->extra;
    if (x->kind == COMMAND_QUEUE_CREATE) {
        Hato__Log__QueueCreate create = HATO__LOG__QUEUE_CREATE__INIT;
        create.name = (char *)(uintptr_t)x->name;
        create.settings = &x->settings;
        native_submit(op, s, COMMAND_QUEUE_CREATE, &create.base, on_done_info);
        return;
    }
    struct queue_view q;
    if (!op_find_queue(op, x->name, &q)) {
        op_return(op);
        return;
    }
    Hato__Log__QueueSet set = HATO__LOG__QUEUE_SET__INIT;
    set.has_queue = true;
    set.queue = q.id;
    set.settings = &x->settings;
    native_submit(op, s, COMMAND_QUEUE_SET, &set.base, on_done_info);
}

static void write_queue(struct op *op)
{
    struct queue_op *x = op->extra;
    op->at = write_at;
    op->home = NULL;
    op_visit_queue(op, bytes_text(x->name));
}

static void on_dead_made(struct command *c, const struct reply *reply)
{
    struct op *op = CONTAINER_OF(c, struct op, command);
    if (reply->code != ERR_OK && reply->code != ERR_EXISTS)
        op_refused(op, reply);
    op_return(op);
}

/* A dead-letter queue that is not there yet is made with the defaults, but for the longest of usual retentions: what ends there
 * waits for a person. */
static Hato__QueueSettings dead_settings(const char *name)
{
    Hato__QueueSettings settings = HATO__QUEUE_SETTINGS__INIT;
    settings.has_kind = true;
    settings.kind = identity_is_fifo(bytes_text(name)) ? HATO__QUEUE_KIND__FIFO : HATO__QUEUE_KIND__STANDARD;
    settings.has_retention_ms = true;
    settings.retention_ms = 14 * SETTINGS_DAY_MS;
    return settings;
}

static void dead_at(struct op *op, struct shard *s)
{
    struct queue_op *x = op->extra;
    struct queue_view q;
    if (op_find_queue(op, x->dead, &q) || op->error.code != ERR_NOT_FOUND) {
        op_return(op);
        return;
    }
    memset(&op->error, 0, sizeof op->error);
    Hato__QueueSettings settings = dead_settings(x->dead);
    Hato__Log__QueueCreate create = HATO__LOG__QUEUE_CREATE__INIT;
    create.name = (char *)(uintptr_t)x->dead;
    create.settings = &settings;
    native_submit(op, s, COMMAND_QUEUE_CREATE, &create.base, on_dead_made);
}

/* Completes the names in settings; false when something is wrong with them. */
static bool complete(struct op *op, struct queue_op *x, const Hato__QueueSettings *given)
{
    if (given != NULL)
        x->settings = *given;
    else
        hato__queue_settings__init(&x->settings);
    if (settings_queue_check(&x->settings, &op->error) != ERR_OK)
        return false;
    if (x->settings.binding_function != NULL) {
        op_fail(op, ERR_INVALID, "binding_function", "use bind and unbind to connect a queue with a function");
        return false;
    }
    const char *dead = x->settings.dead_letter_queue;
    if (dead == NULL || dead[0] == '\0')
        return true;
    x->dead = op_queue_name(op, dead, "dead_letter_queue");
    if (x->dead == NULL)
        return false;
    if (identity_is_fifo(bytes_text(x->dead)) != identity_is_fifo(bytes_text(x->name))) {
        op_fail(op, ERR_INVALID, "dead_letter_queue", "the dead-letter queue of a %s queue must be one, too",
                identity_is_fifo(bytes_text(x->name)) ? "FIFO" : "standard");
        return false;
    }
    if (strcmp(x->dead, x->name) == 0) {
        op_fail(op, ERR_INVALID, "dead_letter_queue", "a queue can't be its own dead-letter queue");
        return false;
    }
    x->settings.dead_letter_queue = (char *)(uintptr_t)x->dead;
    return true;
}

/* One that is there, however it was set, is good. */
static void dead_home(struct op *op)
{
    op->always_home = NULL;
    if (op->error.code == ERR_EXISTS)
        memset(&op->error, 0, sizeof op->error);
    if (op->error.code == ERR_OK)
        write_queue(op);
    else
        op_answer(op);
}

static void write_settings(struct op *op, enum command_kind kind, const char *name, const Hato__QueueSettings *settings)
{
    struct queue_op *x = op_extra(op, sizeof *x);
    x->kind = kind;
    x->name = op_queue_name(op, name, "name");
    if (x->name == NULL || !complete(op, x, settings)) {
        op_answer(op);
        return;
    }
    if (x->dead == NULL) {
        write_queue(op);
        return;
    }
    Hato__QueueSettings dead = dead_settings(x->dead);
    Hato__QueueCreate create = HATO__QUEUE_CREATE__INIT;
    Hato__Request request = HATO__REQUEST__INIT;
    create.name = (char *)(uintptr_t)short_name(x->dead);
    create.settings = &dead;
    request.op_case = HATO__REQUEST__OP_QUEUE_CREATE;
    request.queue_create = &create;
    op->at = dead_at;
    op->always_home = dead_home;
    route_visit_queue(op, bytes_text(x->dead), &request);
}

void native_queue_create(struct op *op)
{
    write_settings(op, COMMAND_QUEUE_CREATE, op->request->queue_create->name, op->request->queue_create->settings);
}

void native_queue_set(struct op *op)
{
    write_settings(op, COMMAND_QUEUE_SET, op->request->queue_set->name, op->request->queue_set->settings);
}

/* ---------------------------------------------------------------- one queue, one step */

static void visit_named(struct op *op, const char *name, const char *field, void (*at)(struct op *, struct shard *))
{
    struct queue_op *x = op->extra != NULL ? op->extra : op_extra(op, sizeof *x);
    x->name = op_queue_name(op, name, field);
    if (x->name == NULL) {
        op_answer(op);
        return;
    }
    op->at = at;
    op_visit_queue(op, bytes_text(x->name));
}

static void show_at(struct op *op, struct shard *s)
{
    struct queue_op *x = op->extra;
    struct queue_view q;
    (void)s;
    if (op_find_queue(op, x->name, &q)) {
        reply_info(op, &q, true);
        unsent_take(op, op->frame.len);
    }
    op_return(op);
}

void native_queue_show(struct op *op)
{
    visit_named(op, op->request->queue_show->name, "name", show_at);
}

static void delete_at(struct op *op, struct shard *s)
{
    struct queue_op *x = op->extra;
    struct queue_view q;
    if (!op_find_queue(op, x->name, &q)) {
        op_return(op);
        return;
    }
    Hato__Log__QueueDelete command = HATO__LOG__QUEUE_DELETE__INIT;
    command.has_queue = true;
    command.queue = q.id;
    native_submit(op, s, COMMAND_QUEUE_DELETE, &command.base, on_done_empty);
}

void native_queue_delete(struct op *op)
{
    visit_named(op, op->request->queue_delete->name, "name", delete_at);
}

static void on_purged(struct command *c, const struct reply *reply)
{
    struct op *op = CONTAINER_OF(c, struct op, command);
    if (reply->code != ERR_OK) {
        op_refused(op, reply);
    } else {
        Hato__QueuePurgeReply body = HATO__QUEUE_PURGE_REPLY__INIT;
        Hato__Reply out = HATO__REPLY__INIT;
        body.purged = reply->purged;
        out.op_case = HATO__REPLY__OP_PURGE;
        out.purge = &body;
        op_reply(op, &out);
    }
    op_return(op);
}

static void purge_at(struct op *op, struct shard *s)
{
    struct queue_op *x = op->extra;
    struct queue_view q;
    if (!op_find_queue(op, x->name, &q)) {
        op_return(op);
        return;
    }
    Hato__Log__QueuePurge command = HATO__LOG__QUEUE_PURGE__INIT;
    command.has_queue = true;
    command.queue = q.id;
    native_submit(op, s, COMMAND_QUEUE_PURGE, &command.base, on_purged);
}

void native_queue_purge(struct op *op)
{
    visit_named(op, op->request->queue_purge->name, "name", purge_at);
}

static void resume_at(struct op *op, struct shard *s)
{
    struct queue_op *x = op->extra;
    struct queue_view q;
    if (!op_find_queue(op, x->name, &q)) {
        op_return(op);
        return;
    }
    Hato__Log__GroupResume command = HATO__LOG__GROUP_RESUME__INIT;
    command.has_queue = true;
    command.queue = q.id;
    command.group = op->request->group_resume->group;
    native_submit(op, s, COMMAND_GROUP_RESUME, &command.base, on_done_empty);
}

void native_group_resume(struct op *op)
{
    visit_named(op, op->request->group_resume->queue, "queue", resume_at);
}

/* ---------------------------------------------------------------- peek */

struct peeking {
    struct queue_op queue; /* first: visit_named fills it */
    struct fetch fetch;
    struct op *op;
    struct peeked *found;
    uint64_t id;
    uint64_t next;
};

enum { PEEK_BYTES_MAX = 16 * 1024 * 1024, PEEK_COPIES = 3 /* in the log's entry, decoded, and in the frame */ };

static const char *state_name(char state)
{
    switch (state) {
    case 'r':
        return "ready";
    case 'f':
        return "in-flight";
    case 'h':
        return "halted";
    case 'm':
        return "moving";
    default:
        return "delayed";
    }
}

/* As many as fit into one reply; the client goes on after the last one. */
static size_t fitting(const struct peeked *found, size_t count, size_t bytes_max, size_t *bytes)
{
    size_t n = 0;
    *bytes = 0;
    while (n < count && (n == 0 || *bytes + found[n].ref.len <= bytes_max))
        *bytes += found[n++].ref.len;
    return n;
}

static bool put_peeked(struct peeking *x, Hato__PeekReply *body, size_t n)
{
    struct arena *a = &x->op->arena;
    ProtobufCAllocator allocator = native_allocator(a);
    body->messages = arena_alloc(a, (n + 1) * sizeof *body->messages);
    for (size_t i = 0; i < n; i++) {
        const struct peeked *p = &x->found[i];
        if (x->fetch.messages[i].owner == NULL)
            continue; /* gone while its body was on its way */
        Hato__PeekedMessage *m = arena_alloc(a, sizeof *m);
        hato__peeked_message__init(m);
        m->message_id = arena_alloc(a, IDENTITY_MESSAGE_ID_LEN + 1);
        identity_message_id(m->message_id, x->id, p->sequence);
        m->sequence = p->sequence;
        m->state = (char *)(uintptr_t)state_name(p->state);
        m->sent_ms = p->sent_ms;
        m->receive_count = p->receive_count;
        m->due_ms = p->due_ms;
        m->halted_ms = p->halted_ms;
        m->last_error = (char *)(uintptr_t)p->last_error;
        struct bytes raw = x->fetch.messages[i].message;
        m->message = hato__message__unpack(&allocator, raw.len, raw.data);
        if (m->message == NULL) {
            op_fail(x->op, ERR_CORRUPT, "", "message %s can't be decoded: peek after it to see those behind it",
                    m->message_id);
            return false;
        }
        body->messages[body->n_messages++] = m;
    }
    return true;
}

/* A body that is not there: its message may have gone meanwhile. Else this replica is damaged. */
static int check_missing(struct peeking *x, const struct error *why, struct error *e)
{
    int code = ERR_OK;
    for (size_t i = 0; i < x->fetch.count && code == ERR_OK; i++) {
        const struct peeked *p = &x->found[i];
        bool there = false;
        if (x->fetch.messages[i].owner != NULL)
            continue;
        code = machine_holds(shard_machine(x->op->shard), x->id, p->sequence, &p->ref, &there, e);
        if (code == ERR_OK && there)
            code = error_set(e, ERR_CORRUPT, "%s", why->message);
    }
    return code;
}

static void on_bodies(struct fetch *f, int code, const struct error *e)
{
    struct peeking *x = CONTAINER_OF(f, struct peeking, fetch);
    struct op *op = x->op;
    op->error = *e;
    if (code == ERR_NOT_FOUND)
        code = check_missing(x, e, &op->error);
    if (code != ERR_OK) {
        shard_query_failed(op->shard, &op->error);
        op_return(op);
        return;
    }
    op->error = (struct error){0};
    Hato__PeekReply body = HATO__PEEK_REPLY__INIT;
    Hato__Reply reply = HATO__REPLY__INIT;
    if (!put_peeked(x, &body, f->count)) {
        op_return(op);
        return;
    }
    char text[IDENTITY_MESSAGE_ID_LEN + 1];
    if (x->next != 0) {
        identity_message_id(text, x->id, x->next);
        body.next = text;
    }
    reply.op_case = HATO__REPLY__OP_PEEK;
    reply.peek = &body;
    op_reply(op, &reply);
    op_return(op);
}

static void peek_at(struct op *op, struct shard *s)
{
    struct peeking *x = op->extra;
    const Hato__Peek *p = op->request->peek;
    struct queue_view q;
    uint64_t after = 0, of_queue = 0;
    bool ok = op_find_queue(op, x->queue.name, &q);
    if (ok && p->after[0] != '\0') {
        ok = identity_message_id_parse(bytes_text(p->after), "after", &of_queue, &after, &op->error) == ERR_OK;
        if (ok && of_queue != q.id) {
            op_fail(op, ERR_INVALID, "after", "after is an id of another queue");
            ok = false;
        }
    }
    size_t count = 0;
    if (ok) {
        x->id = q.id;
        ok = machine_peek(shard_machine(s), q.id, after, (enum peek_which)p->which,
                          p->group[0] != '\0' ? p->group : NULL, p->max_messages == 0 ? 10 : p->max_messages,
                          &op->arena, &x->found, &count, &x->next, &op->error) == ERR_OK;
    }
    size_t bytes = 0;
    size_t fit = 0;
    if (ok) {
        size_t max = unsent_reply_max(op->session->ns->native, PEEK_BYTES_MAX);
        fit = fitting(x->found, count, max, &bytes);
        ok = unsent_take(op, PEEK_COPIES * bytes);
    }
    if (!ok) {
        shard_query_failed(s, &op->error);
        op_return(op);
        return;
    }
    if (fit < count)
        x->next = x->found[fit - 1].sequence;
    count = fit;
    x->fetch.count = count;
    x->fetch.done = on_bodies;
    x->fetch.messages = memset(arena_alloc(&op->arena, (count + 1) * sizeof *x->fetch.messages), 0,
                               (count + 1) * sizeof *x->fetch.messages);
    for (size_t i = 0; i < count; i++)
        x->fetch.messages[i].is.ref = x->found[i].ref;
    shard_fetch(s, &x->fetch);
}

void native_peek(struct op *op)
{
    const Hato__Peek *p = op->request->peek;
    struct peeking *x = op_extra(op, sizeof *x);
    x->op = op;
    if (p->max_messages > CHECK_BATCH_MAX)
        op_fail(op, ERR_INVALID, "max_messages", "max_messages is %u; it must be 1 to %d", p->max_messages,
                CHECK_BATCH_MAX);
    else if ((unsigned)p->which > HATO__PEEK__WHICH__HALTED_AT)
        op_fail(op, ERR_INVALID, "which", "which is not one of ALL, READY, IN_FLIGHT, DELAYED and HALTED_AT");
    if (op->error.code != ERR_OK) {
        op_answer(op);
        return;
    }
    op_weigh(op, PEEK_BYTES_MAX);
    x->queue.name = op_queue_name(op, p->queue, "queue");
    if (x->queue.name == NULL) {
        op_answer(op);
        return;
    }
    op->at = peek_at;
    long_visit(op, op_shard_of(op, bytes_text(x->queue.name)));
}
