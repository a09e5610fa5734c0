#include "cluster/link.h"

#include "base/memory.h"

static struct link *link_of(struct stream *s)
{
    return CONTAINER_OF(s, struct link, stream);
}

static void rest(struct link *l);

static void end(struct link *l)
{
    struct mesh *m = l->mesh;
    loop_forget_turn(m->options.loop, TURN_SHARD, &l->tell);
    memory_free(l);
    m->open--; /* the mesh looks at it in a turn of its own */
    loop_at_turn_end(m->options.loop, TURN_WRITE, &m->end);
}

/* ---------------------------------------------------------------- why it is not up */

/* The first reason counts: what follows it is that the connection ends. */
static void blame(struct link *l, const struct error *e)
{
    if (l->blamed.code == ERR_OK)
        l->blamed = *e;
}

static void give_up(struct link *l, const struct error *e)
{
    blame(l, e);
    stream_close(&l->stream);
}

/* A peer that stays away says so once, not with every attempt. */
static void trace_problem(struct link *l)
{
    bool was_up = l->step == LINK_UP;
    if (!was_up && strcmp(l->blamed.message, l->problem.message) == 0)
        return;
    l->problem = l->blamed;
    if (was_up)
        TRACE(l->mesh->options.trace, TRACE_WARN, "peer lost", trace_u64("node", l->peer->node),
              trace_message(&l->problem));
    else
        TRACE(l->mesh->options.trace, TRACE_WARN, "peer not reached", trace_u64("node", l->peer->node),
              trace_text("host", l->peer->host), trace_u64("port", l->peer->port), trace_message(&l->problem));
}

/* ---------------------------------------------------------------- frames out */

/* Later, because whoever sends is in the middle of something. */
static void on_tell(struct turn *turn)
{
    struct link *l = CONTAINER_OF(turn, struct link, tell);
    const struct mesh_ops *ops = l->mesh->options.ops;
    if (!l->mesh->closing)
        ops->unreachable(ops->ctx, l->mesh, l->peer->node);
}

static void tell_later(struct link *l)
{
    loop_at_turn_end(l->mesh->options.loop, TURN_SHARD, &l->tell);
}

struct buffer *link_begin(struct link *l, enum frame_kind kind, uint16_t shard, size_t len, size_t *at)
{
    if (l->step != LINK_UP || l->stream.closing || len > FRAME_BODY_MAX ||
        stream_backlog(&l->stream) > MESH_QUEUE_MAX) {
        l->dropped += l->step == LINK_UP;
        tell_later(l);
        return NULL;
    }
    struct buffer *to = stream_out(&l->stream);
    buffer_reserve(to, FRAME_HEAD + len);
    *at = frame_begin(to, kind, shard);
    return to;
}

void link_end(struct link *l, size_t at)
{
    struct buffer *to = stream_out(&l->stream);
    frame_end(to, at);
    l->put += to->len - at;
    stream_written(&l->stream);
}

/* ---------------------------------------------------------------- while it is up */

/* News is a byte from the peer, or one of ours that it took: a long queue keeps pings and their answers waiting. Ticks are counted
 * rather than time, since after a stop of this process much time has passed in which nobody could hear. */
static void look_for_life(struct link *l)
{
    uint64_t taken = l->put - stream_unsent(&l->stream);
    bool news = l->stream.active_ms != l->heard_ms || taken != l->taken;
    l->heard_ms = l->stream.active_ms;
    l->taken = taken;
    l->silent_ticks = news ? 0 : l->silent_ticks + 1;
}

static void on_tick(struct alarm *alarm)
{
    struct link *l = CONTAINER_OF(alarm, struct link, alarm);
    size_t at;
    struct error e;
    look_for_life(l);
    if (l->silent_ticks >= MESH_SILENT_TICKS) {
        error_set(&e, ERR_TIMEOUT, "nothing was heard from it for %d ms", MESH_SILENT_TICKS * MESH_TICK_MS);
        give_up(l, &e);
        return;
    }
    if (l->dropped > 0)
        TRACE(l->mesh->options.trace, TRACE_WARN, "frames to a slow peer dropped", trace_u64("node", l->peer->node),
              trace_u64("frames", l->dropped));
    l->dropped = 0;
    l->failures = 0;
    if (link_begin(l, FRAME_PING, 0, 0, &at) != NULL)
        link_end(l, at);
    alarm_set(&l->mesh->alarms, &l->alarm, MESH_TICK_MS, on_tick);
}

static size_t take_frames(struct link *l, struct bytes in)
{
    struct frame f;
    struct error e = {0};
    size_t at = 0, used, want;
    do {
        if (frame_take(bytes_of(in.data + at, in.len - at), &f, &used, &want, &e) == ERR_OK && used > 0 &&
            f.kind != FRAME_PONG)
            error_set(&e, ERR_PROTOCOL, "a frame of kind %d on a connection that this node dialled", f.kind);
        if (e.code != ERR_OK) {
            give_up(l, &e);
            return in.len;
        }
        at += used;
    } while (used > 0);
    return at;
}

/* ---------------------------------------------------------------- greeting */

