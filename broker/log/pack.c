#include "log/pack.h"

#include <zstd.h>

#include "base/assert.h"
#include "base/memory.h"

enum {
    LEVEL = -1, /* half as much again as level 1 can do, for two thirds of its gain */
    SAMPLES = 16,
    SAMPLE_BYTES = 64,
    /* The sum of squared byte counts of 1,024 random bytes is about 5,100, of base64 17,000, of English 60,000. */
    NOISE_MAX = 6500,
    SKIP_DOUBLINGS_MAX = 6,
};

void pack_close(struct pack *p)
{
    ZSTD_freeCCtx(p->context);
    *p = (struct pack){0};
}

bool pack_promising(struct bytes in)
{
    if (in.len < PACK_BYTES_MIN)
        return false;
    uint32_t count[256] = {0};
    size_t stride = (in.len - SAMPLE_BYTES) / (SAMPLES - 1);
    for (size_t s = 0; s < SAMPLES; s++) {
        for (size_t i = 0; i < SAMPLE_BYTES; i++)
            count[in.data[s * stride + i]]++;
    }
    uint32_t sum = 0;
    for (size_t i = 0; i < 256; i++)
        sum += count[i] * count[i];
    return sum > NOISE_MAX;
}

static bool missed(struct pack *p)
{
    if (p->misses < SKIP_DOUBLINGS_MAX)
        p->misses++;
    p->skip = 1u << p->misses;
    return false;
}

bool pack_try(struct pack *p, struct bytes in, uint8_t **out, size_t *len)
{
    if (!pack_promising(in))
        return false;
    if (p->skip > 0) {
        p->skip--;
        return false;
    }
    if (p->context == NULL)
        p->context = ZSTD_createCCtx();
    ASSERT(p->context != NULL);
    size_t room = in.len - in.len / 8;
    uint8_t *to = memory_alloc(room);
    size_t size = ZSTD_compressCCtx(p->context, to, room, in.data, in.len, LEVEL);
    if (ZSTD_isError(size)) { /* it did not fit into 7/8 */
        memory_free(to);
        return missed(p);
    }
    p->misses = 0;
    *out = to;
    *len = size;
    return true;
}

bool pack_open(struct bytes in, uint8_t *to, size_t raw)
{
    size_t size = ZSTD_decompress(to, raw, in.data, in.len);
    return !ZSTD_isError(size) && size == raw;
}
