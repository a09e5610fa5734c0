#include "state/provenance.h"

#include "proto/client.pb-c.h"
#include "state/chunk.h"
#include "state/unpack.h"

enum { PROVENANCE_TAG = 15 << 3 | 2 };

/* Fields that are written also when there is nothing in them, lest an earlier move's stay. */
enum { ATTEMPTS = 4, FIRST_RECEIVED = 5, LAST_ERROR = 8, LAST_STATUS = 9 };

/* The reason of a dead letter. */
static const char dead[] = "max-receives";

/* ---------------------------------------------------------------- setting out */

static int read_error(struct machine *m, const struct chunk *c, unsigned slot, struct lasterror *out, struct error *e)
{
    *out = (struct lasterror){0};
    if ((c->errors & chunk_bit(slot)) == 0)
        return ERR_OK;
    int code = lasterror_get(&m->keys, c->queue->id, chunk_sequence(c->number, slot), out, e);
    return code == ERR_NOT_FOUND ? ERR_OK : code;
}

/* A redrive takes a dead letter elsewhere than where it came from: it stays one, and can still be redriven there. */
static bool stays_dead(const struct lasterror *last, struct bytes destination)
{
    return last->source.len > 0 && bytes_equal(last->reason, bytes_text(dead)) &&
           !bytes_equal(last->source, destination);
}

/* The field `provenance` as it is appended to a Message. What it doesn't say stays as an earlier move said it: with reason NULL
 * all but when it moved and the last error and status. */
static void put(struct machine *m, const struct chunk *c, unsigned slot, const struct lasterror *last,
                const char *reason, struct buffer *out)
{
    struct queue *q = c->queue;
    char id[IDENTITY_MESSAGE_ID_LEN + 1];
    char text[LASTERROR_TEXT_MAX + 1];
    size_t len = last->text.len < LASTERROR_TEXT_MAX ? last->text.len : LASTERROR_TEXT_MAX;
    if (len > 0)
        memcpy(text, last->text.data, len);
    text[len] = '\0';
    identity_message_id(id, q->id, chunk_sequence(c->number, slot));
    Hato__Provenance p = HATO__PROVENANCE__INIT;
    p.moved_ms = m->clock_ms;
    if (reason != NULL) {
        p.source_queue = q->name;
        p.message_id = id;
        p.sent_ms = last->source.len == 0 ? c->sent_ms : 0;
        p.attempts = c->touches != NULL ? c->touches[slot].receives : 0;
        p.first_received_ms = c->touches != NULL ? c->touches[slot].first_ms : 0;
        p.reason = (char *)(uintptr_t)reason;
    }
    p.last_error = text;
    p.last_status = last->status;
    bool none[] = {[LAST_ERROR] = len == 0,
                   [LAST_STATUS] = last->status == 0,
                   [ATTEMPTS] = reason != NULL && p.attempts == 0,
                   [FIRST_RECEIVED] = reason != NULL && p.first_received_ms == 0};
    size_t size = hato__provenance__get_packed_size(&p), zeros = 0;
    for (unsigned i = 0; i < sizeof none; i++)
        zeros += none[i];
    buffer_varint(out, PROVENANCE_TAG);
    buffer_varint(out, size + 2 * zeros);
    hato__provenance__pack(&p, buffer_reserve(out, size));
    out->len += size;
    for (unsigned i = 0; i < sizeof none; i++)
        if (none[i]) {
            buffer_varint(out, i << 3 | (i == LAST_ERROR ? 2 : 0));
            buffer_varint(out, 0);
        }
}

int provenance_put(struct machine *m, const struct chunk *c, unsigned slot, struct bytes destination, bool redrive,
                   struct lasterror *last, struct buffer *out, struct error *e)
{
    int code = read_error(m, c, slot, last, e);
    if (code != ERR_OK)
        return code;
    const char *reason = !redrive ? dead : stays_dead(last, destination) ? NULL : "redrive";
    put(m, c, slot, last, reason, out);
    return ERR_OK;
}

/* ---------------------------------------------------------------- arriving */

void provenance_keep(struct machine *m, struct queue *q, struct stored s, struct bytes raw, const struct moving *back)
{
    struct buffer *all = &m->scratch;
    buffer_clear(all);
    if (!message_provenance(raw, all) || all->len == 0)
        return;
    ProtobufCAllocator allocator = unpack_allocator(&m->out->arena);
    Hato__Provenance *p = hato__provenance__unpack(&allocator, all->len, all->data);
    if (p == NULL)
        return;
    struct lasterror l = {
        .text = bytes_text(p->last_error),
        .status = p->last_status,
        .source = back != NULL ? back->source : bytes_text(p->source_queue),
        .reason = back != NULL ? back->reason : bytes_text(p->reason),
    };
    if (l.source.len > IDENTITY_NAME_MAX)
        return;
    lasterror_put(&m->keys, q->id, s.sequence, &l);
    s.chunk->errors |= chunk_bit(s.slot);
}
