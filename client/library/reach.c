#include "library/reach.h"

#include <stdlib.h>

#include "base/memory.h"
#include "library/link.h"

static const char DEFAULT_PORT[] = "9325";

enum { UNDECIDED_MAX = 3 };

struct resolving {
    uv_getaddrinfo_t uv;
    struct hato_client *client;
    bool abandoned;
};

/* ---------------------------------------------------------------- reading the servers' names */

static int bad_server(const char *text, size_t len, struct error *e)
{
    return error_field(e, ERR_INVALID, "server", "'%.*s' is not HOST:PORT, as in 127.0.0.1:9325 or [::1]:9325",
                       (int)len, text);
}

static bool port_valid(const char *port, size_t len)
{
    if (len == 0 || len > 5)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (port[i] < '0' || port[i] > '9')
            return false;
    }
    long n = strtol(port, NULL, 10);
    return n > 0 && n <= 65535;
}

static int parse_one(struct server *s, const char *text, size_t len, struct error *e)
{
    const char *host = text;
    const char *end = text + len;
    const char *host_end;
    if (len > 0 && text[0] == '[') {
        host++;
        host_end = memchr(text, ']', len);
        if (host_end == NULL || (host_end + 1 < end && host_end[1] != ':'))
            return bad_server(text, len, e);
    } else {
        host_end = memchr(text, ':', len);
        host_end = host_end != NULL ? host_end : end;
    }
    size_t host_len = (size_t)(host_end - host);
    const char *colon = host_end < end ? memchr(host_end, ':', (size_t)(end - host_end)) : NULL;
    const char *port = colon != NULL ? colon + 1 : DEFAULT_PORT;
    size_t port_len = colon != NULL ? (size_t)(end - port) : strlen(DEFAULT_PORT);
    if (host_len == 0 || host_len >= sizeof s->host || !port_valid(port, port_len))
        return bad_server(text, len, e);
    memcpy(s->host, host, host_len);
    memcpy(s->port, port, port_len);
    return ERR_OK;
}

int reach_parse(struct reach *r, const char *servers, struct error *e)
{
    for (const char *at = servers;; at++) {
        const char *end = at + strcspn(at, ",");
        if (r->server_count == CLIENT_SERVERS_MAX)
            return error_field(e, ERR_INVALID, "server", "more than %d servers", CLIENT_SERVERS_MAX);
        int rc = parse_one(&r->servers[r->server_count++], at, (size_t)(end - at), e);
        if (rc != ERR_OK)
            return rc;
        at = end;
        if (*at == '\0')
            return ERR_OK;
    }
}

/* ---------------------------------------------------------------- one try after the other */

static void try_server(struct hato_client *c);
static void failed(struct hato_client *c, const struct error *why);

static void forget_addresses(struct reach *r)
{
    if (r->addresses != NULL)
        uv_freeaddrinfo(r->addresses);
    r->addresses = NULL;
    r->address = NULL;
}

static void on_pause_over(uv_timer_t *timer)
{
    try_server(timer->data);
}

static void on_try_over(uv_timer_t *timer)
{
    struct hato_client *c = timer->data;
    struct error e;
    error_set(&e, ERR_IO, "no answer within %llu ms", (unsigned long long)c->options.connect_timeout_ms);
    if (c->reach.resolving != NULL) {
        c->reach.resolving->abandoned = true;
        c->reach.resolving = NULL;
        failed(c, &e);
    } else {
        link_fail(c->link, &e);
    }
}

static void try_address(struct hato_client *c, const struct sockaddr *address)
{
    struct error e;
    uv_timer_start(&c->reach.timer, on_try_over, c->options.connect_timeout_ms, 0);
    c->link = link_create(c, address, &e);
    if (c->link == NULL)
        failed(c, &e);
}

static void on_resolved(uv_getaddrinfo_t *uv, int status, struct addrinfo *addresses)
{
    struct resolving *resolving = CONTAINER_OF(uv, struct resolving, uv);
    struct hato_client *c = resolving->client;
    bool abandoned = resolving->abandoned;
    memory_free(resolving);
    if (abandoned) {
        uv_freeaddrinfo(addresses);
        client_handle_gone(c);
        return;
    }
    c->handles--;
    c->reach.resolving = NULL;
    if (status != 0) {
        struct error e;
        error_set(&e, ERR_IO, "no address for this name (%s)", uv_strerror(status));
        failed(c, &e);
        return;
    }
    c->reach.addresses = addresses;
    c->reach.address = addresses;
    try_address(c, addresses->ai_addr);
}

static void resolve(struct hato_client *c, const struct server *s)
{
    struct resolving *resolving = memory_zero(1, sizeof *resolving);
    resolving->client = c;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    uv_timer_start(&c->reach.timer, on_try_over, c->options.connect_timeout_ms, 0);
    int rc = uv_getaddrinfo(c->loop, &resolving->uv, on_resolved, s->host, s->port, &hints);
    if (rc != 0) {
        memory_free(resolving);
        struct error e;
        error_set(&e, ERR_IO, "cannot look up the name: %s", uv_strerror(rc));
        failed(c, &e);
        return;
    }
    c->handles++;
    c->reach.resolving = resolving;
}

