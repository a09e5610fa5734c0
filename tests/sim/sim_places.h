/* Who has which shard, and an operator who changes it while all goes on. Each node hears of a change some time later, and of the latest
 * only. */
#ifndef HATO_TESTS_SIM_PLACES_H
#define HATO_TESTS_SIM_PLACES_H

#include "sim/sim_cluster.h"

struct sim_places {
    struct sim_cluster *cluster;
    struct random random;
    uint64_t change_every_us; /* 0: never: all nodes have all shards */
    uint64_t changes;
};

/* Before the nodes start: draws whether anything changes, and who founds the groups. */
void sim_places_open(struct sim_places *p, struct sim_cluster *c, uint64_t seed);

/* `calm`: nothing changes any more, and who has not heard yet hears. */
void sim_places_step(struct sim_places *p, uint64_t us, bool calm);

#endif
