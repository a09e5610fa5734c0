/* The way to a queue's leader: a client is told, or guesses anew. */
#ifndef HATO_TESTS_SIM_ROUTE_H
#define HATO_TESTS_SIM_ROUTE_H

#include "sim/sim_cluster.h"
#include "sim/sim_model.h"

extern const struct sim_queue sim_queues[SIM_QUEUES];

/* Which node a client takes for the leader of each shard; zeroed: it knows none. */
struct sim_route {
    struct sim_cluster *cluster;
    struct random *random;
    uint64_t node[SIM_SHARDS + 1];
};

unsigned sim_route_shard(int queue);

/* The queue's shard at the node that is taken for its leader, if it says it is; *s NULL: not now, and the next one is tried the next
 * time. True when it has the queue. */
bool sim_route_find(struct sim_route *r, int queue, struct shard **s, struct queue_view *q);

#endif
