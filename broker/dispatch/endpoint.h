/* A function's endpoint as this dispatcher sees it: how much it may be given, and how it has been doing. It is of one life
 * of the function: one that is created anew under the name gets another. Bindings of one function share it. It asks the queues of its awake bindings in turn while there is room. */
#ifndef HATO_DISPATCH_ENDPOINT_H
#define HATO_DISPATCH_ENDPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "dispatch/answer.h"
#include "dispatch/attempts.h"
#include "dispatch/breaker.h"
#include "dispatch/suspects.h"
#include "dispatch/timers.h"
#include "dispatch/window.h"

struct Hato__FunctionSettings;
struct binding;
struct dispatcher;
struct job;
struct quota;
struct target;

struct endpoint {
    struct dispatcher *dispatcher;
    char *name;            /* full; the key of the dispatcher's map, until it retires */
    bool retired;          /* the function was deleted: leases and requests come to their end */
    uint32_t refs;         /* bindings and leases; the last one frees it */
    uint32_t bindings;     /* attached */
    uint32_t paused;       /* of them */
    struct target *target; /* NULL: settings not known, or not usable: then last_error says why */
    struct window window;
    struct breaker breaker;
    bool told_trouble;         /* the log says that it is in trouble, and not yet that it answers again */
    struct quota *quota;       /* referenced; NULL until the function is known */
    uint32_t passed;           /* permits in hand that no request has yet */
    struct timer timer;        /* breaker or rate: when it is worth looking again */
    struct list awake;         /* bindings that may have something to lease */
    struct list_link marked;   /* in the dispatcher's list of those to look at */
    struct list_link starving; /* in the dispatcher's list of those that wait for others */
    uint32_t requests;         /* out */
    uint32_t reserved;         /* requests that leases asked for will need */
    uint64_t answers;          /* whole answers so far */
    struct suspects suspects;
    struct attempts attempts;
    uint64_t delivered_total;
    uint64_t failed_total;
    uint64_t returned_total;
    char last_error[ANSWER_ERROR_MAX];
};

struct endpoint *endpoint_create(struct dispatcher *d, const char *name);
struct endpoint *endpoint_ref(struct endpoint *e);
void endpoint_unref(struct endpoint *e);

/* NULL, NULL: not known. */
void endpoint_configure(struct endpoint *e, const struct Hato__FunctionSettings *settings, struct quota *quota);

void endpoint_retire(struct endpoint *e);

/* A request that a lease was asked for is not needed, or was not sent: its permit, or its token, goes back. */
void endpoint_give_permits(struct endpoint *e, uint32_t count);
void endpoint_give_tokens(struct endpoint *e, uint32_t count);

/* As dispatcher_quota. */
void endpoint_passed(struct endpoint *e, bool permit);

/* It is to be looked at before the loop waits again. */
void endpoint_mark(struct endpoint *e);

/* Asks for leases while there is room and something to lease. */
void endpoint_pump(struct endpoint *e);

void endpoint_info(const struct endpoint *e, struct arena *arena, struct dispatcher_info *out);

#endif
