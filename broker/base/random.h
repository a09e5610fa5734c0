/* A small seeded generator (xoshiro256**): the only source of randomness besides the kernel's, so that a run of the
 * simulator replays from its seed. Not for secrets. */
#ifndef HATO_BASE_RANDOM_H
#define HATO_BASE_RANDOM_H

#include <stdint.h>

struct random {
    uint64_t s[4];
};

void random_open(struct random *r, uint64_t seed);
uint64_t random_next(struct random *r);
uint64_t random_below(struct random *r, uint64_t bound); /* 0 to bound-1, unbiased; bound > 0 */
double random_unit(struct random *r);                    /* [0, 1) */

#endif
