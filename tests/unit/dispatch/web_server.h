/* A small HTTP server on the test's own loop, which answers as it is told: also wrongly, slowly, or not at all. */
#ifndef HATO_TEST_WEB_SERVER_H
#define HATO_TEST_WEB_SERVER_H

#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <uv.h>

#include "base/bytes.h"
#include "base/container.h"
#include "base/list.h"

struct web_connection;

struct web_request {
    struct web_connection *connection;
    char line[256];
    char headers[16384]; /* all lines, each ended by \r\n */
    struct bytes body;
};

struct web_server {
    uv_loop_t *loop;
    uv_tcp_t tcp;
    int port;
    bool listening;
    void (*answer)(struct web_server *s, struct web_request *r);
    void *ctx;
    struct list connections;
    uint32_t accepted;
    uint32_t requests;
    uint32_t at_once; /* requests not answered yet */
    uint32_t at_once_max;
};

struct web_connection {
    struct list_link link;
    uv_tcp_t tcp;
    struct web_server *server;
    struct buffer in;
    bool busy; /* a request is with the answerer */
    bool closing;
    uv_timer_t timer; /* for answers that take time */
    bool timer_used;
    int closes;
    void (*later)(struct web_connection *c);
    char pending[512];
    size_t pending_len;
    size_t pending_at;
};

struct web_write {
    uv_write_t req;
    struct web_connection *connection;
    char data[];
};

static inline void web_read(struct web_connection *c);

static inline void web_gone(uv_handle_t *h)
{
    struct web_connection *c = h->data;
    if (--c->closes > 0)
        return;
    buffer_close(&c->in);
    free(c);
}

static inline void web_finish(struct web_connection *c)
{
    if (c->closing)
        return;
    c->closing = true;
    if (c->busy)
        c->server->at_once--;
    list_remove(&c->server->connections, &c->link);
    c->closes = 2;
    uv_close((uv_handle_t *)&c->timer, web_gone);
    uv_close((uv_handle_t *)&c->tcp, web_gone);
}

/* RST instead of FIN. */
static inline void web_reset(struct web_connection *c)
{
    if (c->closing)
        return;
    c->closing = true;
    if (c->busy)
        c->server->at_once--;
    list_remove(&c->server->connections, &c->link);
    c->closes = 2;
    uv_close((uv_handle_t *)&c->timer, web_gone);
    uv_tcp_close_reset(&c->tcp, web_gone);
}

static inline void web_written(uv_write_t *req, int status)
{
    (void)status;
    free(CONTAINER_OF(req, struct web_write, req));
}

static inline void web_put(struct web_connection *c, const void *data, size_t len)
{
    if (c->closing)
        return;
    struct web_write *w = malloc(sizeof *w + len);
    memcpy(w->data, data, len);
    uv_buf_t buf = uv_buf_init(w->data, (unsigned)len);
    ck_assert_int_eq(uv_write(&w->req, (uv_stream_t *)&c->tcp, &buf, 1, web_written), 0);
}

/* The request is answered; the next one may come. */
static inline void web_done(struct web_connection *c)
{
    if (c->closing || !c->busy)
        return;
    c->busy = false;
    c->server->at_once--;
    web_read(c);
}

/* `headers` are whole lines, or "". */
static inline void web_reply(struct web_request *r, int status, const char *headers, const char *body)
{
    struct buffer out = {0};
    buffer_printf(&out, "HTTP/1.1 %d Whatever\r\nContent-Length: %zu\r\n%s\r\n%s", status, strlen(body), headers, body);
    web_put(r->connection, out.data, out.len);
    buffer_close(&out);
    web_done(r->connection);
}

static inline void web_fired(uv_timer_t *t)
{
    struct web_connection *c = t->data;
    c->later(c);
}

/* `later` runs after `ms`, unless the connection is gone. */
static inline void web_later(struct web_connection *c, uint64_t ms, void (*later)(struct web_connection *c))
{
    c->later = later;
    uv_timer_start(&c->timer, web_fired, ms, 0);
}

