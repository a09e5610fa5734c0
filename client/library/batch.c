#include "library/batch.h"

#include "base/assert.h"
#include "base/utf8.h"
#include "library/call.h"
#include "library/encode.h"
#include "library/operation.h"

/* Fields of proto/client.proto that are written here by hand: a batch grows message by message, and its head is put before
 * them when it is full. Those of Request are the values of Hato__Request__OpCase. */
enum {
    WIRE_VARINT = 0,
    WIRE_BYTES = 2,
    REQUEST_ID = 1,
    BATCH_QUEUE = 1, /* of Send, Ack, Nack, Extend */
    BATCH_ITEM = 2,  /* messages or receipts of these */
    SEND_PRODUCER = 3,
    SEND_SEQUENCE = 4,
    SEND_SETTLED_BELOW = 5,
    NACK_DELAY = 3,
    NACK_ERROR = 4,
    NACK_STATUS = 5,
    NACK_UNCOUNTED = 6,
    EXTEND_VISIBILITY = 3,
};

enum {
    HEAD_MAX = 80,         /* all of the head but the key: a length, four tags with numbers, two with lengths */
    KEY_OPERATION = 1,     /* the key's first byte tells the operation and is not sent */
    NACK_ERROR_MAX = 1024, /* the broker cuts there */
    RECEIPT_MAX = 1024,    /* the broker's limit is lower */
};

static void put_tag(struct buffer *b, unsigned field, unsigned type)
{
    buffer_varint(b, field << 3 | type);
}

static void put_number(struct buffer *b, unsigned field, uint64_t v)
{
    if (v == 0)
        return;
    put_tag(b, field, WIRE_VARINT);
    buffer_varint(b, v);
}

static void put_bytes(struct buffer *b, unsigned field, const void *data, size_t len)
{
    put_tag(b, field, WIRE_BYTES);
    buffer_varint(b, len);
    buffer_put(b, data, len);
}

/* ---------------------------------------------------------------- sealing */

static bool numbered(const struct hato_client *c, const struct request *r)
{
    return r->operation->request == HATO__REQUEST__OP_SEND && !c->options.send_unnumbered;
}

static uint64_t settled_below(const struct hato_client *c, const struct request *r)
{
    struct list_link *first = list_first(&c->unsettled);
    return first != NULL ? CONTAINER_OF(first, struct request, send_link)->sequence : r->sequence;
}

/* Numbers are given here, not when a message is added: those of one request must follow each other. */
static void put_numbers(struct hato_client *c, struct request *r, struct buffer *head)
{
    r->sequence = c->next_sequence;
    c->next_sequence += r->items;
    put_number(head, SEND_PRODUCER, c->options.producer);
    put_number(head, SEND_SEQUENCE, r->sequence);
    put_number(head, SEND_SETTLED_BELOW, settled_below(c, r));
}

static size_t varint_len(uint64_t v)
{
    size_t len = 1;
    for (; v >= 0x80; v >>= 7)
        len++;
    return len;
}

/* Puts the head right before the items, at the end of the room left for it. */
static void put_head(struct hato_client *c, struct request *r)
{
    size_t items = r->frame.len - r->start;
    struct bytes key = {r->key.data + KEY_OPERATION, r->key.len - KEY_OPERATION};
    struct buffer numbers = {0};
    if (numbered(c, r))
        put_numbers(c, r, &numbers);
    uint64_t inner = key.len + numbers.len + items;
    struct buffer outer = {0};
    put_number(&outer, REQUEST_ID, r->id);
    put_tag(&outer, (unsigned)r->operation->request, WIRE_BYTES);
    size_t outer_len = outer.len + varint_len(inner);
    struct buffer head = {0};
    buffer_u32(&head, (uint32_t)(outer_len + inner));
    buffer_put(&head, outer.data, outer.len);
    buffer_varint(&head, inner);
    buffer_put(&head, key.data, key.len);
    buffer_put(&head, numbers.data, numbers.len);
    ASSERT(head.len <= r->start);
    r->start -= head.len;
    memcpy(r->frame.data + r->start, head.data, head.len);
    buffer_close(&numbers);
    buffer_close(&outer);
    buffer_close(&head);
}

