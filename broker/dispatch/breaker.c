#include "dispatch/breaker.h"

#include "base/assert.h"

bool breaker_allows(struct breaker *b, uint64_t now_ms)
{
    if (b->state == BREAKER_OPEN && now_ms >= b->retry_at_ms) {
        b->state = BREAKER_HALF_OPEN;
        b->probing = false;
    }
    return b->state == BREAKER_CLOSED || (b->state == BREAKER_HALF_OPEN && !b->probing);
}

bool breaker_leave(struct breaker *b)
{
    if (b->state != BREAKER_HALF_OPEN)
        return false;
    ASSERT(!b->probing);
    b->probing = true;
    return true;
}

bool breaker_answered(struct breaker *b, bool probe)
{
    b->troubles = 0;
    if (b->state == BREAKER_HALF_OPEN && probe) {
        b->state = BREAKER_CLOSED;
        b->gone = false;
        return true;
    }
    if (b->state == BREAKER_CLOSED && b->step > 0)
        b->step--;
    return false;
}

/* Half of the wait is certain, half is chance: brokers that lost the endpoint together shall not come back together. */
static uint64_t wait_ms(const struct breaker *b, struct random *random)
{
    uint64_t wait = (uint64_t)BREAKER_WAIT_MIN_MS << b->step;
    if (wait > BREAKER_WAIT_MAX_MS)
        wait = BREAKER_WAIT_MAX_MS;
    return wait / 2 + random_below(random, wait / 2 + 1);
}

static void open_until(struct breaker *b, uint64_t until_ms)
{
    if (b->state != BREAKER_OPEN || until_ms > b->retry_at_ms)
        b->retry_at_ms = until_ms;
    b->state = BREAKER_OPEN;
}

bool breaker_trouble(struct breaker *b, bool probe, uint64_t now_ms, uint64_t told_ms, bool longer,
                     struct random *random)
{
    bool was_closed = b->state == BREAKER_CLOSED;
    b->troubles++;
    if (told_ms > 0) {
        open_until(b, now_ms + (told_ms < BREAKER_WAIT_TOLD_MAX_MS ? told_ms : BREAKER_WAIT_TOLD_MAX_MS));
        return was_closed;
    }
    bool decides = was_closed ? b->troubles >= BREAKER_TROUBLES : b->state == BREAKER_HALF_OPEN && probe;
    if (!decides)
        return false;
    open_until(b, now_ms + wait_ms(b, random));
    if (longer && BREAKER_WAIT_MIN_MS << b->step < BREAKER_WAIT_MAX_MS)
        b->step++;
    return was_closed;
}

void breaker_gone(struct breaker *b, uint64_t now_ms)
{
    b->gone = true;
    open_until(b, now_ms + BREAKER_WAIT_GONE_MS);
}

void breaker_unprobed(struct breaker *b)
{
    b->probing = false;
}
