#include "server/push.h"

#include "base/assert.h"
#include "base/idmap.h"
#include "base/map.h"
#include "base/memory.h"
#include "dispatch/quota.h"
#include "proto/client.pb-c.h"
#include "server/settler.h"
#include "state/identity.h"
#include "state/settings.h"

struct known_function {
    char *name;
    Hato__FunctionSettings *settings;
    struct quota *quota;
};

struct push_seat {
    struct seat *seat;
    struct dispatcher *dispatcher;
    struct settler settler;
    struct map functions; /* full name -> known_function */
    struct idmap bound;   /* queue id -> itself, for leading(false) */
    uv_timer_t drain;     /* looks whether it is done, while it drains */
    uint64_t drain_until; /* of the loop's time */
    void (*drained)(void *ctx);
    void *drained_ctx;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

enum { DRAIN_LOOK_MS = 10 };

static struct shard *shard_of(struct push_seat *p, uint64_t queue)
{
    return node_shard(p->seat->node, identity_queue_shard(queue));
}

/* ---------------------------------------------------------------- leasing */

struct leasing {
    struct consumer consumer;
    struct mail mail;
    struct push_seat *push;
    struct source_lease *lease;
    int code;
};

/* A batch and all it points to, in one piece. */
struct held {
    struct source_batch batch;
    size_t count;
    struct blob **owners;
    struct source_message *messages;
    uint8_t (*receipts)[IDENTITY_RECEIPT_LEN];
    char (*ids)[IDENTITY_MESSAGE_ID_LEN + 1];
};

/* The caller's own references, of as little memory as is worth it: a request may take minutes. */
static struct delivered *keep(const struct delivered *messages, size_t count)
{
    struct delivered *kept = memory_alloc(count * sizeof *kept);
    memcpy(kept, messages, count * sizeof *kept);
    for (size_t i = 0; i < count; i++)
        blob_ref(kept[i].owner);
    shard_keep(kept, count);
    return kept;
}

static struct held *hold(struct push_seat *p, uint64_t queue, const struct delivered *messages, size_t count)
{
    size_t each =
        sizeof(struct blob *) + sizeof(struct source_message) + IDENTITY_RECEIPT_LEN + IDENTITY_MESSAGE_ID_LEN + 1;
    struct held *h = memory_alloc(sizeof *h + count * each);
    h->count = count;
    h->messages = (struct source_message *)(void *)(h + 1);
    h->owners = (struct blob **)(void *)(h->messages + count);
    h->receipts = (void *)(h->owners + count);
    h->ids = (void *)(h->receipts + count);
    uint64_t secret = machine_secret(shard_machine(shard_of(p, queue)));
    struct delivered *kept = keep(messages, count);
    for (size_t i = 0; i < count; i++) {
        const struct delivered *d = &kept[i];
        struct receipt receipt = {.queue = queue, .sequence = d->is.sequence, .lease = d->is.lease};
        receipt_encode(h->receipts[i], &receipt, secret);
        identity_message_id(h->ids[i], queue, d->is.sequence);
        h->owners[i] = d->owner;
        h->messages[i] = (struct source_message){
            .token = {d->is.sequence, d->is.lease},
            .message = d->message,
            .id = h->ids[i],
            .receipt = {h->receipts[i], IDENTITY_RECEIPT_LEN},
            .sent_ms = d->is.sent_ms,
            .first_received_ms = d->is.first_received_ms,
            .receive_count = d->is.receive_count,
        };
    }
    memory_free(kept);
    h->batch = (struct source_batch){.messages = h->messages, .count = count};
    return h;
}

static void on_deliver(struct consumer *c, const struct delivered *messages, size_t count)
{
    struct leasing *l = CONTAINER_OF(c, struct leasing, consumer);
    struct source_lease *lease = l->lease;
    struct held *h = hold(l->push, c->queue, messages, count);
    memory_free(l);
    lease->done(lease, ERR_OK, &h->batch);
}

static void on_ended(struct consumer *c, int code, const char *message)
{
    struct leasing *l = CONTAINER_OF(c, struct leasing, consumer);
    struct source_lease *lease = l->lease;
    (void)message;
    memory_free(l);
    lease->done(lease, code, NULL);
}

static void refuse_later(struct mail *mail)
{
    struct leasing *l = CONTAINER_OF(mail, struct leasing, mail);
    struct source_lease *lease = l->lease;
    int code = l->code;
    memory_free(l);
    lease->done(lease, code, NULL);
}

static void source_lease(void *ctx, struct source_lease *lease)
{
    struct push_seat *p = ctx;
    struct leasing *l = memory_zero(1, sizeof *l);
    l->push = p;
    l->lease = lease;
    struct consumer *c = &l->consumer;
    c->queue = lease->queue;
    c->credit = c->batch_max = lease->max_messages;
    c->bytes_max = lease->max_bytes;
    c->visibility_ms = lease->visibility_ms;
    c->once = true;
    c->deliver = on_deliver;
    c->ended = on_ended;
    l->code = settler_behind(&p->settler, identity_queue_shard(lease->queue))
                  ? ERR_OVERLOADED
                  : shard_consumer_open(shard_of(p, lease->queue), c, NULL);
    if (l->code == ERR_OK)
        return;
    l->mail.run = refuse_later;
    loop_post(&p->seat->loop, &l->mail);
}

static void source_release(void *ctx, struct source_batch *batch)
{
    (void)ctx;
    struct held *h = CONTAINER_OF(batch, struct held, batch);
    for (size_t i = 0; i < h->count; i++)
        blob_unref(h->owners[i]);
    memory_free(h);
}

/* ---------------------------------------------------------------- settling */

static void on_settled(struct command *c, const struct reply *reply)
{
    settler_settled(CONTAINER_OF(c, struct settling, command), reply->code);
}

enum { TOKENS_ON_STACK = 128 };

static int submit_leases(struct push_seat *p, struct settling *of, const struct entry_lease *leases)
{
    const struct settlement *s = &of->is;
    struct command *c = &of->command;
    struct shard *shard = node_shard(p->seat->node, s->shard);
    uint32_t count = (uint32_t)s->count;
    switch (s->kind) {
    case SETTLEMENT_ACK:
        return shard_ack(shard, c, s->queue, leases, count, NULL);
    case SETTLEMENT_EXTEND:
        return shard_extend(shard, c, s->queue, s->visibility_ms, leases, count, NULL);
    case SETTLEMENT_NACK:
        break;
    }
    struct entry_settle settle = {.queue = s->queue,
                                  .delay_ms = s->nack.delay_ms,
                                  .status = s->nack.status,
                                  .uncounted = s->nack.uncounted,
                                  .error = s->nack.error,
                                  .count = count};
    return shard_nack(shard, c, &settle, leases, NULL);
}

static int submit(void *ctx, struct settling *of)
{
    const struct settlement *s = &of->is;
    struct entry_lease few[TOKENS_ON_STACK];
    struct entry_lease *leases = s->count <= TOKENS_ON_STACK ? few : memory_alloc(s->count * sizeof *leases);
    for (size_t i = 0; i < s->count; i++)
        leases[i] = (struct entry_lease){s->tokens[i].sequence, s->tokens[i].lease};
    of->command.done = on_settled;
    int rc = submit_leases(ctx, of, leases);
    if (leases != few)
        memory_free(leases);
    return rc;
}

static struct settlement settlement_of(enum settlement_kind kind, uint64_t queue, const struct source_token *tokens,
                                       size_t count)
{
    return (struct settlement){
        .kind = kind, .shard = identity_queue_shard(queue), .queue = queue, .tokens = tokens, .count = count};
}

static void source_ack(void *ctx, uint64_t queue, const struct source_token *tokens, size_t count)
{
    struct push_seat *p = ctx;
    const struct settlement s = settlement_of(SETTLEMENT_ACK, queue, tokens, count);
    settler_add(&p->settler, &s);
}

static void source_nack(void *ctx, uint64_t queue, const struct source_nack *nack, const struct source_token *tokens,
                        size_t count)
{
    struct push_seat *p = ctx;
    struct settlement s = settlement_of(SETTLEMENT_NACK, queue, tokens, count);
    s.nack = *nack;
    settler_add(&p->settler, &s);
}

static void source_extend(void *ctx, uint64_t queue, uint64_t visibility_ms, const struct source_token *tokens,
                          size_t count)
{
    struct push_seat *p = ctx;
    struct settlement s = settlement_of(SETTLEMENT_EXTEND, queue, tokens, count);
    s.visibility_ms = visibility_ms;
    settler_add(&p->settler, &s);
}

static uint32_t source_available(void *ctx, uint64_t queue, uint32_t limit)
{
    struct shard *s = shard_of(ctx, queue);
    return shard_leads(s) ? machine_queue_available(shard_machine(s), queue, limit) : 0;
}

static bool source_holds(void *ctx, uint64_t queue, uint64_t sequence)
{
    struct shard *s = shard_of(ctx, queue);
    bool holds = true;
    if (!shard_leads(s) || machine_holds(shard_machine(s), queue, sequence, NULL, &holds, NULL) != ERR_OK)
        return true;
    return holds;
}

static const struct source_ops ops = {
    .lease = source_lease,
    .release = source_release,
    .ack = source_ack,
    .nack = source_nack,
    .extend = source_extend,
    .available = source_available,
    .holds = source_holds,
};

/* ---------------------------------------------------------------- life */

int push_open(struct push_seat **out, struct seat *seat, const struct push_options *options, struct error *e)
{
    struct push_seat *p = memory_zero(1, sizeof *p);
    p->seat = seat;
    struct dispatcher_options d = {.clock = clock_real(), .loop = (unsigned)seat->number};
    d.trace = node_options(seat->node)->trace;
    d.seed = clock_monotonic_ns(&d.clock);
    d.ca = options->ca[0] != '\0' ? options->ca : NULL;
    d.policy = *options->policy;
    int rc = dispatcher_create(&p->dispatcher, &seat->loop.uv, &ops, p, &d, e);
    if (rc != ERR_OK) {
        memory_free(p);
        return rc;
    }
    settler_open(&p->settler, &seat->loop.uv, node_birth(seat->node)->shards, submit, p);
    ASSERT(uv_timer_init(&seat->loop.uv, &p->drain) == 0);
    *out = p;
    return ERR_OK;
}

static void free_function(struct known_function *f)
{
    settings_function_free(f->settings);
    quota_unref(f->quota);
    memory_free(f->name);
    memory_free(f);
}

static void on_drain_closed(uv_handle_t *handle)
{
    struct push_seat *p = CONTAINER_OF(handle, struct push_seat, drain);
    size_t at = 0;
    struct known_function *f;
    while ((f = map_next(&p->functions, &at)) != NULL)
        free_function(f);
    map_close(&p->functions);
    idmap_close(&p->bound);
    void (*closed)(void *) = p->closed;
    void *ctx = p->closed_ctx;
    memory_free(p);
    closed(ctx);
}

static void on_settler_closed(void *arg)
{
    struct push_seat *p = arg;
    uv_close((uv_handle_t *)&p->drain, on_drain_closed);
}

static void on_dispatcher_closed(void *arg)
{
    struct push_seat *p = arg;
    settler_close(&p->settler, on_settler_closed, p);
}

void push_close(struct push_seat *p, void (*closed)(void *ctx), void *ctx)
{
    p->closed = closed;
    p->closed_ctx = ctx;
    uv_timer_stop(&p->drain);
    dispatcher_close(p->dispatcher, on_dispatcher_closed, p);
}

static void on_drain(uv_timer_t *timer)
{
    struct push_seat *p = CONTAINER_OF(timer, struct push_seat, drain);
    bool busy = dispatcher_busy(p->dispatcher) || settler_busy(&p->settler);
    if (busy && uv_now(timer->loop) < p->drain_until)
        return;
    if (busy)
        TRACE(node_options(p->seat->node)->trace, TRACE_WARN,
              "requests to functions are given up: they took longer than --drain-timeout");
    uv_timer_stop(timer);
    p->drained(p->drained_ctx);
}

void push_drain(struct push_seat *p, uint64_t patience_ms, void (*drained)(void *ctx), void *ctx)
{
    p->drain_until = uv_now(&p->seat->loop.uv) + patience_ms;
    p->drained = drained;
    p->drained_ctx = ctx;
    dispatcher_drain(p->dispatcher);
    uv_timer_start(&p->drain, on_drain, 0, DRAIN_LOOK_MS);
}

/* ---------------------------------------------------------------- what the node says */

void push_queue_ready(struct push_seat *p, uint64_t queue)
{
    if (idmap_count(&p->bound) > 0)
        dispatcher_wake(p->dispatcher, queue);
}

static void unbind(struct push_seat *p, uint64_t queue)
{
    if (idmap_remove(&p->bound, queue) != NULL)
        dispatcher_unbind(p->dispatcher, queue);
}

void push_queue_changed(struct push_seat *p, struct shard *s, uint64_t queue)
{
    struct queue_view q;
    const char *function = NULL;
    if (machine_queue_get(shard_machine(s), queue, &q))
        function = q.settings->binding_function;
    if (function == NULL || function[0] == '\0') {
        unbind(p, queue);
        return;
    }
    struct identity who;
    char arn[IDENTITY_ARN_MAX + 1];
    int rc = identity_split_queue(bytes_text(q.name), "queue", &who, NULL);
    ASSERT(rc == ERR_OK);
    identity_arn(arn, &who);
    struct known_function *f = map_find(&p->functions, bytes_text(function));
    struct dispatcher_binding binding = {
        .queue = queue,
        .queue_name = q.name,
        .queue_arn = arn,
        .fifo = identity_is_fifo(bytes_text(q.name)),
        .content_deduplication = q.settings->content_deduplication,
        .binding = q.settings->binding,
        .function = function,
        .settings = f != NULL ? f->settings : NULL,
        .quota = f != NULL ? f->quota : NULL,
    };
    idmap_put(&p->bound, queue, p);
    dispatcher_bind(p->dispatcher, &binding);
}

void push_leading(struct push_seat *p, struct shard *s, bool leading)
{
    if (leading)
        return; /* queue_changed follows for each queue */
    size_t at = 0;
    uint64_t queue;
    while (idmap_next(&p->bound, &at, &queue) != NULL)
        if (identity_queue_shard(queue) == shard_number(s))
            unbind(p, queue);
}

static void forget_function(struct push_seat *p, const char *name)
{
    struct known_function *f = map_remove(&p->functions, bytes_text(name));
    if (f != NULL)
        free_function(f);
}

void push_function(struct push_seat *p, const char *name, const struct Hato__FunctionSettings *settings,
                   struct quota *quota)
{
    forget_function(p, name);
    struct known_function *f = memory_zero(1, sizeof *f);
    f->name = memory_string(name, strlen(name));
    f->settings = settings_function_copy(settings);
    f->quota = quota_ref(quota);
    map_put(&p->functions, bytes_text(f->name), f);
    dispatcher_function_changed(p->dispatcher, name, f->settings, quota);
}

void push_function_deleted(struct push_seat *p, const char *name)
{
    forget_function(p, name);
    dispatcher_function_deleted(p->dispatcher, name);
}

void push_quota(struct push_seat *p, struct quota *quota, bool permit)
{
    dispatcher_quota(p->dispatcher, quota, permit);
}

/* ---------------------------------------------------------------- looking at it */

static Hato__Attempt *attempt_of(struct arena *a, const struct dispatcher_attempt *from)
{
    Hato__Attempt *out = arena_alloc(a, sizeof *out);
    hato__attempt__init(out);
    const char *colon = strrchr(from->queue, ':');
    out->started_ms = from->started_ms;
    out->duration_ms = from->duration_ms;
    out->status = from->status;
    out->error = (char *)(uintptr_t)from->error;
    out->answer.data = (uint8_t *)(uintptr_t)from->answer.data;
    out->answer.len = from->answer.len;
    out->messages = from->messages;
    out->queue = (char *)(uintptr_t)(colon != NULL ? colon + 1 : from->queue);
    return out;
}

void push_activity(struct push_seat *p, const char *function, struct arena *arena, struct function_activity *out)
{
    struct dispatcher_info info;
    if (p == NULL || !dispatcher_info(p->dispatcher, function, arena, &info))
        return;
    *out = (struct function_activity){
        .known = true,
        .state = dispatcher_state_name(info.state),
        .in_flight = info.in_flight,
        .window = info.window,
        .delivered_total = info.delivered_total,
        .failed_total = info.failed_total,
        .retry_at_ms = info.retry_at_ms,
        .last_error = info.last_error,
        .attempt_count = info.attempt_count,
    };
    out->attempts = arena_alloc(arena, (info.attempt_count + 1) * sizeof *out->attempts);
    for (size_t i = 0; i < info.attempt_count; i++)
        out->attempts[i] = attempt_of(arena, &info.attempts[i]);
}
