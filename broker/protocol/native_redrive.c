/* Redrive: starting, cancelling and listing the moves out of a queue. */
#include "command/check.h"
#include "proto/command.pb-c.h"
#include "protocol/native_route.h"

enum { REDRIVES_MAX = 10 };

struct redriving {
    const char *queue;
    const char *destination; /* full, or "" */
};

static Hato__RedriveInfo *info_of(struct op *op, const char *queue, const struct redrive_view *v)
{
    static const char *const states[] = {"running", "completed", "cancelled"};
    Hato__RedriveInfo *out = arena_alloc(&op->arena, sizeof *out);
    hato__redrive_info__init(out);
    out->id = (char *)(uintptr_t)op_text(op, v->id);
    out->queue = (char *)(uintptr_t)short_name(queue);
    out->destination = (char *)(uintptr_t)op_text(op, short_name(v->destination));
    out->reason = (char *)(uintptr_t)op_text(op, v->reason);
    out->rate = v->rate;
    out->state = (char *)(uintptr_t)states[v->state];
    out->moved = v->moved;
    out->skipped = v->skipped;
    out->total = v->total;
    out->started_ms = v->started_ms;
    out->ended_ms = v->ended_ms;
    return out;
}

/* The newest, or the one with this id. */
static void reply_one(struct op *op, uint64_t queue, const char *id)
{
    struct redriving *x = op->extra;
    struct redrive_view views[REDRIVES_MAX];
    size_t n = machine_redrives(shard_machine(op->shard), queue, views, REDRIVES_MAX);
    for (size_t i = 0; i < n; i++) {
        if (id[0] != '\0' && strcmp(views[i].id, id) != 0)
            continue;
        Hato__Reply reply = HATO__REPLY__INIT;
        reply.op_case = HATO__REPLY__OP_REDRIVE;
        reply.redrive = info_of(op, x->queue, &views[i]);
        op_reply(op, &reply);
        return;
    }
    op_fail(op, ERR_NOT_FOUND, "id", "there is no such redrive of this queue");
}

static void on_changed(struct command *c, const struct reply *reply)
{
    struct op *op = CONTAINER_OF(c, struct op, command);
    const char *id = op->request->op_case == HATO__REQUEST__OP_REDRIVE_CANCEL ? op->request->redrive_cancel->id : "";
    if (reply->code != ERR_OK)
        op_refused(op, reply);
    else
        reply_one(op, reply->queue, id);
    op_return(op);
}

static void start_at(struct op *op, struct shard *s)
{
    struct redriving *x = op->extra;
    const Hato__RedriveStart *r = op->request->redrive_start;
    struct queue_view q;
    if (!op_find_queue(op, x->queue, &q)) {
        op_return(op);
        return;
    }
    Hato__Log__RedriveStart start = HATO__LOG__REDRIVE_START__INIT;
    start.has_queue = start.has_rate = true;
    start.queue = q.id;
    start.rate = r->rate;
    start.reason = r->reason;
    start.destination = (char *)(uintptr_t)x->destination;
    native_submit(op, s, COMMAND_REDRIVE_START, &start.base, on_changed);
}

static void start_home(struct op *op)
{
    struct redriving *x = op->extra;
    op->at = start_at;
    op->home = NULL;
    op_visit_queue(op, bytes_text(x->queue));
}

static void destination_at(struct op *op, struct shard *s)
{
    struct redriving *x = op->extra;
    struct queue_view q;
    (void)s;
    op_find_queue_of(op, x->destination, "destination", &q);
    op_return(op);
}

void native_redrive_start(struct op *op)
{
    const Hato__RedriveStart *r = op->request->redrive_start;
    struct redriving *x = op_extra(op, sizeof *x);
    x->queue = op_queue_name(op, r->queue, "queue");
    x->destination = "";
    if (x->queue != NULL && r->destination[0] != '\0')
        x->destination = op_queue_name(op, r->destination, "destination");
    bool bad = x->queue == NULL || x->destination == NULL || check_rate(r->rate, "rate", &op->error) != ERR_OK;
    if (!bad && strlen(r->reason) > CHECK_REASON_MAX) {
        op_fail(op, ERR_INVALID, "reason", "reason has more than %d bytes", CHECK_REASON_MAX);
        bad = true;
    }
    if (!bad && strcmp(x->destination, x->queue) == 0) {
        op_fail(op, ERR_INVALID, "destination", "a redrive can't end in the queue it begins in");
        bad = true;
    }
    if (bad) {
        op_answer(op);
    } else if (x->destination[0] == '\0') {
        start_home(op);
    } else { /* it has to be there: a redrive makes no queues */
        Hato__QueueShow show = HATO__QUEUE_SHOW__INIT;
        Hato__Request request = HATO__REQUEST__INIT;
        show.name = r->destination;
        request.op_case = HATO__REQUEST__OP_QUEUE_SHOW;
        request.queue_show = &show;
        op->at = destination_at;
        op->home = start_home;
        route_visit_queue(op, bytes_text(x->destination), &request);
    }
}

static void cancel_at(struct op *op, struct shard *s)
{
    struct redriving *x = op->extra;
    struct queue_view q;
    if (!op_find_queue(op, x->queue, &q)) {
        op_return(op);
        return;
    }
    Hato__Log__RedriveCancel cancel = HATO__LOG__REDRIVE_CANCEL__INIT;
    cancel.has_queue = true;
    cancel.queue = q.id;
    cancel.id = op->request->redrive_cancel->id;
    native_submit(op, s, COMMAND_REDRIVE_CANCEL, &cancel.base, on_changed);
}

static void list_at(struct op *op, struct shard *s)
{
    struct redriving *x = op->extra;
    struct queue_view q;
    if (op_find_queue(op, x->queue, &q)) {
        struct redrive_view views[REDRIVES_MAX];
        Hato__RedriveInfo *infos[REDRIVES_MAX];
        Hato__RedriveListReply body = HATO__REDRIVE_LIST_REPLY__INIT;
        Hato__Reply reply = HATO__REPLY__INIT;
        body.n_redrives = machine_redrives(shard_machine(s), q.id, views, REDRIVES_MAX);
        for (size_t i = 0; i < body.n_redrives; i++)
            infos[i] = info_of(op, x->queue, &views[i]);
        body.redrives = infos;
        reply.op_case = HATO__REPLY__OP_REDRIVES;
        reply.redrives = &body;
        op_reply(op, &reply);
    }
    op_return(op);
}

static void visit(struct op *op, const char *queue, void (*at)(struct op *, struct shard *))
{
    struct redriving *x = op_extra(op, sizeof *x);
    x->queue = op_queue_name(op, queue, "queue");
    if (x->queue == NULL) {
        op_answer(op);
        return;
    }
    op->at = at;
    op_visit_queue(op, bytes_text(x->queue));
}

void native_redrive_cancel(struct op *op)
{
    visit(op, op->request->redrive_cancel->queue, cancel_at);
}

void native_redrive_list(struct op *op)
{
    visit(op, op->request->redrive_list->queue, list_at);
}
