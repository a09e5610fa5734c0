#include "cluster/frame.h"

#include "base/assert.h"

enum { CHECKED_HEAD = 8 }; /* the part of the head before its checksum */

/* The head's first half is the seed, so that one pass covers both. */
static uint64_t check_of(const uint8_t *head, struct bytes body)
{
    struct cursor c = cursor_open(bytes_of(head, CHECKED_HEAD));
    return bytes_hash(body, cursor_u64(&c));
}

static void put_at(uint8_t *at, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

size_t frame_begin(struct buffer *to, enum frame_kind kind, uint16_t shard)
{
    size_t at = to->len;
    buffer_u32(to, 0);
    buffer_u16(to, shard);
    buffer_u8(to, (uint8_t)kind);
    buffer_u8(to, 0);
    buffer_u64(to, 0);
    return at;
}

void frame_end(struct buffer *to, size_t at)
{
    size_t len = to->len - at - FRAME_HEAD_BYTES;
    ASSERT(len <= FRAME_BODY_MAX);
    uint8_t *head = to->data + at;
    put_at(head, len, 4);
    put_at(head + CHECKED_HEAD, check_of(head, bytes_of(head + FRAME_HEAD_BYTES, len)), 8);
}

static int check_kind(const struct frame *f, uint8_t kind, uint8_t zero, struct error *e)
{
    if (kind < FRAME_SHARD || kind > FRAME_PONG || zero != 0)
        return error_set(e, ERR_PROTOCOL, "a frame of kind %u, which this build does not know", kind);
    if (kind != FRAME_SHARD && (f->body.len > 0 || f->shard != 0))
        return error_set(e, ERR_PROTOCOL, "a frame of kind %u with a body, which that kind has not", kind);
    return ERR_OK;
}

int frame_take(struct bytes in, struct frame *out, size_t *used, size_t *want, struct error *e)
{
    struct cursor c = cursor_open(in);
    *used = 0;
    *want = FRAME_HEAD_BYTES;
    if (in.len < FRAME_HEAD_BYTES)
        return ERR_OK;
    uint32_t len = cursor_u32(&c);
    out->shard = cursor_u16(&c);
    uint8_t kind = cursor_u8(&c);
    uint8_t zero = cursor_u8(&c);
    uint64_t check = cursor_u64(&c);
    if (len > FRAME_BODY_MAX)
        return error_set(e, ERR_TOO_LARGE, "a frame of %u bytes; the largest has %d", len, FRAME_BODY_MAX);
    *want = FRAME_HEAD_BYTES + (size_t)len;
    if (in.len < *want)
        return ERR_OK;
    out->body = cursor_take(&c, len);
    if (check != check_of(in.data, out->body))
        return error_set(e, ERR_CORRUPT, "a frame of %u bytes whose checksum does not hold", len);
    int rc = check_kind(out, kind, zero, e);
    if (rc != ERR_OK)
        return rc;
    out->kind = (enum frame_kind)kind;
    *used = *want;
    return ERR_OK;
}
