/* Delivery of queues to functions over HTTP: one more consumer, which knows when to hold back.
 *
 * A dispatcher belongs to one libuv loop and is used from its thread only. It is given bindings (a queue and the
 * function that it feeds) and leases from them through `struct source_ops` while the function's endpoint can take
 * more. Bindings of one function share an endpoint: one concurrency window, one breaker. Endpoints of one function on
 * several loops share its quota (quota.h): `max_concurrency` and `rate` hold for all of them together.
 *
 * No function here may be called from within a call of the source's table, except dispatcher_wake.
 *
 * The process ignores SIGPIPE: TLS connections that an endpoint drops would raise it.
 *
 * An idle binding has no timer, no connection of its own and asks nothing: it lies until dispatcher_wake. README.md of
 * this folder says how answers are judged and what happens to the messages. */
#ifndef HATO_DISPATCH_DISPATCHER_H
#define HATO_DISPATCH_DISPATCHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/trace.h"
#include "dispatch/address.h"
#include "dispatch/source.h"

struct Hato__BindingSettings;
struct Hato__FunctionSettings;
struct dispatcher;
struct quota;

enum {
    DISPATCHER_REQUESTS_MAX = 4096,               /* default of requests_max */
    DISPATCHER_MEMORY_MAX = 256 * 1024 * 1024,    /* default of memory_max */
    DISPATCHER_LEASE_BYTES_MAX = 4 * 1024 * 1024, /* asked for at once; a larger message comes alone */
    DISPATCHER_LEASE_MS = 60 * 1000,              /* default of lease_ms */
    DISPATCHER_LEASE_MARGIN_MS = 10 * 1000,       /* beyond the function's timeout, to settle in */
    DISPATCHER_ATTEMPTS_MAX = 50,                 /* kept per function */
    DISPATCHER_ANSWER_KEPT = 256                  /* first bytes of an answer kept with an attempt */
};

struct dispatcher_options {
    struct clock clock;
    uint64_t seed;                /* of the retry delays' jitter */
    struct address_policy policy; /* copied; which addresses may be connected to */
    const char *ca;               /* a PEM file of certificates to trust besides the system's; NULL: none */
    uint32_t requests_max;        /* out at once over all functions; 0: the default */
    uint64_t memory_max;          /* messages and requests held; above it nothing is leased; 0: the default */
    uint64_t answers_max;         /* bytes of answers held, of all functions together; 0: 128 MiB */
    uint64_t lease_ms;   /* a lease is asked for the function's timeout and the margin, but no longer than this, and
                                     extended while the request is out: what a crash leaves behind is soon free again */
    const char *agent;   /* User-Agent; NULL: "Hato" */
    struct trace *trace; /* borrowed, used until it is closed; NULL: none */
    unsigned loop;       /* its number, as quotas know it; below QUOTA_LOOPS_MAX */
};

/* A queue and its function. Everything is copied. Settings that are absent have the defaults of settings.proto. */
struct dispatcher_binding {
    uint64_t queue;
    const char *queue_name; /* full: "account:region:name" */
    const char *queue_arn;  /* "arn:aws:sqs:region:account:name" */
    bool fifo;
    bool content_deduplication;
    const struct Hato__BindingSettings *binding;   /* NULL: the defaults */
    const char *function;                          /* full name */
    const struct Hato__FunctionSettings *settings; /* NULL: not known yet; nothing is leased before
                                                      dispatcher_function_changed */
    struct quota *quota; /* the function's; NULL when it is not known yet. A reference is taken */
};

/* `ops` and `ctx` are borrowed and used until dispatcher_close has called back. Errors: ERR_INTERNAL when libcurl
 * cannot be had. */
int dispatcher_create(struct dispatcher **out, uv_loop_t *loop, const struct source_ops *ops, void *ctx,
                      const struct dispatcher_options *options, struct error *e);

/* Cancels the requests that are out and returns their messages uncounted; leases asked for and not yet done are
 * returned likewise as they come. Then calls `closed`, never before dispatcher_close returns; the dispatcher is freed
 * by then. `closed` may be NULL. */
void dispatcher_close(struct dispatcher *d, void (*closed)(void *arg), void *arg);

/* Leases nothing more, and returns what comes of leases asked for; requests that are out go on to their end. For an orderly stop: then wait until dispatcher_busy is false,
 * for as long as there is patience, and close. */
void dispatcher_drain(struct dispatcher *d);
bool dispatcher_busy(const struct dispatcher *d); /* a request is out or a lease is under way */

/* Binds, or changes a binding: settings, pause, another function. Begins to lease at once if there is something. The
 * function's settings are read when the function is first seen here; later changes come by
 * dispatcher_function_changed. */
void dispatcher_bind(struct dispatcher *d, const struct dispatcher_binding *binding);

/* Leases nothing more for the queue. Requests that are out go on to their end and settle their messages. No-op when
 * not bound. */
void dispatcher_unbind(struct dispatcher *d, uint64_t queue);

/* New settings of a function, for all its bindings here; no-op when there are none. Also closes its breaker, since the
 * change may be the cure. Requests that are out go on with the old ones. The quota is the one it has had, if it had one. */
void dispatcher_function_changed(struct dispatcher *d, const char *function,
                                 const struct Hato__FunctionSettings *settings, struct quota *quota);

/* The function is no more. Its bindings lease nothing until dispatcher_function_changed tells of a new one of this name,
 * which begins afresh. What is leased goes back uncounted; of requests that are out a success still counts, and whatever
 * else comes of them returns their messages uncounted. */
void dispatcher_function_deleted(struct dispatcher *d, const char *function);

/* What the quota's pass function was told, on the loop that it named. */
void dispatcher_quota(struct dispatcher *d, struct quota *quota, bool permit);

/* The queue may have something to lease that was not there before: sent, come due, returned, its lease over, or its
 * FIFO group free again. Cheap; never leases inside the call. No-op when not bound. */
void dispatcher_wake(struct dispatcher *d, uint64_t queue);

/* ---------------------------------------------------------------- how it goes */

enum dispatcher_state {
    DISPATCHER_IDLE,       /* nothing out */
    DISPATCHER_DELIVERING, /* requests are out */
    DISPATCHER_OPEN,       /* the breaker is open: the endpoint is in trouble, nothing is leased until retry_at */
    DISPATCHER_GONE,       /* as open; the endpoint answered 410 */
    DISPATCHER_PAUSED      /* all its bindings are paused */
};

struct dispatcher_attempt {
    uint64_t started_ms;
    uint64_t duration_ms;
    uint32_t status;     /* 0: no answer */
    const char *error;   /* "" when it succeeded */
    struct bytes answer; /* its first bytes */
    uint32_t messages;
    const char *queue; /* full name */
};

struct dispatcher_info {
    enum dispatcher_state state;
    uint32_t in_flight; /* requests out */
    uint32_t window;    /* requests allowed now */
    uint32_t bindings;
    uint64_t delivered_total;                  /* messages */
    uint64_t failed_total;                     /* messages whose receive was counted as failed */
    uint64_t returned_total;                   /* messages returned uncounted */
    const char *last_error;                    /* "" when none */
    uint64_t retry_at_ms;                      /* wall clock; 0 unless open or gone */
    const struct dispatcher_attempt *attempts; /* newest first */
    size_t attempt_count;
};

/* What is known of a function here; everything is copied to `arena`. False when no queue is bound to it here. */
bool dispatcher_info(const struct dispatcher *d, const char *function, struct arena *arena,
                     struct dispatcher_info *out);

const char *dispatcher_state_name(enum dispatcher_state state); /* as in FunctionInfo.state */

#endif
