/* The network between the simulated nodes: frames are delayed, and as the seed's world has it lost, doubled, overtaken, or cut
 * off in one or both directions. */
#ifndef HATO_TESTS_SIM_NET_H
#define HATO_TESTS_SIM_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/random.h"

enum { SIM_NODES_MAX = 5 };

struct sim_frame {
    struct sim_frame *next;
    uint64_t due_us;
    uint64_t from, to; /* node ids, from 1 */
    uint16_t shard;
    struct blob *bytes;
};

struct sim_net {
    struct random random;
    uint64_t now_us;
    uint64_t delay_us;                                /* up to this; beyond it one in `late_one_in` */
    uint64_t drop_one_in, double_one_in, late_one_in; /* 0: never */
    bool cut[SIM_NODES_MAX + 1][SIM_NODES_MAX + 1];   /* from, to */
    struct sim_frame *frames;                         /* in the order in which they arrive */
    uint64_t sent, dropped;
    void (*deliver)(void *ctx, const struct sim_frame *f); /* f->bytes is borrowed */
    void *ctx;
};

void sim_net_open(struct sim_net *n, uint64_t seed);
void sim_net_close(struct sim_net *n);

void sim_net_send(struct sim_net *n, uint64_t from, uint64_t to, uint16_t shard, struct blob *bytes); /* takes them */

/* Cuts some nodes off from the others at random, some of them in one direction only; heals everything. */
void sim_net_part(struct sim_net *n, uint64_t nodes);
void sim_net_heal(struct sim_net *n);

/* Time goes on; what is due arrives. */
void sim_net_step(struct sim_net *n, uint64_t us);

#endif
