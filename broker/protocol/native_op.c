#include <stdarg.h>

#include "base/assert.h"
#include "base/memory.h"
#include "protocol/native_route.h"

enum { OP_ARENA = 4096 };

struct op *op_create(struct session *session, uint64_t id, size_t frame_bytes)
{
    struct op *op = memory_zero(1, sizeof *op);
    op->session = session;
    op->id = id;
    op->frame_bytes = frame_bytes;
    op->arena.block = OP_ARENA;
    session->op_count++;
    session->op_bytes += frame_bytes;
    if (session->routes != NULL) {
        op->kept = session->routes->starting;
        session->routes->starting = NULL;
    }
    return op;
}

void op_free(struct op *op)
{
    struct session *s = op->session;
    if (list_linked(&op->link))
        list_remove(&s->ops, &op->link);
    s->op_count--;
    s->waiting -= op->waits;
    s->op_bytes -= op->frame_bytes;
    unsent_hold(op, 0);
    unsent_keep(op);
    arena_close(&op->arena);
    buffer_close(&op->frame);
    if (op->kept != NULL)
        route_done(s, op->kept);
    memory_free(op);
}

static void run_at(struct visit *v, struct shard *s)
{
    struct op *op = CONTAINER_OF(v, struct op, visit);
    op->shard = s;
    op->at(op, s);
}

static void encode_error(struct op *op)
{
    Hato__Error error = HATO__ERROR__INIT;
    Hato__Reply reply = HATO__REPLY__INIT;
    char leader[NODE_ADDRESS_MAX] = "";
    if (op->error.code == ERR_NOT_LEADER && op->visit.home != NULL) {
        struct node *n = op->visit.home->node;
        node_clients_of(n, node_leader(n, op->visit.shard), leader);
    }
    error.code = (Hato__Code)op->error.code;
    error.leader = leader;
    error.message = op->error.message;
    error.field = op->error.field;
    reply.error = &error;
    op_reply(op, &reply);
    atomic_fetch_add_explicit(&op->session->ns->native->refused_total, 1, memory_order_relaxed);
}

void op_weigh(struct op *op, size_t bytes)
{
    op->frame_bytes += bytes;
    op->session->op_bytes += bytes;
}

void op_answer(struct op *op)
{
    struct session *s = op->session;
    bool again = op->error.code != ERR_OK && route_again(op, (int)op->error.code);
    if (op->error.code != ERR_OK && !again)
        encode_error(op);
    if (!s->gone && !again)
        session_put(s, &op->frame);
    op->ended = true;
    s->waiting -= op->waits; /* the client may open another at once, though notes may be under way yet */
    op->waits = false;
    if (list_linked(&op->link))
        list_remove(&s->ops, &op->link);
    long_ended(op);
    if (op->away > 0)
        return;
    op_free(op);
    session_op_done(s);
}

void op_mail_home(struct op *op)
{
    ASSERT(op->away > 0);
    struct session *s = op->session;
    if (--op->away > 0 || !op->ended)
        return;
    op_free(op);
    session_op_done(s);
}

bool op_may_wait(struct op *op)
{
    struct session *s = op->session;
    if (op->frame_bytes > NATIVE_WAITING_FRAME_MAX)
        op_fail(op, ERR_TOO_LARGE, "",
                "a request that waits takes %d bytes at most, this one, with what it is decoded to, %zu",
                NATIVE_WAITING_FRAME_MAX, op->frame_bytes);
    else if (s->waiting >= NATIVE_WAITING_MAX)
        op_fail(op, ERR_LIMIT, "",
                "a connection may have %d streams and waiting receives open: close some, or use more connections",
                NATIVE_WAITING_MAX);
    if (op->error.code != ERR_OK)
        return false;
    op->waits = true;
    s->waiting++;
    s->op_bytes -= op->frame_bytes;
    op->frame_bytes = 0;
    return true;
}

void op_wait(struct op *op, void (*abandon)(struct op *op))
{
    op->abandon = abandon;
    list_append(&op->session->ops, &op->link);
}

