/* Send: read field by field, so that messages go from the frame into the entry in one copy. */
#include <inttypes.h>

#include "base/memory.h"
#include "base/wire.h"
#include "command/check.h"
#include "protocol/native_session.h"
#include "state/producer.h"

enum { RESULT_BYTES = 256 }; /* of a message, in the making and in the reply */

enum { SEND_QUEUE = 1, SEND_MESSAGES = 2, SEND_PRODUCER = 3, SEND_SEQUENCE = 4, SEND_SETTLED = 5 };

struct sending {
    const char *queue;
    struct entry_send send;
    struct bytes *messages;
    struct send_result *refused; /* of messages that never reached the log; by place */
    uint32_t *place;             /* of each message that did */
    uint32_t given;              /* messages in the request */
};

/* Stops where it is too much. */
static int count_messages(struct bytes raw, uint32_t *count, struct error *e)
{
    struct cursor c = cursor_open(raw);
    struct wire_field f;
    uint32_t others = 0;
    while (*count <= CHECK_BATCH_MAX && others <= NATIVE_REQUEST_FIELDS_MAX && wire_next(&c, &f)) {
        bool message = f.number == SEND_MESSAGES && f.type == WIRE_BYTES;
        *count += message;
        others += !message;
    }
    if (c.failed)
        return error_field(e, ERR_INVALID, "send", "the send is not well-formed");
    if (others > NATIVE_REQUEST_FIELDS_MAX)
        return error_field(e, ERR_TOO_LARGE, "send", "a send has at most %d fields beside its messages",
                           NATIVE_REQUEST_FIELDS_MAX);
    if (*count > CHECK_BATCH_MAX)
        return error_field(e, ERR_INVALID, "messages", "messages has more than %d entries; it must have 1 to %d",
                           CHECK_BATCH_MAX, CHECK_BATCH_MAX);
    return check_count(*count, "messages", e);
}

static int read_send(struct op *op, struct sending *x, struct bytes raw)
{
    struct cursor c = cursor_open(raw);
    struct wire_field f;
    struct bytes name = bytes_text("");
    uint32_t count = 0;
    int rc = count_messages(raw, &count, &op->error);
    if (rc != ERR_OK)
        return rc;
    x->messages = arena_alloc(&op->arena, count * sizeof *x->messages);
    while (wire_next(&c, &f)) {
        if (f.number == SEND_QUEUE && f.type == WIRE_BYTES)
            name = f.bytes;
        else if (f.number == SEND_MESSAGES && f.type == WIRE_BYTES)
            x->messages[x->given++] = f.bytes;
        else if (f.number == SEND_PRODUCER && f.type == WIRE_VARINT)
            x->send.producer = f.value;
        else if (f.number == SEND_SEQUENCE && f.type == WIRE_VARINT)
            x->send.sequence = f.value;
        else if (f.number == SEND_SETTLED && f.type == WIRE_VARINT)
            x->send.settled_below = f.value;
    }
    rc = identity_check_queue(name, "queue", &op->error);
    if (rc != ERR_OK)
        return rc;
    if (x->send.producer != 0 && (x->send.sequence == 0 || x->send.sequence > PRODUCER_NUMBER_MAX - count + 1))
        return error_field(&op->error, ERR_INVALID, "sequence",
                           "a producer numbers its messages 1 to %" PRIu64 ", this Send numbers %" PRIu32
                           " from %" PRIu64,
                           PRODUCER_NUMBER_MAX, count, x->send.sequence);
    const char *text = arena_text(&op->arena, name.data, name.len);
    x->queue = op_queue_name(op, text, "queue");
    return x->queue != NULL ? ERR_OK : (int)op->error.code;
}

static void keep_refusal(struct op *op, struct sending *x, uint32_t i, const struct error *e)
{
    if (x->refused == NULL)
        x->refused = memset(arena_alloc(&op->arena, x->given * sizeof *x->refused), 0, x->given * sizeof *x->refused);
    x->refused[i].code = (int)e->code;
    x->refused[i].field = op_text(op, e->field);
    x->refused[i].message = op_text(op, e->message);
}

