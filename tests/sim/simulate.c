/* Runs one or more nodes in virtual time under faults, one seed a run, and checks the broker's promises. A seed replays its run
 * exactly.
 *
 *   simulate --seeds 200                      seeds 1 to 200 of a single node
 *   simulate --nodes 3 --seeds 200            of a cluster of three
 *   simulate --nodes 3 --seed 42 --verbose    one of them, with the nodes' diagnostics */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "sim/sim_admin.h"
#include "sim/sim_clients.h"
#include "sim/sim_places.h"
#include "state/settings.h"
#include "store/store.h"

enum {
    DRAIN_SECONDS = 400,
    STEP_MAX_US = 2000,
    COMPARE_EVERY_US = 300000,
    SKEW_MAX_MS =
        25 *
        60000, /* when all are down and come back the clock is believed: an hour would be one, producers are forgotten */
};

/* What is asked for on the command line. */
struct plan {
    uint64_t nodes;
    uint64_t seconds;
};

struct run {
    struct sim_cluster cluster;
    struct sim_model model;
    struct sim_clients *clients;
    struct sim_admin *admin;
    struct sim_places places;
    struct random random;
    uint64_t now_us;
    uint64_t digest;
    /* what this seed's world is like */
    uint64_t crash_every_us, jump_every_us, full_every_us, part_every_us;
    uint64_t back_at_us[SIM_NODES_MAX], space_at_us[SIM_NODES_MAX];
    uint64_t gone_at_us[SIM_NODES_MAX]; /* of a node that was asked to stop */
    uint64_t heal_at_us;
    uint64_t crash_after_us; /* a crash is to come then, while a send is under way; 0: none */
};

static void draw_world(struct run *r)
{
    static const uint64_t crash_every_s[] = {0, 3, 8, 20};
    static const uint64_t latencies_us[] = {50, 300, 2000, 20000};
    r->crash_every_us = crash_every_s[random_below(&r->random, 4)] * 1000000;
    r->jump_every_us = random_below(&r->random, 2) * 5000000;
    r->full_every_us = random_below(&r->random, 3) == 0 ? 15000000 : 0;
    for (uint64_t i = 0; i < r->cluster.count; i++)
        r->cluster.nodes[i].disk_latency_us = latencies_us[random_below(&r->random, 4)];
}

static void draw_network(struct run *r)
{
    static const uint64_t part_every_s[] = {0, 4, 12};
    static const uint64_t delays_us[] = {200, 2000, 20000, 80000};
    static const uint64_t one_in[] = {0, 0, 200, 20};
    struct sim_net *n = &r->cluster.net;
    bool narrow = random_below(&r->random, 2) == 0; /* who was away finds that the log went on without it */
    for (uint64_t i = 0; i < r->cluster.count && narrow; i++)
        r->cluster.nodes[i].window_segments = 1;
    r->part_every_us = part_every_s[random_below(&r->random, 3)] * 1000000;
    n->delay_us = delays_us[random_below(&r->random, 4)];
    n->drop_one_in = one_in[random_below(&r->random, 4)];
    n->double_one_in = one_in[random_below(&r->random, 4)];
    n->late_one_in = one_in[random_below(&r->random, 4)];
}

static bool happens(struct run *r, uint64_t every_us, uint64_t step_us)
{
    return every_us > 0 && random_below(&r->random, every_us) < step_us;
}

static bool good(const struct run *r)
{
    return r->model.violation[0] == '\0' && r->cluster.problem[0] == '\0';
}

static struct sim_node *any_node(struct run *r, uint64_t *number)
{
    *number = random_below(&r->random, r->cluster.count);
    return &r->cluster.nodes[*number];
}

static void take_down(struct run *r, uint64_t i)
{
    r->gone_at_us[i] = 0;
    sim_node_crash(&r->cluster.nodes[i]);
    bool long_away = r->cluster.count > 1 && random_below(&r->random, 4) == 0; /* the log goes on without it */
    r->back_at_us[i] = r->now_us + random_below(&r->random, long_away ? 20000000 : 2000000);
}

