/* Which node decides a request: the one that leads the shard of its queue, or of the catalog. Nobody outside of protocol/ includes this.
 *
 * A request that another node decides goes there over a *relay*, and its reply comes back to the client. It is kept as it came
 * until it is answered: where the answer is that the node does not lead (any more), or where the connection to it ends, it is asked
 * again, of whoever leads then, if that can do no harm; else its client is told that the outcome is unknown.
 *
 *   client -> native_dispatch -> route_take -+-> here: the op's own way
 *                                  ^         +-> relay ==> the leader's session -> its op -> reply ==> client
 *                                  |         +-> held, while nobody is known to lead
 *                                  +-- route_again: held, and then once more
 *
 * Requests of one connection for one shard do not overtake each other: while some are out to one node, none goes to another.
 *
 * Threads: the session's loop. */
#ifndef HATO_PROTOCOL_NATIVE_ROUTE_H
#define HATO_PROTOCOL_NATIVE_ROUTE_H

#include "protocol/native_session.h"

enum {
    ROUTE_WAIT_MS = 10 * 1000, /* for a leader; then the request is refused with NOT_LEADER */
    ROUTE_AGAIN_MS = 50,       /* between looks at what is held */
};

/* A request as it came. */
struct kept {
    struct list_link link; /* of routes->held */
    uint64_t id;
    uint64_t order; /* of arrival */
    uint64_t since_ms;
    uint32_t number; /* of its operation */
    uint16_t shard;
    uint32_t credit; /* that came for a stream while it was held */
    bool in_doubt;   /* a send that a leader took and lost its office over */
    bool waits;      /* it counts in session->waiting while it is held */
    bool counts;     /* others for the shard may not overtake it: all but what waits for messages */
    size_t len;
    uint8_t frame[];
};

/* A session's, made with its first request that may be another node's. */
struct routes {
    struct session *session;
    struct list held; /* by order of arrival */
    struct alarm again;
    struct list relays;
    uint64_t arrivals;
    struct kept *starting; /* op_create takes it up */
    struct route {
        uint64_t target; /* node that requests for the shard are out to */
        uint32_t out;    /* that count */
        /* It has answered one. Before that one goes at a time: it might refuse the first and take the second. */
        bool proven;
        uint32_t held;
        uint64_t stuck; /* while going through what is held: one had to wait */
    } shards[];
};

/* Sees to the request if it is one that any node may get but only a leader decides. False: it is this node's, like what it says
 * about itself. `body` is that of the operation, a part of `frame`. `good` becomes whether it can be read. */
bool route_take(struct session *s, uint64_t id, uint32_t number, struct bytes body, struct bytes frame, bool *good);

/* The op's request comes to nothing with `code`: whether it is asked again, instead of being answered. Takes op->kept over then. */
bool route_again(struct op *op, int code);

/* What an earlier try left open, a later one's refusal for want of a leader or of room does not settle: then op->error says so. */
void route_doubt(struct op *op);

void route_done(struct session *s, struct kept *k); /* it is answered, or nobody waits for it; frees it */

/* Credit for a stream, or its close (0), while it is held. False: there is none of this id. */
bool route_credit(struct session *s, uint64_t id, uint32_t credit);

void route_drained(struct session *s); /* the client reads again */
void route_gone(struct session *s);    /* the client is gone */
void route_free(struct session *s);

/* As op_visit; where another node leads the shard, that one is asked `request` instead: its refusal becomes op->error, and op->at is not
 * called. For what an op has to know of a second shard. */
void route_visit(struct op *op, uint16_t shard, Hato__Request *request);
void route_visit_queue(struct op *op, struct bytes full_name, Hato__Request *request);

/* Asks a node `request` on the op's behalf: comes back with op_come_home, and op->answered or op->error. */
void route_ask(struct op *op, uint64_t node, Hato__Request *request);

/* ---------------------------------------------------------------- native_relay.c */

/* Passes the op's request on to a node: comes back with op_answer. */
void relay_forward(struct op *op, uint64_t node, struct bytes request);
/* Asks a node on the op's behalf: comes back with op_come_home. */
void relay_ask(struct op *op, uint64_t node, struct bytes request);
void relay_forget(struct op *op); /* that it asked: it does not come back */
/* The node owes the session an answer to something that was forgotten. */
bool relay_is_late(const struct session *s, uint64_t node);
void relay_credit(struct op *op, uint32_t credit); /* of a stream that was passed on; 0 closes it */
void relay_drained(struct routes *r);
void relay_gone(struct routes *r);

/* native_dispatch.c: starts the op of a request here. False: it can't be read. */
bool native_start(struct session *s, uint64_t id, uint32_t number, struct bytes body, struct bytes frame);
/* The id and the operation of a request, without decoding it. */
bool native_look(struct bytes frame, uint64_t *id, uint32_t *number, struct bytes *body);

#endif
