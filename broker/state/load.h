/* Opening a machine: what the store has comes back into memory. */
#ifndef HATO_STATE_LOAD_H
#define HATO_STATE_LOAD_H

#include "state/internal.h"

/* Queues, lanes, open chunks. Cost: proportional to queues, active groups and leases. */
int load_all(struct machine *m, struct error *e);

#endif
