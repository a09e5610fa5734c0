/* Channels between shards (README.md): for each target shard an ordered outbox with sequences 1, 2, ..., and for each
 * source shard an inbox that takes each sequence once and remembers its answer.
 *
 * The leader forwards at most OUTBOX_WINDOW items beyond what is settled, in order, again and again until Settled is
 * applied; the other side answers an item it has seen as it did the first time, so an item is neither lost nor doubled.
 *
 * An item still holds its message's body: the extent's counts go down when the item is settled, not when it is put. One that its slot
 * keeps (moving.kept) goes with it: when its queue was purged, nothing is left to forward but its turn in the channel.
 * Loop thread. Memory: some bytes a channel; items are in the store only. */
#ifndef HATO_STATE_OUTBOX_H
#define HATO_STATE_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"
#include "state/machine.h"

struct keys;
struct outbox;

enum { OUTBOX_WINDOW = 4096 };

/* Loads the channels' heads. Errors: the store's. */
int outbox_open(struct keys *ks, struct outbox **out, struct error *e);
void outbox_close(struct outbox *o); /* accepts NULL */

/* A message on its way. */
struct moving {
    uint64_t sequence;       /* in the channel; given by outbox_put */
    struct bytes queue;      /* full name of the queue it is for */
    bool create;             /* make that queue anew when it is gone */
    bool kept;               /* its slot keeps it: a dead letter, unless put by a build that did not keep them */
    struct message_ref ref;  /* its Message as it was */
    struct bytes provenance; /* an encoded `provenance` field to append to it; at most OUTBOX_PROVENANCE_MAX */
    uint64_t from;           /* id of the queue it is from, to which it returns when refused */
    uint64_t from_sequence;  /* what it was there */
    uint64_t sent_ms;        /* to the queue it left */
    uint64_t available_ms;   /* when it could first be received there; 0: put by a build that did not keep it */
    uint64_t redrive;        /* that moved it (redrive_ops.move); 0: a dead letter */
    uint8_t priority;
    struct bytes group;  /* at most SETTINGS_GROUP_MAX bytes */
    struct bytes source; /* where it came from before, and why it was moved then: what its error record said; or "" */
    struct bytes reason;
};
enum { OUTBOX_PROVENANCE_MAX = 8192 };

/* Puts an item at the end of the channel to `target`; returns its sequence. */
uint64_t outbox_put(struct outbox *o, struct keys *ks, uint16_t target, const struct moving *m);

/* Settled: calls `visit` for each item up to `upto` not settled before, in order, then drops them. `refused` (ascending
 * or not) are those not taken. Sequences that were never given out are ignored, so a repeated or mistaken Settled does
 * no harm. `visit` returns an error code to stop with; the item is valid during the call, and may outbox_put.
 * Errors: the visitor's, the store's. */
int outbox_settle(struct outbox *o, struct keys *ks, uint16_t target, uint64_t upto, const uint64_t *refused,
                  size_t refused_count, int (*visit)(void *ctx, const struct moving *m, bool refused, struct error *e),
                  void *ctx, struct error *e);

/* Writes the heads that changed into the batch: at the end of an entry. */
void outbox_write(struct outbox *o, struct keys *ks);

/* As machine_outbox: items beyond `after` (settled ones are not there any more), at most `max`, none beyond the window. `withdrawn`
 * tells of which there is nothing left. */
int outbox_list(struct outbox *o, struct keys *ks, uint16_t target, uint64_t after, size_t max,
                bool (*withdrawn)(const void *ctx, const struct moving *m), const void *ctx, struct arena *arena,
                struct outbox_item **out, size_t *count, struct error *e);
size_t outbox_targets(const struct outbox *o, uint16_t *out, size_t max); /* with something to forward; ascending */
uint64_t outbox_pending(const struct outbox *o);                          /* items not settled, all targets */

/* ---------------------------------------------------------------- the receiving side */

/* What an Accept's item is: new (take it, then say inbox_answer), seen before (answer `*code` again), or beyond a gap:
 * items before it have not come, and it can't be taken (ERR_CONFLICT). */
enum inbox_verdict { INBOX_NEW, INBOX_SEEN, INBOX_GAP };
enum inbox_verdict inbox_look(const struct outbox *o, uint16_t source, uint64_t sequence, int *code);

/* The item INBOX_NEW was answered with `code` (ERR_OK: taken). */
void inbox_answer(struct outbox *o, uint16_t source, uint64_t sequence, int code);

#endif
