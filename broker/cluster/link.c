#include "cluster/link.h"

#include "base/memory.h"

static void end(struct link *l)
{
    struct mesh *m = l->mesh;
    loop_forget_turn(m->options.loop, TURN_SHARD, &l->tell);
    memory_free(l);
    m->open--; /* the mesh looks at it in a turn of its own */
    loop_at_turn_end(m->options.loop, TURN_WRITE, &m->end);
}

static void rest(struct link *l, const struct error *why);

/* A peer that stays away says so once, not with every attempt. */
static void trace_problem(struct link *l, const struct error *why)
{
    bool was_up = l->step == LINK_UP;
    if (!was_up && strcmp(why->message, l->problem.message) == 0)
        return;
    l->problem = *why;
    if (was_up)
        TRACE(l->mesh->options.trace, TRACE_WARN, "peer lost", trace_u64("node", l->peer.node),
              trace_message(&l->problem));
    else
        TRACE(l->mesh->options.trace, TRACE_WARN, "peer not reached", trace_u64("node", l->peer.node),
              trace_text("host", l->peer.host), trace_u64("port", l->peer.port), trace_message(&l->problem));
}

/* ---------------------------------------------------------------- frames out */

/* Later, because whoever sends is in the middle of something. */
static void on_tell(struct turn *turn)
{
    struct link *l = CONTAINER_OF(turn, struct link, tell);
    const struct mesh_ops *ops = l->mesh->options.ops;
    if (!l->closing)
        ops->unreachable(ops->ctx, l->mesh, l->peer.node);
}

static void tell_later(struct link *l)
{
    loop_at_turn_end(l->mesh->options.loop, TURN_SHARD, &l->tell);
}

struct buffer *link_begin(struct link *l, enum frame_kind kind, uint16_t shard, size_t len, size_t *at)
{
    struct stream *s = &l->call.stream;
    if (l->step != LINK_UP || s->closing || len > FRAME_BODY_MAX || stream_backlog(s) > MESH_QUEUE_MAX) {
        l->dropped += l->step == LINK_UP;
        tell_later(l);
        return NULL;
    }
    struct buffer *to = stream_out(s);
    buffer_reserve(to, FRAME_HEAD_BYTES + len);
    *at = frame_begin(to, kind, shard);
    return to;
}

void link_end(struct link *l, size_t at)
{
    struct buffer *to = stream_out(&l->call.stream);
    frame_end(to, at);
    l->put += to->len - at;
    stream_written(&l->call.stream);
}

/* ---------------------------------------------------------------- while it is up */

/* News is a byte from the peer, or one of ours that it took: a long queue keeps pings and their answers waiting. Ticks are counted
 * rather than time, since after a stop of this process much time has passed in which nobody could hear. */
static void look_for_life(struct link *l)
{
    uint64_t taken = l->put - stream_unsent(&l->call.stream);
    bool news = l->call.stream.active_ms != l->heard_ms || taken != l->taken;
    l->heard_ms = l->call.stream.active_ms;
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
        call_end(&l->call, &e);
        return;
    }
    if (l->dropped > 0)
        TRACE(l->mesh->options.trace, TRACE_WARN, "frames to a slow peer dropped", trace_u64("node", l->peer.node),
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
            call_end(&l->call, &e);
            return in.len;
        }
        at += used;
    } while (used > 0);
    return at;
}

static size_t on_data(struct call *c, struct bytes in)
{
    return take_frames(CONTAINER_OF(c, struct link, call), in);
}

/* ---------------------------------------------------------------- calling */

static void on_up(struct call *c, const struct hello *h)
{
    struct link *l = CONTAINER_OF(c, struct link, call);
    struct mesh *m = l->mesh;
    l->step = LINK_UP;
    l->problem = (struct error){0};
    l->silent_ticks = 0;
    l->put = l->taken = 0;
    c->stream.backlog_pause = SIZE_MAX; /* answers to pings are read whatever waits to be sent */
    c->stream.backlog_max = (size_t)MESH_QUEUE_MAX + FRAME_BODY_MAX + LOOP_SCRATCH;
    alarm_set(&m->alarms, &l->alarm, MESH_TICK_MS, on_tick);
    TRACE(m->options.trace, TRACE_INFO, "peer reached", trace_u64("node", l->peer.node),
          trace_text("host", l->peer.host), trace_u64("port", l->peer.port), trace_text("software", h->software));
}

static void on_ended(struct call *c, const struct error *why)
{
    struct link *l = CONTAINER_OF(c, struct link, call);
    rest(l, why);
}

static const struct call_ops ops = {.up = on_up, .data = on_data, .ended = on_ended};

static void on_rested(struct alarm *alarm)
{
    struct link *l = CONTAINER_OF(alarm, struct link, alarm);
    l->step = LINK_CALLING;
    call_start(&l->call, l->mesh, &l->peer, HELLO_FRAMES, l->failures, &ops);
}

static uint64_t rest_ms(struct link *l)
{
    uint64_t most = MESH_REST_MIN_MS;
    for (uint32_t i = 0; i < l->failures && most < MESH_REST_MAX_MS; i++)
        most *= 2;
    most = most < MESH_REST_MAX_MS ? most : MESH_REST_MAX_MS;
    return most / 2 + random_below(&l->mesh->random, most / 2 + 1);
}

static void rest(struct link *l, const struct error *why)
{
    alarm_clear(&l->mesh->alarms, &l->alarm);
    if (l->closing) {
        end(l);
        return;
    }
    trace_problem(l, why);
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
    l->peer = *peer;
    l->tell.run = on_tell;
    return l;
}

void link_start(struct link *l)
{
    alarm_set(&l->mesh->alarms, &l->alarm, 0, on_rested);
}

void link_close(struct link *l)
{
    l->closing = true;
    alarm_clear(&l->mesh->alarms, &l->alarm);
    if (l->step == LINK_RESTING)
        end(l);
    else
        call_end(&l->call, NULL);
}
