#include "library/decode.h"

#include <string.h>

/* protobuf-c allocates bytes fields without a terminator: one byte more, zeroed, gives them one. */
static void *unpack_alloc(void *context, size_t size)
{
    uint8_t *p = arena_alloc(context, size + 1);
    p[size] = 0;
    return p;
}

static void unpack_free(void *context, void *p)
{
    (void)context;
    (void)p;
}

Hato__Reply *decode_unpack(struct arena *a, struct bytes frame)
{
    ProtobufCAllocator allocator = {unpack_alloc, unpack_free, a};
    return hato__reply__unpack(&allocator, frame.len, frame.data);
}

static const char *text(const char *t)
{
    return t != NULL ? t : "";
}

static struct hato_bytes bytes(ProtobufCBinaryData b)
{
    return (struct hato_bytes){b.data != NULL ? b.data : (const void *)"", b.len};
}

struct hato_error decode_error(const Hato__Error *in)
{
    if (in == NULL)
        return (struct hato_error){HATO_OK, "", ""};
    int code = (int)in->code;
    return (struct hato_error){code == HATO_OK ? HATO_INTERNAL : code, text(in->field), text(in->message)};
}

/* ---------------------------------------------------------------- messages */

static void decode_attribute(struct hato_attribute *out, const Hato__Attribute *in)
{
    *out = (struct hato_attribute){.name = text(in->name), .type_suffix = text(in->type_suffix)};
    if (in->value_case == HATO__ATTRIBUTE__VALUE_BINARY) {
        struct hato_bytes b = bytes(in->binary);
        out->type = HATO_BINARY;
        out->value = b.data;
        out->value_len = b.len;
        return;
    }
    bool number = in->value_case == HATO__ATTRIBUTE__VALUE_NUMBER;
    const char *value = number ? in->number : in->value_case == HATO__ATTRIBUTE__VALUE_TEXT ? in->text : "";
    out->type = number ? HATO_NUMBER : HATO_TEXT;
    out->value = text(value);
    out->value_len = strlen(text(value));
}

/* As calls of this client name it. */
static const char *name_within(const char *scope, const char *full)
{
    size_t len = scope != NULL ? strlen(scope) : 0;
    return len > 0 && strncmp(full, scope, len) == 0 ? full + len : full;
}

static const struct hato_provenance *decode_provenance(struct arena *a, const char *scope, const Hato__Provenance *in)
{
    if (in == NULL)
        return NULL;
    struct hato_provenance *out = arena_alloc(a, sizeof *out);
    *out = (struct hato_provenance){
        .source_queue = name_within(scope, text(in->source_queue)),
        .message_id = text(in->message_id),
        .sent_ms = in->sent_ms,
        .attempts = in->attempts,
        .first_received_ms = in->first_received_ms,
        .moved_ms = in->moved_ms,
        .reason = text(in->reason),
        .last_error = text(in->last_error),
        .last_status = in->last_status,
    };
    return out;
}

static struct hato_message decode_message(struct arena *a, const char *scope, const Hato__Message *in)
{
    static const Hato__Message empty = HATO__MESSAGE__INIT;
    if (in == NULL)
        in = &empty;
    struct hato_bytes body = bytes(in->body);
    struct hato_attribute *attributes = NULL;
    if (in->n_attributes > 0)
        attributes = arena_alloc(a, in->n_attributes * sizeof *attributes);
    for (size_t i = 0; i < in->n_attributes; i++)
        decode_attribute(&attributes[i], in->attributes[i]);
    return (struct hato_message){
        .body = body.data,
        .body_len = body.len,
        .attributes = attributes,
        .attribute_count = in->n_attributes,
        .group = text(in->group),
        .deduplication_id = text(in->deduplication_id),
        .traceparent = text(in->traceparent),
        .delay_ms = in->delay_ms,
        .not_before_ms = in->not_before_ms,
        .no_delay = in->no_delay,
        .priority = in->priority,
        .provenance = decode_provenance(a, scope, in->provenance),
    };
}

