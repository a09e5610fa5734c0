#include "server/server.h"

#include "base/assert.h"
#include "base/memory.h"
#include "protocol/http.h"
#include "protocol/native.h"
#include "server/functions.h"

/* One seat's front ends. */
struct desk {
    struct server *server;
    struct seat *seat;
    struct native_seat native;
    struct http_seat http;
    bool has_native, has_http;
    struct mail drain;
    unsigned open; /* parts not closed yet, when stopping */
};

struct server {
    struct server_options options;
    struct node *node;
    struct native native;
    struct http http;
    struct native_services services;
    struct functions functions;
    struct desk *desks;
    struct native_seat **native_seats;
    unsigned desk_count;
    atomic_uint serving; /* desks that clients can come to */
    atomic_uint drained; /* desks that wait for no function any more */
    atomic_flag stopping;
    atomic_bool anew;
};

static struct desk *desk_of(struct server *s, const struct seat *seat)
{
    return &s->desks[seat->number];
}

static struct push_seat **push_of(const struct desk *d)
{
    return &d->server->functions.pushes[d->seat->number];
}

/* ---------------------------------------------------------------- opening a seat */

/* Of the native listener, as bound. */
static int native_port(const struct server *s)
{
    return s->desks[0].native.listener.port;
}

/* Where port 0 was asked for, the first seat's socket says which one it is for all. */
static void listen_address(const struct server *s, char out[ADDRESS_TEXT])
{
    if (s->desk_count == 0)
        snprintf(out, ADDRESS_TEXT, "%s", s->options.listen);
    else
        address_with_port(s->options.listen, native_port(s), out, ADDRESS_TEXT);
}

static int open_desk(void *ctx, struct seat *seat, struct error *e)
{
    struct server *s = ctx;
    struct desk *d = &s->desks[s->desk_count];
    d->server = s;
    d->seat = seat;
    seat->above = d;
    bool share = s->options.node.loops > 1;
    s->native.node = seat->node;
    s->http.node = seat->node;
    char address[ADDRESS_TEXT];
    listen_address(s, address);
    int rc = share && seat->number == 0 ? listener_probe(s->options.listen, e) : ERR_OK;
    if (rc == ERR_OK)
        rc = native_seat_open(&d->native, &s->native, seat, address, share, e);
    if (rc != ERR_OK)
        return error_wrap(e, "--listen");
    d->has_native = true;
    s->native_seats[s->desk_count++] = &d->native;
    if (seat->number == 0 && s->options.http[0] != '\0') {
        rc = http_seat_open(&d->http, &s->http, seat, s->options.http, e);
        if (rc == ERR_OK)
            rc = http_seat_start(&d->http, e); /* health can be asked for before there is a leader of anything */
        if (rc != ERR_OK)
            return error_wrap(e, "--http");
        d->has_http = true;
    }
    struct push_options push = {.policy = &s->options.endpoints, .ca = s->options.endpoint_ca};
    s->functions.node = seat->node;
    return push_open(push_of(d), seat, &push, e);
}

/* With the ports that were bound. */
static void tell_ready(struct server *s)
{
    char native[ADDRESS_TEXT], http[ADDRESS_TEXT] = "";
    address_with_port(s->options.listen, native_port(s), native, sizeof native);
    if (s->desks[0].has_http)
        address_with_port(s->options.http, s->desks[0].http.listener.port, http, sizeof http);
    TRACE(s->options.node.trace, TRACE_INFO, "ready", trace_text("listen", native), trace_text("http", http),
          trace_text("data", s->options.node.data));
}

static void ready_desk(void *ctx, struct seat *seat)
{
    struct server *s = ctx;
    struct desk *d = desk_of(s, seat);
    struct error e = {0};
    if (native_seat_start(&d->native, &e) != ERR_OK) {
        node_fail(s->node, &e);
        return;
    }
    if (atomic_fetch_add(&s->serving, 1) + 1 < s->desk_count)
        return;
    int starts = HTTP_STARTS;
    if (atomic_compare_exchange_strong(&s->http.phase, &starts, HTTP_SERVES))
        tell_ready(s);
}

/* ---------------------------------------------------------------- closing a seat */

static void desk_drained(void *ctx)
{
    struct desk *d = ctx;
    struct server *s = d->server;
    if (atomic_fetch_add(&s->drained, 1) + 1 == s->desk_count)
        node_stop(s->node);
}

/* Before the node stops: its shards give up leading at once, and could settle nothing. A node that stops by itself does not wait. */
static void drain_desk(struct mail *mail)
{
    struct desk *d = CONTAINER_OF(mail, struct desk, drain);
    struct push_seat *push = *push_of(d);
    if (push != NULL)
        push_drain(push, d->server->options.drain_ms, desk_drained, d);
}

static void part_closed(struct desk *d)
{
    ASSERT(d->open > 0);
    if (--d->open == 0)
        seat_let_go(d->seat);
}

static void native_closed(struct native_seat *ns)
{
    part_closed(CONTAINER_OF(ns, struct desk, native));
}

