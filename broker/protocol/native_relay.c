/* A session's connection to another node, over which its requests go to the leader there and replies come back. It speaks the native
 * protocol, without its preface, and numbers requests by itself: the number is put behind the request's own id, whose place it takes
 * (of a field that comes twice protobuf takes the last), and the client's behind that of the reply. */
#include "base/assert.h"
#include "base/memory.h"
#include "base/wire.h"
#include "protocol/native_route.h"

enum {
    FRAME_HEAD = 4,
    HELLO_NUMBER = 1,
    CREDIT_BEHIND = 64 * 1024, /* bytes that the other node has not taken: credit is added up then, and not sent */
    CREDIT_AGAIN_MS = 50,
};

enum { REPLY_ID = 1, REPLY_ERROR = 2, ERROR_CODE = 1, ERROR_MESSAGE = 2, ERROR_FIELD = 3 }; /* fields */

struct relay {
    struct call call;
    struct session *session;
    struct list_link link; /* of routes->relays */
    uint64_t node;
    struct list ops;     /* that wait for an answer, as asked */
    struct idmap by_id;  /* the same */
    struct buffer early; /* frames put before it was up */
    struct alarm owed;   /* credit that was added up is told */
    uint64_t last_id;
    size_t overdue; /* answers that nobody waits for any more */
    bool up;
};

static struct relay *relay_of(struct call *c)
{
    return CONTAINER_OF(c, struct relay, call);
}

/* ---------------------------------------------------------------- out */

static void put_id(struct buffer *b, uint64_t id)
{
    buffer_u8(b, REPLY_ID << 3 | WIRE_VARINT);
    buffer_varint(b, id);
}

static void put_request(struct relay *r, struct bytes request, uint64_t id)
{
    struct buffer *to = r->up ? stream_out(&r->call.stream) : &r->early;
    buffer_u32(to, (uint32_t)(request.len + 1 + wire_varint_size(id)));
    buffer_put(to, request.data, request.len);
    put_id(to, id);
    if (r->up)
        stream_written(&r->call.stream);
}

static void put_message(struct relay *r, Hato__Request *request, uint64_t id)
{
    size_t len = hato__request__get_packed_size(request);
    uint8_t *bytes = memory_alloc(len + 1);
    hato__request__pack(request, bytes);
    put_request(r, bytes_of(bytes, len), id);
    memory_free(bytes);
}

static void put_hello(struct relay *r)
{
    struct session *s = r->session;
    char account[sizeof s->prefix], region[sizeof s->prefix];
    Hato__Hello hello = HATO__HELLO__INIT;
    Hato__Request request = HATO__REQUEST__INIT;
    static char client[] = "hato/" HATO_BROKER_VERSION;
    const char *colon = strchr(s->prefix, ':');
    snprintf(account, sizeof account, "%.*s", (int)(colon - s->prefix), s->prefix);
    snprintf(region, sizeof region, "%.*s", (int)(s->prefix + s->prefix_len - 1 - (colon + 1)), colon + 1);
    hello.client = client;
    hello.account = account;
    hello.region = region;
    request.op_case = HATO__REQUEST__OP_HELLO;
    request.hello = &hello;
    r->last_id = HELLO_NUMBER;
    put_message(r, &request, r->last_id);
}

/* ---------------------------------------------------------------- in */

struct look {
    uint64_t id;
    bool goes_on; /* more will come under this id */
    struct error error;
};

static void look_at_error(struct bytes raw, struct error *e)
{
    struct cursor c = cursor_open(raw);
    struct wire_field f;
    e->code = ERR_INTERNAL;
    while (wire_next(&c, &f)) {
        if (f.number == ERROR_CODE && f.type == WIRE_VARINT && f.value < ERR_CODE_MAX)
            e->code = (enum error_code)f.value;
        else if (f.number == ERROR_MESSAGE && f.type == WIRE_BYTES)
            snprintf(e->message, sizeof e->message, "%.*s", (int)f.bytes.len, (const char *)f.bytes.data);
        else if (f.number == ERROR_FIELD && f.type == WIRE_BYTES)
            snprintf(e->field, sizeof e->field, "%.*s", (int)f.bytes.len, (const char *)f.bytes.data);
    }
}

