/* Messages that cross queues: what comes through a channel, what comes back, and redrives. */
#ifndef HATO_STATE_MOVE_H
#define HATO_STATE_MOVE_H

#include "state/internal.h"

/* The redrives that are due take a step: at the start of an entry. */
int move_redrives(struct machine *m, struct error *e);

#endif
