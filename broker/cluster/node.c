#include "cluster/node.h"

#include <inttypes.h>
#include <limits.h>
#include <time.h>

#include "base/assert.h"
#include "base/disk.h"
#include "base/memory.h"
#include "cluster/internal.h"
#include "net/crypto.h"

static void wake_port(void *ctx)
{
    struct seat_inside *in = ctx;
    uv_async_send(&in->log_wake);
}

static void random_hex(char out[33])
{
    struct buffer hex = {0};
    uint8_t raw[16];
    crypto_random(raw, sizeof raw);
    crypto_hex(&hex, bytes_of(raw, sizeof raw));
    memcpy(out, hex.data, 32);
    out[32] = '\0';
    buffer_close(&hex);
}

uint64_t node_random(void)
{
    uint64_t v;
    crypto_random(&v, sizeof v);
    return v;
}

static int open_storage(struct node *n, struct error *e)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/log", n->options.data);
    struct log_options log = {.disk = n->disk, .dir = path, .seed = node_random(), .threaded = true, .compress = true};
    log.segment_bytes = n->options.segment_bytes;
    log.window_bytes = n->options.window_bytes;
    uint64_t segments = 2 * (log.segment_bytes > 0 ? log.segment_bytes : LOG_SEGMENT_BYTES_DEFAULT);
    log.free_bytes_min = n->options.disk_reserve > segments ? n->options.disk_reserve : segments;
    int rc = log_open(&log, &n->log, e);
    if (rc == ERR_EXISTS)
        return error_set(e, ERR_EXISTS, "another broker runs on %s: stop it, or choose another --data",
                         n->options.data);
    if (rc != ERR_OK)
        return rc;
    struct log_summary summary = log_recovered(n->log);
    TRACE(n->options.trace, TRACE_INFO, "log recovered", trace_u64("segments", summary.segments),
          trace_u64("bytes", summary.bytes), trace_u64("entries", summary.entries),
          trace_u64("torn_tail_bytes", summary.cut_bytes), trace_text("torn_tail_file", summary.cut_file));
    snprintf(path, sizeof path, "%s/store", n->options.data);
    struct store_options store = {.dir = path, .cache_bytes = n->options.cache_bytes};
    return store_open(&store, &n->store, e);
}

/* It has what it is given: no shard begins here. */
static int plan_joining(const struct node_options *o, struct birth *out, struct error *e)
{
    unsigned shards = 0;
    int end = 0;
    bool good = sscanf(o->join, "%32[0-9a-f]/%u/%" SCNu64 "%n", out->cluster, &shards, &out->since, &end) == 3 &&
                o->join[end] == '\0' && strlen(out->cluster) == 32 && shards >= 1 && shards <= SHARDS_MAX &&
                out->since > 0;
    if (!good)
        return error_field(e, ERR_INVALID, "join",
                           "--join takes what 'hato cluster add' tells, CLUSTER/SHARDS/CHANGE, not '%.60s'", o->join);
    if (out->founders.count < 2)
        return error_field(e, ERR_INVALID, "peers",
                           "--join needs --peers with a node of the cluster and this one: as 'hato cluster add' tells");
    snprintf(out->name, sizeof out->name, "%s", o->cluster != NULL ? o->cluster : CLUSTER_DEFAULT);
    out->shards = (uint16_t)shards;
    out->founders = (struct membership_list){0};
    return ERR_OK;
}

/* Every founder comes to the same id by itself; a node by itself has one that nobody else can have. */
static int plan_birth(const struct node_options *o, struct birth *out, struct error *e)
{
    struct roster_peer peers[MEMBERSHIP_NODES_MAX];
    uint32_t count;
    int rc = roster_parse(o->peers, peers, &count, e);
    if (rc != ERR_OK)
        return rc;
    *out = (struct birth){.node = o->node, .shards = o->shards > 0 ? o->shards : SHARDS_DEFAULT};
    random_hex(out->id);
    random_hex(out->cluster);
    for (uint32_t i = 0; i < count; i++)
        membership_add(&out->founders, peers[i].node);
    if (count > 0 && !membership_has(&out->founders, o->node))
        return error_field(e, ERR_INVALID, "peers", "--peers does not name this node, %llu: list all nodes in it",
                           (unsigned long long)o->node);
    membership_add(&out->founders, o->node);
    if (o->join != NULL && o->join[0] != '\0')
        return plan_joining(o, out, e);
    snprintf(out->name, sizeof out->name, "%s", o->cluster != NULL ? o->cluster : CLUSTER_DEFAULT);
    if (out->founders.count > 1)
        birth_cluster_id(out->name, &out->founders, out->shards, out->cluster);
    return ERR_OK;
}

