#include "shard/timekeeper.h"

void timekeeper_open(struct timekeeper *t, const struct clock *clock)
{
    *t = (struct timekeeper){.clock = clock};
    t->now_ms = clock_now_ms(clock);
    t->seen_ns = clock_monotonic_ns(clock);
}

void timekeeper_lead(struct timekeeper *t, uint64_t least_ms)
{
    uint64_t now = t->knows ? timekeeper_now_ms(t) : clock_now_ms(t->clock);
    t->now_ms = now > least_ms ? now : least_ms;
    t->seen_ns = clock_monotonic_ns(t->clock);
    t->unslewed_ms = 0;
    t->leads = true;
    t->knows = true;
}

void timekeeper_follow(struct timekeeper *t)
{
    t->leads = false;
}

void timekeeper_hear(struct timekeeper *t, uint64_t ms)
{
    if (t->leads)
        return;
    uint64_t now = timekeeper_now_ms(t);
    if (t->knows && ms <= now && now - ms <= TIMEKEEPER_LATE_MS)
        return;
    t->now_ms = ms;
    t->knows = true;
}

static uint64_t slewed(struct timekeeper *t, uint64_t straight, uint64_t elapsed)
{
    uint64_t wall = clock_now_ms(t->clock);
    uint64_t part = wall > straight ? TIMEKEEPER_SLEW_FAST : TIMEKEEPER_SLEW_SLOW;
    t->unslewed_ms = t->unslewed_ms % part + elapsed;
    uint64_t slew = t->unslewed_ms / part;
    t->unslewed_ms %= part;
    if (wall > straight)
        straight += wall - straight < slew ? wall - straight : slew;
    else if (straight > wall)
        straight -= straight - wall < slew ? straight - wall : slew;
    return straight;
}

uint64_t timekeeper_now_ms(struct timekeeper *t)
{
    uint64_t ns = clock_monotonic_ns(t->clock);
    uint64_t elapsed = (ns - t->seen_ns) / 1000000;
    if (elapsed == 0)
        return t->now_ms;
    t->seen_ns += elapsed * 1000000;
    uint64_t now = t->now_ms + elapsed;
    if (t->leads)
        now = slewed(t, now, elapsed);
    t->now_ms = now > t->now_ms ? now : t->now_ms;
    return t->now_ms;
}

uint64_t timekeeper_known_ms(struct timekeeper *t)
{
    return t->knows ? timekeeper_now_ms(t) : 0;
}