void seat_send(struct seat *from, struct seat *to, struct mail *mail)
{
    if (from == to)
        mail->run(mail);
    else
        loop_post(&to->loop, mail);
}

void op_come_home(struct op *op)
{
    op->shard = NULL;
    void (*home)(struct op *) = op->home;
    op->home = NULL;
    if (op->always_home != NULL)
        op->always_home(op);
    else if (home != NULL && op->error.code == ERR_OK)
        home(op);
    else
        op_answer(op);
}

static void run_home(struct visit *v)
{
    op_come_home(CONTAINER_OF(v, struct op, visit));
}

void op_visit_by(struct op *op, uint16_t shard, void (*run)(struct visit *v, struct shard *s))
{
    op->visit.run = run;
    op->visit.done = run_home;
    node_visit(op->session->ns->seat, shard, &op->visit);
}

void op_visit(struct op *op, uint16_t shard)
{
    op_visit_by(op, shard, run_at);
}

uint16_t op_shard_of(const struct op *op, struct bytes full_name)
{
    return identity_shard_of(full_name, node_birth(op->session->ns->native->node)->shards);
}

void op_visit_queue(struct op *op, struct bytes full_name)
{
    op_visit(op, op_shard_of(op, full_name));
}

void op_return(struct op *op)
{
    visit_return(&op->visit);
}

void op_fail(struct op *op, int code, const char *field, const char *format, ...)
{
    op->error.code = (enum error_code)code;
    snprintf(op->error.field, sizeof op->error.field, "%s", field);
    va_list args;
    va_start(args, format);
    vsnprintf(op->error.message, sizeof op->error.message, format, args);
    va_end(args);
}

void op_refused(struct op *op, const struct reply *reply)
{
    op_fail(op, reply->code, reply->field != NULL ? reply->field : "", "%s",
            reply->message != NULL ? reply->message : "");
}

void op_reply(struct op *op, Hato__Reply *reply)
{
    reply->id = op->id;
    buffer_clear(&op->frame);
    size_t len = hato__reply__get_packed_size(reply);
    buffer_u32(&op->frame, (uint32_t)len);
    hato__reply__pack(reply, buffer_reserve(&op->frame, len));
    op->frame.len += len;
}

void *op_extra(struct op *op, size_t size)
{
    op->extra = memset(arena_alloc(&op->arena, size), 0, size);
    return op->extra;
}

const char *op_text(struct op *op, const char *text)
{
    return arena_text(&op->arena, text, strlen(text));
}

static const char *full_name(struct op *op, const char *name)
{
    size_t prefix = op->session->prefix_len;
    size_t len = strlen(name);
    char *full = arena_alloc(&op->arena, prefix + len + 1);
    memcpy(full, op->session->prefix, prefix);
    memcpy(full + prefix, name, len + 1);
    return full;
}

const char *op_queue_name(struct op *op, const char *name, const char *field)
{
    if (identity_check_queue(bytes_text(name), field, &op->error) != ERR_OK)
        return NULL;
    return full_name(op, name);
}

const char *op_function_name(struct op *op, const char *name, const char *field)
{
    if (identity_check_function(bytes_text(name), field, &op->error) != ERR_OK)
        return NULL;
    return full_name(op, name);
}

const char *short_name(const char *full)
{
    const char *colon = strrchr(full, ':');
    return colon != NULL ? colon + 1 : full;
}

bool op_find_queue_of(struct op *op, const char *name, const char *field, struct queue_view *out)
{
    if (!shard_leads(op->shard)) {
        struct error e = {0};
        int code = shard_refuse(op->shard, &e);
        op_fail(op, code, "", "%s", e.message);
        return false;
    }
    if (machine_queue_find(shard_machine(op->shard), name, out))
        return true;
    op_fail(op, ERR_NOT_FOUND, field, "there is no queue '%s'; create it first (hato queue create %s)",
            short_name(name), short_name(name));
    return false;
}

bool op_find_queue(struct op *op, const char *name, struct queue_view *out)
{
    return op_find_queue_of(op, name, "queue", out);
}
