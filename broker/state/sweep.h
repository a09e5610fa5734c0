/* Sweeping: the chunks of a purged or deleted queue leave the store a few at a time, and their extents are told. */
#ifndef HATO_STATE_SWEEP_H
#define HATO_STATE_SWEEP_H

#include "state/internal.h"

/* All chunks of the queue with a number (without the class bit) below `below` are to go. */
void sweep_add(struct machine *m, uint64_t queue, uint64_t below);

/* At the start of an entry, after what is due. */
int sweep_step(struct machine *m, uint32_t *steps_left, struct error *e);

int sweep_load_all(struct machine *m, struct error *e);
void sweep_free_all(struct machine *m);

#endif
