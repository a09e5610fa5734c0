#include "sim/sim_places.h"

enum { HEAR_ONE_IN = 400, VOTERS_MAX = 3 };

static uint64_t any_node(struct sim_places *p)
{
    return 1 + random_below(&p->random, p->cluster->count);
}

static void draw(struct sim_places *p, struct placement *out)
{
    *out = (struct placement){.version = p->changes + 1};
    uint64_t voters = 1 + random_below(&p->random, VOTERS_MAX), learners = random_below(&p->random, 2);
    if (voters < VOTERS_MAX)
        voters += random_below(&p->random, 2);
    while (out->voters.count < voters && out->voters.count < p->cluster->count)
        membership_add(&out->voters, any_node(p));
    for (uint64_t i = 0; i < learners; i++) {
        uint64_t node = any_node(p);
        if (!membership_has(&out->voters, node))
            membership_add(&out->learners, node);
    }
    for (uint64_t id = 1; id <= p->cluster->count; id++)
        if (!membership_has(&out->voters, id) && !membership_has(&out->learners, id))
            membership_add(&out->others, id);
}

void sim_places_open(struct sim_places *p, struct sim_cluster *c, uint64_t seed)
{
    static const uint64_t change_every_s[] = {0, 3, 10};
    *p = (struct sim_places){.cluster = c};
    random_open(&p->random, seed);
    if (c->count > 1)
        p->change_every_us = change_every_s[random_below(&p->random, 3)] * 1000000;
    if (p->change_every_us == 0)
        return;
    for (int i = 0; i <= SIM_SHARDS; i++) {
        draw(p, &c->wanted[i]);
        for (uint64_t id = 1; id <= c->count; id++) {
            struct sim_node *n = sim_cluster_node(c, id);
            n->founders[i] = (struct membership){.voters = c->wanted[i].voters, .learners = c->wanted[i].learners};
            n->placements[i] = c->wanted[i];
        }
    }
}

static void change(struct sim_places *p)
{
    p->changes++;
    draw(p, &p->cluster->wanted[random_below(&p->random, SIM_SHARDS + 1)]);
}

static void hear(struct sim_places *p, struct sim_node *n)
{
    for (int i = 0; i <= SIM_SHARDS; i++)
        sim_node_place(n, (uint16_t)i, &p->cluster->wanted[i]);
}

void sim_places_step(struct sim_places *p, uint64_t us, bool calm)
{
    if (p->change_every_us == 0)
        return;
    if (!calm && random_below(&p->random, p->change_every_us) < us)
        change(p);
    for (uint64_t id = 1; id <= p->cluster->count; id++)
        if (random_below(&p->random, HEAR_ONE_IN) == 0)
            hear(p, sim_cluster_node(p->cluster, id));
}
