/* Every field of the public structs reaches the wire, and every field of the wire the public structs; those of messages:
 * message_fields_test.c. */
#include "client/fields.h"

static ProtobufCBinaryData data(const char *t)
{
    return (ProtobufCBinaryData){strlen(t), (uint8_t *)text(t)};
}

/* Gives back the request of the same settings, as the broker does with all fields present. */
static void echo_queue(struct double_peer *p, uint64_t id, const char *name, Hato__QueueSettings *settings)
{
    Hato__QueueCounts counts = HATO__QUEUE_COUNTS__INIT;
    counts.ready = 1;
    counts.in_flight = 2;
    counts.delayed = 3;
    counts.bytes = 4;
    counts.oldest_sent_ms = 5;
    counts.moving = 6;
    counts.halted_groups = 7;
    counts.sent_total = 8;
    counts.received_total = 9;
    counts.acked_total = 10;
    counts.dead_lettered_total = 11;
    counts.expired_total = 12;
    counts.dead_letters_refused_total = 13;
    Hato__Histogram__Bucket bucket = HATO__HISTOGRAM__BUCKET__INIT;
    bucket.upper_ms = 100;
    bucket.count = 4;
    Hato__Histogram__Bucket *buckets[] = {&bucket};
    Hato__Histogram waited = HATO__HISTOGRAM__INIT;
    waited.n_buckets = 1;
    waited.buckets = buckets;
    waited.count = 4;
    waited.sum_ms = 77;
    Hato__QueueInfo info = HATO__QUEUE_INFO__INIT;
    info.name = text(name);
    info.arn = text("arn:aws:sqs:us-east-1:000000000000:jobs");
    info.shard = 5;
    info.settings = settings;
    info.counts = &counts;
    info.created_ms = 1000;
    info.modified_ms = 2000;
    info.waited = &waited;
    Hato__Reply reply = HATO__REPLY__INIT;
    reply.id = id;
    reply.op_case = HATO__REPLY__OP_QUEUE;
    reply.queue = &info;
    double_reply(p, &reply);
}

static void echo_function(struct double_peer *p, uint64_t id, const char *name, Hato__FunctionSettings *settings)
{
    Hato__Attempt attempt = HATO__ATTEMPT__INIT;
    attempt.started_ms = 1;
    attempt.duration_ms = 2;
    attempt.status = 503;
    attempt.error = text("why");
    attempt.answer = data("busy");
    attempt.messages = 3;
    attempt.queue = text("jobs");
    Hato__Attempt *attempts[] = {&attempt};
    char *queues[] = {text("jobs"), text("more")};
    Hato__FunctionInfo info = HATO__FUNCTION_INFO__INIT;
    info.name = text(name);
    info.settings = settings;
    info.n_queues = 2;
    info.queues = queues;
    info.created_ms = 4;
    info.modified_ms = 5;
    info.state = text("open");
    info.in_flight = 6;
    info.window = 7;
    info.delivered_total = 8;
    info.failed_total = 9;
    info.last_error = text("status 503");
    info.retry_at_ms = 10;
    info.n_attempts = 1;
    info.attempts = attempts;
    info.partial = true;
    Hato__Reply reply = HATO__REPLY__INIT;
    reply.id = id;
    reply.op_case = HATO__REPLY__OP_FUNCTION;
    reply.function = &info;
    double_reply(p, &reply);
}

