#include "bench/schedule.h"

static uint64_t schedule_due(const struct schedule *s)
{
    return s->began_ns + (uint64_t)((double)s->issued * s->interval_ns);
}

void schedule_open(struct schedule *s, double rate_per_s, uint64_t now_ns)
{
    *s = (struct schedule){.interval_ns = rate_per_s > 0 ? 1e9 / rate_per_s : 0, .began_ns = now_ns};
}

bool schedule_take(struct schedule *s, uint64_t now_ns, uint64_t *from_ns)
{
    bool closed = s->interval_ns <= 0;
    uint64_t due = closed ? now_ns : schedule_due(s);
    if (due > now_ns)
        return false;
    s->issued++;
    *from_ns = due;
    return true;
}

uint64_t schedule_wait(const struct schedule *s, uint64_t now_ns)
{
    uint64_t due = s->interval_ns <= 0 ? now_ns : schedule_due(s);
    return due > now_ns ? due - now_ns : 0;
}
