/* Chunks: up to 64 messages of one lane that came with one entry, and the moves of their messages between ready, leased, delayed
 * and gone. All counters of queue and lane are kept here, so that they can't disagree with the bits. */
#ifndef HATO_STATE_CHUNK_H
#define HATO_STATE_CHUNK_H

#include "state/internal.h"

static inline uint64_t chunk_bit(unsigned slot)
{
    return UINT64_C(1) << slot;
}

static inline unsigned chunk_first_slot(uint64_t bits) /* bits is not 0 */
{
    return (unsigned)__builtin_ctzll(bits);
}

static inline uint32_t chunk_bits_count(uint64_t bits)
{
    return (uint32_t)__builtin_popcountll(bits);
}

/* The bits of slots 0 to count - 1. */
static inline uint64_t chunk_all(unsigned count)
{
    return count >= 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1;
}

/* The lowest `n` bits that are set. */
uint64_t chunk_lowest(uint64_t bits, uint32_t n);

static inline unsigned chunk_class(uint64_t number)
{
    return (unsigned)(number & 1);
}

static inline uint64_t chunk_sequence(uint64_t number, unsigned slot)
{
    return number * CHUNK_SLOTS + slot;
}

/* When its messages became, or become, available: retention counts from here. */
static inline uint64_t chunk_available_ms(const struct chunk *c)
{
    return c->due_ms > c->sent_ms ? c->due_ms : c->sent_ms;
}

uint64_t chunk_bytes(const struct chunk *c, uint64_t bits); /* stored bytes of these slots */

/* A chunk in memory and in its queue's tree, without messages, fresh, in no list. The caller sets what is to be set. */
struct chunk *chunk_create(struct queue *q, struct lane *l, uint64_t number, unsigned capacity);
void chunk_add_slot(struct chunk *c, uint32_t offset, uint32_t len); /* at most 64 */
/* Out of memory only: not out of any count or record. It is in no lane's list. */
void chunk_free(struct machine *m, struct chunk *c);
size_t chunk_memory(const struct chunk *c);

/* The chunk in memory, or read from the store (then dirty, so that the entry's end decides whether it stays). *out is NULL when
 * there is none, or none of its messages is left. */
int chunk_load(struct machine *m, struct queue *q, uint64_t number, struct chunk **out, struct error *e);

/* The same, when it is known to be fresh: spares a read. */
int chunk_load_fresh(struct machine *m, struct queue *q, uint64_t number, struct chunk **out, struct error *e);

/* Puts what the cold touch record says into a chunk read from the store, if there is one. */
int chunk_load_cold(struct machine *m, struct chunk *c, struct error *e);

/* It has changed: looked at when the entry ends. */
void chunk_mark(struct machine *m, struct chunk *c);

/* Fresh or cold to open. A fresh one must be in no list any more. */
void chunk_open(struct machine *m, struct chunk *c);

/* Into and out of `ready`, with its counts. The bits are live and not leased or delayed. */
void chunk_make_ready(struct machine *m, struct chunk *c, uint64_t bits);
void chunk_take_ready(struct machine *m, struct chunk *c, uint64_t bits);

/* Into and out of `delayed`: those that a due key waits for. */
void chunk_make_delayed(struct machine *m, struct chunk *c, uint64_t bits);
void chunk_take_delayed(struct machine *m, struct chunk *c, uint64_t bits);

/* Into and out of `moving`, with its counts: on a FIFO queue the group waits meanwhile. The bits are live and in no state. */
void chunk_make_moving(struct machine *m, struct chunk *c, uint64_t bits);
void chunk_take_moving(struct machine *m, struct chunk *c, uint64_t bits);

/* These leave the queue: they are live, and by now in no state. `dead` tells whether their bodies may go as well
 * (they don't when a redrive puts them into the outbox). */
void chunk_remove(struct machine *m, struct chunk *c, uint64_t bits, bool dead);

/* Takes them from wherever they are (ready, delayed) and removes them. */
void chunk_drop(struct machine *m, struct chunk *c, uint64_t bits, bool dead);

/* The same of a fresh chunk; one that has nothing left is no longer met by its lane. */
int chunk_drop_fresh(struct machine *m, struct chunk *c, uint64_t bits, bool dead, struct error *e);
/* What chunk_drop_fresh does after the drop; of any chunk. */
int chunk_thinned(struct machine *m, struct chunk *c, struct error *e);
/* `dead` are dropped of a fresh chunk, and what is left of it is moving: it is opened, and no longer met by its lane. */
int chunk_wait(struct machine *m, struct chunk *c, uint64_t dead, struct error *e);

/* The entry's end: writes or deletes the records, and lets go of what need not stay in memory. */
void chunk_finish(struct machine *m, struct chunk *c);

/* When something happens to it by itself: NEVER if nothing does. */
uint64_t chunk_deadline(const struct chunk *c);

/* The touch array, made when first needed. */
struct touch *chunk_touches(struct chunk *c);

/* ---------------------------------------------------------------- chunk_record.c: as the store has them */

/* Key of the chunk record: sorted by class first, so that the default lane's fresh chunks lie together. */
struct key chunk_key(uint16_t shard, uint64_t queue, uint64_t number);
/* The number back from the last 8 bytes of such a key. */
uint64_t chunk_key_number(struct bytes key);

void chunk_record_put(struct machine *m, const struct chunk *c);
void chunk_touch_put(struct machine *m, const struct chunk *c, enum key_kind kind); /* KEY_TOUCH or KEY_COLD */

/* A chunk record as it stands, before it becomes a chunk; `group` is a view into the value. */
struct chunk_record {
    uint64_t index, sent_ms, due_ms, errors;
    struct bytes group;
    uint8_t priority;
    uint8_t count;
    struct slot slots[CHUNK_SLOTS];
};
/* `value` is at the first field (value_open). */
int chunk_record_parse(struct bytes key, struct cursor *value, struct chunk_record *r, struct error *e);
/* Where its messages are when it has no touch record: sets state, live, ready, delayed, errors. */
void chunk_record_apply(struct chunk *c, const struct chunk_record *r);

/* Makes a chunk (as chunk_create) of a record's value; its lane is made if need be. */
int chunk_record_read(struct machine *m, struct queue *q, uint64_t number, struct bytes key, struct cursor *value,
                      struct chunk **out, struct error *e);
/* Puts what a touch record says into the chunk's fields; no counts change. */
int chunk_touch_read(struct chunk *c, struct bytes key, struct cursor *value, struct error *e);

/* An extent_chunk_fn (extent.h). */
int chunk_live_refs(struct store *store, const struct store_snapshot *snapshot, uint16_t shard, uint64_t queue,
                    uint64_t number, struct buffer *buffer, struct message_ref out[EXTENT_CHUNK_SLOTS], size_t *count,
                    struct error *e);

enum { CHUNK_RECORD_VERSION = 1, CHUNK_TOUCH_VERSION = 2 /* 1 has nothing moving */ };

#endif
