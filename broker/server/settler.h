/* What the dispatcher says of messages (ack, nack, extend) on its way into their shards. A shard that has too much waiting
 * for the disk, or whose store is full, refuses for a while; what was refused is kept, and said again until it is taken, in
 * order. So is what was taken and then failed for want of space, or has an outcome that nobody knows: to say it twice does no
 * harm, since a lease that is over refuses. Or else a message that was delivered would be delivered again, for no better
 * reason than a busy or full disk.
 *
 * Extensions are not kept for a full store: it may stay full for long, and more of them come all the time. Any other refusal
 * is final: the shard is not led here any more, and the leases run out.
 *
 * Threads: the loop's only. With nothing kept there is no timer. */
#ifndef HATO_SERVER_SETTLER_H
#define HATO_SERVER_SETTLER_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/list.h"
#include "dispatch/source.h"
#include "shard/shard.h"

enum { SETTLER_AGAIN_MS = 10 };

enum settlement_kind { SETTLEMENT_ACK, SETTLEMENT_NACK, SETTLEMENT_EXTEND };

struct settlement {
    enum settlement_kind kind;
    uint16_t shard;
    uint64_t queue;
    const struct source_token *tokens;
    size_t count;
    struct source_nack nack;
    uint64_t visibility_ms; /* of an extension */
};

struct settler;

/* One on its way: the settler's copy, and the command that `submit` makes of it. */
struct settling {
    struct command command;
    struct settlement is;
    struct settler *settler; /* NULL: closed meanwhile */
    struct list_link link;   /* among those kept, or those out */
};

struct settler_shard {
    struct list kept;
    bool full; /* why it refused last: its store has no space */
};

struct settler {
    uv_timer_t timer;
    struct settler_shard *by_shard;
    unsigned shards; /* the highest number */
    struct list out; /* taken by their shards, not settled yet */
    int (*submit)(void *ctx, struct settling *s);
    void *ctx;
    void (*closed)(void *arg);
    void *closed_arg;
};

/* `submit` puts one settlement into its shard. ERR_OK: taken, settler_settled follows, in a later turn. */
void settler_open(struct settler *r, uv_loop_t *loop, unsigned shards, int (*submit)(void *ctx, struct settling *s),
                  void *ctx);

/* What is still kept is dropped: the leases run out. What is out may be settled later. `closed` comes later. */
void settler_close(struct settler *r, void (*closed)(void *arg), void *arg);

/* Copies it. */
void settler_add(struct settler *r, const struct settlement *s);

/* What became of one that was taken: `code` as of its reply. It is the settler's again, or gone. */
void settler_settled(struct settling *s, int code);

/* Whether something is still to be said, or on its way. */
bool settler_busy(const struct settler *r);

/* Whether something of the shard is to be said again: it should not be asked for more messages. */
bool settler_behind(const struct settler *r, uint16_t shard);

#endif
