/* A node in virtual time: the real log, consensus, state machine, store and shard runtime over a simulated disk, driven step
 * by step from one seed. */
#ifndef HATO_TESTS_SIM_NODE_H
#define HATO_TESTS_SIM_NODE_H

#include "shard/shard.h"
#include "sim/sim_disk.h"
#include "sim/sim_net.h"

enum { SIM_SHARDS = 2 };

struct sim_work {
    struct sim_work *next;
    struct work *work;
    uint64_t due_us;
};

struct sim_task {
    struct sim_task *next;
    struct task *task;
    uint16_t shard;
    uint64_t due_us;
};

struct sim_node {
    uint64_t id;
    struct membership founders[SIM_SHARDS + 1];  /* of each group */
    struct placement placements[SIM_SHARDS + 1]; /* as this node has heard; no voters: nobody says */
    struct sim_net *net;
    struct random random;
    struct pace catch_up;
    uint64_t now_us;      /* monotonic, since the beginning of the run */
    int64_t wall_skew_ms; /* of the wall clock: jumps */
    struct clock clock;
    struct sim_disk *disk;
    struct store_env *store_env;
    struct shard_env env;
    struct log *log;
    struct log_port *port;
    struct store *store;
    struct shard *shards[SIM_SHARDS + 1];
    bool turn_asked[SIM_SHARDS + 1];
    struct sim_work *works;
    struct sim_task *tasks;
    uint64_t tick_us, upkeep_us, flush_us;
    uint64_t log_ready_us; /* the disk is busy until then */
    uint64_t disk_latency_us;
    uint64_t window_segments; /* of the log */
    uint64_t crashes, flushes;
    uint64_t rests;                            /* of its shards, for want of space in the store */
    uint64_t snapshots, marks[SIM_SHARDS + 1]; /* installed; the last one's index, by shard */
    uint64_t leads;                            /* how often one of its shards began or ended to lead */
    bool leading[SIM_SHARDS + 1];
    uint64_t lost[SIM_SHARDS +
                  1]; /* leads that ended, with the node or before it: what a leader had in hand is lost with it */
    bool up;
    char problem[ERROR_MESSAGE_MAX + 64]; /* a shard stopped, or the node did not start: "" while all is well */
    struct trace *trace;
};

void sim_node_open(struct sim_node *n, uint64_t id, uint64_t founders, struct sim_net *net, uint64_t seed,
                   struct trace *trace);
void sim_node_close(struct sim_node *n);

/* Power on: opens everything. False and n->problem when it refuses. */
bool sim_node_start(struct sim_node *n);
/* Power off: unsynced bytes are lost, torn or kept; what the store has not flushed is gone. */
void sim_node_crash(struct sim_node *n);
void sim_node_retire(struct sim_node *n); /* asks its shards to stop in order; it is up until it crashes */

void sim_node_place(struct sim_node *n, uint16_t shard, const struct placement *p);

/* One step of virtual time: what is due happens. */
void sim_node_step(struct sim_node *n, uint64_t us);
void sim_node_receive(struct sim_node *n, const struct sim_frame *f);

/* Of all that the shard has in the store, entries applied up to now included: a hash for each letter of keys. False while the store
 * has no space for them. */
struct sim_records {
    uint64_t hash[128];
};
bool sim_node_records(struct sim_node *n, uint16_t shard, struct sim_records *out);

#endif
