/* One request and the messages in it, from the lease to their settlement. README.md of this folder draws its life. */
#ifndef HATO_DISPATCH_JOB_H
#define HATO_DISPATCH_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/list.h"
#include "dispatch/format.h"
#include "dispatch/lease.h"
#include "dispatch/message.h"
#include "dispatch/target.h"
#include "dispatch/timers.h"
#include "dispatch/transport.h"

enum {
    JOBS_KEPT_MAX = 64,              /* for the next requests */
    JOB_MEMORY_KEPT_MAX = 64 * 1024, /* of each buffer of a kept job */
    JOB_SILENT_MS = 250 /* beyond the breaker's wait, a message without an answer lets others go first for so long */
};

struct job {
    struct list_link link; /* in the dispatcher's list of those out, or kept */
    struct dispatcher *dispatcher;
    struct lease *lease;
    struct target *target;
    struct arena arena;
    struct message *messages;    /* in the arena */
    struct source_token *tokens; /* in the arena; room for all, to collect those that go one way */
    bool *failed;                /* in the arena; of a partial answer */
    bool *guilty;                /* in the arena, once there was no answer */
    uint32_t count;
    struct encoded encoded;
    struct exchange exchange;
    struct timer extend;
    uint64_t request;        /* the window's number */
    uint64_t answers_before; /* of the endpoint */
    uint64_t started_ms;     /* wall clock */
    uint64_t bytes;          /* held on top of the batch: what it was decoded to, and the request */
    bool probe;
};

/* Sends messages `first` to `first + count - 1` of the lease's batch. */
void job_start(struct lease *l, uint32_t first, uint32_t count, bool probe);

/* Takes the request back and returns its messages uncounted. */
void job_cancel(struct job *j);

void job_destroy(struct job *j); /* of one that is kept */

#endif
