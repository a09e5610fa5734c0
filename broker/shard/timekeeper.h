/* The time that a leader stamps on entries: it follows the wall clock, but never jumps with it.
 *
 * It advances with the monotonic clock and is slewed towards the wall clock, so that a clock that is set wrong, or right, cannot end
 * leases and delays early: it never goes back, and runs no more than 500 ppm fast, which is what the kernel allows itself for the
 * monotonic clock (adjtimex(2)). To be slow does less harm: there it is one part in 20.
 *
 * Nor does it jump with a new leader, whose wall clock may be another. Replicas tell each other what time it is, a follower keeps that
 * time going, and leads from there. Only where nobody knows (all of them were down) the wall clock is believed. */
#ifndef HATO_SHARD_TIMEKEEPER_H
#define HATO_SHARD_TIMEKEEPER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

enum {
    TIMEKEEPER_SLEW_FAST = 2000,
    TIMEKEEPER_SLEW_SLOW = 20,
    TIMEKEEPER_LATE_MS = 2000, /* a replica's word may be this late; beyond it is this one that runs ahead */
};

struct timekeeper {
    const struct clock *clock;
    uint64_t now_ms;
    uint64_t seen_ns;     /* monotonic time of now_ms */
    uint64_t unslewed_ms; /* time passed that was too short to be slewed by a whole millisecond */
    bool leads;           /* follows the wall clock */
    bool knows;           /* it led, or was told */
};

/* Knows nothing yet. */
void timekeeper_open(struct timekeeper *t, const struct clock *clock);

/* Leads from here on: from the time it knows, else from the wall clock, or from `least_ms` (the machine's clock) where that is
 * later. */
void timekeeper_lead(struct timekeeper *t, uint64_t least_ms);
void timekeeper_follow(struct timekeeper *t);

/* What another replica says the time is. */
void timekeeper_hear(struct timekeeper *t, uint64_t ms);

uint64_t timekeeper_now_ms(struct timekeeper *t);
uint64_t timekeeper_known_ms(struct timekeeper *t); /* to tell the others; 0: not known */

#endif
