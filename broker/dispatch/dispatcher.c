#include "dispatch/dispatcher.h"

#include <proto/settings.pb-c.h>
#include <string.h>

#include "base/assert.h"
#include "base/container.h"
#include "base/memory.h"
#include "dispatch/binding.h"
#include "dispatch/core.h"
#include "dispatch/job.h"
#include "dispatch/quota.h"
#include "net/crypto.h"

/* ------------------------------------------------------------------ looking at endpoints */

/* Before the loop waits again, or at once where a round of events is over. Only those that stand there now: what they
 * mark in turn is for the next time. Who had to wait for others comes before those that just had a request done. */
static void look(struct dispatcher *d)
{
    for (size_t left = list_count(&d->starving); left > 0 && dispatcher_room(d) > 0; left--)
        endpoint_pump(CONTAINER_OF(list_take(&d->starving), struct endpoint, starving));
    for (size_t left = list_count(&d->marked); left > 0 && !list_empty(&d->marked); left--)
        endpoint_pump(CONTAINER_OF(list_take(&d->marked), struct endpoint, marked));
    if (list_empty(&d->marked))
        uv_idle_stop(&d->soon);
}

static void on_soon(uv_idle_t *soon)
{
    look(CONTAINER_OF(soon, struct dispatcher, soon));
}

static void on_settled(struct transport *t)
{
    look(CONTAINER_OF(t, struct dispatcher, transport));
}

static void on_fired(struct timers *t)
{
    look(CONTAINER_OF(t, struct dispatcher, timers));
}

void dispatcher_soon(struct dispatcher *d)
{
    if (!d->closing)
        uv_idle_start(&d->soon, on_soon);
}

uint32_t dispatcher_room(struct dispatcher *d)
{
    uint64_t used = list_count(&d->jobs) + d->reserved;
    uint64_t bytes = d->held + d->asked;
    return used < d->requests_max && bytes < d->memory_max ? (uint32_t)(d->requests_max - used) : 0;
}

void dispatcher_freed(struct dispatcher *d)
{
    if (!list_empty(&d->starving))
        dispatcher_soon(d);
}

/* ------------------------------------------------------------------ opening and closing */

int dispatcher_create(struct dispatcher **out, uv_loop_t *loop, const struct source_ops *ops, void *ctx,
                      const struct dispatcher_options *options, struct error *e)
{
    struct dispatcher *d = memory_zero(1, sizeof *d);
    int code = transport_open(&d->transport, loop, &options->policy, options->ca, on_settled, e);
    if (code != ERR_OK) {
        memory_free(d);
        return code;
    }
    const char *agent = options->agent != NULL ? options->agent : "Hato";
    d->ops = ops;
    d->ctx = ctx;
    d->clock = options->clock;
    d->trace = options->trace;
    d->agent = memory_string(agent, strlen(agent));
    d->loop = options->loop;
    d->requests_max = options->requests_max > 0 ? options->requests_max : DISPATCHER_REQUESTS_MAX;
    d->memory_max = options->memory_max > 0 ? options->memory_max : DISPATCHER_MEMORY_MAX;
    if (options->answers_max > 0)
        d->transport.received_max = options->answers_max;
    d->lease_ms = options->lease_ms > 0 ? options->lease_ms : DISPATCHER_LEASE_MS;
    random_open(&d->random, options->seed);
    d->crypto = crypto_create();
    timers_open(&d->timers, loop, options->clock, on_fired);
    ASSERT(uv_idle_init(loop, &d->soon) == 0);
    list_init(&d->marked);
    list_init(&d->starving);
    list_init(&d->jobs);
    list_init(&d->kept);
    *out = d;
    return ERR_OK;
}

static void on_soon_closed(uv_handle_t *handle)
{
    struct dispatcher *d = CONTAINER_OF(handle, struct dispatcher, soon);
    void (*closed)(void *arg) = d->closed;
    void *arg = d->closed_arg;
    crypto_destroy(d->crypto);
    memory_free(d->agent);
    memory_free(d);
    if (closed != NULL)
        closed(arg);
}

static void on_timers_closed(uv_handle_t *handle)
{
    struct dispatcher *d = CONTAINER_OF(handle, struct dispatcher, timers.uv);
    uv_close((uv_handle_t *)&d->soon, on_soon_closed);
}

