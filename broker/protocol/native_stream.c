/* Streams: a consumer that lives on the shard's seat as long as its connection wants deliveries.
 *
 * Deliveries leave the shard's seat as *parcels*: a parcel goes home, is written, and comes back when the peer reads. At most
 * STREAM_WINDOW messages and STREAM_WINDOW_BYTES are in parcels at a time, whatever the client's credit: a peer that does not
 * read holds no more memory than that. What the client orders (credit, close) travels the other way as *notes*. */
#include "base/assert.h"
#include "base/memory.h"
#include "command/check.h"
#include "protocol/native_route.h"

enum {
    REPLY_STREAM = HATO__REPLY__OP_STREAM_DELIVERY,
    STREAM_WINDOW = 4096,
    STREAM_WINDOW_BYTES = 8 * 1024 * 1024,
    STREAM_PARCEL_BYTES = 256 * 1024, /* but at least one message */
    STREAM_BATCH_DEFAULT = 100,
};

struct streaming {
    struct consumer consumer;
    struct unsent_wait wait;
    struct op *op;
    const char *queue;
    uint32_t credit;     /* the client's, not yet shown to the consumer */
    uint32_t in_transit; /* messages in parcels */
    size_t in_transit_bytes;
    size_t parcels;
    bool open;   /* on the shard's seat: the consumer is */
    bool ending; /* on the shard's seat: returns once its parcels are back */
    int code;
    char why[128];
};

struct parcel {
    struct mail mail;
    struct streaming *stream;
    struct list_link link; /* of session->parked */
    struct buffer frame;
    uint32_t messages;
    size_t bytes;
};

struct note {
    struct mail mail;
    struct streaming *stream;
    uint32_t credit; /* 0: close */
};

static struct seat *home_of(const struct streaming *x)
{
    return x->op->session->ns->seat;
}

static struct seat *shard_seat_of(const struct streaming *x)
{
    return node_seat_of(home_of(x)->node, x->op->visit.shard);
}

static struct native_seat *native_seat_at(const struct streaming *x)
{
    return x->op->session->ns->native->seats[shard_seat_of(x)->number];
}

void native_stream_ended(struct op *op, int code, const char *why)
{
    Hato__StreamEnd body = HATO__STREAM_END__INIT;
    Hato__Error error = HATO__ERROR__INIT;
    Hato__Reply reply = HATO__REPLY__INIT;
    if (code != ERR_OK) {
        error.code = (Hato__Code)code;
        error.message = (char *)(uintptr_t)why;
        body.error = &error;
    }
    reply.op_case = HATO__REPLY__OP_STREAM_END;
    reply.stream_end = &body;
    op_reply(op, &reply);
}

/* ---------------------------------------------------------------- on the shard's seat */

static void end_if_done(struct streaming *x)
{
    if (!x->ending || x->parcels > 0)
        return;
    x->ending = false;
    native_stream_ended(x->op, x->code, x->why);
    op_return(x->op);
}

static void end_stream(struct streaming *x, int code, const char *why)
{
    if (!x->open)
        return;
    x->open = false;
    x->ending = true;
    x->code = code;
    snprintf(x->why, sizeof x->why, "%s", why);
    unsent_forget(native_seat_at(x), &x->wait);
    shard_consumer_close(x->op->shard, &x->consumer);
    end_if_done(x);
}

/* Shows the consumer as much of the client's credit as the window has room for. */
static void grant(struct streaming *x)
{
    if (!x->open || x->in_transit_bytes >= STREAM_WINDOW_BYTES)
        return;
    uint32_t shown = x->consumer.credit + x->consumer.asked + x->in_transit;
    uint32_t room = shown < STREAM_WINDOW ? STREAM_WINDOW - shown : 0;
    uint32_t more = x->credit < room ? x->credit : room;
    if (more == 0)
        return;
    x->credit -= more;
    shard_consumer_credit(x->op->shard, &x->consumer, more);
}

static void put_home(struct mail *mail);

