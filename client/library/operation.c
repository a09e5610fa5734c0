#include "library/operation.h"

#include "base/assert.h"
#include "library/batch.h"
#include "library/call.h"
#include "library/encode.h"

static const struct operation operations[] = {
    {.name = "ping", HATO__REQUEST__OP_PING, HATO__REPLY__OP_EMPTY, .repeatable = true},
    {.name = "status", HATO__REQUEST__OP_STATUS, HATO__REPLY__OP_STATUS, .repeatable = true},
    {.name = "cluster status", HATO__REQUEST__OP_CLUSTER_STATUS, HATO__REPLY__OP_CLUSTER, .repeatable = true},
    {.name = "send", HATO__REQUEST__OP_SEND, HATO__REPLY__OP_SEND, .repeatable = true},
    {.name = "receive", HATO__REQUEST__OP_RECEIVE, HATO__REPLY__OP_RECEIVE, .repeatable = true},
    {"ack", HATO__REQUEST__OP_ACK, HATO__REPLY__OP_SETTLE, true, false, HATO_RECEIPT_STALE, HATO_UNKNOWN_OUTCOME},
    {"nack", HATO__REQUEST__OP_NACK, HATO__REPLY__OP_SETTLE, true, false, HATO_RECEIPT_STALE, HATO_UNKNOWN_OUTCOME},
    {.name = "extend", HATO__REQUEST__OP_EXTEND, HATO__REPLY__OP_SETTLE, .repeatable = true},
    {.name = "stream", HATO__REQUEST__OP_STREAM_OPEN, HATO__REPLY__OP_STREAM_END},
    {.name = "stream credit", HATO__REQUEST__OP_STREAM_CREDIT, .unanswered = true},
    {.name = "stream close", HATO__REQUEST__OP_STREAM_CLOSE, .unanswered = true},
    {"cancel", HATO__REQUEST__OP_CANCEL, HATO__REPLY__OP_CANCEL, true, false, HATO_NOT_FOUND, HATO_UNKNOWN_OUTCOME},
    {.name = "peek", HATO__REQUEST__OP_PEEK, HATO__REPLY__OP_PEEK, .repeatable = true},
    {.name = "queue create", HATO__REQUEST__OP_QUEUE_CREATE, HATO__REPLY__OP_QUEUE, .repeatable = true},
    {.name = "queue set", HATO__REQUEST__OP_QUEUE_SET, HATO__REPLY__OP_QUEUE, .repeatable = true},
    {"queue delete", HATO__REQUEST__OP_QUEUE_DELETE, HATO__REPLY__OP_EMPTY, true, false, HATO_NOT_FOUND, HATO_OK},
    {.name = "queue purge", HATO__REQUEST__OP_QUEUE_PURGE, HATO__REPLY__OP_PURGE},
    {.name = "queue show", HATO__REQUEST__OP_QUEUE_SHOW, HATO__REPLY__OP_QUEUE, .repeatable = true},
    {.name = "queue list", HATO__REQUEST__OP_QUEUE_LIST, HATO__REPLY__OP_QUEUES, .repeatable = true},
    {.name = "redrive start", HATO__REQUEST__OP_REDRIVE_START, HATO__REPLY__OP_REDRIVE},
    {.name = "redrive cancel", HATO__REQUEST__OP_REDRIVE_CANCEL, HATO__REPLY__OP_REDRIVE},
    {.name = "redrive list", HATO__REQUEST__OP_REDRIVE_LIST, HATO__REPLY__OP_REDRIVES, .repeatable = true},
    {.name = "function create", HATO__REQUEST__OP_FUNCTION_CREATE, HATO__REPLY__OP_FUNCTION},
    {.name = "function set", HATO__REQUEST__OP_FUNCTION_SET, HATO__REPLY__OP_FUNCTION, .repeatable = true},
    {"function delete", HATO__REQUEST__OP_FUNCTION_DELETE, HATO__REPLY__OP_EMPTY, true, false, HATO_NOT_FOUND, HATO_OK},
    {.name = "function show", HATO__REQUEST__OP_FUNCTION_SHOW, HATO__REPLY__OP_FUNCTION, .repeatable = true},
    {.name = "function list", HATO__REQUEST__OP_FUNCTION_LIST, HATO__REPLY__OP_FUNCTIONS, .repeatable = true},
    {.name = "bind", HATO__REQUEST__OP_BIND, HATO__REPLY__OP_QUEUE, .repeatable = true},
    {.name = "unbind", HATO__REQUEST__OP_UNBIND, HATO__REPLY__OP_QUEUE, .repeatable = true},
    {.name = "node add", HATO__REQUEST__OP_NODE_ADD, HATO__REPLY__OP_CLUSTER_CHANGED, .repeatable = true},
    {.name = "node set", HATO__REQUEST__OP_NODE_SET, HATO__REPLY__OP_CLUSTER_CHANGED, .repeatable = true},
    {"node remove", HATO__REQUEST__OP_NODE_REMOVE, HATO__REPLY__OP_CLUSTER_CHANGED, true, false, HATO_NOT_FOUND,
     HATO_OK},
    {.name = "shard lead", HATO__REQUEST__OP_SHARD_LEAD, HATO__REPLY__OP_CLUSTER_CHANGED, .repeatable = true},
    {.name = "group resume", HATO__REQUEST__OP_GROUP_RESUME, HATO__REPLY__OP_EMPTY},
};

