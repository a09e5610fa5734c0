#include "protocol/native_route.h"

#include "base/assert.h"
#include "base/memory.h"
#include "net/crypto.h"

enum { PREFACE_BYTES = 8, PROTOCOL_MAJOR = 1, PROTOCOL_MINOR = 0, FRAME_HEAD = 4 };

static void end_if_closed(struct native_seat *ns)
{
    if (!ns->closing || !ns->listener_closed || ns->session_count > 0 || ns->closed == NULL)
        return;
    void (*closed)(struct native_seat *) = ns->closed;
    ns->closed = NULL;
    alarm_clear(&ns->alarms, &ns->give_up);
    alarm_clear(&ns->alarms, &ns->unsent_look);
    closed(ns);
}

static void free_session(struct session *s)
{
    struct native_seat *ns = s->ns;
    idmap_close(&s->streams);
    route_free(s);
    memory_free(s);
    ns->session_count--;
    end_if_closed(ns);
}

static void read_on(struct session *s);

static void on_unsent_again(struct unsent_wait *w, bool may)
{
    (void)may; /* it may be read on before it may be given more */
    read_on(w->session);
}

static void wait_to_read(struct session *s)
{
    s->reads_wait.session = s;
    s->reads_wait.again = on_unsent_again;
    unsent_wait(s->ns, &s->reads_wait);
}

static void read_on(struct session *s)
{
    if (!s->paused || s->op_count >= NATIVE_REQUESTS_MAX / 2 || s->op_bytes >= NATIVE_REQUEST_BYTES_MAX / 2 ||
        s->long_waiting >= NATIVE_LONG_MAX / 2)
        return;
    if (!unsent_may_ask(s)) {
        wait_to_read(s);
        return;
    }
    s->paused = false;
    stream_resume(&s->stream);
}

void session_op_done(struct session *s)
{
    if (s->gone) {
        if (s->op_count == 0)
            free_session(s);
        return;
    }
    read_on(s);
}

static void on_closed(struct stream *stream, int why)
{
    struct session *s = CONTAINER_OF(stream, struct session, stream);
    (void)why;
    s->gone = true;
    alarm_clear(&s->ns->alarms, &s->silent);
    unsent_forget(s->ns, &s->relays_wait);
    unsent_forget(s->ns, &s->reads_wait);
    list_remove(&s->ns->sessions, &s->link);
    atomic_fetch_sub_explicit(&s->ns->native->connections, 1, memory_order_relaxed);
    s->op_count++; /* keeps the session while its ops are told */
    native_streams_drained(s);
    route_gone(s);
    while (!list_empty(&s->ops)) {
        struct op *op = CONTAINER_OF(list_first(&s->ops), struct op, link);
        list_remove(&s->ops, &op->link);
        op->abandon(op);
    }
    s->op_count--;
    session_op_done(s);
}

/* ---------------------------------------------------------------- bytes in */

static void refuse_connection(struct session *s, int code, const char *message)
{
    Hato__Error error = HATO__ERROR__INIT;
    Hato__Reply reply = HATO__REPLY__INIT;
    error.code = (Hato__Code)code;
    error.message = (char *)(uintptr_t)message;
    reply.error = &error;
    struct buffer *out = stream_out(&s->stream);
    size_t len = hato__reply__get_packed_size(&reply);
    buffer_u32(out, (uint32_t)len);
    hato__reply__pack(&reply, buffer_reserve(out, len));
    out->len += len;
    stream_written(&s->stream);
    stream_close_soon(&s->stream);
    atomic_fetch_add_explicit(&s->ns->native->refused_total, 1, memory_order_relaxed);
}

static void put_preface(struct session *s)
{
    static const uint8_t preface[PREFACE_BYTES] = {'H', 'A', 'T', 'O', PROTOCOL_MAJOR, 0, PROTOCOL_MINOR, 0};
    stream_put(&s->stream, preface, sizeof preface);
}

static bool take_preface(struct session *s, struct cursor *c)
{
    struct bytes letters = cursor_take(c, 4);
    uint16_t major = cursor_u16(c);
    cursor_u16(c); /* a minor version only adds: whatever it is, it is understood */
    alarm_clear(&s->ns->alarms, &s->silent);
    put_preface(s);
    if (memcmp(letters.data, "HATO", 4) != 0) {
        refuse_connection(s, ERR_PROTOCOL,
                          "this port speaks Hato's native protocol, whose connections begin with HATO; "
                          "HTTP is served on another port (--http)");
        return false;
    }
    if (major != PROTOCOL_MAJOR) {
        refuse_connection(s, ERR_VERSION, "this broker speaks version 1 of the protocol: use a client of version 1");
        return false;
    }
    s->preface = true;
    return true;
}

