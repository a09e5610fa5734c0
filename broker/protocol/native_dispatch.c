/* From a frame to its operation, by a table. */
#include "base/wire.h"
#include "command/text.h"
#include "protocol/native_route.h"

enum { REQUEST_ID = 1, REQUEST_SEND = HATO__REQUEST__OP_SEND };

static void hello(struct op *op)
{
    const Hato__Hello *h = op->request->hello;
    struct session *s = op->session;
    const struct native *n = s->ns->native;
    const char *account = h->account[0] != '\0' ? h->account : n->account;
    const char *region = h->region[0] != '\0' ? h->region : n->region;
    if (s->begun)
        op_fail(op, ERR_CONFLICT, "hello",
                "hello is the first request of a connection, said once: open another connection for another account or "
                "region");
    if (op->error.code != ERR_OK || identity_check_account(bytes_text(account), "account", &op->error) != ERR_OK ||
        identity_check_region(bytes_text(region), "region", &op->error) != ERR_OK) {
        op_answer(op);
        return;
    }
    s->begun = true;
    s->prefix_len = (size_t)snprintf(s->prefix, sizeof s->prefix, "%s:%s:", account, region);
    Hato__HelloReply body = HATO__HELLO_REPLY__INIT;
    Hato__Reply reply = HATO__REPLY__INIT;
    char cluster[sizeof node_birth(n->node)->cluster];
    memcpy(cluster, node_birth(n->node)->cluster, sizeof cluster);
    static char broker[] = "hato/" HATO_BROKER_VERSION;
    body.broker = broker;
    body.node = node_birth(n->node)->node;
    body.max_frame_bytes = NATIVE_FRAME_MAX;
    body.max_message_bytes = NATIVE_MESSAGE_MAX;
    body.cluster = cluster;
    body.account = (char *)(uintptr_t)account;
    body.region = (char *)(uintptr_t)region;
    reply.op_case = HATO__REPLY__OP_HELLO;
    reply.hello = &body;
    op_reply(op, &reply);
    op_answer(op);
}

static void ping(struct op *op)
{
    Hato__Empty empty = HATO__EMPTY__INIT;
    Hato__Reply reply = HATO__REPLY__INIT;
    reply.op_case = HATO__REPLY__OP_EMPTY;
    reply.empty = &empty;
    op_reply(op, &reply);
    op_answer(op);
}

static const native_operation operations[] = {
    [HATO__REQUEST__OP_HELLO] = hello,
    [HATO__REQUEST__OP_PING] = ping,
    [HATO__REQUEST__OP_STATUS] = native_status,
    [HATO__REQUEST__OP_RECEIVE] = native_receive,
    [HATO__REQUEST__OP_ACK] = native_ack,
    [HATO__REQUEST__OP_NACK] = native_nack,
    [HATO__REQUEST__OP_EXTEND] = native_extend,
    [HATO__REQUEST__OP_STREAM_OPEN] = native_stream_open,
    [HATO__REQUEST__OP_CANCEL] = native_cancel,
    [HATO__REQUEST__OP_PEEK] = native_peek,
    [HATO__REQUEST__OP_QUEUE_CREATE] = native_queue_create,
    [HATO__REQUEST__OP_QUEUE_SET] = native_queue_set,
    [HATO__REQUEST__OP_QUEUE_DELETE] = native_queue_delete,
    [HATO__REQUEST__OP_QUEUE_PURGE] = native_queue_purge,
    [HATO__REQUEST__OP_QUEUE_SHOW] = native_queue_show,
    [HATO__REQUEST__OP_QUEUE_LIST] = native_queue_list,
    [HATO__REQUEST__OP_REDRIVE_START] = native_redrive_start,
    [HATO__REQUEST__OP_REDRIVE_CANCEL] = native_redrive_cancel,
    [HATO__REQUEST__OP_REDRIVE_LIST] = native_redrive_list,
    [HATO__REQUEST__OP_FUNCTION_CREATE] = native_function_create,
    [HATO__REQUEST__OP_FUNCTION_SET] = native_function_set,
    [HATO__REQUEST__OP_FUNCTION_DELETE] = native_function_delete,
    [HATO__REQUEST__OP_FUNCTION_SHOW] = native_function_show,
    [HATO__REQUEST__OP_FUNCTION_LIST] = native_function_list,
    [HATO__REQUEST__OP_BIND] = native_bind,
    [HATO__REQUEST__OP_UNBIND] = native_unbind,
    [HATO__REQUEST__OP_GROUP_RESUME] = native_group_resume,
    [HATO__REQUEST__OP_FUNCTION_ACTIVITY] = native_function_activity,
    [HATO__REQUEST__OP_CLUSTER_STATUS] = native_cluster_status,
    [HATO__REQUEST__OP_NODE_ADD] = native_node_add,
    [HATO__REQUEST__OP_NODE_SET] = native_node_set,
    [HATO__REQUEST__OP_NODE_REMOVE] = native_node_remove,
    [HATO__REQUEST__OP_SHARD_LEAD] = native_shard_lead,
};

