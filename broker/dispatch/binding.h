/* A queue that feeds a function. Asleep it costs its memory; awake it stands in its endpoint's list until it is found
 * that there is nothing to lease. */
#ifndef HATO_DISPATCH_BINDING_H
#define HATO_DISPATCH_BINDING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "dispatch/dispatcher.h"
#include "dispatch/endpoint.h"
#include "dispatch/format.h"
#include "dispatch/timers.h"

enum {
    BINDING_BATCH = 10, /* defaults, as settings.proto gives them */
    BINDING_CONCURRENCY = 1000,
    BINDING_SINGLES_MAX = 64, /* messages leased at once for formats with one message a request */
    BINDING_AGAIN_MS = 250    /* after a lease that the source refused */
};

struct binding {
    struct dispatcher *dispatcher;
    struct endpoint *endpoint;
    uint64_t queue;
    uint32_t refs; /* the dispatcher's, and leases */
    bool bound;
    char *queue_name; /* full */
    char *arn;
    char *region;  /* of the ARN */
    char *account; /* of the ARN */
    struct origin origin;
    uint32_t batch_size;
    uint64_t window_ms;
    uint32_t max_concurrency;
    bool paused;
    struct list_link awake;
    uint64_t wakes; /* how often it was told that there may be something */
    bool due;       /* the window is over: what is there goes */
    struct timer timer;
    uint32_t requests; /* out, or reserved by leases asked for */
    uint32_t asked;    /* messages of leases asked for */
};

/* What to ask for next; no messages: nothing, and the binding sleeps until it is woken or its window is over. */
struct binding_ask {
    uint32_t messages;
    uint32_t requests; /* that these may need */
};

struct binding *binding_create(struct dispatcher *d, const struct dispatcher_binding *given);
void binding_unref(struct binding *b);
void binding_change(struct binding *b, const struct dispatcher_binding *given);
void binding_unbind(struct binding *b);
void binding_orphan(struct binding *b); /* its function is no more: it waits for another of that name */

void binding_wake(struct binding *b);

/* For endpoint_pump, when the endpoint has room for `room` more requests. */
struct binding_ask binding_wants(struct binding *b, uint32_t room);

#endif
