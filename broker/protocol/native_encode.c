/* Replies with bodies are written field by field: the stored Message goes out as the bytes that came in. */
#include "base/wire.h"
#include "protocol/native_session.h"

enum {
    REPLY_ID = 1,
    RECEIVE_DELIVERIES = 1,
    DELIVERY_RECEIPT = 1,
    DELIVERY_MESSAGE_ID = 2,
    DELIVERY_SEQUENCE = 3,
    DELIVERY_SENT = 4,
    DELIVERY_RECEIVES = 5,
    DELIVERY_FIRST = 6,
    DELIVERY_UNTIL = 7,
    DELIVERY_MESSAGE = 8,
};

static size_t delivery_size(const struct delivered *d)
{
    return wire_bytes_field_size(DELIVERY_RECEIPT, IDENTITY_RECEIPT_LEN) +
           wire_bytes_field_size(DELIVERY_MESSAGE_ID, IDENTITY_MESSAGE_ID_LEN) +
           wire_varint_field_size(DELIVERY_SEQUENCE, d->is.sequence) +
           wire_varint_field_size(DELIVERY_SENT, d->is.sent_ms) +
           wire_varint_field_size(DELIVERY_RECEIVES, d->is.receive_count) +
           wire_varint_field_size(DELIVERY_FIRST, d->is.first_received_ms) +
           wire_varint_field_size(DELIVERY_UNTIL, d->is.lease_until_ms) +
           wire_bytes_field_size(DELIVERY_MESSAGE, d->message.len);
}

static void put_delivery(struct buffer *out, uint64_t secret, uint64_t queue, const struct delivered *d)
{
    struct receipt receipt = {.queue = queue, .sequence = d->is.sequence, .lease = d->is.lease};
    uint8_t token[IDENTITY_RECEIPT_LEN];
    char id[IDENTITY_MESSAGE_ID_LEN + 1];
    receipt_encode(token, &receipt, secret);
    identity_message_id(id, queue, d->is.sequence);
    wire_put_head(out, RECEIVE_DELIVERIES, delivery_size(d));
    wire_put_bytes(out, DELIVERY_RECEIPT, bytes_of(token, sizeof token));
    wire_put_bytes(out, DELIVERY_MESSAGE_ID, bytes_of(id, IDENTITY_MESSAGE_ID_LEN));
    wire_put_varint(out, DELIVERY_SEQUENCE, d->is.sequence);
    wire_put_varint(out, DELIVERY_SENT, d->is.sent_ms);
    wire_put_varint(out, DELIVERY_RECEIVES, d->is.receive_count);
    wire_put_varint(out, DELIVERY_FIRST, d->is.first_received_ms);
    wire_put_varint(out, DELIVERY_UNTIL, d->is.lease_until_ms);
    wire_put_head(out, DELIVERY_MESSAGE, d->message.len);
    buffer_put(out, d->message.data, d->message.len);
}

void encode_deliveries(struct buffer *out, uint64_t id, uint32_t reply_field, uint64_t secret, uint64_t queue,
                       const struct delivered *messages, size_t count)
{
    size_t inner = 0;
    for (size_t i = 0; i < count; i++)
        inner += wire_bytes_field_size(RECEIVE_DELIVERIES, delivery_size(&messages[i]));
    size_t total = wire_varint_field_size(REPLY_ID, id) + wire_bytes_field_size(reply_field, inner);
    buffer_reserve(out, total + 4);
    buffer_u32(out, (uint32_t)total);
    wire_put_varint(out, REPLY_ID, id);
    wire_put_head(out, reply_field, inner);
    for (size_t i = 0; i < count; i++)
        put_delivery(out, secret, queue, &messages[i]);
}

/* ---------------------------------------------------------------- descriptions */

static Hato__QueueCounts *counts_of(struct arena *a, const struct queue_counts *c, uint64_t oldest_ms)
{
    Hato__QueueCounts *out = arena_alloc(a, sizeof *out);
    hato__queue_counts__init(out);
    out->ready = c->ready;
    out->in_flight = c->in_flight;
    out->delayed = c->delayed;
    out->bytes = c->bytes;
    out->oldest_sent_ms = oldest_ms;
    out->moving = c->moving;
    out->halted_groups = c->halted_groups;
    out->sent_total = c->sent_total;
    out->received_total = c->received_total;
    out->acked_total = c->acked_total;
    out->dead_lettered_total = c->dead_lettered_total;
    out->dead_letters_refused_total = c->dead_letters_refused_total;
    out->expired_total = c->expired_total;
    return out;
}

static Hato__Histogram *waited_of(struct arena *a, const struct queue_waited *w)
{
    Hato__Histogram *out = arena_alloc(a, sizeof *out);
    hato__histogram__init(out);
    out->count = w->total;
    out->sum_ms = w->sum_ms;
    out->buckets = arena_alloc(a, WAITED_BUCKETS * sizeof *out->buckets);
    for (int i = 0; i < WAITED_BUCKETS; i++) {
        Hato__Histogram__Bucket *b = arena_alloc(a, sizeof *b);
        hato__histogram__bucket__init(b);
        b->upper_ms = i == WAITED_BUCKETS - 1 ? 0 : UINT64_C(1) << i;
        b->count = w->counts[i];
        out->buckets[out->n_buckets++] = b;
    }
    return out;
}

/* Names in settings are full inside the broker and short outside: a queue's relations are in its own account. */
static Hato__QueueSettings *settings_of(struct arena *a, const Hato__QueueSettings *from)
{
    Hato__QueueSettings *out = arena_copy(a, from, sizeof *from);
    if (out->dead_letter_queue != NULL)
        out->dead_letter_queue = (char *)(uintptr_t)short_name(out->dead_letter_queue);
    if (out->binding_function != NULL)
        out->binding_function = (char *)(uintptr_t)short_name(out->binding_function);
    /* The view is the machine's and may change before the reply is encoded elsewhere: a deep copy by encoding. */
    size_t len = hato__queue_settings__get_packed_size(out);
    uint8_t *bytes = arena_alloc(a, len > 0 ? len : 1);
    hato__queue_settings__pack(out, bytes);
    ProtobufCAllocator allocator = native_allocator(a);
    return hato__queue_settings__unpack(&allocator, len, bytes);
}

Hato__QueueInfo *encode_queue_info(struct arena *a, const struct machine *m, const struct queue_view *q,
                                   const struct queue_waited *waited)
{
    Hato__QueueInfo *out = arena_alloc(a, sizeof *out);
    hato__queue_info__init(out);
    struct identity who;
    struct error ignored;
    char arn[IDENTITY_ARN_MAX + 1] = "";
    if (identity_split_queue(bytes_text(q->name), "name", &who, &ignored) == ERR_OK)
        identity_arn(arn, &who);
    out->arn = arena_text(a, arn, strlen(arn));
    out->name = arena_text(a, short_name(q->name), strlen(short_name(q->name)));
    out->shard = identity_queue_shard(q->id);
    out->settings = settings_of(a, q->settings);
    out->counts = counts_of(a, &q->counts, machine_queue_oldest_ms(m, q->id));
    out->created_ms = q->created_ms;
    out->modified_ms = q->modified_ms;
    if (waited != NULL)
        out->waited = waited_of(a, waited);
    return out;
}

static void *allocate(void *ctx, size_t size)
{
    return arena_alloc(ctx, size);
}

static void release(void *ctx, void *p)
{
    (void)ctx, (void)p;
}

ProtobufCAllocator native_allocator(struct arena *a)
{
    return (ProtobufCAllocator){.alloc = allocate, .free = release, .allocator_data = a};
}