/* Some are asked to stop first: they hand over, and are killed before they are done, or long after. */
static void crash(struct run *r)
{
    uint64_t i;
    struct sim_node *n = any_node(r, &i);
    if (!n->up || r->gone_at_us[i] != 0)
        return;
    if (random_below(&r->random, 2) == 0) {
        take_down(r, i);
        return;
    }
    sim_node_retire(n);
    r->gone_at_us[i] = r->now_us + 1 + random_below(&r->random, 4000000);
}

static void fill_disk(struct run *r)
{
    uint64_t i;
    struct sim_node *n = any_node(r, &i);
    if (random_below(&r->random, 2) == 0)
        sim_disk_capacity(n->disk, sim_disk_used(n->disk) + random_below(&r->random, 200000));
    else
        store_env_fill(n->store_env, true); /* the log may still have segments to write to */
    r->space_at_us[i] = r->now_us + random_below(&r->random, 5000000);
}

static void faults(struct run *r, uint64_t step_us)
{
    uint64_t i;
    if (happens(r, r->crash_every_us, step_us))
        r->crash_after_us = r->now_us + 1;
    bool waited = r->crash_after_us != 0 && r->now_us >= r->crash_after_us;
    bool sending = sim_clients_sending(r->clients);
    if (waited && (r->now_us > r->crash_after_us + 1000000 || (sending && random_below(&r->random, 8) == 0))) {
        r->crash_after_us = 0;
        crash(r);
    }
    if (happens(r, r->jump_every_us, step_us))
        any_node(r, &i)->wall_skew_ms = (int64_t)random_below(&r->random, 2 * SKEW_MAX_MS) - SKEW_MAX_MS;
    if (happens(r, r->full_every_us, step_us))
        fill_disk(r);
    if (happens(r, r->part_every_us, step_us)) {
        sim_net_part(&r->cluster.net, r->cluster.count);
        r->heal_at_us = r->now_us + random_below(&r->random, 6000000);
    }
}

/* What was out of order for a while is in order again. */
static void repairs(struct run *r, bool all)
{
    for (uint64_t i = 0; i < r->cluster.count; i++) {
        struct sim_node *n = &r->cluster.nodes[i];
        if (r->space_at_us[i] != 0 && (all || r->now_us >= r->space_at_us[i])) {
            sim_disk_capacity(n->disk, 0);
            store_env_fill(n->store_env, false);
            r->space_at_us[i] = 0;
        }
        if (r->gone_at_us[i] != 0 && n->up && (all || r->now_us >= r->gone_at_us[i]))
            take_down(r, i);
        if (!n->up && r->now_us >= r->back_at_us[i] && r->space_at_us[i] == 0)
            sim_node_start(n);
    }
    if (r->heal_at_us != 0 && (all || r->now_us >= r->heal_at_us)) {
        sim_net_heal(&r->cluster.net);
        r->heal_at_us = 0;
    }
}

static void step(struct run *r, bool calm)
{
    uint64_t us = 1 + random_below(&r->random, STEP_MAX_US), i;
    if (!calm)
        faults(r, us);
    repairs(r, calm);
    r->now_us += us;
    sim_cluster_step(&r->cluster, us);
    if (good(r))
        sim_clients_step(r->clients, calm);
    if (good(r))
        sim_admin_step(r->admin, calm);
    if (good(r))
        sim_places_step(&r->places, us, calm);
    if (r->cluster.count > 1 && good(r) && happens(r, COMPARE_EVERY_US, us))
        sim_cluster_compare(&r->cluster, any_node(r, &i));
    r->digest = (r->digest ^ r->model.deliveries ^ r->model.acked << 20 ^ r->cluster.net.sent << 40 ^ r->now_us) *
                UINT64_C(0x100000001b3);
}

static void calm_down(struct run *r)
{
    struct sim_net *n = &r->cluster.net;
    n->drop_one_in = n->double_one_in = n->late_one_in = 0;
    repairs(r, true);
}

static void check_at_rest(struct run *r)
{
    sim_check_drained(&r->model);
    for (uint64_t i = 0; i < r->cluster.count && good(r); i++) {
        struct sim_node *n = &r->cluster.nodes[i];
        sim_cluster_compare(&r->cluster, n);
        if (log_bytes(n->log) > 64 * UINT64_C(64) * 1024)
            sim_violate(&r->model, "the log of node %" PRIu64 " keeps %" PRIu64 " bytes although nothing is left",
                        n->id, log_bytes(n->log));
    }
}

