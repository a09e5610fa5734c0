/* What is sent of a lease where some messages are known to have got no answer.
 *
 * Of such a request any message may be at fault, so those that were in it are sent again with half as many, down to one: the one at fault
 * is found by itself, and the others are delivered.
 *
 * A probe also chooses which ones. Messages that got no answer come back, and are first in their queue again; were they probed with again and again,
 * two that the function can't bear would keep the breaker open for ever, and thousands of good ones behind them waiting. So a probe looks
 * past them, PROBE_BYTES_MAX of them at most. First it brings to an end what was begun: those that came to nothing with others, the fewest
 * together first, so that each batch is soon down to who is at fault, and the others are answered, before another is tried. Then
 * messages that were not tried yet; where there are none, those that came to nothing alone, the longest ago first. */
#ifndef HATO_DISPATCH_PROBE_H
#define HATO_DISPATCH_PROBE_H

#include <stdint.h>

enum {
    PROBE_LOOKS_MAX = 1000,            /* messages, where a batch is not larger */
    PROBE_BYTES_MAX = 64 * 1024 * 1024 /* of what it looks at; what it sends is not larger than another lease */
};

struct endpoint;
struct lease;

/* Forgets suspects that left their queues otherwise: before the calls below. */
void probe_begin(struct endpoint *e);

/* How many messages to lease for a probe that sends `take`. */
uint32_t probe_looks_at(const struct endpoint *e, uint32_t take);

/* And how many bytes. */
uint32_t probe_bytes(const struct endpoint *e);

/* Sets what is sent of a probe's batch, `take` messages at most: copies, so that the batch may be released while they are out. On a FIFO
 * queue no message without those of its group before it. */
void probe_choose(struct lease *l);

/* How many messages, from the first on, may be sent together of a batch that is no probe: such as were not tried yet, or half of
 * those that were tried together. */
uint32_t probe_alike(const struct lease *l);

#endif
