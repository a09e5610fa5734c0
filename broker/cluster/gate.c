#include "cluster/gate.h"

#include "base/memory.h"

/* A connection that another node dialled. */
struct guest {
    struct mesh *mesh;
    struct stream stream;
    struct list_link link;
    struct alarm alarm; /* until its hello is there; then a tick */
    struct hello hello;
    char address[64];
    bool greeted;
    bool blamed; /* why it ends was traced */
    bool gone;
    unsigned silent_ticks;
    uint64_t heard_ms;
    size_t away; /* parcels on other loops */
    size_t away_bytes;
};

/* A frame on its way to the loop of its shard, and back to be freed. */
struct parcel {
    struct mail mail;
    struct guest *guest;
    struct blob *frame;
    uint16_t shard;
};

static struct guest *guest_of(struct stream *s)
{
    return CONTAINER_OF(s, struct guest, stream);
}

static void free_if_gone(struct guest *g)
{
    if (!g->gone || g->away > 0)
        return;
    struct mesh *m = g->mesh;
    memory_free(g);
    m->open--;
    loop_at_turn_end(m->options.loop, TURN_WRITE, &m->end);
}

/* ---------------------------------------------------------------- refusing */

static void blame(struct guest *g, const struct error *e)
{
    if (g->blamed)
        return;
    g->blamed = true;
    if (g->greeted)
        TRACE(g->mesh->options.trace, TRACE_WARN, "peer's connection ended", trace_u64("node", g->hello.node),
              trace_text("from", g->address), trace_message(e));
    else
        TRACE(g->mesh->options.trace, TRACE_WARN, "peer refused", trace_text("from", g->address), trace_message(e));
}

static void refuse(struct guest *g, const struct error *e)
{
    blame(g, e);
    if (g->greeted || e->code == ERR_PROTOCOL || e->code == ERR_CORRUPT || e->code == ERR_TOO_LARGE) {
        stream_close(&g->stream); /* what speaks something else is not told in our language */
        return;
    }
    struct hello h = {.refused = (uint32_t)e->code};
    snprintf(h.why, sizeof h.why, "%s", e->message);
    hello_put(stream_out(&g->stream), &h);
    stream_written(&g->stream);
    stream_close_soon(&g->stream); /* the alarm of the greeting ends it where that does not leave */
}

/* ---------------------------------------------------------------- frames in */

static void parcel_home(struct mail *mail)
{
    struct parcel *p = CONTAINER_OF(mail, struct parcel, mail);
    struct guest *g = p->guest;
    bool was_full = g->away_bytes > MESH_AWAY_MAX;
    g->away--;
    g->away_bytes -= p->frame->len;
    blob_unref(p->frame);
    memory_free(p);
    if (!g->gone && was_full && g->away_bytes <= MESH_AWAY_MAX)
        stream_resume(&g->stream);
    free_if_gone(g);
}

static void parcel_arrived(struct mail *mail)
{
    struct parcel *p = CONTAINER_OF(mail, struct parcel, mail);
    struct mesh *m = p->guest->mesh;
    const struct mesh_ops *ops = m->options.ops;
    ops->frame(ops->ctx, p->guest->hello.node, p->shard, p->frame);
    p->mail.run = parcel_home;
    loop_post(m->options.loop, &p->mail);
}

static void send_parcel(struct guest *g, struct loop *to, uint16_t shard, struct blob *frame)
{
    struct parcel *p = memory_zero(1, sizeof *p);
    p->mail.run = parcel_arrived;
    p->guest = g;
    p->frame = frame;
    p->shard = shard;
    g->away++;
    g->away_bytes += frame->len;
    if (g->away_bytes > MESH_AWAY_MAX)
        stream_pause(&g->stream);
    loop_post(to, &p->mail);
}

static void deliver(struct guest *g, const struct frame *f)
{
    const struct mesh_ops *ops = g->mesh->options.ops;
    struct loop *to = ops->loop_of(ops->ctx, f->shard);
    struct blob *frame = blob_copy(f->body);
    if (to != g->mesh->options.loop) {
        send_parcel(g, to, f->shard, frame);
        return;
    }
    ops->frame(ops->ctx, g->hello.node, f->shard, frame);
    blob_unref(frame);
}

