#include "library/link.h"

#include "base/assert.h"
#include "base/memory.h"
#include "library/answer.h"
#include "library/decode.h"
#include "library/encode.h"
#include "library/pulse.h"
#include "library/request.h"

enum {
    PREAMBLE_BYTES = 8,
    PROTOCOL_MAJOR = 1,
    PROTOCOL_MINOR = 0,
    LENGTH_BYTES = 4,
    READ_BYTES = 256 * 1024,
    IN_KEEP = 4 * READ_BYTES, /* a buffer that grew beyond this is given back once it is empty */
    HELLO_ID = LINK_FIRST_ID - 1,
    BUFFERS_MAX = 256,
};

enum link_state { LINK_CONNECTING, LINK_GREETING, LINK_HELLO, LINK_READY, LINK_GONE };

/*  CONNECTING --connected, preamble and Hello written--> GREETING --preamble--> HELLO --HelloReply--> READY
 *  any of them --link_close--> GONE, freed when libuv has closed the socket */
struct link {
    struct hato_client *client; /* also after link_close: it waits for this link's end */
    enum link_state state;
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_write_t greeting;
    struct buffer greeting_bytes;
    struct buffer in;
    struct pulse pulse; /* of a link that is ready */
};

static void fail(struct link *l, enum error_code code, const char *what)
{
    struct error e;
    error_set(&e, code, "%s", what);
    link_fail(l, &e);
}

bool link_ready(const struct link *l)
{
    return l->state == LINK_READY;
}

/* ---------------------------------------------------------------- reading */

static bool take_preamble(struct link *l, struct cursor *in, struct error *e)
{
    struct bytes letters = cursor_take(in, 4);
    uint16_t major = cursor_u16(in);
    cursor_u16(in);
    if (memcmp(letters.data, "HATO", 4) != 0) {
        error_set(e, ERR_PROTOCOL, "what listens there is not a Hato broker's native port (9325 by default)");
        return false;
    }
    if (major != PROTOCOL_MAJOR) {
        error_set(e, ERR_VERSION, "the broker speaks version %u of the protocol, this library version %d", major,
                  PROTOCOL_MAJOR);
        return false;
    }
    l->state = LINK_HELLO;
    return true;
}

static void learn_limits(struct link *l, const Hato__HelloReply *hello)
{
    uint64_t max = hello->max_frame_bytes;
    l->client->max_frame_bytes = max == 0 ? CLIENT_FRAME_DEFAULT : max > CLIENT_FRAME_MAX ? CLIENT_FRAME_MAX : max;
}

static void learn_scope(struct hato_client *c, const Hato__HelloReply *hello)
{
    struct buffer scope = {0};
    buffer_printf(&scope, "%s:%s:", hello->account, hello->region);
    memory_free(c->scope);
    c->scope = hello->account[0] != '\0' ? memory_string((const char *)scope.data, scope.len) : NULL;
    buffer_close(&scope);
}

static bool take_hello(struct link *l, struct bytes frame, struct error *e)
{
    struct hato_client *c = l->client;
    Hato__Reply *reply = decode_unpack(&c->arena, frame);
    bool ok = reply != NULL && reply->error == NULL && reply->id == HELLO_ID && reply->op_case == HATO__REPLY__OP_HELLO;
    if (reply != NULL && reply->error != NULL) {
        struct hato_error told = decode_error(reply->error);
        error_set(e, told.code < ERR_CODE_MAX ? (enum error_code)told.code : ERR_PROTOCOL, "the broker refused: %s",
                  told.message);
    } else if (!ok) {
        error_set(e, ERR_PROTOCOL, "the broker's greeting is malformed");
    } else {
        learn_limits(l, reply->hello);
        learn_scope(c, reply->hello);
    }
    arena_reset(&c->arena);
    if (!ok)
        return false;
    l->state = LINK_READY;
    pulse_begin(&l->pulse, c, &l->tcp);
    client_connected(c);
    return true;
}

/* One frame, when a whole one is there: true with *more set. False: the connection is to be given up, `e` says why. */
static bool take_frame(struct link *l, struct cursor *in, bool *more, struct error *e)
{
    *more = false;
    if (cursor_left(in) < LENGTH_BYTES)
        return true;
    struct cursor peek = *in;
    uint32_t len = cursor_u32(&peek);
    uint64_t max = l->client->max_frame_bytes;
    if (len == 0 || len > max) {
        error_set(e, ERR_PROTOCOL, "the broker sent a frame of %u bytes; the limit is %llu", len,
                  (unsigned long long)max);
        return false;
    }
    if (cursor_left(&peek) < len) {
        buffer_reserve(&l->in, LENGTH_BYTES + len - cursor_left(in));
        return true;
    }
    struct bytes frame = cursor_take(&peek, len);
    *in = peek;
    *more = true;
    return l->state == LINK_READY ? answer_frame(l->client, frame, e) : take_hello(l, frame, e);
}

