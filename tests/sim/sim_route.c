#include "sim/sim_route.h"

#include "state/identity.h"

unsigned sim_route_shard(int queue)
{
    return identity_shard_of(bytes_text(sim_queues[queue].name), SIM_SHARDS);
}

/* A hint is followed the next time, or where there is none another node is tried. */
static struct shard *shard_of(struct sim_route *r, int queue)
{
    unsigned number = sim_route_shard(queue);
    if (r->node[number] == 0)
        r->node[number] = 1 + random_below(r->random, r->cluster->count);
    struct sim_node *n = sim_cluster_node(r->cluster, r->node[number]);
    struct shard *s = n->up ? n->shards[number] : NULL;
    if (s != NULL && shard_leads(s))
        return s;
    struct shard_status status = {0};
    if (s != NULL)
        shard_status(s, &status);
    bool told = status.leader != r->node[number] && random_below(r->random, 4) != 0;
    r->node[number] = told ? status.leader : 0;
    return NULL;
}

bool sim_route_find(struct sim_route *r, int queue, struct shard **s, struct queue_view *q)
{
    *s = shard_of(r, queue);
    return *s != NULL && machine_queue_find(shard_machine(*s), sim_queues[queue].name, q);
}