/* Alone, or as what node 2 of a cluster said, whose other node did not answer. */
static void reply_status(struct double_peer *p, uint64_t id, bool cluster)
{
    Hato__ReplicaStatus first = HATO__REPLICA_STATUS__INIT;
    Hato__ReplicaStatus second = HATO__REPLICA_STATUS__INIT;
    first.node = 1;
    first.voter = true;
    first.state = text("leader");
    first.matched = 2;
    second.node = 3;
    second.state = text("snapshot");
    second.matched = 4;
    Hato__ReplicaStatus *replicas[] = {&first, &second};
    Hato__ShardStatus shard = HATO__SHARD_STATUS__INIT;
    shard.shard = 3;
    shard.role = text("leader");
    shard.leader = 1;
    shard.term = 4;
    shard.commit = 5;
    shard.applied = 6;
    shard.durable = 7;
    shard.queues = 8;
    shard.problem = text("none");
    shard.n_replicas = 2;
    shard.replicas = replicas;
    Hato__ShardStatus *shards[] = {&shard};
    Hato__QueueCounts totals = HATO__QUEUE_COUNTS__INIT;
    totals.ready = 9;
    Hato__StatusReply status = HATO__STATUS_REPLY__INIT;
    status.version = text("0.1.0");
    status.node = 1;
    status.started_ms = 2;
    status.now_ms = 3;
    status.queues = 4;
    status.functions = 5;
    status.connections = 6;
    status.log_bytes = 7;
    status.store_bytes = 8;
    status.disk_free_bytes = 9;
    status.accepts_sends = true;
    status.totals = &totals;
    status.n_shards = 1;
    status.shards = shards;
    status.memory_bytes = 10;
    Hato__NodeStatus silent = HATO__NODE_STATUS__INIT;
    silent.node = 1;
    silent.peer_address = text("peer");
    silent.client_address = text("client");
    silent.problem = text("gone");
    Hato__NodeStatus asked = HATO__NODE_STATUS__INIT;
    asked.node = 2;
    asked.status = &status;
    Hato__NodeStatus *nodes[] = {&silent, &asked};
    Hato__ClusterStatusReply all = HATO__CLUSTER_STATUS_REPLY__INIT;
    all.cluster = text("abc");
    all.node = 2;
    all.n_nodes = 2;
    all.nodes = nodes;
    Hato__Reply reply = HATO__REPLY__INIT;
    reply.id = id;
    reply.op_case = cluster ? HATO__REPLY__OP_CLUSTER : HATO__REPLY__OP_STATUS;
    if (cluster)
        reply.cluster = &all;
    else
        reply.status = &status;
    double_reply(p, &reply);
}

static void reply_redrives(struct double_peer *p, uint64_t id)
{
    Hato__RedriveInfo info = HATO__REDRIVE_INFO__INIT;
    info.id = text("r1");
    info.queue = text("dead");
    info.destination = text("jobs");
    info.reason = text("timeout");
    info.rate = 2.5;
    info.state = text("running");
    info.moved = 1;
    info.skipped = 2;
    info.total = 3;
    info.started_ms = 4;
    info.ended_ms = 5;
    Hato__RedriveInfo *list[] = {&info, &info};
    Hato__RedriveListReply redrives = HATO__REDRIVE_LIST_REPLY__INIT;
    redrives.n_redrives = 2;
    redrives.redrives = list;
    Hato__Reply reply = HATO__REPLY__INIT;
    reply.id = id;
    reply.op_case = HATO__REPLY__OP_REDRIVES;
    reply.redrives = &redrives;
    double_reply(p, &reply);
}

static void answer(struct double_broker *b, struct double_peer *p, const Hato__Request *r)
{
    (void)b;
    switch (r->op_case) {
    case HATO__REQUEST__OP_QUEUE_CREATE:
        echo_queue(p, r->id, r->queue_create->name, r->queue_create->settings);
        break;
    case HATO__REQUEST__OP_QUEUE_SET:
        echo_queue(p, r->id, r->queue_set->name, r->queue_set->settings);
        break;
    case HATO__REQUEST__OP_BIND: {
        Hato__QueueSettings settings = HATO__QUEUE_SETTINGS__INIT;
        settings.binding_function = r->bind->function;
        settings.binding = r->bind->settings;
        echo_queue(p, r->id, r->bind->queue, &settings);
        break;
    }
    case HATO__REQUEST__OP_FUNCTION_CREATE:
        echo_function(p, r->id, r->function_create->name, r->function_create->settings);
        break;
    case HATO__REQUEST__OP_FUNCTION_SET:
        echo_function(p, r->id, r->function_set->name, r->function_set->settings);
        break;
    case HATO__REQUEST__OP_STATUS:
        reply_status(p, r->id, false);
        break;
    case HATO__REQUEST__OP_CLUSTER_STATUS:
        reply_status(p, r->id, true);
        break;
    case HATO__REQUEST__OP_REDRIVE_LIST:
        reply_redrives(p, r->id);
        break;
    default:
        ck_abort_msg("not expected");
    }
}

