/* hato cluster: the nodes of a cluster, and who has which shard, put together from what each node says of itself. */
#include <stdio.h>
#include <string.h>

#include "base/human.h"
#include "cli/command.h"
#include "cli/table.h"
#include "cli/text.h"
#include "cli/view.h"
#include "cli/view_cluster.h"

struct cluster_values {
    bool check;
};

static const struct option cluster_options[] = {
    {"check", OPTION_FLAG, offsetof(struct cluster_values, check), NULL, "end with 1 unless it is healthy", NULL, 0, 0},
    {0},
};

enum health { HEALTHY, DEGRADED, UNAVAILABLE };
static const char *const health_names[] = {"healthy", "degraded", "unavailable"};

static const char *problem_at(const struct hato_cluster *c, uint32_t number, uint64_t node)
{
    for (size_t i = 0; i < c->node_count; i++) {
        const struct hato_shard *s = c->nodes[i].node == node ? cluster_shard(&c->nodes[i], number) : NULL;
        if (s != NULL)
            return s->problem;
    }
    return "";
}

static uint64_t behind(const struct hato_shard *led, const struct hato_replica *r)
{
    return led->commit > r->matched ? led->commit - r->matched : 0;
}

static bool replica_works(const struct hato_cluster *c, const struct hato_shard *led, const struct hato_replica *r)
{
    bool follows = strcmp(r->state, "leader") == 0 || strcmp(r->state, "replicating") == 0;
    return follows && problem_at(c, led->shard, r->node)[0] == '\0';
}

/* ---------------------------------------------------------------- health */

static enum health shard_health(const struct hato_cluster *c, const struct hato_shard *led)
{
    if (led == NULL)
        return UNAVAILABLE;
    for (size_t i = 0; i < led->replica_count; i++)
        if (!replica_works(c, led, &led->replicas[i]))
            return DEGRADED;
    return cluster_placed(c, led->shard) ? HEALTHY : DEGRADED;
}

static enum health health(const struct hato_cluster *c)
{
    enum health all = HEALTHY;
    for (uint32_t i = 0; i < cluster_shards(c); i++) {
        enum health one = shard_health(c, cluster_led(c, i));
        all = one > all ? one : all;
    }
    for (size_t i = 0; i < c->node_count && all == HEALTHY; i++)
        if (c->nodes[i].status == NULL || !c->nodes[i].status->accepts_sends)
            all = DEGRADED;
    return all;
}

static uint64_t leads(const struct hato_cluster *c, uint64_t node)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < cluster_shards(c); i++) {
        const struct hato_shard *s = cluster_led(c, i);
        count += s != NULL && s->leader == node;
    }
    return count;
}

/* Entries that its replicas lack, all together. */
static uint64_t lag(const struct hato_cluster *c, uint64_t node)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < cluster_shards(c); i++) {
        const struct hato_shard *s = cluster_led(c, i);
        for (size_t k = 0; s != NULL && k < s->replica_count; k++)
            sum += s->replicas[k].node == node ? behind(s, &s->replicas[k]) : 0;
    }
    return sum;
}

/* ---------------------------------------------------------------- JSON */

static void node_json(struct json *j, const struct hato_cluster *c, const struct hato_node *n)
{
    const struct hato_status *s = n->status;
    json_object(j, NULL);
    json_number(j, "node", n->node);
    json_bool(j, "answers", s != NULL);
    json_text(j, "peer_address", n->peer_address);
    json_text(j, "client_address", n->client_address);
    json_text(j, "zone", n->zone);
    json_bool(j, "drains", n->drains);
    json_number(j, "since", n->since);
    json_number(j, "leads", leads(c, n->node));
    json_number(j, "behind", lag(c, n->node));
    json_text(j, "problem", n->problem);
    if (s != NULL) {
        json_text(j, "version", s->version);
        json_number(j, "started_ms", s->started_ms);
        json_number(j, "connections", s->connections);
        json_number(j, "log_bytes", s->log_bytes);
        json_number(j, "store_bytes", s->store_bytes);
        json_number(j, "disk_free_bytes", s->disk_free_bytes);
        json_number(j, "memory_bytes", s->memory_bytes);
        json_bool(j, "accepts_sends", s->accepts_sends);
    }
    json_object_end(j);
}

