/* One of a mesh's links: calls another node, again and again, and sends it frames while that lasts.
 *
 *            rest over           up
 *   RESTING ----------> CALLING ----> UP
 *      ^                   |           |
 *      +-------------------+-----------+   the call ended
 *
 * Nobody outside of cluster/ includes this. */
#ifndef HATO_CLUSTER_LINK_H
#define HATO_CLUSTER_LINK_H

#include "cluster/call.h"

enum link_step { LINK_RESTING, LINK_CALLING, LINK_UP };

struct link {
    struct mesh *mesh;
    struct roster_peer peer;
    bool closing;
    enum link_step step;
    struct call call;
    struct alarm alarm; /* the end of a rest; a tick while it is up */
    struct turn tell;   /* that frames were dropped */
    uint32_t failures;  /* since it was last up */

    /* While it is up. */
    unsigned silent_ticks;
    uint64_t heard_ms; /* the stream's active_ms and */
    uint64_t taken;    /* the bytes it had got rid of, at the last tick */
    uint64_t put;
    uint64_t dropped; /* frames, since that was last traced */

    struct error problem; /* why it is not up, as last traced */
};

struct link *link_create(struct mesh *m, const struct roster_peer *peer);
void link_start(struct link *l);
void link_close(struct link *l); /* frees it, now or later; mesh->open is one less then */

struct buffer *link_begin(struct link *l, enum frame_kind kind, uint16_t shard, size_t len, size_t *at);
void link_end(struct link *l, size_t at);

#endif
