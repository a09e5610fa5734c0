/* Metrics in Prometheus's text format. Queues and functions are labelled by name, account and region, a function on each loop that
 * has queues of it by the loop as well. METRICS_QUEUES_MAX queues and METRICS_FUNCTIONS_MAX functions, once for each loop, have series at most, so that
 * a scrape of a broker with very many stays small: hato_queues counts all, and what was left out has a series of its own. A shard's
 * queues are looked at in slices. */
#include "base/map.h"
#include "base/memory.h"
#include "proto/settings.pb-c.h"
#include "protocol/http.h"
#include "state/identity.h"

#include <inttypes.h>

enum {
    METRICS_QUEUES_MAX = 2000,
    METRICS_FUNCTIONS_MAX = 1000, /* pairs of a function and a loop */
    QUEUE_FAMILIES = 13,
    SLICE_COST = 4000, /* of one look: a queue that is passed over costs 1, some 0.1 us */
    LISTED_COST = 100,
};

struct metrics {
    struct http *http;
    struct buffer
        queues[QUEUE_FAMILIES]; /* one for each family of a queue's figures: lines of a family belong together */
    struct buffer shards[5];
    struct buffer functions[6];
    struct buffer waited;
    struct map seen; /* "seat/function" */
    size_t queue_count;
    size_t listed;
    size_t bindings_left_out;
    uint64_t now_ms;
    char after[IDENTITY_NAME_MAX + 1]; /* the last queue of the slice before; "" when a shard begins */
};

struct family {
    const char *name;
    const char *type;
    const char *help;
};

static const struct family queue_families[QUEUE_FAMILIES] = {
    {"hato_queue_ready", "gauge", "Messages that can be received now."},
    {"hato_queue_in_flight", "gauge", "Messages received and not yet settled."},
    {"hato_queue_delayed", "gauge", "Messages whose time has not come."},
    {"hato_queue_bytes", "gauge", "Bytes of bodies and attributes in the queue."},
    {"hato_queue_oldest_age_seconds", "gauge", "Age of the oldest message that is ready or in flight."},
    {"hato_queue_sent_total", "counter", "Messages stored since the queue was created."},
    {"hato_queue_received_total", "counter", "Receives, redeliveries included."},
    {"hato_queue_acked_total", "counter", "Messages acked."},
    {"hato_queue_dead_lettered_total", "counter", "Messages that arrived in the dead-letter queue."},
    {"hato_queue_dead_letters_refused_total", "counter", "Times that the dead-letter queue took none: it is full."},
    {"hato_queue_expired_total", "counter", "Messages dropped at the end of their retention."},
    {"hato_queue_moving", "gauge", "Messages on their way to another queue."},
    {"hato_queue_halted_groups", "gauge", "Groups of a FIFO queue that are halted at a message."},
};

static const struct family waited_family = {
    "hato_queue_wait_seconds", "histogram",
    "Time from send to first receive, once that has ended and counts; since this node began to lead the queue."};

static const struct family shard_families[5] = {
    {"hato_shard_leader", "gauge", "1 where this node leads the shard."},
    {"hato_shard_stopped", "gauge", "1 where the shard has stopped because its data or disk is bad."},
    {"hato_shard_commit_index", "counter", "Last entry known to be on a majority."},
    {"hato_shard_applied_index", "counter", "Last entry applied."},
    {"hato_shard_durable_index", "counter", "Last entry whose effects are flushed to the store."},
};

static const struct family function_families[6] = {
    {"hato_function_in_flight", "gauge", "Requests out to the function."},
    {"hato_function_window", "gauge", "Requests allowed at once now."},
    {"hato_function_delivered_total", "counter", "Messages the function took."},
    {"hato_function_failed_total", "counter", "Messages the function failed."},
    {"hato_function_open", "gauge", "1 while the endpoint is held to be down and nothing is sent."},
    {"hato_function_retry_seconds", "gauge", "Time until an endpoint that is down is probed again."},
};

struct metrics *metrics_create(struct http *http)
{
    struct metrics *m = memory_zero(1, sizeof *m);
    struct clock clock = clock_real();
    m->http = http;
    m->now_ms = clock_now_ms(&clock);
    return m;
}

/* Labels that tell a queue or function, of its full name "account:region:name". They are of a plain character set: nothing to
 * escape. */
enum { LABELS_MAX = IDENTITY_NAME_MAX + 64 };

static void make_labels(char out[LABELS_MAX], const char *what, const char *full)
{
    const char *region = strchr(full, ':') + 1;
    const char *name = strrchr(full, ':') + 1;
    snprintf(out, LABELS_MAX, "%s=\"%s\",account=\"%.*s\",region=\"%.*s\"", what, name, (int)(region - 1 - full), full,
             (int)(name - 1 - region), region);
}

