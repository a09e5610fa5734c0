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

/* ---------------------------------------------------------------- one at a time */

/* The latest that any node says of who leads the shard. */
static uint64_t placed_version(const Hato__ClusterStatusReply *c, uint32_t shard)
{
    uint64_t term = 0, version = 0;
    for (size_t i = 0; i < c->n_nodes; i++)
        for (size_t k = 0; c->nodes[i]->status != NULL && k < c->nodes[i]->status->n_shards; k++) {
            const Hato__ShardStatus *s = c->nodes[i]->status->shards[k];
            if (s->shard == shard && s->n_replicas > 0 && s->term >= term) {
                term = s->term;
                version = s->placed_version;
            }
        }
    return version;
}

/* Who is removed must have no vote, and who is added no share in any group from when there was another one under its id: so all
 * shards have to be where they were last told to be. */
static bool is_settled(struct op *op, const Hato__ClusterStatusReply *c)
{
    for (uint32_t i = 0; i < c->n_plans; i++)
        if (placed_version(c, i) < c->version) {
            op_fail(op, ERR_CONFLICT, "node",
                    "an earlier change is not done: shard %" PRIu32
                    " is not where it is to be yet; wait until hato cluster "
                    "status is healthy (a node that was added has to be started), or drain and remove what keeps it",
                    i);
            op_answer(op);
            return false;
        }
    return true;
}

static void add_settled(struct op *op, Hato__ClusterStatusReply *c)
{
    if (is_settled(op, c))
        begin(op, add_at);
}

void native_node_add(struct op *op)
{
    if (may_change(op) && is_address(op, op->request->node_add->peer_address))
        native_ask_cluster(op, add_settled);
}

static void remove_at(struct op *op, struct shard *s)
{
    Hato__Log__NodeRemove command = HATO__LOG__NODE_REMOVE__INIT;
    command.has_id = true;
    command.id = op->request->node_remove->node;
    native_submit(op, s, COMMAND_NODE_REMOVE, &command.base, on_changed);
}

static void remove_settled(struct op *op, Hato__ClusterStatusReply *c)
{
    if (is_settled(op, c))
        begin(op, remove_at);
}

void native_node_remove(struct op *op)
{
    if (may_change(op))
        native_ask_cluster(op, remove_settled);
}
