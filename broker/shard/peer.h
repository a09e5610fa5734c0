/* What nodes say to each other on behalf of their shards, as bytes: version, kind, fields; little-endian. A link between two nodes
 * may lose, double and reorder frames, but a frame that arrives is whole (the link checks) and its sender is known.
 *
 *   replica -> replica of a shard    PEER_RAFT: the time (u64, timekeeper.h; 0: not known here), a message of raft
 *                                               (consensus/envelope.h), entries' bodies behind it
 *   source's leader -> target's      PEER_ACCEPT: the items of one round of a channel
 *   target's leader -> source's      PEER_ACCEPTED: what became of them */
#ifndef HATO_SHARD_PEER_H
#define HATO_SHARD_PEER_H

#include "base/bytes.h"
#include "base/error.h"

enum { PEER_VERSION = 1 };

enum peer_kind { PEER_RAFT = 1, PEER_ACCEPT = 2, PEER_ACCEPTED = 3 };

/* Begins a frame; what its kind says follows. */
void peer_begin(struct buffer *to, enum peer_kind kind);

/* Reads that beginning. Errors: ERR_PROTOCOL, ERR_VERSION. */
int peer_open(struct bytes frame, struct cursor *rest, enum peer_kind *kind, struct error *e);

struct peer_accept {
    uint16_t source;      /* shard */
    uint64_t round;       /* chosen by the sender; comes back with the answer */
    struct bytes payload; /* of a COMMAND_ACCEPT */
};
void peer_put_accept(struct buffer *to, const struct peer_accept *a); /* but the payload, which goes behind */
int peer_get_accept(struct cursor *rest, struct peer_accept *a, struct error *e);

struct peer_accepted {
    uint16_t target;    /* shard */
    uint64_t round;     /* as it came */
    uint8_t code;       /* of the command */
    struct bytes codes; /* of the items */
};
void peer_put_accepted(struct buffer *to, const struct peer_accepted *a);
int peer_get_accepted(struct cursor *rest, struct peer_accepted *a, struct error *e);

#endif
