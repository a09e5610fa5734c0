/* Ack, nack, extend, cancel: a list of receipts or ids, and a code for each. */
#include "base/utf8.h"
#include "command/check.h"
#include "protocol/native_session.h"

struct settling {
    const char *queue;
    ProtobufCBinaryData *receipts;
    size_t count;
    uint8_t *codes;             /* of all, in the order given */
    uint32_t *place;            /* of those that went to the log */
    struct entry_lease *leases; /* likewise */
    uint64_t *sequences;        /* of a cancel */
    uint32_t went;
    int (*submit)(struct op *op, struct shard *s, uint64_t queue);
    bool cancels;
};

static void put_codes(struct op *op, const struct settling *x)
{
    bool all_ok = true;
    Hato__Code *codes = arena_alloc(&op->arena, x->count * sizeof *codes);
    for (size_t i = 0; i < x->count; i++) {
        codes[i] = (Hato__Code)x->codes[i];
        all_ok = all_ok && x->codes[i] == ERR_OK;
    }
    size_t n = all_ok ? 0 : x->count;
    Hato__SettleReply settle = HATO__SETTLE_REPLY__INIT;
    Hato__CancelReply cancel = HATO__CANCEL_REPLY__INIT;
    Hato__Reply reply = HATO__REPLY__INIT;
    if (x->cancels) {
        cancel.n_codes = n;
        cancel.codes = codes;
        reply.op_case = HATO__REPLY__OP_CANCEL;
        reply.cancel = &cancel;
    } else {
        settle.n_codes = n;
        settle.codes = codes;
        reply.op_case = HATO__REPLY__OP_SETTLE;
        reply.settle = &settle;
    }
    op_reply(op, &reply);
}

static void on_settled(struct command *c, const struct reply *reply)
{
    struct op *op = CONTAINER_OF(c, struct op, command);
    struct settling *x = op->extra;
    if (reply->code != ERR_OK) {
        op_refused(op, reply);
    } else {
        for (size_t i = 0; i < reply->count && i < x->went; i++)
            x->codes[x->place[i]] = reply->codes[i];
        put_codes(op, x);
    }
    op_return(op);
}

static void decode_receipts(struct op *op, struct settling *x, struct shard *s, uint64_t queue)
{
    uint64_t secret = machine_secret(shard_machine(s));
    x->leases = arena_alloc(&op->arena, x->count * sizeof *x->leases);
    for (size_t i = 0; i < x->count; i++) {
        struct receipt r;
        struct bytes raw = bytes_of(x->receipts[i].data, x->receipts[i].len);
        x->codes[i] = (uint8_t)receipt_decode(raw, queue, secret, &r, NULL);
        if (x->codes[i] != ERR_OK)
            continue;
        x->leases[x->went] = (struct entry_lease){r.sequence, r.lease};
        x->place[x->went++] = (uint32_t)i;
    }
}

static void decode_ids(struct op *op, struct settling *x, uint64_t queue)
{
    const Hato__Cancel *c = op->request->cancel;
    x->sequences = arena_alloc(&op->arena, x->count * sizeof *x->sequences);
    for (size_t i = 0; i < x->count; i++) {
        uint64_t of_queue, sequence;
        int rc = identity_message_id_parse(bytes_text(c->message_ids[i]), "message_ids", &of_queue, &sequence, NULL);
        x->codes[i] = (uint8_t)(rc == ERR_OK && of_queue != queue ? ERR_NOT_FOUND : rc);
        if (x->codes[i] != ERR_OK)
            continue;
        x->sequences[x->went] = sequence;
        x->place[x->went++] = (uint32_t)i;
    }
}

static void settle_at(struct op *op, struct shard *s)
{
    struct settling *x = op->extra;
    struct queue_view q;
    if (!op_find_queue(op, x->queue, &q)) {
        op_return(op);
        return;
    }
    x->codes = arena_alloc(&op->arena, x->count);
    x->place = arena_alloc(&op->arena, x->count * sizeof *x->place);
    if (x->cancels)
        decode_ids(op, x, q.id);
    else
        decode_receipts(op, x, s, q.id);
    op->command.done = on_settled;
    if (x->went > 0 && x->submit(op, s, q.id) == ERR_OK)
        return;
    if (op->error.code == ERR_OK)
        put_codes(op, x);
    op_return(op);
}

static struct settling *begin(struct op *op, const char *queue, size_t count, const char *field,
                              int (*submit)(struct op *, struct shard *, uint64_t))
{
    struct settling *x = op_extra(op, sizeof *x);
    x->count = count;
    x->submit = submit;
    x->queue = op_queue_name(op, queue, "queue");
    if (x->queue != NULL)
        check_count(count, field, &op->error);
    return x;
}

static void go(struct op *op)
{
    struct settling *x = op->extra;
    if (op->error.code != ERR_OK) {
        op_answer(op);
        return;
    }
    op->at = settle_at;
    op_visit_queue(op, bytes_text(x->queue));
}

static int submit_ack(struct op *op, struct shard *s, uint64_t queue)
{
    struct settling *x = op->extra;
    return shard_ack(s, &op->command, queue, x->leases, x->went, &op->error);
}

void native_ack(struct op *op)
{
    const Hato__Ack *a = op->request->ack;
    begin(op, a->queue, a->n_receipts, "receipts", submit_ack)->receipts = a->receipts;
    go(op);
}

static int submit_nack(struct op *op, struct shard *s, uint64_t queue)
{
    struct settling *x = op->extra;
    const Hato__Nack *n = op->request->nack;
    struct entry_settle settle = {.queue = queue,
                                  .delay_ms = n->delay_ms,
                                  .status = n->status,
                                  .uncounted = n->uncounted,
                                  .error = bytes_text(n->error),
                                  .count = x->went};
    return shard_nack(s, &op->command, &settle, x->leases, &op->error);
}

void native_nack(struct op *op)
{
    const Hato__Nack *n = op->request->nack;
    begin(op, n->queue, n->n_receipts, "receipts", submit_nack)->receipts = n->receipts;
    if (op->error.code == ERR_OK)
        check_visibility(n->delay_ms, "delay_ms", &op->error);
    if (op->error.code == ERR_OK && !utf8_valid(bytes_text(n->error)))
        op_fail(op, ERR_INVALID, "error", "error is not valid UTF-8");
    go(op);
}

static int submit_extend(struct op *op, struct shard *s, uint64_t queue)
{
    struct settling *x = op->extra;
    return shard_extend(s, &op->command, queue, op->request->extend->visibility_ms, x->leases, x->went, &op->error);
}

void native_extend(struct op *op)
{
    const Hato__Extend *x = op->request->extend;
    begin(op, x->queue, x->n_receipts, "receipts", submit_extend)->receipts = x->receipts;
    if (op->error.code == ERR_OK)
        check_visibility(x->visibility_ms, "visibility_ms", &op->error);
    go(op);
}

static int submit_cancel(struct op *op, struct shard *s, uint64_t queue)
{
    struct settling *x = op->extra;
    return shard_cancel(s, &op->command, queue, x->sequences, x->went, &op->error);
}

void native_cancel(struct op *op)
{
    const Hato__Cancel *c = op->request->cancel;
    begin(op, c->queue, c->n_message_ids, "message_ids", submit_cancel)->cancels = true;
    go(op);
}