static void on_unsent_again(struct unsent_wait *wait, bool may)
{
    struct streaming *x = CONTAINER_OF(wait, struct streaming, wait);
    if (may)
        shard_consumer_ready(x->op->shard, &x->consumer);
    else
        unsent_wait(native_seat_at(x), wait);
}

static bool is_ready(struct consumer *c, size_t count, uint64_t bytes)
{
    (void)count, (void)bytes; /* a parcel at most */
    struct streaming *x = CONTAINER_OF(c, struct streaming, consumer);
    if (x->in_transit_bytes >= STREAM_WINDOW_BYTES)
        return false; /* a parcel that comes back is what it waits for */
    if (unsent_may(x->op->session))
        return true;
    unsent_wait(native_seat_at(x), &x->wait);
    return false;
}

static void on_deliver(struct consumer *c, const struct delivered *messages, size_t count)
{
    struct streaming *x = CONTAINER_OF(c, struct streaming, consumer);
    struct parcel *p = memory_zero(1, sizeof *p);
    encode_deliveries(&p->frame, x->op->id, REPLY_STREAM, machine_secret(shard_machine(x->op->shard)), c->queue,
                      messages, count);
    p->stream = x;
    p->messages = (uint32_t)count;
    p->bytes = p->frame.len;
    atomic_fetch_add_explicit(&x->op->session->ns->native->unsent.bytes, p->bytes, memory_order_relaxed);
    p->mail.run = put_home;
    x->parcels++;
    x->in_transit += p->messages;
    x->in_transit_bytes += p->bytes;
    if (x->in_transit_bytes >= STREAM_WINDOW_BYTES) { /* take back what the consumer has not asked for yet */
        x->credit = credit_add(x->credit, c->credit);
        c->credit = 0;
    }
    seat_send(shard_seat_of(x), home_of(x), &p->mail);
}

static void on_ended(struct consumer *c, int code, const char *message)
{
    struct streaming *x = CONTAINER_OF(c, struct streaming, consumer);
    end_stream(x, code, message);
}

static void parcel_back(struct mail *mail)
{
    struct parcel *p = CONTAINER_OF(mail, struct parcel, mail);
    struct streaming *x = p->stream;
    x->parcels--;
    x->in_transit -= p->messages;
    bool was_full = x->in_transit_bytes >= STREAM_WINDOW_BYTES;
    x->in_transit_bytes -= p->bytes;
    memory_free(p);
    if (was_full && x->open && x->in_transit_bytes < STREAM_WINDOW_BYTES)
        shard_consumer_ready(x->op->shard, &x->consumer);
    grant(x);
    end_if_done(x);
}

static void stream_at(struct op *op, struct shard *s)
{
    struct streaming *x = op->extra;
    const Hato__StreamOpen *o = op->request->stream_open;
    struct queue_view q;
    if (!op_find_queue(op, x->queue, &q)) {
        op_return(op);
        return;
    }
    struct consumer *c = &x->consumer;
    c->queue = q.id;
    c->batch_max = o->max_batch == 0 ? STREAM_BATCH_DEFAULT : o->max_batch;
    c->bytes_max = STREAM_PARCEL_BYTES;
    c->visibility_ms =
        o->visibility_case == HATO__STREAM_OPEN__VISIBILITY_VISIBILITY_MS ? o->visibility_ms : ENTRY_VISIBILITY_DEFAULT;
    c->ready = is_ready;
    c->deliver = on_deliver;
    c->ended = on_ended;
    if (shard_consumer_open(s, c, &op->error) != ERR_OK) {
        op_return(op);
        return;
    }
    x->open = true;
    x->credit = o->credit;
    grant(x);
}

/* ---------------------------------------------------------------- at home */

static void parcel_return(struct parcel *p)
{
    p->mail.run = parcel_back;
    seat_send(home_of(p->stream), shard_seat_of(p->stream), &p->mail);
}

static void put_home(struct mail *mail)
{
    struct parcel *p = CONTAINER_OF(mail, struct parcel, mail);
    struct session *s = p->stream->op->session;
    if (!s->gone)
        session_put(s, &p->frame);
    buffer_close(&p->frame);
    atomic_fetch_sub_explicit(&s->ns->native->unsent.bytes, p->bytes, memory_order_relaxed);
    if (!s->gone && stream_backlog(&s->stream) > STREAM_BACKLOG_PAUSE)
        list_append(&s->parked, &p->link);
    else
        parcel_return(p);
}

