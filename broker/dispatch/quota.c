#include "dispatch/quota.h"

#include <stdatomic.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"

enum { NOBODY = QUOTA_LOOPS_MAX };

struct quota {
    atomic_uint refs;
    atomic_uint used;         /* permits that are out */
    _Atomic uint64_t waiting; /* a bit for each loop */
    struct rate rate;
    quota_pass_fn *pass;
    void *ctx;
    char function[];
};

struct quota *quota_create(const char *function, quota_pass_fn *pass, void *ctx)
{
    size_t len = strlen(function) + 1;
    struct quota *q = memory_zero(1, sizeof *q + len);
    atomic_init(&q->refs, 1);
    q->pass = pass;
    q->ctx = ctx;
    memcpy(q->function, function, len);
    return q;
}

struct quota *quota_ref(struct quota *q)
{
    atomic_fetch_add(&q->refs, 1);
    return q;
}

void quota_unref(struct quota *q)
{
    if (q != NULL && atomic_fetch_sub(&q->refs, 1) == 1)
        memory_free(q);
}

const char *quota_function(const struct quota *q)
{
    return q->function;
}

struct rate *quota_rate(struct quota *q)
{
    return &q->rate;
}

static uint64_t bit(unsigned loop)
{
    ASSERT(loop < QUOTA_LOOPS_MAX);
    return UINT64_C(1) << loop;
}

static uint32_t take(struct quota *q, uint32_t max, uint32_t wanted)
{
    unsigned used = atomic_load(&q->used);
    for (;;) {
        uint32_t left = used < max ? max - used : 0;
        uint32_t got = wanted < left ? wanted : left;
        if (got == 0 || atomic_compare_exchange_weak(&q->used, &used, used + got))
            return got;
    }
}

uint32_t quota_take(struct quota *q, unsigned loop, uint32_t max, uint32_t wanted)
{
    uint32_t got = take(q, max, wanted);
    if (got == wanted) {
        if ((atomic_load(&q->waiting) & bit(loop)) != 0)
            atomic_fetch_and(&q->waiting, ~bit(loop));
        return got;
    }
    /* First the mark, then another look: who gives one back after that look sees the mark. */
    atomic_fetch_or(&q->waiting, bit(loop));
    return got + take(q, max, wanted - got);
}

/* A loop that waits, other than `loop`, the next after it; its mark is taken. */
static unsigned next_waiting(struct quota *q, unsigned loop)
{
    uint64_t waiting;
    while ((waiting = atomic_load(&q->waiting) & ~bit(loop)) != 0) {
        uint64_t after = waiting & ~((bit(loop) << 1) - 1);
        unsigned next = (unsigned)__builtin_ctzll(after != 0 ? after : waiting);
        if ((atomic_fetch_and(&q->waiting, ~bit(next)) & bit(next)) != 0)
            return next;
    }
    return NOBODY;
}

void quota_give(struct quota *q, unsigned loop, uint32_t max)
{
    bool passed = atomic_load(&q->used) <= max;
    unsigned next = passed ? next_waiting(q, loop) : NOBODY;
    if (next == NOBODY) {
        passed = false;
        unsigned used = atomic_fetch_sub(&q->used, 1);
        ASSERT(used > 0);
        next = used <= max ? next_waiting(q, loop) : NOBODY; /* who came in between saw none */
    }
    if (next != NOBODY && q->pass != NULL)
        q->pass(q->ctx, q, next, passed);
}
