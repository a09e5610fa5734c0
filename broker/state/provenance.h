/* Why a message is where it is: what moved it, from where, and its last error, as a field of the message that the broker appends. */
#ifndef HATO_STATE_PROVENANCE_H
#define HATO_STATE_PROVENANCE_H

#include "state/internal.h"
#include "state/send.h"

/* Appends to `out` what is to be said of a message that sets out for `destination`, as a dead letter or by a redrive. `*last`: its error
 * record until now, views valid until the next keys_get; empty when it has none. */
int provenance_put(struct machine *m, const struct chunk *c, unsigned slot, struct bytes destination, bool redrive,
                   struct lasterror *last, struct buffer *out, struct error *e);

/* Keeps what a stored message's provenance says as its error record, for redrives and peeks. `raw` holds the provenance field. For one
 * that came back, `back` says where it had come from before; else NULL. */
void provenance_keep(struct machine *m, struct queue *q, struct stored s, struct bytes raw, const struct moving *back);

#endif
