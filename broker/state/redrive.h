/* Redrives: the messages of a queue go, through the outbox, to where they came from or to a queue that is named. One
 * runs at a time in a queue; the last REDRIVE_KEPT are remembered (key `r` queue).
 *
 * A redrive looks at what was in the queue when it began, in order of chunk number. A message that is leased or
 * delayed, whose last error doesn't contain the reason asked for, or whose source nobody knows, is skipped. On a FIFO queue
 * what was left so because it was leased or delayed keeps the rest of its group, too, until the redrive is over: what moves of a
 * group had nothing before it that stays because somebody has it. One that follows a cancelled one begins when what that had moved
 * has arrived or is back. It moves as fast as its rate allows in machine time (bursts of at most a
 * second's worth), and waits while REDRIVE_OUTSTANDING items are in the outbox. It is over when the last of what it moved has arrived or is
 * back.
 *
 * All redrives of a shard share what an entry may spend on them: up to REDRIVE_SIDE_BY_SIDE of those that are due, beginning
 * with another one each time, take equal parts of REDRIVE_STEPS.
 *
 * Loop thread. */
#ifndef HATO_STATE_REDRIVE_H
#define HATO_STATE_REDRIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "state/machine.h"

struct keys;
struct outbox;
struct redrives;

enum {
    REDRIVE_KEPT = 10,
    REDRIVE_STEPS = 1000, /* chunks and messages looked at in one entry, by all redrives */
    REDRIVE_SIDE_BY_SIDE = 16,
    REDRIVE_OUTSTANDING = 10000,
    REDRIVE_ID_LEN = 16,
    REDRIVE_REASON_MAX = 1024,
};
#define REDRIVE_RATE_MAX 1000000.0

/* What the queue's owner does for a redrive. An error code other than 0 stops the shard. */
struct redrive_ops {
    void *ctx;
    /* Begins to go over the queue's chunks from number `from` to before `end`. `redrive`, never 0, is the one that goes. */
    void (*open)(void *ctx, uint64_t queue, uint64_t redrive, uint64_t from, uint64_t end);
    /* The next one that has a live message: its number, the bits of those that are alive and those that are free to move
     * (neither leased nor delayed, nor kept by one that `stay` was told of). */
    int (*next)(void *ctx, bool *found, uint64_t *chunk, uint64_t *live, uint64_t *free, struct error *e);
    /* A message of the chunk that `next` gave is left because it is not free. Does it keep those behind it in the chunk? */
    bool (*stay)(void *ctx);
    int (*close)(void *ctx, struct error *e);
    /* Takes the message out of the queue and puts it into the outbox for `destination` (a full name). `redrive`, never 0, is for
     * redrive_settled. */
    int (*move)(void *ctx, uint64_t queue, uint64_t sequence, struct bytes destination, uint64_t redrive,
                struct error *e);
};

int redrive_open(struct keys *ks, struct redrives **out, struct error *e); /* loads all records */
void redrive_close(struct redrives *r);                                    /* accepts NULL */

/* `end`: the queue's next chunk; `total`: its messages now, those on their way elsewhere among them; `seed`: of the entry, makes the id. `destination` "" or the
 * full name of a queue of the same kind. On success *id is valid until the queue's redrives change.
 * Errors: ERR_INVALID (destination, reason, rate), ERR_CONFLICT (one is running, or the last REDRIVE_KEPT were cancelled while the first of
 * these has messages on their way). */
int redrive_start(struct redrives *r, uint64_t queue, struct bytes queue_name, struct bytes destination,
                  struct bytes reason, double rate, uint64_t end, uint64_t total, uint64_t now_ms, uint64_t seed,
                  const char **id, struct error *e);

/* `id` "": the running one. What is in the outbox by then arrives. Errors: ERR_NOT_FOUND, ERR_CONFLICT (already over).
 * */
int redrive_cancel(struct redrives *r, uint64_t queue, struct bytes id, uint64_t now_ms, struct error *e);

/* At the start of an entry: those that are due go on. `turn` is another number with each entry, and the same on all
 * replicas: who begins depends on it. */
int redrive_step(struct redrives *r, struct keys *ks, struct outbox *o, uint64_t now_ms, uint64_t turn,
                 const struct redrive_ops *ops, struct error *e);
uint64_t redrive_next_due_ms(const struct redrives *r,
                             const struct outbox *o); /* UINT64_MAX: none, or the outbox is full */

/* An item of a redrive (moving.redrive) has arrived, or was refused and is back in its queue, which counts as skipped. The last one ends
 * the redrive. Nothing if the redrive is not remembered. */
void redrive_settled(struct redrives *r, uint64_t queue, uint64_t redrive, bool refused, uint64_t now_ms);
/* It moves nothing more until then. */
void redrive_put_off(struct redrives *r, uint64_t queue, uint64_t redrive, uint64_t until_ms);

/* Writes what changed into the batch: at the end of an entry. */
void redrive_write(struct redrives *r, struct keys *ks);

/* The queue is deleted. */
void redrive_clear(struct redrives *r, struct keys *ks, uint64_t queue);

/* Newest first; as machine_redrives. */
size_t redrive_list(const struct redrives *r, uint64_t queue, struct redrive_view *out, size_t max);

#endif
