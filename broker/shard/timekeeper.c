#include "shard/timekeeper.h"

void timekeeper_open(struct timekeeper *t, const struct clock *clock, uint64_t least_ms)
{
    uint64_t wall = clock_now_ms(clock);
    *t = (struct timekeeper){.clock = clock, .now_ms = wall > least_ms ? wall : least_ms};
    t->seen_ns = clock_monotonic_ns(clock);
}

uint64_t timekeeper_now_ms(struct timekeeper *t)
{
    uint64_t ns = clock_monotonic_ns(t->clock);
    uint64_t elapsed = (ns - t->seen_ns) / 1000000;
    if (elapsed == 0)
        return t->now_ms;
    t->seen_ns += elapsed * 1000000;
    uint64_t wall = clock_now_ms(t->clock);
    uint64_t straight = t->now_ms + elapsed;
    t->unslewed_ms += elapsed;
    uint64_t slew = t->unslewed_ms / TIMEKEEPER_SLEW;
    t->unslewed_ms %= TIMEKEEPER_SLEW;
    if (wall > straight)
        straight += wall - straight < slew ? wall - straight : slew;
    else if (straight > wall)
        straight -= straight - wall < slew ? straight - wall : slew;
    t->now_ms = straight > t->now_ms ? straight : t->now_ms;
    return t->now_ms;
}
