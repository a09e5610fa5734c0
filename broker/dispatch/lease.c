#include "dispatch/lease.h"

#include "base/assert.h"
#include "base/memory.h"
#include "dispatch/core.h"
#include "dispatch/job.h"
#include "dispatch/probe.h"
#include "dispatch/target.h"

static void on_done(struct source_lease *request, int code, struct source_batch *batch);

static uint64_t visibility_of(const struct dispatcher *d, const struct endpoint *e)
{
    uint64_t whole = e->target->timeout_ms + DISPATCHER_LEASE_MARGIN_MS;
    return whole < d->lease_ms ? whole : d->lease_ms;
}

static void reserve(struct lease *l, int64_t requests)
{
    l->binding->requests += (uint32_t)requests;
    l->endpoint->reserved += (uint32_t)requests;
    l->endpoint->dispatcher->reserved += (uint32_t)requests;
}

void lease_ask(struct binding *b, const struct binding_ask *ask, bool probe)
{
    struct dispatcher *d = b->dispatcher;
    struct lease *l = memory_zero(1, sizeof *l);
    if (probe)
        probe_begin(b->endpoint);
    l->binding = b;
    b->refs++;
    l->endpoint = endpoint_ref(b->endpoint);
    l->refs = 1;
    l->wakes = b->wakes;
    l->asked_ms = timers_now_ms(&d->timers);
    l->probe = probe;
    l->reserved = ask->requests;
    l->take = ask->messages;
    l->request = (struct source_lease){.queue = b->queue,
                                       .max_messages = probe ? probe_looks_at(l->endpoint, l->take) : l->take,
                                       .max_bytes = probe ? probe_bytes(l->endpoint) : DISPATCHER_LEASE_BYTES_MAX,
                                       .visibility_ms = visibility_of(d, l->endpoint),
                                       .done = on_done};
    reserve(l, ask->requests);
    b->asked += l->request.max_messages;
    d->leases++;
    d->asked += l->request.max_bytes;
    d->ops->lease(d->ctx, &l->request);
}

static void release(struct lease *l)
{
    struct dispatcher *d = l->endpoint->dispatcher;
    if (l->batch != NULL)
        d->ops->release(d->ctx, l->batch);
    l->batch = NULL;
    d->held -= l->bytes;
    l->bytes = 0;
}

void lease_unref(struct lease *l)
{
    if (--l->refs > 0)
        return;
    release(l);
    arena_close(&l->chosen);
    binding_unref(l->binding);
    endpoint_unref(l->endpoint);
    memory_free(l);
}

/* The binding may have more than what came, or, when nothing came, has been told so meanwhile. */
static void look_again(struct lease *l, int code)
{
    struct binding *b = l->binding;
    struct dispatcher *d = b->dispatcher;
    if (l->batch != NULL || b->wakes != l->wakes) {
        binding_wake(b);
        return;
    }
    if (b->bound && list_linked(&b->awake))
        list_remove(&b->endpoint->awake, &b->awake);
    if (code != ERR_OK && b->bound && !d->closing && !timers_armed(&b->timer))
        timers_arm(&d->timers, &b->timer, timers_now_ms(&d->timers) + BINDING_AGAIN_MS);
}

/* Requests that it takes to send the batch. */
static uint32_t requests_of(const struct lease *l)
{
    return l->endpoint->target->format->single ? l->count : 1;
}

/* Whether what came may still be sent: meanwhile the endpoint may have got into trouble, the binding may be gone,
 * paused or of another function, and the format one that takes more requests than were reserved. */
static bool still_wanted(const struct lease *l)
{
    const struct endpoint *e = l->endpoint;
    const struct binding *b = l->binding;
    const struct dispatcher *d = e->dispatcher;
    return !d->closing && !d->draining && b->bound && !b->paused && b->endpoint == e && e->target != NULL &&
           (l->probe || e->breaker.state == BREAKER_CLOSED) && requests_of(l) <= l->reserved;
}

static bool is_sent(const struct lease *l, uint64_t sequence)
{
    for (uint32_t i = 0; i < l->count; i++)
        if (l->messages[i].token.sequence == sequence)
            return true;
    return false;
}

/* All of the batch, or what is not sent of it: in its place, as if it had not been leased. */
static void give_back(struct lease *l, bool all)
{
    struct dispatcher *d = l->endpoint->dispatcher;
    size_t count = 0;
    struct source_token *tokens = memory_alloc(l->batch->count * sizeof *tokens);
    for (size_t i = 0; i < l->batch->count; i++)
        if (all || !is_sent(l, l->batch->messages[i].token.sequence))
            tokens[count++] = l->batch->messages[i].token;
    const struct source_nack nack = {.uncounted = true, .error = bytes_text("")};
    d->ops->nack(d->ctx, l->binding->queue, &nack, tokens, count);
    if (all) /* the others were only looked at */
        l->endpoint->returned_total += count;
    memory_free(tokens);
}

static void hold(struct lease *l, const struct source_message *messages, size_t count)
{
    for (size_t i = 0; i < count; i++)
        l->bytes += messages[i].message.len;
    l->endpoint->dispatcher->held += l->bytes;
}

/* What is sent of what came. */
static void choose(struct lease *l)
{
    bool known = suspects_count(&l->endpoint->suspects) > 0;
    l->messages = l->batch->messages;
    l->count = (uint32_t)l->batch->count;
    if (l->probe && (known || l->count > l->take))
        probe_choose(l);
    else if (known && l->endpoint->target != NULL && !l->endpoint->target->format->single)
        l->count = probe_alike(l);
}

/* All but what is sent. */
static void let_go(struct lease *l)
{
    if (l->count < l->batch->count)
        give_back(l, false);
    if (l->messages == l->batch->messages)
        return;
    release(l);
    hold(l, l->messages, l->count);
}

static void start_jobs(struct lease *l)
{
    uint32_t count = l->count;
    bool single = l->endpoint->target->format->single;
    for (uint32_t first = 0; first < count; first += single ? 1 : count)
        job_start(l, first, single ? 1 : count, l->probe && first == 0);
}

static void on_done(struct source_lease *request, int code, struct source_batch *batch)
{
    struct lease *l = CONTAINER_OF(request, struct lease, request);
    struct dispatcher *d = l->endpoint->dispatcher;
    ASSERT(batch == NULL || (batch->count >= 1 && batch->count <= request->max_messages));
    l->batch = batch;
    d->asked -= request->max_bytes;
    if (batch != NULL) {
        hold(l, batch->messages, batch->count);
        choose(l);
    }
    l->binding->asked -= request->max_messages;
    reserve(l, -(int64_t)l->reserved);
    look_again(l, code);
    bool wanted = batch != NULL && still_wanted(l);
    if (l->probe && !wanted)
        breaker_unprobed(&l->endpoint->breaker);
    uint32_t used = wanted ? requests_of(l) : 0;
    endpoint_give_tokens(l->endpoint, l->reserved - used);
    endpoint_give_permits(l->endpoint, l->reserved - used);
    if (wanted) {
        let_go(l);
        start_jobs(l);
    } else if (batch != NULL) {
        give_back(l, true);
    }
    endpoint_mark(l->endpoint);
    dispatcher_freed(d);
    lease_unref(l);
    dispatcher_lease_done(d);
}
