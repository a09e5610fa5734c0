#include "dispatch/binding.h"

#include <proto/settings.pb-c.h>
#include <string.h>

#include "base/container.h"
#include "base/memory.h"
#include "dispatch/core.h"
#include "dispatch/target.h"

static char *copy(const char *text)
{
    return memory_string(text, strlen(text));
}

/* The `part`th of what colons separate, from 0; "" when there is none. */
static char *part_of(const char *arn, unsigned part)
{
    for (; part > 0; part--) {
        const char *colon = strchr(arn, ':');
        arn = colon == NULL ? "" : colon + 1;
    }
    return memory_string(arn, strcspn(arn, ":"));
}

static void on_timer(struct timer *t)
{
    struct binding *b = CONTAINER_OF(t, struct binding, timer);
    b->due = true;
    binding_wake(b);
}

/* Takes it from its endpoint. */
static void detach(struct binding *b)
{
    struct endpoint *e = b->endpoint;
    if (e == NULL)
        return;
    if (list_linked(&b->awake))
        list_remove(&e->awake, &b->awake);
    timers_disarm(&b->dispatcher->timers, &b->timer);
    b->endpoint = NULL;
    e->bindings--;
    e->paused -= b->paused;
    endpoint_unref(e);
}

static void attach(struct binding *b, const char *function, const Hato__FunctionSettings *settings, struct quota *quota)
{
    struct dispatcher *d = b->dispatcher;
    struct endpoint *e = map_find(&d->endpoints, bytes_text(function));
    bool made = e == NULL;
    e = made ? endpoint_create(d, function) : endpoint_ref(e);
    e->bindings++;
    e->paused += b->paused;
    b->endpoint = e;
    /* One that is known already has its settings by dispatcher_function_changed, unless they were not known. */
    if (made || e->target == NULL)
        endpoint_configure(e, settings, quota);
}

void binding_change(struct binding *b, const struct dispatcher_binding *given)
{
    const Hato__BindingSettings *s = given->binding;
    b->batch_size = s != NULL && s->has_batch_size && s->batch_size > 0 ? s->batch_size : BINDING_BATCH;
    b->window_ms = s != NULL && s->has_window_ms ? s->window_ms : 0;
    b->origin.content_deduplication = given->content_deduplication;
    b->max_concurrency =
        s != NULL && s->has_max_concurrency && s->max_concurrency > 0 ? s->max_concurrency : BINDING_CONCURRENCY;
    bool paused = s != NULL && s->has_paused && s->paused;
    if (b->endpoint != NULL)
        b->endpoint->paused += (uint32_t)paused - (uint32_t)b->paused;
    b->paused = paused;
    if (b->endpoint == NULL || strcmp(b->endpoint->name, given->function) != 0) {
        detach(b);
        attach(b, given->function, given->settings, given->quota);
    }
    binding_wake(b);
}

struct binding *binding_create(struct dispatcher *d, const struct dispatcher_binding *given)
{
    struct binding *b = memory_zero(1, sizeof *b);
    b->dispatcher = d;
    b->queue = given->queue;
    b->refs = 1;
    b->bound = true;
    b->timer.fire = on_timer;
    b->queue_name = copy(given->queue_name);
    b->arn = copy(given->queue_arn);
    b->region = part_of(given->queue_arn, 3);
    b->account = part_of(given->queue_arn, 4);
    const char *colon = strrchr(b->queue_name, ':');
    b->origin = (struct origin){.name = colon == NULL ? b->queue_name : colon + 1,
                                .arn = b->arn,
                                .region = b->region,
                                .account = b->account,
                                .fifo = given->fifo};
    binding_change(b, given);
    return b;
}

void binding_unref(struct binding *b)
{
    if (--b->refs > 0)
        return;
    detach(b);
    memory_free(b->queue_name);
    memory_free(b->arn);
    memory_free(b->region);
    memory_free(b->account);
    memory_free(b);
}

void binding_unbind(struct binding *b)
{
    b->bound = false;
    detach(b);
    binding_unref(b);
}

void binding_orphan(struct binding *b)
{
    struct endpoint *old = endpoint_ref(b->endpoint);
    detach(b);
    attach(b, old->name, NULL, NULL);
    endpoint_unref(old);
    binding_wake(b); /* or else nobody looks when there is a function again */
}

void binding_wake(struct binding *b)
{
    b->wakes++;
    struct endpoint *e = b->endpoint;
    if (!b->bound || e == NULL)
        return;
    if (!list_linked(&b->awake))
        list_append(&e->awake, &b->awake);
    endpoint_mark(e);
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

struct binding_ask binding_wants(struct binding *b, uint32_t room)
{
    struct dispatcher *d = b->dispatcher;
    const struct binding_ask nothing = {0};
    if (b->paused || b->requests >= b->max_concurrency)
        return nothing;
    room = least(room, b->max_concurrency - b->requests);
    /* Of a FIFO queue a lease may hold several messages of one group, and these must go one after another. */
    bool single = b->endpoint->target->format->single;
    uint32_t most = single ? (b->origin.fifo ? 1 : least(room, BINDING_SINGLES_MAX)) : b->batch_size;
    uint32_t there = d->ops->available(d->ctx, b->queue, b->asked + most);
    uint32_t more = there > b->asked ? there - b->asked : 0;
    if (more == 0) {
        b->due = false; /* whatever has waited is gone: what comes next waits anew */
        return nothing;
    }
    if (!single && b->window_ms > 0 && more < most && !b->due) {
        if (!timers_armed(&b->timer))
            timers_arm(&d->timers, &b->timer, timers_now_ms(&d->timers) + b->window_ms);
        return nothing;
    }
    b->due = false;
    timers_disarm(&d->timers, &b->timer);
    return single ? (struct binding_ask){least(most, more), least(most, more)} : (struct binding_ask){most, 1};
}
