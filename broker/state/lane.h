/* Lanes: streams with an order of their own, and the chunks of theirs that nobody has received from yet. */
#ifndef HATO_STATE_LANE_H
#define HATO_STATE_LANE_H

#include "state/internal.h"

void lane_init(struct lane *l, struct queue *q, uint64_t id, uint8_t priority, struct bytes group);

/* The lane in memory, made when there is none. Its record is written when it gets something that is fresh or open. */
struct lane *lane_get(struct machine *m, struct queue *q, uint8_t priority, struct bytes group);
struct lane *lane_find(const struct machine *m, const struct queue *q, uint8_t priority, struct bytes group);

static inline struct bytes lane_group(const struct lane *l)
{
    return (struct bytes){(const uint8_t *)l->group, l->group_len};
}

/* Is there anything fresh, in memory or in the store? */
static inline bool lane_has_fresh(const struct lane *l)
{
    return l->head.first != NULL || l->disk || l->tail.first != NULL;
}

/* Has it anything that may be received, whether or not it is blocked now? */
static inline bool lane_has_ready(const struct lane *l)
{
    return tree_count(&l->ready) > 0 || lane_has_fresh(l);
}

/* On a FIFO queue one batch is in flight a group, and what is on its way to another queue may come back. */
static inline bool lane_blocked(const struct lane *l)
{
    return l->halted_ms != 0 || (l->queue->fifo && (l->in_flight > 0 || l->held > 0 || l->moving > 0));
}

/* Its record has to be written when the entry ends, or it may have become empty. */
void lane_mark(struct machine *m, struct lane *l, bool changed);
/* The entry's end: writes or deletes its record; frees it when nothing is left. */
void lane_finish(struct machine *m, struct lane *l);

/* Appends a fresh chunk of this entry. */
void lane_append(struct machine *m, struct lane *l, struct chunk *c);
/* The first fresh chunk, read from the store if need be; *out NULL when there is none. Stays in its list. */
int lane_first_fresh(struct machine *m, struct lane *l, struct chunk **out, struct error *e);
/* Takes a chunk out of the lane's lists, wherever it is. */
void lane_unlist(struct machine *m, struct chunk *c);
/* A fresh chunk that was not in a list is gone: finds out whether there are others in the store. */
int lane_recheck(struct machine *m, struct lane *l, struct error *e);
/* Forgets what is also in the store; not during an entry. */
void lane_forget(struct machine *m, struct lane *l);
/* Keeps memory within its bound; at the end of an entry. */
void lane_trim(struct machine *m);

void lane_record_put(struct machine *m, const struct lane *l);
int lane_record_read(struct queue *q, uint64_t id, struct bytes key, struct bytes value, struct error *e);
enum { LANE_RECORD_VERSION = 5 };

/* Frees all lanes of a queue and what their lists hold; the queue is going away or is emptied. */
void lane_free_all(struct machine *m, struct queue *q);

#endif
