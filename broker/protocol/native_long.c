/* Requests that go over all queues, or over much of one (lists, status, functions with their queues, peeks): one shard's part of one
 * takes milliseconds where there are 100,000 queues, and a connection may ask for thousands at once. So that others are served
 * meanwhile
 *
 *   a connection has one such request under way; those behind it wait for their turn, in order, until it has read what it was
 *   sent, as if they had not been read themselves; and it is not read where they are more than a few
 *   a seat looks at one shard for one of them in each turn of its loop
 *
 * and a connection costs the others one such look a turn at most, whatever it asks. */
#include "base/assert.h"
#include "protocol/native_session.h"

bool long_is(uint32_t number)
{
    switch (number) {
    case HATO__REQUEST__OP_STATUS:
    case HATO__REQUEST__OP_CLUSTER_STATUS:
    case HATO__REQUEST__OP_PEEK:
    case HATO__REQUEST__OP_QUEUE_LIST:
    case HATO__REQUEST__OP_FUNCTION_CREATE:
    case HATO__REQUEST__OP_FUNCTION_SET:
    case HATO__REQUEST__OP_FUNCTION_DELETE:
    case HATO__REQUEST__OP_NODE_ADD:
    case HATO__REQUEST__OP_NODE_REMOVE:
    case HATO__REQUEST__OP_FUNCTION_SHOW:
    case HATO__REQUEST__OP_FUNCTION_LIST:
        return true;
    default:
        return false;
    }
}

/* ---------------------------------------------------------------- at home: one of a connection */

static void abandon(struct op *op)
{
    list_remove(&op->session->long_waits, &op->long_link);
    op->session->long_waiting--;
    op_fail(op, ERR_CLOSED, "", "the connection was closed");
    op_answer(op);
}

bool long_begin(struct op *op)
{
    struct session *s = op->session;
    if (s->long_op == NULL && list_empty(&s->long_waits)) {
        s->long_op = op;
        return true;
    }
    list_append(&s->long_waits, &op->long_link);
    s->long_waiting++;
    op_wait(op, abandon);
    return false;
}

static void begin_next(struct session *s)
{
    struct op *op = CONTAINER_OF(list_first(&s->long_waits), struct op, long_link);
    list_remove(&s->long_waits, &op->long_link);
    s->long_waiting--;
    list_remove(&s->ops, &op->link);
    op->abandon = NULL;
    s->long_op = op;
    if (unsent_check(s, op->request->op_case, &op->error) == ERR_OK)
        native_begin(op);
    else
        op_answer(op);
}

void long_go_on(struct session *s)
{
    if (s->long_starting) /* by the one below: it goes on with the next */
        return;
    s->long_starting = true;
    while (!s->gone && s->long_op == NULL && !list_empty(&s->long_waits) && !s->stream.paused_by_backlog)
        begin_next(s);
    s->long_starting = false;
}

void long_ended(struct op *op)
{
    struct session *s = op->session;
    if (s->long_op != op)
        return;
    s->long_op = NULL;
    long_go_on(s);
}

/* ---------------------------------------------------------------- on the shard's seat: one a turn */

static void look(struct mail *mail)
{
    struct native_seat *ns = CONTAINER_OF(mail, struct native_seat, long_mail);
    struct op *op = CONTAINER_OF(list_take(&ns->long_looks), struct op, long_link);
    if (!list_empty(&ns->long_looks))
        loop_post(&ns->seat->loop, &ns->long_mail);
    op->at(op, op->shard);
}

static void wait_for_turn(struct visit *v, struct shard *s)
{
    struct op *op = CONTAINER_OF(v, struct op, visit);
    struct native *n = op->session->ns->native;
    struct native_seat *here = n->seats[node_seat_of(n->node, v->shard)->number];
    op->shard = s;
    if (list_empty(&here->long_looks)) {
        here->long_mail.run = look;
        loop_post(&here->seat->loop, &here->long_mail);
    }
    list_append(&here->long_looks, &op->long_link);
}

void long_visit(struct op *op, uint16_t shard)
{
    op_visit_by(op, shard, wait_for_turn);
}
