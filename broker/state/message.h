/* What the machine needs to know of a `Message` (proto/client.proto), found by one pass over its bytes. Pure. */
#ifndef HATO_STATE_MESSAGE_H
#define HATO_STATE_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

struct message {
    struct bytes body;
    struct bytes group;
    struct bytes deduplication_id;
    uint64_t size; /* of body and attributes: what max_message_bytes limits */
    uint64_t delay_ms;
    uint64_t not_before_ms;
    uint32_t priority;
    uint32_t attributes;
    bool no_delay;
    bool has_provenance;
};

/* Views point into `raw`. Scalars given twice: the last one counts, as protobuf says. Returns false when the bytes are not a
 * well-formed protobuf message or a known field has the wrong type; fields not known are passed over. */
bool message_scan(struct bytes raw, struct message *out);

/* The `provenance` fields of a message, one after the other: since merging embedded messages is concatenation, what is
 * appended to `out` is the encoding of the whole Provenance. False as above. */
bool message_provenance(struct bytes raw, struct buffer *out);

#endif