/* Who waits for whom, when a run does not come to its end. */
static void tell_replicas(struct run *r)
{
    for (uint64_t i = 0; i < r->cluster.count; i++) {
        for (uint16_t shard = 0; r->cluster.nodes[i].up && shard <= SIM_SHARDS; shard++) {
            struct shard_status s;
            shard_status(r->cluster.nodes[i].shards[shard], &s);
            printf("# node %" PRIu64 " shard %u: %s of %" PRIu64 ", term %" PRIu64 ", commit %" PRIu64
                   ", applied %" PRIu64 ", serves %d\n",
                   i + 1, shard, s.role, s.leader, s.term, s.commit, s.applied,
                   shard_leads(r->cluster.nodes[i].shards[shard]));
        }
    }
}

static void drain(struct run *r)
{
    calm_down(r);
    uint64_t end_us = r->now_us + DRAIN_SECONDS * UINT64_C(1000000);
    while (good(r) && r->now_us < end_us &&
           !(sim_cluster_settled(&r->cluster) && sim_clients_done(r->clients) && sim_admin_idle(r->admin)))
        step(r, true);
    if (good(r) && r->now_us >= end_us)
        tell_replicas(r);
    if (good(r) && r->now_us >= end_us)
        sim_violate(&r->model, "the queues were not drained within %d seconds of calm", DRAIN_SECONDS);
    if (good(r))
        check_at_rest(r);
}

static void tell(const struct run *r)
{
    uint64_t crashes = 0, flushes = 0, rests = 0, snapshots = 0;
    for (uint64_t i = 0; i < r->cluster.count; i++) {
        crashes += r->cluster.nodes[i].crashes;
        flushes += r->cluster.nodes[i].flushes;
        rests += r->cluster.nodes[i].rests;
        snapshots += r->cluster.nodes[i].snapshots;
    }
    printf("# %zu messages, %" PRIu64 " stored, %" PRIu64 " acked, %" PRIu64 " dead-lettered, %" PRIu64
           " deliveries, %" PRIu64 " redriven, %" PRIu64 " merged, %" PRIu64 " purges, %" PRIu64 " deletions, %" PRIu64
           " resumes, %" PRIu64 " crashes, %" PRIu64 " flushes, %" PRIu64 " rests, %" PRIu64
           " leads began or ended, %" PRIu64 " frames (%" PRIu64 " lost), %" PRIu64 " states compared, %" PRIu64
           " snapshots installed, %" PRIu64 " placements changed\n",
           r->model.count, r->model.stored, r->model.acked, r->model.dead, r->model.deliveries, r->model.redriven,
           r->model.merged, r->model.purged, r->model.deleted, r->model.resumed, crashes, flushes, rests,
           sim_cluster_leads(&r->cluster), r->cluster.net.sent, r->cluster.net.dropped, r->cluster.compared, snapshots,
           r->places.changes);
}

static void stop(struct run *r)
{
    for (uint64_t i = 0; i < r->cluster.count; i++)
        if (r->cluster.nodes[i].up)
            sim_node_crash(&r->cluster.nodes[i]);
    if (good(r) && !(sim_clients_idle(r->clients) && sim_admin_idle(r->admin)))
        sim_violate(&r->model, "some client was never answered");
}

static void run(struct run *r, const struct plan *plan, uint64_t seed)
{
    for (uint64_t i = 0; i < plan->nodes; i++)
        sim_node_start(&r->cluster.nodes[i]);
    while (good(r) && r->now_us < plan->seconds * 1000000)
        step(r, false);
    if (good(r))
        drain(r);
    double ended = (double)r->now_us / 1e6;
    stop(r);
    if (!good(r))
        printf("# seed %" PRIu64 " at %.3f s: %s\n# replay: simulate --nodes %" PRIu64 " --seed %" PRIu64
               " --seconds %" PRIu64 " --verbose\n",
               seed, ended, r->model.violation[0] != '\0' ? r->model.violation : r->cluster.problem, plan->nodes, seed,
               plan->seconds);
}