static void shard_json(struct json *j, const struct hato_cluster *c, uint32_t number)
{
    const struct hato_shard *s = cluster_led(c, number);
    json_object(j, NULL);
    json_number(j, "shard", number);
    json_text(j, "health", health_names[shard_health(c, s)]);
    json_number(j, "leader", s != NULL ? s->leader : 0);
    json_number(j, "term", s != NULL ? s->term : 0);
    json_number(j, "commit", s != NULL ? s->commit : 0);
    json_bool(j, "placed", cluster_placed(c, number));
    json_list(j, "planned");
    for (size_t i = 0; number < c->plan_count && i < c->plans[number].voter_count; i++)
        json_number(j, NULL, c->plans[number].voters[i]);
    json_list_end(j);
    json_list(j, "replicas");
    for (size_t i = 0; s != NULL && i < s->replica_count; i++) {
        const struct hato_replica *r = &s->replicas[i];
        json_object(j, NULL);
        json_number(j, "node", r->node);
        json_bool(j, "voter", r->voter);
        json_text(j, "state", r->state);
        json_number(j, "matched", r->matched);
        json_number(j, "behind", behind(s, r));
        json_text(j, "problem", problem_at(c, number, r->node));
        json_object_end(j);
    }
    json_list_end(j);
    json_object_end(j);
}

static void print_json(const struct hato_cluster *c)
{
    struct json j = {0};
    json_object(&j, NULL);
    json_text(&j, "cluster", c->cluster);
    json_text(&j, "health", health_names[health(c)]);
    json_number(&j, "asked", c->node);
    json_number(&j, "version", c->version);
    json_list(&j, "nodes");
    for (size_t i = 0; i < c->node_count; i++)
        node_json(&j, c, &c->nodes[i]);
    json_list_end(&j);
    json_list(&j, "shards");
    for (uint32_t i = 0; i < cluster_shards(c); i++)
        shard_json(&j, c, i);
    json_list_end(&j);
    json_object_end(&j);
    json_print(&j);
    buffer_close(&j.out);
}

/* ---------------------------------------------------------------- for people */

static void print_nodes(const struct hato_cluster *c)
{
    struct table t;
    table_open(&t, ">NODE|CLIENTS|PEERS|ZONE|VERSION|>UP|>LEADS|>BEHIND|>FREE|PROBLEM");
    for (size_t i = 0; i < c->node_count; i++) {
        const struct hato_node *n = &c->nodes[i];
        const struct hato_status *s = n->status;
        char text[TEXT_MAX];
        table_cell(&t, "%llu", (unsigned long long)n->node);
        table_cell(&t, "%s", n->client_address[0] != '\0' ? n->client_address : "-");
        table_cell(&t, "%s", n->peer_address[0] != '\0' ? n->peer_address : "-");
        table_cell(&t, "%s", n->zone[0] != '\0' ? n->zone : "-");
        table_cell(&t, "%s", s != NULL ? s->version : "-");
        table_cell(&t, "%s", s != NULL ? text_age(s->started_ms, s->now_ms, text) : "-");
        table_cell(&t, "%s", text_count(leads(c, n->node), text));
        table_cell(&t, "%s", text_count(lag(c, n->node), text));
        table_cell(&t, "%s", s != NULL ? human_size_text(s->disk_free_bytes, text) : "-");
        const char *problem = s == NULL || s->accepts_sends ? n->problem : "disk full: sends refused";
        table_cell(&t, "%s", problem[0] == '\0' && n->drains ? "drained" : problem);
    }
    table_print(&t);
}