struct hato_delivery *decode_deliveries(struct arena *a, const char *scope, const Hato__ReceiveReply *in)
{
    struct hato_delivery *out = arena_alloc(a, in->n_deliveries * sizeof *out);
    for (size_t i = 0; i < in->n_deliveries; i++) {
        const Hato__Delivery *d = in->deliveries[i];
        out[i] = (struct hato_delivery){
            .receipt = bytes(d->receipt),
            .message_id = text(d->message_id),
            .sequence = d->sequence,
            .sent_ms = d->sent_ms,
            .receive_count = d->receive_count,
            .first_received_ms = d->first_received_ms,
            .lease_until_ms = d->lease_until_ms,
            .message = decode_message(a, scope, d->message),
        };
    }
    return out;
}

struct hato_sent *decode_sent(struct arena *a, const Hato__SendReply *in)
{
    struct hato_sent *out = arena_alloc(a, in->n_results * sizeof *out);
    for (size_t i = 0; i < in->n_results; i++) {
        const Hato__SendResult *r = in->results[i];
        out[i] = (struct hato_sent){decode_error(r->error), text(r->message_id), r->sequence, r->duplicate};
    }
    return out;
}

static void decode_peeked(struct arena *a, const char *scope, struct hato_reply *out, const Hato__PeekReply *in)
{
    struct hato_peeked *peeked = arena_alloc(a, in->n_messages * sizeof *peeked);
    for (size_t i = 0; i < in->n_messages; i++) {
        const Hato__PeekedMessage *p = in->messages[i];
        peeked[i] = (struct hato_peeked){
            .message_id = text(p->message_id),
            .sequence = p->sequence,
            .state = text(p->state),
            .sent_ms = p->sent_ms,
            .receive_count = p->receive_count,
            .due_ms = p->due_ms,
            .halted_ms = p->halted_ms,
            .last_error = text(p->last_error),
            .message = decode_message(a, scope, p->message),
        };
    }
    out->peeked = peeked;
    out->peeked_count = in->n_messages;
    out->next = text(in->next);
}

/* ---------------------------------------------------------------- queues */

/* Copies a field, and sets its bit, when it is there. */
#define TAKE(bit, field) (in->has_##field ? (out->present |= (uint32_t)(bit), out->field = in->field) : out->field)

static void decode_binding(struct hato_binding_settings *out, const Hato__BindingSettings *in)
{
    TAKE(HATO_BINDING_BATCH_SIZE, batch_size);
    TAKE(HATO_BINDING_WINDOW, window_ms);
    TAKE(HATO_BINDING_MAX_CONCURRENCY, max_concurrency);
    if (in->has_paused) {
        out->present |= HATO_BINDING_PAUSED;
        out->paused = in->paused;
    }
}

static void decode_queue_enums(struct hato_queue_settings *out, const Hato__QueueSettings *in)
{
    if (in->has_kind) {
        out->present |= HATO_QUEUE_KIND;
        out->kind = (enum hato_queue_kind)in->kind;
    }
    if (in->has_on_exhausted) {
        out->present |= HATO_QUEUE_ON_EXHAUSTED;
        out->on_exhausted = (enum hato_exhausted)in->on_exhausted;
    }
    if (in->has_deduplication_scope) {
        out->present |= HATO_QUEUE_DEDUPLICATION_SCOPE;
        out->deduplication_scope = (enum hato_deduplication_scope)in->deduplication_scope;
    }
    if (in->has_content_deduplication) {
        out->present |= HATO_QUEUE_CONTENT_DEDUPLICATION;
        out->content_deduplication = in->content_deduplication;
    }
}

static void decode_weights(struct arena *a, struct hato_queue_settings *out, const Hato__QueueSettings *in)
{
    if (in->n_group_weights == 0)
        return;
    struct hato_group_weight *weights = arena_alloc(a, in->n_group_weights * sizeof *weights);
    for (size_t i = 0; i < in->n_group_weights; i++)
        weights[i] = (struct hato_group_weight){text(in->group_weights[i]->group), in->group_weights[i]->weight};
    out->present |= HATO_QUEUE_GROUP_WEIGHTS;
    out->group_weights = weights;
    out->group_weight_count = in->n_group_weights;
}

