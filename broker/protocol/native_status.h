/* What a node says of itself, gathered from its shards one after the other. Nobody outside of protocol/ includes this. */
#ifndef HATO_PROTOCOL_NATIVE_STATUS_H
#define HATO_PROTOCOL_NATIVE_STATUS_H

#include "protocol/native_session.h"

/* In the op's arena, where op->extra points to. */
struct stating {
    Hato__StatusReply body;
    Hato__QueueCounts totals;
    uint16_t shard;
    void (*then)(struct op *op);
};

/* Fills x->body, which lives as long as the op, then calls `then` at home. */
void status_begin(struct op *op, struct stating *x, void (*then)(struct op *op));

#endif
