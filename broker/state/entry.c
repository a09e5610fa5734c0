#include "state/entry.h"

#include "base/assert.h"
#include "base/utf8.h"

enum { COUNT_AT = 4, TIME_AT = 8, LEASE_BYTES = 16 };

/* ---------------------------------------------------------------- writing */

void entry_open(struct entry_writer *w, struct buffer *out, uint64_t time_ms, uint64_t seed)
{
    *w = (struct entry_writer){.out = out, .start = out->len};
    buffer_u16(out, ENTRY_VERSION);
    buffer_u16(out, 0);
    buffer_u32(out, 0);
    buffer_u64(out, time_ms);
    buffer_u64(out, seed);
}

size_t entry_bytes(const struct entry_writer *w)
{
    return w->out->len - w->start;
}

bool entry_fits(const struct entry_writer *w, size_t len)
{
    return w->count < ENTRY_COMMANDS_MAX && len <= ENTRY_BYTES_MAX &&
           entry_bytes(w) + ENTRY_COMMAND_BYTES + len <= ENTRY_BYTES_MAX;
}

void entry_close(struct entry_writer *w)
{
    uint8_t *at = w->out->data + w->start + COUNT_AT;
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(w->count >> (8 * i));
    w->out = NULL;
}

void entry_stamp(struct buffer *payload, uint64_t time_ms)
{
    ASSERT(payload->len >= ENTRY_HEADER_BYTES);
    for (int i = 0; i < 8; i++)
        payload->data[TIME_AT + i] = (uint8_t)(time_ms >> (8 * i));
}

static void begin(struct entry_writer *w, enum command_kind kind, size_t len)
{
    ASSERT(entry_fits(w, len));
    buffer_reserve(w->out, ENTRY_COMMAND_BYTES + len);
    buffer_u8(w->out, (uint8_t)kind);
    buffer_u8(w->out, 0);
    buffer_u16(w->out, 0);
    buffer_u32(w->out, (uint32_t)len);
    w->count++;
}

size_t entry_send_bytes(const struct bytes *messages, size_t count)
{
    size_t len = 36;
    for (size_t i = 0; i < count; i++)
        len += 4 + messages[i].len;
    return len;
}

void entry_add_send(struct entry_writer *w, const struct entry_send *send, const struct bytes *messages)
{
    begin(w, COMMAND_SEND, entry_send_bytes(messages, send->count));
    buffer_u64(w->out, send->queue);
    buffer_u64(w->out, send->producer);
    buffer_u64(w->out, send->sequence);
    buffer_u64(w->out, send->settled_below);
    buffer_u32(w->out, send->count);
    for (uint32_t i = 0; i < send->count; i++) {
        buffer_u32(w->out, (uint32_t)messages[i].len);
        buffer_put(w->out, messages[i].data, messages[i].len);
    }
}

void entry_add_receive(struct entry_writer *w, const struct entry_receive *receive)
{
    begin(w, COMMAND_RECEIVE, 32);
    buffer_u64(w->out, receive->queue);
    buffer_u32(w->out, receive->max_messages);
    buffer_u32(w->out, receive->max_bytes);
    buffer_u64(w->out, receive->visibility_ms);
    buffer_u64(w->out, receive->tag);
}

static void put_leases(struct buffer *out, const struct entry_lease *leases, uint32_t count)
{
    buffer_u32(out, count);
    for (uint32_t i = 0; i < count; i++) {
        buffer_u64(out, leases[i].sequence);
        buffer_u64(out, leases[i].lease);
    }
}

void entry_add_ack(struct entry_writer *w, uint64_t queue, const struct entry_lease *leases, uint32_t count)
{
    begin(w, COMMAND_ACK, 12 + (size_t)count * LEASE_BYTES);
    buffer_u64(w->out, queue);
    put_leases(w->out, leases, count);
}

void entry_add_nack(struct entry_writer *w, const struct entry_settle *settle, const struct entry_lease *leases)
{
    struct bytes error = utf8_cut(settle->error, ENTRY_ERROR_MAX);
    begin(w, COMMAND_NACK, 28 + error.len + (size_t)settle->count * LEASE_BYTES);
    buffer_u64(w->out, settle->queue);
    buffer_u64(w->out, settle->delay_ms);
    buffer_u32(w->out, settle->status);
    buffer_u8(w->out, settle->uncounted ? 1 : 0);
    buffer_u8(w->out, 0);
    buffer_u16(w->out, (uint16_t)error.len);
    buffer_put(w->out, error.data, error.len);
    put_leases(w->out, leases, settle->count);
}

void entry_add_extend(struct entry_writer *w, uint64_t queue, uint64_t visibility_ms, const struct entry_lease *leases,
                      uint32_t count)
{
    begin(w, COMMAND_EXTEND, 20 + (size_t)count * LEASE_BYTES);
    buffer_u64(w->out, queue);
    buffer_u64(w->out, visibility_ms);
    put_leases(w->out, leases, count);
}