static bool has_too_many_ops(const struct session *s)
{
    return s->op_count >= NATIVE_REQUESTS_MAX || s->op_bytes >= NATIVE_REQUEST_BYTES_MAX ||
           s->long_waiting >= NATIVE_LONG_MAX;
}

static bool has_too_much(const struct session *s)
{
    return has_too_many_ops(s) || s->stream.paused_by_backlog || !unsent_may_ask(s);
}

static void stop_reading(struct session *s)
{
    s->paused = true;
    stream_pause(&s->stream);
    if (!has_too_many_ops(s)) /* else an op that ends looks */
        wait_to_read(s);
}

static size_t on_data(struct stream *stream, struct bytes in)
{
    struct session *s = CONTAINER_OF(stream, struct session, stream);
    struct cursor c = cursor_open(in);
    if (!s->preface) {
        if (in.len < PREFACE_BYTES)
            return 0;
        if (!take_preface(s, &c))
            return in.len;
    }
    bool much = false; /* said once: other loops may make it untrue at any time */
    while (!s->gone && !stream->closing && cursor_left(&c) >= FRAME_HEAD && !(much = has_too_much(s))) {
        struct cursor head = c;
        uint32_t len = cursor_u32(&head);
        if (len == 0 || len > NATIVE_FRAME_MAX + (s->passed_on ? NATIVE_RELAYED_MORE : 0)) {
            refuse_connection(s, ERR_PROTOCOL,
                              len == 0 ? "a frame of length 0 was sent; a frame has at least 1 byte"
                                       : "a frame is longer than the largest allowed (68 MiB)");
            return in.len;
        }
        if (cursor_left(&head) < len) {
            s->stream.want = FRAME_HEAD + (size_t)len;
            break;
        }
        struct bytes frame = cursor_take(&head, len);
        c = head;
        if (!native_dispatch(s, frame)) {
            refuse_connection(
                s, ERR_PROTOCOL,
                "a frame is not a Request of proto/client.proto with an id above 0 and at most 1,000 fields");
            return in.len;
        }
    }
    if ((much || has_too_much(s)) && !s->stream.paused_by_backlog && !s->paused)
        stop_reading(s);
    return in.len - cursor_left(&c);
}

void session_put(struct session *s, const struct buffer *frame)
{
    stream_put(&s->stream, frame->data, frame->len);
    if (stream_backlog(&s->stream) > STREAM_BACKLOG_PAUSE)
        atomic_store_explicit(&s->behind, true, memory_order_relaxed);
}

static void on_drained(struct stream *stream)
{
    struct session *s = CONTAINER_OF(stream, struct session, stream);
    atomic_store(&s->behind, false);
    native_streams_drained(s);
    route_drained(s);
    struct list_link *next;
    for (struct list_link *l = list_first(&s->ops); l != NULL; l = next) {
        next = list_next(&s->ops, l);
        struct op *op = CONTAINER_OF(l, struct op, link);
        if (op->resumed != NULL)
            op->resumed(op);
    }
    long_go_on(s);
}

static void on_crowded(struct stream *stream)
{
    refuse_connection(
        CONTAINER_OF(stream, struct session, stream), ERR_OVERLOADED,
        "the broker has 512 MiB of unfinished frames from all its connections: connect again later, and send "
        "fewer or smaller messages at once");
}

static const struct stream_ops ops = {
    .data = on_data, .drained = on_drained, .crowded = on_crowded, .closed = on_closed};

/* ---------------------------------------------------------------- a seat's sessions */

static void on_silent(struct alarm *a)
{
    stream_close(&CONTAINER_OF(a, struct session, silent)->stream);
}

/* Once a minute, whichever loop comes first: who is refused may come again at once. */
static void tell_full(struct native *n, uint64_t now_ms)
{
    uint64_t told_ms = atomic_load_explicit(&n->full_told_ms, memory_order_relaxed);
    bool due = told_ms == 0 || now_ms > told_ms + NATIVE_FULL_TOLD_MS;
    if (due && atomic_compare_exchange_strong(&n->full_told_ms, &told_ms, now_ms))
        TRACE(n->trace, TRACE_WARN, "connections are refused, as many as may be are open",
              trace_u64("connections_max", n->connections_max));
}