static void decode_queue_settings(struct arena *a, struct hato_queue_settings *out, const Hato__QueueSettings *in)
{
    TAKE(HATO_QUEUE_VISIBILITY, visibility_ms);
    TAKE(HATO_QUEUE_DELAY, delay_ms);
    TAKE(HATO_QUEUE_RETENTION, retention_ms);
    TAKE(HATO_QUEUE_MAX_MESSAGE_BYTES, max_message_bytes);
    TAKE(HATO_QUEUE_MAX_MESSAGES, max_messages);
    TAKE(HATO_QUEUE_MAX_BYTES, max_bytes);
    TAKE(HATO_QUEUE_MAX_IN_FLIGHT, max_in_flight);
    TAKE(HATO_QUEUE_RECEIVE_WAIT, receive_wait_ms);
    TAKE(HATO_QUEUE_MAX_RECEIVES, max_receives);
    TAKE(HATO_QUEUE_DEDUPLICATION_WINDOW, deduplication_window_ms);
    decode_queue_enums(out, in);
    decode_weights(a, out, in);
    out->dead_letter = text(in->dead_letter_queue);
    out->present |= in->dead_letter_queue != NULL ? HATO_QUEUE_DEAD_LETTER : 0;
    out->function = text(in->binding_function);
    out->present |= in->binding_function != NULL ? HATO_QUEUE_FUNCTION : 0;
    if (in->binding != NULL) {
        out->present |= HATO_QUEUE_BINDING;
        decode_binding(&out->binding, in->binding);
    }
    out->user_data = bytes(in->user_data);
    out->present |= in->has_user_data ? HATO_QUEUE_USER_DATA : 0;
}

static struct hato_counts decode_counts(const Hato__QueueCounts *in)
{
    if (in == NULL)
        return (struct hato_counts){0};
    return (struct hato_counts){
        .ready = in->ready,
        .in_flight = in->in_flight,
        .delayed = in->delayed,
        .bytes = in->bytes,
        .oldest_sent_ms = in->oldest_sent_ms,
        .moving = in->moving,
        .halted_groups = in->halted_groups,
        .sent_total = in->sent_total,
        .received_total = in->received_total,
        .acked_total = in->acked_total,
        .dead_lettered_total = in->dead_lettered_total,
        .dead_letters_refused_total = in->dead_letters_refused_total,
        .expired_total = in->expired_total,
    };
}

static struct hato_histogram decode_histogram(struct arena *a, const Hato__Histogram *in)
{
    if (in == NULL)
        return (struct hato_histogram){0};
    struct hato_bucket *buckets = arena_alloc(a, in->n_buckets * sizeof *buckets);
    for (size_t i = 0; i < in->n_buckets; i++)
        buckets[i] = (struct hato_bucket){in->buckets[i]->upper_ms, in->buckets[i]->count};
    return (struct hato_histogram){buckets, in->n_buckets, in->count, in->sum_ms};
}

static void decode_queue(struct arena *a, struct hato_queue *out, const Hato__QueueInfo *in)
{
    static const Hato__QueueSettings none = HATO__QUEUE_SETTINGS__INIT;
    *out = (struct hato_queue){
        .name = text(in->name),
        .arn = text(in->arn),
        .shard = in->shard,
        .counts = decode_counts(in->counts),
        .created_ms = in->created_ms,
        .modified_ms = in->modified_ms,
        .waited = decode_histogram(a, in->waited),
    };
    decode_queue_settings(a, &out->settings, in->settings != NULL ? in->settings : &none);
}

static void decode_queues(struct arena *a, struct hato_reply *out, Hato__QueueInfo *const *in, size_t count)
{
    struct hato_queue *queues = arena_alloc(a, count * sizeof *queues);
    for (size_t i = 0; i < count; i++)
        decode_queue(a, &queues[i], in[i]);
    out->queues = queues;
    out->queue_count = count;
}

static void decode_redrives(struct arena *a, struct hato_reply *out, Hato__RedriveInfo *const *in, size_t count)
{
    struct hato_redrive *redrives = arena_alloc(a, count * sizeof *redrives);
    for (size_t i = 0; i < count; i++) {
        redrives[i] = (struct hato_redrive){
            .id = text(in[i]->id),
            .queue = text(in[i]->queue),
            .destination = text(in[i]->destination),
            .reason = text(in[i]->reason),
            .rate = in[i]->rate,
            .state = text(in[i]->state),
            .moved = in[i]->moved,
            .skipped = in[i]->skipped,
            .total = in[i]->total,
            .started_ms = in[i]->started_ms,
            .ended_ms = in[i]->ended_ms,
        };
    }
    out->redrives = redrives;
    out->redrive_count = count;
}

