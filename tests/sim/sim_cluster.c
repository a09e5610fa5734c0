#include "sim/sim_cluster.h"

#include <inttypes.h>
#include <stdio.h>

static void deliver(void *ctx, const struct sim_frame *f)
{
    struct sim_cluster *c = ctx;
    sim_node_receive(sim_cluster_node(c, f->to), f);
}

void sim_cluster_open(struct sim_cluster *c, uint64_t count, uint64_t seed, struct trace *trace)
{
    *c = (struct sim_cluster){.count = count};
    struct random random;
    random_open(&random, seed);
    sim_net_open(&c->net, random_next(&random));
    c->net.deliver = deliver;
    c->net.ctx = c;
    for (uint64_t id = 1; id <= count; id++)
        sim_node_open(sim_cluster_node(c, id), id, count, &c->net, random_next(&random), trace);
}

void sim_cluster_close(struct sim_cluster *c)
{
    for (uint64_t id = 1; id <= c->count; id++)
        sim_node_close(sim_cluster_node(c, id));
    sim_net_close(&c->net);
}

struct sim_node *sim_cluster_node(struct sim_cluster *c, uint64_t id)
{
    return &c->nodes[id - 1];
}

void sim_cluster_step(struct sim_cluster *c, uint64_t us)
{
    sim_net_step(&c->net, us);
    for (uint64_t id = 1; id <= c->count; id++) {
        struct sim_node *n = sim_cluster_node(c, id);
        sim_node_step(n, us);
        if (n->problem[0] != '\0' && c->problem[0] == '\0')
            snprintf(c->problem, sizeof c->problem, "node %" PRIu64 ": %s", id, n->problem);
    }
}

uint64_t sim_cluster_leads(const struct sim_cluster *c)
{
    uint64_t n = 0;
    for (uint64_t i = 0; i < c->count; i++)
        n += c->nodes[i].leads;
    return n;
}

uint64_t sim_cluster_lost(const struct sim_cluster *c, unsigned shard)
{
    uint64_t lost = 0, leading = 0;
    for (uint64_t i = 0; i < c->count; i++) {
        lost += c->nodes[i].lost[shard];
        leading += c->nodes[i].leading[shard];
    }
    return leading > 1 ? lost + leading - 1 : lost;
}

static struct shard *leader_of(struct sim_cluster *c, uint16_t shard)
{
    struct shard *leader = NULL;
    for (uint64_t i = 0; i < c->count; i++)
        if (shard_leads(c->nodes[i].shards[shard])) {
            if (leader != NULL)
                return NULL;
            leader = c->nodes[i].shards[shard];
        }
    return leader;
}

static bool takes_part(const struct placement *p, uint64_t node)
{
    return p->voters.count == 0 || membership_has(&p->voters, node) || membership_has(&p->learners, node);
}

/* Who takes part has all there is, the others have nothing. */
static bool shard_settled(struct sim_cluster *c, uint16_t shard)
{
    const struct placement *wanted = &c->wanted[shard];
    struct shard *leader = leader_of(c, shard);
    struct shard_status first, s;
    if (leader == NULL || (wanted->voters.count > 0 && shard_placed(leader) != wanted->version))
        return false;
    shard_status(leader, &first);
    for (uint64_t i = 0; i < c->count; i++) {
        shard_status(c->nodes[i].shards[shard], &s);
        if (!takes_part(wanted, c->nodes[i].id)) {
            if (s.applied != 0 || s.commit != 0)
                return false;
        } else if (s.applied != first.applied || s.commit != s.applied || s.term != first.term) {
            return false;
        }
    }
    return true;
}

bool sim_cluster_settled(struct sim_cluster *c)
{
    for (uint64_t i = 0; i < c->count; i++)
        if (!c->nodes[i].up || c->nodes[i].problem[0] != '\0')
            return false;
    for (int shard = 0; shard <= SIM_SHARDS; shard++)
        if (!shard_settled(c, (uint16_t)shard))
            return false;
    return true;
}

static void compare(struct sim_cluster *c, struct sim_node *n, uint16_t shard)
{
    if (shard_machine(n->shards[shard]) == NULL)
        return;
    uint64_t applied = machine_applied(shard_machine(n->shards[shard]));
    struct sim_hash now = {.applied = applied, .node = n->id};
    if (!sim_node_records(n, shard, &now.records))
        return;
    struct sim_hash *known = &c->hashes[shard][applied % SIM_HASHES];
    if (known->applied != applied || known->node == 0) {
        *known = now;
        return;
    }
    c->compared += known->node != n->id;
    char letters[128] = "";
    size_t count = 0;
    for (int i = 1; i < 128; i++)
        if (known->records.hash[i] != now.records.hash[i])
            letters[count++] = (char)i;
    if (count > 0 && c->problem[0] == '\0')
        snprintf(c->problem, sizeof c->problem,
                 "after entry %" PRIu64 " of shard %u the state of node %" PRIu64 " differs from that of node %" PRIu64
                 " in records '%s'",
                 applied, shard, n->id, known->node, letters);
}

void sim_cluster_compare(struct sim_cluster *c, struct sim_node *n)
{
    for (uint16_t shard = 0; shard <= SIM_SHARDS && n->up && n->problem[0] == '\0'; shard++)
        compare(c, n, shard);
}