static void try_server(struct hato_client *c)
{
    const struct server *s = &c->reach.servers[c->reach.server];
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address;
    if (c->reach.began_ms == 0)
        c->reach.began_ms = client_now();
    int port = (int)strtol(s->port, NULL, 10);
    if (uv_ip4_addr(s->host, port, &address.v4) == 0 || uv_ip6_addr(s->host, port, &address.v6) == 0)
        try_address(c, &address.any);
    else
        resolve(c, s);
}

/* Half of the pause is left to chance, so that the clients of a broker that was restarted don't all come at once. */
static void pause_and_try(struct hato_client *c)
{
    struct reach *r = &c->reach;
    uint64_t max = c->options.reconnect_max_ms;
    if (r->pause_ms < c->options.reconnect_min_ms)
        r->pause_ms = c->options.reconnect_min_ms;
    if (r->pause_ms > max)
        r->pause_ms = max;
    uint64_t pause = r->pause_ms / 2 + random_below(&c->random, r->pause_ms / 2 + 1);
    r->pause_ms = r->pause_ms * 2;
    uv_update_time(c->loop);
    uv_timer_start(&r->timer, on_pause_over, pause, 0);
}

static void cannot_reach(struct error *e, const struct server *s, const struct error *why)
{
    bool v6 = strchr(s->host, ':') != NULL;
    error_set(e, why->code, "cannot reach %s%s%s:%s: %s", v6 ? "[" : "", s->host, v6 ? "]" : "", s->port, why->message);
}

/* The next address, the next server, or, after the last of them, the first again after a pause. */
static void failed(struct hato_client *c, const struct error *why)
{
    struct reach *r = &c->reach;
    cannot_reach(&r->error, &r->servers[r->server], why);
    if (r->address != NULL && r->address->ai_next != NULL) {
        r->address = r->address->ai_next;
        try_address(c, r->address->ai_addr);
        return;
    }
    forget_addresses(r);
    r->server = (r->server + 1) % r->server_count;
    if (++r->tried < r->server_count) {
        try_server(c);
        return;
    }
    r->tried = 0;
    pause_and_try(c);
    client_unreachable(c, &r->error);
}

void reach_lost(struct hato_client *c, bool connected, const struct error *why)
{
    uv_timer_stop(&c->reach.timer);
    if (!connected) {
        failed(c, why);
        return;
    }
    error_set(&c->reach.error, why->code, "the connection was lost: %s", why->message);
    pause_and_try(c);
}

void reach_begin(struct hato_client *c)
{
    uv_timer_start(&c->reach.timer, on_pause_over, 0, 0);
}

void reach_reached(struct hato_client *c)
{
    uv_timer_stop(&c->reach.timer);
    forget_addresses(&c->reach);
    c->reach.tried = 0;
    c->reach.undecided = 0;
    c->reach.undecided_below = 0;
    c->reach.ever = true;
    c->reach.error = (struct error){0};
}

void reach_answered(struct hato_client *c, bool decided)
{
    c->reach.pause_ms = 0;
    if (decided)
        c->reach.undecided = 0;
}

/* The pauses go on growing: when all nodes answer so, they are not asked in turn without one. */
bool reach_undecided(struct hato_client *c, uint64_t id, struct error *e)
{
    struct reach *r = &c->reach;
    if (id < r->undecided_below)
        return false;
    r->undecided_below = c->next_id;
    if (++r->undecided < UNDECIDED_MAX || r->server_count == 1)
        return false;
    const struct server *s = &r->servers[r->server];
    error_set(e, ERR_NOT_LEADER, "%s:%s answered %d times in a row that it can't decide; the next server is tried",
              s->host, s->port, UNDECIDED_MAX);
    r->server = (r->server + 1) % r->server_count;
    return true;
}

void reach_never(const struct hato_client *c, uint64_t waited_ms, struct error *e)
{
    const struct reach *r = &c->reach;
    if (r->error.code != ERR_OK) { /* of the last try; the one under way may go on for long */
        error_set(e, r->error.code, "%s; it was tried for %llu ms", r->error.message, (unsigned long long)waited_ms);
        return;
    }
    struct error why;
    error_set(&why, ERR_IO, "no answer within %llu ms", (unsigned long long)waited_ms);
    cannot_reach(e, &r->servers[r->server], &why);
}

void reach_end(struct hato_client *c)
{
    uv_timer_stop(&c->reach.timer);
    forget_addresses(&c->reach);
    if (c->reach.resolving == NULL)
        return;
    c->reach.resolving->abandoned = true;
    uv_cancel((uv_req_t *)&c->reach.resolving->uv);
    c->reach.resolving = NULL;
}
