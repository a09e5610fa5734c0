/* What things are called: names, ids, receipts. Pure.
 *
 * A full name is "account:region:name": account 12 digits, region 1 to 32 of a-z 0-9 -, and the queue's or function's
 * own name. It decides the shard. A queue's id is shard << 48 | number; numbers are not used again. */
#ifndef HATO_STATE_IDENTITY_H
#define HATO_STATE_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

enum {
    IDENTITY_ACCOUNT_LEN = 12,
    IDENTITY_REGION_MAX = 32,
    IDENTITY_QUEUE_MAX = 80,
    IDENTITY_FUNCTION_MAX = 64,
    IDENTITY_NAME_MAX = 12 + 1 + 32 + 1 + 80, /* of a full name */
    IDENTITY_ARN_MAX = 12 + 32 + 1 + 12 + 1 + 80,
    IDENTITY_MESSAGE_ID_LEN = 36,
    IDENTITY_RECEIPT_LEN = 33,
    IDENTITY_SHARD_BITS = 16,
    IDENTITY_NUMBER_BITS = 48,
};

/* ---------------------------------------------------------------- names */

/* Each says ERR_INVALID with `field` as the argument at fault and what is allowed. */
int identity_check_account(struct bytes account, const char *field, struct error *e);
int identity_check_region(struct bytes region, const char *field, struct error *e);
int identity_check_queue(struct bytes name, const char *field,
                         struct error *e); /* 1-80 of A-Za-z0-9_-, or so + ".fifo" */
int identity_check_function(struct bytes name, const char *field, struct error *e); /* 1-64 of A-Za-z0-9_- */

/* Also for full names. */
bool identity_is_fifo(struct bytes queue_name);

/* Joins parts that were checked. Returns the length. */
size_t identity_full_name(char out[IDENTITY_NAME_MAX + 1], struct bytes account, struct bytes region,
                          struct bytes name);

struct identity {
    struct bytes account, region, name; /* into the full name given */
};

/* Takes a full name apart and checks each part. Errors: ERR_INVALID, naming `field`. */
int identity_split_queue(struct bytes full_name, const char *field, struct identity *out, struct error *e);
int identity_split_function(struct bytes full_name, const char *field, struct identity *out, struct error *e);

/* arn:aws:sqs:region:account:name. The parse accepts exactly what the print makes. Errors: ERR_INVALID. */
size_t identity_arn(char out[IDENTITY_ARN_MAX + 1], const struct identity *queue);
int identity_arn_parse(struct bytes arn, const char *field, struct identity *out, struct error *e);

/* The shard of a queue, 1 to `shards`: 1 + XXH3(full name) mod shards. Never to be changed: the data is there. */
uint16_t identity_shard_of(struct bytes full_name, uint16_t shards);

/* ---------------------------------------------------------------- ids */

static inline uint64_t identity_queue_id(uint16_t shard, uint64_t number)
{
    return ((uint64_t)shard << IDENTITY_NUMBER_BITS) | number;
}

static inline uint16_t identity_queue_shard(uint64_t queue)
{
    return (uint16_t)(queue >> IDENTITY_NUMBER_BITS);
}

/* A message's id: queue and sequence as 32 hexadecimal digits in the shape of a UUID. Terminated. */
void identity_message_id(char out[IDENTITY_MESSAGE_ID_LEN + 1], uint64_t queue, uint64_t sequence);

/* Lower case, exactly that shape. Errors: ERR_INVALID, naming `field`. */
int identity_message_id_parse(struct bytes text, const char *field, uint64_t *queue, uint64_t *sequence,
                              struct error *e);

/* ---------------------------------------------------------------- receipts */

struct receipt {
    uint64_t queue;
    uint64_t sequence;
    uint64_t lease;
};

/* The token of a lease: version, the three numbers, and a SipHash-2-4 of them keyed with the shard's secret. It keeps a
 * client from acking by mistake or by guessing what it was not given. It is no signature: who can read another's
 * receipt can use it, as with SQS. */
void receipt_encode(uint8_t out[IDENTITY_RECEIPT_LEN], const struct receipt *r, uint64_t secret);

/* The queue a receipt names, not checked: to find the shard whose secret decides. 0 when it can't be a receipt. */
uint64_t receipt_queue(struct bytes receipt);

/* Errors: ERR_RECEIPT_INVALID: wrong length or version, altered, or of another queue than `queue`. */
int receipt_decode(struct bytes receipt, uint64_t queue, uint64_t secret, struct receipt *out, struct error *e);

#endif
