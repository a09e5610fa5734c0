/* A seat's connections to the other nodes: a *link* dialled to each, over which this seat's frames leave, and a *gate* where theirs
 * come in. All shards of a seat share its links.
 *
 *   shard -> seat -> mesh_begin, mesh_end -> link ==> gate of the other node -> frame, on the loop of the shard
 *
 * Frames of one turn leave in one write. They may be lost: a link that is down or has too much in hand drops them, which the owner is
 * told of (`unreachable`). Frames that arrive come whole, in order while their connection lasts, and from who they say.
 *
 * Threads: a mesh belongs to its loop; `frame` is called on the loop that `loop_of` names. */
#ifndef HATO_CLUSTER_MESH_H
#define HATO_CLUSTER_MESH_H

#include "base/blob.h"
#include "base/random.h"
#include "base/trace.h"
#include "cluster/frame.h"
#include "cluster/roster.h"
#include "net/alarm.h"
#include "net/stream.h"
#include "net/tls.h"

enum {
    MESH_QUEUE_MAX =
        32 * 1024 * 1024,     /* bytes for a peer beyond which frames are dropped; one of any size still fits */
    MESH_GREET_MS = 5 * 1000, /* for resolving, connecting, TLS and hellos together */
    MESH_TICK_MS = 500,       /* a ping a tick */
    MESH_SILENT_TICKS = 6,    /* without a byte from the peer, or one taken by it: the connection is given up */
    MESH_REST_MIN_MS = 50,    /* between a connection's end and the next dialling, at first */
    MESH_REST_MAX_MS = 1000,  /* and at most; with jitter, so that nodes do not go in step */
    MESH_GUESTS_MAX = 64,     /* connections at one gate */
    MESH_AWAY_MAX =
        16 * 1024 * 1024, /* bytes of a connection's frames on their way to other loops; beyond, it is not read */
};

struct mesh;

struct mesh_ops {
    void *ctx;
    struct loop *(*loop_of)(void *ctx, uint16_t shard);                          /* any thread */
    void (*frame)(void *ctx, uint64_t node, uint16_t shard, struct blob *frame); /* takes references as it needs them */
    /* A node brings requests of a client of its own: takes the connection over with stream_take_over and `rest`, or leaves it, and it is
     * closed. On the mesh's own loop. NULL: closed. */
    void (*clients)(void *ctx, struct mesh *m, uint64_t node, struct stream *from, struct bytes rest);
    /* Frames for the node are being lost; on the mesh's own loop, in a turn of its own. */
    void (*unreachable)(void *ctx, struct mesh *m, uint64_t node);
};

struct mesh_options {
    struct loop *loop;
    struct roster *roster;   /* borrowed, as what follows */
    struct tls_context *tls; /* NULL: none */
    const char *listen;      /* HOST:PORT */
    bool share;              /* other loops listen there as well */
    uint64_t seed;           /* of the jitter */
    struct trace *trace;     /* may be NULL */
    const struct mesh_ops *ops;
};

struct link;

struct mesh {
    struct mesh_options options;
    struct alarms alarms;
    struct random random;
    struct listener listener;
    struct list guests;
    struct link *links[MEMBERSHIP_NODES_MAX];
    uint32_t link_count;
    bool started, closing;
    unsigned open; /* parts that are not closed yet: links, guests, the listener */
    struct turn end;
    void (*closed)(struct mesh *m);
};

/* Binds. On error nothing is left open. */
int mesh_open(struct mesh *m, const struct mesh_options *o, struct error *e);

/* Listens and dials. On error mesh_close is still owed. */
int mesh_start(struct mesh *m, struct error *e);

/* The roster has changed: dials who is new or elsewhere now, and has no more to do with who is gone. */
void mesh_update(struct mesh *m);

/* `closed` is called when nothing of it is left, never from inside. */
void mesh_close(struct mesh *m, void (*closed)(struct mesh *m));

/* A frame to a shard of another node: `len` bytes are to be put into the buffer, then mesh_end says so. NULL when it is dropped. */
struct mesh_frame {
    struct buffer *to;
    struct link *link;
    size_t at;
};
struct buffer *mesh_begin(struct mesh *m, struct mesh_frame *f, uint64_t node, uint16_t shard, size_t len);
void mesh_end(struct mesh_frame *f);

/* Where a node is; NULL when there is no such node. */
const struct roster_peer *mesh_peer(const struct mesh *m, uint64_t node);

/* Whether the node's hello has been heard and the connection lasts. */
bool mesh_reaches(const struct mesh *m, uint64_t node);

#endif
