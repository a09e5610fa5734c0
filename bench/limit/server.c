#include "bench/limit/server.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"
#include "bench/limit/frame.h"

struct server_connection {
    uv_tcp_t tcp;
    struct server *server;
    struct server_connection *next;
    struct buffer part; /* the beginning of a frame whose end has not come */
    uint64_t numbered;  /* frames acked */
    uint32_t filling;   /* frames in server->filling */
    uint32_t writing;   /* frames with the writer */
    bool closing;
};

struct server_ack {
    uv_write_t request;
    struct buffer data;
};

static void server_acked(uv_write_t *request, int status)
{
    (void)status; /* a connection that is gone is noticed by its read */
    struct server_ack *ack = (struct server_ack *)request;
    buffer_close(&ack->data);
    memory_free(ack);
}

static void server_connection_free(uv_handle_t *handle)
{
    struct server_connection *c = handle->data;
    struct server_connection **at = &c->server->connections;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    c->server->connection_count--;
    buffer_close(&c->part);
    memory_free(c);
}

static void server_connection_close(struct server_connection *c)
{
    if (!c->closing)
        uv_close((uv_handle_t *)&c->tcp, server_connection_free);
    c->closing = true;
}

static void server_ack(struct server_connection *c, uint32_t frames)
{
    struct server_ack *ack = memory_zero(1, sizeof(*ack));
    buffer_reserve(&ack->data, (size_t)frames * FRAME_ACK_BYTES);
    for (uint32_t i = 0; i < frames; i++) {
        buffer_u32(&ack->data, FRAME_ACK_BYTES - FRAME_HEAD_BYTES);
        buffer_u64(&ack->data, ++c->numbered);
    }
    uv_buf_t buf = uv_buf_init((char *)ack->data.data, (unsigned)ack->data.len);
    if (uv_write(&ack->request, (uv_stream_t *)&c->tcp, &buf, 1, server_acked) != 0) {
        server_acked(&ack->request, 0);
        server_connection_close(c);
    }
}

static void server_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct server_connection *c = handle->data;
    *buf = uv_buf_init(c->server->read, SERVER_READ_BYTES);
}

static void server_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);

static void server_pause(struct server *s, bool paused)
{
    if (s->paused == paused)
        return;
    s->paused = paused;
    for (struct server_connection *c = s->connections; c != NULL; c = c->next) {
        if (paused)
            uv_read_stop((uv_stream_t *)&c->tcp);
        else if (!c->closing)
            uv_read_start((uv_stream_t *)&c->tcp, server_alloc, server_read);
    }
}

/* Hands what has arrived to the writer if that is idle. */
static void server_flush(struct server *s)
{
    if (s->filling.len == 0 || !writer_offer(&s->writer, &s->filling))
        return;
    for (struct server_connection *c = s->connections; c != NULL; c = c->next) {
        c->writing = c->filling;
        c->filling = 0;
    }
}

static void server_woken(uv_async_t *wake)
{
    struct server *s = wake->data;
    if (!writer_done(&s->writer))
        return;
    /* The disk first: it is busy again while the acks are made. */
    for (struct server_connection *c = s->connections, *next; c != NULL; c = next) {
        next = c->next;
        uint32_t frames = c->writing;
        c->writing = 0;
        if (frames > 0 && !c->closing)
            server_ack(c, frames);
    }
    server_flush(s);
    server_pause(s, s->filling.len > SERVER_FILLING_MAX);
}

/* Counts the whole frames at the beginning of `data`; false when one is too large. */
static bool server_cut(struct bytes data, size_t *whole, uint32_t *frames)
{
    struct cursor c = cursor_open(data);
    *whole = 0;
    *frames = 0;
    while (cursor_left(&c) >= FRAME_HEAD_BYTES) {
        uint32_t len = cursor_u32(&c);
        if (len > FRAME_BODY_MAX)
            return false;
        if (len > cursor_left(&c))
            break;
        cursor_take(&c, len);
        *whole += FRAME_HEAD_BYTES + len;
        ++*frames;
    }
    return true;
}