const struct operation *operation_of(Hato__Request__OpCase request)
{
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        if (operations[i].request == request)
            return &operations[i];
    }
    UNREACHABLE();
}

int operation_check_name(const char *field, const char *name, struct error *e)
{
    if (name == NULL || name[0] == '\0')
        return error_field(e, ERR_INVALID, field, "the %s's name is missing", field);
    if (strnlen(name, CLIENT_NAME_MAX + 1) > CLIENT_NAME_MAX)
        return error_field(e, ERR_INVALID, field,
                           "the %s's name has more than %d bytes; a queue's has at most 80, a function's 64", field,
                           CLIENT_NAME_MAX);
    return ERR_OK;
}

static int check_room(const struct hato_client *c, size_t bytes, struct error *e)
{
    if (bytes > c->max_frame_bytes)
        return error_set(e, ERR_TOO_LARGE, "a request of %zu bytes is above the broker's limit of %llu", bytes,
                         (unsigned long long)c->max_frame_bytes);
    if (c->pending_bytes + bytes > c->options.pending_bytes_max)
        return error_set(e, ERR_OVERLOADED, "%llu bytes are under way and the client's limit is %llu: wait for replies",
                         (unsigned long long)c->pending_bytes, (unsigned long long)c->options.pending_bytes_max);
    return ERR_OK;
}

static int refused(const struct hato_client *c, struct error *e)
{
    return c->closing ? error_set(e, ERR_CLOSED, "the client is closed") : ERR_OK;
}

/* What is made of the arguments and dies when the request is packed. */
struct making {
    struct hato_call *call;
    struct arena arena;
    Hato__Request message;
    struct error error;
    int rc;
    uint32_t items;
    const char *queue; /* of a receive */
};

static struct making make(struct hato_client *c, Hato__Request__OpCase op, const char *field, const char *name,
                          hato_done_cb done, void *user)
{
    struct making m = {.call = call_create(c, done, user), .message = HATO__REQUEST__INIT};
    m.message.op_case = op;
    m.rc = refused(c, &m.error);
    if (m.rc == ERR_OK && field != NULL)
        m.rc = operation_check_name(field, name, &m.error);
    return m;
}

static struct hato_call *submit(struct making *m)
{
    struct hato_client *c = m->call->client;
    if (m->rc == ERR_OK)
        m->rc = check_room(c, hato__request__get_packed_size(&m->message), &m->error);
    if (m->rc != ERR_OK) {
        call_fail(m->call, &m->error);
    } else {
        batch_seal_all(c);
        struct request *r = request_create(c, operation_of(m->message.op_case));
        request_pack(r, c, &m->message);
        r->items = m->items;
        m->call->count = m->items;
        if (m->queue != NULL)
            buffer_put(&r->key, m->queue, strlen(m->queue) + 1);
        request_add_call(r, m->call);
        request_queue(c, r);
    }
    arena_close(&m->arena);
    return m->call;
}

