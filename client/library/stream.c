#include "library/stream.h"

#include "base/assert.h"
#include "base/memory.h"
#include "library/batch.h"
#include "library/call.h"
#include "library/decode.h"
#include "library/encode.h"
#include "library/link.h"
#include "library/operation.h"

enum { CREDIT_MAX = 100000, CREDIT_DEFAULT = 1000, BATCH_DEFAULT = 100, RETRY_MIN_MS = 100, RETRY_MAX_MS = 5000 };

static void mark(struct hato_stream *s)
{
    if (!list_linked(&s->dirty_link))
        list_append(&s->client->dirty_streams, &s->dirty_link);
    client_wake(s->client);
}

static void end(struct hato_stream *s, enum error_code code, const char *field, const char *message)
{
    s->ended = true;
    error_field(&s->error, code, field, "%s", message);
    mark(s);
}

static int check(struct hato_client *c, const char *queue, struct hato_stream_options *o, struct error *e)
{
    if (c->closing)
        return error_set(e, ERR_CLOSED, "the client is closed");
    if (o->credit > CREDIT_MAX)
        return error_field(e, ERR_INVALID, "credit", "credit is %u; it must be 1 to %d", o->credit, CREDIT_MAX);
    if (o->max_batch > CLIENT_MESSAGES_MAX)
        return error_field(e, ERR_INVALID, "max_batch", "max_batch is %u; it must be 1 to %d", o->max_batch,
                           CLIENT_MESSAGES_MAX);
    o->credit = o->credit != 0 ? o->credit : CREDIT_DEFAULT;
    o->max_batch = o->max_batch != 0 ? o->max_batch : BATCH_DEFAULT;
    return operation_check_name("queue", queue, e);
}

struct hato_stream *hato_stream_open(struct hato_client *c, const char *queue,
                                     const struct hato_stream_options *options, hato_delivery_cb on_delivery,
                                     hato_stream_end_cb on_end, void *user)
{
    ASSERT(on_delivery != NULL && on_end != NULL);
    struct hato_stream *s = memory_zero(1, sizeof *s);
    s->client = c;
    s->options = options != NULL ? *options : (struct hato_stream_options){0};
    s->on_delivery = on_delivery;
    s->on_end = on_end;
    s->user = user;
    s->retry_ms = RETRY_MIN_MS;
    s->due = UINT64_MAX;
    list_append(&c->streams, &s->link);
    struct error e;
    if (check(c, queue, &s->options, &e) != ERR_OK) {
        end(s, e.code, e.field, e.message);
        return s;
    }
    s->queue = memory_string(queue, strlen(queue));
    s->more = s->options.credit;
    mark(s);
    return s;
}

void hato_stream_credit(struct hato_stream *s, uint32_t more)
{
    s->more += more;
    if (s->more + s->credit > CREDIT_MAX)
        s->more = CREDIT_MAX - s->credit;
    mark(s);
}

void hato_stream_close(struct hato_stream *s)
{
    if (s->closing)
        return;
    s->closing = true;
    s->due = client_now() + s->client->options.timeout_ms;
    client_arm(s->client, s->due);
    mark(s);
}

/* ---------------------------------------------------------------- the end of a turn */

static struct request *queue_request(struct hato_client *c, Hato__Request *message)
{
    batch_seal_all(c);
    struct request *r = request_create(c, operation_of(message->op_case));
    request_pack(r, c, message);
    request_queue(c, r);
    return r;
}

static void open_now(struct hato_stream *s)
{
    Hato__StreamOpen open = HATO__STREAM_OPEN__INIT;
    open.queue = s->queue;
    open.credit = (uint32_t)(s->credit + s->more);
    open.max_batch = s->options.max_batch;
    if (s->options.has_visibility) {
        open.visibility_case = HATO__STREAM_OPEN__VISIBILITY_VISIBILITY_MS;
        open.visibility_ms = s->options.visibility_ms;
    }
    Hato__Request message = HATO__REQUEST__INIT;
    message.op_case = HATO__REQUEST__OP_STREAM_OPEN;
    message.stream_open = &open;
    s->request = queue_request(s->client, &message);
    s->request->stream = s;
    s->credit = open.credit;
    s->more = 0;
}

static void tell_credit(struct hato_stream *s)
{
    Hato__StreamCredit credit = HATO__STREAM_CREDIT__INIT;
    credit.stream = s->request->id;
    credit.credit = (uint32_t)s->more;
    Hato__Request message = HATO__REQUEST__INIT;
    message.op_case = HATO__REQUEST__OP_STREAM_CREDIT;
    message.stream_credit = &credit;
    queue_request(s->client, &message);
    s->credit += s->more;
    s->more = 0;
}

static void tell_close(struct hato_stream *s)
{
    Hato__StreamClose close = HATO__STREAM_CLOSE__INIT;
    close.stream = s->request->id;
    Hato__Request message = HATO__REQUEST__INIT;
    message.op_case = HATO__REQUEST__OP_STREAM_CLOSE;
    message.stream_close = &close;
    queue_request(s->client, &message);
    s->close_told = true;
}

