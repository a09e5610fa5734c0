/* Receives that are used up: the message moves to the dead-letter queue, or its group halts (README.md). */
#ifndef HATO_STATE_EXHAUST_H
#define HATO_STATE_EXHAUST_H

#include "state/internal.h"

/* Which of these have had as many receives as the queue allows, and something is to be done about it. */
uint64_t exhaust_bits(const struct chunk *c, uint64_t bits);

/* Does it. The bits are live and in no state; `*moved` are those that are on their way to the dead-letter queue then: in `moving`. */
int exhaust(struct machine *m, struct chunk *c, uint64_t bits, uint64_t *moved, struct error *e);

/* The entry's end, of a lane it changed: one that is halted goes on unless some message of it is still used up. What it halted at
 * may have left, or have had a receive taken back, or be allowed more of them by now. */
void exhaust_recheck(struct machine *m, struct lane *l);

/* A halted group goes on: the receives of its messages that are used up count anew, of those put off or in flight too. False when it
 * is not halted. */
bool exhaust_resume(struct machine *m, struct queue *q, struct bytes group);

#endif
