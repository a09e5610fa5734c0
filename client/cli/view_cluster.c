#include "cli/view_cluster.h"

#include <stddef.h>

const struct hato_shard *cluster_shard(const struct hato_node *n, uint32_t number)
{
    for (size_t i = 0; n->status != NULL && i < n->status->shard_count; i++)
        if (n->status->shards[i].shard == number)
            return &n->status->shards[i];
    return NULL;
}

const struct hato_shard *cluster_led(const struct hato_cluster *c, uint32_t number)
{
    const struct hato_shard *best = NULL;
    for (size_t i = 0; i < c->node_count; i++) {
        const struct hato_shard *s = cluster_shard(&c->nodes[i], number);
        if (s != NULL && s->replica_count > 0 && (best == NULL || s->term > best->term))
            best = s;
    }
    return best;
}

uint32_t cluster_shards(const struct hato_cluster *c)
{
    size_t most = 0;
    for (size_t i = 0; i < c->node_count; i++)
        if (c->nodes[i].status != NULL && c->nodes[i].status->shard_count > most)
            most = c->nodes[i].status->shard_count;
    return (uint32_t)most;
}

const struct hato_node *cluster_node(const struct hato_cluster *c, uint64_t node)
{
    for (size_t i = 0; i < c->node_count; i++)
        if (c->nodes[i].node == node)
            return &c->nodes[i];
    return NULL;
}

bool cluster_placed(const struct hato_cluster *c, uint32_t number)
{
    const struct hato_shard *s = cluster_led(c, number);
    return number >= c->plan_count || (s != NULL && s->placed_version >= c->version);
}