static inline const char *web_header(const struct web_request *r, const char *name, char *out, size_t size)
{
    size_t len = strlen(name);
    for (const char *at = r->headers; *at != '\0'; at = strstr(at, "\r\n") + 2) {
        if (strncasecmp(at, name, len) != 0 || at[len] != ':')
            continue;
        const char *value = at + len + 1;
        while (*value == ' ')
            value++;
        snprintf(out, size, "%.*s", (int)(strstr(value, "\r\n") - value), value);
        return out;
    }
    return NULL;
}

static inline void web_read(struct web_connection *c)
{
    if (c->busy || c->closing || c->in.len == 0)
        return;
    struct web_request r = {.connection = c};
    buffer_u8(&c->in, 0);
    c->in.len--;
    char *head = (char *)c->in.data;
    char *end = strstr(head, "\r\n\r\n");
    if (end == NULL)
        return;
    char *first = strstr(head, "\r\n");
    size_t header_len = (size_t)(end + 2 - (first + 2));
    ck_assert_uint_lt(header_len, sizeof r.headers);
    snprintf(r.line, sizeof r.line, "%.*s", (int)(first - head), head);
    memcpy(r.headers, first + 2, header_len);
    char text[64];
    size_t len = web_header(&r, "content-length", text, sizeof text) != NULL ? strtoul(text, NULL, 10) : 0;
    size_t total = (size_t)(end + 4 - head) + len;
    if (c->in.len < total)
        return;
    uint8_t *body = malloc(len + 1);
    memcpy(body, end + 4, len);
    body[len] = 0;
    r.body = bytes_of(body, len);
    memmove(c->in.data, c->in.data + total, c->in.len - total);
    c->in.len -= total;
    c->busy = true;
    struct web_server *s = c->server;
    s->requests++;
    if (++s->at_once > s->at_once_max)
        s->at_once_max = s->at_once;
    s->answer(s, &r);
    free(body);
}

static inline void web_alloc(uv_handle_t *h, size_t size, uv_buf_t *buf)
{
    struct web_connection *c = h->data;
    (void)size;
    *buf = uv_buf_init((char *)buffer_reserve(&c->in, 65536 + 1), 65536);
}

static inline void web_arrived(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    (void)buf;
    struct web_connection *c = stream->data;
    if (n < 0) {
        web_finish(c);
        return;
    }
    c->in.len += (size_t)n;
    web_read(c);
}

static inline void web_accept(uv_stream_t *listener, int status)
{
    ck_assert_int_eq(status, 0);
    struct web_server *s = listener->data;
    struct web_connection *c = calloc(1, sizeof *c);
    c->server = s;
    uv_tcp_init(s->loop, &c->tcp);
    uv_timer_init(s->loop, &c->timer);
    c->tcp.data = c;
    c->timer.data = c;
    ck_assert_int_eq(uv_accept(listener, (uv_stream_t *)&c->tcp), 0);
    list_append(&s->connections, &c->link);
    s->accepted++;
    uv_tcp_nodelay(&c->tcp, 1);
    uv_read_start((uv_stream_t *)&c->tcp, web_alloc, web_arrived);
}

/* Port 0: any; a stopped server may listen on its old one again. */
static inline void web_listen(struct web_server *s)
{
    struct sockaddr_in a;
    uv_ip4_addr("127.0.0.1", s->port, &a);
    uv_tcp_init(s->loop, &s->tcp);
    s->tcp.data = s;
    ck_assert_int_eq(uv_tcp_bind(&s->tcp, (struct sockaddr *)&a, 0), 0);
    ck_assert_int_eq(uv_listen((uv_stream_t *)&s->tcp, 1024, web_accept), 0);
    int len = sizeof a;
    uv_tcp_getsockname(&s->tcp, (struct sockaddr *)&a, &len);
    s->port = ntohs(a.sin_port);
    s->listening = true;
}

static inline void web_open(struct web_server *s, uv_loop_t *loop,
                            void (*answer)(struct web_server *s, struct web_request *r))
{
    *s = (struct web_server){.loop = loop, .answer = answer};
    list_init(&s->connections);
    web_listen(s);
}

/* Stops listening and drops all connections: the process is gone. */
static inline void web_stop(struct web_server *s)
{
    if (s->listening)
        uv_close((uv_handle_t *)&s->tcp, NULL);
    s->listening = false;
    while (!list_empty(&s->connections))
        web_finish(CONTAINER_OF(list_first(&s->connections), struct web_connection, link));
}

#endif
