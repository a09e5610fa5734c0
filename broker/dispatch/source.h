/* Where the dispatcher gets messages and says what became of them: the queue's side of a delivery, as it needs it.
 *
 * The dispatcher owns no truth and knows no shards. It leases like any consumer; whoever leads the queue's shard
 * implements this table. Every call comes from the dispatcher's loop, and nothing may call back inside the call:
 * `done` of a lease comes later, on the same loop, exactly once, also when the source is going away (then with
 * ERR_CLOSED).
 *
 * Settling (ack, nack, extend) is told and forgotten. What one dispatcher says of one queue takes effect in the order
 * said. A settlement that can't be carried out any more (lease over, leader gone) is dropped: the lease runs out, and
 * the message is delivered again. One that a full disk holds up is not: acks and nacks wait for space. */
#ifndef HATO_DISPATCH_SOURCE_H
#define HATO_DISPATCH_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

/* What ack, nack and extend point at. */
struct source_token {
    uint64_t sequence;
    uint64_t lease;
};

struct source_message {
    struct source_token token;
    struct bytes message; /* an encoded `Message` of client.proto */
    const char *id;       /* the message's id, as users see it */
    struct bytes receipt; /* as in Delivery.receipt: what a function may settle with on its own */
    uint64_t sent_ms;
    uint64_t first_received_ms;
    uint32_t receive_count; /* this receive included */
};

/* The source's memory, unchanged until `release`. In the queue's order. */
struct source_batch {
    const struct source_message *messages;
    size_t count; /* at least 1 */
};

/* One request for messages; the dispatcher's memory, left alone by it until `done`. */
struct source_lease {
    uint64_t queue;
    uint32_t max_messages; /* at least 1 */
    uint32_t max_bytes;    /* of encoded messages together; at least one message is given, whatever its size */
    uint64_t visibility_ms;
    /* `code` is ERR_OK or why there was none. `batch` is NULL when nothing was leased. */
    void (*done)(struct source_lease *lease, int code, struct source_batch *batch);
    void *state; /* the source's own */
};

struct source_nack {
    uint64_t delay_ms;  /* before the message may be received again; 0: at once, in its old place */
    uint32_t status;    /* HTTP status of the attempt, 0 when there was no answer */
    bool uncounted;     /* the receive does not count: the endpoint was in trouble, not the message */
    struct bytes error; /* at most SOURCE_ERROR_MAX; borrowed for the call */
};

enum { SOURCE_ERROR_MAX = 1024 };

struct source_ops {
    void (*lease)(void *ctx, struct source_lease *lease);
    void (*release)(void *ctx, struct source_batch *batch); /* the batch's memory is no longer used */
    void (*ack)(void *ctx, uint64_t queue, const struct source_token *tokens, size_t count);
    void (*nack)(void *ctx, uint64_t queue, const struct source_nack *nack, const struct source_token *tokens,
                 size_t count);
    void (*extend)(void *ctx, uint64_t queue, uint64_t visibility_ms, const struct source_token *tokens, size_t count);

    /* How many messages a lease could get now; counting stops at `limit`. A hint: a lease may still come back empty,
     * and leases not yet done are not taken off. 0 when the queue is not known. */
    uint32_t (*available)(void *ctx, uint64_t queue, uint32_t limit);

    /* Whether the queue still has the message, in whatever state. A hint, too: true when it is not known. */
    bool (*holds)(void *ctx, uint64_t queue, uint64_t sequence);
};

#endif