static int check_birth(const struct node_options *o, const struct birth *b, struct error *e)
{
    char cluster[sizeof b->cluster];
    if (o->shards > 0 && b->shards != o->shards)
        return error_field(e, ERR_CONFLICT, "shards",
                           "%s was made with %u shards, which can't be changed: leave --shards out", o->data,
                           b->shards);
    char joined[96];
    snprintf(joined, sizeof joined, "%s/%u/%" PRIu64, b->cluster, b->shards, b->since);
    if (o->join != NULL && o->join[0] != '\0' && strcmp(o->join, joined) != 0)
        return error_field(e, ERR_CONFLICT, "join",
                           "%s has joined as %s: join with an empty directory, or leave --join out", o->data, joined);
    if (o->cluster == NULL)
        return ERR_OK;
    if (b->name[0] != '\0')
        return strcmp(o->cluster, b->name) == 0
                   ? ERR_OK
                   : error_field(e, ERR_CONFLICT, "cluster",
                                 "%s belongs to cluster '%s', not '%s', which can't be changed: leave --cluster out",
                                 o->data, b->name, o->cluster);
    if (b->founders.count <= 1) /* and what its cluster was called was not kept */
        return ERR_OK;
    birth_cluster_id(o->cluster, &b->founders, b->shards, cluster);
    return strcmp(cluster, b->cluster) == 0
               ? ERR_OK
               : error_field(e, ERR_CONFLICT, "cluster",
                             "%s belongs to a cluster of another name than '%s', which can't be changed", o->data,
                             o->cluster);
}

static int open_node(struct node *n, struct error *e)
{
    int rc = exchange_prepare(n, e);
    if (rc == ERR_OK)
        rc = open_storage(n, e);
    for (unsigned i = 0; i <= n->birth.shards; i++)
        atomic_init(&n->leaders[i], n->has_mesh ? 0 : n->birth.node);
    if (rc == ERR_OK)
        rc = seats_open(n, e);
    return rc;
}

int node_open(const struct node_options *options, struct node **out, struct error *e)
{
    struct birth wanted, birth;
    int rc = plan_birth(options, &wanted, e);
    if (rc == ERR_OK)
        rc = birth_load(options->data, &wanted, &birth, e);
    if (rc == ERR_OK)
        rc = check_birth(options, &birth, e);
    if (rc != ERR_OK)
        return rc;
    struct node *n = memory_zero(1, sizeof *n);
    n->options = *options;
    n->birth = birth;
    n->clock = clock_real();
    n->started_ms = clock_now_ms(&n->clock);
    pthread_mutex_init(&n->map.mutex, NULL);
    n->catch_up.bytes_per_second = options->catch_up_rate;
    atomic_init(&n->accepts_sends, true);
    n->disk = disk_real();
    rc = open_node(n, e);
    if (rc != ERR_OK) {
        node_close(n);
        return rc;
    }
    node_look_at_space(n);
    *out = n;
    return ERR_OK;
}

int node_run(struct node *n, struct error *e)
{
    int rc = seats_run(n, e);
    if (rc == ERR_OK && n->failed) {
        *e = n->failure;
        return (int)n->failure.code;
    }
    return rc;
}

void node_stop(struct node *n)
{
    for (unsigned i = 0; i < n->seat_count; i++)
        seat_stop(&n->seats[i]);
}

void node_close(struct node *n)
{
    if (n == NULL)
        return;
    log_close(n->log); /* first: its writer may still be about to wake a loop */
    seats_close(n);
    store_close(n->store);
    exchange_end(n);
    pthread_mutex_destroy(&n->map.mutex);
    memory_free(n);
}

void node_fail(struct node *n, const struct error *e)
{
    if (!atomic_flag_test_and_set(&n->failing)) {
        n->failed = true;
        n->failure = *e;
        TRACE(n->options.trace, TRACE_ERROR, "the node stops", trace_text("error", e->message));
    }
    node_stop(n);
}

/* ---------------------------------------------------------------- looking at it */

const struct birth *node_birth(const struct node *n)
{
    return &n->birth;
}

const struct node_options *node_options(const struct node *n)
{
    return &n->options;
}

unsigned node_seats(const struct node *n)
{
    return n->seat_count;
}

struct seat *node_seat(struct node *n, unsigned i)
{
    ASSERT(i < n->seat_count);
    return &n->seats[i];
}

struct seat *node_seat_of(struct node *n, uint16_t shard)
{
    return &n->seats[shard % n->seat_count];
}

struct shard *node_shard(struct node *n, uint16_t shard)
{
    ASSERT(shard <= n->birth.shards);
    return n->shards[shard];
}

uint64_t node_started_ms(const struct node *n)
{
    return n->started_ms;
}

/* ---------------------------------------------------------------- visits */

static void arrive(struct mail *mail)
{
    struct visit *v = CONTAINER_OF(mail, struct visit, mail);
    v->run(v, v->home->node->shards[v->shard]);
}

static void come_home(struct mail *mail)
{
    struct visit *v = CONTAINER_OF(mail, struct visit, mail);
    v->done(v);
}

void node_visit(struct seat *from, uint16_t shard, struct visit *v)
{
    struct node *n = from->node;
    ASSERT(shard <= n->birth.shards);
    v->home = from;
    v->shard = shard;
    struct seat *to = node_seat_of(n, shard);
    v->mail.run = arrive;
    if (to == from)
        arrive(&v->mail);
    else
        loop_post(&to->loop, &v->mail);
}

void visit_return(struct visit *v)
{
    v->mail.run = come_home;
    if (node_seat_of(v->home->node, v->shard) == v->home)
        come_home(&v->mail);
    else
        loop_post(&v->home->loop, &v->mail);
}

struct log_port *node_port_create(struct node *n, struct seat_inside *in)
{
    return log_port_create(n->log, wake_port, in);
}
