/* Storing a message in a queue, wherever it comes from: a send, a channel, or back from the outbox. */
#ifndef HATO_STATE_SEND_H
#define HATO_STATE_SEND_H

#include "state/internal.h"
#include "state/message.h"

struct incoming {
    struct message_ref ref;
    uint8_t priority;
    struct bytes group;
    uint64_t sent_ms;
    uint64_t due_ms; /* not before; 0: at once, which is for what is sent now */
};

struct stored {
    struct chunk *chunk;
    unsigned slot;
    uint64_t sequence;
};

/* Whether the queue has room: ERR_LIMIT with field and sentence in `e`. */
int send_check_room(const struct queue *q, uint64_t bytes, struct error *e);

/* Whether a lane for it may be made. */
int send_check_group(const struct machine *m, const struct queue *q, uint8_t priority, struct bytes group,
                     struct error *e);

/* Stores it; `more` is how many are expected to follow. */
struct stored send_store(struct machine *m, struct queue *q, const struct incoming *in, uint32_t more);

#endif
