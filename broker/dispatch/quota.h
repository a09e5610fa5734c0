/* What a function may have of this node, over all its loops: requests out at once, and requests a second.
 *
 * One for each life of a function: made when it is created, shared by the dispatchers that deliver to it, left behind when
 * it is deleted. So two functions of one name, one after the other, never have each other's.
 *
 * A *permit* is the right to one request that is out. Who gets none waits without asking again: when somebody gives one
 * back it is passed to a loop that waits, the next one after the giver, so that a busy loop can't keep them all.
 *
 * Threads: all of it from any thread, without locks. The limits are arguments: each loop has them from the function's
 * settings as it knows them. */
#ifndef HATO_DISPATCH_QUOTA_H
#define HATO_DISPATCH_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

#include "dispatch/rate.h"

enum { QUOTA_LOOPS_MAX = 64 };

struct quota;

/* How a loop is told: called on the thread that gives, to see to it that `loop` soon calls dispatcher_quota with the same
 * arguments. With `permit` one is passed, and must not be lost; without, there may be one to take. */
typedef void quota_pass_fn(void *ctx, struct quota *q, unsigned loop, bool permit);

/* The name is the function's full one, copied. `pass` may be NULL where there is one loop. The caller has the first
 * reference; the last one frees it. */
struct quota *quota_create(const char *function, quota_pass_fn *pass, void *ctx);
struct quota *quota_ref(struct quota *q);
void quota_unref(struct quota *q); /* accepts NULL */

const char *quota_function(const struct quota *q);
struct rate *quota_rate(struct quota *q);

/* Takes up to `wanted` permits while fewer than `max` are out. When there are fewer, `loop` waits and will be passed one. */
uint32_t quota_take(struct quota *q, unsigned loop, uint32_t max, uint32_t wanted);

/* Gives one back. With more than `max` out (it was lowered) nobody gets it. */
void quota_give(struct quota *q, unsigned loop, uint32_t max);

#endif
