#include "base/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <xxhash.h>

#include "base/assert.h"
#include "base/memory.h"

int bytes_compare(struct bytes a, struct bytes b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common > 0 ? memcmp(a.data, b.data, common) : 0;
    if (order != 0)
        return order;
    return (a.len > b.len) - (a.len < b.len);
}

uint64_t bytes_hash(struct bytes b, uint64_t seed)
{
    return XXH3_64bits_withSeed(b.data, b.len, seed);
}

struct bytes cursor_take(struct cursor *c, size_t len)
{
    if (c->failed || cursor_left(c) < len) {
        c->failed = true;
        return (struct bytes){c->end, 0};
    }
    struct bytes b = {c->at, len};
    c->at += len;
    return b;
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "integers are read and written as they lie in memory");

uint8_t cursor_u8(struct cursor *c)
{
    struct bytes b = cursor_take(c, 1);
    return b.len == 1 ? *b.data : 0;
}

uint16_t cursor_u16(struct cursor *c)
{
    uint16_t v = 0;
    struct bytes b = cursor_take(c, sizeof v);
    if (b.len == sizeof v)
        memcpy(&v, b.data, sizeof v);
    return v;
}

uint32_t cursor_u32(struct cursor *c)
{
    uint32_t v = 0;
    struct bytes b = cursor_take(c, sizeof v);
    if (b.len == sizeof v)
        memcpy(&v, b.data, sizeof v);
    return v;
}

uint64_t cursor_u64(struct cursor *c)
{
    uint64_t v = 0;
    struct bytes b = cursor_take(c, sizeof v);
    if (b.len == sizeof v)
        memcpy(&v, b.data, sizeof v);
    return v;
}

uint64_t cursor_u64be(struct cursor *c)
{
    struct bytes b = cursor_take(c, 8);
    uint64_t v = 0;
    for (size_t i = 0; i < b.len; i++)
        v = v << 8 | b.data[i];
    return v;
}

uint64_t cursor_varint(struct cursor *c)
{
    if (!c->failed && c->at < c->end && *c->at < 0x80)
        return *c->at++; /* most are short */
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = cursor_u8(c);
        if (c->failed || (shift == 63 && byte > 1))
            break;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0)
            return v;
    }
    c->failed = true;
    return 0;
}

void buffer_close(struct buffer *b)
{
    memory_free(b->data);
    *b = (struct buffer){0};
}

void buffer_clear(struct buffer *b)
{
    b->len = 0;
}

uint8_t *buffer_reserve(struct buffer *b, size_t more)
{
    ASSERT(more <= SIZE_MAX / 4 && b->len <= SIZE_MAX / 4);
    if (b->capacity - b->len < more) {
        size_t capacity = b->capacity > 0 ? b->capacity : 64;
        while (capacity - b->len < more)
            capacity *= 2;
        b->data = memory_grow(b->data, capacity, 1);
        b->capacity = capacity;
    }
    return b->data + b->len;
}

void buffer_put(struct buffer *b, const void *data, size_t len)
{
    if (len == 0)
        return;
    memcpy(buffer_reserve(b, len), data, len);
    b->len += len;
}

void buffer_u8(struct buffer *b, uint8_t v)
{
    *buffer_reserve(b, 1) = v;
    b->len++;
}

void buffer_u16(struct buffer *b, uint16_t v)
{
    buffer_put(b, &v, sizeof v);
}

void buffer_u32(struct buffer *b, uint32_t v)
{
    buffer_put(b, &v, sizeof v);
}

void buffer_u64(struct buffer *b, uint64_t v)
{
    buffer_put(b, &v, sizeof v);
}

void buffer_u64be(struct buffer *b, uint64_t v)
{
    uint8_t *at = buffer_reserve(b, 8);
    for (size_t i = 0; i < 8; i++)
        at[i] = (uint8_t)(v >> (56 - 8 * i));
    b->len += 8;
}

void buffer_varint(struct buffer *b, uint64_t v)
{
    while (v >= 0x80) {
        buffer_u8(b, (uint8_t)(v | 0x80));
        v >>= 7;
    }
    buffer_u8(b, (uint8_t)v);
}

void buffer_printf(struct buffer *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    ASSERT(len >= 0);
    vsnprintf((char *)buffer_reserve(b, (size_t)len + 1), (size_t)len + 1, format, again);
    va_end(again);
    b->len += (size_t)len;
}