/* Handles all that is there, and moves the rest to the buffer's beginning. */
static bool take_all(struct link *l, struct error *e)
{
    struct cursor in = cursor_open(buffer_view(&l->in));
    if (l->state == LINK_GREETING) {
        if (cursor_left(&in) < PREAMBLE_BYTES)
            return true;
        if (!take_preamble(l, &in, e))
            return false;
    }
    size_t used = l->in.len - cursor_left(&in);
    for (bool more = true; more;) {
        in = cursor_open(bytes_of(l->in.data + used, l->in.len - used)); /* making room may have moved it */
        if (!take_frame(l, &in, &more, e))
            return false;
        used = l->in.len - cursor_left(&in);
        if (!more)
            break;
    }
    memmove(l->in.data, l->in.data + used, l->in.len - used);
    l->in.len -= used;
    if (l->in.len == 0 && l->in.capacity > IN_KEEP)
        buffer_close(&l->in);
    return true;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct link *l = handle->data;
    uint8_t *room = buffer_reserve(&l->in, READ_BYTES);
    *buf = uv_buf_init((char *)room, (unsigned)(l->in.capacity - l->in.len));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    (void)buf;
    struct link *l = stream->data;
    struct error e;
    if (n > 0) {
        pulse_heard(&l->pulse);
        l->in.len += (size_t)n;
        if (!take_all(l, &e))
            link_fail(l, &e);
    } else if (n == UV_EOF) {
        fail(l, ERR_IO, "the broker closed the connection");
    } else if (n < 0) {
        fail(l, ERR_IO, uv_strerror((int)n));
    }
}

/* ---------------------------------------------------------------- connecting */

static void put_greeting(struct link *l)
{
    const struct hato_client *c = l->client;
    struct buffer *b = &l->greeting_bytes;
    buffer_put(b, "HATO", 4);
    buffer_u16(b, PROTOCOL_MAJOR);
    buffer_u16(b, PROTOCOL_MINOR);
    Hato__Hello hello = HATO__HELLO__INIT;
    hello.client = c->name;
    hello.account = c->account;
    hello.region = c->region;
    Hato__Request message = HATO__REQUEST__INIT;
    message.id = HELLO_ID;
    message.op_case = HATO__REQUEST__OP_HELLO;
    message.hello = &hello;
    encode_frame(b, &message);
}

static void on_greeting_written(uv_write_t *write, int status)
{
    struct link *l = write->handle->data;
    if (status < 0 && l->state != LINK_GONE)
        fail(l, ERR_IO, uv_strerror(status));
}

static void on_connect(uv_connect_t *connect, int status)
{
    struct link *l = connect->handle->data;
    if (l->state == LINK_GONE)
        return;
    if (status < 0) {
        fail(l, ERR_IO, uv_strerror(status));
        return;
    }
    l->state = LINK_GREETING;
    uv_tcp_nodelay(&l->tcp, 1);
    put_greeting(l);
    uv_buf_t buf = uv_buf_init((char *)l->greeting_bytes.data, (unsigned)l->greeting_bytes.len);
    int rc = uv_write(&l->greeting, (uv_stream_t *)&l->tcp, &buf, 1, on_greeting_written);
    if (rc == 0)
        rc = uv_read_start((uv_stream_t *)&l->tcp, on_alloc, on_read);
    if (rc != 0)
        fail(l, ERR_IO, uv_strerror(rc));
}

static void on_closed(uv_handle_t *handle)
{
    struct link *l = handle->data;
    struct hato_client *c = l->client;
    buffer_close(&l->greeting_bytes);
    buffer_close(&l->in);
    pulse_close(&l->pulse);
    memory_free(l);
    client_handle_gone(c);
}

struct link *link_create(struct hato_client *c, const struct sockaddr *address, struct error *e)
{
    struct link *l = memory_zero(1, sizeof *l);
    int rc = uv_tcp_init(c->loop, &l->tcp);
    if (rc != 0) {
        memory_free(l);
        error_set(e, ERR_IO, "%s", uv_strerror(rc));
        return NULL;
    }
    l->client = c;
    l->tcp.data = l;
    c->handles++;
    rc = uv_tcp_connect(&l->connect, &l->tcp, address, on_connect);
    if (rc != 0) {
        error_set(e, ERR_IO, "%s", uv_strerror(rc));
        link_close(l);
        return NULL;
    }
    return l;
}

/* ---------------------------------------------------------------- writing and closing */

static void on_written(uv_write_t *uv, int status)
{
    struct write *w = CONTAINER_OF(uv, struct write, uv);
    struct hato_client *c = w->client;
    for (unsigned i = 0; i < w->count; i++)
        request_written(c, w->requests[i]);
    bool current = c->link == w->link;
    struct link *l = w->link;
    memory_free(w);
    if (!current)
        return;
    if (status < 0)
        fail(l, ERR_IO, uv_strerror(status));
    else
        client_written(c);
}

void link_write(struct link *l, struct write *w)
{
    uv_buf_t bufs[BUFFERS_MAX];
    ASSERT(w->count <= BUFFERS_MAX);
    for (unsigned i = 0; i < w->count; i++) {
        const struct request *r = w->requests[i];
        bufs[i] = uv_buf_init((char *)r->frame.data + r->start, (unsigned)(r->frame.len - r->start));
    }
    w->link = l;
    pulse_asked(&l->pulse);
    int rc = uv_write(&w->uv, (uv_stream_t *)&l->tcp, bufs, w->count, on_written);
    ASSERT(rc == 0); /* it only refuses what is not a writable socket */
}

void link_look(struct link *l, uint64_t now, uint64_t *earliest)
{
    if (l->state != LINK_READY)
        return;
    struct error e;
    if (pulse_look(&l->pulse, now, earliest, &e) != ERR_OK)
        link_fail(l, &e);
}

void link_close(struct link *l)
{
    if (l->state == LINK_GONE)
        return;
    l->state = LINK_GONE;
    uv_close((uv_handle_t *)&l->tcp, on_closed);
}

void link_fail(struct link *l, const struct error *why)
{
    struct hato_client *c = l->client;
    ASSERT(c->link == l);
    client_lost(c, why);
    link_close(l);
}
