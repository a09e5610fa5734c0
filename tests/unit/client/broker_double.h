/* A broker that does as it is told: it speaks the frames of the native protocol on a loop of the test's, greets by itself,
 * and gives every request to the test, which answers, keeps silent, sends garbage or hangs up. One test program, one
 * thread: nothing happens but what the test runs. */
#ifndef HATO_TESTS_CLIENT_BROKER_DOUBLE_H
#define HATO_TESTS_CLIENT_BROKER_DOUBLE_H

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/bytes.h"
#include "base/memory.h"
#include "hato.h"
#include "proto/client.pb-c.h"

struct double_broker;

struct double_peer {
    uv_tcp_t tcp;
    struct double_broker *broker;
    struct buffer in;
    unsigned number; /* connections are counted from 1 */
    bool greeted;
    bool gone;
    struct double_peer *next;
};

typedef void (*double_request)(struct double_broker *b, struct double_peer *p, const Hato__Request *request);

struct double_broker {
    uv_loop_t *loop;
    uv_tcp_t listener;
    int port;
    char address[32];
    double_request on_request;
    void *user;
    struct double_peer *peers;
    struct double_peer *last; /* the newest */
    unsigned connections;
    unsigned requests;        /* of all kinds, Hello left out */
    uint64_t max_frame_bytes; /* told in the greeting */
    const char *refuse_hello; /* message of an error in place of the greeting */
    const char *greet_with;   /* 8 bytes in place of the preamble */
    bool mute;                /* greets nobody */
    bool listening;
};

static inline void double_on_written(uv_write_t *w, int status)
{
    (void)status;
    free(w->data);
    free(w);
}

static inline void double_raw(struct double_peer *p, const void *data, size_t len)
{
    if (p->gone)
        return;
    uv_write_t *w = malloc(sizeof *w);
    w->data = memcpy(malloc(len), data, len);
    uv_buf_t buf = uv_buf_init(w->data, (unsigned)len);
    ck_assert_int_eq(uv_write(w, (uv_stream_t *)&p->tcp, &buf, 1, double_on_written), 0);
}

static inline void double_reply(struct double_peer *p, const Hato__Reply *reply)
{
    struct buffer b = {0};
    size_t len = hato__reply__get_packed_size(reply);
    buffer_u32(&b, (uint32_t)len);
    hato__reply__pack(reply, buffer_reserve(&b, len));
    b.len += len;
    double_raw(p, b.data, b.len);
    buffer_close(&b);
}

static inline void double_on_peer_closed(uv_handle_t *h)
{
    struct double_peer *p = h->data;
    buffer_close(&p->in);
    free(p);
}

static inline void double_hang_up(struct double_peer *p)
{
    if (p->gone)
        return;
    p->gone = true;
    struct double_peer **at = &p->broker->peers;
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    if (p->broker->last == p)
        p->broker->last = NULL;
    uv_close((uv_handle_t *)&p->tcp, double_on_peer_closed);
}

/* From now on nothing is heard of this connection, as when a machine on the way is gone: what comes is lost, nothing is sent,
 * and nobody hangs up. */
static inline void double_vanish(struct double_peer *p)
{
    uv_read_stop((uv_stream_t *)&p->tcp);
}

static inline void double_greet(struct double_peer *p, const Hato__Request *request)
{
    struct double_broker *b = p->broker;
    ck_assert_int_eq(request->op_case, HATO__REQUEST__OP_HELLO);
    Hato__Reply reply = HATO__REPLY__INIT;
    reply.id = request->id;
    Hato__HelloReply hello = HATO__HELLO_REPLY__INIT;
    Hato__Error error = HATO__ERROR__INIT;
    if (b->refuse_hello != NULL) {
        error.code = HATO__CODE__FORBIDDEN;
        error.message = (char *)b->refuse_hello;
        reply.error = &error;
    } else {
        hello.broker = (char *)"double";
        hello.max_frame_bytes = b->max_frame_bytes;
        hello.account = (char *)"000000000000";
        hello.region = (char *)"us-east-1";
        reply.op_case = HATO__REPLY__OP_HELLO;
        reply.hello = &hello;
    }
    double_reply(p, &reply);
}