/* ---------------------------------------------------------------- functions */

static void decode_function_settings(struct hato_function_settings *out, const Hato__FunctionSettings *in)
{
    TAKE(HATO_FUNCTION_TIMEOUT, timeout_ms);
    TAKE(HATO_FUNCTION_MAX_CONCURRENCY, max_concurrency);
    TAKE(HATO_FUNCTION_RETRY_MIN, retry_min_ms);
    TAKE(HATO_FUNCTION_RETRY_MAX, retry_max_ms);
    if (in->has_rate) {
        out->present |= HATO_FUNCTION_RATE;
        out->rate = in->rate;
    }
    if (in->has_format) {
        out->present |= HATO_FUNCTION_FORMAT;
        out->format = (enum hato_format)in->format;
    }
    out->url = text(in->url);
    out->present |= in->url != NULL ? HATO_FUNCTION_URL : 0;
    out->content_type = text(in->content_type);
    out->present |= in->content_type != NULL ? HATO_FUNCTION_CONTENT_TYPE : 0;
    out->headers = (const char *const *)in->headers;
    out->header_count = in->n_headers;
    out->present |= in->n_headers > 0 ? HATO_FUNCTION_HEADERS : 0;
}

static const struct hato_attempt *decode_attempts(struct arena *a, const Hato__FunctionInfo *in)
{
    struct hato_attempt *out = arena_alloc(a, in->n_attempts * sizeof *out);
    for (size_t i = 0; i < in->n_attempts; i++) {
        const Hato__Attempt *t = in->attempts[i];
        out[i] = (struct hato_attempt){
            .started_ms = t->started_ms,
            .duration_ms = t->duration_ms,
            .status = t->status,
            .error = text(t->error),
            .answer = bytes(t->answer),
            .messages = t->messages,
            .queue = text(t->queue),
        };
    }
    return out;
}

static void decode_function(struct arena *a, struct hato_function *out, const Hato__FunctionInfo *in)
{
    static const Hato__FunctionSettings none = HATO__FUNCTION_SETTINGS__INIT;
    *out = (struct hato_function){
        .name = text(in->name),
        .queues = (const char *const *)in->queues,
        .queue_count = in->n_queues,
        .queues_total = in->queue_count,
        .created_ms = in->created_ms,
        .modified_ms = in->modified_ms,
        .state = text(in->state),
        .in_flight = in->in_flight,
        .window = in->window,
        .delivered_total = in->delivered_total,
        .failed_total = in->failed_total,
        .last_error = text(in->last_error),
        .retry_at_ms = in->retry_at_ms,
        .attempts = decode_attempts(a, in),
        .attempt_count = in->n_attempts,
        .partial = in->partial,
    };
    decode_function_settings(&out->settings, in->settings != NULL ? in->settings : &none);
}

static void decode_functions(struct arena *a, struct hato_reply *out, Hato__FunctionInfo *const *in, size_t count)
{
    struct hato_function *functions = arena_alloc(a, count * sizeof *functions);
    for (size_t i = 0; i < count; i++)
        decode_function(a, &functions[i], in[i]);
    out->functions = functions;
    out->function_count = count;
}

/* ---------------------------------------------------------------- the broker */

static struct hato_shard decode_shard(struct arena *a, const Hato__ShardStatus *in)
{
    struct hato_replica *replicas = arena_alloc(a, in->n_replicas * sizeof *replicas);
    for (size_t i = 0; i < in->n_replicas; i++) {
        const Hato__ReplicaStatus *r = in->replicas[i];
        replicas[i] = (struct hato_replica){r->node, r->voter, text(r->state), r->matched};
    }
    return (struct hato_shard){
        .shard = in->shard,
        .role = text(in->role),
        .leader = in->leader,
        .term = in->term,
        .commit = in->commit,
        .applied = in->applied,
        .durable = in->durable,
        .queues = in->queues,
        .problem = text(in->problem),
        .replicas = replicas,
        .replica_count = in->n_replicas,
        .placed_version = in->placed_version,
    };
}

