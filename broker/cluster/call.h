/* A connection that this node dialled to another one: found, connected, greeted, and then its owner's to speak over.
 *
 *            its name is resolved        connected          its hello
 *   FINDING --------------------> DIALLING -------> GREETING --------> UP
 *
 * Threads: the mesh's loop. */
#ifndef HATO_CLUSTER_CALL_H
#define HATO_CLUSTER_CALL_H

#include "cluster/mesh.h"

struct call;

struct call_ops {
    void (*up)(struct call *c, const struct hello *h);
    size_t (*data)(struct call *c, struct bytes in); /* as in stream_ops */
    /* Exactly once, never from inside call_start or call_end; the memory is then the owner's. */
    void (*ended)(struct call *c, const struct error *why);
};

enum call_step { CALL_FINDING, CALL_DIALLING, CALL_GREETING, CALL_UP };

struct call {
    struct mesh *mesh;
    struct roster_peer peer;
    const struct call_ops *ops;
    enum call_step step;
    enum hello_purpose purpose;
    unsigned attempt;   /* of several addresses another one each time */
    struct alarm alarm; /* of what a greeting may take */
    struct resolve resolve;
    struct stream stream; /* from CALL_DIALLING on; its limits are the owner's to set when it is up */
    struct error blamed;  /* why it ends: the first reason counts */
};

void call_start(struct call *c, struct mesh *m, const struct roster_peer *peer, enum hello_purpose purpose,
                unsigned attempt, const struct call_ops *ops);
void call_end(struct call *c, const struct error *why); /* `why` may be NULL */

#endif