static void on_transport_closed(struct transport *t)
{
    struct dispatcher *d = CONTAINER_OF(t, struct dispatcher, transport);
    timers_close(&d->timers, on_timers_closed);
}

/* Nothing is out any more, so nobody holds a binding or an endpoint. */
static void finish(struct dispatcher *d)
{
    ASSERT(map_count(&d->endpoints) == 0 && d->held == 0 && d->reserved == 0);
    map_close(&d->endpoints);
    idmap_close(&d->bindings);
    while (!list_empty(&d->kept))
        job_destroy(CONTAINER_OF(list_take(&d->kept), struct job, link));
    transport_close(&d->transport, on_transport_closed);
}

void dispatcher_close(struct dispatcher *d, void (*closed)(void *arg), void *arg)
{
    ASSERT(!d->closing);
    d->closing = true;
    d->closed = closed;
    d->closed_arg = arg;
    uv_idle_stop(&d->soon);
    while (!list_empty(&d->jobs))
        job_cancel(CONTAINER_OF(list_first(&d->jobs), struct job, link));
    size_t at = 0;
    uint64_t queue = 0;
    struct binding *b;
    while ((b = idmap_next(&d->bindings, &at, &queue)) != NULL) {
        idmap_remove(&d->bindings, queue);
        binding_unbind(b);
    }
    if (d->leases == 0)
        finish(d);
}

void dispatcher_lease_done(struct dispatcher *d)
{
    d->leases--;
    if (d->closing && d->leases == 0)
        finish(d);
}

void dispatcher_drain(struct dispatcher *d)
{
    d->draining = true;
}

bool dispatcher_busy(const struct dispatcher *d)
{
    return !list_empty(&d->jobs) || d->leases > 0;
}

/* ------------------------------------------------------------------ bindings */

void dispatcher_bind(struct dispatcher *d, const struct dispatcher_binding *given)
{
    if (d->closing)
        return;
    struct binding *b = idmap_find(&d->bindings, given->queue);
    if (b != NULL)
        binding_change(b, given);
    else
        idmap_put(&d->bindings, given->queue, binding_create(d, given));
}

void dispatcher_unbind(struct dispatcher *d, uint64_t queue)
{
    struct binding *b = idmap_remove(&d->bindings, queue);
    if (b != NULL)
        binding_unbind(b);
}

void dispatcher_function_changed(struct dispatcher *d, const char *function,
                                 const struct Hato__FunctionSettings *settings, struct quota *quota)
{
    struct endpoint *e = map_find(&d->endpoints, bytes_text(function));
    if (e != NULL)
        endpoint_configure(e, settings, quota);
}

void dispatcher_function_deleted(struct dispatcher *d, const char *function)
{
    struct endpoint *e = map_find(&d->endpoints, bytes_text(function));
    if (e == NULL)
        return;
    endpoint_ref(e);
    endpoint_retire(e);
    size_t at = 0;
    struct binding *b;
    while ((b = idmap_next(&d->bindings, &at, NULL)) != NULL)
        if (b->endpoint == e)
            binding_orphan(b);
    endpoint_unref(e);
}

void dispatcher_quota(struct dispatcher *d, struct quota *quota, bool permit)
{
    struct endpoint *e = map_find(&d->endpoints, bytes_text(quota_function(quota)));
    if (e != NULL && e->quota == quota)
        endpoint_passed(e, permit);
    else if (permit)
        quota_give(quota, d->loop, UINT32_MAX);
}

void dispatcher_wake(struct dispatcher *d, uint64_t queue)
{
    struct binding *b = idmap_find(&d->bindings, queue);
    if (b != NULL)
        binding_wake(b);
}

/* ------------------------------------------------------------------ how it goes */

bool dispatcher_info(const struct dispatcher *d, const char *function, struct arena *arena, struct dispatcher_info *out)
{
    const struct endpoint *e = map_find(&d->endpoints, bytes_text(function));
    if (e == NULL || e->bindings == 0)
        return false;
    endpoint_info(e, arena, out);
    return true;
}

const char *dispatcher_state_name(enum dispatcher_state state)
{
    static const char *const names[] = {[DISPATCHER_IDLE] = "idle",
                                        [DISPATCHER_DELIVERING] = "delivering",
                                        [DISPATCHER_OPEN] = "open",
                                        [DISPATCHER_GONE] = "gone",
                                        [DISPATCHER_PAUSED] = "paused"};
    return names[state];
}
