/* What the files of cluster/ share. Nobody else includes this. */
#ifndef HATO_CLUSTER_INTERNAL_H
#define HATO_CLUSTER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "cluster/mesh.h"
#include "cluster/node.h"
#include "log/log.h"
#include "store/store.h"

/* One shard on its seat. */
struct place {
    struct turn turn;
    struct seat *seat;
    struct shard *shard;
    bool known;      /* it led here, or another node was known to lead it, or it failed, once */
    uint64_t leader; /* as last told */
};

/* How a seat stops. Until the last seat rests, a visit, a task or a flush may still come from another one, so no shard and no
 * loop goes before:
 *
 *   running -> handing over -> letting go -> (all have let go) tiring -> resting -> (all rest) closing -> closed
 *
 * The connections to other nodes end with the tiring: until then what clients wait for can still be committed. */
enum seat_step { SEAT_RUNS, SEAT_HANDS_OVER, SEAT_LETS_GO, SEAT_TIRES, SEAT_RESTS, SEAT_CLOSES, SEAT_CLOSED };

struct seat_inside {
    struct shard_env env;
    struct log_port *port;
    uv_async_t log_wake;
    uv_timer_t tick;
    uv_timer_t due;
    struct turn due_turn;
    struct place *places; /* of this seat's shards */
    size_t place_count;
    struct mesh mesh; /* where the node has peers */
    bool mesh_closed; /* or never opened */
    enum seat_step step;
    uint64_t upkeep_ms; /* loop time of the last one */
    uv_timer_cb on_due;
    struct mail ready;
    struct mail stop;
    struct mail rest;
    struct mail close;
    struct mail placed;
    atomic_bool placing; /* that mail is on its way */
    atomic_bool stop_asked;
};

struct node_label {
    uint64_t node;
    char zone[NODES_ZONE_MAX + 1];
    bool leaves;
    uint64_t since;
};

/* As the catalog of this node says; `known` false: nobody has changed anything yet, or it has none yet. */
struct node_map {
    pthread_mutex_t mutex;
    bool known;
    uint64_t version;
    uint32_t replicas;
    struct node_label nodes[MEMBERSHIP_NODES_MAX];
    size_t count;
    struct placement shards[SHARDS_MAX + 1];
};

struct node {
    struct node_options options;
    struct birth birth;
    struct clock clock;
    uint64_t started_ms;
    struct disk *disk;
    struct log *log;
    struct store *store;
    struct shard *shards[SHARDS_MAX + 1]; /* each used on its seat's thread */
    struct roster *roster;
    struct tls_context *tls; /* of the connections to other nodes, or NULL */
    struct mesh_ops mesh_ops;
    struct pace catch_up;
    bool has_mesh; /* it speaks with other nodes, where there are any */
    struct node_map map;
    struct command founding; /* seat 0's, as what follows */
    bool founds;
    atomic_uint_least64_t leaders[SHARDS_MAX + 1]; /* node ids, 0: not known */
    struct seat *seats;
    unsigned seat_count;
    atomic_bool accepts_sends;
    atomic_uint_least64_t free_bytes;
    atomic_uint_least64_t store_bytes;
    bool flushing;       /* seat 0's */
    unsigned looks;      /* seat 0's: at the space on disk */
    bool anew;           /* seat 0's: the layers above were told to begin anew */
    atomic_uint known;   /* shards whose leader was known, or that failed, once */
    atomic_uint let_go;  /* seats whose upper layers have closed */
    atomic_uint resting; /* seats with nothing under way */
    atomic_flag failing; /* taken by the first who fails */
    bool ran;
    bool failed;
    struct error failure;
};

enum { SHARDS_DEFAULT = 8, UPKEEP_MS = 1000 };
#define CLUSTER_DEFAULT "hato"

uint64_t node_random(void);
struct log_port *node_port_create(struct node *n, struct seat_inside *in);

/* seat.c */
int seats_open(struct node *n, struct error *e);
int seats_run(struct node *n, struct error *e);
void seats_close(struct node *n);
void seat_stop(struct seat *seat);

/* exchange.c */
int exchange_prepare(struct node *n, struct error *e); /* once `n->birth` is known */
void exchange_end(struct node *n);
int exchange_open(struct seat *seat, struct error *e);
int exchange_start(struct seat *seat, struct error *e);
void exchange_close(struct seat *seat);
void exchange_send(void *ctx, struct shard *s, uint64_t node, uint16_t shard, struct bytes head,
                   const struct shard_part *parts, size_t count);
uint64_t exchange_leader(void *ctx, uint16_t number);

/* placing.c */
int placing_start(struct node *n, struct error *e); /* all shards are open, no thread runs */
void placing_changed(struct node *n);               /* on seat 0 */
void placing_found(struct node *n);                 /* likewise */
void placing_tell(struct seat *seat);
void placing_label(struct node *n, struct node_member *m);

/* flush.c: on seat 0 */
void flush_if_wanted(struct node *n);

/* space.c: on seat 0 */
void node_look_at_space(struct node *n);

#endif