static const struct hato_group_weight weights[] = {{"a", 5}, {"b", 2}};

static struct hato_queue_settings full_settings(void)
{
    return (struct hato_queue_settings){
        .present = (1u << 19) - 1,
        .kind = HATO_FIFO,
        .visibility_ms = 1,
        .delay_ms = 2,
        .retention_ms = 3,
        .max_message_bytes = 4,
        .max_messages = 5,
        .max_bytes = 6,
        .max_in_flight = 7,
        .receive_wait_ms = 8,
        .dead_letter = "dead",
        .max_receives = 9,
        .on_exhausted = HATO_HALT_GROUP,
        .content_deduplication = true,
        .deduplication_window_ms = 10,
        .deduplication_scope = HATO_SCOPE_GROUP,
        .group_weights = weights,
        .group_weight_count = 2,
        .function = "resize",
        .binding = {.present = 15, .batch_size = 11, .window_ms = 12, .max_concurrency = 13, .paused = true},
        .user_data = {"tags", 4},
    };
}

static void check_settings(const struct hato_queue_settings *s)
{
    ck_assert_uint_eq(s->present, (1u << 19) - 1);
    ck_assert_int_eq(s->kind, HATO_FIFO);
    ck_assert_uint_eq(s->visibility_ms, 1);
    ck_assert_uint_eq(s->delay_ms, 2);
    ck_assert_uint_eq(s->retention_ms, 3);
    ck_assert_uint_eq(s->max_message_bytes, 4);
    ck_assert_uint_eq(s->max_messages, 5);
    ck_assert_uint_eq(s->max_bytes, 6);
    ck_assert_uint_eq(s->max_in_flight, 7);
    ck_assert_uint_eq(s->receive_wait_ms, 8);
}

static void check_rest_of_settings(const struct hato_queue_settings *s)
{
    ck_assert_str_eq(s->dead_letter, "dead");
    ck_assert_uint_eq(s->max_receives, 9);
    ck_assert_int_eq(s->on_exhausted, HATO_HALT_GROUP);
    ck_assert(s->content_deduplication);
    ck_assert_uint_eq(s->deduplication_window_ms, 10);
    ck_assert_int_eq(s->deduplication_scope, HATO_SCOPE_GROUP);
    ck_assert_uint_eq(s->group_weight_count, 2);
    ck_assert_str_eq(s->group_weights[1].group, "b");
    ck_assert_uint_eq(s->group_weights[1].weight, 2);
    ck_assert_uint_eq(s->user_data.len, 4);
    ck_assert_str_eq(s->user_data.data, "tags");
}

static void check_binding(const struct hato_queue_settings *s)
{
    ck_assert_str_eq(s->function, "resize");
    ck_assert_uint_eq(s->binding.present, 15);
    ck_assert_uint_eq(s->binding.batch_size, 11);
    ck_assert_uint_eq(s->binding.window_ms, 12);
    ck_assert_uint_eq(s->binding.max_concurrency, 13);
    ck_assert(s->binding.paused);
}

