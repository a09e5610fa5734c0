/* Whose turn it is: the scheduler over a queue's lanes (README.md, "Picking"). */
#ifndef HATO_STATE_PICK_H
#define HATO_STATE_PICK_H

#include "state/internal.h"

/* Something about the lane changed (ready, in flight, halted, weight): puts it where it belongs, in or out. */
void pick_update(struct lane *l);
/* Takes it out of the heaps. */
void pick_forget(struct lane *l);
/* The lane to serve next, and how many messages at most before asking again; NULL when nothing can be had. */
struct lane *pick_next(struct queue *q, uint32_t want, uint32_t *run);
/* It is new: behind those that wait by now, so that new ones that keep coming don't hold them up. */
void pick_join(struct lane *l);
/* `n` messages were taken of it. */
void pick_served(struct machine *m, struct lane *l, uint32_t n);
uint32_t pick_eligible(const struct queue *q);
/* From now on the queue has more than the default lane. */
void pick_begin(struct queue *q);
void pick_free(struct queue *q);

#endif
