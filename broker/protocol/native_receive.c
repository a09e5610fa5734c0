/* Receive: a consumer that lives on the shard's seat until it got something, its time is over, or its connection is gone. */
#include "base/assert.h"
#include "command/check.h"
#include "protocol/native_session.h"

enum { REPLY_RECEIVE = HATO__REPLY__OP_RECEIVE, RECEIVE_BYTES_MAX = 32 * 1024 * 1024 };

struct waiting {
    struct consumer consumer;
    struct alarm alarm;
    struct mail cancel;
    struct mail nudge;
    struct unsent_wait wait;
    uint32_t bytes_max;
    bool too_much;    /* on the shard's seat: what came for it is more than may be given now */
    bool nudging;     /* at home: the nudge is away */
    atomic_bool held; /* it has messages, and waits for the peer to read */
    struct op *op;
    const char *queue;
    bool open; /* on the shard's seat */
};

static struct native_seat *seat_at(struct op *op)
{
    struct native *n = op->session->ns->native;
    return n->seats[node_seat_of(n->node, shard_number(op->shard))->number];
}

static void end(struct waiting *w)
{
    struct op *op = w->op;
    w->open = false;
    alarm_clear(&seat_at(op)->alarms, &w->alarm);
    unsent_forget(seat_at(op), &w->wait);
    op_return(op);
}

static void on_deliver(struct consumer *c, const struct delivered *messages, size_t count)
{
    struct waiting *w = CONTAINER_OF(c, struct waiting, consumer);
    struct op *op = w->op;
    shard_consumer_close(op->shard, c);
    encode_deliveries(&op->frame, op->id, REPLY_RECEIVE, machine_secret(shard_machine(op->shard)), c->queue, messages,
                      count);
    unsent_hold(op, op->frame.len);
    end(w);
}

/* What it asked for goes back uncounted. */
static void on_unsent_again(struct unsent_wait *wait, bool may)
{
    struct waiting *w = CONTAINER_OF(wait, struct waiting, wait);
    if (may && w->too_much)
        may = unsent_reply_max(w->op->session->ns->native, w->bytes_max) == w->bytes_max;
    if (may) {
        shard_consumer_ready(w->op->shard, &w->consumer);
        return;
    }
    shard_consumer_close(w->op->shard, &w->consumer);
    unsent_refuse(&w->op->error);
    end(w);
}

/* Replies to a peer that does not read would pile up in memory, however many receives it has open, and so would those to many peers. */
static bool is_ready(struct consumer *c, size_t count, uint64_t bytes)
{
    struct waiting *w = CONTAINER_OF(c, struct waiting, consumer);
    struct op *op = w->op;
    c->bytes_max = (uint32_t)unsent_reply_max(op->session->ns->native, w->bytes_max);
    bool too_much =
        count > 1 && bytes > c->bytes_max && c->bytes_max < w->bytes_max; /* it was asked for when there was room */
    if (too_much || !unsent_may(op->session)) {
        w->too_much = too_much;
        unsent_wait(seat_at(op), &w->wait);
        return false;
    }
    atomic_bool *behind = &op->session->behind;
    if (!atomic_load(behind))
        return true;
    atomic_store(&w->held, true);
    return !atomic_load(behind); /* had it caught up in between, nobody would come back to this */
}

static void nothing(struct op *op)
{
    encode_deliveries(&op->frame, op->id, REPLY_RECEIVE, 0, 0, NULL, 0);
}

static void on_ended(struct consumer *c, int code, const char *message)
{
    struct waiting *w = CONTAINER_OF(c, struct waiting, consumer);
    if (code == ERR_OK)
        nothing(w->op);
    else
        op_fail(w->op, code, "", "%s", message);
    end(w);
}

static void on_time(struct alarm *a)
{
    struct waiting *w = CONTAINER_OF(a, struct waiting, alarm);
    if (!list_empty(&w->consumer.asks)) {
        /* A receive is under way: what it brings is this reply. Should it bring nothing, the next turn ends it. */
        w->consumer.once = true;
        return;
    }
    shard_consumer_close(w->op->shard, &w->consumer);
    nothing(w->op);
    end(w);
}

