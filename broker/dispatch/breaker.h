/* Whether an endpoint is worth asking at all.
 *
 *                      trouble x BREAKER_TROUBLES, or told to wait
 *            +--------+ --------------------------------------> +------+
 *            | closed |                                         | open | nothing is leased until retry_at
 *            +--------+ <-----------+                           +------+
 *                          answered |                            |   ^
 *                                   |  +-----------+  retry_at   |   | trouble: twice the wait, up to its cap
 *                                   +--| half open | <-----------+   |
 *                                      +-----------+ ----------------+
 *                                       one request is out
 *
 * Half open, one request probes, and it alone decides; what left earlier and ends now tells of the past. What a
 * message did wrong is none of the breaker's business: an endpoint that answers 500 is alive. After closing, the next
 * wait begins where the last ended, less one step for each answer, so an endpoint that falls over again and again is
 * probed less often. Pure: times are milliseconds of any clock that does not go back. */
#ifndef HATO_DISPATCH_BREAKER_H
#define HATO_DISPATCH_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/random.h"

enum {
    BREAKER_TROUBLES = 3,                   /* one after another, without an answer between, until it opens */
    BREAKER_WAIT_MIN_MS = 100,              /* the first wait */
    BREAKER_WAIT_MAX_MS = 5000,             /* so delivery resumes within seconds of the endpoint's return */
    BREAKER_WAIT_GONE_MS = 60000,           /* after a 410 */
    BREAKER_WAIT_TOLD_MAX_MS = 3600 * 1000, /* Retry-After beyond this is cut */
};

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };

struct breaker {
    enum breaker_state state;
    uint32_t troubles;    /* since the last answer */
    uint32_t step;        /* the wait is BREAKER_WAIT_MIN_MS * 2^step, with jitter */
    uint64_t retry_at_ms; /* while open */
    bool gone;            /* it opened because of a 410 */
    bool probing;         /* half open, and the probe is out */
};

/* A zeroed struct is a closed breaker. */

/* Whether a request may leave now. Goes from open to half open when it is time. */
bool breaker_allows(struct breaker *b, uint64_t now_ms);

/* One leaves, as breaker_allows said it may. True when it is the probe: to be told to the calls below. */
bool breaker_leave(struct breaker *b);

/* The endpoint answered, whatever it said of the message. True when this closed the breaker. */
bool breaker_answered(struct breaker *b, bool probe);

/* The endpoint was in trouble. `told_ms`: how long it asked to be left alone; 0: it did not say. `longer`: the wait after this one
 * is. True when this opened the breaker. */
bool breaker_trouble(struct breaker *b, bool probe, uint64_t now_ms, uint64_t told_ms, bool longer,
                     struct random *random);

/* It answered 410: opens for BREAKER_WAIT_GONE_MS. */
void breaker_gone(struct breaker *b, uint64_t now_ms);

/* The probe came to nothing without having been tried; another may take its place. */
void breaker_unprobed(struct breaker *b);

#endif