/* ---------------------------------------------------------------- messages */

struct hato_call *hato_send(struct hato_client *c, const char *queue, const struct hato_message *messages, size_t count,
                            hato_done_cb done, void *user)
{
    struct hato_call *call = call_create(c, done, user);
    struct error e;
    int rc = refused(c, &e);
    if (rc == ERR_OK)
        rc = batch_send(c, call, queue, messages, count, &e);
    if (rc != ERR_OK)
        call_fail(call, &e);
    return call;
}

enum { QUEUE_WAIT_MAX_MS = 3600000 }; /* a queue's own waiting time is not known here */

struct hato_call *hato_receive(struct hato_client *c, const char *queue, const struct hato_receive_options *options,
                               hato_done_cb done, void *user)
{
    struct making m = make(c, HATO__REQUEST__OP_RECEIVE, "queue", queue, done, user);
    struct hato_receive_options o = options != NULL ? *options : (struct hato_receive_options){0};
    Hato__Receive receive = HATO__RECEIVE__INIT;
    receive.queue = encode_text(queue);
    receive.max_messages = o.max_messages;
    receive.max_bytes = o.max_bytes;
    if (o.has_visibility) {
        receive.visibility_case = HATO__RECEIVE__VISIBILITY_VISIBILITY_MS;
        receive.visibility_ms = o.visibility_ms;
    }
    if (o.has_wait) {
        receive.wait_case = HATO__RECEIVE__WAIT_WAIT_MS;
        receive.wait_ms = o.wait_ms;
    }
    m.message.receive = &receive;
    m.queue = queue;
    m.call->grace_ms = o.has_wait && o.wait_ms < QUEUE_WAIT_MAX_MS ? o.wait_ms : QUEUE_WAIT_MAX_MS;
    return submit(&m);
}

static struct hato_call *settle(struct hato_client *c, const char *queue, const struct hato_bytes *receipts,
                                size_t count, const struct settlement *s, hato_done_cb done, void *user)
{
    struct hato_call *call = call_create(c, done, user);
    struct error e;
    int rc = refused(c, &e);
    if (rc == ERR_OK)
        rc = batch_settle(c, call, queue, s, receipts, count, &e);
    if (rc != ERR_OK)
        call_fail(call, &e);
    return call;
}

struct hato_call *hato_ack(struct hato_client *c, const char *queue, const struct hato_bytes *receipts, size_t count,
                           hato_done_cb done, void *user)
{
    struct settlement s = {.operation = operation_of(HATO__REQUEST__OP_ACK)};
    return settle(c, queue, receipts, count, &s, done, user);
}

struct hato_call *hato_nack(struct hato_client *c, const char *queue, const struct hato_bytes *receipts, size_t count,
                            const struct hato_nack_options *options, hato_done_cb done, void *user)
{
    struct settlement s = {.operation = operation_of(HATO__REQUEST__OP_NACK)};
    if (options != NULL) {
        s.delay_ms = options->delay_ms;
        s.error = options->error;
        s.status = options->status;
        s.uncounted = options->uncounted;
    }
    return settle(c, queue, receipts, count, &s, done, user);
}

struct hato_call *hato_extend(struct hato_client *c, const char *queue, const struct hato_bytes *receipts, size_t count,
                              uint64_t visibility_ms, hato_done_cb done, void *user)
{
    struct settlement s = {.operation = operation_of(HATO__REQUEST__OP_EXTEND), .visibility_ms = visibility_ms};
    return settle(c, queue, receipts, count, &s, done, user);
}

struct hato_call *hato_cancel(struct hato_client *c, const char *queue, const char *const *message_ids, size_t count,
                              hato_done_cb done, void *user)
{
    struct making m = make(c, HATO__REQUEST__OP_CANCEL, "queue", queue, done, user);
    if (m.rc == ERR_OK && (count == 0 || count > CLIENT_MESSAGES_MAX))
        m.rc =
            error_field(&m.error, ERR_INVALID, "count", "count is %zu; it must be 1 to %d", count, CLIENT_MESSAGES_MAX);
    Hato__Cancel cancel = HATO__CANCEL__INIT;
    cancel.queue = encode_text(queue);
    cancel.n_message_ids = m.rc == ERR_OK ? count : 0;
    cancel.message_ids = (char **)message_ids;
    m.message.cancel = &cancel;
    m.items = (uint32_t)cancel.n_message_ids;
    return submit(&m);
}