static void pong(struct guest *g)
{
    struct buffer *out = stream_out(&g->stream);
    frame_end(out, frame_begin(out, FRAME_PONG, 0));
    stream_written(&g->stream);
}

static int take_frame(struct guest *g, const struct frame *f, struct error *e)
{
    if (f->kind == FRAME_PING) {
        pong(g);
    } else if (f->kind != FRAME_SHARD) {
        return error_set(e, ERR_PROTOCOL, "a frame of kind %d from a node that dialled", f->kind);
    } else if (f->shard > roster_shards(g->mesh->options.roster)) {
        return error_set(e, ERR_PROTOCOL, "a frame for shard %u; there are %u", f->shard,
                         roster_shards(g->mesh->options.roster));
    } else {
        deliver(g, f);
    }
    return ERR_OK;
}

static size_t take_frames(struct guest *g, struct bytes in)
{
    struct frame f;
    struct error e = {0};
    size_t at = 0, used = 1, want;
    while (used > 0 && !g->stream.closing && !g->stream.paused_by_owner) {
        int rc = frame_take(bytes_of(in.data + at, in.len - at), &f, &used, &want, &e);
        if (rc == ERR_OK && used > 0)
            rc = take_frame(g, &f, &e);
        if (rc != ERR_OK) {
            refuse(g, &e);
            return in.len;
        }
        at += used;
        if (used == 0)
            g->stream.want = want;
    }
    return at;
}

/* ---------------------------------------------------------------- greeting */

static void on_tick(struct alarm *alarm)
{
    struct guest *g = CONTAINER_OF(alarm, struct guest, alarm);
    bool news = g->stream.active_ms != g->heard_ms || g->stream.paused_by_owner;
    g->heard_ms = g->stream.active_ms;
    g->silent_ticks = news ? 0 : g->silent_ticks + 1;
    /* Twice what who dialled waits for: that side gives up first, and knows better why. */
    if (g->silent_ticks >= 2 * MESH_SILENT_TICKS) {
        struct error e;
        error_set(&e, ERR_TIMEOUT, "nothing was heard from it for %d ms", 2 * MESH_SILENT_TICKS * MESH_TICK_MS);
        refuse(g, &e);
        return;
    }
    alarm_set(&g->mesh->alarms, &g->alarm, MESH_TICK_MS, on_tick);
}

static void on_late(struct alarm *alarm)
{
    struct guest *g = CONTAINER_OF(alarm, struct guest, alarm);
    struct error e;
    error_set(&e, ERR_TIMEOUT, "it said no hello within %d ms", MESH_GREET_MS);
    blame(g, &e);
    stream_close(&g->stream);
}

/* Requests of a client are for the layers above; the connection is theirs from here. */
static void hand_over(struct guest *g, struct bytes rest)
{
    const struct mesh_ops *o = g->mesh->options.ops;
    g->blamed = true;
    if (g->hello.purpose == HELLO_CLIENTS && o->clients != NULL)
        o->clients(o->ctx, g->mesh, g->hello.node, &g->stream, rest);
    stream_close(&g->stream); /* also when it was taken over: what is left of it here */
}

static size_t take_hello(struct guest *g, struct bytes in)
{
    struct roster *roster = g->mesh->options.roster;
    struct error e = {0};
    struct hello own;
    size_t used;
    int rc = hello_take(in, &g->hello, &used, &e);
    if (rc == ERR_OK && used == 0)
        return 0;
    if (rc == ERR_OK && g->hello.refused != 0)
        rc = error_set(&e, ERR_PROTOCOL, "a hello that refuses, as the first word");
    if (rc == ERR_OK)
        rc = roster_judge(roster, &g->hello, 0, &e);
    if (rc == ERR_OK && g->hello.purpose == HELLO_FRAMES)
        rc = roster_enter(roster, &g->hello, &e);
    if (rc != ERR_OK) {
        refuse(g, &e);
        return in.len;
    }
    roster_hello(roster, g->hello.node, &own);
    hello_put(stream_out(&g->stream), &own);
    stream_written(&g->stream);
    if (g->hello.purpose != HELLO_FRAMES) {
        hand_over(g, bytes_of(in.data + used, in.len - used));
        return in.len;
    }
    g->greeted = true;
    alarm_set(&g->mesh->alarms, &g->alarm, MESH_TICK_MS, on_tick);
    TRACE(g->mesh->options.trace, TRACE_INFO, "peer came in", trace_u64("node", g->hello.node),
          trace_text("from", g->address), trace_text("software", g->hello.software));
    return used;
}

