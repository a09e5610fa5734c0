#include "log/record.h"

#include <endian.h>

#include "log/log.h"

enum {
    AT_CHECKSUM = 0,
    AT_SEGMENT = RECORD_SEGMENT_AT,
    AT_PREVIOUS = 16,
    AT_INDEX = 24,
    AT_TERM = 32,
    AT_DURABLE = 40,
    AT_STORED = 44,
    AT_RAW = 48,
    AT_GROUP = 52,
    AT_KIND = 56,
    AT_ENTRY_KIND = 57,
    AT_FLAGS = 58,
    AT_ZERO = 59,
    PAYLOAD_BYTES_MAX = 256 << 20, /* a checkpoint of the most groups with the largest memberships is below */
};

static void put32(uint8_t *at, uint32_t v)
{
    v = htole32(v);
    memcpy(at, &v, sizeof v);
}

static void put64(uint8_t *at, uint64_t v)
{
    v = htole64(v);
    memcpy(at, &v, sizeof v);
}

static uint32_t get32(const uint8_t *at)
{
    uint32_t v;
    memcpy(&v, at, sizeof v);
    return le32toh(v);
}

static uint64_t get64(const uint8_t *at)
{
    uint64_t v;
    memcpy(&v, at, sizeof v);
    return le64toh(v);
}

/* The header's hash seeds the payload's, so that one number covers both without joining them in memory. */
static uint64_t checksum(const uint8_t *header, struct bytes payload)
{
    uint64_t seed = bytes_hash(bytes_of(header + AT_SEGMENT, RECORD_HEADER_BYTES - AT_SEGMENT), 0);
    return bytes_hash(payload, seed);
}

void record_encode(struct record *r, struct bytes payload, uint8_t out[RECORD_HEADER_BYTES])
{
    put64(out + AT_SEGMENT, r->segment);
    put64(out + AT_PREVIOUS, r->previous);
    put64(out + AT_INDEX, r->index);
    put64(out + AT_TERM, r->term);
    put32(out + AT_DURABLE, r->durable);
    put32(out + AT_STORED, r->stored);
    put32(out + AT_RAW, r->raw);
    put32(out + AT_GROUP, r->group);
    out[AT_KIND] = r->kind;
    out[AT_ENTRY_KIND] = r->entry_kind;
    out[AT_FLAGS] = r->flags;
    memset(out + AT_ZERO, 0, RECORD_HEADER_BYTES - AT_ZERO);
    r->checksum = checksum(out, payload);
    put64(out + AT_CHECKSUM, r->checksum);
}

static uint32_t payload_limit(const struct record *r)
{
    return r->kind == RECORD_ENTRY ? LOG_ENTRY_BYTES_MAX : PAYLOAD_BYTES_MAX;
}

bool record_decode(const uint8_t header[RECORD_HEADER_BYTES], struct record *out)
{
    *out = (struct record){
        .checksum = get64(header + AT_CHECKSUM),
        .segment = get64(header + AT_SEGMENT),
        .previous = get64(header + AT_PREVIOUS),
        .index = get64(header + AT_INDEX),
        .term = get64(header + AT_TERM),
        .durable = get32(header + AT_DURABLE),
        .stored = get32(header + AT_STORED),
        .raw = get32(header + AT_RAW),
        .group = get32(header + AT_GROUP),
        .kind = header[AT_KIND],
        .entry_kind = header[AT_ENTRY_KIND],
        .flags = header[AT_FLAGS],
    };
    if (out->kind < RECORD_CHECKPOINT || out->kind > RECORD_DURABLE || (out->flags & ~RECORD_FLAGS) != 0)
        return false;
    if (out->group > LOG_GROUP_MAX || out->raw > payload_limit(out) || out->stored > out->raw)
        return false;
    return (out->flags & RECORD_ZSTD) != 0 || out->stored == out->raw;
}

bool record_verify(const uint8_t *header, const struct record *r)
{
    const uint8_t *payload = header + RECORD_HEADER_BYTES;
    for (uint64_t i = RECORD_HEADER_BYTES + r->stored; i < record_bytes(r); i++) {
        if (header[i] != 0)
            return false;
    }
    return checksum(header, bytes_of(payload, r->stored)) == r->checksum;
}