static inline bool double_take(struct double_peer *p)
{
    struct cursor in = cursor_open(buffer_view(&p->in));
    if (!p->greeted) {
        if (p->in.len < 12)
            return false;
        ck_assert_int_eq(memcmp(cursor_take(&in, 8).data, "HATO\1\0\0\0", 8), 0);
    }
    if (cursor_left(&in) < 4)
        return false;
    struct bytes frame = cursor_take(&in, cursor_u32(&in));
    if (in.failed)
        return false;
    Hato__Request *request = hato__request__unpack(NULL, frame.len, frame.data);
    ck_assert_ptr_nonnull(request);
    ck_assert_uint_ne(request->id, 0);
    size_t used = p->in.len - cursor_left(&in);
    memmove(p->in.data, p->in.data + used, p->in.len - used);
    p->in.len -= used;
    if (!p->greeted && p->broker->mute) {
        p->greeted = true;
    } else if (!p->greeted) {
        p->greeted = true;
        double_raw(p, p->broker->greet_with != NULL ? p->broker->greet_with : "HATO\1\0\0\0", 8);
        double_greet(p, request);
    } else {
        p->broker->requests++;
        p->broker->on_request(p->broker, p, request);
    }
    hato__request__free_unpacked(request, NULL);
    return true;
}

static inline void double_on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    struct double_peer *p = h->data;
    *buf = uv_buf_init((char *)buffer_reserve(&p->in, suggested), (unsigned)suggested);
}

static inline void double_on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    (void)buf;
    struct double_peer *p = s->data;
    if (n < 0) {
        double_hang_up(p);
        return;
    }
    p->in.len += (size_t)n;
    while (!p->gone && double_take(p)) {
    }
}

static inline void double_on_connection(uv_stream_t *s, int status)
{
    ck_assert_int_eq(status, 0);
    struct double_broker *b = s->data;
    struct double_peer *p = calloc(1, sizeof *p);
    p->broker = b;
    p->number = ++b->connections;
    uv_tcp_init(b->loop, &p->tcp);
    p->tcp.data = p;
    ck_assert_int_eq(uv_accept(s, (uv_stream_t *)&p->tcp), 0);
    p->next = b->peers;
    b->peers = p;
    b->last = p;
    uv_read_start((uv_stream_t *)&p->tcp, double_on_alloc, double_on_read);
}

/* `port` 0: any. */
static inline void double_listen(struct double_broker *b, int port)
{
    struct sockaddr_in address;
    uv_ip4_addr("127.0.0.1", port, &address);
    uv_tcp_init(b->loop, &b->listener);
    b->listener.data = b;
    ck_assert_int_eq(uv_tcp_bind(&b->listener, (const struct sockaddr *)&address, 0), 0);
    ck_assert_int_eq(uv_listen((uv_stream_t *)&b->listener, 128, double_on_connection), 0);
    int len = sizeof address;
    uv_tcp_getsockname(&b->listener, (struct sockaddr *)&address, &len);
    b->port = ntohs(address.sin_port);
    snprintf(b->address, sizeof b->address, "127.0.0.1:%d", b->port);
    b->listening = true;
}

static inline void double_open(struct double_broker *b, uv_loop_t *loop, double_request on_request, void *user)
{
    *b = (struct double_broker){.loop = loop, .on_request = on_request, .user = user};
    double_listen(b, 0);
}

static inline void double_stop_listening(struct double_broker *b)
{
    if (b->listening)
        uv_close((uv_handle_t *)&b->listener, NULL);
    b->listening = false;
}

static inline void double_close(struct double_broker *b)
{
    double_stop_listening(b);
    while (b->peers != NULL)
        double_hang_up(b->peers);
}

/* ---------------------------------------------------------------- answers */

static inline void double_empty(struct double_peer *p, uint64_t id)
{
    Hato__Reply reply = HATO__REPLY__INIT;
    Hato__Empty empty = HATO__EMPTY__INIT;
    reply.id = id;
    reply.op_case = HATO__REPLY__OP_EMPTY;
    reply.empty = &empty;
    double_reply(p, &reply);
}

static inline void double_refuse(struct double_peer *p, uint64_t id, int code, const char *field, const char *message)
{
    Hato__Reply reply = HATO__REPLY__INIT;
    Hato__Error error = HATO__ERROR__INIT;
    reply.id = id;
    error.code = (Hato__Code)code;
    error.field = (char *)field;
    error.message = (char *)message;
    reply.error = &error;
    double_reply(p, &reply);
}

