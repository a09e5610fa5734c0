#include "net/http.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/memory.h"

/* Offsets into `text`, because it moves while it grows. */
struct span {
    size_t at, len;
};

struct http_connection {
    struct stream stream;
    struct http_server *server;
    struct list_link link;
    struct alarm alarm;
    llhttp_t parser;
    struct buffer text; /* target, then header names and values */
    struct buffer body;
    struct span target;
    struct span names[HTTP_HEADERS_MAX];
    struct span values[HTTP_HEADERS_MAX];
    size_t headers;
    bool in_value;
    int refusal; /* status to refuse with */
    bool busy;   /* a request is with the owner */
    bool begun;  /* the first byte of a request came */
    bool keep;
    struct http_request request;
};

struct bytes http_header(const struct http_request *r, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < r->header_count; i++) {
        const struct http_header *h = &r->headers[i];
        if (h->name.len == len && strncasecmp((const char *)h->name.data, name, len) == 0)
            return h->value;
    }
    return (struct bytes){(const uint8_t *)"", 0};
}

/* ---------------------------------------------------------------- what llhttp finds */

static struct http_connection *of(llhttp_t *p)
{
    return p->data;
}

static int refuse(struct http_connection *c, int status)
{
    c->refusal = status;
    return HPE_USER;
}

static int on_begin(llhttp_t *p)
{
    struct http_connection *c = of(p);
    buffer_clear(&c->text);
    buffer_clear(&c->body);
    c->target = (struct span){0};
    c->headers = 0;
    c->in_value = false;
    return 0;
}

static void put(struct http_connection *c, struct span *s, const char *at, size_t len)
{
    if (s->len == 0)
        s->at = c->text.len;
    buffer_put(&c->text, at, len);
    s->len += len;
}

static int on_url(llhttp_t *p, const char *at, size_t len)
{
    struct http_connection *c = of(p);
    if (c->target.len + len > HTTP_LINE_MAX)
        return refuse(c, 414);
    put(c, &c->target, at, len);
    return 0;
}

static bool too_many_bytes(const struct http_connection *c, size_t len)
{
    return c->text.len + len > HTTP_LINE_MAX + HTTP_HEADER_BYTES_MAX;
}

static int on_name(llhttp_t *p, const char *at, size_t len)
{
    struct http_connection *c = of(p);
    if (c->in_value || c->headers == 0) {
        if (c->headers == HTTP_HEADERS_MAX)
            return refuse(c, 431);
        c->names[c->headers] = c->values[c->headers] = (struct span){0};
        c->headers++;
        c->in_value = false;
    }
    if (too_many_bytes(c, len))
        return refuse(c, 431);
    put(c, &c->names[c->headers - 1], at, len);
    return 0;
}

static int on_value(llhttp_t *p, const char *at, size_t len)
{
    struct http_connection *c = of(p);
    ASSERT(c->headers > 0);
    c->in_value = true;
    if (too_many_bytes(c, len))
        return refuse(c, 431);
    put(c, &c->values[c->headers - 1], at, len);
    return 0;
}

/* An empty value is told by this alone. */
static int on_value_end(llhttp_t *p)
{
    of(p)->in_value = true;
    return 0;
}

static int on_headers(llhttp_t *p)
{
    struct http_connection *c = of(p);
    if ((p->flags & F_CONTENT_LENGTH) != 0 && p->content_length > c->server->body_max)
        return refuse(c, 413);
    p->upgrade = 0; /* an offer, not taken: what follows is HTTP/1.1 as before */
    return 0;
}

static int on_body(llhttp_t *p, const char *at, size_t len)
{
    struct http_connection *c = of(p);
    if (c->body.len + len > c->server->body_max)
        return refuse(c, 413);
    buffer_put(&c->body, at, len);
    return 0;
}

static int on_complete(llhttp_t *p)
{
    of(p)->keep = llhttp_should_keep_alive(p) != 0;
    return HPE_PAUSED; /* one at a time: the next is read after this one's answer */
}

