/* The operator of the simulation: empties and deletes queues, redrives dead letters, changes settings and lets halted groups go on, at
 * random, and tells the model what the outcome is. */
#ifndef HATO_TESTS_SIM_ADMIN_H
#define HATO_TESTS_SIM_ADMIN_H

#include "sim/sim_route.h"

struct sim_admin;

struct sim_admin *sim_admin_create(struct sim_cluster *cluster, struct sim_model *model, uint64_t seed);
void sim_admin_destroy(struct sim_admin *a);

/* One round of things to do. `calm`: no more than letting halted groups go on. */
void sim_admin_step(struct sim_admin *a, bool calm);

/* Whether everything was answered. */
bool sim_admin_idle(const struct sim_admin *a);

#endif
