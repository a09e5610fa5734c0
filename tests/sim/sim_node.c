#include "sim/sim_node.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "store/store.h"

enum { LOG_SEGMENT = 64 * 1024 };

#define WALL_START_MS UINT64_C(1700000000000)

/* ---------------------------------------------------------------- the environment */

static uint64_t now_ms(void *ctx)
{
    struct sim_node *n = ctx;
    return (uint64_t)((int64_t)(WALL_START_MS + n->now_us / 1000) + n->wall_skew_ms);
}

static uint64_t monotonic_ns(void *ctx)
{
    return ((struct sim_node *)ctx)->now_us * 1000;
}

static void ask_turn(void *ctx, struct shard *s)
{
    struct sim_node *n = ctx;
    n->turn_asked[shard_number(s)] = true;
}

static uint64_t soon(struct sim_node *n)
{
    return n->now_us + random_below(&n->random, 4000);
}

static void work(void *ctx, struct work *w)
{
    struct sim_node *n = ctx;
    struct sim_work *x = memory_zero(1, sizeof *x);
    x->work = w;
    x->due_us = soon(n);
    struct sim_work **at = &n->works;
    while (*at != NULL)
        at = &(*at)->next;
    *at = x;
}

static void post(void *ctx, uint16_t number, struct task *t)
{
    struct sim_node *n = ctx;
    struct sim_task *x = memory_zero(1, sizeof *x);
    x->task = t;
    x->shard = number;
    x->due_us = soon(n);
    struct sim_task **at = &n->tasks;
    while (*at != NULL)
        at = &(*at)->next;
    *at = x;
}

static void leading(void *ctx, struct shard *s, bool leads)
{
    struct sim_node *n = ctx;
    uint16_t number = shard_number(s);
    n->leads++;
    n->lost[number] += n->leading[number] && !leads;
    n->leading[number] = leads;
}

static void on_queue(void *ctx, struct shard *s, uint64_t queue)
{
    (void)ctx, (void)s, (void)queue;
}

static void on_function(void *ctx, struct shard *s, const char *name)
{
    (void)ctx, (void)s, (void)name;
}

static void on_nodes(void *ctx, struct shard *s)
{
    (void)ctx, (void)s; /* sim_places.h says who has which shard */
}

static void stopped(void *ctx, struct shard *s)
{
    struct sim_node *n = ctx;
    struct shard_status status;
    shard_status(s, &status);
    if (strcmp(status.role, "resting") == 0) {
        n->rests++;
        return;
    }
    snprintf(n->problem, sizeof n->problem, "shard %u stopped: %s", shard_number(s), shard_problem(s));
}

static void send_frame(void *ctx, struct shard *s, uint64_t node, uint16_t to, struct bytes head,
                       const struct shard_part *parts, size_t count)
{
    (void)s;
    struct sim_node *n = ctx;
    struct buffer frame = {0};
    buffer_put(&frame, head.data, head.len);
    for (size_t i = 0; i < count; i++)
        buffer_put(&frame, parts[i].data.data, parts[i].data.len);
    sim_net_send(n->net, n->id, node, to, blob_adopt(&frame));
}

static uint64_t leader(void *ctx, uint16_t number)
{
    struct sim_node *n = ctx;
    struct shard_status status;
    shard_status(n->shards[number], &status);
    return status.leader;
}

static void wake(void *ctx)
{
    (void)ctx; /* the port is drained at every step */
}

/* ---------------------------------------------------------------- life */

void sim_node_open(struct sim_node *n, uint64_t id, uint64_t founders, struct sim_net *net, uint64_t seed,
                   struct trace *trace)
{
    *n = (struct sim_node){.id = id, .net = net, .trace = trace, .disk_latency_us = 200, .window_segments = 8};
    for (int i = 0; i <= SIM_SHARDS; i++)
        for (uint64_t k = 1; k <= founders; k++)
            membership_add(&n->founders[i].voters, k);
    static const uint64_t rates[] = {0, 16 * 1024 * 1024, 256 * 1024};
    random_open(&n->random, seed);
    n->catch_up.bytes_per_second = rates[random_below(&n->random, 3)];
    n->clock = (struct clock){.now_ms = now_ms, .monotonic_ns = monotonic_ns, .context = n};
    n->disk = sim_disk_create(0);
    n->store_env = store_env_create();
    n->env = (struct shard_env){
        .ctx = n,
        .clock = n->clock,
        .ask_turn = ask_turn,
        .work = work,
        .leading = leading,
        .queue_ready = on_queue,
        .queue_changed = on_queue,
        .function_changed = on_function,
        .nodes_changed = on_nodes,
        .post = post,
        .send = send_frame,
        .leader = leader,
        .stopped = stopped,
    };
}

