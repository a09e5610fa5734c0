/* A node: its loops, its shards spread over them, the log and the store that they share.
 *
 * Threads: node_open, node_run, node_close on the main thread. A `struct seat` is one loop with its shards; all that is said
 * of a seat happens on its thread. Shard n sits on loop n mod loops, for as long as the process lives. */
#ifndef HATO_CLUSTER_NODE_H
#define HATO_CLUSTER_NODE_H

#include "base/trace.h"
#include "cluster/birth.h"
#include "cluster/call.h"
#include "net/loop.h"
#include "net/tls.h"
#include "shard/shard.h"

struct node;
struct seat;

/* What the layers above want to know. Each may be NULL. Called on the seat's thread. */
struct node_hooks {
    void *ctx;
    int (*opened)(void *ctx, struct seat *seat,
                  struct error *e); /* before its shards open, on the main thread: bind here */
    void (*ready)(void *ctx,
                  struct seat *seat); /* of every shard it is known who leads, or that it has failed: serve */
    void (*stopping)(void *ctx, struct seat *seat); /* close what was opened; seat_let_go when done */
    void (*let_go)(void *ctx, struct seat *seat); /* all seats have: close what had to stay for visits of the others */
    /* Another node brings requests of a client of its own: take the connection over (stream_take_over), or leave it and it is closed. */
    void (*clients)(void *ctx, struct seat *seat, struct stream *from, struct bytes rest);
    void (*leading)(void *ctx, struct seat *seat, struct shard *s, bool leading);
    void (*queue_ready)(void *ctx, struct seat *seat, struct shard *s, uint64_t queue);
    void (*queue_changed)(void *ctx, struct seat *seat, struct shard *s, uint64_t queue);
    void (*function_changed)(void *ctx, struct seat *seat, struct shard *s, const char *name);
    /* Once, on seat 0: the store had no space and has to be opened anew. Close the node and open it again. */
    void (*begin_anew)(void *ctx);
};

struct node_options {
    const char *data;
    uint64_t node;   /* this node's id, from 1 */
    uint16_t shards; /* when the data directory is made; 0: 8, or what it has */
    unsigned loops;
    uint64_t segment_bytes; /* of the log; 0: default */
    uint64_t window_bytes;  /* of the log; 0: default */
    uint64_t disk_reserve;  /* bytes of free disk below which sends are refused */
    uint64_t cache_bytes;   /* of the store; 0: default */
    uint64_t catch_up_rate; /* bytes a second of snapshots that this node takes; 0: as fast as it goes */
    /* Where there are other nodes; all borrowed. */
    const char *cluster;       /* name that its founders give it; NULL: "hato" */
    const char *join;          /* CLUSTER/SHARDS/CHANGE: a new node joins; NULL or "": it does not */
    const char *peers;         /* N=HOST:PORT,... of all nodes; NULL or "": this node is by itself, or as it knows */
    const char *listen_peer;   /* HOST:PORT; NULL or "": it speaks with no other node */
    const char *clients;       /* where the others send clients that need this node; NULL or "": nowhere */
    struct tls_files peer_tls; /* all NULL: none */
    struct node_hooks hooks;
    struct trace *trace;
};

struct seat {
    struct loop loop;
    struct node *node;
    int number;
    void *above; /* the hooks' own */
    struct seat_inside *inside;
};

/* To be called once, after `stopping`, when all that the layers above had on this seat is closed. */
void seat_let_go(struct seat *seat);

int node_open(const struct node_options *options, struct node **out, struct error *e);

/* Runs until node_stop. Returns ERR_OK after an orderly stop, else why it could not go on. */
int node_run(struct node *n, struct error *e);
void node_stop(struct node *n); /* any thread, signal-safe enough for libuv's signal handles */
void node_fail(struct node *n,
               const struct error *e); /* any seat: as node_stop, and node_run returns the first such error */
void node_close(struct node *n);

const struct birth *node_birth(const struct node *n);
const struct node_options *node_options(const struct node *n);
unsigned node_seats(const struct node *n);
struct seat *node_seat(struct node *n, unsigned i);
struct seat *node_seat_of(struct node *n, uint16_t shard);
struct shard *node_shard(struct node *n, uint16_t shard); /* use on its seat's thread only */
uint64_t node_started_ms(const struct node *n);

enum { NODE_ADDRESS_MAX = 272 };
/* The node that leads the shard, as far as is known here; 0: not known. Any thread. */
uint64_t node_leader(const struct node *n, uint16_t shard);
bool node_has_peers(const struct node *n);
/* Calls another node on behalf of a client; on the seat's thread. False: there is no such node. */
bool node_call(struct seat *seat, struct call *c, uint64_t node, const struct call_ops *ops);
/* Where a node serves clients, as it said when it was met; "" when that is not known. Any thread. */
void node_clients_of(struct node *n, uint64_t node, char out[NODE_ADDRESS_MAX]);

/* A node of the cluster, this one included. */
struct node_member {
    uint64_t node;
    char peer[NODE_ADDRESS_MAX];    /* where it listens for others; "" of a node by itself */
    char clients[NODE_ADDRESS_MAX]; /* as node_clients_of */
    char zone[NODES_ZONE_MAX + 1];
    bool leaves;    /* it is to have no shards */
    uint64_t since; /* nodes.h */
};
/* In order of their ids; returns how many there are. Any thread. */
size_t node_members(struct node *n, struct node_member out[MEMBERSHIP_NODES_MAX]);
/* Who is to have the shard, as this node has heard; false: its founders. Any thread. */
bool node_placement(struct node *n, uint16_t shard, struct placement *out);
/* The entry that changed nodes or placements last, as this node has heard, and how many replicas are wanted; 0: nobody has. Any thread. */
uint64_t node_nodes_version(struct node *n, uint32_t *replicas);

/* A visit to another seat: `run` there, `done` back home. On the same seat both may run inside the call of node_visit or
 * visit_return. The owner keeps the memory until `done`. */
struct visit {
    struct mail mail;
    struct seat *home;
    uint16_t shard;
    void (*run)(struct visit *v, struct shard *s); /* ends, then or later, with visit_return */
    void (*done)(struct visit *v);
};
void node_visit(struct seat *from, uint16_t shard, struct visit *v);
void visit_return(struct visit *v);

struct node_space {
    uint64_t log_bytes, store_bytes, free_bytes;
    bool accepts_sends;
};
void node_space(const struct node *n, struct node_space *out); /* any thread; as of the last look, once a second */

#endif