void batch_seal(struct hato_client *c, struct request *r)
{
    map_remove(&c->open, buffer_view(&r->key));
    if (c->last_batch == r)
        c->last_batch = NULL;
    put_head(c, r);
    request_queue(c, r);
}

void batch_seal_all(struct hato_client *c)
{
    size_t at = 0;
    for (struct request *r; (r = map_next(&c->open, &at)) != NULL;)
        batch_seal(c, r);
}

/* ---------------------------------------------------------------- filling */

static struct request *begin(struct hato_client *c, const struct operation *op, const struct buffer *key)
{
    struct request *r = request_create(c, op);
    r->state = REQUEST_OPEN;
    buffer_put(&r->key, key->data, key->len);
    r->start = HEAD_MAX + key->len;
    buffer_reserve(&r->frame, r->start);
    r->frame.len = r->start;
    map_put(&c->open, buffer_view(&r->key), r);
    return r;
}

/* The batch to add `count` items of `bytes` to. */
static struct request *find(struct hato_client *c, const struct operation *op, const struct buffer *key, size_t count,
                            uint64_t bytes)
{
    struct request *r = c->last_batch;
    if (r == NULL || !bytes_equal(buffer_view(&r->key), buffer_view(key)))
        r = map_find(&c->open, buffer_view(key));
    if (r != NULL && (r->items + count > c->options.batch_messages_max ||
                      r->frame.len - r->start + bytes > c->options.batch_bytes_max)) {
        batch_seal(c, r);
        r = NULL;
    }
    if (r == NULL)
        r = begin(c, op, key);
    c->last_batch = r;
    return r;
}

static int check_arguments(const char *queue, size_t count, struct error *e)
{
    if (count == 0 || count > CLIENT_MESSAGES_MAX)
        return error_field(e, ERR_INVALID, "count", "count is %zu; it must be 1 to %d", count, CLIENT_MESSAGES_MAX);
    return operation_check_name("queue", queue, e);
}

static int check_room(const struct hato_client *c, uint64_t bytes, struct error *e)
{
    if (bytes + HEAD_MAX + 2 * CLIENT_NAME_MAX > c->max_frame_bytes)
        return error_set(e, ERR_TOO_LARGE, "%llu bytes in one call; the broker's limit is %llu",
                         (unsigned long long)bytes, (unsigned long long)c->max_frame_bytes);
    if (c->pending_bytes + bytes > c->options.pending_bytes_max)
        return error_set(e, ERR_OVERLOADED, "%llu bytes are under way and the client's limit is %llu: wait for replies",
                         (unsigned long long)c->pending_bytes, (unsigned long long)c->options.pending_bytes_max);
    return ERR_OK;
}

static struct buffer *begin_key(struct hato_client *c, const struct operation *op, const char *queue)
{
    struct buffer *key = &c->key;
    buffer_clear(key);
    buffer_u8(key, (uint8_t)op->request);
    put_bytes(key, BATCH_QUEUE, queue, strlen(queue));
    return key;
}

static void join(struct hato_client *c, struct request *r, struct hato_call *call, size_t count, size_t len_before)
{
    call->first = r->items;
    call->count = (uint32_t)count;
    r->items += (uint32_t)count;
    r->accounted += r->frame.len - len_before;
    c->pending_bytes += r->frame.len - len_before;
    request_add_call(r, call);
    client_wake(c);
}

/* ---------------------------------------------------------------- sends */

struct packing {
    Hato__Message message;
    size_t size;
};

static int encode_all(struct arena *a, struct packing *out, const struct hato_message *messages, size_t count,
                      uint64_t *bytes, struct error *e)
{
    *bytes = 0;
    for (size_t i = 0; i < count; i++) {
        int rc = encode_message(a, &out[i].message, &messages[i], e);
        if (rc != ERR_OK)
            return rc;
        out[i].size = hato__message__get_packed_size(&out[i].message);
        *bytes += out[i].size + 16;
    }
    return ERR_OK;
}

