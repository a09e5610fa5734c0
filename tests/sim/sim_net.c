#include "sim/sim_net.h"

#include <string.h>

#include "base/memory.h"

enum { LATE_US = 3000000 };

void sim_net_open(struct sim_net *n, uint64_t seed)
{
    *n = (struct sim_net){.delay_us = 500};
    random_open(&n->random, seed);
}

static void frame_free(struct sim_frame *f)
{
    blob_unref(f->bytes);
    memory_free(f);
}

void sim_net_close(struct sim_net *n)
{
    while (n->frames != NULL) {
        struct sim_frame *f = n->frames;
        n->frames = f->next;
        frame_free(f);
    }
}

static bool happens(struct sim_net *n, uint64_t one_in)
{
    return one_in > 0 && random_below(&n->random, one_in) == 0;
}

static void put(struct sim_net *n, const struct sim_frame *from)
{
    struct sim_frame *f = memory_zero(1, sizeof *f);
    *f = *from;
    f->bytes = blob_ref(from->bytes);
    f->due_us = n->now_us + 1 + random_below(&n->random, happens(n, n->late_one_in) ? LATE_US : n->delay_us);
    struct sim_frame **at = &n->frames;
    while (*at != NULL && (*at)->due_us <= f->due_us)
        at = &(*at)->next;
    f->next = *at;
    *at = f;
}

void sim_net_send(struct sim_net *n, uint64_t from, uint64_t to, uint16_t shard, struct blob *bytes)
{
    struct sim_frame f = {.from = from, .to = to, .shard = shard, .bytes = bytes};
    n->sent++;
    if (n->cut[from][to] || happens(n, n->drop_one_in)) {
        n->dropped++;
    } else {
        put(n, &f);
        if (happens(n, n->double_one_in))
            put(n, &f);
    }
    blob_unref(bytes);
}

void sim_net_part(struct sim_net *n, uint64_t nodes)
{
    bool there[SIM_NODES_MAX + 1];
    for (uint64_t i = 1; i <= nodes; i++)
        there[i] = random_below(&n->random, 2) == 0;
    bool hears = random_below(&n->random, 3) == 0;
    bool speaks = !hears && random_below(&n->random, 3) == 0;
    for (uint64_t i = 1; i <= nodes; i++)
        for (uint64_t k = 1; k <= nodes; k++)
            n->cut[i][k] = (there[i] && !there[k] && !speaks) || (!there[i] && there[k] && !hears);
}

void sim_net_heal(struct sim_net *n)
{
    memset(n->cut, 0, sizeof n->cut);
}

void sim_net_step(struct sim_net *n, uint64_t us)
{
    n->now_us += us;
    while (n->frames != NULL && n->frames->due_us <= n->now_us) {
        struct sim_frame *f = n->frames;
        n->frames = f->next;
        if (!n->cut[f->from][f->to])
            n->deliver(n->ctx, f);
        frame_free(f);
    }
}
