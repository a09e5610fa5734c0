/* A token bucket: so many requests a second, and no more than a tenth of a second's worth (at least one) at once.
 *
 * It is one number, the time at which the bucket will be full again, so that loops can share it without locks. A zeroed
 * struct is a full bucket. The rate is an argument, and may change from call to call: what is not a positive number means
 * no limit, what is beyond RATE_MIN or RATE_MAX is that. Times are monotonic nanoseconds. */
#ifndef HATO_DISPATCH_RATE_H
#define HATO_DISPATCH_RATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define RATE_MIN 1e-6
#define RATE_MAX 1e6

struct rate {
    _Atomic uint64_t full_ns;
};

bool rate_take(struct rate *r, double per_second, uint64_t now_ns);
void rate_give_back(struct rate *r, double per_second); /* what was taken came to nothing */

/* When the next token is there; `now_ns` when there is one. */
uint64_t rate_ready_ns(const struct rate *r, double per_second, uint64_t now_ns);

#endif
