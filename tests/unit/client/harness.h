/* A client and a broker's double on one loop, and what came of each call. */
#ifndef HATO_TESTS_CLIENT_HARNESS_H
#define HATO_TESTS_CLIENT_HARNESS_H

#include "base/utf8.h"
#include "client/broker_double.h"

enum { HARNESS_SEEN_MAX = 4096, HARNESS_TIMEOUT_S = 900 };

struct outcome {
    unsigned times; /* the callback came */
    int code;
    char message[256];
    char field[64];
    char id[32]; /* of the first message sent or received */
    size_t sent;
    size_t deliveries;
    size_t codes;
    int code_of[8];
    uint64_t purged;
};

/* What the broker was asked, in the order it came. */
struct seen {
    int op;
    unsigned connection;
    uint64_t id;
    size_t items;
    uint64_t producer;
    uint64_t sequence;
    uint64_t settled_below;
    uint64_t number; /* credit of a stream, delay of a nack, visibility of an extend */
    bool uncounted;
    size_t error_len; /* of a nack */
    bool error_is_text;
    char queue[32];
    char first[64]; /* body or receipt of the first item */
};

struct harness {
    uv_loop_t loop;
    struct double_broker broker;
    struct hato_client *client;
    struct seen seen[HARNESS_SEEN_MAX];
    unsigned seen_count;
    bool closed;
    unsigned connected;
    unsigned lost;
    int lost_code;
    char lost_message[256];
};

#define RUN_UNTIL(h, condition)                                                                                        \
    while (!(condition))                                                                                               \
    uv_run(&(h)->loop, UV_RUN_ONCE)

static inline void copy_text(char *to, size_t size, const void *from, size_t len)
{
    len = len < size - 1 ? len : size - 1;
    if (len > 0)
        memcpy(to, from, len);
    to[len] = '\0';
}

static inline void see_binary(struct seen *s, size_t n, const ProtobufCBinaryData *first)
{
    s->items = n;
    if (n > 0)
        copy_text(s->first, sizeof s->first, first->data, first->len);
}

static inline void see_fields(struct seen *s, const Hato__Request *r)
{
    const char *queue = "";
    if (r->op_case == HATO__REQUEST__OP_SEND) {
        queue = r->send->queue;
        see_binary(s, r->send->n_messages, &r->send->messages[0]->body);
        s->producer = r->send->producer;
        s->sequence = r->send->sequence;
        s->settled_below = r->send->settled_below;
    } else if (r->op_case == HATO__REQUEST__OP_ACK) {
        queue = r->ack->queue;
        see_binary(s, r->ack->n_receipts, r->ack->receipts);
    } else if (r->op_case == HATO__REQUEST__OP_NACK) {
        queue = r->nack->queue;
        see_binary(s, r->nack->n_receipts, r->nack->receipts);
        s->number = r->nack->delay_ms;
        s->uncounted = r->nack->uncounted;
        s->error_len = strlen(r->nack->error);
        s->error_is_text = utf8_valid(bytes_text(r->nack->error));
    } else if (r->op_case == HATO__REQUEST__OP_EXTEND) {
        queue = r->extend->queue;
        see_binary(s, r->extend->n_receipts, r->extend->receipts);
        s->number = r->extend->visibility_ms;
    } else if (r->op_case == HATO__REQUEST__OP_RECEIVE) {
        queue = r->receive->queue;
        s->items = r->receive->max_messages;
    } else if (r->op_case == HATO__REQUEST__OP_STREAM_OPEN) {
        queue = r->stream_open->queue;
        s->number = r->stream_open->credit;
    } else if (r->op_case == HATO__REQUEST__OP_STREAM_CREDIT) {
        s->number = r->stream_credit->credit;
        s->id = r->stream_credit->stream;
    } else if (r->op_case == HATO__REQUEST__OP_STREAM_CLOSE) {
        s->id = r->stream_close->stream;
    }
    copy_text(s->queue, sizeof s->queue, queue, strlen(queue));
}

static inline struct seen *see(struct harness *h, const struct double_peer *p, const Hato__Request *r)
{
    ck_assert_uint_lt(h->seen_count, HARNESS_SEEN_MAX);
    struct seen *s = &h->seen[h->seen_count++];
    s->op = (int)r->op_case;
    s->connection = p->number;
    s->id = r->id;
    see_fields(s, r);
    return s;
}