static const llhttp_settings_t settings = {
    .on_message_begin = on_begin,
    .on_url = on_url,
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_end,
    .on_headers_complete = on_headers,
    .on_body = on_body,
    .on_message_complete = on_complete,
};

/* ---------------------------------------------------------------- replies */

static const char *reason(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 408:
        return "Request Timeout";
    case 413:
        return "Content Too Large";
    case 414:
        return "URI Too Long";
    case 431:
        return "Request Header Fields Too Large";
    case 503:
        return "Service Unavailable";
    default:
        return "Status";
    }
}

static void put_reply(struct http_connection *c, int status, const char *type, struct bytes body, bool keep)
{
    struct buffer *out = stream_out(&c->stream);
    buffer_printf(out, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s\r\n", status, reason(status),
                  type, body.len, keep ? "" : "Connection: close\r\n");
    bool head = c->request.method != NULL && strcmp(c->request.method, "HEAD") == 0;
    if (!head)
        buffer_put(out, body.data, body.len);
    stream_written(&c->stream);
}

static void on_idle(struct alarm *a)
{
    stream_close(&CONTAINER_OF(a, struct http_connection, alarm)->stream);
}

/* A peer that does not read its last answer is not waited for. */
static void close_soon(struct http_connection *c)
{
    alarm_set(c->server->alarms, &c->alarm, HTTP_CLOSE_MS, on_idle);
    stream_close_soon(&c->stream);
}

static void on_slow(struct alarm *a)
{
    struct http_connection *c = CONTAINER_OF(a, struct http_connection, alarm);
    c->request.method = NULL;
    put_reply(c, 408, "text/plain; charset=utf-8", bytes_text("the request took too long to arrive\n"), false);
    close_soon(c);
}

void http_reply(struct http_connection *c, int status, const char *type, struct bytes body)
{
    ASSERT(c->busy);
    c->busy = false;
    bool keep = c->keep && !c->server->closing;
    put_reply(c, status, type, body, keep);
    buffer_close(&c->body);
    if (!keep) {
        close_soon(c);
        return;
    }
    alarm_set(c->server->alarms, &c->alarm, HTTP_IDLE_MS, on_idle);
    list_remove(&c->server->connections, &c->link);
    list_append(&c->server->connections, &c->link);
    stream_resume(&c->stream);
}

static void refuse_request(struct http_connection *c, int status, const char *why)
{
    char text[256];
    int len = snprintf(text, sizeof text, "%s: %s\n", reason(status), why);
    c->request.method = NULL;
    put_reply(c, status, "text/plain; charset=utf-8", bytes_of(text, (size_t)len), false);
    close_soon(c);
}

/* ---------------------------------------------------------------- requests */

static struct bytes view(const struct http_connection *c, struct span s)
{
    return (struct bytes){c->text.data + s.at, s.len};
}

/* llhttp leaves what may follow a value on its line. */
static struct bytes without_space_behind(struct bytes b)
{
    while (b.len > 0 && (b.data[b.len - 1] == ' ' || b.data[b.len - 1] == '\t'))
        b.len--;
    return b;
}

static void start_request(struct http_connection *c)
{
    struct http_request *r = &c->request;
    struct bytes target = view(c, c->target);
    const uint8_t *mark = target.len > 0 ? memchr(target.data, '?', target.len) : NULL;
    r->method = llhttp_method_name((llhttp_method_t)c->parser.method);
    r->path = mark != NULL ? bytes_of(target.data, (size_t)(mark - target.data)) : target;
    r->query = mark != NULL ? bytes_of(mark + 1, target.len - r->path.len - 1) : bytes_of(target.data, 0);
    r->body = buffer_view(&c->body);
    r->header_count = c->headers;
    for (size_t i = 0; i < c->headers; i++)
        r->headers[i] = (struct http_header){view(c, c->names[i]), without_space_behind(view(c, c->values[i]))};
    c->busy = true;
    c->begun = false;
    alarm_clear(c->server->alarms, &c->alarm);
    stream_pause(&c->stream);
    c->server->request(c, r);
}

