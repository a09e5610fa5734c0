/* hato cluster add, set, drain, undrain, remove, replace, transfer: changes of a cluster while it serves. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "cli/command.h"
#include "cli/json.h"
#include "cli/progress.h"
#include "cli/view_cluster.h"
#include "cli/watch.h"

struct node_values {
    const char *zone;
    const char *address;
    bool fewer;
    bool detach;
    bool yes;
};

#define NODE(field) offsetof(struct node_values, field)
#define ZONE_OPTION                                                                                                    \
    {                                                                                                                  \
        "zone", OPTION_TEXT, NODE(zone), "NAME", "replicas of a shard are spread over zones (none)", NULL, 0, 0        \
    }
#define DETACH_OPTION                                                                                                  \
    {                                                                                                                  \
        "detach", OPTION_FLAG, NODE(detach), NULL, "don't wait until it is done", NULL, 0, 0                           \
    }
#define FEWER_OPTION                                                                                                   \
    {                                                                                                                  \
        "fewer-replicas", OPTION_FLAG, NODE(fewer), NULL, "go on where shards then have fewer replicas", NULL, 0, 0    \
    }
#define YES_OPTION                                                                                                     \
    {                                                                                                                  \
        "yes", OPTION_FLAG, NODE(yes), NULL, "don't ask", NULL, 0, 0                                                   \
    }

static const struct option add_options[] = {ZONE_OPTION, {0}};
static const struct option set_options[] = {
    {"address", OPTION_TEXT, NODE(address), "HOST:PORT", "where it listens for the others now", NULL, 0, 0},
    ZONE_OPTION,
    {0},
};
static const struct option drain_options[] = {FEWER_OPTION, DETACH_OPTION, {0}};
static const struct option undrain_options[] = {DETACH_OPTION, {0}};
static const struct option remove_options[] = {FEWER_OPTION, YES_OPTION, {0}};
static const struct option replace_options[] = {ZONE_OPTION, YES_OPTION, {0}};

/* ---------------------------------------------------------------- arguments */

/* A whole number, and what follows it. */
static bool take_number(const char *text, uint64_t *out, const char **rest)
{
    char *end;
    *out = strtoull(text, &end, 10);
    *rest = end;
    return text[0] >= '0' && text[0] <= '9';
}

static enum exit_code node_argument(struct run *r, size_t at, uint64_t *node, const char **rest)
{
    const char *text = r->arguments.items[at];
    if (take_number(text, node, rest) && *node > 0 && *node <= UINT32_MAX)
        return EXIT_DONE;
    return command_usage(r, "", "'%.60s' is no node: its id is a number from 1 to %" PRIu32, text, UINT32_MAX);
}

static enum exit_code node_alone(struct run *r, uint64_t *node)
{
    const char *rest;
    enum exit_code code = node_argument(r, 0, node, &rest);
    if (code != EXIT_DONE || *rest == '\0')
        return code;
    return command_usage(r, "", "'%.60s' is no node's id", r->arguments.items[0]);
}

/* N=HOST:PORT */
static enum exit_code node_address(struct run *r, uint64_t *node, const char **address)
{
    const char *rest;
    enum exit_code code = node_argument(r, 0, node, &rest);
    if (code != EXIT_DONE || (*rest == '=' && rest[1] != '\0')) {
        *address = rest + 1;
        return code;
    }
    return command_usage(r, "", "'%.200s' is not of the form N=HOST:PORT", r->arguments.items[0]);
}

/* ---------------------------------------------------------------- asking and waiting */

static struct hato_reply *look(struct run *r, enum exit_code *code)
{
    return command_wait(r, hato_cluster_status(r->client, NULL, NULL), code);
}

/* 0: it was refused, and told. */
static uint64_t version_of(struct run *r, struct hato_call *call, enum exit_code *code)
{
    struct hato_reply *reply = command_wait(r, call, code);
    uint64_t version = reply != NULL ? reply->version : 0;
    hato_reply_destroy(reply);
    return version;
}

