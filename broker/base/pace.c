#include "base/pace.h"

void pace_take(struct pace *p, uint64_t bytes, uint64_t now_us)
{
    if (p->bytes_per_second == 0)
        return;
    uint64_t takes_us = (uint64_t)((double)bytes * 1e6 / (double)p->bytes_per_second);
    uint64_t at = atomic_load(&p->at_us);
    uint64_t from;
    do
        from = at > now_us ? at : now_us;
    while (!atomic_compare_exchange_weak(&p->at_us, &at, from + takes_us));
}

bool pace_may(const struct pace *p, uint64_t now_us)
{
    return p->bytes_per_second == 0 || atomic_load(&p->at_us) <= now_us + PACE_BURST_US;
}