void entry_add_cancel(struct entry_writer *w, uint64_t queue, const uint64_t *sequences, uint32_t count)
{
    begin(w, COMMAND_CANCEL, 12 + (size_t)count * 8);
    buffer_u64(w->out, queue);
    buffer_u32(w->out, count);
    for (uint32_t i = 0; i < count; i++)
        buffer_u64(w->out, sequences[i]);
}

void entry_add(struct entry_writer *w, enum command_kind kind, struct bytes payload)
{
    begin(w, kind, payload.len);
    buffer_put(w->out, payload.data, payload.len);
}

/* ---------------------------------------------------------------- reading */

static int corrupt(struct error *e, const char *what)
{
    return error_set(e, ERR_CORRUPT, "a committed log entry is malformed: %s", what);
}

int entry_read(struct entry_reader *r, struct bytes payload, struct error *e)
{
    *r = (struct entry_reader){.base = payload.data, .at = cursor_open(payload)};
    uint16_t version = cursor_u16(&r->at);
    uint16_t flags = cursor_u16(&r->at);
    r->count = cursor_u32(&r->at);
    r->time_ms = cursor_u64(&r->at);
    r->seed = cursor_u64(&r->at);
    if (r->at.failed)
        return corrupt(e, "it is shorter than its header");
    if (version != ENTRY_VERSION || flags != 0)
        return error_set(e, ERR_VERSION,
                         "a log entry has version %u (flags %u), this build reads version %d: upgrade this node",
                         version, flags, ENTRY_VERSION);
    if (r->count > ENTRY_COMMANDS_MAX)
        return corrupt(e, "it has more commands than an entry may");
    return ERR_OK;
}

int entry_next(struct entry_reader *r, struct entry_command *c, bool *more, struct error *e)
{
    *more = false;
    if (r->done == r->count)
        return cursor_left(&r->at) == 0 ? ERR_OK : corrupt(e, "bytes after its last command");
    c->kind = cursor_u8(&r->at);
    uint8_t zero = cursor_u8(&r->at);
    uint16_t zeros = cursor_u16(&r->at);
    c->payload = cursor_take(&r->at, cursor_u32(&r->at));
    if (r->at.failed)
        return corrupt(e, "a command is longer than the entry");
    if (zero != 0 || zeros != 0)
        return corrupt(e, "reserved bytes of a command are not zero");
    r->done++;
    *more = true;
    return ERR_OK;
}

int entry_read_send(struct bytes payload, struct entry_send *out, struct error *e)
{
    struct cursor c = cursor_open(payload);
    *out = (struct entry_send){0};
    out->queue = cursor_u64(&c);
    out->producer = cursor_u64(&c);
    out->sequence = cursor_u64(&c);
    out->settled_below = cursor_u64(&c);
    out->count = cursor_u32(&c);
    out->messages = c;
    if (c.failed || out->count > cursor_left(&c) / 4)
        return corrupt(e, "a send is too short");
    for (uint32_t i = 0; i < out->count; i++)
        cursor_take(&c, cursor_u32(&c));
    return c.failed || cursor_left(&c) != 0 ? corrupt(e, "the lengths of a send do not add up") : ERR_OK;
}

struct bytes entry_send_next(struct entry_send *s)
{
    return cursor_take(&s->messages, cursor_u32(&s->messages));
}

int entry_read_receive(struct bytes payload, struct entry_receive *out, struct error *e)
{
    struct cursor c = cursor_open(payload);
    out->queue = cursor_u64(&c);
    out->max_messages = cursor_u32(&c);
    out->max_bytes = cursor_u32(&c);
    out->visibility_ms = cursor_u64(&c);
    out->tag = cursor_u64(&c);
    return c.failed || cursor_left(&c) != 0 ? corrupt(e, "a receive has the wrong length") : ERR_OK;
}

int entry_read_settle(enum command_kind kind, struct bytes payload, struct entry_settle *out, struct error *e)
{
    struct cursor c = cursor_open(payload);
    *out = (struct entry_settle){0};
    out->queue = cursor_u64(&c);
    if (kind != COMMAND_ACK)
        out->delay_ms = cursor_u64(&c);
    if (kind == COMMAND_NACK) {
        out->status = cursor_u32(&c);
        out->uncounted = cursor_u8(&c) != 0;
        cursor_u8(&c);
        out->error = cursor_take(&c, cursor_u16(&c));
    }
    out->count = cursor_u32(&c);
    out->leases = c;
    if (c.failed || out->error.len > ENTRY_ERROR_MAX || cursor_left(&c) != (size_t)out->count * LEASE_BYTES)
        return corrupt(e, "the lengths of an ack, nack or extend do not add up");
    return ERR_OK;
}

struct entry_lease entry_lease_next(struct entry_settle *s)
{
    struct entry_lease l;
    l.sequence = cursor_u64(&s->leases);
    l.lease = cursor_u64(&s->leases);
    return l;
}

int entry_read_cancel(struct bytes payload, struct entry_cancel *out, struct error *e)
{
    struct cursor c = cursor_open(payload);
    out->queue = cursor_u64(&c);
    out->count = cursor_u32(&c);
    out->sequences = c;
    if (c.failed || cursor_left(&c) != (size_t)out->count * 8)
        return corrupt(e, "the lengths of a cancel do not add up");
    return ERR_OK;
}
