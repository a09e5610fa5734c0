/* cancel: messages that nobody holds are deleted by their sequence. */
#include "state/chunk.h"
#include "state/command.h"
#include "state/lease.h"
#include "state/queue.h"

static int cancel_one(struct machine *m, struct queue *q, uint64_t sequence, uint8_t *out, struct error *e)
{
    struct chunk *c;
    uint64_t bit = chunk_bit(sequence % CHUNK_SLOTS);
    int code = chunk_load(m, q, sequence / CHUNK_SLOTS, &c, e);
    if (code != ERR_OK)
        return code;
    *out = ERR_OK;
    if (c == NULL || (c->live & bit) == 0) {
        *out = ERR_NOT_FOUND;
        return ERR_OK;
    }
    if (((c->leased & bit) != 0 && !lease_holds(c, bit)) || (c->moving & bit) != 0) {
        *out = ERR_CONFLICT;
        return ERR_OK;
    }
    if ((c->leased & bit) != 0)
        lease_release(m, c, bit);
    chunk_drop(m, c, bit, true);
    return chunk_thinned(m, c, e);
}

int command_cancel(struct machine *m, const struct entry_command *c, struct reply *r, struct error *e)
{
    struct entry_cancel in;
    int code = entry_read_cancel(c->payload, &in, e);
    if (code != ERR_OK)
        return code;
    r->queue = in.queue;
    r->count = in.count;
    r->codes = arena_alloc(&m->out->arena, in.count);
    struct queue *q = queue_by_id(m, in.queue);
    if (q == NULL) {
        memset(r->codes, ERR_NOT_FOUND, in.count);
        return ERR_OK;
    }
    for (uint32_t i = 0; i < in.count; i++) {
        code = cancel_one(m, q, cursor_u64(&in.sequences), &r->codes[i], e);
        if (code != ERR_OK)
            return code;
    }
    return ERR_OK;
}
