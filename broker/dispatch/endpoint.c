#include "dispatch/endpoint.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/container.h"
#include "base/memory.h"
#include "dispatch/binding.h"
#include "dispatch/core.h"
#include "dispatch/lease.h"
#include "dispatch/quota.h"
#include "dispatch/target.h"

static void on_timer(struct timer *t)
{
    endpoint_mark(CONTAINER_OF(t, struct endpoint, timer));
}

struct endpoint *endpoint_create(struct dispatcher *d, const char *name)
{
    struct endpoint *e = memory_zero(1, sizeof *e);
    e->dispatcher = d;
    e->name = memory_string(name, strlen(name));
    e->refs = 1;
    e->timer.fire = on_timer;
    list_init(&e->awake);
    window_open(&e->window, 1);
    map_put(&d->endpoints, bytes_text(e->name), e);
    return e;
}

struct endpoint *endpoint_ref(struct endpoint *e)
{
    e->refs++;
    return e;
}

void endpoint_retire(struct endpoint *e)
{
    struct dispatcher *d = e->dispatcher;
    if (!e->retired)
        map_remove(&d->endpoints, bytes_text(e->name));
    e->retired = true;
    timers_disarm(&d->timers, &e->timer);
    if (list_linked(&e->marked))
        list_remove(&d->marked, &e->marked);
    if (list_linked(&e->starving))
        list_remove(&d->starving, &e->starving);
    target_unref(e->target);
    e->target = NULL;
}

void endpoint_unref(struct endpoint *e)
{
    if (--e->refs > 0)
        return;
    endpoint_retire(e);
    quota_unref(e->quota);
    suspects_close(&e->suspects);
    attempts_close(&e->attempts);
    memory_free(e->name);
    memory_free(e);
}

void endpoint_configure(struct endpoint *e, const struct Hato__FunctionSettings *settings, struct quota *quota)
{
    struct dispatcher *d = e->dispatcher;
    struct target *target = NULL;
    struct error error = {0};
    ASSERT((settings == NULL || quota != NULL) && (e->quota == NULL || e->quota == quota));
    if (e->quota == NULL && quota != NULL)
        e->quota = quota_ref(quota);
    if (settings != NULL && target_create(&target, settings, d->agent, &error) != ERR_OK)
        snprintf(e->last_error, sizeof e->last_error, "the function's settings can't be used: %s", error.message);
    bool first = e->target == NULL;
    target_unref(e->target);
    e->target = target;
    e->breaker = (struct breaker){0};
    timers_disarm(&d->timers, &e->timer);
    if (target == NULL)
        return;
    if (first)
        window_open(&e->window, target->max_concurrency);
    else
        window_set_max(&e->window, target->max_concurrency);
    endpoint_mark(e);
}

void endpoint_mark(struct endpoint *e)
{
    struct dispatcher *d = e->dispatcher;
    if (d->closing || e->retired || list_linked(&e->marked))
        return;
    list_append(&d->marked, &e->marked);
    dispatcher_soon(d);
}

/* How many more requests it may have now. When it is a matter of time, the timer will tell. */
static uint32_t room(struct endpoint *e)
{
    struct dispatcher *d = e->dispatcher;
    if (e->target == NULL || d->draining || d->closing)
        return 0;
    if (!breaker_allows(&e->breaker, timers_now_ms(&d->timers))) {
        if (e->breaker.state == BREAKER_OPEN)
            timers_arm(&d->timers, &e->timer, e->breaker.retry_at_ms);
        return 0;
    }
    uint32_t all = dispatcher_room(d);
    if (all == 0 && !list_linked(&e->starving))
        list_append(&d->starving, &e->starving);
    if (e->breaker.state == BREAKER_HALF_OPEN)
        return all < 1 ? all : 1;
    uint32_t used = e->requests + e->reserved;
    uint32_t allowed = window_size(&e->window);
    uint32_t own = allowed > used ? allowed - used : 0;
    return own < all ? own : all;
}

