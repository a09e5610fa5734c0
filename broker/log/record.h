/* One record of a segment file: a header of 64 bytes, the payload, zeros up to a multiple of 8. The reference of the
 * format is proto/LOG-FORMAT.md. Pure. */
#ifndef HATO_LOG_RECORD_H
#define HATO_LOG_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

enum { RECORD_HEADER_BYTES = 64, RECORD_ALIGN = 8, RECORD_SEGMENT_AT = 8 };

enum record_kind {
    RECORD_CHECKPOINT = 1, /* first of every segment: all groups as the records before it left them */
    RECORD_RESET = 2,      /* the group's entries go; it goes on after `index` */
    RECORD_SNAPSHOT = 3,   /* a snapshot mark */
    RECORD_TRUNCATE = 4,   /* entries from `index` on go; `term` is that of the one before */
    RECORD_ENTRY = 5,
    RECORD_STATE = 6,   /* hard state: term, vote (payload), commit (index) */
    RECORD_FIRST = 7,   /* entries below `index` are not needed; `term` is that of the one before */
    RECORD_DURABLE = 8, /* nothing but the proof that all before it was synced; the next batch overwrites it */
};

enum record_flag {
    RECORD_END = 1,  /* the last of its write: a torn write is dropped as a whole */
    RECORD_ZSTD = 2, /* the payload is compressed, `raw` is its length without */
    RECORD_FLAGS = RECORD_END | RECORD_ZSTD,
};

struct record {
    uint64_t checksum;
    uint64_t segment;  /* the id of the segment's life it was written in */
    uint64_t previous; /* the checksum of the record before, across segments */
    uint64_t index;
    uint64_t term;
    uint32_t durable; /* everything of the segment before this offset was synced when this was written */
    uint32_t stored;  /* bytes of payload in the file */
    uint32_t raw;
    uint32_t group;
    uint8_t kind;
    uint8_t entry_kind;
    uint8_t flags;
};

/* Header, payload and padding. */
static inline uint64_t record_bytes(const struct record *r)
{
    return RECORD_HEADER_BYTES + (((uint64_t)r->stored + RECORD_ALIGN - 1) & ~(uint64_t)(RECORD_ALIGN - 1));
}

/* Sets r->checksum and writes the header. */
void record_encode(struct record *r, struct bytes payload, uint8_t out[RECORD_HEADER_BYTES]);

/* Reads a header as it stands; false where no writer can have made it (unknown kind or flags, a length beyond its limit). */
bool record_decode(const uint8_t header[RECORD_HEADER_BYTES], struct record *out);

/* Whether header, payload (r.stored bytes) and padding are what the checksum says. */
bool record_verify(const uint8_t *header, const struct record *r);

#endif
