/* Producers and consumers of the simulation: they do what clients do, at random, and tell the model what they learn. */
#ifndef HATO_TESTS_SIM_CLIENTS_H
#define HATO_TESTS_SIM_CLIENTS_H

#include "sim/sim_cluster.h"
#include "sim/sim_model.h"

struct sim_clients;

struct sim_clients *sim_clients_create(struct sim_cluster *cluster, struct sim_model *model, uint64_t seed);
void sim_clients_destroy(struct sim_clients *c);

/* One round of things to do. `calm`: nothing new is sent, everything received is acked. */
void sim_clients_step(struct sim_clients *c, bool calm);

bool sim_clients_sending(const struct sim_clients *c); /* some send has no answer yet */

/* All nodes are gone: whether every callback has come, with what was in hand having no outcome. */
bool sim_clients_idle(const struct sim_clients *c);

/* Whether every send was answered and all queues are empty. */
bool sim_clients_done(struct sim_clients *c);

#endif