static bool look_at_reply(struct bytes reply, struct look *out)
{
    struct cursor c = cursor_open(reply);
    struct wire_field f;
    *out = (struct look){0};
    while (wire_next(&c, &f)) {
        if (f.number == REPLY_ID && f.type == WIRE_VARINT)
            out->id = f.value;
        else if (f.number == REPLY_ERROR && f.type == WIRE_BYTES)
            look_at_error(f.bytes, &out->error);
        else if (f.number == HATO__REPLY__OP_STREAM_DELIVERY)
            out->goes_on = true;
    }
    return !c.failed;
}

static void put_reply(struct buffer *to, struct bytes reply, uint64_t id)
{
    buffer_u32(to, (uint32_t)(reply.len + 1 + wire_varint_size(id)));
    buffer_put(to, reply.data, reply.len);
    put_id(to, id);
}

static void forget_stream(struct op *op)
{
    if (op->streams)
        idmap_remove(&op->session->streams, op->id);
    op->streams = false;
}

static void let_go_of(struct relay *r, struct op *op)
{
    list_remove(&r->ops, &op->relay_link);
    idmap_remove(&r->by_id, op->relay_id);
    op->relay = NULL;
    forget_stream(op);
}

static void finish(struct relay *r, struct op *op, const struct look *look, struct bytes reply)
{
    let_go_of(r, op);
    op->error = look->error;
    if (op->asks) {
        op->asks = false;
        op->answered = reply;
        op_come_home(op);
        return;
    }
    route_doubt(op);
    if (op->error.code == ERR_NOT_LEADER || op->error.code == ERR_UNKNOWN_OUTCOME || op->error.code == ERR_CLOSED) {
        if (op->error.code == ERR_CLOSED)
            op->error.code = ERR_UNKNOWN_OUTCOME; /* that node stops; this one goes on */
        op_answer(op);
        return;
    }
    op->error.code = ERR_OK; /* a refusal is passed on as it came */
    put_reply(&op->frame, reply, op->id);
    op_answer(op);
}

static void take_reply(struct relay *r, struct bytes reply, struct error *e)
{
    struct look look;
    if (!look_at_reply(reply, &look)) {
        error_set(e, ERR_PROTOCOL, "a reply that can't be read");
        return;
    }
    if (look.id == 0) {
        *e = look.error;
        return;
    }
    struct op *op = idmap_find(&r->by_id, look.id);
    if (op == NULL) {
        r->overdue -= look.id != HELLO_NUMBER && r->overdue > 0;
        return;
    }
    if (!look.goes_on) {
        finish(r, op, &look, reply);
        return;
    }
    op->begun = true;
    struct buffer frame = {0};
    put_reply(&frame, reply, op->id);
    session_put(r->session, &frame);
    buffer_close(&frame);
}

static void on_unsent_again(struct unsent_wait *w, bool may)
{
    (void)may; /* they are looked at one by one */
    relay_drained(w->session->routes);
}

static bool client_reads(struct session *s, size_t frame_bytes)
{
    if (stream_backlog(&s->stream) > STREAM_BACKLOG_PAUSE)
        return false;
    if (unsent_may_pass(s, frame_bytes))
        return true;
    s->relays_wait.session = s;
    s->relays_wait.again = on_unsent_again;
    unsent_wait(s->ns, &s->relays_wait);
    return false;
}

static size_t on_data(struct call *call, struct bytes in)
{
    struct relay *r = relay_of(call);
    struct cursor c = cursor_open(in);
    struct error e = {0};
    while (cursor_left(&c) >= FRAME_HEAD && !call->stream.closing) {
        struct cursor head = c;
        uint32_t len = cursor_u32(&head);
        if (!client_reads(r->session, len)) {
            stream_pause(&call->stream);
            break;
        }
        if (len == 0 || len > NATIVE_FRAME_MAX) {
            error_set(&e, ERR_PROTOCOL, "a reply of %u bytes", len);
        } else if (cursor_left(&head) < len) {
            call->stream.want = FRAME_HEAD + (size_t)len;
            break;
        } else {
            take_reply(r, cursor_take(&head, len), &e);
        }
        if (e.code != ERR_OK) {
            call_end(call, &e);
            return in.len;
        }
        c = head;
    }
    return in.len - cursor_left(&c);
}