START_TEST(a_queue_with_all_its_settings_and_counts)
{
    struct harness *h = harness_open(answer, NULL);
    struct hato_queue_settings s = full_settings();
    hato_queue_create(h->client, "jobs", &s, keep, NULL);
    const struct hato_reply *r = reply_of(h);
    ck_assert_uint_eq(r->queue_count, 1);
    const struct hato_queue *q = &r->queues[0];
    check_settings(&q->settings);
    check_rest_of_settings(&q->settings);
    check_binding(&q->settings);
    ck_assert_str_eq(q->name, "jobs");
    ck_assert_str_eq(q->arn, "arn:aws:sqs:us-east-1:000000000000:jobs");
    ck_assert_uint_eq(q->shard, 5);
    const struct hato_counts expected = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 12};
    ck_assert_int_eq(memcmp(&q->counts, &expected, sizeof expected), 0);
    ck_assert_uint_eq(q->created_ms, 1000);
    ck_assert_uint_eq(q->modified_ms, 2000);
    ck_assert_uint_eq(q->waited.bucket_count, 1);
    ck_assert_uint_eq(q->waited.buckets[0].upper_ms, 100);
    ck_assert_uint_eq(q->waited.buckets[0].count, 4);
    ck_assert_uint_eq(q->waited.sum_ms, 77);
    hato_reply_destroy(got);
    harness_close(h);
}
END_TEST

START_TEST(a_setting_that_is_not_given_is_not_sent_and_a_zero_that_is_given_is)
{
    struct harness *h = harness_open(answer, NULL);
    struct hato_queue_settings s = {.present = HATO_QUEUE_DELAY | HATO_QUEUE_DEAD_LETTER, .visibility_ms = 5};
    hato_queue_set(h->client, "jobs", &s, keep, NULL);
    const struct hato_queue *q = &reply_of(h)->queues[0];
    ck_assert_uint_eq(q->settings.present, HATO_QUEUE_DELAY | HATO_QUEUE_DEAD_LETTER);
    ck_assert_uint_eq(q->settings.delay_ms, 0);
    ck_assert_str_eq(q->settings.dead_letter, "");
    hato_reply_destroy(got);
    harness_close(h);
}
END_TEST

START_TEST(a_binding)
{
    struct harness *h = harness_open(answer, NULL);
    struct hato_binding_settings b = {.present = HATO_BINDING_WINDOW | HATO_BINDING_BATCH_SIZE, .batch_size = 20};
    hato_bind(h->client, "jobs", "resize", &b, keep, NULL);
    const struct hato_queue_settings *s = &reply_of(h)->queues[0].settings;
    ck_assert_str_eq(s->function, "resize");
    ck_assert_uint_eq(s->binding.present, HATO_BINDING_WINDOW | HATO_BINDING_BATCH_SIZE);
    ck_assert_uint_eq(s->binding.batch_size, 20);
    hato_reply_destroy(got);
    harness_close(h);
}
END_TEST

START_TEST(a_function_with_all_its_settings_and_attempts)
{
    struct harness *h = harness_open(answer, NULL);
    const char *headers[] = {"A: b", "C: d"};
    struct hato_function_settings s = {
        .present = ((1u << 10) - 1) & ~(uint32_t)HATO_FUNCTION_SECRETS,
        .url = "http://127.0.0.1/",
        .format = HATO_CLOUDEVENTS_STRUCTURED,
        .timeout_ms = 1,
        .max_concurrency = 2,
        .retry_min_ms = 3,
        .retry_max_ms = 4,
        .headers = headers,
        .header_count = 2,
        .content_type = "text/plain",
        .rate = 1.5,
    };
    hato_function_create(h->client, "resize", &s, keep, NULL);
    const struct hato_function *f = &reply_of(h)->functions[0];
    ck_assert_str_eq(f->name, "resize");
    ck_assert_uint_eq(f->settings.present, s.present);
    ck_assert_str_eq(f->settings.url, s.url);
    ck_assert_int_eq(f->settings.format, HATO_CLOUDEVENTS_STRUCTURED);
    ck_assert_uint_eq(f->settings.timeout_ms, 1);
    ck_assert_uint_eq(f->settings.max_concurrency, 2);
    ck_assert_uint_eq(f->settings.retry_min_ms, 3);
    ck_assert_uint_eq(f->settings.retry_max_ms, 4);
    ck_assert_str_eq(f->settings.headers[1], "C: d");
    ck_assert_str_eq(f->settings.content_type, "text/plain");
    ck_assert(f->settings.rate > 1.49 && f->settings.rate < 1.51);
    ck_assert_uint_eq(f->queue_count, 2);
    ck_assert_str_eq(f->queues[1], "more");
    ck_assert_str_eq(f->state, "open");
    ck_assert_uint_eq(f->in_flight, 6);
    ck_assert_uint_eq(f->window, 7);
    ck_assert_uint_eq(f->delivered_total, 8);
    ck_assert_uint_eq(f->failed_total, 9);
    ck_assert_str_eq(f->last_error, "status 503");
    ck_assert_uint_eq(f->retry_at_ms, 10);
    ck_assert_uint_eq(f->attempt_count, 1);
    ck_assert(f->partial);
    ck_assert_uint_eq(f->attempts[0].started_ms, 1);
    ck_assert_uint_eq(f->attempts[0].duration_ms, 2);
    ck_assert_uint_eq(f->attempts[0].status, 503);
    ck_assert_str_eq(f->attempts[0].error, "why");
    ck_assert_str_eq(f->attempts[0].answer.data, "busy");
    ck_assert_uint_eq(f->attempts[0].messages, 3);
    ck_assert_str_eq(f->attempts[0].queue, "jobs");
    hato_reply_destroy(got);
    harness_close(h);
}
END_TEST

