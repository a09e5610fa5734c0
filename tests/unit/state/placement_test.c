#include "state/placement.h"

#include <string.h>

#include "base/random.h"
#include "state/keyspace.h"

enum { SHARDS = 8 };

struct world {
    struct placement_node nodes[MEMBERSHIP_NODES_MAX];
    size_t n;
    uint32_t replicas;
    struct placement shards[SHARDS + 1];
};

static void world_open(struct world *w, size_t n, const char *const *zones)
{
    *w = (struct world){.n = n, .replicas = PLACEMENT_REPLICAS};
    for (size_t i = 0; i < n; i++)
        w->nodes[i] = (struct placement_node){.id = i + 1, .zone = zones != NULL ? zones[i] : ""};
}

static void plan(struct world *w)
{
    const struct placement_nodes nodes = {.all = w->nodes, .count = w->n, .replicas = w->replicas};
    placement_plan(&nodes, w->shards, SHARDS);
}

static uint32_t load_of(const struct world *w, uint64_t node)
{
    uint32_t load = 0;
    for (int i = 0; i <= SHARDS; i++)
        load += membership_has(&w->shards[i].voters, node);
    return load;
}

static size_t staying(const struct world *w)
{
    size_t count = 0;
    for (size_t i = 0; i < w->n; i++)
        count += !w->nodes[i].leaves;
    return count;
}

static const struct placement_node *node_of(const struct world *w, uint64_t id)
{
    for (size_t i = 0; i < w->n; i++)
        if (w->nodes[i].id == id)
            return &w->nodes[i];
    return NULL;
}

/* What always holds. */
static void check(struct world *w)
{
    uint32_t wanted = staying(w) < w->replicas ? (uint32_t)staying(w) : w->replicas;
    for (int i = 0; i <= SHARDS; i++) {
        const struct placement *s = &w->shards[i];
        ck_assert_uint_eq(s->voters.count, wanted);
        ck_assert_uint_eq(s->voters.count + s->learners.count, w->n);
        ck_assert(membership_has(&s->voters, s->lead));
        for (uint32_t k = 0; k < s->voters.count; k++)
            ck_assert(!node_of(w, s->voters.ids[k])->leaves);
    }
    struct world again = *w;
    plan(&again);
    ck_assert_mem_eq(&again, w, sizeof again);
}

static void check_even(const struct world *w)
{
    uint32_t least = UINT32_MAX, most = 0;
    for (size_t i = 0; i < w->n; i++) {
        if (w->nodes[i].leaves)
            continue;
        uint32_t load = load_of(w, w->nodes[i].id);
        least = load < least ? load : least;
        most = load > most ? load : most;
    }
    ck_assert_uint_le(most - least, 1);
}

START_TEST(three_nodes_have_all_and_lead_in_turns)
{
    struct world w;
    world_open(&w, 3, NULL);
    plan(&w);
    check(&w);
    for (int i = 0; i <= SHARDS; i++)
        ck_assert_uint_eq(w.shards[i].lead, (uint64_t)i % 3 + 1);
}
END_TEST

START_TEST(of_more_nodes_each_has_about_as_many)
{
    struct world w;
    world_open(&w, 5, NULL);
    for (int i = 0; i <= SHARDS; i++)
        for (uint64_t id = 1; id <= 5; id++)
            membership_add(&w.shards[i].voters, id);
    plan(&w);
    check(&w);
    check_even(&w);
    ck_assert_uint_eq(w.shards[0].learners.count, 2);
}
END_TEST

START_TEST(there_are_as_many_replicas_as_are_wanted)
{
    struct world w;
    world_open(&w, 6, NULL);
    w.replicas = 5;
    plan(&w);
    check(&w);
    check_even(&w);
    w.replicas = 3;
    plan(&w);
    check(&w);
    check_even(&w);
}
END_TEST

START_TEST(one_node_grows_into_three)
{
    struct world w;
    world_open(&w, 1, NULL);
    plan(&w);
    check(&w);
    for (uint64_t id = 2; id <= 3; id++) {
        w.nodes[w.n++] = (struct placement_node){.id = id, .zone = ""};
        plan(&w);
        check(&w);
    }
    ck_assert_uint_eq(load_of(&w, 3), SHARDS + 1);
}
END_TEST

