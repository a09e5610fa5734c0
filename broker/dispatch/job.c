#include "dispatch/job.h"

#include <proto/client.pb-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/container.h"
#include "base/memory.h"
#include "dispatch/core.h"
#include "dispatch/probe.h"
#include "dispatch/retry.h"
#include "dispatch/settlement.h"
#include "net/crypto.h"

static void on_answer(struct exchange *x);
static void on_extend(struct timer *t);

/* ------------------------------------------------------------------ making */

static struct job *job_take(struct dispatcher *d)
{
    struct list_link *kept = list_take(&d->kept);
    struct job *j = kept != NULL ? CONTAINER_OF(kept, struct job, link) : memory_zero(1, sizeof *j);
    j->dispatcher = d;
    j->extend.fire = on_extend;
    list_append(&d->jobs, &j->link);
    return j;
}

void job_destroy(struct job *j)
{
    arena_close(&j->arena);
    buffer_close(&j->encoded.buffer);
    headers_close(&j->encoded.headers);
    buffer_close(&j->exchange.received);
    memory_free(j);
}

static void keep_or_destroy(struct job *j)
{
    struct dispatcher *d = j->dispatcher;
    list_remove(&d->jobs, &j->link);
    exchange_clear(&j->exchange, JOB_MEMORY_KEPT_MAX);
    if (list_count(&d->kept) >= JOBS_KEPT_MAX) {
        job_destroy(j);
        return;
    }
    arena_reset(&j->arena);
    headers_clear(&j->encoded.headers);
    buffer_clear(&j->encoded.buffer);
    if (j->encoded.buffer.capacity > JOB_MEMORY_KEPT_MAX)
        buffer_close(&j->encoded.buffer);
    list_append(&d->kept, &j->link);
}

/* Decodes what it can; what can't be decoded is the message's own fault. */
static void take_messages(struct job *j, const struct source_message *from, uint32_t count)
{
    struct dispatcher *d = j->dispatcher;
    j->messages = arena_alloc(&j->arena, count * sizeof *j->messages);
    j->tokens = arena_alloc(&j->arena, count * sizeof *j->tokens);
    j->failed = arena_alloc(&j->arena, count * sizeof *j->failed);
    memset(j->failed, 0, count * sizeof *j->failed);
    j->count = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (message_decode(&j->messages[j->count], &from[i], &j->arena)) {
            j->count++;
        } else {
            const struct source_nack nack = {.delay_ms = j->target->retry_max_ms,
                                             .error = bytes_text("the message can't be decoded")};
            d->ops->nack(d->ctx, j->lease->binding->queue, &nack, &from[i].token, 1);
            j->lease->endpoint->failed_total++;
        }
    }
    j->bytes = arena_bytes(&j->arena); /* many small fields are far more than the bytes they came as */
}

enum { BATCH_ID_BYTES = 16 }; /* of the hash of its messages' ids */