static void refuse_one_more(struct session *s)
{
    tell_full(s->ns->native, uv_now(&s->ns->seat->loop.uv));
    refuse_connection(s, ERR_OVERLOADED,
                      "the broker has as many connections as it may: close some, or raise the "
                      "limit of open files that it is started with (ulimit -n)");
}

static void begin_session(struct session *s)
{
    struct native_seat *ns = s->ns;
    uint64_t open = atomic_fetch_add_explicit(&ns->native->connections, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&ns->native->connections_total, 1, memory_order_relaxed);
    if (ns->closing) {
        stream_close(&s->stream);
    } else if (open >= ns->native->connections_max) {
        put_preface(s);
        refuse_one_more(s);
    } else {
        alarm_set(&ns->alarms, &s->silent, NATIVE_PREFACE_MS, on_silent);
    }
}

static struct session *create_session(struct native_seat *ns)
{
    struct session *s = memory_zero(1, sizeof *s);
    s->ns = ns;
    list_init(&s->ops);
    list_init(&s->parked);
    list_init(&s->long_waits);
    crypto_random(&s->streams.seed, sizeof s->streams.seed); /* clients choose the keys */
    s->prefix_len = (size_t)snprintf(s->prefix, sizeof s->prefix, "%s:%s:", ns->native->account, ns->native->region);
    return s;
}

static void add_session(struct session *s)
{
    list_append(&s->ns->sessions, &s->link);
    s->ns->session_count++;
    s->stream.budget = &s->ns->native->unfinished;
    s->stream.unsent = &s->ns->native->unsent;
}

/* Of a client of another node: what is asked here is what this node leads. */
void native_seat_adopt(struct native_seat *ns, struct stream *from, struct bytes rest)
{
    if (ns->closing)
        return;
    struct session *s = create_session(ns);
    if (stream_take_over(&s->stream, from, rest, &ops, NULL) != ERR_OK) {
        memory_free(s);
        return;
    }
    s->preface = s->passed_on = true;
    add_session(s);
    atomic_fetch_add_explicit(&ns->native->connections_total, 1, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&ns->native->connections, 1, memory_order_relaxed) >= ns->native->connections_max)
        refuse_one_more(s);
}

static void on_accepted(struct listener *l, void *ctx)
{
    struct native_seat *ns = ctx;
    struct session *s = create_session(ns);
    s->routed = node_has_peers(ns->native->node);
    stream_accept(&s->stream, &ns->seat->loop, (uv_stream_t *)&l->tcp, &ops);
    add_session(s);
    begin_session(s);
}

int native_seat_open(struct native_seat *ns, struct native *native, struct seat *seat, const char *address, bool share,
                     struct error *e)
{
    *ns = (struct native_seat){.native = native, .seat = seat};
    list_init(&ns->sessions);
    list_init(&ns->unsent_waits);
    list_init(&ns->long_looks);
    int rc = listener_open(&ns->listener, &seat->loop, address, share, on_accepted, ns, e);
    if (rc == ERR_OK)
        alarms_open(&ns->alarms, &seat->loop);
    return rc;
}

int native_seat_start(struct native_seat *ns, struct error *e)
{
    ns->listening = true;
    unsent_watch(ns);
    return listener_start(&ns->listener, e);
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct listener *l = CONTAINER_OF(handle, struct listener, tcp);
    struct native_seat *ns = CONTAINER_OF(l, struct native_seat, listener);
    ns->listener_closed = true;
    end_if_closed(ns);
}

enum { GIVE_UP_MS = 1000 };

static void on_give_up(struct alarm *alarm)
{
    struct native_seat *ns = CONTAINER_OF(alarm, struct native_seat, give_up);
    for (struct list_link *l = list_first(&ns->sessions); l != NULL; l = list_next(&ns->sessions, l))
        stream_close(&CONTAINER_OF(l, struct session, link)->stream);
}

void native_seat_close(struct native_seat *ns, void (*closed)(struct native_seat *ns))
{
    ns->closing = true;
    ns->closed = closed;
    listener_close(&ns->listener, on_listener_closed);
    alarm_set(&ns->alarms, &ns->give_up, GIVE_UP_MS, on_give_up);
    for (struct list_link *l = list_first(&ns->sessions); l != NULL; l = list_next(&ns->sessions, l))
        stream_close_soon(&CONTAINER_OF(l, struct session, link)->stream);
}

void native_seat_end(struct native_seat *ns)
{
    alarms_close(&ns->alarms);
}