START_TEST(only_what_the_leaving_node_had_moves)
{
    struct world w;
    world_open(&w, 4, NULL);
    plan(&w);
    struct world before = w;
    w.nodes[1].leaves = true;
    plan(&w);
    check(&w);
    ck_assert_uint_eq(load_of(&w, 2), 0);
    for (int i = 0; i <= SHARDS; i++)
        for (uint32_t k = 0; k < 3; k++)
            ck_assert(before.shards[i].voters.ids[k] == 2 ||
                      membership_has(&w.shards[i].voters, before.shards[i].voters.ids[k]));
    ck_assert(membership_has(&w.shards[0].learners, 2));
}
END_TEST

START_TEST(each_zone_has_a_replica)
{
    static const char *const zones[] = {"a", "a", "a", "b", "b", "c"};
    struct world w;
    world_open(&w, 6, zones);
    plan(&w);
    check(&w);
    for (int i = 0; i <= SHARDS; i++) {
        int seen[3] = {0};
        for (uint32_t k = 0; k < 3; k++)
            seen[zones[w.shards[i].voters.ids[k] - 1][0] - 'a']++;
        ck_assert(seen[0] == 1 && seen[1] == 1 && seen[2] == 1);
    }
    ck_assert_uint_eq(load_of(&w, 1) + load_of(&w, 2) + load_of(&w, 3), SHARDS + 1);
    ck_assert_uint_le(load_of(&w, 1), 4);
    w.nodes[0].zone = "d"; /* a label that changes */
    plan(&w);
    check(&w);
}
END_TEST

START_TEST(who_was_asked_to_lead_does_so_while_it_has_a_vote)
{
    struct world w;
    world_open(&w, 4, NULL);
    plan(&w);
    uint64_t node =
        w.shards[3].lead != w.shards[3].voters.ids[2] ? w.shards[3].voters.ids[2] : w.shards[3].voters.ids[1];
    w.shards[3].pinned = node;
    plan(&w);
    check(&w);
    ck_assert_uint_eq(w.shards[3].lead, node);
    w.nodes[node - 1].leaves = true;
    plan(&w);
    check(&w);
    ck_assert_uint_eq(w.shards[3].pinned, 0);
    ck_assert_uint_ne(w.shards[3].lead, node);
}
END_TEST

static void change_something(struct world *w, struct random *r)
{
    static const char *const names[] = {"", "a", "b", "c"};
    size_t i = (size_t)random_below(r, w->n);
    uint64_t what = random_below(r, 4);
    if (what == 0 && w->n < MEMBERSHIP_NODES_MAX) {
        w->nodes[w->n] = (struct placement_node){.id = w->nodes[w->n - 1].id + 1, .zone = names[random_below(r, 4)]};
        w->n++;
    } else if (what == 1) {
        w->nodes[i].zone = names[random_below(r, 4)];
    } else if (what == 2 && (w->nodes[i].leaves || staying(w) > 1)) {
        w->nodes[i].leaves = !w->nodes[i].leaves;
    } else if (what == 3 && w->nodes[i].leaves) {
        memmove(&w->nodes[i], &w->nodes[i + 1], (w->n - i - 1) * sizeof w->nodes[0]);
        w->n--;
    }
}

START_TEST(whatever_changes_each_shard_has_its_replicas)
{
    struct random r;
    struct world w;
    random_open(&r, (uint64_t)_i);
    world_open(&w, 1 + (size_t)random_below(&r, 5), NULL);
    for (int i = 0; i < 200; i++) {
        plan(&w);
        check(&w);
        bool zones = false;
        for (size_t k = 0; k < w.n; k++)
            zones = zones || w.nodes[k].zone[0] != '\0';
        if (!zones)
            check_even(&w);
        change_something(&w, &r);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("placement");
    TCase *t = tcase_create("placement");
    tcase_set_timeout(t, 0);
    tcase_add_test(t, three_nodes_have_all_and_lead_in_turns);
    tcase_add_test(t, of_more_nodes_each_has_about_as_many);
    tcase_add_test(t, there_are_as_many_replicas_as_are_wanted);
    tcase_add_test(t, one_node_grows_into_three);
    tcase_add_test(t, only_what_the_leaving_node_had_moves);
    tcase_add_test(t, each_zone_has_a_replica);
    tcase_add_test(t, who_was_asked_to_lead_does_so_while_it_has_a_vote);
    tcase_add_loop_test(t, whatever_changes_each_shard_has_its_replicas, 0, 50);
    suite_add_tcase(s, t);
    return keyspace_main(s);
}
