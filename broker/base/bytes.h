/* Views of memory, a bounds-checked cursor for reading them, and a growing buffer for writing.
 *
 * All that comes from outside (a frame, a file, a request) is read through `struct cursor`: a read past the end sets
 * `failed` and gives zeros, so a parser reads all its fields and asks once. Integers are little-endian. */
#ifndef HATO_BASE_BYTES_H
#define HATO_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A borrowed view; whoever made it says how long it lasts. */
struct bytes {
    const uint8_t *data;
    size_t len;
};

static inline struct bytes bytes_of(const void *data, size_t len)
{
    return (struct bytes){data, len};
}

static inline struct bytes bytes_text(const char *text)
{
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* Lexicographic, as RocksDB orders keys; <0, 0, >0. */
int bytes_compare(struct bytes a, struct bytes b);

/* XXH3; the seed keeps unrelated uses apart. The results are persistent: never change the function. */
uint64_t bytes_hash(struct bytes b, uint64_t seed);

struct cursor {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
};

static inline struct cursor cursor_open(struct bytes b)
{
    return (struct cursor){b.data, b.len > 0 ? b.data + b.len : b.data, false}; /* an empty view's data may be NULL */
}

static inline size_t cursor_left(const struct cursor *c)
{
    return (size_t)(c->end - c->at);
}

struct bytes cursor_take(struct cursor *c, size_t len); /* an empty view when fewer are left */
uint8_t cursor_u8(struct cursor *c);
uint16_t cursor_u16(struct cursor *c);
uint32_t cursor_u32(struct cursor *c);
uint64_t cursor_u64(struct cursor *c);
uint64_t cursor_u64be(struct cursor *c);  /* for keys that sort */
uint64_t cursor_varint(struct cursor *c); /* LEB128, at most 10 bytes */

/* Grows by doubling; owns its memory. A zeroed struct is an empty buffer. */
struct buffer {
    uint8_t *data;
    size_t len;
    size_t capacity;
};

void buffer_close(struct buffer *b);                    /* frees; the buffer is empty and usable again */
void buffer_clear(struct buffer *b);                    /* keeps the memory */
uint8_t *buffer_reserve(struct buffer *b, size_t more); /* room for `more` bytes at the end; len unchanged */
void buffer_put(struct buffer *b, const void *data, size_t len);
void buffer_u8(struct buffer *b, uint8_t v);
void buffer_u16(struct buffer *b, uint16_t v);
void buffer_u32(struct buffer *b, uint32_t v);
void buffer_u64(struct buffer *b, uint64_t v);
void buffer_u64be(struct buffer *b, uint64_t v);
void buffer_varint(struct buffer *b, uint64_t v);
void buffer_printf(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

static inline struct bytes buffer_view(const struct buffer *b)
{
    return (struct bytes){b->data, b->len};
}

#endif