static size_t on_data(struct stream *s, struct bytes in)
{
    struct guest *g = guest_of(s);
    size_t used = g->greeted ? 0 : take_hello(g, in);
    if (!g->greeted || s->closing)
        return used;
    return used + take_frames(g, bytes_of(in.data + used, in.len - used));
}

static void on_closed(struct stream *s, int why)
{
    struct guest *g = guest_of(s);
    struct mesh *m = g->mesh;
    if (!m->closing) {
        struct error e;
        error_set(&e, ERR_CLOSED, "%s", why == UV_EOF ? "it closed the connection" : stream_why(s));
        blame(g, &e);
    }
    if (g->greeted)
        roster_leave(m->options.roster, g->hello.node);
    alarm_clear(&m->alarms, &g->alarm);
    list_remove(&m->guests, &g->link);
    g->gone = true;
    free_if_gone(g);
}

static const struct stream_ops ops = {.data = on_data, .closed = on_closed};

/* ---------------------------------------------------------------- life */

static void on_accepted(struct listener *listener, void *ctx)
{
    struct mesh *m = ctx;
    struct guest *g = memory_zero(1, sizeof *g);
    g->mesh = m;
    m->open++;
    stream_accept(&g->stream, m->options.loop, (uv_stream_t *)&listener->tcp, &ops);
    stream_peer(&g->stream, g->address, sizeof g->address);
    g->stream.backlog_pause = SIZE_MAX; /* there is nothing to be sent but answers to pings */
    list_append(&m->guests, &g->link);
    if (m->closing || list_count(&m->guests) > MESH_GUESTS_MAX) {
        struct error e;
        error_set(&e, ERR_OVERLOADED, "there are %d connections of peers already", MESH_GUESTS_MAX);
        blame(g, &e);
        stream_close(&g->stream);
        return;
    }
    if (m->options.tls != NULL)
        stream_secure(&g->stream, tls_create(m->options.tls, NULL));
    alarm_set(&m->alarms, &g->alarm, MESH_GREET_MS, on_late);
}

int gate_open(struct mesh *m, struct error *e)
{
    return listener_open(&m->listener, m->options.loop, m->options.listen, m->options.share, on_accepted, m, e);
}

int gate_start(struct mesh *m, struct error *e)
{
    return listener_start(&m->listener, e);
}

void gate_update(struct mesh *m, const struct roster_peer *peers, size_t count)
{
    for (struct list_link *l = list_first(&m->guests); l != NULL; l = list_next(&m->guests, l)) {
        struct guest *g = CONTAINER_OF(l, struct guest, link);
        bool known = !g->greeted || g->stream.closing;
        for (size_t i = 0; i < count; i++)
            known = known || peers[i].node == g->hello.node;
        if (known)
            continue;
        struct error e;
        error_set(&e, ERR_FORBIDDEN, "the node was removed from the cluster");
        refuse(g, &e);
    }
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct listener *l = CONTAINER_OF(handle, struct listener, tcp);
    struct mesh *m = CONTAINER_OF(l, struct mesh, listener);
    m->open--;
    loop_at_turn_end(m->options.loop, TURN_WRITE, &m->end);
}

void gate_close(struct mesh *m)
{
    m->open++;
    listener_close(&m->listener, on_listener_closed);
    for (struct list_link *l = list_first(&m->guests); l != NULL; l = list_next(&m->guests, l))
        stream_close(&CONTAINER_OF(l, struct guest, link)->stream);
}