static bool server_take(struct server_connection *c, struct bytes data)
{
    size_t whole = 0;
    uint32_t frames = 0;
    if (c->part.len > 0) {
        buffer_put(&c->part, data.data, data.len);
        data = buffer_view(&c->part);
    }
    if (!server_cut(data, &whole, &frames))
        return false;
    buffer_put(&c->server->filling, data.data, whole);
    c->filling += frames;
    size_t rest = data.len - whole;
    if (data.data == c->part.data) {
        memmove(c->part.data, c->part.data + whole, rest);
        c->part.len = rest;
    } else {
        buffer_put(&c->part, data.data + whole, rest);
    }
    return true;
}

static void server_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct server_connection *c = stream->data;
    if (n < 0 || !server_take(c, bytes_of(buf->base, (size_t)n))) {
        server_connection_close(c);
        return;
    }
    server_flush(c->server);
    server_pause(c->server, c->server->filling.len > SERVER_FILLING_MAX);
}

static void server_connected(uv_stream_t *listener, int status)
{
    struct server *s = listener->data;
    if (status != 0)
        return;
    struct server_connection *c = memory_zero(1, sizeof(*c));
    uv_tcp_init(s->loop, &c->tcp);
    c->tcp.data = c;
    c->server = s;
    c->next = s->connections;
    s->connections = c;
    s->connection_count++;
    if (uv_accept(listener, (uv_stream_t *)&c->tcp) != 0 || s->connection_count > SERVER_CONNECTIONS_MAX) {
        server_connection_close(c);
        return;
    }
    uv_tcp_nodelay(&c->tcp, 1);
    if (!s->paused)
        uv_read_start((uv_stream_t *)&c->tcp, server_alloc, server_read);
}

static void server_wake(void *context)
{
    struct server *s = context;
    uv_async_send(&s->wake);
}

static int server_listen(struct server *s, const char *address, struct error *e)
{
    char host[64] = "";
    const char *colon = strrchr(address, ':');
    size_t len = colon != NULL ? (size_t)(colon - address) : sizeof(host);
    if (len >= sizeof(host))
        return error_field(e, ERR_INVALID, "listen", "\"%s\" is no ADDRESS:PORT", address);
    memcpy(host, address, len);
    struct sockaddr_in at;
    int rc = uv_ip4_addr(host, atoi(colon + 1), &at);
    if (rc == 0)
        rc = uv_tcp_bind(&s->listener, (const struct sockaddr *)&at, 0);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&s->listener, 128, server_connected);
    return rc == 0 ? ERR_OK : error_field(e, ERR_IO, "listen", "cannot listen on %s: %s", address, uv_strerror(rc));
}

int server_open(struct server *s, uv_loop_t *loop, const char *address, const char *file, uint64_t file_bytes,
                bool fsync, struct error *e)
{
    memset(s, 0, sizeof(*s));
    s->loop = loop;
    uv_tcp_init(loop, &s->listener);
    uv_async_init(loop, &s->wake, server_woken);
    s->listener.data = s;
    s->wake.data = s;
    int rc = writer_open(&s->writer, file, file_bytes, fsync, server_wake, s, e);
    if (rc == ERR_OK) { /* who connects finds the file ready */
        rc = server_listen(s, address, e);
        if (rc != ERR_OK)
            writer_close(&s->writer);
    }
    if (rc != ERR_OK) {
        uv_close((uv_handle_t *)&s->listener, NULL);
        uv_close((uv_handle_t *)&s->wake, NULL);
    }
    return rc;
}

int server_port(const struct server *s)
{
    struct sockaddr_in at;
    int size = sizeof(at);
    int rc = uv_tcp_getsockname(&s->listener, (struct sockaddr *)&at, &size);
    ASSERT(rc == 0);
    return ntohs(at.sin_port);
}

void server_close(struct server *s)
{
    writer_close(&s->writer);
    uv_close((uv_handle_t *)&s->listener, NULL);
    uv_close((uv_handle_t *)&s->wake, NULL);
    for (struct server_connection *c = s->connections; c != NULL; c = c->next)
        server_connection_close(c);
}

void server_free(struct server *s)
{
    buffer_close(&s->filling);
}