void sim_node_close(struct sim_node *n)
{
    if (n->up)
        sim_node_crash(n);
    sim_disk_destroy(n->disk);
    store_env_destroy(n->store_env);
}

/* Of the voters one by number, so that leads are spread. */
static void tell(struct sim_node *n, uint16_t shard)
{
    const struct placement *p = &n->placements[shard];
    const struct membership_list *voters = p->voters.count > 0 ? &p->voters : &n->founders[shard].voters;
    shard_place(n->shards[shard], p);
    shard_prefer(n->shards[shard], voters->ids[shard % voters->count]);
}

void sim_node_place(struct sim_node *n, uint16_t shard, const struct placement *p)
{
    n->placements[shard] = *p;
    if (n->up && n->shards[shard] != NULL)
        tell(n, shard);
}

static int open_all(struct sim_node *n, struct error *e)
{
    struct disk *disk = sim_disk_table(n->disk);
    disk->make_dir(disk, "/data", e);
    struct log_options log = {.disk = disk,
                              .dir = "/data/log",
                              .seed = random_next(&n->random),
                              .segment_bytes = LOG_SEGMENT,
                              .window_bytes = n->window_segments * LOG_SEGMENT,
                              .compress = true};
    int rc = log_open(&log, &n->log, e);
    if (rc != ERR_OK)
        return rc;
    n->port = log_port_create(n->log, wake, n);
    /* Never full: RocksDB's own flushes are not over at the same point of each run. */
    struct store_options store = {
        .dir = "/store", .in_memory = true, .env = n->store_env, .cache_bytes = 1 << 20, .memtable_bytes = 16 << 20};
    rc = store_open(&store, &n->store, e);
    for (uint16_t i = 0; rc == ERR_OK && i <= SIM_SHARDS; i++) {
        struct shard_options o = {.number = i,
                                  .shards = SIM_SHARDS,
                                  .node = n->id,
                                  .log = n->log,
                                  .port = n->port,
                                  .store = n->store,
                                  .env = &n->env,
                                  .founders = n->founders[i],
                                  .seed = random_next(&n->random),
                                  .spill_file_bytes = 32 * 1024,
                                  .cache_bytes = 32 * 1024,
                                  .catch_up = &n->catch_up,
                                  .trace = n->trace};
        if (!membership_includes(&o.founders, n->id))
            o.founders = (struct membership){0};
        rc = shard_open(&o, &n->shards[i], e);
        if (rc == ERR_OK)
            tell(n, i);
    }
    return rc;
}

bool sim_node_start(struct sim_node *n)
{
    struct error e = {0};
    ASSERT(!n->up);
    n->up = true;
    n->log_ready_us = n->now_us;
    if (open_all(n, &e) == ERR_OK)
        return true;
    snprintf(n->problem, sizeof n->problem, "the node did not start: %s", e.message);
    return false;
}

/* Work and tasks under way die with the process; here they are run to their end so that their memory is given back, on shards
 * that answer nobody any more. */
static void drop_works(struct sim_node *n)
{
    while (n->works != NULL || n->tasks != NULL) {
        struct sim_work *w = n->works;
        if (w != NULL) {
            n->works = w->next;
            w->work->run(w->work);
            w->work->done(w->work);
            memory_free(w);
        }
        struct sim_task *t = n->tasks;
        if (t != NULL) {
            n->tasks = t->next;
            t->task->run(t->task, NULL);
            memory_free(t);
        }
    }
}

void sim_node_retire(struct sim_node *n)
{
    ASSERT(n->up);
    for (int i = 0; i <= SIM_SHARDS; i++)
        if (n->shards[i] != NULL)
            shard_retire(n->shards[i]);
}

void sim_node_crash(struct sim_node *n)
{
    ASSERT(n->up);
    n->up = false;
    n->crashes++;
    for (int i = 0; i <= SIM_SHARDS; i++)
        if (n->shards[i] != NULL)
            shard_abandon_begin(n->shards[i]);
    drop_works(n);
    for (int i = 0; i <= SIM_SHARDS; i++) {
        if (n->shards[i] != NULL)
            shard_abandon_end(n->shards[i]);
        n->shards[i] = NULL;
        n->turn_asked[i] = false;
        n->lost[i] += n->leading[i];
        n->leading[i] = false;
    }
    if (n->log != NULL)
        log_abandon(n->log);
    n->log = NULL;
    store_close(n->store);
    n->store = NULL;
    sim_disk_crash(n->disk, random_next(&n->random));
}

/* ---------------------------------------------------------------- time */

static void run_works(struct sim_node *n)
{
    struct sim_work **at = &n->works;
    while (*at != NULL) {
        struct sim_work *w = *at;
        if (w->due_us > n->now_us) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        w->work->run(w->work);
        w->work->done(w->work);
        memory_free(w);
        at = &n->works;
    }
}

