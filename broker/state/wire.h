/* Protobuf's wire format, field by field, for bytes that are read where they lie: a body is never copied to look at it. */
#ifndef HATO_STATE_WIRE_H
#define HATO_STATE_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

enum wire_type { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

struct wire_field {
    uint32_t number;
    uint32_t type;
    uint64_t value;     /* of WIRE_VARINT */
    struct bytes bytes; /* of WIRE_BYTES: a view */
};

static inline uint64_t wire_varint(struct cursor *c)
{
    if (c->at < c->end && *c->at < 0x80)
        return *c->at++;
    return cursor_varint(c);
}

/* Takes the next field; false when the bytes are malformed. The caller asks cursor_left first. */
static inline bool wire_next(struct cursor *c, struct wire_field *f)
{
    uint64_t tag = wire_varint(c);
    f->type = (uint32_t)(tag & 7);
    f->number = (uint32_t)(tag >> 3);
    if (c->failed || tag > UINT32_MAX || f->number == 0)
        return false;
    switch (f->type) {
    case WIRE_VARINT:
        f->value = wire_varint(c);
        break;
    case WIRE_64:
        cursor_take(c, 8);
        break;
    case WIRE_BYTES: {
        uint64_t len = wire_varint(c);
        if (len > cursor_left(c))
            return false;
        f->bytes = (struct bytes){c->at, (size_t)len};
        c->at += len;
        break;
    }
    case WIRE_32:
        cursor_take(c, 4);
        break;
    default: /* groups, which proto3 does not have */
        return false;
    }
    return !c->failed;
}

#endif
