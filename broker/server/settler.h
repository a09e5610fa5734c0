/* What the dispatcher says of messages (ack, nack, extend) on its way into their shards. A shard that has too much waiting
 * for the disk refuses for a while; what was refused is kept, and said again until it is taken, in order. Or else a message
 * that was delivered would be delivered again, for no better reason than a busy disk.
 *
 * Anything but ERR_OVERLOADED is final: the shard is not led here any more, and the leases run out. Should a lease have run
 * out meanwhile, the shard refuses the receipt then.
 *
 * Threads: the loop's only. With nothing kept there is no timer. */
#ifndef HATO_SERVER_SETTLER_H
#define HATO_SERVER_SETTLER_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/list.h"
#include "dispatch/source.h"

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

struct settler {
    uv_timer_t timer;
    struct list *kept; /* by shard */
    unsigned shards;   /* the highest number */
    int (*submit)(void *ctx, const struct settlement *s);
    void *ctx;
    void (*closed)(void *arg);
    void *closed_arg;
};

/* `submit` puts one settlement into its shard; ERR_OVERLOADED: not now. */
void settler_open(struct settler *r, uv_loop_t *loop, unsigned shards,
                  int (*submit)(void *ctx, const struct settlement *s), void *ctx);

/* What is still kept is dropped: the leases run out. `closed` comes later. */
void settler_close(struct settler *r, void (*closed)(void *arg), void *arg);

/* Copied when it has to be kept. */
void settler_add(struct settler *r, const struct settlement *s);

/* Whether the shard has refused something that is not said yet: it should not be asked for more messages. */
bool settler_behind(const struct settler *r, uint16_t shard);

#endif