static uint64_t set_node(struct run *r, uint64_t node, const struct hato_node_change *change, enum exit_code *code)
{
    return version_of(r, hato_node_set(r->client, node, change, NULL, NULL), code);
}

static uint32_t placed(const struct hato_cluster *c)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < cluster_shards(c); i++)
        count += cluster_placed(c, i);
    return count;
}

static enum exit_code wait_until_placed(struct run *r, uint64_t version, struct watch *w)
{
    struct progress p = {0};
    enum exit_code code;
    for (bool done = false; !done;) {
        struct hato_reply *reply = look(r, &code);
        if (reply == NULL)
            break;
        const struct hato_cluster *c = reply->cluster;
        uint32_t there = c->version >= version ? placed(c) : 0;
        done = there == cluster_shards(c);
        if (!done && p.verb == NULL)
            progress_open(&p, "shards in place", cluster_shards(c));
        if (p.verb != NULL)
            progress_at(&p, there, there);
        hato_reply_destroy(reply);
        if (!done)
            watch_pause(w);
        if (w->stopped) {
            code = EXIT_STOPPED;
            break;
        }
    }
    progress_close(&p);
    if (code == EXIT_STOPPED)
        fprintf(stderr, "it goes on in the cluster; see how far it is with: hato cluster status\n");
    return code;
}

static enum exit_code wait_for(struct run *r, uint64_t version)
{
    struct watch w;
    watch_open(&w, hato_client_loop(r->client));
    enum exit_code code = wait_until_placed(r, version, &w);
    watch_close(&w);
    return code;
}

/* ---------------------------------------------------------------- what to do next */

static void put_start(struct buffer *b, const struct hato_cluster *c, uint64_t node)
{
    const struct hato_node *n = cluster_node(c, node);
    buffer_printf(b, "hatod --data DIR --node %" PRIu64 " --join %s/%" PRIu32 "/%" PRIu64 " --peers ", node, c->cluster,
                  cluster_shards(c) - 1, n != NULL ? n->since : 0);
    for (size_t i = 0; i < c->node_count; i++)
        buffer_printf(b, "%s%" PRIu64 "=%s", i > 0 ? "," : "", c->nodes[i].node, c->nodes[i].peer_address);
}

static enum exit_code tell_start(struct run *r, uint64_t node, uint64_t version)
{
    enum exit_code code;
    struct watch w;
    struct hato_reply *reply = NULL;
    watch_open(&w, hato_client_loop(r->client));
    for (bool known = false; !known && !w.stopped;) { /* the node that is asked may hear of it a little later */
        hato_reply_destroy(reply);
        reply = look(r, &code);
        known = reply == NULL || reply->cluster->version >= version;
        if (!known)
            watch_pause(&w);
    }
    watch_close(&w);
    if (reply == NULL)
        return code;
    struct buffer b = {0};
    put_start(&b, reply->cluster, node);
    if (r->globals.json) {
        struct json j = {0};
        json_object(&j, NULL);
        json_number(&j, "node", node);
        json_bytes(&j, "start", (const char *)b.data, b.len);
        json_object_end(&j);
        json_print(&j);
        buffer_close(&j.out);
    } else {
        printf("node %" PRIu64
               " is added. Start it on an empty directory (and with the certificates that the others have):"
               "\n\n  %.*s\n\nThen it gets its shards: hato cluster status tells how far that is.\n",
               node, (int)b.len, (const char *)b.data);
    }
    buffer_close(&b);
    hato_reply_destroy(reply);
    return code;
}

/* "node 3 is ..." */
static enum exit_code say(struct run *r, enum exit_code code, uint64_t node, const char *is)
{
    struct json j = {0};
    if (code != EXIT_DONE)
        return code;
    json_object(&j, NULL);
    json_number(&j, "node", node);
    json_object_end(&j);
    if (r->globals.json)
        json_print(&j);
    else
        printf("node %" PRIu64 " %s\n", node, is);
    buffer_close(&j.out);
    return code;
}

