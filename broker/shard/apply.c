/* Committed entries: the machine applies, the leader answers and performs the effects. */
#include "base/assert.h"
#include "base/memory.h"
#include "shard/internal.h"

static struct blob *entry_blob(const struct raft_entry *entry)
{
    struct blob *owner = entry->owner;
    if (owner != NULL && owner->data == entry->data && owner->len == entry->len)
        return blob_ref(owner);
    return blob_copy(bytes_of(entry->data, entry->len));
}

/* The batch that became this entry, taken from the list; NULL when it was not proposed here. */
static struct batch *take_batch(struct shard *s, const struct raft_entry *entry)
{
    while (!list_empty(&s->proposed)) {
        struct list_link *first = list_first(&s->proposed);
        struct batch *b = CONTAINER_OF(first, struct batch, link);
        if (b->index > entry->index)
            return NULL;
        list_remove(&s->proposed, first);
        if (b->index == entry->index && b->term == entry->term)
            return b;
        batch_fail(b, ERR_UNKNOWN_OUTCOME, "the leader changed before the outcome was known");
        batch_destroy(b);
    }
    return NULL;
}

static bool holds_messages(const struct machine_output *out)
{
    for (size_t i = 0; i < out->reply_count; i++)
        if (out->replies[i].kind == COMMAND_SEND || out->replies[i].kind == COMMAND_ACCEPT)
            return true;
    return false;
}

static void answer(struct batch *b, const struct machine_output *out)
{
    ASSERT(b->count == out->reply_count);
    for (uint32_t i = 0; i < b->count; i++)
        if (b->commands[i] != NULL)
            b->commands[i]->done(b->commands[i], &out->replies[i]);
    batch_destroy(b);
}

static void perform(struct shard *s, const struct effect *effect)
{
    const struct shard_env *env = s->env;
    switch (effect->kind) {
    case EFFECT_READY:
        shard_line_dirty(s, effect->queue);
        env->queue_ready(env->ctx, s, effect->queue);
        break;
    case EFFECT_QUEUE:
        shard_line_dirty(s, effect->queue);
        env->queue_changed(env->ctx, s, effect->queue);
        break;
    case EFFECT_OUTBOX:
        shard_forward(s, effect->target);
        break;
    case EFFECT_FUNCTION:
        env->function_changed(env->ctx, s, effect->name);
        break;
    case EFFECT_NODES:
        env->nodes_changed(env->ctx, s);
        break;
    case EFFECT_QUEUE_MADE:
        TRACE(s->options.trace, TRACE_INFO, "dead-letter queue made", trace_text("queue", effect->name),
              trace_u64("shard", s->options.number));
        break;
    }
}

/* What a function is has to be known wherever a queue may be led, and every node looks after its own replicas. */
static bool everywhere(enum effect_kind kind)
{
    return kind == EFFECT_FUNCTION || kind == EFFECT_NODES;
}

/* A change that can't be made is void, on every replica alike. */
static int apply_membership(struct shard *s, const struct raft_entry *entry, struct error *e)
{
    struct membership now;
    int rc = raft_apply_membership(s->raft, entry, &now, e);
    if (rc != ERR_OK && rc != ERR_INVALID)
        return rc;
    shard_changed(s);
    struct buffer stored = {0};
    membership_encode(&now, &stored);
    rc = machine_set_membership(s->machine, entry->index, buffer_view(&stored), e);
    buffer_close(&stored);
    return rc;
}

static int apply_one(struct shard *s, const struct raft_entry *entry, struct error *e)
{
    if (entry->kind != RAFT_ENTRY_NORMAL)
        return apply_membership(s, entry, e);
    if (entry->len == 0)
        return machine_skip(s->machine, entry->index, e);
    struct batch *b = take_batch(s, entry);
    int rc = machine_apply(s->machine, entry->index, bytes_of(entry->data, entry->len), &s->output, e);
    if (rc != ERR_OK) {
        if (b != NULL) {
            batch_fail(b, ERR_UNKNOWN_OUTCOME, e->message);
            batch_destroy(b);
        }
        return rc;
    }
    if (holds_messages(&s->output)) {
        struct blob *blob = entry_blob(entry);
        bodies_put(&s->bodies, entry->index, blob);
        blob_unref(blob);
    }
    if (b != NULL)
        answer(b, &s->output);
    for (size_t i = 0; i < s->output.effect_count; i++)
        if (s->leads || everywhere(s->output.effects[i].kind))
            perform(s, &s->output.effects[i]);
    return ERR_OK;
}

void shard_apply(struct shard *s, const struct raft_entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct error e = {0};
        s->applied_bytes += entries[i].len > SHARD_REPLAY_BYTES ? entries[i].len : SHARD_REPLAY_BYTES;
        int rc = apply_one(s, &entries[i], &e);
        if (rc != ERR_OK) {
            error_wrap(&e, "entry %llu of shard %u", (unsigned long long)entries[i].index, s->options.number);
            if (rc == ERR_STORAGE_FULL)
                shard_rest(s, &e);
            else
                shard_stop(s, &e);
            return;
        }
        if (s->elected && !s->leads && entries[i].term == s->term)
            shard_lead(s, true);
    }
    uint64_t last = entries[count - 1].index;
    log_release(s->log, last);
    raft_applied(s->raft, last);
}

/* ---------------------------------------------------------------- beginning and ending to serve */

static bool wake_queue(void *ctx, const struct queue_view *q)
{
    struct shard *s = ctx;
    s->env->queue_changed(s->env->ctx, s, q->id);
    return true;
}

static bool wake_function(void *ctx, const struct function_view *f)
{
    struct shard *s = ctx;
    s->env->function_changed(s->env->ctx, s, f->name);
    return true;
}

/* With a snapshot came what no entry was applied for here. */
void shard_replaced(struct shard *s, const struct machine *former)
{
    machine_function_each(former, "", wake_function, s);
    machine_function_each(s->machine, "", wake_function, s);
    s->env->nodes_changed(s->env->ctx, s);
}

void shard_lead(struct shard *s, bool leads)
{
    s->leads = leads;
    if (leads) {
        timekeeper_lead(&s->time, machine_clock_ms(s->machine));
        s->env->leading(s->env->ctx, s, true);
        machine_queue_each(s->machine, "", wake_queue, s);
        machine_function_each(s->machine, "", wake_function, s);
        uint16_t targets[SHARDS_MAX];
        size_t n = machine_outbox_targets(s->machine, targets, SHARDS_MAX);
        for (size_t i = 0; i < n; i++)
            shard_forward(s, targets[i]);
    } else {
        timekeeper_follow(&s->time);
        const char *why = "this node lost the lead of the shard; retry";
        s->env->leading(s->env->ctx, s, false);
        shard_batches_fail(s, ERR_NOT_LEADER, why);
        shard_lines_end(s, ERR_NOT_LEADER, why);
    }
    shard_ask_turn(s);
}