/* Stores all, with ids "m<sequence>", but those whose body is "refuse". */
static inline void double_stored(struct double_peer *p, uint64_t id, const Hato__Send *send)
{
    Hato__SendResult *results = calloc(send->n_messages, sizeof *results);
    Hato__SendResult **pointers = calloc(send->n_messages, sizeof(void *));
    char(*ids)[24] = calloc(send->n_messages, sizeof *ids);
    Hato__Error error = HATO__ERROR__INIT;
    error.code = HATO__CODE__LIMIT;
    error.message = (char *)"the queue is full";
    for (size_t i = 0; i < send->n_messages; i++) {
        results[i] = (Hato__SendResult)HATO__SEND_RESULT__INIT;
        pointers[i] = &results[i];
        ProtobufCBinaryData body = send->messages[i]->body;
        if (body.len == 6 && memcmp(body.data, "refuse", 6) == 0) {
            results[i].error = &error;
            continue;
        }
        snprintf(ids[i], sizeof *ids, "m%llu", (unsigned long long)(send->sequence + i));
        results[i].message_id = ids[i];
        results[i].sequence = send->sequence + i;
    }
    Hato__SendReply body = HATO__SEND_REPLY__INIT;
    body.n_results = send->n_messages;
    body.results = pointers;
    Hato__Reply reply = HATO__REPLY__INIT;
    reply.id = id;
    reply.op_case = HATO__REPLY__OP_SEND;
    reply.send = &body;
    double_reply(p, &reply);
    free(results);
    free(pointers);
    free(ids);
}

static inline void double_settled(struct double_peer *p, uint64_t id, Hato__Code *codes, size_t count)
{
    Hato__SettleReply settle = HATO__SETTLE_REPLY__INIT;
    settle.codes = codes;
    settle.n_codes = count;
    Hato__Reply reply = HATO__REPLY__INIT;
    reply.id = id;
    reply.op_case = HATO__REPLY__OP_SETTLE;
    reply.settle = &settle;
    double_reply(p, &reply);
}

/* `count` deliveries, numbered from `first`: body "body N", receipt "receipt N". */
static inline void double_deliver(struct double_peer *p, uint64_t id, bool stream, unsigned first, unsigned count)
{
    Hato__Delivery *deliveries = calloc(count, sizeof *deliveries);
    Hato__Delivery **pointers = calloc(count, sizeof(void *));
    Hato__Message *messages = calloc(count, sizeof *messages);
    char(*texts)[3][32] = calloc(count, sizeof *texts);
    for (unsigned i = 0; i < count; i++) {
        deliveries[i] = (Hato__Delivery)HATO__DELIVERY__INIT;
        messages[i] = (Hato__Message)HATO__MESSAGE__INIT;
        pointers[i] = &deliveries[i];
        size_t receipt = (size_t)snprintf(texts[i][0], sizeof texts[i][0], "receipt %u", first + i);
        size_t body = (size_t)snprintf(texts[i][1], sizeof texts[i][1], "body %u", first + i);
        snprintf(texts[i][2], sizeof texts[i][2], "m%u", first + i);
        deliveries[i].receipt = (ProtobufCBinaryData){receipt, (uint8_t *)texts[i][0]};
        deliveries[i].message_id = texts[i][2];
        deliveries[i].receive_count = 1;
        deliveries[i].message = &messages[i];
        messages[i].body = (ProtobufCBinaryData){body, (uint8_t *)texts[i][1]};
    }
    Hato__ReceiveReply receive = HATO__RECEIVE_REPLY__INIT;
    receive.n_deliveries = count;
    receive.deliveries = pointers;
    Hato__Reply reply = HATO__REPLY__INIT;
    reply.id = id;
    reply.op_case = stream ? HATO__REPLY__OP_STREAM_DELIVERY : HATO__REPLY__OP_RECEIVE;
    reply.receive = &receive;
    double_reply(p, &reply);
    free(deliveries);
    free(pointers);
    free(messages);
    free(texts);
}

static inline void double_stream_end(struct double_peer *p, uint64_t id, int code)
{
    Hato__StreamEnd end = HATO__STREAM_END__INIT;
    Hato__Error error = HATO__ERROR__INIT;
    error.code = (Hato__Code)code;
    error.message = (char *)"over";
    end.error = code != 0 ? &error : NULL;
    Hato__Reply reply = HATO__REPLY__INIT;
    reply.id = id;
    reply.op_case = HATO__REPLY__OP_STREAM_END;
    reply.stream_end = &end;
    double_reply(p, &reply);
}

#endif
