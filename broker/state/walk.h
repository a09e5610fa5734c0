/* Going over all chunks of a queue in order of number, as the store has them (both classes merged). */
#ifndef HATO_STATE_WALK_H
#define HATO_STATE_WALK_H

#include "state/internal.h"

struct walk {
    struct store_iterator *i[2]; /* by class */
    uint64_t from;               /* purged chunks are passed over */
    int at;                      /* which one is at the chunk; -1: neither */
};

/* Chunks from number `from` to before `end` (class bits included). */
void walk_open(struct walk *w, const struct machine *m, const struct queue *q, uint64_t from, uint64_t end);
/* One class of them alone, from `from` to before `end`, both of that class. Where it begins, what is gone is gone over once: it
 * costs nothing to go on from where one ended. */
struct store_iterator *walk_class(const struct machine *m, const struct queue *q, unsigned chunk_class, uint64_t from,
                                  uint64_t end);
bool walk_valid(const struct walk *w);
uint64_t walk_number(const struct walk *w);
struct bytes walk_key(const struct walk *w);
struct bytes walk_value(const struct walk *w);
void walk_next(struct walk *w);
int walk_close(struct walk *w, struct error *e);

#endif
