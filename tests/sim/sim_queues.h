/* The queues of the simulation, and who makes them where they are missing: at first, and after they were deleted. */
#ifndef HATO_TESTS_SIM_QUEUES_H
#define HATO_TESTS_SIM_QUEUES_H

#include "sim/sim_model.h"
#include "sim/sim_route.h"

/* Owned by the caller, which keeps it until each callback has come. */
struct sim_maker {
    struct sim_model *model;
    struct sim_route *route;
    bool creating[SIM_QUEUES];
};

/* Makes those that are not there, where a leader is known. */
void sim_make_queues(struct sim_maker *k);

#endif