void native_streams_drained(struct session *s)
{
    while (!list_empty(&s->parked)) {
        struct list_link *first = list_first(&s->parked);
        list_remove(&s->parked, first);
        parcel_return(CONTAINER_OF(first, struct parcel, link));
    }
}

static void note_back(struct mail *mail)
{
    struct note *n = CONTAINER_OF(mail, struct note, mail);
    struct op *op = n->stream->op;
    memory_free(n);
    op_mail_home(op);
}

static void note_at(struct mail *mail)
{
    struct note *n = CONTAINER_OF(mail, struct note, mail);
    struct streaming *x = n->stream;
    if (n->credit == 0)
        end_stream(x, ERR_OK, "");
    else if (x->open) {
        x->credit = credit_add(x->credit, n->credit);
        grant(x);
    }
    n->mail.run = note_back;
    seat_send(shard_seat_of(x), home_of(x), &n->mail);
}

static void send_note(struct op *op, uint32_t credit)
{
    struct note *n = memory_zero(1, sizeof *n);
    n->stream = op->extra;
    n->credit = credit;
    n->mail.run = note_at;
    op->away++;
    seat_send(home_of(n->stream), shard_seat_of(n->stream), &n->mail);
}

static void abandon(struct op *op)
{
    idmap_remove(&op->session->streams, op->id);
    send_note(op, 0);
}

static void stream_home(struct op *op)
{
    idmap_remove(&op->session->streams, op->id);
    op_answer(op);
}

void native_stream_open(struct op *op)
{
    const Hato__StreamOpen *o = op->request->stream_open;
    struct streaming *x = op_extra(op, sizeof *x);
    x->op = op;
    x->wait = (struct unsent_wait){.session = op->session, .again = on_unsent_again};
    x->queue = op_queue_name(op, o->queue, "queue");
    bool bad = x->queue == NULL;
    if (!bad && (o->credit == 0 || o->credit > CHECK_CREDIT_MAX)) {
        op_fail(op, ERR_INVALID, "credit", "credit is %u; it must be 1 to %d", o->credit, CHECK_CREDIT_MAX);
        bad = true;
    }
    if (!bad && o->max_batch > CHECK_BATCH_MAX) {
        op_fail(op, ERR_INVALID, "max_batch", "max_batch is %u; it must be 1 to %d", o->max_batch, CHECK_BATCH_MAX);
        bad = true;
    }
    if (!bad && o->visibility_case == HATO__STREAM_OPEN__VISIBILITY_VISIBILITY_MS)
        bad = check_visibility(o->visibility_ms, "visibility_ms", &op->error) != ERR_OK;
    if (!bad && idmap_find(&op->session->streams, op->id) != NULL) {
        op_fail(op, ERR_CONFLICT, "id", "a stream with this request's id is open on this connection");
        bad = true;
    }
    if (bad || !op_may_wait(op)) {
        op_answer(op);
        return;
    }
    idmap_put(&op->session->streams, op->id, op);
    op_wait(op, abandon);
    op->at = stream_at;
    op->always_home = stream_home;
    op_visit_queue(op, bytes_text(x->queue));
}

static void tell(struct session *s, uint64_t id, uint32_t credit)
{
    struct op *op = idmap_find(&s->streams, id);
    if (op == NULL)
        route_credit(s, id, credit);
    else if (op->relay != NULL)
        relay_credit(op, credit);
    else
        send_note(op, credit);
}

void native_stream_credit(struct session *s, const Hato__StreamCredit *credit)
{
    uint32_t most = s->passed_on ? UINT32_MAX : CHECK_CREDIT_MAX; /* another node adds up what its client gives */
    if (credit->credit > 0)
        tell(s, credit->stream, credit->credit <= most ? credit->credit : most);
}

void native_stream_close(struct session *s, const Hato__StreamClose *close)
{
    tell(s, close->stream, 0);
}
