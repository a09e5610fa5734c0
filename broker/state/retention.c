#include "state/retention.h"

#include "state/chunk.h"
#include "state/lane.h"
#include "state/queue.h"

static void use(uint32_t *steps_left, uint32_t steps)
{
    *steps_left -= steps < *steps_left ? steps : *steps_left;
}

void retention_open(struct machine *m, struct chunk *c, uint32_t *steps_left)
{
    uint64_t bits = c->ready;
    if (bits == 0 || chunk_available_ms(c) + c->queue->settings->retention_ms > m->clock_ms)
        return;
    c->queue->counts.expired_total += chunk_bits_count(bits);
    use(steps_left, chunk_bits_count(bits));
    chunk_drop(m, c, bits, true);
}

uint64_t retention_next_ms(const struct queue *q)
{
    uint64_t next = NEVER;
    for (int i = 0; i < 2; i++)
        if (q->fresh_chunks[i] > 0 && q->fresh_from_ms[i] < next)
            next = q->fresh_from_ms[i];
    return next == NEVER ? NEVER : next + q->settings->retention_ms;
}

static bool over(const struct machine *m, const struct queue *q, uint64_t sent_ms)
{
    return sent_ms != NEVER && sent_ms + q->settings->retention_ms <= m->clock_ms;
}

static int expire(struct machine *m, struct chunk *c, uint32_t *steps_left, struct error *e)
{
    uint64_t bits = c->ready;
    uint32_t n = chunk_bits_count(bits);
    c->queue->counts.expired_total += n;
    use(steps_left, n);
    return c->moving == 0 ? chunk_drop_fresh(m, c, bits, true, e) : chunk_wait(m, c, bits, e);
}

/* The default lane's lie in order of time. */
static int expire_default(struct machine *m, struct queue *q, uint32_t *steps_left, struct error *e)
{
    while (over(m, q, q->fresh_from_ms[0]) && *steps_left > 0) {
        struct chunk *c;
        int code = lane_first_fresh(m, &q->lane, &c, e);
        if (code != ERR_OK)
            return code;
        q->fresh_from_ms[0] = c != NULL ? c->sent_ms : NEVER;
        if (c == NULL || !over(m, q, c->sent_ms))
            break;
        q->fresh_from[0] = c->number + 1;
        code = expire(m, c, steps_left, e);
        if (code != ERR_OK)
            return code;
    }
    return ERR_OK;
}

/* The others' lie in order of time too, all lanes together, but among chunks that are not fresh. `*go_on` is false at one that is not
 * over yet. */
static int expire_other(struct machine *m, struct queue *q, uint64_t number, uint32_t *steps_left, bool *go_on,
                        struct error *e)
{
    struct chunk *c;
    use(steps_left, 1);
    int code = chunk_load(m, q, number, &c, e);
    if (code != ERR_OK)
        return code;
    if (c != NULL && c->state == CHUNK_FRESH) {
        q->fresh_from_ms[1] = c->sent_ms;
        *go_on = over(m, q, c->sent_ms);
        if (*go_on)
            code = expire(m, c, steps_left, e);
    }
    q->fresh_from[1] = *go_on ? number + 1 : number;
    return code;
}

static int expire_others(struct machine *m, struct queue *q, uint32_t *steps_left, struct error *e)
{
    struct key from = chunk_key(m->options.shard, q->id, q->fresh_from[1] | 1);
    struct key to = key_of1(m->options.shard, KEY_CHUNK, q->id);
    to = key_after(&to);
    struct store_iterator *i = keys_iterate(&m->keys, &from, &to);
    int code = ERR_OK;
    bool go_on = true;
    while (code == ERR_OK && store_iterator_valid(i) && go_on && *steps_left > 0) {
        code = expire_other(m, q, chunk_key_number(store_iterator_key(i)), steps_left, &go_on, e);
        store_iterator_next(i);
    }
    if (!store_iterator_valid(i) && go_on) { /* nor is there one behind the last: this entry has made none yet */
        q->fresh_from_ms[1] = NEVER;
        q->fresh_from[1] = q->next_number << 1;
    }
    int closed = store_iterator_error(i, e);
    store_iterator_close(i);
    return code != ERR_OK ? code : closed;
}

int retention_fresh(struct machine *m, struct queue *q, uint32_t *steps_left, struct error *e)
{
    if (retention_next_ms(q) > m->clock_ms)
        return ERR_OK;
    queue_mark(m, q);
    int code = expire_default(m, q, steps_left, e);
    if (code == ERR_OK && q->fresh_chunks[1] > 0 && over(m, q, q->fresh_from_ms[1]))
        code = expire_others(m, q, steps_left, e);
    return code;
}