/* ---------------------------------------------------------------- the commands */

static enum exit_code add_node(struct run *r, uint64_t node, const char *address, const char *zone)
{
    enum exit_code code;
    uint64_t version =
        version_of(r, hato_node_add(r->client, node, address, zone != NULL ? zone : "", NULL, NULL), &code);
    return version > 0 ? tell_start(r, node, version) : code;
}

static enum exit_code cluster_add(struct run *r)
{
    const struct node_values *v = r->values;
    uint64_t node;
    const char *address = "";
    enum exit_code code = node_address(r, &node, &address);
    return code == EXIT_DONE ? add_node(r, node, address, v->zone) : code;
}

static enum exit_code cluster_set(struct run *r)
{
    const struct node_values *v = r->values;
    uint64_t node;
    enum exit_code code = node_alone(r, &node);
    if (code != EXIT_DONE)
        return code;
    if (v->zone == NULL && v->address == NULL)
        return command_usage(r, "", "say what to change: --zone or --address");
    const struct hato_node_change change = {.peer_address = v->address, .zone = v->zone};
    set_node(r, node, &change, &code);
    return say(r, code, node, "is changed");
}

static enum exit_code drain(struct run *r, uint64_t node, bool fewer, bool detach)
{
    enum exit_code code;
    const struct hato_node_change change = {.drain = HATO_NODE_DRAINS, .fewer_replicas = fewer};
    uint64_t version = set_node(r, node, &change, &code);
    return version > 0 && !detach ? wait_for(r, version) : code;
}

static enum exit_code cluster_drain(struct run *r)
{
    const struct node_values *v = r->values;
    uint64_t node;
    enum exit_code code = node_alone(r, &node);
    if (code == EXIT_DONE)
        code = drain(r, node, v->fewer, v->detach);
    return say(r, code, node, v->detach ? "is being drained" : "has no vote any more");
}

static enum exit_code cluster_undrain(struct run *r)
{
    const struct node_values *v = r->values;
    const struct hato_node_change change = {.drain = HATO_NODE_SERVES};
    uint64_t node;
    enum exit_code code = node_alone(r, &node);
    uint64_t version = code == EXIT_DONE ? set_node(r, node, &change, &code) : 0;
    if (version > 0 && !v->detach)
        code = wait_for(r, version);
    return say(r, code, node, "has shards again");
}

static enum exit_code remove_node(struct run *r, uint64_t node, bool fewer)
{
    enum exit_code code = drain(r, node, fewer, false);
    if (code != EXIT_DONE)
        return code;
    uint64_t version = version_of(r, hato_node_remove(r->client, node, NULL, NULL), &code);
    return version > 0 ? wait_for(r, version) : code; /* until nobody has it as a member any more */
}

static enum exit_code cluster_remove(struct run *r)
{
    const struct node_values *v = r->values;
    uint64_t node;
    enum exit_code code = node_alone(r, &node);
    if (code != EXIT_DONE)
        return code;
    if (!command_confirm(v->yes, "remove node %" PRIu64 " from the cluster?", node))
        return EXIT_STOPPED;
    return say(r, remove_node(r, node, v->fewer), node,
               "is removed: stop it; what it has on its disk is of no use any more");
}

