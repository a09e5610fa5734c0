/* The time that a leader stamps on entries: it follows the wall clock, but never jumps with it.
 *
 * It advances with the monotonic clock and is slewed towards the wall clock by at most one part in 20, so that a clock that is
 * set wrong, or right, cannot end leases early or hold delays up: it never goes back, and never runs more than 5 % fast. */
#ifndef HATO_SHARD_TIMEKEEPER_H
#define HATO_SHARD_TIMEKEEPER_H

#include <stdint.h>

#include "base/clock.h"

enum { TIMEKEEPER_SLEW = 20 };

struct timekeeper {
    const struct clock *clock;
    uint64_t now_ms;
    uint64_t seen_ns;     /* monotonic time of now_ms */
    uint64_t unslewed_ms; /* time passed that was too short to be slewed by a whole millisecond */
};

/* Starts at the wall clock, or at `least_ms` (the machine's clock) where that is later. */
void timekeeper_open(struct timekeeper *t, const struct clock *clock, uint64_t least_ms);
uint64_t timekeeper_now_ms(struct timekeeper *t);

#endif