/* "1, 2 (silent, 12 behind), 3 (learner)" */
static void put_replicas(struct buffer *b, const struct hato_shard *s)
{
    for (size_t i = 0; i < s->replica_count; i++) {
        const struct hato_replica *r = &s->replicas[i];
        bool follows = strcmp(r->state, "leader") == 0 || strcmp(r->state, "replicating") == 0;
        const char *open = " (";
        buffer_printf(b, "%s%llu", i > 0 ? ", " : "", (unsigned long long)r->node);
        if (!r->voter) {
            buffer_printf(b, "%slearner", open);
            open = ", ";
        }
        if (!follows) {
            buffer_printf(b, "%s%s", open, r->state);
            open = ", ";
        }
        if (!follows && behind(s, r) > 0)
            buffer_printf(b, "%s%llu behind", open, (unsigned long long)behind(s, r));
        if (open[0] == ',')
            buffer_printf(b, ")");
    }
}

static void put_problems(struct buffer *b, const struct hato_cluster *c, uint32_t number)
{
    if (!cluster_placed(c, number)) {
        buffer_printf(b, "moves to");
        for (size_t i = 0; i < c->plans[number].voter_count; i++)
            buffer_printf(b, "%s%llu", i > 0 ? ", " : " ", (unsigned long long)c->plans[number].voters[i]);
    }
    for (size_t i = 0; i < c->node_count; i++) {
        const char *problem = problem_at(c, number, c->nodes[i].node);
        if (problem[0] != '\0')
            buffer_printf(b, "%snode %llu: %s", b->len > 0 ? "; " : "", (unsigned long long)c->nodes[i].node, problem);
    }
}

static void print_shards(const struct hato_cluster *c)
{
    struct table t;
    struct buffer b = {0};
    table_open(&t, ">SHARD|>LEADER|>TERM|>COMMIT|REPLICAS|PROBLEM");
    for (uint32_t i = 0; i < cluster_shards(c); i++) {
        const struct hato_shard *s = cluster_led(c, i);
        char text[TEXT_MAX];
        table_cell(&t, "%u", i);
        table_cell(&t, s != NULL ? "%llu" : "none", s != NULL ? (unsigned long long)s->leader : 0);
        table_cell(&t, s != NULL ? "%llu" : "-", s != NULL ? (unsigned long long)s->term : 0);
        table_cell(&t, "%s", s != NULL ? text_count(s->commit, text) : "-");
        buffer_clear(&b);
        if (s != NULL)
            put_replicas(&b, s);
        table_cell(&t, "%.*s", (int)b.len, b.len > 0 ? (const char *)b.data : "");
        buffer_clear(&b);
        put_problems(&b, c, i);
        table_cell(&t, "%.*s", (int)b.len, b.len > 0 ? (const char *)b.data : "");
    }
    buffer_close(&b);
    table_print(&t);
}

static enum exit_code cluster_status(struct run *r)
{
    enum exit_code code;
    const struct cluster_values *v = r->values;
    struct hato_reply *reply = command_wait(r, hato_cluster_status(r->client, NULL, NULL), &code);
    if (reply == NULL)
        return code;
    const struct hato_cluster *c = reply->cluster;
    enum health is = health(c);
    if (r->globals.json) {
        print_json(c);
    } else {
        printf("cluster %s: %zu node%s, %u shards, %s\n\n", c->cluster, c->node_count, c->node_count == 1 ? "" : "s",
               cluster_shards(c), health_names[is]);
        print_nodes(c);
        printf("\n");
        print_shards(c);
    }
    hato_reply_destroy(reply);
    return v->check && is != HEALTHY ? EXIT_REFUSED : code;
}

const struct command cluster_commands[] = {
    {"cluster status", "", "Shows the nodes of the cluster, and who leads and has which shard.",
     "Any node tells. A replica is behind by the entries that its leader does not know to be on its disk; shard 0 is "
     "the\n"
     "catalog. healthy: all nodes answer, every shard has a leader and all its replicas, where they are to be. "
     "degraded:\n"
     "all is served, but something is missing, or on its way. unavailable: a shard has no leader.",
     "hato cluster status --check && echo fine", 0, 0, cluster_options, sizeof(struct cluster_values), cluster_status},
    {0},
};
