#include "state/placement.h"

#include <string.h>

#include "base/assert.h"

struct plan {
    const struct placement_node *nodes;
    size_t n;
    uint32_t replicas;
    struct placement *shards;
    uint16_t count;
    uint32_t load[MEMBERSHIP_NODES_MAX];  /* voters, by place in `nodes` */
    uint32_t leads[MEMBERSHIP_NODES_MAX]; /* likewise */
};

static size_t place_of(const struct plan *p, uint64_t id)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->nodes[i].id == id)
            return i;
    return p->n;
}

static void take(struct membership_list *list, uint64_t node)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < list->count; i++)
        if (list->ids[i] != node)
            list->ids[kept++] = list->ids[i];
    list->count = kept;
}

static void drop(struct plan *p, struct placement *s, uint64_t node)
{
    size_t at = place_of(p, node);
    take(&s->voters, node);
    if (at < p->n)
        p->load[at]--;
}

static void put(struct plan *p, struct placement *s, uint64_t node)
{
    membership_add(&s->voters, node);
    p->load[place_of(p, node)]++;
}

static bool same_zone(const struct placement_node *a, const struct placement_node *b)
{
    return a->zone[0] != '\0' && strcmp(a->zone, b->zone) == 0;
}

/* Voters of the shard in the node's zone, itself not counted, nor `but`. */
static uint32_t neighbours(const struct plan *p, const struct placement *s, size_t node, uint64_t but)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->voters.count; i++) {
        size_t at = place_of(p, s->voters.ids[i]);
        if (at < p->n && at != node && s->voters.ids[i] != but)
            count += same_zone(&p->nodes[at], &p->nodes[node]);
    }
    return count;
}

/* ---------------------------------------------------------------- how many */

static uint32_t staying(const struct plan *p)
{
    uint32_t count = 0;
    for (size_t i = 0; i < p->n; i++)
        count += !p->nodes[i].leaves;
    return count;
}

/* The node to be added: of the zone with the fewest, then with the fewest shards, then the first. */
static size_t best_to_add(const struct plan *p, const struct placement *s, uint64_t instead_of)
{
    size_t best = p->n;
    for (size_t i = 0; i < p->n; i++) {
        if (p->nodes[i].leaves || membership_has(&s->voters, p->nodes[i].id))
            continue;
        uint32_t with = neighbours(p, s, i, instead_of);
        uint32_t least = best < p->n ? neighbours(p, s, best, instead_of) : 0;
        if (best == p->n || with < least || (with == least && p->load[i] < p->load[best]))
            best = i;
    }
    return best;
}

static size_t worst(const struct plan *p, const struct placement *s)
{
    size_t found = p->n;
    for (uint32_t k = 0; k < s->voters.count; k++) {
        size_t i = place_of(p, s->voters.ids[k]);
        uint32_t with = neighbours(p, s, i, 0);
        uint32_t most = found < p->n ? neighbours(p, s, found, 0) : 0;
        if (found == p->n || with > most || (with == most && p->load[i] >= p->load[found]))
            found = i;
    }
    return found;
}

static void drop_leaving(struct plan *p, struct placement *s)
{
    struct membership_list were = s->voters;
    for (uint32_t i = 0; i < were.count; i++) {
        size_t at = place_of(p, were.ids[i]);
        if (at == p->n || p->nodes[at].leaves)
            drop(p, s, were.ids[i]);
    }
}

static void fill(struct plan *p, struct placement *s)
{
    uint32_t wanted = staying(p) < p->replicas ? staying(p) : p->replicas;
    drop_leaving(p, s);
    while (s->voters.count > wanted)
        drop(p, s, p->nodes[worst(p, s)].id);
    while (s->voters.count < wanted)
        put(p, s, p->nodes[best_to_add(p, s, 0)].id);
}

/* ---------------------------------------------------------------- where */

