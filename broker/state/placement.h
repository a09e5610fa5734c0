/* Which nodes have which shards. Pure.
 *
 * A shard has as many voters as the cluster wants replicas, or as there are nodes that stay, in as many zones as that allows, and the
 * nodes have about equally many. Every node has every shard, where it has no vote as a learner: what lists queues looks at its own. */
#ifndef HATO_STATE_PLACEMENT_H
#define HATO_STATE_PLACEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consensus/membership.h"

enum { PLACEMENT_REPLICAS = 3, PLACEMENT_REPLICAS_MAX = 7 };

/* Who is to take part in a shard's group. The three lists have no node in common. */
struct placement {
    struct membership_list voters;   /* empty: nobody has said; all stays as it is */
    struct membership_list learners; /* have the log, and no vote */
    struct membership_list others;   /* the cluster's other nodes: have nothing, and are told who leads */
    uint64_t lead;                   /* the voter that is to lead; 0: whoever does */
    uint64_t pinned;                 /* who was asked to lead it; 0: as it spreads best */
    uint64_t version;                /* of the change of the cluster that this follows from */
};

struct placement_node {
    uint64_t id;
    const char *zone; /* "": none, which is a zone of its own for each such node */
    bool leaves;
};

struct placement_nodes {
    const struct placement_node *all; /* in order of their ids; one of them stays at least */
    size_t count;
    uint32_t replicas; /* wanted */
};

/* Changes shards[0] (the catalog) to shards[count] as little as it takes. */
void placement_plan(const struct placement_nodes *nodes, struct placement *shards, uint16_t count);

/* The rest of each from its voters, which are nodes, and who is pinned. */
void placement_derive(const struct placement_nodes *nodes, struct placement *shards, uint16_t count);

#endif
