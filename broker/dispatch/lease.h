/* Messages asked for, then held, for one binding: freed when the requests made of them are done. */
#ifndef HATO_DISPATCH_LEASE_H
#define HATO_DISPATCH_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/container.h"
#include "dispatch/binding.h"
#include "dispatch/source.h"

struct lease {
    struct source_lease request;
    struct binding *binding;               /* referenced */
    struct endpoint *endpoint;             /* referenced; the binding's when it was asked */
    struct source_batch *batch;            /* NULL: none came, or all that is sent is in `chosen` */
    const struct source_message *messages; /* those that are sent; once it is done */
    uint32_t count;
    struct arena chosen; /* of a probe: copies of them, so that it need not hold what it only looked at */
    uint32_t take;       /* messages that are wanted of what comes */
    uint32_t refs;
    uint32_t reserved; /* requests, until it is done */
    uint64_t wakes;    /* of the binding, when it was asked */
    uint64_t asked_ms; /* monotonic: the lease has been running since then at most */
    uint64_t bytes;    /* of the messages held */
    bool probe;
};

void lease_ask(struct binding *b, const struct binding_ask *ask, bool probe);
void lease_unref(struct lease *l);

#endif
