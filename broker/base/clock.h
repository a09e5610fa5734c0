/* The time, as an argument: the broker is given the machine's clock, the simulator gives its own. Pure code takes neither
 * and gets points in time as numbers. */
#ifndef HATO_BASE_CLOCK_H
#define HATO_BASE_CLOCK_H

#include <stdint.h>

struct clock {
    uint64_t (*now_ms)(void *context);       /* milliseconds since 1970 UTC; may jump in both directions */
    uint64_t (*monotonic_ns)(void *context); /* nanoseconds since some moment; never goes back */
    void *context;
};

/* The machine's clock. Safe on all threads. */
struct clock clock_real(void);

static inline uint64_t clock_now_ms(const struct clock *c)
{
    return c->now_ms(c->context);
}

static inline uint64_t clock_monotonic_ns(const struct clock *c)
{
    return c->monotonic_ns(c->context);
}

static inline uint64_t clock_monotonic_ms(const struct clock *c)
{
    return clock_monotonic_ns(c) / 1000000;
}

#endif