static inline void on_connection_change(void *user, bool connected, const struct hato_error *error)
{
    struct harness *h = user;
    h->connected += connected;
    if (connected)
        return;
    h->lost++;
    h->lost_code = error->code;
    copy_text(h->lost_message, sizeof h->lost_message, error->message, strlen(error->message));
}

static inline uint64_t patience(uint64_t given_ms)
{
    return given_ms != 0 ? given_ms : HARNESS_TIMEOUT_S * UINT64_C(1000);
}

/* `options` may be NULL; server, pauses and the connection's callback are filled in. What the test says nothing of may last as
 * long as the machine likes. */
static inline struct harness *harness_open(double_request on_request, const struct hato_options *options)
{
    struct harness *h = calloc(1, sizeof *h);
    ck_assert_int_eq(uv_loop_init(&h->loop), 0);
    double_open(&h->broker, &h->loop, on_request, h);
    struct hato_options o = options != NULL ? *options : (struct hato_options){0};
    o.server = o.server != NULL ? o.server : h->broker.address;
    o.timeout_ms = patience(o.timeout_ms);
    o.connect_timeout_ms = patience(o.connect_timeout_ms);
    o.silence_max_ms = patience(o.silence_max_ms);
    o.reconnect_min_ms = 1;
    o.reconnect_max_ms = 4;
    o.on_connection = on_connection_change;
    o.user = h;
    h->client = hato_client_create(&h->loop, &o, NULL, 0);
    ck_assert_ptr_nonnull(h->client);
    return h;
}

static inline void harness_closed(void *user)
{
    ((struct harness *)user)->closed = true;
}

static inline void harness_close(struct harness *h)
{
    hato_client_close(h->client, harness_closed, h);
    RUN_UNTIL(h, h->closed);
    double_close(&h->broker);
    uv_run(&h->loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&h->loop), 0);
    free(h);
}

static inline void record(void *user, const struct hato_reply *reply)
{
    struct outcome *o = user;
    o->times++;
    o->code = reply->error.code;
    copy_text(o->message, sizeof o->message, reply->error.message, strlen(reply->error.message));
    copy_text(o->field, sizeof o->field, reply->error.field, strlen(reply->error.field));
    o->sent = reply->sent_count;
    o->deliveries = reply->delivery_count;
    o->codes = reply->code_count;
    o->purged = reply->purged;
    for (size_t i = 0; i < reply->code_count && i < 8; i++)
        o->code_of[i] = reply->codes[i];
    const char *id = reply->sent_count > 0       ? reply->sent[0].message_id
                     : reply->delivery_count > 0 ? reply->deliveries[0].message_id
                                                 : "";
    copy_text(o->id, sizeof o->id, id, strlen(id));
}

static inline struct hato_call *send_text(struct harness *h, const char *queue, const char *body, struct outcome *o)
{
    struct hato_message m = {.body = body, .body_len = strlen(body)};
    return hato_send(h->client, queue, &m, 1, record, o);
}

static inline struct hato_bytes receipt_of(const char *text)
{
    return (struct hato_bytes){text, strlen(text)};
}

/* Answers sends, settlements and all else as a broker does that has no trouble. */
static inline void answer_well(struct double_broker *b, struct double_peer *p, const Hato__Request *r)
{
    see(b->user, p, r);
    switch (r->op_case) {
    case HATO__REQUEST__OP_SEND:
        double_stored(p, r->id, r->send);
        break;
    case HATO__REQUEST__OP_ACK:
    case HATO__REQUEST__OP_NACK:
    case HATO__REQUEST__OP_EXTEND:
        double_settled(p, r->id, NULL, 0);
        break;
    case HATO__REQUEST__OP_RECEIVE:
        double_deliver(p, r->id, false, 1, 1);
        break;
    case HATO__REQUEST__OP_STREAM_CREDIT:
        break;
    case HATO__REQUEST__OP_STREAM_CLOSE:
        double_stream_end(p, r->stream_close->stream, 0);
        break;
    default:
        double_empty(p, r->id);
    }
}

/* Sees and keeps silent. */
static inline void answer_nothing(struct double_broker *b, struct double_peer *p, const Hato__Request *r)
{
    see(b->user, p, r);
}

/* Whoever includes this is one suite of one case. */
static inline int harness_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
