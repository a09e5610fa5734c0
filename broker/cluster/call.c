#include "cluster/call.h"

static struct call *call_of(struct stream *s)
{
    return CONTAINER_OF(s, struct call, stream);
}

static void blame(struct call *c, const struct error *e)
{
    if (c->blamed.code == ERR_OK && e != NULL)
        c->blamed = *e;
}

static void end(struct call *c)
{
    struct error why = c->blamed;
    alarm_clear(&c->mesh->alarms, &c->alarm);
    c->ops->ended(c, &why);
}

void call_end(struct call *c, const struct error *why)
{
    struct error closed;
    error_set(&closed, ERR_CLOSED, "this node closed the connection");
    blame(c, why != NULL ? why : &closed);
    if (c->step == CALL_FINDING)
        resolve_cancel(&c->resolve); /* goes on in on_found */
    else
        stream_close(&c->stream);
}

static void on_late(struct alarm *alarm)
{
    struct call *c = CONTAINER_OF(alarm, struct call, alarm);
    static const char *const what[] = {
        [CALL_FINDING] = "its name was not resolved",
        [CALL_DIALLING] = "it did not answer",
        [CALL_GREETING] = "it accepted the connection and said no hello",
    };
    struct error e;
    error_set(&e, ERR_TIMEOUT, "%s within %d ms", what[c->step], MESH_GREET_MS);
    call_end(c, &e);
}

/* ---------------------------------------------------------------- the connection */

static void on_connected(struct stream *s)
{
    struct call *c = call_of(s);
    struct hello h;
    c->step = CALL_GREETING;
    roster_hello(c->mesh->options.roster, c->peer.node, &h);
    h.purpose = c->purpose;
    hello_put(stream_out(s), &h);
    stream_written(s);
}

static size_t take_hello(struct call *c, struct bytes in)
{
    struct hello h;
    struct error e = {0};
    size_t used;
    int rc = hello_take(in, &h, &used, &e);
    if (rc == ERR_OK && used == 0)
        return 0;
    if (rc == ERR_OK && h.refused != 0)
        rc = error_set(&e, ERR_FORBIDDEN, "it refuses this node: %s", h.why);
    if (rc == ERR_OK)
        rc = roster_judge(c->mesh->options.roster, &h, c->peer.node, &e);
    if (rc != ERR_OK) {
        call_end(c, &e);
        return in.len;
    }
    c->step = CALL_UP;
    alarm_clear(&c->mesh->alarms, &c->alarm);
    c->ops->up(c, &h);
    return used;
}

static size_t on_data(struct stream *s, struct bytes in)
{
    struct call *c = call_of(s);
    size_t used = c->step == CALL_UP ? 0 : take_hello(c, in);
    if (c->step != CALL_UP || s->closing)
        return used;
    return used + c->ops->data(c, bytes_of(in.data + used, in.len - used));
}

static void on_closed(struct stream *s, int why)
{
    struct call *c = call_of(s);
    struct error e;
    error_set(&e, why == UV_EPROTO ? ERR_UNAUTHENTICATED : ERR_IO, "%s",
              why == UV_EOF ? "it closed the connection" : stream_why(s));
    blame(c, &e);
    end(c);
}

static const struct stream_ops ops = {.connected = on_connected, .data = on_data, .closed = on_closed};

/* ---------------------------------------------------------------- dialling */

static void on_found(struct resolve *r)
{
    struct call *c = CONTAINER_OF(r, struct call, resolve);
    struct mesh *m = c->mesh;
    if (c->blamed.code != ERR_OK) {
        end(c);
        return;
    }
    if (r->count == 0) {
        error_set(&c->blamed, ERR_NOT_FOUND, "its name can't be resolved: %s", uv_strerror(r->failure));
        end(c);
        return;
    }
    c->step = CALL_DIALLING;
    stream_connect(&c->stream, m->options.loop, &r->found[c->attempt % r->count].any, &ops);
    if (m->options.tls != NULL)
        stream_secure(&c->stream, tls_create(m->options.tls, c->peer.host));
}

void call_start(struct call *c, struct mesh *m, const struct roster_peer *peer, enum hello_purpose purpose,
                unsigned attempt, const struct call_ops *call_ops)
{
    *c = (struct call){.mesh = m, .peer = *peer, .ops = call_ops, .purpose = purpose, .attempt = attempt};
    alarm_set(&m->alarms, &c->alarm, MESH_GREET_MS, on_late);
    resolve_start(&c->resolve, m->options.loop, peer->host, peer->port, on_found);
}
