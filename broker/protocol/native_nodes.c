/* Changes of the nodes, and of who leads what. The catalog (shard 0) keeps them; what follows from them the shards' leaders bring about. */
#include <inttypes.h>

#include "net/resolve.h"
#include "proto/command.pb-c.h"
#include "protocol/native_route.h"

static void on_changed(struct command *c, const struct reply *reply)
{
    struct op *op = CONTAINER_OF(c, struct op, command);
    struct nodes_view v;
    if (reply->code != ERR_OK) {
        op_refused(op, reply);
    } else {
        Hato__ClusterChanged changed = HATO__CLUSTER_CHANGED__INIT;
        Hato__Reply out = HATO__REPLY__INIT;
        changed.version = machine_nodes(shard_machine(op->shard), &v) ? v.version : 0;
        out.op_case = HATO__REPLY__OP_CLUSTER_CHANGED;
        out.cluster_changed = &changed;
        op_reply(op, &out);
    }
    op_return(op);
}

/* A node by itself has no address that others could have for it. */
static bool may_change(struct op *op)
{
    if (node_has_peers(op->session->ns->native->node))
        return true;
    op_fail(op, ERR_CONFLICT, "listen-peer",
            "this node speaks with no other: start it with --listen-peer HOST:PORT, where others reach it");
    op_answer(op);
    return false;
}

static bool is_address(struct op *op, const char *address)
{
    char host[RESOLVE_HOST_MAX + 1];
    uint16_t port;
    struct error e = {0};
    if (resolve_split(address, host, &port, &e) == ERR_OK)
        return true;
    op_fail(op, ERR_INVALID, "peer_address", "%s", e.message);
    op_answer(op);
    return false;
}

static void begin(struct op *op, void (*at)(struct op *op, struct shard *s))
{
    op->at = at;
    op_visit(op, 0);
}

/* ---------------------------------------------------------------- adding and changing */

static void add_at(struct op *op, struct shard *s)
{
    const Hato__NodeAdd *from = op->request->node_add;
    Hato__Log__Node node = HATO__LOG__NODE__INIT;
    Hato__Log__NodeAdd command = HATO__LOG__NODE_ADD__INIT;
    node.has_id = true;
    node.id = from->node;
    node.address = from->peer_address;
    node.zone = from->zone;
    command.node = &node;
    native_submit(op, s, COMMAND_NODE_ADD, &command.base, on_changed);
}

void native_node_add(struct op *op)
{
    if (may_change(op) && is_address(op, op->request->node_add->peer_address))
        begin(op, add_at);
}

static void set_at(struct op *op, struct shard *s)
{
    const Hato__NodeSet *from = op->request->node_set;
    Hato__Log__NodeSet command = HATO__LOG__NODE_SET__INIT;
    command.has_id = command.has_fewer = true;
    command.id = from->node;
    command.fewer = from->fewer_replicas;
    command.address = from->peer_address;
    command.zone = from->zone;
    command.has_leaves = from->has_drain;
    command.leaves = from->drain;
    native_submit(op, s, COMMAND_NODE_SET, &command.base, on_changed);
}

void native_node_set(struct op *op)
{
    const char *address = op->request->node_set->peer_address;
    if (may_change(op) && (address == NULL || is_address(op, address)))
        begin(op, set_at);
}

static void lead_at(struct op *op, struct shard *s)
{
    const Hato__ShardLead *from = op->request->shard_lead;
    Hato__Log__ShardLead command = HATO__LOG__SHARD_LEAD__INIT;
    command.has_shard = command.has_node = true;
    command.shard = from->shard;
    command.node = from->node;
    native_submit(op, s, COMMAND_SHARD_LEAD, &command.base, on_changed);
}

void native_shard_lead(struct op *op)
{
    if (may_change(op))
        begin(op, lead_at);
}

/* ---------------------------------------------------------------- removing: not while a shard counts on it */

struct removing {
    uint16_t shard;
};

static void remove_at(struct op *op, struct shard *s)
{
    Hato__Log__NodeRemove command = HATO__LOG__NODE_REMOVE__INIT;
    command.has_id = true;
    command.id = op->request->node_remove->node;
    native_submit(op, s, COMMAND_NODE_REMOVE, &command.base, on_changed);
}

/* As this node's replica knows, which may be late: then it is asked again. */
static void look_at(struct op *op, struct shard *s)
{
    uint64_t node = op->request->node_remove->node;
    if (shard_counts_on(s, node))
        op_fail(op, ERR_CONFLICT, "node",
                "node %" PRIu64
                " has a vote in shard %u: drain it first, and wait until that is done (hato cluster drain)",
                node, shard_number(s));
    op_return(op);
}

static void look_home(struct op *op)
{
    struct removing *x = op->extra;
    bool more = x->shard <= node_birth(op->session->ns->native->node)->shards;
    op->at = more ? look_at : remove_at;
    op->home = more ? look_home : NULL;
    long_visit(op, more ? x->shard++ : 0);
}

void native_node_remove(struct op *op)
{
    op_extra(op, sizeof(struct removing));
    if (may_change(op))
        look_home(op);
}