static bool cleared;

static void see_cleared(struct double_broker *b, struct double_peer *p, const Hato__Request *r)
{
    (void)b;
    const Hato__FunctionSettings *s = r->function_set->settings;
    cleared = s->has_clear_headers && s->clear_headers && s->n_headers == 0 && s->n_secrets == 2 &&
              strcmp(s->secrets[0], "whsec_new") == 0 && !s->has_clear_secrets;
    echo_function(p, r->id, r->function_set->name, r->function_set->settings);
}

START_TEST(an_empty_list_clears_and_a_filled_one_replaces)
{
    struct harness *h = harness_open(see_cleared, NULL);
    const char *secrets[] = {"whsec_new", "whsec_old"};
    struct hato_function_settings s = {
        .present = HATO_FUNCTION_HEADERS | HATO_FUNCTION_SECRETS,
        .secrets = secrets,
        .secret_count = 2,
    };
    hato_function_set(h->client, "resize", &s, keep, NULL);
    reply_of(h);
    ck_assert(cleared);
    hato_reply_destroy(got);
    harness_close(h);
}
END_TEST

START_TEST(the_status_with_its_shards)
{
    struct harness *h = harness_open(answer, NULL);
    hato_status(h->client, keep, NULL);
    const struct hato_status *s = reply_of(h)->status;
    ck_assert_str_eq(s->version, "0.1.0");
    uint64_t numbers[] = {s->node,        s->started_ms, s->now_ms,      s->queues,          s->functions,
                          s->connections, s->log_bytes,  s->store_bytes, s->disk_free_bytes, s->memory_bytes};
    for (uint64_t i = 0; i < 10; i++)
        ck_assert_uint_eq(numbers[i], i + 1);
    ck_assert(s->accepts_sends);
    ck_assert_uint_eq(s->totals.ready, 9);
    ck_assert_uint_eq(s->shard_count, 1);
    const struct hato_shard *x = &s->shards[0];
    ck_assert_uint_eq(x->shard, 3);
    ck_assert_str_eq(x->role, "leader");
    ck_assert_str_eq(x->problem, "none");
    uint64_t shard_numbers[] = {x->term, x->commit, x->applied, x->durable, x->queues};
    for (uint64_t i = 0; i < 5; i++)
        ck_assert_uint_eq(shard_numbers[i], i + 4);
    ck_assert_uint_eq(x->replica_count, 2);
    const struct hato_replica *r = x->replicas;
    uint64_t replica_numbers[] = {r[0].node, r[0].matched, r[1].node, r[1].matched};
    for (uint64_t i = 0; i < 4; i++)
        ck_assert_uint_eq(replica_numbers[i], i + 1);
    ck_assert(r[0].voter && !r[1].voter);
    ck_assert_str_eq(r[0].state, "leader");
    ck_assert_str_eq(r[1].state, "snapshot");
    hato_reply_destroy(got);
    harness_close(h);
}
END_TEST

