/* Deduplication ids: a message whose id was stored within the queue's window is not stored again, also after it was
 * deleted.
 *
 * Ids live in generations, kept by `struct dedup` in the queue: when the present one is as old as the window a new one
 * begins, and all but the one before it are dropped by range. So two places are looked at, and each id's own time
 * decides. Rotation happens when something is sent; a queue nobody sends to keeps at most two windows of ids.
 *
 * Loop thread. What is put is found at once, within the same entry too. */
#ifndef HATO_STATE_DEDUP_H
#define HATO_STATE_DEDUP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

struct keys;

/* The caller keeps it with the queue's record. A zeroed struct is that of a queue to which no id was sent yet. */
struct dedup {
    uint64_t generation;
    uint64_t since_ms; /* when the present generation began */
};

struct dedup_hash {
    uint8_t bytes[16];
};

/* `group` is "" when the scope is the queue. An id and a body never meet, nor do two groups. */
struct dedup_hash dedup_hash_id(struct bytes group, struct bytes id);
struct dedup_hash dedup_hash_body(struct bytes group, struct bytes body); /* SHA-256 of the body */

/* Before the first find or put of an entry for this queue (any number of times does no harm): begins a new generation
 * when it is time. */
void dedup_turn(struct dedup *d, struct keys *ks, uint64_t queue, uint64_t now_ms, uint64_t window_ms);

/* Whether the hash was put less than `window_ms` ago, and the sequence then given. Errors: the store's. */
int dedup_find(const struct dedup *d, struct keys *ks, uint64_t queue, const struct dedup_hash *h, uint64_t now_ms,
               uint64_t window_ms, bool *found, uint64_t *sequence, struct error *e);

void dedup_put(const struct dedup *d, struct keys *ks, uint64_t queue, const struct dedup_hash *h, uint64_t now_ms,
               uint64_t sequence);

/* Forgets all of a queue that is deleted. (A purge keeps them, as SQS does.) */
void dedup_clear(struct keys *ks, uint64_t queue);

#endif
