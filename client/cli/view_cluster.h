/* A cluster put together from what each of its nodes says of itself. */
#ifndef HATO_CLI_VIEW_CLUSTER_H
#define HATO_CLI_VIEW_CLUSTER_H

#include "hato.h"

uint32_t cluster_shards(const struct hato_cluster *c); /* the catalog among them */

/* What a node says of a shard; NULL: nothing. */
const struct hato_shard *cluster_shard(const struct hato_node *n, uint32_t number);

/* A shard as the node that leads it sees it; of two that say so the later one. NULL: none does. */
const struct hato_shard *cluster_led(const struct hato_cluster *c, uint32_t number);

/* Whether the shard has come to be where it was last told to. */
bool cluster_placed(const struct hato_cluster *c, uint32_t number);

const struct hato_node *cluster_node(const struct hato_cluster *c, uint64_t node); /* NULL: there is no such node */

#endif
