/* ClusterStatus: what each node says of itself. One of a connection is under way until all have answered or are late, which they are once. */
#include "protocol/native_status.h"
#include "protocol/native_survey.h"

struct clustering {
    struct stating own; /* first: op->extra is this as well */
    struct survey survey;
    Hato__ClusterStatusReply body;
    void (*asked)(struct op *op, Hato__ClusterStatusReply *body);
};

_Static_assert((int)MEMBERSHIP_NODES_MAX <= (int)SURVEY_NODES_MAX, "all nodes can be asked");

static void on_answer(struct survey *s, unsigned node, const Hato__Reply *reply, const struct error *why)
{
    struct clustering *x = CONTAINER_OF(s, struct clustering, survey);
    if (reply != NULL && reply->op_case == HATO__REPLY__OP_STATUS)
        x->body.nodes[node]->status = reply->status;
    else
        x->body.nodes[node]->problem =
            (char *)(uintptr_t)op_text(s->op, reply != NULL ? "it does not know what is asked" : why->message);
}

static void on_done(struct survey *s)
{
    struct clustering *x = CONTAINER_OF(s, struct clustering, survey);
    x->asked(s->op, &x->body);
}

static Hato__NodeStatus *add_node(struct op *op, Hato__ClusterStatusReply *body, const struct node_member *member)
{
    Hato__NodeStatus *n = arena_alloc(&op->arena, sizeof *n);
    hato__node_status__init(n);
    n->node = member->node;
    n->peer_address = (char *)(uintptr_t)op_text(op, member->peer);
    n->client_address = (char *)(uintptr_t)op_text(op, member->clients);
    n->zone = (char *)(uintptr_t)op_text(op, member->zone);
    n->drains = member->leaves;
    n->since = member->since;
    body->nodes[body->n_nodes++] = n;
    return n;
}

static void add_plans(struct op *op, struct node *n, Hato__ClusterStatusReply *body)
{
    uint16_t shards = node_birth(n)->shards;
    struct placement p;
    body->plans = arena_alloc(&op->arena, (shards + 1u) * sizeof *body->plans);
    body->version = node_nodes_version(n, &body->replicas);
    for (uint16_t i = 0; i <= shards && node_placement(n, i, &p); i++) {
        Hato__ShardPlan *plan = arena_alloc(&op->arena, sizeof *plan);
        hato__shard_plan__init(plan);
        plan->n_voters = p.voters.count;
        plan->voters = arena_copy(&op->arena, p.voters.ids, p.voters.count * sizeof p.voters.ids[0]);
        plan->lead = p.lead;
        body->plans[body->n_plans++] = plan;
    }
}

static void ask_others(struct op *op)
{
    struct clustering *x = op->extra;
    struct node *n = op->session->ns->native->node;
    struct node_member members[MEMBERSHIP_NODES_MAX];
    size_t count = node_members(n, members);
    Hato__Request request = HATO__REQUEST__INIT;
    Hato__Status status = HATO__STATUS__INIT;
    request.op_case = HATO__REQUEST__OP_STATUS;
    request.status = &status;
    hato__cluster_status_reply__init(&x->body);
    x->body.cluster = (char *)(uintptr_t)op_text(op, node_birth(n)->cluster);
    x->body.node = node_birth(n)->node;
    x->body.nodes = arena_alloc(&op->arena, count * sizeof *x->body.nodes);
    add_plans(op, n, &x->body);
    survey_open(&x->survey, op);
    x->survey.answered = on_answer;
    x->survey.done = on_done;
    for (unsigned i = 0; i < count; i++) {
        Hato__NodeStatus *node = add_node(op, &x->body, &members[i]);
        if (node->node == x->body.node)
            node->status = &x->own.body;
        else
            survey_ask(&x->survey, node->node, i, &request);
    }
    survey_close(&x->survey);
}

void native_ask_cluster(struct op *op, void (*asked)(struct op *op, Hato__ClusterStatusReply *body))
{
    struct clustering *x = op_extra(op, sizeof *x);
    x->asked = asked;
    status_begin(op, &x->own, ask_others);
}

static void tell(struct op *op, Hato__ClusterStatusReply *body)
{
    Hato__Reply reply = HATO__REPLY__INIT;
    reply.op_case = HATO__REPLY__OP_CLUSTER;
    reply.cluster = body;
    op_reply(op, &reply);
    op_answer(op);
}

void native_cluster_status(struct op *op)
{
    native_ask_cluster(op, tell);
}
