#include "base/wire.h"

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
