#include "base/clock.h"

#include <stddef.h>
#include <time.h>

#include "base/assert.h"

static uint64_t real_now_ms(void *context)
{
    (void)context;
    struct timespec t;
    ASSERT(clock_gettime(CLOCK_REALTIME, &t) == 0);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static uint64_t real_monotonic_ns(void *context)
{
    (void)context;
    struct timespec t;
    ASSERT(clock_gettime(CLOCK_BOOTTIME, &t) == 0); /* what a suspended machine slept has passed, too */
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

struct clock clock_real(void)
{
    return (struct clock){real_now_ms, real_monotonic_ns, NULL};
}