/* Messages that are wrong in themselves are refused one by one; the others go on. With a producer a run has to stay whole, since
 * its sequences are consecutive: then the first wrong one refuses what comes after it, too. */
static void check_messages(struct op *op, struct sending *x)
{
    x->place = arena_alloc(&op->arena, x->given * sizeof *x->place);
    for (uint32_t i = 0; i < x->given; i++) {
        struct error e = {0};
        if (x->refused != NULL && x->send.producer != 0)
            error_set(&e, ERR_INVALID, "an earlier message of this send was refused: send this one again");
        else if (check_message(x->messages[i], &e) == ERR_OK) {
            x->place[x->send.count] = i;
            x->messages[x->send.count++] = x->messages[i];
            continue;
        }
        keep_refusal(op, x, i, &e);
    }
}

static void put_result(struct op *op, Hato__SendResult *out, uint64_t queue, const struct send_result *r)
{
    hato__send_result__init(out);
    if (r->code != ERR_OK) {
        out->error = arena_alloc(&op->arena, sizeof *out->error);
        hato__error__init(out->error);
        out->error->code = (Hato__Code)r->code;
        out->error->message = arena_text(&op->arena, r->message, strlen(r->message));
        out->error->field = arena_text(&op->arena, r->field, strlen(r->field));
        return;
    }
    out->duplicate = r->duplicate;
    out->sequence = r->sequence;
    if (r->sequence == 0) /* what its producer called settled: nobody remembers it */
        return;
    out->message_id = arena_alloc(&op->arena, IDENTITY_MESSAGE_ID_LEN + 1);
    identity_message_id(out->message_id, queue, r->sequence);
}

/* `stored` are the results of x->send.count messages. */
static void put_results(struct op *op, struct sending *x, uint64_t queue, const struct send_result *stored)
{
    Hato__SendResult *all = arena_alloc(&op->arena, x->given * sizeof *all);
    Hato__SendResult **pointers = arena_alloc(&op->arena, x->given * sizeof *pointers);
    uint32_t next = 0;
    for (uint32_t i = 0; i < x->given; i++) {
        bool went = next < x->send.count && x->place[next] == i;
        put_result(op, &all[i], queue, went ? &stored[next] : &x->refused[i]);
        next += went;
        pointers[i] = &all[i];
    }
    Hato__SendReply body = HATO__SEND_REPLY__INIT;
    body.n_results = x->given;
    body.results = pointers;
    Hato__Reply reply = HATO__REPLY__INIT;
    reply.op_case = HATO__REPLY__OP_SEND;
    reply.send = &body;
    op_reply(op, &reply);
}

static void on_sent(struct command *c, const struct reply *reply)
{
    struct op *op = CONTAINER_OF(c, struct op, command);
    struct sending *x = op->extra;
    if (reply->code != ERR_OK)
        op_refused(op, reply);
    else
        put_results(op, x, x->send.queue, reply->sent);
    op_return(op);
}

static void send_at(struct op *op, struct shard *s)
{
    struct sending *x = op->extra;
    struct queue_view q;
    if (!op_find_queue(op, x->queue, &q)) {
        op_return(op);
        return;
    }
    x->send.queue = q.id;
    if (x->send.count == 0) {
        put_results(op, x, q.id, NULL);
        op_return(op);
        return;
    }
    op->command.done = on_sent;
    if (shard_send(s, &op->command, &x->send, x->messages, &op->error) != ERR_OK)
        op_return(op);
}

void native_send(struct session *s, uint64_t id, struct bytes send, size_t frame_bytes)
{
    struct op *op = op_create(s, id, frame_bytes);
    struct sending *x = op_extra(op, sizeof *x);
    struct node *n = s->ns->native->node;
    if (node_seats(n) > 1)
        send.data = arena_copy(&op->arena, send.data, send.len); /* the frame may not outlive the visit */
    if (read_send(op, x, send) != ERR_OK) {
        op_answer(op);
        return;
    }
    size_t results = x->given * (size_t)RESULT_BYTES;
    if (results > frame_bytes) /* of small messages more goes out than comes in */
        op_weigh(op, results - frame_bytes);
    check_messages(op, x);
    op->at = send_at;
    op_visit_queue(op, bytes_text(x->queue));
}
