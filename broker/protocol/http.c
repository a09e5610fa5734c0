#include "protocol/http.h"

#include "base/assert.h"
#include "base/memory.h"

enum { BODY_MAX = 64 * 1024 };

/* A page that needs a look at every shard. */
struct page {
    struct visit visit;
    struct mail later;
    struct http_seat *hs;
    struct http_connection *connection; /* NULL once it is gone */
    struct list_link link;
    struct metrics *metrics; /* of /metrics */
    struct buffer out;
    uint16_t shard;
    bool again; /* the shard has more to show */
    bool ready;
};

static void text(struct http_connection *c, int status, const char *body)
{
    http_reply(c, status, "text/plain; charset=utf-8", bytes_text(body));
}

static void next(struct page *p);

static void finish(struct page *p)
{
    struct http_seat *hs = p->hs;
    struct http_connection *c = p->connection;
    if (c != NULL) {
        list_remove(&hs->page_list, &p->link);
        if (p->metrics != NULL) {
            metrics_finish(p->metrics, &p->out);
            http_reply(c, 200, "text/plain; version=0.0.4; charset=utf-8", buffer_view(&p->out));
        } else if (p->ready) {
            text(c, 200, "ready\n");
        } else {
            http_reply(c, 503, "text/plain; charset=utf-8", buffer_view(&p->out));
        }
    }
    hs->pages--;
    hs->metrics_pages -= p->metrics != NULL;
    metrics_destroy(p->metrics);
    buffer_close(&p->out);
    memory_free(p);
    http_seat_end_if_closed(hs);
}

/* Here, or elsewhere. */
static bool serves(const struct http *h, const struct shard *s)
{
    uint64_t leader = node_leader(h->node, shard_number(s));
    return shard_leads(s) || (shard_problem(s)[0] == '\0' && leader != 0 && leader != node_birth(h->node)->node);
}

static void look(struct visit *v, struct shard *s)
{
    struct page *p = CONTAINER_OF(v, struct page, visit);
    if (p->metrics != NULL) {
        p->again = metrics_add_shard(p->metrics, s, node_seat_of(p->hs->seat->node, shard_number(s)));
    } else if (!serves(p->hs->http, s)) {
        p->ready = false;
        const char *problem = shard_problem(s);
        buffer_printf(&p->out, "shard %u does not serve: %s\n", shard_number(s),
                      problem[0] != '\0' ? problem : "it has no leader yet");
    }
    visit_return(v);
}

static void go_on(struct mail *mail)
{
    next(CONTAINER_OF(mail, struct page, later));
}

/* Each look has a turn of its own: a shard with very many queues must not hold up what else there is to do. */
static void looked(struct visit *v)
{
    struct page *p = CONTAINER_OF(v, struct page, visit);
    if (!p->again)
        p->shard++;
    p->again = false;
    p->later.run = go_on;
    loop_post(&p->hs->seat->loop, &p->later);
}

static void next(struct page *p)
{
    struct node *n = p->hs->seat->node;
    if (p->connection == NULL || p->shard > node_birth(n)->shards) {
        finish(p);
        return;
    }
    p->visit.run = look;
    p->visit.done = looked;
    node_visit(p->hs->seat, p->shard, &p->visit);
}

static void start_page(struct http_seat *hs, struct http_connection *c, bool metrics)
{
    struct page *p = memory_zero(1, sizeof *p);
    p->hs = hs;
    p->connection = c;
    int phase = atomic_load(&hs->http->phase);
    p->ready = phase == HTTP_SERVES;
    if (!p->ready)
        buffer_printf(&p->out, "%s\n", phase == HTTP_STARTS ? "clients are not served yet" : "the node stops");
    if (metrics) {
        p->metrics = metrics_create(hs->http);
        hs->metrics_pages++;
    }
    list_append(&hs->page_list, &p->link);
    hs->pages++;
    next(p);
}

static void start_metrics(struct http_seat *hs, struct http_connection *c)
{
    if (hs->metrics_pages >= HTTP_METRICS_AT_ONCE)
        text(c, 503, "other pages of metrics are being made: ask again in a second, or from fewer places\n");
    else if (http_server_backlog(&hs->server) > HTTP_METRICS_UNREAD_MAX)
        text(c, 503, "pages of metrics that were asked for are not being read: read them, or ask from fewer places\n");
    else
        start_page(hs, c, true);
}

static bool is(struct bytes path, const char *name)
{
    return bytes_equal(path, bytes_text(name));
}

static void on_request(struct http_connection *c, const struct http_request *r)
{
    struct http_seat *hs = http_connection_server(c)->ctx;
    bool reads = strcmp(r->method, "GET") == 0 || strcmp(r->method, "HEAD") == 0;
    if (is(r->path, "/healthz") && reads)
        text(c, 200, "alive\n");
    else if (is(r->path, "/readyz") && reads)
        start_page(hs, c, false);
    else if (is(r->path, "/metrics") && reads)
        start_metrics(hs, c);
    else if (is(r->path, "/healthz") || is(r->path, "/readyz") || is(r->path, "/metrics"))
        text(c, 405, "use GET\n");
    else
        text(c, 404, "not found; this port has /healthz, /readyz and /metrics\n");
}

static void on_gone(struct http_connection *c)
{
    struct http_seat *hs = http_connection_server(c)->ctx;
    for (struct list_link *l = list_first(&hs->page_list); l != NULL; l = list_next(&hs->page_list, l)) {
        struct page *p = CONTAINER_OF(l, struct page, link);
        if (p->connection != c)
            continue;
        p->connection = NULL;
        list_remove(&hs->page_list, l);
        return;
    }
}

static void on_accepted(struct listener *l, void *ctx)
{
    struct http_seat *hs = ctx;
    http_server_accept(&hs->server, l);
}

int http_seat_open(struct http_seat *hs, struct http *http, struct seat *seat, const char *address, struct error *e)
{
    *hs = (struct http_seat){.http = http, .seat = seat};
    int rc = listener_open(&hs->listener, &seat->loop, address, false, on_accepted, hs, e);
    if (rc != ERR_OK)
        return rc;
    list_init(&hs->page_list);
    alarms_open(&hs->alarms, &seat->loop);
    hs->server = (struct http_server){.body_max = BODY_MAX,
                                      .connections_max = http->connections_max,
                                      .ctx = hs,
                                      .request = on_request,
                                      .gone = on_gone};
    http_server_open(&hs->server, &seat->loop, &hs->alarms);
    return ERR_OK;
}

int http_seat_start(struct http_seat *hs, struct error *e)
{
    return listener_start(&hs->listener, e);
}

void http_seat_end_if_closed(struct http_seat *hs)
{
    if (hs->closed == NULL || hs->open > 0 || hs->pages > 0)
        return;
    void (*closed)(struct http_seat *) = hs->closed;
    hs->closed = NULL;
    alarms_close(&hs->alarms);
    closed(hs);
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct listener *l = CONTAINER_OF(handle, struct listener, tcp);
    struct http_seat *hs = CONTAINER_OF(l, struct http_seat, listener);
    hs->open--;
    http_seat_end_if_closed(hs);
}

static void on_server_closed(struct http_server *s)
{
    struct http_seat *hs = s->ctx;
    hs->open--;
    http_seat_end_if_closed(hs);
}

void http_seat_close(struct http_seat *hs, void (*closed)(struct http_seat *hs))
{
    hs->closed = closed;
    hs->open = 2;
    listener_close(&hs->listener, on_listener_closed);
    http_server_close(&hs->server, on_server_closed);
}
