/* A pace shared by many: so many bytes a second, counted by whoever takes some. What is not taken for a while is lost but for a tenth of a
 * second's worth.
 *
 * Threads: any, without locks. */
#ifndef HATO_BASE_PACE_H
#define HATO_BASE_PACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct pace {
    uint64_t bytes_per_second;   /* 0: as fast as it goes */
    atomic_uint_least64_t at_us; /* up to here of time is taken */
};

enum { PACE_BURST_US = 100 * 1000 };

/* Takes `bytes`, whether or not there is time for them. `now_us` never goes back. */
void pace_take(struct pace *p, uint64_t bytes, uint64_t now_us);

/* Whether more may be taken now; until it may, taking is to wait. */
bool pace_may(const struct pace *p, uint64_t now_us);

#endif
