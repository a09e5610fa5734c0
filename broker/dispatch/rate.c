#include "dispatch/rate.h"

static void set(struct rate *r, double per_second)
{
    r->per_second = per_second > 0 ? per_second : 0;
    if (r->per_second > RATE_MAX)
        r->per_second = RATE_MAX;
    r->burst = r->per_second / 10 > 1 ? r->per_second / 10 : 1;
}

void rate_open(struct rate *r, double per_second, uint64_t now_ns)
{
    set(r, per_second);
    r->tokens = r->burst;
    r->filled_ns = now_ns;
}

static void fill(struct rate *r, uint64_t now_ns)
{
    if (now_ns > r->filled_ns) {
        r->tokens += (double)(now_ns - r->filled_ns) * 1e-9 * r->per_second;
        r->filled_ns = now_ns;
    }
    if (r->tokens > r->burst)
        r->tokens = r->burst;
}

void rate_change(struct rate *r, double per_second, uint64_t now_ns)
{
    fill(r, now_ns);
    bool was_limited = r->per_second > 0;
    set(r, per_second);
    if (!was_limited || r->tokens > r->burst)
        r->tokens = r->burst;
}

bool rate_take(struct rate *r, uint64_t now_ns)
{
    if (r->per_second <= 0)
        return true;
    fill(r, now_ns);
    if (r->tokens < 1)
        return false;
    r->tokens -= 1;
    return true;
}

void rate_give_back(struct rate *r)
{
    if (r->per_second > 0 && r->tokens + 1 <= r->burst)
        r->tokens += 1;
}

uint64_t rate_ready_ns(struct rate *r, uint64_t now_ns)
{
    if (r->per_second <= 0)
        return now_ns;
    fill(r, now_ns);
    if (r->tokens >= 1)
        return now_ns;
    /* One nanosecond more than computed, so that rounding can't leave the bucket a hair short at that time. */
    return now_ns + (uint64_t)((1 - r->tokens) / r->per_second * 1e9) + 1;
}