static size_t take_hello(struct link *l, struct bytes in)
{
    struct mesh *m = l->mesh;
    struct hello h;
    struct error e = {0};
    size_t used;
    int rc = hello_take(in, &h, &used, &e);
    if (rc == ERR_OK && used == 0)
        return 0;
    if (rc == ERR_OK && h.refused != 0)
        rc = error_set(&e, ERR_FORBIDDEN, "it refuses this node: %s", h.why);
    if (rc == ERR_OK)
        rc = roster_judge(m->options.roster, &h, l->peer->node, &e);
    if (rc != ERR_OK) {
        give_up(l, &e);
        return in.len;
    }
    l->step = LINK_UP;
    l->problem = (struct error){0};
    l->silent_ticks = 0;
    alarm_set(&m->alarms, &l->alarm, MESH_TICK_MS, on_tick);
    TRACE(m->options.trace, TRACE_INFO, "peer reached", trace_u64("node", l->peer->node),
          trace_text("host", l->peer->host), trace_u64("port", l->peer->port), trace_text("software", h.software));
    return used;
}

static size_t on_data(struct stream *s, struct bytes in)
{
    struct link *l = link_of(s);
    size_t used = l->step == LINK_UP ? 0 : take_hello(l, in);
    if (l->step != LINK_UP || s->closing)
        return used;
    return used + take_frames(l, bytes_of(in.data + used, in.len - used));
}

static void on_connected(struct stream *s)
{
    struct link *l = link_of(s);
    struct hello h;
    l->step = LINK_GREETING;
    roster_hello(l->mesh->options.roster, l->peer->node, &h);
    hello_put(stream_out(s), &h);
    stream_written(s);
}

static void on_closed(struct stream *s, int why)
{
    struct link *l = link_of(s);
    struct error e;
    error_set(&e, why == UV_EPROTO ? ERR_UNAUTHENTICATED : ERR_IO, "%s",
              why == UV_EOF ? "it closed the connection" : stream_why(s));
    blame(l, &e);
    rest(l);
}

/* ---------------------------------------------------------------- dialling */

static void on_late(struct alarm *alarm)
{
    struct link *l = CONTAINER_OF(alarm, struct link, alarm);
    static const char *const what[] = {
        [LINK_FINDING] = "its name was not resolved",
        [LINK_DIALLING] = "it did not answer",
        [LINK_GREETING] = "it accepted the connection and said no hello",
    };
    struct error e;
    error_set(&e, ERR_TIMEOUT, "%s within %d ms", what[l->step], MESH_GREET_MS);
    blame(l, &e);
    if (l->step == LINK_FINDING)
        resolve_cancel(&l->resolve); /* goes on in on_found */
    else
        stream_close(&l->stream);
}

static const struct stream_ops ops = {.connected = on_connected, .data = on_data, .closed = on_closed};

static void dial(struct link *l, const struct sockaddr *to)
{
    struct mesh *m = l->mesh;
    l->step = LINK_DIALLING;
    l->put = l->taken = 0;
    stream_connect(&l->stream, m->options.loop, to, &ops);
    l->stream.backlog_pause = SIZE_MAX; /* answers to pings are read whatever waits to be sent */
    l->stream.backlog_max = (size_t)MESH_QUEUE_MAX + FRAME_BODY_MAX + LOOP_SCRATCH;
    if (m->options.tls != NULL)
        stream_secure(&l->stream, tls_create(m->options.tls, l->peer->host));
}

static void on_found(struct resolve *r)
{
    struct link *l = CONTAINER_OF(r, struct link, resolve);
    struct error e;
    if (r->count > 0 && l->blamed.code == ERR_OK && !l->mesh->closing) {
        dial(l, &r->found[l->failures % r->count].any); /* the next one the next time */
        return;
    }
    error_set(&e, ERR_NOT_FOUND, "its name can't be resolved: %s", uv_strerror(r->failure));
    blame(l, &e);
    rest(l);
}

static void on_rested(struct alarm *alarm)
{
    struct link *l = CONTAINER_OF(alarm, struct link, alarm);
    l->step = LINK_FINDING;
    l->blamed = (struct error){0};
    alarm_set(&l->mesh->alarms, &l->alarm, MESH_GREET_MS, on_late);
    resolve_start(&l->resolve, l->mesh->options.loop, l->peer->host, l->peer->port, on_found);
}

static uint64_t rest_ms(struct link *l)
{
    uint64_t most = MESH_REST_MIN_MS;
    for (uint32_t i = 0; i < l->failures && most < MESH_REST_MAX_MS; i++)
        most *= 2;
    most = most < MESH_REST_MAX_MS ? most : MESH_REST_MAX_MS;
    return most / 2 + random_below(&l->mesh->random, most / 2 + 1);
}

/* After a connection's end, or instead of one. */
static void rest(struct link *l)
{
    alarm_clear(&l->mesh->alarms, &l->alarm);
    if (l->mesh->closing) {
        end(l);
        return;
    }
    trace_problem(l);
    if (l->step == LINK_UP)
        tell_later(l);
    l->step = LINK_RESTING;
    alarm_set(&l->mesh->alarms, &l->alarm, rest_ms(l), on_rested);
    l->failures++;
}

/* ---------------------------------------------------------------- life */

struct link *link_create(struct mesh *m, const struct roster_peer *peer)
{
    struct link *l = memory_zero(1, sizeof *l);
    l->mesh = m;
    l->peer = peer;
    l->tell.run = on_tell;
    return l;
}

void link_start(struct link *l)
{
    alarm_set(&l->mesh->alarms, &l->alarm, 0, on_rested);
}

void link_close(struct link *l)
{
    alarm_clear(&l->mesh->alarms, &l->alarm);
    if (l->step == LINK_RESTING)
        end(l);
    else if (l->step == LINK_FINDING)
        resolve_cancel(&l->resolve);
    else
        stream_close(&l->stream);
}
