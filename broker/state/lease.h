/* Leases: parts of a chunk that a receive holds, and holds, which are delays on a FIFO queue. */
#ifndef HATO_STATE_LEASE_H
#define HATO_STATE_LEASE_H

#include "state/internal.h"

/* Takes ready bits of an open chunk; counts the receive. */
void lease_start(struct machine *m, struct chunk *c, uint64_t id, uint64_t until_ms, uint64_t bits);
/* A lease without receipt that ends by itself; the bits are live and in no lease. */
void lease_hold(struct machine *m, struct chunk *c, uint64_t until_ms, uint64_t bits);
/* Notes until when a nack delayed these; only for those who look. */
void lease_note_delay(struct chunk *c, uint64_t bits, uint64_t until_ms);
/* The part of the lease with this id that has the bit now; NULL: the receipt is stale. Id 0 is never found. */
struct lease *lease_find(struct chunk *c, uint64_t id, uint64_t bit);
/* Whether the lease ended by time and its receipt still acks. */
bool lease_is_late(const struct chunk *c, uint64_t id, uint64_t bit);
/* Whether it is a hold, not a receive, that has the bit. */
bool lease_holds(const struct chunk *c, uint64_t bit);
/* Bits leave whatever lease has them; they are in no state then. */
void lease_release(struct machine *m, struct chunk *c, uint64_t bits);
/* Receives that end here and count: how long those waited that end their first one. */
void lease_counted(struct chunk *c, uint64_t bits);
/* Another end for bits of leases with this id. */
void lease_extend(struct machine *m, struct chunk *c, uint64_t id, uint64_t bits, uint64_t until_ms);
/* Their lease is over without an ack: ready again, or moved, or expired. With `late` the receipt still acks. */
int lease_over(struct machine *m, struct chunk *c, uint64_t bits, uint64_t late_id, struct error *e);
/* The same without a receive having been used: a hold's end, a receive taken back. Returns ERR_OK. */
int lease_back(struct machine *m, struct chunk *c, uint64_t bits);
/* Ends what is due by the machine's clock; *steps is how many messages that were. */
int lease_end_due(struct machine *m, struct chunk *c, uint32_t *steps, struct error *e);
/* Bits are received again or gone: no late receipt any more. */
void lease_forget_late(struct chunk *c, uint64_t bits);
/* Drops leases that hold nothing. */
void lease_tidy(struct chunk *c);
uint64_t lease_first_end(const struct chunk *c); /* NEVER when none is running */

#endif