static bool run_seed(const struct plan *plan, uint64_t seed, bool verbose, uint64_t *digest)
{
    struct run *r = memory_zero(1, sizeof *r);
    struct trace trace;
    random_open(&r->random, seed);
    sim_cluster_open(&r->cluster, plan->nodes, random_next(&r->random), verbose ? &trace : NULL);
    if (verbose) {
        struct trace_options o = {.level = TRACE_DEBUG, .clock = r->cluster.nodes[0].clock, .file = stderr};
        trace_open(&trace, &o);
    }
    r->model.queues = sim_queues;
    r->model.messages = memory_zero(SIM_MESSAGES_MAX, sizeof *r->model.messages);
    r->clients = sim_clients_create(&r->cluster, &r->model, random_next(&r->random));
    r->admin = sim_admin_create(&r->cluster, &r->model, random_next(&r->random));
    sim_places_open(&r->places, &r->cluster, random_next(&r->random));
    draw_world(r);
    if (plan->nodes > 1)
        draw_network(r);
    run(r, plan, seed);
    bool ok = good(r);
    if (verbose)
        tell(r);
    *digest = r->digest;
    sim_clients_destroy(r->clients);
    sim_admin_destroy(r->admin);
    sim_cluster_close(&r->cluster);
    memory_free(r->model.messages);
    if (verbose)
        trace_close(&trace);
    memory_free(r);
    return ok;
}

static uint64_t number(const char *flag, const char *text)
{
    char *end;
    unsigned long long v = text != NULL ? strtoull(text, &end, 10) : 0;
    if (text == NULL || *end != '\0') {
        fprintf(stderr, "simulate: %s takes a number\n", flag);
        exit(2);
    }
    return v;
}

int main(int argc, char **argv)
{
    struct plan plan = {.nodes = 1, .seconds = 60};
    uint64_t first = 1, count = 150;
    bool verbose = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seed") == 0) {
            first = number(argv[i], argv[i + 1]);
            count = 1;
            i++;
        } else if (strcmp(argv[i], "--seeds") == 0) {
            count = number(argv[i], argv[i + 1]);
            i++;
        } else if (strcmp(argv[i], "--from") == 0) {
            first = number(argv[i], argv[i + 1]);
            i++;
        } else if (strcmp(argv[i], "--seconds") == 0) {
            plan.seconds = number(argv[i], argv[i + 1]);
            i++;
        } else if (strcmp(argv[i], "--nodes") == 0) {
            plan.nodes = number(argv[i], argv[i + 1]);
            i++;
        } else if (strcmp(argv[i], "--verbose") == 0) {
            verbose = true;
        } else {
            fprintf(
                stderr,
                "usage: simulate [--nodes 1..%d] [--seeds N] [--from SEED] [--seed SEED] [--seconds N] [--verbose]\n",
                SIM_NODES_MAX);
            return strcmp(argv[i], "--help") == 0 ? 0 : 2;
        }
    }
    if (plan.nodes < 1 || plan.nodes > SIM_NODES_MAX) {
        fprintf(stderr, "simulate: --nodes takes 1 to %d\n", SIM_NODES_MAX);
        return 2;
    }
    if (count == 0) {
        fprintf(stderr, "simulate: --seeds takes 1 or more\n");
        return 2;
    }
    uint64_t failed = 0, at = 0, again = 0;
    for (uint64_t seed = first; seed < first + count; seed++) {
        bool ok = run_seed(&plan, seed, verbose, &at);
        if (ok && seed % 50 == 1) { /* the same seed gives the same run */
            ok = run_seed(&plan, seed, false, &again) && again == at;
            if (!ok)
                printf("# seed %" PRIu64 " ran differently the second time\n", seed);
        }
        printf("%s %" PRIu64 " - seed %" PRIu64 " of %" PRIu64 " nodes, %" PRIu64 " virtual seconds\n",
               ok ? "ok" : "not ok", seed - first + 1, seed, plan.nodes, plan.seconds);
        fflush(stdout);
        failed += !ok;
    }
    printf("1..%" PRIu64 "\n", count);
    return failed > 0;
}
