#include "base/wire.h"

enum { FIELD_NUMBER_MAX = (1 << 29) - 1 };

bool wire_next(struct cursor *c, struct wire_field *out)
{
    if (c->failed || cursor_left(c) == 0)
        return false;
    uint64_t tag = cursor_varint(c);
    uint64_t number = tag >> 3;
    *out = (struct wire_field){.number = (uint32_t)number, .type = (enum wire_type)(tag & 7)};
    if (c->failed || number == 0 || number > FIELD_NUMBER_MAX) {
        c->failed = true;
        return false;
    }
    switch (tag & 7) {
    case WIRE_VARINT:
        out->value = cursor_varint(c);
        break;
    case WIRE_FIXED64:
        out->value = cursor_u64(c);
        break;
    case WIRE_FIXED32:
        out->value = cursor_u32(c);
        break;
    case WIRE_BYTES: {
        uint64_t len = cursor_varint(c);
        if (c->failed || len > cursor_left(c)) {
            c->failed = true;
            return false;
        }
        out->bytes = cursor_take(c, (size_t)len);
        break;
    }
    default: /* groups: nobody sends them */
        c->failed = true;
    }
    return !c->failed;
}

void wire_put_varint(struct buffer *b, uint32_t number, uint64_t value)
{
    if (value == 0)
        return;
    buffer_varint(b, (uint64_t)number << 3 | WIRE_VARINT);
    buffer_varint(b, value);
}

void wire_put_head(struct buffer *b, uint32_t number, size_t len)
{
    buffer_varint(b, (uint64_t)number << 3 | WIRE_BYTES);
    buffer_varint(b, len);
}

void wire_put_bytes(struct buffer *b, uint32_t number, struct bytes value)
{
    if (value.len == 0)
        return;
    wire_put_head(b, number, value.len);
    buffer_put(b, value.data, value.len);
}

size_t wire_varint_size(uint64_t value)
{
    size_t n = 1;
    while (value >= 0x80) {
        value >>= 7;
        n++;
    }
    return n;
}

size_t wire_varint_field_size(uint32_t number, uint64_t value)
{
    return value == 0 ? 0 : wire_varint_size((uint64_t)number << 3) + wire_varint_size(value);
}

size_t wire_bytes_field_size(uint32_t number, size_t len)
{
    return wire_varint_size((uint64_t)number << 3) + wire_varint_size(len) + len;
}
