/* Delays: messages that wait for a point in time, in the store alone (key `d`), and are made ready when it comes. */
#ifndef HATO_STATE_DUE_H
#define HATO_STATE_DUE_H

#include "state/internal.h"

/* These wait until then: they are live and in no state. */
void due_put(struct machine *m, struct chunk *c, uint64_t bits, uint64_t until_ms);

/* Back to the queue at that time, in their place: likewise, or held, on a FIFO queue, whose group waits with them. */
void due_put_off(struct machine *m, struct chunk *c, uint64_t bits, uint64_t until_ms);

/* The due key of these; disjoint sets of one chunk never share one, so that none is ever read to be changed. */
struct key due_key(const struct machine *m, const struct chunk *c, uint64_t bits, uint64_t at_ms);
void due_key_put(struct machine *m, const struct chunk *c, uint64_t bits, uint64_t at_ms);

/* Makes ready what is due in a queue, as far as there is room and steps. */
int due_promote(struct machine *m, struct queue *q, uint32_t *steps_left, struct error *e);

/* When due_promote has something to do: NEVER when nothing waits, or there is no room. */
uint64_t due_next_ms(const struct queue *q);

#endif
