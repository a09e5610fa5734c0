/* Retention: messages that nobody took in time go. Leased and delayed ones are looked at when their lease or delay ends. */
#ifndef HATO_STATE_RETENTION_H
#define HATO_STATE_RETENTION_H

#include "state/internal.h"

/* Expires ready messages of an open chunk whose time is over. */
void retention_open(struct machine *m, struct chunk *c, uint32_t *steps_left);

/* Expires fresh chunks whose time is over, as far as steps go. */
int retention_fresh(struct machine *m, struct queue *q, uint32_t *steps_left, struct error *e);

/* No fresh chunk's time is over before this. */
uint64_t retention_next_ms(const struct queue *q);

#endif
