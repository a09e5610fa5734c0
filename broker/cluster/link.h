/* One of a mesh's links: the connection that this node dialled to another one.
 *
 *            rest over           found            connected          its hello
 *   RESTING ----------> FINDING ------> DIALLING ----------> GREETING ---------> UP
 *      ^                  |                |                    |                |
 *      +------------------+----------------+--------------------+----------------+   it ended
 *
 * Nobody outside of cluster/ includes this. */
#ifndef HATO_CLUSTER_LINK_H
#define HATO_CLUSTER_LINK_H

#include "cluster/mesh.h"

enum link_step { LINK_RESTING, LINK_FINDING, LINK_DIALLING, LINK_GREETING, LINK_UP };

struct link {
    struct mesh *mesh;
    const struct roster_peer *peer;
    enum link_step step;
    struct alarm alarm; /* the end of a rest, of what a greeting may take; a tick while it is up */
    struct resolve resolve;
    struct stream stream;
    struct turn tell;  /* that frames were dropped */
    uint32_t failures; /* since it was last up */
    /* While it is up. */
    unsigned silent_ticks;
    uint64_t heard_ms; /* the stream's active_ms and */
    uint64_t taken;    /* the bytes it had got rid of, at the last tick */
    uint64_t put;
    uint64_t dropped; /* frames, since that was last traced */

    struct error blamed;  /* why this connection ends, or came to nothing */
    struct error problem; /* the same as last traced */
};

struct link *link_create(struct mesh *m, const struct roster_peer *peer);
void link_start(struct link *l);
void link_close(struct link *l); /* frees it, now or later; mesh->open is one less then */

struct buffer *link_begin(struct link *l, enum frame_kind kind, uint16_t shard, size_t len, size_t *at);
void link_end(struct link *l, size_t at);

#endif