/* ---------------------------------------------------------------- what a client says of its streams */

static void put_close(struct op *op)
{
    Hato__StreamClose close = HATO__STREAM_CLOSE__INIT;
    Hato__Request request = HATO__REQUEST__INIT;
    close.stream = op->relay_id;
    request.op_case = HATO__REQUEST__OP_STREAM_CLOSE;
    request.stream_close = &close;
    op->closing = true;
    op->credit = 0;
    put_message(op->relay, &request, ++op->relay->last_id);
}

static void put_credit(struct op *op)
{
    Hato__StreamCredit more = HATO__STREAM_CREDIT__INIT;
    Hato__Request request = HATO__REQUEST__INIT;
    more.stream = op->relay_id;
    more.credit = op->credit;
    request.op_case = HATO__REQUEST__OP_STREAM_CREDIT;
    request.stream_credit = &more;
    op->credit = 0;
    put_message(op->relay, &request, ++op->relay->last_id);
}

/* Credit has no reply, and so no limit of its own: while the node takes nothing it is not piled up for it. */
static bool takes_more(const struct relay *r)
{
    return r->up && stream_backlog(&r->call.stream) <= CREDIT_BEHIND;
}

static void tell_owed(struct alarm *alarm);

static void tell_later(struct relay *r)
{
    if (r->up && !heap_holds(&r->owed.node)) /* before, it is told when it comes up */
        alarm_set(&r->session->ns->alarms, &r->owed, CREDIT_AGAIN_MS, tell_owed);
}

static void tell_owed(struct alarm *alarm)
{
    struct relay *r = CONTAINER_OF(alarm, struct relay, owed);
    if (!takes_more(r)) {
        tell_later(r);
        return;
    }
    for (struct list_link *l = list_first(&r->ops); l != NULL; l = list_next(&r->ops, l)) {
        struct op *op = CONTAINER_OF(l, struct op, relay_link);
        if (op->credit > 0)
            put_credit(op);
    }
}

/* ---------------------------------------------------------------- its life */

static void on_up(struct call *call, const struct hello *h)
{
    (void)h;
    struct relay *r = relay_of(call);
    r->up = true;
    call->stream.backlog_pause =
        SIZE_MAX; /* replies are read whatever waits to be sent; what may wait, the session limits */
    stream_put(&call->stream, r->early.data, r->early.len);
    buffer_close(&r->early);
    tell_owed(&r->owed);
}

static void come_home_or_answer(struct op *op)
{
    bool asks = op->asks;
    op->asks = false;
    op->answered = (struct bytes){0};
    if (asks)
        op_come_home(op);
    else
        op_answer(op);
}

/* What the node was asked may have been done, unless nothing was said to it yet. */
static void come_to_nothing(struct relay *r, struct op *op, const struct error *why)
{
    bool begun = op->begun;
    bool streams = op->streams;
    unsigned long long node = r->node;
    let_go_of(r, op);
    if (why->code == ERR_OVERLOADED) /* its first and only word: it took nothing */
        op_fail(op, ERR_OVERLOADED, "", "node %llu: %s", node, why->message);
    else if (!r->up || op->asks) /* what is asked on the way to something else changes nothing when it is asked again */
        op_fail(op, ERR_NOT_LEADER, "", "node %llu can't be asked: %s", node, why->message);
    else
        op_fail(op, ERR_UNKNOWN_OUTCOME, "", "the connection to node %llu ended before it answered: %s", node,
                why->message);
    if (streams && begun && !op->session->gone) { /* what of the credit is left, its client knows */
        struct error e = op->error;
        op->error = (struct error){0};
        native_stream_ended(op, ERR_NOT_LEADER, e.message);
    }
    come_home_or_answer(op);
}

static void on_ended(struct call *call, const struct error *why)
{
    struct relay *r = relay_of(call);
    struct session *s = r->session;
    list_remove(&s->routes->relays, &r->link);
    alarm_clear(&s->ns->alarms, &r->owed);
    while (!list_empty(&r->ops))
        come_to_nothing(r, CONTAINER_OF(list_first(&r->ops), struct op, relay_link), why);
    idmap_close(&r->by_id);
    buffer_close(&r->early);
    memory_free(r);
    atomic_fetch_sub_explicit(&s->ns->native->connections, 1, memory_order_relaxed);
    s->op_count--;
    session_op_done(s);
}