static int add_messages(struct hato_client *c, struct arena *a, struct hato_call *call, const char *queue,
                        const struct hato_message *messages, size_t count, struct error *e)
{
    struct packing one;
    struct packing *packing = count == 1 ? &one : arena_alloc(a, count * sizeof *packing);
    uint64_t bytes;
    int rc = encode_all(a, packing, messages, count, &bytes, e);
    if (rc == ERR_OK)
        rc = check_room(c, bytes, e);
    if (rc != ERR_OK)
        return rc;
    const struct operation *op = operation_of(HATO__REQUEST__OP_SEND);
    struct request *r = find(c, op, begin_key(c, op, queue), count, bytes);
    size_t len_before = r->frame.len;
    for (size_t i = 0; i < count; i++) {
        put_tag(&r->frame, BATCH_ITEM, WIRE_BYTES);
        buffer_varint(&r->frame, packing[i].size);
        hato__message__pack(&packing[i].message, buffer_reserve(&r->frame, packing[i].size));
        r->frame.len += packing[i].size;
    }
    join(c, r, call, count, len_before);
    return ERR_OK;
}

int batch_send(struct hato_client *c, struct hato_call *call, const char *queue, const struct hato_message *messages,
               size_t count, struct error *e)
{
    int rc = check_arguments(queue, count, e);
    if (rc != ERR_OK)
        return rc;
    struct arena a = {0};
    rc = add_messages(c, &a, call, queue, messages, count, e);
    arena_close(&a);
    return rc;
}

/* ---------------------------------------------------------------- settlements */

/* The byte behind the limit tells whether a character goes across it. */
static void put_error(struct buffer *key, const char *error)
{
    struct bytes cut = utf8_cut(bytes_of(error, strnlen(error, NACK_ERROR_MAX + 1)), NACK_ERROR_MAX);
    put_bytes(key, NACK_ERROR, cut.data, cut.len);
}

static void put_settlement(struct buffer *key, const struct settlement *s)
{
    if (s->operation->request == HATO__REQUEST__OP_EXTEND)
        put_number(key, EXTEND_VISIBILITY, s->visibility_ms);
    if (s->operation->request != HATO__REQUEST__OP_NACK)
        return;
    put_number(key, NACK_DELAY, s->delay_ms);
    if (s->error != NULL && s->error[0] != '\0')
        put_error(key, s->error);
    put_number(key, NACK_STATUS, s->status);
    put_number(key, NACK_UNCOUNTED, s->uncounted);
}

static int check_receipts(const struct hato_bytes *receipts, size_t count, uint64_t *bytes, struct error *e)
{
    *bytes = 0;
    for (size_t i = 0; i < count; i++) {
        if (receipts[i].len == 0 || receipts[i].len > RECEIPT_MAX)
            return error_field(e, ERR_INVALID, "receipts", "receipt %zu has %zu bytes; give it as it was received", i,
                               receipts[i].len);
        *bytes += receipts[i].len + 16;
    }
    return ERR_OK;
}

int batch_settle(struct hato_client *c, struct hato_call *call, const char *queue, const struct settlement *settlement,
                 const struct hato_bytes *receipts, size_t count, struct error *e)
{
    uint64_t bytes;
    int rc = check_arguments(queue, count, e);
    if (rc == ERR_OK)
        rc = check_receipts(receipts, count, &bytes, e);
    if (rc == ERR_OK)
        rc = check_room(c, bytes, e);
    if (rc != ERR_OK)
        return rc;
    struct buffer *key = begin_key(c, settlement->operation, queue);
    put_settlement(key, settlement);
    struct request *r = find(c, settlement->operation, key, count, bytes);
    size_t len_before = r->frame.len;
    for (size_t i = 0; i < count; i++)
        put_bytes(&r->frame, BATCH_ITEM, receipts[i].data, receipts[i].len);
    join(c, r, call, count, len_before);
    return ERR_OK;
}