static int open_consumer(struct op *op, struct shard *s, struct waiting *w)
{
    const Hato__Receive *r = op->request->receive;
    struct queue_view q;
    if (!op_find_queue(op, w->queue, &q))
        return (int)op->error.code;
    uint64_t wait = r->wait_case == HATO__RECEIVE__WAIT_WAIT_MS ? r->wait_ms : q.settings->receive_wait_ms;
    struct consumer *c = &w->consumer;
    c->queue = q.id;
    c->credit = c->batch_max = r->max_messages == 0 ? 1 : r->max_messages;
    c->bytes_max = w->bytes_max =
        r->max_bytes == 0 || r->max_bytes > RECEIVE_BYTES_MAX ? RECEIVE_BYTES_MAX : (uint32_t)r->max_bytes;
    c->visibility_ms =
        r->visibility_case == HATO__RECEIVE__VISIBILITY_VISIBILITY_MS ? r->visibility_ms : ENTRY_VISIBILITY_DEFAULT;
    c->single = true;
    c->once = wait == 0;
    c->ready = is_ready;
    c->deliver = on_deliver;
    c->ended = on_ended;
    int rc = shard_consumer_open(s, c, &op->error);
    if (rc != ERR_OK)
        return rc;
    w->open = true;
    if (wait > 0)
        alarm_set(&seat_at(op)->alarms, &w->alarm, wait, on_time);
    return ERR_OK;
}

static void receive_at(struct op *op, struct shard *s)
{
    struct waiting *w = op->extra;
    if (open_consumer(op, s, w) != ERR_OK)
        op_return(op);
}

/* ---------------------------------------------------------------- the connection is gone */

static void cancel_back(struct mail *mail)
{
    op_mail_home(CONTAINER_OF(mail, struct waiting, cancel)->op);
}

static void cancel_at(struct mail *mail)
{
    struct waiting *w = CONTAINER_OF(mail, struct waiting, cancel);
    struct op *op = w->op;
    struct seat *home = op->session->ns->seat;
    struct seat *here = node_seat_of(home->node, op->visit.shard);
    if (w->open) {
        shard_consumer_close(op->shard, &w->consumer);
        op_fail(op, ERR_CLOSED, "", "the connection is gone");
        end(w);
    }
    w->cancel.run = cancel_back;
    seat_send(here, home, &w->cancel);
}

static void abandon(struct op *op)
{
    struct waiting *w = op->extra;
    struct seat *home = op->session->ns->seat;
    op->away++;
    w->cancel.run = cancel_at;
    seat_send(home, node_seat_of(home->node, op->visit.shard), &w->cancel);
}

/* ---------------------------------------------------------------- the peer reads again */

static void resumed(struct op *op);

static void nudge_back(struct mail *mail)
{
    struct waiting *w = CONTAINER_OF(mail, struct waiting, nudge);
    struct op *op = w->op;
    w->nudging = false;
    if (!atomic_load(&op->session->behind))
        resumed(op); /* it may have been held once more, and the peer have caught up again, while this was away */
    op_mail_home(op);
}

static void nudge_at(struct mail *mail)
{
    struct waiting *w = CONTAINER_OF(mail, struct waiting, nudge);
    struct seat *home = w->op->session->ns->seat;
    struct seat *here = node_seat_of(home->node, w->op->visit.shard);
    if (w->open)
        shard_consumer_ready(w->op->shard, &w->consumer);
    w->nudge.run = nudge_back;
    seat_send(here, home, &w->nudge);
}

static void resumed(struct op *op)
{
    struct waiting *w = op->extra;
    struct seat *home = op->session->ns->seat;
    if (w->nudging || !atomic_exchange(&w->held, false))
        return;
    w->nudging = true;
    op->away++;
    w->nudge.run = nudge_at;
    seat_send(home, node_seat_of(home->node, op->visit.shard), &w->nudge);
}

void native_receive(struct op *op)
{
    const Hato__Receive *r = op->request->receive;
    struct waiting *w = op_extra(op, sizeof *w);
    w->op = op;
    w->wait = (struct unsent_wait){.session = op->session, .again = on_unsent_again};
    w->queue = op_queue_name(op, r->queue, "queue");
    bool bad = w->queue == NULL;
    if (!bad && r->max_messages > CHECK_BATCH_MAX) {
        op_fail(op, ERR_INVALID, "max_messages", "max_messages is %u; it must be 1 to %d", r->max_messages,
                CHECK_BATCH_MAX);
        bad = true;
    }
    if (!bad && r->visibility_case == HATO__RECEIVE__VISIBILITY_VISIBILITY_MS)
        bad = check_visibility(r->visibility_ms, "visibility_ms", &op->error) != ERR_OK;
    if (!bad && r->wait_case == HATO__RECEIVE__WAIT_WAIT_MS)
        bad = check_wait(r->wait_ms, &op->error) != ERR_OK;
    bool at_once = r->wait_case == HATO__RECEIVE__WAIT_WAIT_MS && r->wait_ms == 0;
    if (bad || (!at_once && !op_may_wait(op))) {
        op_answer(op);
        return;
    }
    op_wait(op, abandon);
    op->resumed = resumed;
    op->at = receive_at;
    op_visit_queue(op, bytes_text(w->queue));
}
