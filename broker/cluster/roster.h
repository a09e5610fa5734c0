/* Who the nodes of the cluster are, as this one knows: their addresses, what it has learnt of each when they met, and who is let
 * in.
 *
 * Addresses are those of --peers, and of the nodes that the catalog names besides; who is not in the catalog is no more.
 *
 * A node is known by its id *and* by the birth of its data directory. The first that was met under an id is remembered on disk
 * (`hato.peers`) before anything it says counts. Whoever comes later under that id with another birth has lost what the first had
 * promised, its votes and the entries it acknowledged, and is refused until it was removed from the cluster and added anew.
 *
 * Threads: any, behind a mutex; it is taken when nodes greet each other and when a client is told where a leader is, never on a
 * message's way. What the options say does not change. */
#ifndef HATO_CLUSTER_ROSTER_H
#define HATO_CLUSTER_ROSTER_H

#include "cluster/birth.h"
#include "cluster/hello.h"
#include "net/resolve.h"
#include "state/nodes.h"

struct roster;

struct roster_options {
    const char *data;          /* directory of `hato.peers`; borrowed */
    const struct birth *birth; /* this node's; borrowed */
    const char *peers;         /* 1=HOST:PORT,2=HOST:PORT,...; "" or NULL: no others */
    const char *listen;        /* HOST:PORT of this node, where `peers` does not have it; may be NULL */
    const char *clients;       /* where this node serves clients, for the others to tell; "" when they can't reach it */
    uint64_t instance;         /* random */
};

struct roster_peer {
    uint64_t node;
    char host[RESOLVE_HOST_MAX + 1];
    uint16_t port;
};

/* The nodes named in `peers`. Errors: ERR_INVALID with field "peers". */
int roster_parse(const char *peers, struct roster_peer out[MEMBERSHIP_NODES_MAX], uint32_t *count, struct error *e);

/* Errors: ERR_INVALID (peers), ERR_CORRUPT, ERR_IO (hato.peers). */
int roster_create(const struct roster_options *o, struct roster **out, struct error *e);
void roster_destroy(struct roster *r); /* accepts NULL */

uint64_t roster_self(const struct roster *r);
uint16_t roster_shards(const struct roster *r);

/* As HOST:PORT. */
void roster_address(const struct roster_peer *p, char out[HELLO_ADDRESS_MAX]);

/* The nodes of the cluster, this one included where its address is known; returns how many. In no order. */
size_t roster_nodes(struct roster *r, struct roster_peer out[MEMBERSHIP_NODES_MAX]);

/* What the catalog says now. Errors: ERR_IO. */
int roster_update(struct roster *r, const struct nodes_view *v, struct error *e);

/* What this node says of itself to node `to` (0: whoever it is). */
void roster_hello(const struct roster *r, uint64_t to, struct hello *out);

/* Whether who said `h` is what it should be: one of us, `expected` if that is not 0, and the one that was met before. When it is met
 * for the first time that is written down first. Errors: ERR_FORBIDDEN, ERR_CONFLICT, ERR_IO; the message is for both sides. */
int roster_judge(struct roster *r, const struct hello *h, uint64_t expected, struct error *e);

/* A connection of a node that was judged begins and ends. Connections of two processes under one id do not stand side by side.
 * Errors: ERR_CONFLICT. */
int roster_enter(struct roster *r, const struct hello *h, struct error *e);
void roster_leave(struct roster *r, uint64_t node);

/* Where a node serves clients, as it said when it was last met; "" when that is not known. */
void roster_clients(struct roster *r, uint64_t node, char out[HELLO_ADDRESS_MAX]);

#endif