static void put_counts(struct metrics *m, const struct machine *machine, const struct queue_view *q, const char *labels)
{
    uint64_t oldest = machine_queue_oldest_ms(machine, q->id);
    const struct queue_counts *c = &q->counts;
    uint64_t age = oldest != 0 && m->now_ms > oldest ? m->now_ms - oldest : 0;
    const double values[QUEUE_FAMILIES] = {
        (double)c->ready,
        (double)c->in_flight,
        (double)c->delayed,
        (double)c->bytes,
        (double)age / 1000,
        (double)c->sent_total,
        (double)c->received_total,
        (double)c->acked_total,
        (double)c->dead_lettered_total,
        (double)c->dead_letters_refused_total,
        (double)c->expired_total,
        (double)c->moving,
        (double)c->halted_groups,
    };
    for (int i = 0; i < QUEUE_FAMILIES; i++)
        buffer_printf(&m->queues[i], "%s{%s} %.17g\n", queue_families[i].name, labels, values[i]);
}

static void put_waited(struct metrics *m, const struct machine *machine, const struct queue_view *q, const char *labels)
{
    struct queue_waited w;
    machine_queue_waited(machine, q->id, &w);
    if (w.total == 0)
        return;
    struct buffer *out = &m->waited;
    uint64_t sum = 0;
    for (int i = 0; i < WAITED_BUCKETS; i++) {
        sum += w.counts[i];
        buffer_printf(out, "hato_queue_wait_seconds_bucket{%s,le=", labels);
        if (i == WAITED_BUCKETS - 1)
            buffer_printf(out, "\"+Inf\"} %" PRIu64 "\n", sum);
        else
            buffer_printf(out, "\"%.10g\"} %" PRIu64 "\n", (double)(UINT64_C(1) << i) / 1000, sum);
    }
    buffer_printf(out, "hato_queue_wait_seconds_sum{%s} %.17g\n", labels, (double)w.sum_ms / 1000);
    buffer_printf(out, "hato_queue_wait_seconds_count{%s} %" PRIu64 "\n", labels, w.total);
}

static void put_shard(struct metrics *m, unsigned shard, int family, uint64_t value)
{
    buffer_printf(&m->shards[family], "%s{shard=\"%u\"} %" PRIu64 "\n", shard_families[family].name, shard, value);
}

struct slice {
    struct metrics *metrics;
    const struct machine *machine;
    struct seat *seat;
    struct arena arena;
    unsigned cost;
    bool more;
};

static void put_function(struct slice *v, const char *function)
{
    struct metrics *m = v->metrics;
    const struct native_services *services = m->http->services;
    struct function_activity act = {0};
    services->function_activity(services->ctx, v->seat, function, &v->arena, &act);
    if (!act.known)
        return;
    bool open = strcmp(act.state, "open") == 0 || strcmp(act.state, "gone") == 0;
    uint64_t wait = act.retry_at_ms > m->now_ms ? act.retry_at_ms - m->now_ms : 0;
    const double values[6] = {act.in_flight, act.window,         (double)act.delivered_total, (double)act.failed_total,
                              open,          (double)wait / 1000};
    char labels[LABELS_MAX];
    make_labels(labels, "function", function);
    for (int i = 0; i < 6; i++)
        buffer_printf(&m->functions[i], "%s{%s,loop=\"%d\"} %.17g\n", function_families[i].name, labels,
                      v->seat->number, values[i]);
}

/* Functions bound on this seat are found through its queues. */
static void look_at_binding(struct slice *v, const char *function)
{
    struct metrics *m = v->metrics;
    char key[IDENTITY_NAME_MAX + 16];
    if (function == NULL || function[0] == '\0')
        return;
    snprintf(key, sizeof key, "%d/%s", v->seat->number, function); /* counted once a seat */
    if (map_find(&m->seen, bytes_text(key)) != NULL)
        return;
    if (map_count(&m->seen) >= METRICS_FUNCTIONS_MAX) {
        m->bindings_left_out++;
        return;
    }
    char *name = memory_string(key, strlen(key));
    map_put(&m->seen, bytes_text(name), name);
    v->cost += LISTED_COST;
    put_function(v, function);
}

static bool add_queue(void *ctx, const struct queue_view *q)
{
    struct slice *v = ctx;
    struct metrics *m = v->metrics;
    if (v->cost >= SLICE_COST) {
        v->more = true;
        return false;
    }
    v->cost++;
    if (m->listed < METRICS_QUEUES_MAX) {
        m->listed++;
        v->cost += LISTED_COST;
        char labels[LABELS_MAX];
        make_labels(labels, "queue", q->name);
        put_counts(m, v->machine, q, labels);
        put_waited(m, v->machine, q, labels);
    }
    look_at_binding(v, q->settings->binding_function);
    snprintf(m->after, sizeof m->after, "%s", q->name);
    return true;
}

static void forget_seen(struct metrics *m)
{
    size_t at = 0;
    char *name;
    while ((name = map_next(&m->seen, &at)) != NULL)
        memory_free(name);
    map_close(&m->seen);
    m->seen = (struct map){0};
}

