/* A token bucket: so many requests a second, and no more than a tenth of a second's worth at once. Pure. */
#ifndef HATO_DISPATCH_RATE_H
#define HATO_DISPATCH_RATE_H

#include <stdbool.h>
#include <stdint.h>

#define RATE_MAX 1e6

struct rate {
    double per_second; /* 0: no limit */
    double burst;      /* tokens it holds when full; at least one */
    double tokens;
    uint64_t filled_ns;
};

/* A full bucket. What is not a positive number means no limit; above RATE_MAX is RATE_MAX. */
void rate_open(struct rate *r, double per_second, uint64_t now_ns);
/* As rate_open, but what has been used stays used. */
void rate_change(struct rate *r, double per_second, uint64_t now_ns);

bool rate_take(struct rate *r, uint64_t now_ns);
void rate_give_back(struct rate *r); /* what was taken came to nothing */

/* When the next token is there; `now_ns` when there is one. */
uint64_t rate_ready_ns(struct rate *r, uint64_t now_ns);

#endif