START_TEST(the_status_of_a_cluster)
{
    struct harness *h = harness_open(answer, NULL);
    hato_cluster_status(h->client, keep, NULL);
    const struct hato_cluster *c = reply_of(h)->cluster;
    ck_assert_str_eq(c->cluster, "abc");
    ck_assert_uint_eq(c->node, 2);
    ck_assert_uint_eq(c->node_count, 2);
    ck_assert_uint_eq(c->nodes[0].node, 1);
    ck_assert_str_eq(c->nodes[0].peer_address, "peer");
    ck_assert_str_eq(c->nodes[0].client_address, "client");
    ck_assert_str_eq(c->nodes[0].problem, "gone");
    ck_assert_ptr_null(c->nodes[0].status);
    ck_assert_uint_eq(c->nodes[1].node, 2);
    ck_assert_str_eq(c->nodes[1].problem, "");
    ck_assert_uint_eq(c->nodes[1].status->shards[0].replicas[1].matched, 4);
    hato_reply_destroy(got);
    harness_close(h);
}
END_TEST

START_TEST(redrives)
{
    struct harness *h = harness_open(answer, NULL);
    hato_redrive_list(h->client, "dead", keep, NULL);
    const struct hato_reply *r = reply_of(h);
    ck_assert_uint_eq(r->redrive_count, 2);
    const struct hato_redrive *d = &r->redrives[1];
    ck_assert_str_eq(d->id, "r1");
    ck_assert_str_eq(d->queue, "dead");
    ck_assert_str_eq(d->destination, "jobs");
    ck_assert_str_eq(d->reason, "timeout");
    ck_assert(d->rate > 2.49 && d->rate < 2.51);
    ck_assert_str_eq(d->state, "running");
    uint64_t numbers[] = {d->moved, d->skipped, d->total, d->started_ms, d->ended_ms};
    for (uint64_t i = 0; i < 5; i++)
        ck_assert_uint_eq(numbers[i], i + 1);
    hato_reply_destroy(got);
    harness_close(h);
}
END_TEST

START_TEST(codes_have_the_names_and_numbers_of_the_wire)
{
    ck_assert_int_eq(HATO_NO_MEMORY, HATO__CODE__NO_MEMORY);
    ck_assert_int_eq(HATO_VERSION_MISMATCH, HATO__CODE__VERSION);
    ck_assert_int_eq(HATO_RECEIPT_STALE, HATO__CODE__RECEIPT_STALE);
    ck_assert_str_eq(hato_code_name(HATO_RECEIPT_STALE), "receipt_stale");
    ck_assert_str_eq(hato_code_name(4711), "unknown");
    for (int code = 0; code <= HATO_NO_MEMORY; code++)
        ck_assert_ptr_nonnull(hato_code_text(code));
    ck_assert_ptr_nonnull(strstr(hato_code_text(-1), "does not know"));
    ck_assert(hato_code_retryable(HATO_OVERLOADED));
    ck_assert(!hato_code_retryable(HATO_INVALID));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client/fields");
    TCase *tc = tcase_create("fields");
    tcase_set_timeout(tc, HARNESS_TIMEOUT_S);
    tcase_add_test(tc, a_queue_with_all_its_settings_and_counts);
    tcase_add_test(tc, a_setting_that_is_not_given_is_not_sent_and_a_zero_that_is_given_is);
    tcase_add_test(tc, a_binding);
    tcase_add_test(tc, a_function_with_all_its_settings_and_attempts);
    tcase_add_test(tc, an_empty_list_clears_and_a_filled_one_replaces);
    tcase_add_test(tc, the_status_with_its_shards);
    tcase_add_test(tc, the_status_of_a_cluster);
    tcase_add_test(tc, redrives);
    tcase_add_test(tc, codes_have_the_names_and_numbers_of_the_wire);
    suite_add_tcase(suite, tc);
    return harness_run(suite);
}