static const struct hato_status *decode_status(struct arena *a, const Hato__StatusReply *in)
{
    struct hato_shard *shards = arena_alloc(a, in->n_shards * sizeof *shards);
    for (size_t i = 0; i < in->n_shards; i++)
        shards[i] = decode_shard(a, in->shards[i]);
    struct hato_status *out = arena_alloc(a, sizeof *out);
    *out = (struct hato_status){
        .version = text(in->version),
        .node = in->node,
        .started_ms = in->started_ms,
        .now_ms = in->now_ms,
        .queues = in->queues,
        .functions = in->functions,
        .connections = in->connections,
        .log_bytes = in->log_bytes,
        .store_bytes = in->store_bytes,
        .disk_free_bytes = in->disk_free_bytes,
        .memory_bytes = in->memory_bytes,
        .accepts_sends = in->accepts_sends,
        .totals = decode_counts(in->totals),
        .shards = shards,
        .shard_count = in->n_shards,
    };
    return out;
}

static const struct hato_cluster *decode_cluster(struct arena *a, const Hato__ClusterStatusReply *in)
{
    struct hato_node *nodes = arena_alloc(a, in->n_nodes * sizeof *nodes);
    for (size_t i = 0; i < in->n_nodes; i++) {
        const Hato__NodeStatus *n = in->nodes[i];
        nodes[i] = (struct hato_node){
            .node = n->node,
            .peer_address = text(n->peer_address),
            .client_address = text(n->client_address),
            .status = n->status != NULL ? decode_status(a, n->status) : NULL,
            .problem = text(n->problem),
            .zone = text(n->zone),
            .drains = n->drains,
            .since = n->since,
        };
    }
    struct hato_plan *plans = arena_alloc(a, in->n_plans * sizeof *plans);
    for (size_t i = 0; i < in->n_plans; i++)
        plans[i] =
            (struct hato_plan){.voters = arena_copy(a, in->plans[i]->voters, in->plans[i]->n_voters * sizeof(uint64_t)),
                               .voter_count = in->plans[i]->n_voters,
                               .lead = in->plans[i]->lead};
    struct hato_cluster *out = arena_alloc(a, sizeof *out);
    *out = (struct hato_cluster){.cluster = text(in->cluster),
                                 .node = in->node,
                                 .nodes = nodes,
                                 .node_count = in->n_nodes,
                                 .version = in->version,
                                 .plans = plans,
                                 .plan_count = in->n_plans,
                                 .replicas = in->replicas};
    return out;
}

void decode_reply(struct arena *a, const char *scope, struct hato_reply *out, const Hato__Reply *in)
{
    switch (in->op_case) {
    case HATO__REPLY__OP_STATUS:
        out->status = decode_status(a, in->status);
        break;
    case HATO__REPLY__OP_CLUSTER:
        out->cluster = decode_cluster(a, in->cluster);
        break;
    case HATO__REPLY__OP_CLUSTER_CHANGED:
        out->version = in->cluster_changed->version;
        break;
    case HATO__REPLY__OP_RECEIVE:
        out->deliveries = decode_deliveries(a, scope, in->receive);
        out->delivery_count = in->receive->n_deliveries;
        break;
    case HATO__REPLY__OP_PEEK:
        decode_peeked(a, scope, out, in->peek);
        break;
    case HATO__REPLY__OP_QUEUE:
        decode_queues(a, out, (Hato__QueueInfo *const *)&in->queue, 1);
        break;
    case HATO__REPLY__OP_QUEUES:
        decode_queues(a, out, in->queues->queues, in->queues->n_queues);
        out->next = text(in->queues->next);
        break;
    case HATO__REPLY__OP_PURGE:
        out->purged = in->purge->purged;
        break;
    case HATO__REPLY__OP_REDRIVE:
        decode_redrives(a, out, (Hato__RedriveInfo *const *)&in->redrive, 1);
        break;
    case HATO__REPLY__OP_REDRIVES:
        decode_redrives(a, out, in->redrives->redrives, in->redrives->n_redrives);
        break;
    case HATO__REPLY__OP_FUNCTION:
        decode_functions(a, out, (Hato__FunctionInfo *const *)&in->function, 1);
        break;
    case HATO__REPLY__OP_FUNCTIONS:
        decode_functions(a, out, in->functions->functions, in->functions->n_functions);
        out->next = text(in->functions->next);
        break;
    default:
        break;
    }
}
