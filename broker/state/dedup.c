#include "state/dedup.h"

#include <string.h>

#include "base/assert.h"
#include "base/sha256.h"
#include "state/keys.h"

enum { VERSION = 1, PART_MAX = 255, OF_ID = 'i', OF_BODY = 'b' };

/* A generation lasts at least this long, so that short windows don't make a range to drop every second. */
#define GENERATION_MIN_MS UINT64_C(60000)

/* The parts' lengths keep them apart. */
static struct dedup_hash hash_of(uint8_t what, struct bytes group, struct bytes id)
{
    uint8_t text[3 + 2 * PART_MAX];
    uint8_t digest[SHA256_LEN];
    ASSERT(group.len <= PART_MAX && id.len <= PART_MAX);
    text[0] = what;
    text[1] = (uint8_t)group.len;
    text[2] = (uint8_t)id.len;
    if (group.len > 0)
        memcpy(text + 3, group.data, group.len);
    if (id.len > 0)
        memcpy(text + 3 + group.len, id.data, id.len);
    sha256(bytes_of(text, 3 + group.len + id.len), digest);
    struct dedup_hash h;
    memcpy(h.bytes, digest, sizeof h.bytes);
    return h;
}

struct dedup_hash dedup_hash_id(struct bytes group, struct bytes id)
{
    return hash_of(OF_ID, group, id);
}

struct dedup_hash dedup_hash_body(struct bytes group, struct bytes body)
{
    uint8_t digest[SHA256_LEN];
    sha256(body, digest);
    return hash_of(OF_BODY, group, bytes_of(digest, sizeof digest));
}

void dedup_turn(struct dedup *d, struct keys *ks, uint64_t queue, uint64_t now_ms, uint64_t window_ms)
{
    uint64_t lasts = window_ms > GENERATION_MIN_MS ? window_ms : GENERATION_MIN_MS;
    if (d->generation != 0 && now_ms < d->since_ms + lasts)
        return;
    d->generation++;
    d->since_ms = now_ms;
    if (d->generation <= 2)
        return;
    struct key from = key_of1(ks->shard, KEY_DEDUP, queue);
    struct key to = key_of2(ks->shard, KEY_DEDUP, queue, d->generation - 1);
    keys_delete_range(ks, &from, &to);
}

static int find_in(struct keys *ks, const struct key *k, uint64_t *put_ms, uint64_t *sequence, struct error *e)
{
    struct cursor c;
    int code = keys_get(ks, k, VERSION, &c, e);
    if (code != ERR_OK)
        return code;
    *put_ms = cursor_u64(&c);
    *sequence = cursor_u64(&c);
    return value_done(key_view(k), &c, e);
}

int dedup_find(const struct dedup *d, struct keys *ks, uint64_t queue, const struct dedup_hash *h, uint64_t now_ms,
               uint64_t window_ms, bool *found, uint64_t *sequence, struct error *e)
{
    *found = false;
    /* The present generation, then the one before: a hash put in both counts as put last. */
    for (uint64_t back = 0; back < 2 && back < d->generation; back++) {
        struct key k = key_dedup(ks->shard, queue, d->generation - back, h->bytes);
        uint64_t put_ms = 0;
        int code = find_in(ks, &k, &put_ms, sequence, e);
        if (code == ERR_NOT_FOUND)
            continue;
        if (code == ERR_OK)
            *found = now_ms < put_ms + window_ms;
        return code;
    }
    return ERR_OK;
}

void dedup_put(const struct dedup *d, struct keys *ks, uint64_t queue, const struct dedup_hash *h, uint64_t now_ms,
               uint64_t sequence)
{
    ASSERT(d->generation > 0);
    struct key k = key_dedup(ks->shard, queue, d->generation, h->bytes);
    struct buffer *v = keys_begin(ks, VERSION);
    buffer_u64(v, now_ms);
    buffer_u64(v, sequence);
    keys_put(ks, &k);
}

void dedup_clear(struct keys *ks, uint64_t queue)
{
    struct key from = key_of1(ks->shard, KEY_DEDUP, queue);
    struct key to = key_after(&from);
    keys_delete_range(ks, &from, &to);
}