struct hato_call *hato_peek(struct hato_client *c, const char *queue, const struct hato_peek_options *options,
                            hato_done_cb done, void *user)
{
    struct making m = make(c, HATO__REQUEST__OP_PEEK, "queue", queue, done, user);
    Hato__Peek peek = HATO__PEEK__INIT;
    peek.queue = encode_text(queue);
    if (options != NULL) {
        peek.max_messages = options->max_messages;
        peek.after = encode_text(options->after);
        peek.which = (Hato__Peek__Which)options->which;
        peek.group = encode_text(options->group);
    }
    m.message.peek = &peek;
    return submit(&m);
}

/* ---------------------------------------------------------------- queues */

struct hato_call *hato_queue_create(struct hato_client *c, const char *name, const struct hato_queue_settings *settings,
                                    hato_done_cb done, void *user)
{
    struct making m = make(c, HATO__REQUEST__OP_QUEUE_CREATE, "queue", name, done, user);
    Hato__QueueCreate create = HATO__QUEUE_CREATE__INIT;
    create.name = encode_text(name);
    create.settings = encode_queue_settings(&m.arena, settings);
    m.message.queue_create = &create;
    return submit(&m);
}

struct hato_call *hato_queue_set(struct hato_client *c, const char *name, const struct hato_queue_settings *settings,
                                 hato_done_cb done, void *user)
{
    struct making m = make(c, HATO__REQUEST__OP_QUEUE_SET, "queue", name, done, user);
    Hato__QueueSet set = HATO__QUEUE_SET__INIT;
    set.name = encode_text(name);
    set.settings = encode_queue_settings(&m.arena, settings);
    m.message.queue_set = &set;
    return submit(&m);
}

struct hato_call *hato_queue_show(struct hato_client *c, const char *name, hato_done_cb done, void *user)
{
    struct making m = make(c, HATO__REQUEST__OP_QUEUE_SHOW, "queue", name, done, user);
    Hato__QueueShow show = HATO__QUEUE_SHOW__INIT;
    show.name = encode_text(name);
    m.message.queue_show = &show;
    return submit(&m);
}

struct hato_call *hato_queue_delete(struct hato_client *c, const char *name, hato_done_cb done, void *user)
{
    struct making m = make(c, HATO__REQUEST__OP_QUEUE_DELETE, "queue", name, done, user);
    Hato__QueueDelete del = HATO__QUEUE_DELETE__INIT;
    del.name = encode_text(name);
    m.message.queue_delete = &del;
    return submit(&m);
}

struct hato_call *hato_queue_purge(struct hato_client *c, const char *name, hato_done_cb done, void *user)
{
    struct making m = make(c, HATO__REQUEST__OP_QUEUE_PURGE, "queue", name, done, user);
    Hato__QueuePurge purge = HATO__QUEUE_PURGE__INIT;
    purge.name = encode_text(name);
    m.message.queue_purge = &purge;
    return submit(&m);
}

struct hato_call *hato_queue_list(struct hato_client *c, const struct hato_list_options *options, hato_done_cb done,
                                  void *user)
{
    struct making m = make(c, HATO__REQUEST__OP_QUEUE_LIST, NULL, NULL, done, user);
    Hato__QueueList list = HATO__QUEUE_LIST__INIT;
    if (options != NULL) {
        list.prefix = encode_text(options->prefix);
        list.after = encode_text(options->after);
        list.max = options->max;
    }
    m.message.queue_list = &list;
    return submit(&m);
}

struct hato_call *hato_group_resume(struct hato_client *c, const char *queue, const char *group, hato_done_cb done,
                                    void *user)
{
    struct making m = make(c, HATO__REQUEST__OP_GROUP_RESUME, "queue", queue, done, user);
    Hato__GroupResume resume = HATO__GROUP_RESUME__INIT;
    resume.queue = encode_text(queue);
    resume.group = encode_text(group);
    m.message.group_resume = &resume;
    return submit(&m);
}

