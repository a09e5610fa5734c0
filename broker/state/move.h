/* Messages that leave a queue for another: what sets out, what has arrived or comes back, and redrives. */
#ifndef HATO_STATE_MOVE_H
#define HATO_STATE_MOVE_H

#include "state/internal.h"

/* A message sets out for another queue: into the outbox, with its provenance; it is in no state. With `redrive` 0 it is a dead letter,
 * else that one moves it. A dead letter, and any message of a FIFO queue, stays in its slot until it has arrived; others leave at once. */
int move_message(struct machine *m, struct chunk *c, unsigned slot, struct bytes destination, uint64_t redrive,
                 struct error *e);

/* The redrives that are due take a step: at the start of an entry. */
int move_redrives(struct machine *m, struct error *e);

#endif