static int compare_ids(const void *a, const void *b)
{
    return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

/* What a receiver may know a request by: the id of its message, or of all its messages in whatever order, so that a batch that is sent
 * again has the same and one with other messages another. */
static const char *request_id(struct job *j)
{
    if (j->count == 1)
        return j->messages[0].source->id;
    struct bytes *ids = arena_alloc(&j->arena, j->count * sizeof *ids);
    for (uint32_t i = 0; i < j->count; i++)
        ids[i] = bytes_text(j->messages[i].source->id);
    qsort(ids, j->count, sizeof *ids, compare_ids);
    uint8_t hash[CRYPTO_SHA256];
    crypto_sha256(j->dispatcher->crypto, ids, j->count, hash);
    struct buffer text = {0};
    buffer_put(&text, "batch-", strlen("batch-"));
    crypto_hex(&text, bytes_of(hash, BATCH_ID_BYTES));
    const char *id = arena_text(&j->arena, text.data, text.len);
    buffer_close(&text);
    return id;
}

/* The signature is of the body, so its headers come last; but a request must not go without them. */
static void keep_room_to_sign(struct job *j, const char *id)
{
    enum { LINES = 3, NAMES_AND_TIME = 100 };
    if (j->target->key_count > 0)
        headers_keep(&j->encoded.headers, LINES, NAMES_AND_TIME + strlen(id) + SIGNATURE_TEXT_MAX);
}

static void sign(struct job *j, const char *id)
{
    struct target *t = j->target;
    if (t->key_count == 0)
        return;
    struct headers *h = &j->encoded.headers;
    uint64_t seconds = j->started_ms / 1000;
    struct buffer text = {0};
    signature_write(j->dispatcher->crypto, t->keys, t->key_count, id, seconds, j->encoded.body, &text);
    headers_keep(h, 0, 0);
    bool whole = headers_add_text(h, "webhook-id", id) && headers_add_number(h, "webhook-timestamp", seconds) &&
                 headers_add(h, "webhook-signature", buffer_view(&text));
    ASSERT(whole);
    buffer_close(&text);
}

/* A request continues a trace when all its messages belong to it. */
static void trace(struct job *j)
{
    const char *parent = j->messages[0].content->traceparent;
    for (uint32_t i = 1; i < j->count; i++)
        if (strcmp(j->messages[i].content->traceparent, parent) != 0)
            return;
    if (parent[0] != '\0')
        headers_add_text(&j->encoded.headers, "traceparent", parent);
}

static void encode(struct job *j)
{
    struct target *t = j->target;
    const char *id = t->key_count > 0 ? request_id(j) : NULL;
    keep_room_to_sign(j, id);
    /* First, so that a message with many attributes leaves room for what the receiver relies on. */
    trace(j);
    j->encoded.content_type = t->content_type;
    t->format->encode(j->dispatcher->crypto, &j->lease->binding->origin, j->messages, j->count, &j->encoded);
    sign(j, id);
    j->bytes += j->encoded.buffer.len;
    j->dispatcher->held += j->bytes;
}

static void post(struct job *j)
{
    struct target *t = j->target;
    struct exchange *x = &j->exchange;
    x->url = t->url;
    x->headers = headers_list(&j->encoded.headers, t->headers);
    x->body = j->encoded.body;
    x->timeout_ms = t->timeout_ms;
    x->connect_ms = t->connect_ms;
    x->keep_max = t->format->partial ? ANSWER_BYTES_MAX : DISPATCHER_ANSWER_KEPT;
    x->done = on_answer;
    transport_send(&j->dispatcher->transport, x);
}

/* ------------------------------------------------------------------ the lease, while the request is out */

static void arm_extend(struct job *j, uint64_t from_ms)
{
    const struct source_lease *r = &j->lease->request;
    if (j->target->timeout_ms + DISPATCHER_LEASE_MARGIN_MS > r->visibility_ms)
        timers_arm(&j->dispatcher->timers, &j->extend, from_ms + r->visibility_ms * 2 / 3);
}

static void on_extend(struct timer *t)
{
    struct job *j = CONTAINER_OF(t, struct job, extend);
    struct dispatcher *d = j->dispatcher;
    const struct source_lease *r = &j->lease->request;
    for (uint32_t i = 0; i < j->count; i++)
        j->tokens[i] = j->messages[i].source->token;
    d->ops->extend(d->ctx, r->queue, r->visibility_ms, j->tokens, j->count);
    arm_extend(j, timers_now_ms(&d->timers));
}

/* ------------------------------------------------------------------ what it teaches of the endpoint */

static const struct suspect *known(const struct job *j, uint32_t i)
{
    const struct lease *l = j->lease;
    return suspects_find(&l->endpoint->suspects, l->binding->queue, j->messages[i].source->token.sequence);
}

/* Whether no answer to it tells of the message as much as of the endpoint, so that others should soon have their turn: a probe with one
 * that was not tried before, or not with so few (but not each of a long queue, while the endpoint is down), or what is known to
 * have got none before. */
static bool tells_of_message(const struct job *j)
{
    const struct suspect *s = known(j, 0);
    if (!j->probe)
        return s != NULL;
    return (s == NULL || s->together > j->count) && j->lease->endpoint->breaker.troubles < PROBE_LOOKS_MAX;
}

static void learn(struct job *j, enum verdict verdict, uint64_t told_ms)
{
    struct dispatcher *d = j->dispatcher;
    struct endpoint *e = j->lease->endpoint;
    uint64_t now = timers_now_ms(&d->timers);
    bool full = e->requests + e->reserved >= window_size(&e->window);
    switch (verdict) {
    case VERDICT_DELIVERED:
    case VERDICT_FAILED:
        e->answers++;
        if (breaker_answered(&e->breaker, j->probe))
            window_restart(&e->window);
        if (verdict == VERDICT_DELIVERED)
            window_success(&e->window, j->request, j->exchange.duration_us, full);
        break;
    case VERDICT_SILENT: {
        bool tells = tells_of_message(j);
        bool mild = !j->probe && told_ms == 0;
        if (settlement_blame(j) && mild)
            break; /* it would leave this without an answer anyhow */
        window_trouble(&e->window, j->request);
        if (mild && e->answers > j->answers_before)
            break; /* it answers others: it is not down */
        breaker_trouble(&e->breaker, j->probe, now, told_ms, !tells, &d->random);
        break;
    }
    case VERDICT_TROUBLE:
        window_trouble(&e->window, j->request);
        breaker_trouble(&e->breaker, j->probe, now, told_ms, true, &d->random);
        break;
    case VERDICT_GONE:
        breaker_gone(&e->breaker, now);
        break;
    }
}

/* Not each probe: from the first trouble that held requests back until it answers again. New settings close a breaker, too. */
static void tell(const struct job *j, const struct judgement *v)
{
    struct endpoint *e = j->lease->endpoint;
    struct trace *trace = j->dispatcher->trace;
    bool answered = v->verdict == VERDICT_DELIVERED || v->verdict == VERDICT_FAILED;
    if (!e->told_trouble && e->breaker.state == BREAKER_OPEN) {
        TRACE(trace, TRACE_WARN, "function is in trouble, its messages wait", trace_text("function", e->name),
              trace_text("error", v->error));
        e->told_trouble = true;
    } else if (e->told_trouble && answered && e->breaker.state == BREAKER_CLOSED) {
        TRACE(trace, TRACE_INFO, "function answers again", trace_text("function", e->name));
        e->told_trouble = false;
    }
}

static void note(struct job *j, const struct judgement *verdict)
{
    struct endpoint *e = j->lease->endpoint;
    const struct exchange *x = &j->exchange;
    const struct dispatcher_attempt attempt = {.started_ms = j->started_ms,
                                               .duration_ms = x->duration_us / 1000,
                                               .status = x->answer.status,
                                               .error = verdict->error,
                                               .answer = x->answer.body,
                                               .messages = j->count,
                                               .queue = j->lease->binding->queue_name};
    attempts_add(&e->attempts, &attempt);
    if (verdict->error[0] != '\0')
        snprintf(e->last_error, sizeof e->last_error, "%s", verdict->error);
}

/* ------------------------------------------------------------------ its life */

static void count_requests(struct job *j, int64_t change)
{
    j->lease->binding->requests += (uint32_t)change;
    j->lease->endpoint->requests += (uint32_t)change;
}

static void end(struct job *j)
{
    struct dispatcher *d = j->dispatcher;
    struct lease *l = j->lease;
    timers_disarm(&d->timers, &j->extend);
    d->held -= j->bytes;
    count_requests(j, -1);
    target_unref(j->target);
    keep_or_destroy(j);
    binding_wake(l->binding);
    endpoint_give_permits(l->endpoint, 1);
    endpoint_mark(l->endpoint);
    dispatcher_freed(d);
    lease_unref(l);
}

void job_start(struct lease *l, uint32_t first, uint32_t count, bool probe)
{
    struct dispatcher *d = l->endpoint->dispatcher;
    struct job *j = job_take(d);
    j->lease = l;
    l->refs++;
    j->target = target_ref(l->endpoint->target);
    j->probe = probe;
    j->answers_before = l->endpoint->answers;
    j->request = window_leave(&l->endpoint->window);
    j->started_ms = clock_now_ms(&d->clock);
    count_requests(j, 1);
    take_messages(j, l->messages + first, count);
    if (j->count == 0) {
        j->bytes = 0;
        if (probe)
            breaker_unprobed(&l->endpoint->breaker);
        end(j);
        return;
    }
    encode(j);
    arm_extend(j, l->asked_ms);
    post(j);
}

static void on_answer(struct exchange *x)
{
    struct job *j = CONTAINER_OF(x, struct job, exchange);
    struct dispatcher *d = j->dispatcher;
    struct judgement verdict;
    answer_judge(&x->answer, j->target, j->messages, j->count, j->failed, &verdict);
    uint64_t told_ms = x->retry_after != NULL ? retry_after_ms(x->retry_after, clock_now_ms(&d->clock)) : 0;
    learn(j, verdict.verdict, told_ms);
    tell(j, &verdict);
    settlement_make(j, &verdict, told_ms);
    note(j, &verdict);
    end(j);
}

void job_cancel(struct job *j)
{
    transport_cancel(&j->dispatcher->transport, &j->exchange);
    settlement_return(j, 0, "");
    if (j->probe)
        breaker_unprobed(&j->lease->endpoint->breaker);
    end(j);
}