/* ---------------------------------------------------------------- redrive */

struct hato_call *hato_redrive_start(struct hato_client *c, const char *queue,
                                     const struct hato_redrive_options *options, hato_done_cb done, void *user)
{
    struct making m = make(c, HATO__REQUEST__OP_REDRIVE_START, "queue", queue, done, user);
    Hato__RedriveStart start = HATO__REDRIVE_START__INIT;
    start.queue = encode_text(queue);
    if (options != NULL) {
        start.destination = encode_text(options->destination);
        start.reason = encode_text(options->reason);
        start.rate = options->rate;
    }
    m.message.redrive_start = &start;
    return submit(&m);
}

struct hato_call *hato_redrive_cancel(struct hato_client *c, const char *queue, const char *id, hato_done_cb done,
                                      void *user)
{
    struct making m = make(c, HATO__REQUEST__OP_REDRIVE_CANCEL, "queue", queue, done, user);
    Hato__RedriveCancel cancel = HATO__REDRIVE_CANCEL__INIT;
    cancel.queue = encode_text(queue);
    cancel.id = encode_text(id);
    m.message.redrive_cancel = &cancel;
    return submit(&m);
}

struct hato_call *hato_redrive_list(struct hato_client *c, const char *queue, hato_done_cb done, void *user)
{
    struct making m = make(c, HATO__REQUEST__OP_REDRIVE_LIST, "queue", queue, done, user);
    Hato__RedriveList list = HATO__REDRIVE_LIST__INIT;
    list.queue = encode_text(queue);
    m.message.redrive_list = &list;
    return submit(&m);
}

/* ---------------------------------------------------------------- functions */

struct hato_call *hato_function_create(struct hato_client *c, const char *name,
                                       const struct hato_function_settings *settings, hato_done_cb done, void *user)
{
    struct making m = make(c, HATO__REQUEST__OP_FUNCTION_CREATE, "function", name, done, user);
    Hato__FunctionCreate create = HATO__FUNCTION_CREATE__INIT;
    create.name = encode_text(name);
    create.settings = encode_function_settings(&m.arena, settings);
    m.message.function_create = &create;
    return submit(&m);
}

struct hato_call *hato_function_set(struct hato_client *c, const char *name,
                                    const struct hato_function_settings *settings, hato_done_cb done, void *user)
{
    struct making m = make(c, HATO__REQUEST__OP_FUNCTION_SET, "function", name, done, user);
    Hato__FunctionSet set = HATO__FUNCTION_SET__INIT;
    set.name = encode_text(name);
    set.settings = encode_function_settings(&m.arena, settings);
    m.message.function_set = &set;
    return submit(&m);
}

struct hato_call *hato_function_show(struct hato_client *c, const char *name, hato_done_cb done, void *user)
{
    struct making m = make(c, HATO__REQUEST__OP_FUNCTION_SHOW, "function", name, done, user);
    Hato__FunctionShow show = HATO__FUNCTION_SHOW__INIT;
    show.name = encode_text(name);
    m.message.function_show = &show;
    return submit(&m);
}

struct hato_call *hato_function_delete(struct hato_client *c, const char *name, hato_done_cb done, void *user)
{
    struct making m = make(c, HATO__REQUEST__OP_FUNCTION_DELETE, "function", name, done, user);
    Hato__FunctionDelete del = HATO__FUNCTION_DELETE__INIT;
    del.name = encode_text(name);
    m.message.function_delete = &del;
    return submit(&m);
}

struct hato_call *hato_function_list(struct hato_client *c, const struct hato_list_options *options, hato_done_cb done,
                                     void *user)
{
    struct making m = make(c, HATO__REQUEST__OP_FUNCTION_LIST, NULL, NULL, done, user);
    Hato__FunctionList list = HATO__FUNCTION_LIST__INIT;
    if (options != NULL) {
        list.after = encode_text(options->after);
        list.max = options->max;
    }
    m.message.function_list = &list;
    return submit(&m);
}