/* One voter of a zone that has several moves to a zone that has fewer. */
static bool spread_zones(struct plan *p, struct placement *s)
{
    size_t from = worst(p, s);
    uint32_t with = neighbours(p, s, from, 0);
    size_t to = best_to_add(p, s, p->nodes[from].id);
    if (with == 0 || to == p->n || neighbours(p, s, to, p->nodes[from].id) >= with)
        return false;
    drop(p, s, p->nodes[from].id);
    put(p, s, p->nodes[to].id);
    return true;
}

static bool spread(struct plan *p)
{
    for (uint16_t i = 0; i <= p->count; i++)
        if (spread_zones(p, &p->shards[i]))
            return true;
    return false;
}

static bool may_move(const struct plan *p, const struct placement *s, size_t from, size_t to)
{
    return membership_has(&s->voters, p->nodes[from].id) && !membership_has(&s->voters, p->nodes[to].id) &&
           neighbours(p, s, to, p->nodes[from].id) <= neighbours(p, s, from, 0);
}

/* One voter moves from a node with more to one with at least two fewer. */
static bool balance_pair(struct plan *p, size_t from, size_t to)
{
    if (p->nodes[from].leaves || p->nodes[to].leaves || p->load[from] < p->load[to] + 2)
        return false;
    for (uint16_t i = 0; i <= p->count; i++)
        if (may_move(p, &p->shards[i], from, to)) {
            drop(p, &p->shards[i], p->nodes[from].id);
            put(p, &p->shards[i], p->nodes[to].id);
            return true;
        }
    return false;
}

static bool balance(struct plan *p)
{
    for (size_t from = 0; from < p->n; from++)
        for (size_t to = 0; to < p->n; to++)
            if (balance_pair(p, from, to))
                return true;
    return false;
}

/* ---------------------------------------------------------------- the rest */

static void list_learners(struct plan *p, struct placement *s)
{
    s->learners.count = 0;
    for (size_t i = 0; i < p->n; i++)
        if (!membership_has(&s->voters, p->nodes[i].id))
            membership_add(&s->learners, p->nodes[i].id);
}

static void choose_lead(struct plan *p, struct placement *s)
{
    size_t best = place_of(p, s->pinned != 0 ? s->pinned : s->voters.ids[0]);
    for (uint32_t i = 0; i < s->voters.count && s->pinned == 0; i++) {
        size_t at = place_of(p, s->voters.ids[i]);
        if (p->leads[at] < p->leads[best])
            best = at;
    }
    s->lead = p->nodes[best].id;
    p->leads[best]++;
}

static struct plan plan_of(const struct placement_nodes *nodes, struct placement *shards, uint16_t count)
{
    return (struct plan){
        .nodes = nodes->all, .n = nodes->count, .replicas = nodes->replicas, .shards = shards, .count = count};
}

void placement_derive(const struct placement_nodes *nodes, struct placement *shards, uint16_t count)
{
    struct plan p = plan_of(nodes, shards, count);
    for (uint16_t i = 0; i <= count; i++) {
        list_learners(&p, &shards[i]);
        if (!membership_has(&shards[i].voters, shards[i].pinned))
            shards[i].pinned = 0;
    }
    for (uint16_t i = 0; i <= count; i++)
        if (shards[i].pinned != 0)
            choose_lead(&p, &shards[i]);
    for (uint16_t i = 0; i <= count; i++)
        if (shards[i].pinned == 0)
            choose_lead(&p, &shards[i]);
}

void placement_plan(const struct placement_nodes *nodes, struct placement *shards, uint16_t count)
{
    struct plan p = plan_of(nodes, shards, count);
    ASSERT(p.n <= MEMBERSHIP_NODES_MAX && p.replicas > 0 && staying(&p) > 0);
    for (uint16_t i = 0; i <= count; i++)
        for (uint32_t k = 0; k < shards[i].voters.count; k++) {
            size_t at = place_of(&p, shards[i].voters.ids[k]);
            if (at < p.n)
                p.load[at]++;
        }
    for (uint16_t i = 0; i <= count; i++)
        fill(&p, &shards[i]);
    /* It ends: the first lessens how many share a zone, the second does not add to that and evens out. */
    while (spread(&p) || balance(&p))
        ;
    placement_derive(nodes, shards, count);
}
