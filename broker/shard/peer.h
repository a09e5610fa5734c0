/* What nodes say to each other on behalf of their shards, as bytes: version, kind, fields; little-endian. A link between two nodes
 * may lose, double and reorder frames, but a frame that arrives is whole (the link checks) and its sender is known.
 *
 *   replica -> replica of a shard    PEER_RAFT: the time (u64, timekeeper.h; 0: not known here), a message of raft
 *                                               (consensus/envelope.h), entries' bodies behind it
 *   source's leader -> target's      PEER_ACCEPT: the items of one round of a channel
 *   target's leader -> source's      PEER_ACCEPTED: what became of them
 *   leader -> follower               PEER_OFFER: as PEER_RAFT, a message that offers a snapshot
 *   follower -> who offered          PEER_WANT: the next part of it
 *   and back                         PEER_PART: records (u16 length of the key, u32 of the value, key, value) behind it
 *   replica -> its group's           PEER_MEMBER: whether it takes part at all
 *   leader -> that replica           PEER_STRANGER: it does not
 *   leader -> who takes no part      PEER_LEAD: it leads */
#ifndef HATO_SHARD_PEER_H
#define HATO_SHARD_PEER_H

#include "base/bytes.h"
#include "base/error.h"

enum { PEER_VERSION = 1 };

enum peer_kind {
    PEER_RAFT = 1,
    PEER_ACCEPT = 2,
    PEER_ACCEPTED = 3,
    PEER_OFFER = 4,
    PEER_WANT = 5,
    PEER_PART = 6,
    PEER_MEMBER = 7,
    PEER_STRANGER = 8,
    PEER_LEAD = 9,
};

/* What a part of a snapshot holds. SNAPSHOT_GONE: nothing, the offer is no more. */
enum snapshot_phase { SNAPSHOT_BODIES = 0, SNAPSHOT_STATE = 1, SNAPSHOT_GONE = 2 };

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

struct peer_want {
    uint64_t id; /* of the offer */
    enum snapshot_phase phase;
    struct bytes after; /* the last key of the part before; empty at the beginning */
};
void peer_put_want(struct buffer *to, const struct peer_want *w);
int peer_get_want(struct cursor *rest, struct peer_want *w, struct error *e);

struct peer_part {
    uint64_t id;
    enum snapshot_phase phase;
    bool last;             /* of its phase */
    struct bytes after;    /* as asked */
    struct bytes position; /* the last key in it, or passed over */
    uint64_t hash;         /* bytes_hash of the records, seeded with the id */
};
void peer_put_part(struct buffer *to, const struct peer_part *p); /* but the records, which go behind */
int peer_get_part(struct cursor *rest, struct peer_part *p, struct bytes *records, struct error *e);

/* `question`: chosen by who asks; comes back with the answer. `term`: in which who answers leads. */
void peer_put_member(struct buffer *to, uint64_t question);
int peer_get_member(struct cursor *rest, uint64_t *question, struct error *e);
void peer_put_stranger(struct buffer *to, uint64_t question, uint64_t term);
int peer_get_stranger(struct cursor *rest, uint64_t *question, uint64_t *term, struct error *e);

void peer_put_lead(struct buffer *to, uint64_t term);
int peer_get_lead(struct cursor *rest, uint64_t *term, struct error *e);

#endif