struct hato_call *hato_bind(struct hato_client *c, const char *queue, const char *function,
                            const struct hato_binding_settings *settings, hato_done_cb done, void *user)
{
    struct making m = make(c, HATO__REQUEST__OP_BIND, "queue", queue, done, user);
    if (m.rc == ERR_OK)
        m.rc = operation_check_name("function", function, &m.error);
    Hato__Bind bind = HATO__BIND__INIT;
    bind.queue = encode_text(queue);
    bind.function = encode_text(function);
    bind.settings = encode_binding_settings(&m.arena, settings);
    m.message.bind = &bind;
    return submit(&m);
}

struct hato_call *hato_unbind(struct hato_client *c, const char *queue, hato_done_cb done, void *user)
{
    struct making m = make(c, HATO__REQUEST__OP_UNBIND, "queue", queue, done, user);
    Hato__Unbind unbind = HATO__UNBIND__INIT;
    unbind.queue = encode_text(queue);
    m.message.unbind = &unbind;
    return submit(&m);
}

/* ---------------------------------------------------------------- the broker */

struct hato_call *hato_status(struct hato_client *c, hato_done_cb done, void *user)
{
    struct making m = make(c, HATO__REQUEST__OP_STATUS, NULL, NULL, done, user);
    Hato__Status status = HATO__STATUS__INIT;
    m.message.status = &status;
    return submit(&m);
}

struct hato_call *hato_cluster_status(struct hato_client *c, hato_done_cb done, void *user)
{
    struct making m = make(c, HATO__REQUEST__OP_CLUSTER_STATUS, NULL, NULL, done, user);
    Hato__ClusterStatus status = HATO__CLUSTER_STATUS__INIT;
    m.message.cluster_status = &status;
    return submit(&m);
}

struct hato_call *hato_node_add(struct hato_client *c, uint64_t node, const char *peer_address, const char *zone,
                                hato_done_cb done, void *user)
{
    struct making m = make(c, HATO__REQUEST__OP_NODE_ADD, NULL, NULL, done, user);
    Hato__NodeAdd add = HATO__NODE_ADD__INIT;
    add.node = node;
    add.peer_address = encode_text(peer_address);
    add.zone = encode_text(zone);
    m.message.node_add = &add;
    return submit(&m);
}

struct hato_call *hato_node_set(struct hato_client *c, uint64_t node, const struct hato_node_change *change,
                                hato_done_cb done, void *user)
{
    struct making m = make(c, HATO__REQUEST__OP_NODE_SET, NULL, NULL, done, user);
    Hato__NodeSet set = HATO__NODE_SET__INIT;
    set.has_node = set.has_fewer_replicas = true;
    set.node = node;
    set.peer_address = (char *)(uintptr_t)change->peer_address;
    set.zone = (char *)(uintptr_t)change->zone;
    set.has_drain = change->drain != HATO_NODE_STAYS;
    set.drain = change->drain == HATO_NODE_DRAINS;
    set.fewer_replicas = change->fewer_replicas;
    m.message.node_set = &set;
    return submit(&m);
}

struct hato_call *hato_node_remove(struct hato_client *c, uint64_t node, hato_done_cb done, void *user)
{
    struct making m = make(c, HATO__REQUEST__OP_NODE_REMOVE, NULL, NULL, done, user);
    Hato__NodeRemove gone = HATO__NODE_REMOVE__INIT;
    gone.node = node;
    m.message.node_remove = &gone;
    return submit(&m);
}

struct hato_call *hato_shard_lead(struct hato_client *c, uint32_t shard, uint64_t node, hato_done_cb done, void *user)
{
    struct making m = make(c, HATO__REQUEST__OP_SHARD_LEAD, NULL, NULL, done, user);
    Hato__ShardLead lead = HATO__SHARD_LEAD__INIT;
    lead.shard = shard;
    lead.node = node;
    m.message.shard_lead = &lead;
    return submit(&m);
}

struct hato_call *hato_ping(struct hato_client *c, hato_done_cb done, void *user)
{
    struct making m = make(c, HATO__REQUEST__OP_PING, NULL, NULL, done, user);
    Hato__Ping ping = HATO__PING__INIT;
    m.message.ping = &ping;
    return submit(&m);
}