/* Tasks between two shards keep their order: the first due goes first. */
static void run_tasks(struct sim_node *n)
{
    while (n->tasks != NULL && n->tasks->due_us <= n->now_us) {
        struct sim_task *t = n->tasks;
        n->tasks = t->next;
        t->task->run(t->task, n->shards[t->shard]);
        memory_free(t);
    }
}

static void flush(struct sim_node *n)
{
    uint64_t marks[SIM_SHARDS + 1];
    struct error e = {0};
    for (int i = 0; i <= SIM_SHARDS; i++)
        marks[i] = shard_flush_mark(n->shards[i]);
    int rc = store_flush(n->store, STORE_STATE, &e);
    if (rc == ERR_STORAGE_FULL)
        return;
    if (rc != ERR_OK) {
        snprintf(n->problem, sizeof n->problem, "flush: %s", e.message);
        return;
    }
    n->flushes++;
    for (int i = 0; i <= SIM_SHARDS; i++)
        shard_flushed(n->shards[i], marks[i]);
}

static bool wants_flush(const struct sim_node *n)
{
    for (int i = 0; i <= SIM_SHARDS; i++)
        if (shard_wants_flush(n->shards[i]))
            return true;
    return false;
}

static void count_snapshots(struct sim_node *n)
{
    for (int i = 0; i <= SIM_SHARDS; i++) {
        uint64_t mark = log_snapshot(log_group(n->log, (uint32_t)i, n->port)).index;
        n->snapshots += n->marks[i] != 0 && mark != n->marks[i];
        n->marks[i] = mark;
    }
}

static void run_timers(struct sim_node *n)
{
    if (n->now_us - n->tick_us >= SHARD_TICK_MS * 1000) {
        n->tick_us = n->now_us;
        count_snapshots(n);
        for (int i = 0; i <= SIM_SHARDS; i++) {
            shard_accept_sends(n->shards[i], log_has_room(n->log));
            shard_tick(n->shards[i]);
        }
    }
    if (n->now_us - n->upkeep_us >= 1000000) {
        n->upkeep_us = n->now_us;
        log_check_space(n->log);
        for (int i = 0; i <= SIM_SHARDS; i++)
            shard_upkeep(n->shards[i]);
        if (wants_flush(n) || random_below(&n->random, 8) == 0)
            flush(n);
    }
    for (int i = 0; i <= SIM_SHARDS; i++)
        if (shard_due_in_ms(n->shards[i]) == 0)
            shard_due(n->shards[i]);
}

void sim_node_step(struct sim_node *n, uint64_t us)
{
    n->now_us += us;
    if (!n->up || n->problem[0] != '\0')
        return;
    run_works(n);
    run_tasks(n);
    run_timers(n);
    if (n->now_us >= n->log_ready_us && log_step(n->log))
        n->log_ready_us = n->now_us + random_below(&n->random, 2 * n->disk_latency_us);
    if (random_below(&n->random, 4) != 0) /* else a crash may come between what is durable and what is known to be */
        log_port_drain(n->port);
    for (int i = 0; i <= SIM_SHARDS; i++) {
        if (!n->turn_asked[i])
            continue;
        n->turn_asked[i] = false;
        shard_turn(n->shards[i]);
    }
}

void sim_node_receive(struct sim_node *n, const struct sim_frame *f)
{
    if (n->up && n->problem[0] == '\0' && f->shard <= SIM_SHARDS)
        shard_receive(n->shards[f->shard], f->from, f->bytes);
}

bool sim_node_records(struct sim_node *n, uint16_t shard, struct sim_records *out)
{
    struct error e = {0};
    *out = (struct sim_records){0};
    int rc = machine_write(shard_machine(n->shards[shard]), &e);
    if (rc != ERR_OK && rc != ERR_STORAGE_FULL)
        snprintf(n->problem, sizeof n->problem, "writing to the store: %s", e.message);
    if (rc != ERR_OK)
        return false;
    uint8_t from[2] = {(uint8_t)(shard >> 8), (uint8_t)shard};
    uint8_t to[2] = {(uint8_t)((shard + 1) >> 8), (uint8_t)(shard + 1)};
    struct store_iterator *i =
        store_iterate(n->store, STORE_STATE, bytes_of(from, sizeof from), bytes_of(to, sizeof to), NULL);
    for (; store_iterator_valid(i); store_iterator_next(i)) {
        uint64_t *hash = &out->hash[store_iterator_key(i).data[sizeof from] & 127];
        *hash = bytes_hash(store_iterator_value(i), bytes_hash(store_iterator_key(i), *hash));
    }
    store_iterator_close(i);
    return true;
}