static void http_closed(struct http_seat *hs)
{
    part_closed(CONTAINER_OF(hs, struct desk, http));
}

static void push_closed(void *ctx)
{
    part_closed(ctx);
}

static void stop_desk(void *ctx, struct seat *seat)
{
    struct desk *d = desk_of(ctx, seat);
    struct push_seat *push = *push_of(d);
    d->open = 1u + (push != NULL) + (d->has_http ? 1u : 0u);
    native_seat_close(&d->native, native_closed);
    if (d->has_http)
        http_seat_close(&d->http, http_closed);
    *push_of(d) = NULL;
    if (push != NULL)
        push_close(push, push_closed, d);
}

static void end_desk(void *ctx, struct seat *seat)
{
    native_seat_end(&desk_of(ctx, seat)->native);
}

/* ---------------------------------------------------------------- what the node says */

static void on_clients(void *ctx, struct seat *seat, struct stream *from, struct bytes rest)
{
    native_seat_adopt(&desk_of(ctx, seat)->native, from, rest);
}

static void on_leading(void *ctx, struct seat *seat, struct shard *shard, bool leading)
{
    struct push_seat *push = *push_of(desk_of(ctx, seat));
    if (push != NULL)
        push_leading(push, shard, leading);
}

static void on_queue_ready(void *ctx, struct seat *seat, struct shard *shard, uint64_t queue)
{
    struct push_seat *push = *push_of(desk_of(ctx, seat));
    (void)shard;
    if (push != NULL)
        push_queue_ready(push, queue);
}

static void on_queue_changed(void *ctx, struct seat *seat, struct shard *shard, uint64_t queue)
{
    struct push_seat *push = *push_of(desk_of(ctx, seat));
    if (push != NULL)
        push_queue_changed(push, shard, queue);
}

static void on_function_changed(void *ctx, struct seat *seat, struct shard *shard, const char *name)
{
    struct server *s = ctx;
    (void)seat;
    functions_changed(&s->functions, shard, name);
}

static void on_begin_anew(void *ctx)
{
    struct server *s = ctx;
    atomic_store(&s->anew, true);
    server_stop(s);
}

static void function_activity(void *ctx, struct seat *seat, const char *function, struct arena *arena,
                              struct function_activity *out)
{
    push_activity(*push_of(desk_of(ctx, seat)), function, arena, out);
}

/* ---------------------------------------------------------------- life */

int server_open(const struct server_options *options, struct server **out, struct error *e)
{
    struct server *s = memory_zero(1, sizeof *s);
    s->options = *options;
    unsigned loops = options->node.loops > 0 ? options->node.loops : 1;
    s->options.node.loops = loops;
    s->desks = memory_zero(loops, sizeof *s->desks);
    s->functions.pushes = memory_zero(loops, sizeof *s->functions.pushes);
    s->functions.seats = loops;
    s->native_seats = memory_zero(loops, sizeof *s->native_seats);
    s->services = (struct native_services){.ctx = s, .function_activity = function_activity};
    s->native.services = &s->services;
    s->native.trace = options->node.trace;
    s->native.seats = s->native_seats;
    s->native.account = options->account;
    s->native.region = options->region;
    s->native.unfinished.bytes_max = NATIVE_UNFINISHED_BYTES_MAX;
    s->native.unsent.bytes_max = NATIVE_UNSENT_BYTES_MAX;
    s->native.connections_max = options->connections.native;
    s->http.connections_max = options->connections.http;
    s->http.native = &s->native;
    s->http.services = &s->services;
    s->options.node.hooks = (struct node_hooks){
        .ctx = s,
        .opened = open_desk,
        .ready = ready_desk,
        .stopping = stop_desk,
        .let_go = end_desk,
        .clients = on_clients,
        .leading = on_leading,
        .queue_ready = on_queue_ready,
        .queue_changed = on_queue_changed,
        .function_changed = on_function_changed,
        .begin_anew = on_begin_anew,
    };
    int rc = node_open(&s->options.node, &s->node, e);
    if (rc != ERR_OK)
        return rc; /* the process is about to end: what was opened goes with it */
    *out = s;
    return ERR_OK;
}

int server_run(struct server *s, struct error *e)
{
    return node_run(s->node, e);
}

bool server_wants_anew(const struct server *s)
{
    return atomic_load(&s->anew);
}

void server_stop(struct server *s)
{
    if (atomic_flag_test_and_set(&s->stopping))
        return;
    atomic_store(&s->http.phase, HTTP_STOPS);
    for (unsigned i = 0; i < s->desk_count; i++) {
        s->desks[i].drain.run = drain_desk;
        loop_post(&s->desks[i].seat->loop, &s->desks[i].drain);
    }
}

void server_close(struct server *s)
{
    if (s == NULL)
        return;
    node_close(s->node);
    functions_close(&s->functions);
    memory_free(s->functions.pushes);
    memory_free(s->desks);
    memory_free(s->native_seats);
    memory_free(s);
}