static void put_shard_lines(struct metrics *m, struct shard *s)
{
    struct shard_status status;
    shard_status(s, &status);
    unsigned number = shard_number(s);
    put_shard(m, number, 0, shard_leads(s));
    put_shard(m, number, 1, shard_problem(s)[0] != '\0');
    put_shard(m, number, 2, status.commit);
    put_shard(m, number, 3, status.applied);
    put_shard(m, number, 4, status.durable);
    m->queue_count += machine_queue_count(shard_machine(s));
}

bool metrics_add_shard(struct metrics *m, struct shard *s, struct seat *seat)
{
    if (m->after[0] == '\0')
        put_shard_lines(m, s);
    struct slice v = {.metrics = m, .machine = shard_machine(s), .seat = seat};
    machine_queue_each(v.machine, m->after, add_queue, &v);
    arena_close(&v.arena);
    if (!v.more)
        m->after[0] = '\0';
    return v.more;
}

static void put_family(struct buffer *out, const struct family *f, const struct buffer *lines)
{
    if (lines->len == 0)
        return;
    buffer_printf(out, "# HELP %s %s\n# TYPE %s %s\n", f->name, f->help, f->name, f->type);
    buffer_put(out, lines->data, lines->len);
}

static void put_one(struct buffer *out, const char *name, const char *type, const char *help, double value)
{
    buffer_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %.17g\n", name, help, name, type, name, value);
}

static void put_left_out(struct buffer *out, const char *name, const char *what, int limit, const char *of,
                         size_t count)
{
    char help[160];
    snprintf(help, sizeof help, "%s left out of this page, which has series of %d %s at most.", what, limit, of);
    put_one(out, name, "gauge", help, (double)count);
}

void metrics_finish(struct metrics *m, struct buffer *out)
{
    struct native *n = m->http->native;
    struct node_space space;
    node_space(m->http->node, &space);
    buffer_printf(out, "# HELP hato_build_info The running version.\n# TYPE hato_build_info gauge\n");
    buffer_printf(out, "hato_build_info{version=\"%s\"} 1\n", HATO_BROKER_VERSION);
    put_one(out, "hato_start_time_seconds", "gauge", "When the broker was started.",
            (double)node_started_ms(m->http->node) / 1000);
    put_one(out, "hato_connections", "gauge", "Open native connections.", (double)atomic_load(&n->connections));
    put_one(out, "hato_connections_accepted_total", "counter", "Native connections accepted.",
            (double)atomic_load(&n->connections_total));
    put_one(out, "hato_requests_total", "counter", "Native requests read.", (double)atomic_load(&n->requests_total));
    put_one(out, "hato_refused_total", "counter", "Native requests and connections refused.",
            (double)atomic_load(&n->refused_total));
    put_one(out, "hato_unsent_bytes", "gauge", "Replies that native clients have not read, of more than 64 KiB each.",
            (double)atomic_load(&n->unsent.bytes));
    put_one(out, "hato_log_bytes", "gauge", "Bytes of the log's segments in use.", (double)space.log_bytes);
    put_one(out, "hato_store_bytes", "gauge", "Bytes of the store's files.", (double)space.store_bytes);
    put_one(out, "hato_disk_free_bytes", "gauge", "Free bytes of the disk with the data.", (double)space.free_bytes);
    put_one(out, "hato_accepts_sends", "gauge", "0 while sends are refused because the disk is nearly full.",
            space.accepts_sends ? 1 : 0);
    put_one(out, "hato_resident_bytes", "gauge", "Memory of the broker's process.", (double)resident_bytes());
    put_one(out, "hato_queues", "gauge", "Queues.", (double)m->queue_count);
    put_left_out(out, "hato_queues_without_series", "Queues", METRICS_QUEUES_MAX, "queues",
                 m->queue_count > m->listed ? m->queue_count - m->listed : 0);
    put_left_out(out, "hato_bindings_without_series", "Queues bound to functions", METRICS_FUNCTIONS_MAX,
                 "pairs of a function and a loop", m->bindings_left_out);
    for (int i = 0; i < 5; i++)
        put_family(out, &shard_families[i], &m->shards[i]);
    for (int i = 0; i < QUEUE_FAMILIES; i++)
        put_family(out, &queue_families[i], &m->queues[i]);
    put_family(out, &waited_family, &m->waited);
    for (int i = 0; i < 6; i++)
        put_family(out, &function_families[i], &m->functions[i]);
}

void metrics_destroy(struct metrics *m)
{
    if (m == NULL)
        return;
    for (int i = 0; i < QUEUE_FAMILIES; i++)
        buffer_close(&m->queues[i]);
    for (int i = 0; i < 5; i++)
        buffer_close(&m->shards[i]);
    for (int i = 0; i < 6; i++)
        buffer_close(&m->functions[i]);
    buffer_close(&m->waited);
    forget_seen(m);
    memory_free(m);
}
