#include "dispatch/settlement.h"

#include <proto/client.pb-c.h>
#include <string.h>

#include "dispatch/core.h"
#include "dispatch/job.h"
#include "dispatch/retry.h"

static void nack(struct job *j, uint32_t count, bool uncounted, uint64_t delay_ms, uint32_t status, const char *error)
{
    struct dispatcher *d = j->dispatcher;
    struct endpoint *e = j->lease->endpoint;
    if (count == 0)
        return;
    const struct source_nack n = {
        .delay_ms = delay_ms, .status = status, .uncounted = uncounted, .error = bytes_text(error)};
    d->ops->nack(d->ctx, j->lease->binding->queue, &n, j->tokens, count);
    if (uncounted)
        e->returned_total += count;
    else
        e->failed_total += count;
}

static void ack_rest(struct job *j)
{
    struct dispatcher *d = j->dispatcher;
    uint32_t count = 0;
    for (uint32_t i = 0; i < j->count; i++)
        if (!j->failed[i])
            j->tokens[count++] = j->messages[i].source->token;
    if (count > 0)
        d->ops->ack(d->ctx, j->lease->binding->queue, j->tokens, count);
    j->lease->endpoint->delivered_total += count;
}

static uint64_t delay_for(struct job *j, uint32_t receive_count, uint64_t told_ms)
{
    struct dispatcher *d = j->dispatcher;
    uint64_t delay = retry_delay_ms(j->target->retry_min_ms, j->target->retry_max_ms,
                                    receive_count > 0 ? receive_count : 1, &d->random);
    uint64_t told = told_ms < BREAKER_WAIT_TOLD_MAX_MS ? told_ms : BREAKER_WAIT_TOLD_MAX_MS;
    return delay > told ? delay : told;
}

/* Below, each message of a batch may be compared with all others: there are SETTINGS_BATCH_MAX at most. */

/* Counted, those of like receive count together: they have waited and will wait alike. */
static void fail_alike(struct job *j, bool *which, uint64_t told_ms, uint32_t status, const char *error)
{
    for (uint32_t i = 0; i < j->count; i++) {
        if (!which[i])
            continue;
        uint32_t receives = j->messages[i].source->receive_count;
        uint32_t count = 0;
        for (uint32_t k = i; k < j->count; k++) {
            if (which[k] && j->messages[k].source->receive_count == receives) {
                which[k] = false;
                j->tokens[count++] = j->messages[k].source->token;
            }
        }
        nack(j, count, false, delay_for(j, receives, told_ms), status, error);
    }
}

/* A message of the same group, before `i`, failed. */
static bool follows_failure(const struct job *j, const bool *which, uint32_t i)
{
    for (uint32_t k = 0; k < i; k++)
        if (which[k] && strcmp(j->messages[k].content->group, j->messages[i].content->group) == 0)
            return true;
    return false;
}

/* On a FIFO queue one delay for all that go back, so that none overtakes another: first those at fault, then those
 * that only stood behind them, uncounted. */
static void fail_in_order(struct job *j, const bool *which, uint64_t told_ms, uint32_t status, const char *error)
{
    uint32_t receives = 0;
    uint32_t count = 0;
    for (uint32_t i = 0; i < j->count; i++) {
        if (!which[i])
            continue;
        if (j->messages[i].source->receive_count > receives)
            receives = j->messages[i].source->receive_count;
        j->tokens[count++] = j->messages[i].source->token;
    }
    if (count == 0)
        return;
    uint64_t delay = delay_for(j, receives, told_ms);
    nack(j, count, false, delay, status, error);
    count = 0;
    for (uint32_t i = 0; i < j->count; i++)
        if (!which[i] && j->failed[i])
            j->tokens[count++] = j->messages[i].source->token;
    nack(j, count, true, delay, status, "returned with a message of its group");
}

static void fail(struct job *j, bool *which, uint64_t told_ms, uint32_t status, const char *error)
{
    if (j->lease->binding->origin.fifo)
        fail_in_order(j, which, told_ms, status, error);
    else
        fail_alike(j, which, told_ms, status, error);
}

static bool *copy_of_failed(struct job *j)
{
    return arena_copy(&j->arena, j->failed, j->count * sizeof *j->failed);
}

static bool *all_failed(struct job *j)
{
    for (uint32_t i = 0; i < j->count; i++)
        j->failed[i] = true;
    return copy_of_failed(j);
}

