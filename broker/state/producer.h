/* Idempotent producers: which sequences a producer has stored, so that a repeated send is answered and not stored
 * again.
 *
 * A producer's sequences below its `settled_below` are settled: never stored again, and answered as duplicates without
 * an id. From there up what was stored is kept as runs (producer's sequence, count, queue, stored sequence). The newest
 * runs are in the producer's record (key `P`) and in memory, older ones in blocks of runs (key `p`) in the store only.
 * A producer that was not heard of for an hour in which the shard was led is forgotten; the one silent longest already after five minutes
 * when a new one finds no room, so that many clients of one send each don't keep others out.
 *
 *   producer_begin(...)                 once per send command, before its messages are looked at
 *   producer_stored(...)                for each message stored
 *   producer_write(...)                 at the end of the entry
 *
 * Loop thread. Memory: about 200 bytes a producer, PRODUCER_RUNS_KEPT runs of 32 bytes at most. */
#ifndef HATO_STATE_PRODUCER_H
#define HATO_STATE_PRODUCER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct keys;
struct producers;

enum {
    PRODUCER_SEQUENCES_MAX = 65536, /* from settled_below up */
    PRODUCERS_MAX = 100000,         /* a shard */
    PRODUCER_RUNS_KEPT = 64,        /* in memory and in the record; more go to a block */
};
#define PRODUCER_FORGET_MS UINT64_C(3600000)
#define PRODUCER_KEPT_MS                                                                                               \
    UINT64_C(300000) /* where there are PRODUCERS_MAX, a new one may take the place of one silent for this */
#define PRODUCER_NUMBER_MAX (UINT64_MAX / 2) /* the last that a message may have; kept runs begin at no higher one */

/* Loads the producers' records. Errors: the store's. */
int producer_open(struct keys *ks, struct producers **out, struct error *e);
void producer_close(struct producers *ps); /* accepts NULL */

/* What is known of one sequence of a send. */
struct producer_seen {
    bool stored;
    uint64_t sequence; /* as stored; 0 when it is settled and no longer known */
};

/* A send of `count` messages with sequences first, first + 1, ...; fills `seen` (count of them). Notes that the
 * producer was heard of and what it has settled.
 * Errors, of the command: ERR_INVALID (sequence 0, or one already used for another queue), ERR_LIMIT (too many
 * unsettled sequences; too many producers, all heard of within PRODUCER_KEPT_MS). ERR_CORRUPT, ERR_IO, ...: the store's; *broken says that it is one of
 * these. */
int producer_begin(struct producers *ps, struct keys *ks, uint64_t producer, uint64_t queue, uint64_t first,
                   uint32_t count, uint64_t settled_below, uint64_t now_ms, struct producer_seen *seen, bool *broken,
                   struct error *e);

/* The message with `producer_sequence`, of the last producer_begin, was stored. In any order, each once. */
void producer_stored(struct producers *ps, uint64_t producer, uint64_t producer_sequence, uint64_t queue,
                     uint64_t sequence);

/* Writes what changed since the last call into the batch. */
int producer_write(struct producers *ps, struct keys *ks, struct error *e);

/* Forgets at most `max` producers whose hour is over. It counts from `led_from_ms` at the earliest, when who leads the shard now began
 * to: they could not be heard of before. Returns how many. producer_next_due says when the next one's is; UINT64_MAX. */
size_t producer_forget(struct producers *ps, struct keys *ks, uint64_t now_ms, uint64_t led_from_ms, size_t max);
uint64_t producer_next_due_ms(const struct producers *ps, uint64_t led_from_ms);

#endif
