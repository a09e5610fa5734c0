/* Nodes 1 to `count` and the network between them, in one virtual time. */
#ifndef HATO_TESTS_SIM_CLUSTER_H
#define HATO_TESTS_SIM_CLUSTER_H

#include "sim/sim_net.h"
#include "sim/sim_node.h"

enum { SIM_HASHES = 256 };

/* What a replica's state was after an entry: the others' has to be the same. */
struct sim_hash {
    uint64_t applied, node;
    struct sim_records records;
};

struct sim_cluster {
    struct sim_node nodes[SIM_NODES_MAX]; /* node n is nodes[n - 1] */
    uint64_t count;
    struct placement wanted[SIM_SHARDS + 1]; /* no voters: nobody says */
    struct sim_net net;
    struct sim_hash hashes[SIM_SHARDS + 1][SIM_HASHES]; /* by applied index */
    uint64_t compared;
    char problem[ERROR_MESSAGE_MAX + 96]; /* of a node, or of two that differ; "" while all is well */
};

void sim_cluster_open(struct sim_cluster *c, uint64_t count, uint64_t seed, struct trace *trace);
void sim_cluster_close(struct sim_cluster *c);

void sim_cluster_step(struct sim_cluster *c, uint64_t us);

struct sim_node *sim_cluster_node(struct sim_cluster *c, uint64_t id);
uint64_t sim_cluster_leads(const struct sim_cluster *c); /* leads of shards that began or ended */
uint64_t sim_cluster_lost(const struct sim_cluster *c,
                          unsigned shard); /* leads of the shard that are over, also when they don't know */

/* All nodes are up, every shard has one leader, and every replica has applied all there is. */
bool sim_cluster_settled(struct sim_cluster *c);

/* Compares the state of a node's shards with that of other replicas when they were there. */
void sim_cluster_compare(struct sim_cluster *c, struct sim_node *n);

#endif