static enum exit_code cluster_replace(struct run *r)
{
    const struct node_values *v = r->values;
    uint64_t node;
    const char *rest;
    enum exit_code code = node_argument(r, 0, &node, &rest);
    if (code == EXIT_DONE && *rest != '\0' && (*rest != '=' || rest[1] == '\0'))
        code = command_usage(r, "", "'%.200s' is not of the form N or N=HOST:PORT", r->arguments.items[0]);
    struct hato_reply *reply = code == EXIT_DONE ? look(r, &code) : NULL;
    if (reply == NULL)
        return code;
    const struct hato_node *n = cluster_node(reply->cluster, node);
    if (n == NULL)
        code = command_usage(r, "", "there is no node %" PRIu64 " (hato cluster status lists them)", node);
    else if (!command_confirm(v->yes, "replace node %" PRIu64 " by one that has nothing?", node))
        code = EXIT_STOPPED;
    else
        code = remove_node(r, node, true);
    if (code == EXIT_DONE)
        code = add_node(r, node, *rest == '=' ? rest + 1 : n->peer_address, v->zone != NULL ? v->zone : n->zone);
    hato_reply_destroy(reply);
    return code;
}

static enum exit_code cluster_transfer(struct run *r)
{
    uint64_t shard, node = 0;
    const char *rest;
    if (!take_number(r->arguments.items[0], &shard, &rest) || *rest != '\0' || shard > UINT16_MAX)
        return command_usage(r, "", "'%.60s' is no shard (hato cluster status lists them)", r->arguments.items[0]);
    if (strcmp(r->arguments.items[1], "any") != 0) {
        enum exit_code wrong = node_argument(r, 1, &node, &rest);
        if (wrong != EXIT_DONE || *rest != '\0')
            return wrong != EXIT_DONE ? wrong : command_usage(r, "", "'%.60s' is no node's id", r->arguments.items[1]);
    }
    enum exit_code code;
    version_of(r, hato_shard_lead(r->client, (uint32_t)shard, node, NULL, NULL), &code);
    if (node == 0 && code == EXIT_DONE && !r->globals.json) {
        printf("the node that spreads leads best is to lead it\n");
        return code;
    }
    return say(r, code, node, "is to lead it, once it has kept up for ten seconds");
}

const struct command node_commands[] = {
    {"cluster add", "N=HOST:PORT", "Adds a node to the cluster.",
     "HOST:PORT is where it will listen for the others. The answer is how to start it; it then gets the log of every\n"
     "shard, and a vote in as many as make the load even, while all is served.",
     "hato cluster add 4=10.0.0.4:9400 --zone west", 1, 1, add_options, sizeof(struct node_values), cluster_add},
    {"cluster set", "N", "Changes a node's zone or address.",
     "A node that is named in the --peers of another is looked for there, whatever is said here.",
     "hato cluster set 2 --zone east", 1, 1, set_options, sizeof(struct node_values), cluster_set},
    {"cluster drain", "N", "Takes votes and leads from a node.",
     "Others get them first. The node keeps what it has and goes on being told; after that it can be stopped without\n"
     "anybody missing it, or be removed.",
     "hato cluster drain 3", 1, 1, drain_options, sizeof(struct node_values), cluster_drain},
    {"cluster undrain", "N", "Gives a drained node shards again.", NULL, "hato cluster undrain 3", 1, 1,
     undrain_options, sizeof(struct node_values), cluster_undrain},
    {"cluster remove", "N", "Drains a node and removes it from the cluster.",
     "It may be gone already. Others do not speak with it any more; it may be added again, with an empty directory.",
     "hato cluster remove 3 --yes", 1, 1, remove_options, sizeof(struct node_values), cluster_remove},
    {"cluster replace", "N[=HOST:PORT]", "Replaces a node that lost its data by one that has nothing.",
     "Removes the node, whatever it had promised, and adds it again: the answer is how to start it. What the others\n"
     "have is all there is; it takes a majority of them.",
     "hato cluster replace 3", 1, 1, replace_options, sizeof(struct node_values), cluster_replace},
    {"cluster transfer", "SHARD N|any", "Says who is to lead a shard.",
     "It does wherever it can, until 'any' lets leads be spread evenly again.", "hato cluster transfer 2 3", 2, 2, NULL,
     0, cluster_transfer},
    {0},
};