/* The function is gone, and nobody can be told any more what is wrong: these go back uncounted. */
static void return_failed(struct job *j, uint32_t status, const char *error)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < j->count; i++)
        if (j->failed[i])
            j->tokens[count++] = j->messages[i].source->token;
    nack(j, count, true, 0, status, error);
}

static void settle_delivered(struct job *j, const struct judgement *verdict, uint32_t status)
{
    if (!verdict->partial) {
        ack_rest(j);
        return;
    }
    bool *which = copy_of_failed(j);
    if (j->lease->binding->origin.fifo)
        for (uint32_t i = 0; i < j->count; i++)
            j->failed[i] = j->failed[i] || follows_failure(j, which, i);
    ack_rest(j);
    if (j->lease->endpoint->retired)
        return_failed(j, status, verdict->error);
    else
        fail(j, which, 0, status, verdict->error);
}

/* How long a message without an answer lets others go first: beyond the next probe, so that it has another message. Not
 * beyond one that a proxy's Retry-After put off for long: the endpoint may be well before, and its settings changed. Those of a batch are
 * next: with half as many. */
static uint64_t silent_delay_ms(const struct job *j)
{
    if (j->count > 1)
        return 0;
    const struct breaker *b = &j->lease->endpoint->breaker;
    uint64_t now = timers_now_ms(&j->dispatcher->timers);
    uint64_t left = b->state == BREAKER_OPEN && b->retry_at_ms > now ? b->retry_at_ms - now : 0;
    return JOB_SILENT_MS + (left < BREAKER_WAIT_MAX_MS ? left : BREAKER_WAIT_MAX_MS);
}

static enum suspect_sign sign_of(const struct answer *a)
{
    if (a->status >= 300)
        return SUSPECT_GATEWAY;
    return a->end == ANSWER_TIMED_OUT ? SUSPECT_TIMED_OUT : SUSPECT_BROKEN;
}

bool settlement_blame(struct job *j)
{
    struct endpoint *e = j->lease->endpoint;
    enum suspect_sign sign = sign_of(&j->exchange.answer);
    bool any = false;
    j->guilty = arena_alloc(&j->arena, j->count * sizeof *j->guilty);
    suspects_request(&e->suspects, j->count, timers_now_ms(&j->dispatcher->timers));
    for (uint32_t i = 0; i < j->count; i++) {
        j->guilty[i] = suspects_silent(&e->suspects, j->lease->binding->queue, j->messages[i].source->token.sequence,
                                       e->answers, sign);
        any |= j->guilty[i];
    }
    return any;
}

/* Those whose own fault it is that there was no answer are counted; the others are not. */
static void settle_silent(struct job *j, const char *error, uint32_t status)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < j->count; i++) {
        j->failed[i] = true;
        if (!j->guilty[i])
            j->tokens[count++] = j->messages[i].source->token;
    }
    if (count < j->count && j->lease->binding->origin.fifo) {
        fail_in_order(j, j->guilty, 0, status, error);
        return;
    }
    nack(j, count, true, silent_delay_ms(j), status, error);
    fail_alike(j, j->guilty, 0, status, error);
}

static void clear_suspects(struct job *j)
{
    for (uint32_t i = 0; i < j->count; i++)
        suspects_clear(&j->lease->endpoint->suspects, j->lease->binding->queue, j->messages[i].source->token.sequence);
}

void settlement_return(struct job *j, uint32_t status, const char *error)
{
    for (uint32_t i = 0; i < j->count; i++)
        j->tokens[i] = j->messages[i].source->token;
    nack(j, j->count, true, 0, status, error);
}

void settlement_make(struct job *j, const struct judgement *verdict, uint64_t told_ms)
{
    uint32_t status = j->exchange.answer.status;
    enum verdict what = verdict->verdict;
    if (j->lease->endpoint->retired && what != VERDICT_DELIVERED)
        what = VERDICT_TROUBLE;
    switch (what) {
    case VERDICT_DELIVERED:
        clear_suspects(j);
        settle_delivered(j, verdict, status);
        break;
    case VERDICT_FAILED:
        clear_suspects(j);
        fail(j, all_failed(j), told_ms, status, verdict->error);
        break;
    case VERDICT_TROUBLE:
    case VERDICT_GONE:
        settlement_return(j, status, verdict->error);
        break;
    case VERDICT_SILENT:
        settle_silent(j, verdict->error, status);
        break;
    }
}