static const struct call_ops ops = {.up = on_up, .data = on_data, .ended = on_ended};

static bool is_ending(const struct relay *r)
{
    return r->call.blamed.code != ERR_OK || (r->call.step != CALL_FINDING && r->call.stream.closing);
}

/* It takes a file as a client's connection does. */
static int admit(struct session *s, uint64_t node, struct error *e)
{
    struct native *n = s->ns->native;
    if (atomic_fetch_add_explicit(&n->connections, 1, memory_order_relaxed) < n->connections_max)
        return ERR_OK;
    atomic_fetch_sub_explicit(&n->connections, 1, memory_order_relaxed);
    return error_set(e, ERR_OVERLOADED,
                     "node %llu decides this, and this node has as many connections as it may: retry, connect to that "
                     "node, or raise the limit of open files (ulimit -n)",
                     (unsigned long long)node);
}

static struct relay *find(const struct session *s, uint64_t node)
{
    for (struct list_link *l = list_first(&s->routes->relays); l != NULL; l = list_next(&s->routes->relays, l)) {
        struct relay *r = CONTAINER_OF(l, struct relay, link);
        if (r->node == node && !is_ending(r))
            return r;
    }
    return NULL;
}

static struct relay *relay_to(struct session *s, uint64_t node, struct error *e)
{
    struct relay *found = find(s, node);
    if (found != NULL)
        return found;
    if (s->gone) { /* a relay made now would never be told to end */
        error_set(e, ERR_CLOSED, "the connection is gone");
        return NULL;
    }
    if (admit(s, node, e) != ERR_OK)
        return NULL;
    struct relay *r = memory_zero(1, sizeof *r);
    r->session = s;
    r->node = node;
    list_init(&r->ops);
    if (!node_call(s->ns->seat, &r->call, node, &ops)) {
        error_set(e, ERR_NOT_LEADER, "node %llu is not among the --peers of this one", (unsigned long long)node);
        atomic_fetch_sub_explicit(&s->ns->native->connections, 1, memory_order_relaxed);
        memory_free(r);
        return NULL;
    }
    list_append(&s->routes->relays, &r->link);
    s->op_count++; /* keeps the session */
    put_hello(r);
    return r;
}

static void ask(struct op *op, uint64_t node, struct bytes request)
{
    struct relay *r = relay_to(op->session, node, &op->error);
    if (r == NULL) {
        forget_stream(op);
        come_home_or_answer(op);
        return;
    }
    op->relay = r;
    op->relay_id = ++r->last_id;
    list_append(&r->ops, &op->relay_link);
    idmap_put(&r->by_id, op->relay_id, op);
    put_request(r, request, op->relay_id);
}

void relay_forward(struct op *op, uint64_t node, struct bytes request)
{
    ask(op, node, request);
}

void relay_ask(struct op *op, uint64_t node, struct bytes request)
{
    op->asks = true;
    ask(op, node, request);
}

bool relay_is_late(const struct session *s, uint64_t node)
{
    const struct relay *r = s->routes != NULL ? find(s, node) : NULL;
    return r != NULL && r->overdue > 0;
}

void relay_forget(struct op *op)
{
    op->relay->overdue++;
    op->asks = false;
    let_go_of(op->relay, op);
}

void relay_credit(struct op *op, uint32_t credit)
{
    op->begun = true;
    if (op->closing)
        return;
    if (credit == 0) {
        put_close(op);
        return;
    }
    op->credit = credit_add(op->credit, credit);
    if (takes_more(op->relay))
        put_credit(op);
    else
        tell_later(op->relay);
}

void relay_drained(struct routes *routes)
{
    for (struct list_link *l = list_first(&routes->relays); l != NULL; l = list_next(&routes->relays, l)) {
        struct relay *r = CONTAINER_OF(l, struct relay, link);
        if (r->up)
            stream_resume(&r->call.stream);
    }
}

void relay_gone(struct routes *routes)
{
    for (struct list_link *l = list_first(&routes->relays); l != NULL; l = list_next(&routes->relays, l))
        call_end(&CONTAINER_OF(l, struct relay, link)->call, NULL);
}