/* As many tokens as there are, up to `wanted`; when there is none, the timer will tell. */
static uint32_t take_tokens(struct endpoint *e, uint32_t wanted)
{
    struct dispatcher *d = e->dispatcher;
    uint64_t now_ns = clock_monotonic_ns(&d->clock);
    uint32_t taken = 0;
    while (taken < wanted && rate_take(quota_rate(e->quota), e->target->rate, now_ns))
        taken++;
    if (taken == 0)
        timers_arm(&d->timers, &e->timer, rate_ready_ns(quota_rate(e->quota), e->target->rate, now_ns) / 1000000 + 1);
    return taken;
}

void endpoint_give_tokens(struct endpoint *e, uint32_t count)
{
    for (; count > 0 && e->target != NULL; count--)
        rate_give_back(quota_rate(e->quota), e->target->rate);
}

/* Up to `wanted`; when there is none, it will be passed one. */
static uint32_t take_permits(struct endpoint *e, uint32_t wanted)
{
    uint32_t passed = e->passed < wanted ? e->passed : wanted;
    e->passed -= passed;
    return passed + quota_take(e->quota, e->dispatcher->loop, e->target->max_concurrency, wanted - passed);
}

void endpoint_give_permits(struct endpoint *e, uint32_t count)
{
    for (; count > 0; count--)
        quota_give(e->quota, e->dispatcher->loop, e->window.max);
}

void endpoint_passed(struct endpoint *e, bool permit)
{
    e->passed += permit;
    endpoint_pump(e);
    endpoint_give_permits(e, e->passed);
    e->passed = 0;
}

/* False when others have all there is, or the rate forbids. */
static bool ask(struct endpoint *e, struct binding *b, struct binding_ask *wants)
{
    uint32_t permits = take_permits(e, wants->requests);
    uint32_t tokens = permits > 0 ? take_tokens(e, permits) : 0;
    endpoint_give_permits(e, permits - tokens);
    if (tokens == 0)
        return false;
    if (tokens < wants->requests) /* only where each message is a request */
        *wants = (struct binding_ask){tokens, tokens};
    lease_ask(b, wants, breaker_leave(&e->breaker));
    return true;
}

void endpoint_pump(struct endpoint *e)
{
    uint32_t free = 0;
    while (!list_empty(&e->awake) && (free = room(e)) > 0) {
        struct binding *b = CONTAINER_OF(list_take(&e->awake), struct binding, awake);
        struct binding_ask wants = binding_wants(b, free);
        if (wants.messages == 0)
            continue;
        list_append(&e->awake, &b->awake);
        if (!ask(e, b, &wants)) {
            list_remove(&e->awake, &b->awake);
            list_prepend(&e->awake, &b->awake); /* its turn is still to come */
            b->due = b->window_ms > 0;          /* it has waited for its batch; let it not wait again */
            break;
        }
    }
}

static enum dispatcher_state state_of(const struct endpoint *e)
{
    if (e->breaker.state != BREAKER_CLOSED)
        return e->breaker.gone ? DISPATCHER_GONE : DISPATCHER_OPEN;
    if (e->requests > 0)
        return DISPATCHER_DELIVERING;
    return e->bindings > 0 && e->paused == e->bindings ? DISPATCHER_PAUSED : DISPATCHER_IDLE;
}

void endpoint_info(const struct endpoint *e, struct arena *arena, struct dispatcher_info *out)
{
    const struct dispatcher *d = e->dispatcher;
    *out = (struct dispatcher_info){.state = state_of(e),
                                    .in_flight = e->requests,
                                    .window = window_size(&e->window),
                                    .bindings = e->bindings,
                                    .delivered_total = e->delivered_total,
                                    .failed_total = e->failed_total,
                                    .returned_total = e->returned_total};
    out->last_error = arena_text(arena, e->last_error, strlen(e->last_error));
    if (e->breaker.state == BREAKER_OPEN) {
        uint64_t now = timers_now_ms(&d->timers);
        uint64_t left = e->breaker.retry_at_ms > now ? e->breaker.retry_at_ms - now : 0;
        out->retry_at_ms = clock_now_ms(&d->clock) + left;
    }
    out->attempt_count = attempts_list(&e->attempts, arena, &out->attempts);
}
