#include "dispatch/rate.h"

/* What a rate means for the bucket, in time. */
struct pace {
    uint64_t token_ns; /* until the next token comes; 0: no limit */
    uint64_t all_ns;   /* until an empty bucket is full */
};

static struct pace pace_of(double per_second)
{
    if (!(per_second > 0))
        return (struct pace){0};
    if (per_second > RATE_MAX)
        per_second = RATE_MAX;
    if (per_second < RATE_MIN)
        per_second = RATE_MIN;
    double tokens = per_second / 10 > 1 ? per_second / 10 : 1;
    double token_ns = 1e9 / per_second;
    uint64_t rounded = (uint64_t)token_ns + 1; /* never faster than asked for */
    return (struct pace){rounded, (uint64_t)(tokens * (double)rounded)};
}

/* When it will be full, within what the rate allows: after a change, the time may be beyond what can be owed now. */
static uint64_t full_at(uint64_t full_ns, const struct pace *p, uint64_t now_ns)
{
    if (full_ns < now_ns)
        return now_ns;
    return full_ns > now_ns + p->all_ns ? now_ns + p->all_ns : full_ns;
}

bool rate_take(struct rate *r, double per_second, uint64_t now_ns)
{
    const struct pace p = pace_of(per_second);
    if (p.token_ns == 0)
        return true;
    uint64_t was = atomic_load(&r->full_ns);
    for (;;) {
        uint64_t full = full_at(was, &p, now_ns);
        bool taken = full + p.token_ns <= now_ns + p.all_ns;
        uint64_t next = taken ? full + p.token_ns : full;
        /* Also where none is taken: what can't be owed any more is forgotten now, not each time anew. */
        if ((!taken && next >= was) || atomic_compare_exchange_weak(&r->full_ns, &was, next))
            return taken;
    }
}

void rate_give_back(struct rate *r, double per_second)
{
    const struct pace p = pace_of(per_second);
    uint64_t was = atomic_load(&r->full_ns);
    while (!atomic_compare_exchange_weak(&r->full_ns, &was, was > p.token_ns ? was - p.token_ns : 0))
        ;
}

uint64_t rate_ready_ns(const struct rate *r, double per_second, uint64_t now_ns)
{
    const struct pace p = pace_of(per_second);
    if (p.token_ns == 0)
        return now_ns;
    uint64_t owed = full_at(atomic_load(&r->full_ns), &p, now_ns) + p.token_ns;
    return owed > now_ns + p.all_ns ? owed - p.all_ns : now_ns;
}
