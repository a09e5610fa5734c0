/* What a probe is made of. Messages that got no answer come back, and are first in their queue again; were they probed with again and again,
 * two that the function can't bear would keep the breaker open for ever, and thousands of good ones behind them waiting. So a probe looks
 * past them: it takes messages that were not tried yet, and where there are none those that were tried the longest ago. */
#ifndef HATO_DISPATCH_PROBE_H
#define HATO_DISPATCH_PROBE_H

#include <stdint.h>

enum { PROBE_LOOKS_MAX = 1000 }; /* messages, where a batch is not larger */

struct endpoint;
struct lease;

/* How many messages to lease for a probe that sends `take`. */
uint32_t probe_looks_at(const struct endpoint *e, uint32_t take);

/* Sets what is sent of the lease's batch, `take` messages at most. On a FIFO queue no message without those of its group before it. */
void probe_choose(struct lease *l);

#endif