enum { OPERATIONS = sizeof operations / sizeof operations[0] };

static bool is_known(uint32_t number)
{
    return (number < OPERATIONS && operations[number] != NULL) || number == REQUEST_SEND ||
           number == HATO__REQUEST__OP_STREAM_CREDIT || number == HATO__REQUEST__OP_STREAM_CLOSE;
}

/* Beside an operation that is known, one that is not is a field of a later version, and ignored. */
bool native_look(struct bytes frame, uint64_t *id, uint32_t *number, struct bytes *body)
{
    struct cursor c = cursor_open(frame);
    struct wire_field f;
    size_t fields = 0;
    *id = 0;
    *number = 0;
    while (fields <= NATIVE_REQUEST_FIELDS_MAX && wire_next(&c, &f)) {
        if (f.number == REQUEST_ID && f.type == WIRE_VARINT) {
            *id = f.value;
            continue;
        }
        fields++;
        if (f.type == WIRE_BYTES && (is_known(f.number) || !is_known(*number))) {
            *number = f.number;
            *body = f.bytes;
        }
    }
    return !c.failed && *id != 0 && fields <= NATIVE_REQUEST_FIELDS_MAX;
}

/* The largest settings take less than half of it; what a reply is made of is there at the same time. */
enum { SETTINGS_REPLY = 512 * 1024 };

size_t native_reply_room(uint32_t number)
{
    switch (number) {
    case HATO__REQUEST__OP_QUEUE_CREATE:
    case HATO__REQUEST__OP_QUEUE_SET:
    case HATO__REQUEST__OP_QUEUE_SHOW:
    case HATO__REQUEST__OP_FUNCTION_CREATE:
    case HATO__REQUEST__OP_FUNCTION_SET:
    case HATO__REQUEST__OP_FUNCTION_SHOW:
    case HATO__REQUEST__OP_BIND:
    case HATO__REQUEST__OP_UNBIND:
        return SETTINGS_REPLY;
    default:
        return 0;
    }
}

void native_begin(struct op *op)
{
    operations[op->request->op_case](op);
}

static void start(struct op *op, uint32_t number)
{
    if (number < OPERATIONS && operations[number] != NULL && op->request->op_case == number) {
        if (!long_is(number) || long_begin(op))
            native_begin(op);
        return;
    }
    op_fail(op, ERR_INVALID, "op", "this broker does not know operation %u of Request: use a client of its version",
            number);
    op_answer(op);
}

bool native_start(struct session *s, uint64_t id, uint32_t number, struct bytes body, struct bytes frame)
{
    if (number == REQUEST_SEND) {
        native_send(s, id, body, frame.len);
        return true;
    }
    struct op *op = op_create(s, id, frame.len);
    ProtobufCAllocator allocator = native_allocator(&op->arena);
    const Hato__Request *request = hato__request__unpack(&allocator, frame.len, frame.data);
    if (request == NULL) {
        op_free(op);
        return false;
    }
    op->request = request;
    if (arena_bytes(&op->arena) > op->arena.block)
        op_weigh(op, arena_bytes(&op->arena) - op->arena.block);
    unsent_promise(op, native_reply_room(number));
    if (request->op_case == HATO__REQUEST__OP_STREAM_CREDIT) {
        native_stream_credit(s, request->stream_credit);
        op_free(op);
    } else if (request->op_case == HATO__REQUEST__OP_STREAM_CLOSE) {
        native_stream_close(s, request->stream_close);
        op_free(op);
    } else {
        start(op, number);
    }
    return true;
}

/* What unpacking it would cost is known before. */
static int check_frame(uint32_t number, struct bytes frame, struct error *e)
{
    if (number == REQUEST_SEND)
        return ERR_OK; /* read field by field */
    if (frame.len > NATIVE_REQUEST_MAX)
        return error_set(e, ERR_TOO_LARGE,
                         "this request has %zu bytes; all but Send have at most %d: do what it asks in several",
                         frame.len, NATIVE_REQUEST_MAX);
    return text_check(&hato__request__descriptor, frame, e);
}

static void refuse(struct session *s, uint64_t id, const struct error *why)
{
    struct op *op = op_create(s, id, 0);
    op->error = *why;
    op_answer(op);
}

bool native_dispatch(struct session *s, struct bytes frame)
{
    uint64_t id;
    uint32_t number;
    struct bytes body = {0};
    bool good;
    if (!native_look(frame, &id, &number, &body))
        return false;
    atomic_fetch_add_explicit(&s->ns->native->requests_total, 1, memory_order_relaxed);
    struct error why = {0};
    int code = s->passed_on ? ERR_OK : check_frame(number, frame, &why);
    if (code == ERR_PROTOCOL)
        return false;
    if (code != ERR_OK) {
        refuse(s, id, &why);
        return true;
    }
    s->begun = s->begun || number != HATO__REQUEST__OP_HELLO;
    if (unsent_check(s, number, &why) != ERR_OK) {
        refuse(s, id, &why);
        return true;
    }
    return route_take(s, id, number, body, frame, &good) ? good : native_start(s, id, number, body, frame);
}