static size_t on_data(struct stream *stream, struct bytes in)
{
    struct http_connection *c = CONTAINER_OF(stream, struct http_connection, stream);
    size_t used = 0;
    while (used < in.len && !c->busy && !stream->closing && !stream->closed_when_flushed) {
        if (!c->begun) {
            c->begun = true; /* once: a byte now and then must not buy more time */
            alarm_set(c->server->alarms, &c->alarm, HTTP_REQUEST_MS, on_slow);
        }
        const char *from = (const char *)in.data + used;
        enum llhttp_errno rc = llhttp_execute(&c->parser, from, in.len - used);
        if (rc == HPE_OK)
            return in.len;
        used = (size_t)(llhttp_get_error_pos(&c->parser) - (const char *)in.data);
        if (rc == HPE_PAUSED) {
            llhttp_resume(&c->parser);
            start_request(c);
        } else if (c->refusal != 0) {
            refuse_request(c, c->refusal, "a limit of this server is exceeded");
        } else {
            refuse_request(c, 400, llhttp_errno_name(rc));
        }
    }
    return used;
}

static void on_closed(struct stream *stream, int why)
{
    struct http_connection *c = CONTAINER_OF(stream, struct http_connection, stream);
    struct http_server *s = c->server;
    (void)why;
    alarm_clear(s->alarms, &c->alarm);
    if (c->busy && s->gone != NULL)
        s->gone(c);
    list_remove(&s->connections, &c->link);
    buffer_close(&c->text);
    buffer_close(&c->body);
    memory_free(c);
    if (s->closing && list_empty(&s->connections) && s->closed != NULL) {
        void (*closed)(struct http_server *) = s->closed;
        s->closed = NULL;
        closed(s);
    }
}

static const struct stream_ops ops = {.data = on_data, .closed = on_closed};

/* ---------------------------------------------------------------- life */

void http_server_open(struct http_server *s, struct loop *loop, struct alarms *alarms)
{
    s->loop = loop;
    s->alarms = alarms;
    list_init(&s->connections);
}

/* Those who say nothing, or begin and don't end, must not keep others out. `last` is the new one. */
static void make_room(struct http_server *s, struct http_connection *last)
{
    struct http_connection *c = last;
    for (struct list_link *l = list_first(&s->connections); l != NULL; l = list_next(&s->connections, l)) {
        c = CONTAINER_OF(l, struct http_connection, link);
        if (!c->busy && !c->stream.closing && stream_unsent(&c->stream) == 0)
            break;
    }
    stream_close(&c->stream);
    list_remove(&s->connections, &c->link); /* out of the way of the next look */
    list_append(&s->connections, &c->link);
}

void http_server_accept(struct http_server *s, struct listener *l)
{
    struct http_connection *c = memory_zero(1, sizeof *c);
    c->server = s;
    llhttp_init(&c->parser, HTTP_REQUEST, &settings);
    c->parser.data = c;
    list_append(&s->connections, &c->link);
    stream_accept(&c->stream, s->loop, (uv_stream_t *)&l->tcp, &ops);
    alarm_set(s->alarms, &c->alarm, HTTP_REQUEST_MS, on_idle);
    if (s->closing)
        stream_close(&c->stream);
    else if (list_count(&s->connections) > s->connections_max)
        make_room(s, c);
}

void http_server_close(struct http_server *s, void (*closed)(struct http_server *s))
{
    s->closing = true;
    if (list_empty(&s->connections)) {
        closed(s);
        return;
    }
    s->closed = closed;
    for (struct list_link *l = list_first(&s->connections); l != NULL; l = list_next(&s->connections, l))
        stream_close(&CONTAINER_OF(l, struct http_connection, link)->stream);
}

size_t http_server_backlog(const struct http_server *s)
{
    size_t sum = 0;
    for (struct list_link *l = list_first(&s->connections); l != NULL; l = list_next(&s->connections, l))
        sum += stream_backlog(&CONTAINER_OF(l, struct http_connection, link)->stream);
    return sum;
}

struct http_server *http_connection_server(struct http_connection *c)
{
    return c->server;
}
