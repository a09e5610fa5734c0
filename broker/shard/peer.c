#include "shard/peer.h"

void peer_begin(struct buffer *to, enum peer_kind kind)
{
    buffer_u8(to, PEER_VERSION);
    buffer_u8(to, (uint8_t)kind);
}

static int cut_short(struct error *e)
{
    return error_set(e, ERR_PROTOCOL, "a frame from a peer is cut short");
}

int peer_open(struct bytes frame, struct cursor *rest, enum peer_kind *kind, struct error *e)
{
    *rest = cursor_open(frame);
    uint8_t version = cursor_u8(rest);
    *kind = (enum peer_kind)cursor_u8(rest);
    if (rest->failed)
        return cut_short(e);
    if (version != PEER_VERSION)
        return error_set(e, ERR_VERSION, "a frame from a peer has version %u, this build speaks %d", version,
                         PEER_VERSION);
    return ERR_OK;
}

static struct bytes all_that_is_left(struct cursor *c)
{
    return cursor_take(c, cursor_left(c));
}

void peer_put_accept(struct buffer *to, const struct peer_accept *a)
{
    peer_begin(to, PEER_ACCEPT);
    buffer_u16(to, a->source);
    buffer_u64(to, a->round);
}

int peer_get_accept(struct cursor *rest, struct peer_accept *a, struct error *e)
{
    a->source = cursor_u16(rest);
    a->round = cursor_u64(rest);
    a->payload = all_that_is_left(rest);
    return rest->failed ? cut_short(e) : ERR_OK;
}

void peer_put_accepted(struct buffer *to, const struct peer_accepted *a)
{
    peer_begin(to, PEER_ACCEPTED);
    buffer_u16(to, a->target);
    buffer_u64(to, a->round);
    buffer_u8(to, a->code);
    buffer_put(to, a->codes.data, a->codes.len);
}

int peer_get_accepted(struct cursor *rest, struct peer_accepted *a, struct error *e)
{
    a->target = cursor_u16(rest);
    a->round = cursor_u64(rest);
    a->code = cursor_u8(rest);
    a->codes = all_that_is_left(rest);
    return rest->failed ? cut_short(e) : ERR_OK;
}

static void put_key(struct buffer *to, struct bytes key)
{
    buffer_u16(to, (uint16_t)key.len);
    buffer_put(to, key.data, key.len);
}

static struct bytes get_key(struct cursor *rest)
{
    size_t len = cursor_u16(rest);
    return cursor_take(rest, len);
}

static int phase_of(struct cursor *rest, enum snapshot_phase *phase, struct error *e)
{
    uint8_t value = cursor_u8(rest);
    *phase = (enum snapshot_phase)value;
    if (!rest->failed && value > SNAPSHOT_GONE)
        return error_set(e, ERR_PROTOCOL, "a part of a snapshot of kind %u, which this build does not know", value);
    return ERR_OK;
}

void peer_put_want(struct buffer *to, const struct peer_want *w)
{
    peer_begin(to, PEER_WANT);
    buffer_u64(to, w->id);
    buffer_u8(to, (uint8_t)w->phase);
    put_key(to, w->after);
}

int peer_get_want(struct cursor *rest, struct peer_want *w, struct error *e)
{
    w->id = cursor_u64(rest);
    int rc = phase_of(rest, &w->phase, e);
    w->after = get_key(rest);
    if (rc == ERR_OK && w->phase == SNAPSHOT_GONE)
        return error_set(e, ERR_PROTOCOL, "a part of a snapshot that cannot be asked for");
    return rc == ERR_OK && rest->failed ? cut_short(e) : rc;
}

void peer_put_part(struct buffer *to, const struct peer_part *p)
{
    peer_begin(to, PEER_PART);
    buffer_u64(to, p->id);
    buffer_u8(to, (uint8_t)p->phase);
    buffer_u8(to, p->last);
    put_key(to, p->after);
    put_key(to, p->position);
    buffer_u64(to, p->hash);
}

int peer_get_part(struct cursor *rest, struct peer_part *p, struct bytes *records, struct error *e)
{
    p->id = cursor_u64(rest);
    int rc = phase_of(rest, &p->phase, e);
    p->last = cursor_u8(rest) != 0;
    p->after = get_key(rest);
    p->position = get_key(rest);
    p->hash = cursor_u64(rest);
    *records = all_that_is_left(rest);
    return rc == ERR_OK && rest->failed ? cut_short(e) : rc;
}

void peer_put_member(struct buffer *to, uint64_t question)
{
    peer_begin(to, PEER_MEMBER);
    buffer_u64(to, question);
}

int peer_get_member(struct cursor *rest, uint64_t *question, struct error *e)
{
    *question = cursor_u64(rest);
    return rest->failed ? cut_short(e) : ERR_OK;
}

void peer_put_stranger(struct buffer *to, uint64_t question, uint64_t term)
{
    peer_begin(to, PEER_STRANGER);
    buffer_u64(to, question);
    buffer_u64(to, term);
}

int peer_get_stranger(struct cursor *rest, uint64_t *question, uint64_t *term, struct error *e)
{
    *question = cursor_u64(rest);
    *term = cursor_u64(rest);
    return rest->failed ? cut_short(e) : ERR_OK;
}

void peer_put_lead(struct buffer *to, uint64_t term)
{
    peer_begin(to, PEER_LEAD);
    buffer_u64(to, term);
}

int peer_get_lead(struct cursor *rest, uint64_t *term, struct error *e)
{
    *term = cursor_u64(rest);
    return rest->failed ? cut_short(e) : ERR_OK;
}
