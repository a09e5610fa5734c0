/* Queues: made, changed, found, written. */
#ifndef HATO_STATE_QUEUE_H
#define HATO_STATE_QUEUE_H

#include "state/internal.h"

struct queue *queue_by_id(const struct machine *m, uint64_t id);
struct queue *queue_by_name(const struct machine *m, struct bytes name);

/* Errors: ERR_INVALID, ERR_EXISTS, ERR_LIMIT. A repeated create with equal settings succeeds with `*changed` false. */
int queue_create(struct machine *m, struct bytes name, const Hato__QueueSettings *given, struct queue **out,
                 bool *changed, struct error *e);
int queue_set(struct machine *m, struct queue *q, const Hato__QueueSettings *given, struct error *e);
/* All its messages are gone at once; what is left in the store is swept. Returns how many there were. */
uint64_t queue_purge(struct machine *m, struct queue *q);
/* Was the chunk of this number there when it was purged last? */
static inline bool queue_purged(const struct queue *q, uint64_t number)
{
    return number >> 1 < q->purged_below;
}
void queue_delete(struct machine *m, struct queue *q);

/* Its counts changed: written when the entry ends. */
void queue_mark(struct machine *m, struct queue *q);
void queue_finish(struct machine *m, struct queue *q);
/* Sets its timer by what is known now. */
void queue_reschedule(struct machine *m, struct queue *q);
/* EFFECT_READY, once an entry. */
void queue_announce(struct machine *m, struct queue *q);

/* Another number for a chunk. */
uint64_t queue_next_number(struct queue *q, unsigned chunk_class);

/* Where the first queue with a name not less than this is in machine.ordered. */
size_t queue_place(const struct machine *m, const char *name);

enum { QUEUE_RECORD_VERSION = 4, QUEUE_SETTINGS_VERSION = 1 };

/* From the settings record: a queue that is found by name and id, without its counters; queue_read_record gives those. */
int queue_read_settings(struct machine *m, uint64_t id, struct bytes key, struct bytes value, struct queue **out,
                        struct error *e);
int queue_read_record(struct queue *q, struct bytes key, struct cursor *v, struct error *e);

void queue_free(struct machine *m, struct queue *q); /* memory only */

#endif