static void finish(struct hato_stream *s)
{
    struct hato_client *c = s->client;
    if (s->request != NULL) {
        s->request->stream = NULL;
        request_drop(c, s->request);
    }
    if (list_linked(&s->dirty_link))
        list_remove(&c->dirty_streams, &s->dirty_link);
    list_remove(&c->streams, &s->link);
    struct hato_error told = {(int)s->error.code, s->error.field, s->error.message};
    c->in_callbacks++;
    s->on_end(s->user, &told);
    c->in_callbacks--;
    memory_free(s->queue);
    memory_free(s);
}

static void turn(struct hato_stream *s)
{
    struct hato_client *c = s->client;
    if (s->closing && s->request == NULL)
        s->ended = true;
    if (s->ended) {
        finish(s);
        return;
    }
    if (c->link == NULL || !link_ready(c->link) || (!s->closing && s->due != UINT64_MAX))
        return;
    if (s->closing) {
        if (!s->close_told)
            tell_close(s);
    } else if (s->request == NULL && s->credit + s->more > 0) {
        open_now(s);
    } else if (s->request != NULL && s->more > 0) {
        tell_credit(s);
    }
}

void stream_turn(struct hato_client *c)
{
    for (size_t left = list_count(&c->dirty_streams); left > 0; left--) {
        struct list_link *l = list_take(&c->dirty_streams);
        if (l != NULL)
            turn(CONTAINER_OF(l, struct hato_stream, dirty_link));
    }
}

/* ---------------------------------------------------------------- what the broker sends */

static struct hato_call *nack_part(struct hato_client *c, const char *queue, const Hato__ReceiveReply *reply, size_t at)
{
    struct hato_bytes receipts[CLIENT_MESSAGES_MAX];
    size_t count = 0;
    for (; count < CLIENT_MESSAGES_MAX && at + count < reply->n_deliveries; count++) {
        ProtobufCBinaryData receipt = reply->deliveries[at + count]->receipt;
        receipts[count] = (struct hato_bytes){receipt.data, receipt.len};
    }
    struct hato_nack_options options = {.uncounted = true};
    return hato_nack(c, queue, receipts, count, &options, hato_ignore, NULL);
}

void stream_give_back(struct hato_client *c, const char *queue, const Hato__ReceiveReply *reply)
{
    for (size_t at = 0; at < reply->n_deliveries && !c->closing; at += CLIENT_MESSAGES_MAX)
        nack_part(c, queue, reply, at);
}

void stream_deliver(struct hato_stream *s, const Hato__ReceiveReply *reply)
{
    if (s->closing) {
        stream_give_back(s->client, s->queue, reply);
        return;
    }
    struct hato_client *c = s->client;
    s->retry_ms = RETRY_MIN_MS;
    s->credit -= reply->n_deliveries < s->credit ? reply->n_deliveries : s->credit;
    if (reply->n_deliveries == 0)
        return;
    c->in_callbacks++;
    s->on_delivery(s->user, s, decode_deliveries(&c->arena, c->scope, reply), reply->n_deliveries);
    c->in_callbacks--;
}

static void drop_request(struct hato_stream *s)
{
    if (s->request == NULL)
        return;
    s->request->stream = NULL;
    request_drop(s->client, s->request);
    s->request = NULL;
}

void stream_over(struct hato_stream *s, const Hato__Error *why)
{
    drop_request(s);
    struct hato_error e = decode_error(why);
    if (s->closing) {
        mark(s);
    } else if (e.code != HATO_OK && !hato_code_retryable(e.code)) {
        end(s, e.code > 0 && e.code < ERR_CODE_MAX ? (enum error_code)e.code : ERR_INTERNAL, e.field, e.message);
    } else {
        s->due = client_now() + s->retry_ms;
        s->retry_ms = s->retry_ms * 2 < RETRY_MAX_MS ? s->retry_ms * 2 : RETRY_MAX_MS;
        client_arm(s->client, s->due);
    }
}

void stream_lost_all(struct hato_client *c)
{
    for (struct list_link *l = list_first(&c->streams); l != NULL; l = list_next(&c->streams, l)) {
        struct hato_stream *s = CONTAINER_OF(l, struct hato_stream, link);
        drop_request(s);
        s->close_told = false;
        mark(s);
    }
}

void stream_wake_all(struct hato_client *c)
{
    for (struct list_link *l = list_first(&c->streams); l != NULL; l = list_next(&c->streams, l))
        mark(CONTAINER_OF(l, struct hato_stream, link));
}

void stream_expire_all(struct hato_client *c, uint64_t now, uint64_t *earliest)
{
    for (struct list_link *l = list_first(&c->streams); l != NULL; l = list_next(&c->streams, l)) {
        struct hato_stream *s = CONTAINER_OF(l, struct hato_stream, link);
        if (s->due > now) {
            *earliest = s->due < *earliest ? s->due : *earliest;
            continue;
        }
        s->due = UINT64_MAX;
        s->ended = s->ended || s->closing;
        mark(s);
    }
}

void stream_fail_all(struct hato_client *c, const struct error *why)
{
    for (size_t left = list_count(&c->streams); left > 0 && !list_empty(&c->streams); left--) {
        struct hato_stream *s = CONTAINER_OF(list_first(&c->streams), struct hato_stream, link);
        if (!s->ended && !s->closing)
            s->error = *why;
        finish(s);
    }
}
