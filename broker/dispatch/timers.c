#include "dispatch/timers.h"

#include "base/assert.h"

static void run(uv_timer_t *uv);

/* One uv timer for the earliest. uv counts from when the turn began, so it may fire early: then it is set again. And it does not
 * count while the machine sleeps, which the heap's time does: so it looks in between. */
static void reset(struct timers *t)
{
    struct heap_node *first = heap_first(&t->heap);
    if (first == NULL) {
        uv_timer_stop(&t->uv);
        return;
    }
    uint64_t now = timers_now_ms(t);
    uint64_t left = first->key > now ? first->key - now : 0;
    ASSERT(uv_timer_start(&t->uv, run, left < TIMERS_LOOK_MS ? left : TIMERS_LOOK_MS, 0) == 0);
}

static void run(uv_timer_t *uv)
{
    struct timers *t = CONTAINER_OF(uv, struct timers, uv);
    uint64_t now = timers_now_ms(t);
    struct heap_node *first;
    while ((first = heap_first(&t->heap)) != NULL && first->key <= now) {
        struct timer *one = CONTAINER_OF(first, struct timer, node);
        heap_remove(&t->heap, first);
        one->fire(one);
    }
    t->fired(t);
    reset(t);
}

void timers_open(struct timers *t, uv_loop_t *loop, struct clock clock, void (*fired)(struct timers *t))
{
    *t = (struct timers){.clock = clock, .fired = fired};
    ASSERT(uv_timer_init(loop, &t->uv) == 0);
}

void timers_close(struct timers *t, uv_close_cb closed)
{
    heap_close(&t->heap);
    uv_close((uv_handle_t *)&t->uv, closed);
}

uint64_t timers_now_ms(const struct timers *t)
{
    return clock_monotonic_ms(&t->clock);
}

void timers_arm(struct timers *t, struct timer *one, uint64_t at_ms)
{
    if (heap_holds(&one->node))
        heap_move(&t->heap, &one->node, at_ms, 0);
    else
        heap_put(&t->heap, &one->node, at_ms, 0);
    if (heap_first(&t->heap) == &one->node)
        reset(t);
}

void timers_disarm(struct timers *t, struct timer *one)
{
    if (!heap_holds(&one->node))
        return;
    bool first = heap_first(&t->heap) == &one->node;
    heap_remove(&t->heap, &one->node);
    if (first)
        reset(t);
}
