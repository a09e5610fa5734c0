/* Compression of entries where it pays: a cheap look at the bytes decides whether to try at all, so that bodies which are
 * compressed or encrypted already cost next to nothing. */
#ifndef HATO_LOG_PACK_H
#define HATO_LOG_PACK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

enum { PACK_BYTES_MIN = 4096 }; /* shorter entries stay as they are */

struct pack {
    void *context;   /* zstd's, made at the first use */
    unsigned misses; /* tries in a row that did not pay */
    unsigned skip;   /* candidates to pass over before the next try */
};

void pack_close(struct pack *p);

/* True when compressing pays: *out (memory_free) holds *len bytes then, at most 7/8 of the input. */
bool pack_try(struct pack *p, struct bytes in, uint8_t **out, size_t *len);

/* Whether the sampled bytes are far enough from noise. Pure. */
bool pack_promising(struct bytes in);

/* Fills `to` with exactly `raw` bytes; false when the input is not that. */
bool pack_open(struct bytes in, uint8_t *to, size_t raw);

#endif
