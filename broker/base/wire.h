/* The protobuf wire format, field by field, without copying: for the hot paths, where a message's bytes are passed on as
 * they are. Everything else uses generated code. (protobuf.dev, "Encoding".) */
#ifndef HATO_BASE_WIRE_H
#define HATO_BASE_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct wire_field {
    uint32_t number;
    enum wire_type type;
    uint64_t value;     /* of the numeric types */
    struct bytes bytes; /* of WIRE_BYTES: a view into what is read */
};

/* Most are of one byte. */
static inline uint64_t wire_varint(struct cursor *c)
{
    if (c->at < c->end && *c->at < 0x80)
        return *c->at++;
    return cursor_varint(c);
}

/* A tag or a length: 5 bytes at most, however it is padded. Readers of protobuf take no more, and what they can't read must not be
 * passed on to them. */
static inline uint64_t wire_head(struct cursor *c)
{
    const uint8_t *from = c->at;
    uint64_t value = wire_varint(c);
    c->failed = c->failed || c->at - from > 5;
    return value;
}

/* The next field. False at the end, and when what is there is no field: then c->failed is set. */
static inline bool wire_next(struct cursor *c, struct wire_field *out)
{
    if (c->failed || cursor_left(c) == 0)
        return false;
    uint64_t tag = wire_head(c);
    *out = (struct wire_field){.number = (uint32_t)(tag >> 3), .type = (enum wire_type)(tag & 7)};
    c->failed = c->failed || tag > UINT32_MAX || out->number == 0;
    if (c->failed)
        return false;
    switch (tag & 7) {
    case WIRE_VARINT:
        out->value = wire_varint(c);
        break;
    case WIRE_FIXED64:
        out->value = cursor_u64(c);
        break;
    case WIRE_FIXED32:
        out->value = cursor_u32(c);
        break;
    case WIRE_BYTES: {
        uint64_t len = wire_head(c);
        c->failed = c->failed || len > cursor_left(c);
        if (!c->failed)
            out->bytes = cursor_take(c, (size_t)len);
        break;
    }
    default: /* groups, which proto3 does not have */
        c->failed = true;
    }
    return !c->failed;
}

void wire_put_varint(struct buffer *b, uint32_t number, uint64_t value);    /* left out when 0, as proto3 does */
void wire_put_bytes(struct buffer *b, uint32_t number, struct bytes value); /* left out when empty */
void wire_put_head(struct buffer *b, uint32_t number, size_t len); /* of a WIRE_BYTES field; the bytes follow */

/* Sizes, for a length that has to be written before what it counts. */
size_t wire_varint_size(uint64_t value);
size_t wire_varint_field_size(uint32_t number, uint64_t value); /* 0 when left out */
size_t wire_bytes_field_size(uint32_t number, size_t len);      /* with head; also for len 0 */

#endif
