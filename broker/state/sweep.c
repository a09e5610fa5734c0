#include "state/sweep.h"

#include "state/chunk.h"

enum { SWEEP_VERSION = 1, SWEEP_STEPS = 10 /* a chunk takes some reads: as much as so many messages falling due */ };

static void put(struct machine *m, const struct sweep *s)
{
    struct key key = key_of1(m->options.shard, KEY_SWEEP, s->queue);
    struct buffer *b = keys_begin(&m->keys, SWEEP_VERSION);
    buffer_varint(b, s->below);
    buffer_varint(b, s->at[0]);
    buffer_varint(b, s->at[1]);
    keys_put(&m->keys, &key);
}

void sweep_add(struct machine *m, uint64_t queue, uint64_t below)
{
    struct sweep *s = tree_find(&m->sweeps, queue);
    if (s == NULL) {
        s = memory_zero(1, sizeof *s);
        s->queue = queue;
        tree_put(&m->sweeps, queue, s);
    }
    s->below = below;
    put(m, s);
}

static int sweep_chunk(struct machine *m, const struct sweep *s, uint64_t number, uint32_t *steps_left, struct error *e)
{
    struct message_ref refs[EXTENT_CHUNK_SLOTS];
    size_t count = 0;
    uint16_t shard = m->options.shard;
    int code = chunk_live_refs(m->store, NULL, shard, s->queue, number, &m->scratch, refs, &count, e);
    if (code != ERR_OK)
        return code;
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += refs[i].len;
    if (count > 0)
        extent_gone(m->extents, refs[0].index, (uint32_t)count, bytes);
    struct key chunk = chunk_key(shard, s->queue, number);
    struct key touch = key_of2(shard, KEY_TOUCH, s->queue, number);
    struct key cold = key_of2(shard, KEY_COLD, s->queue, number);
    keys_delete(&m->keys, &chunk);
    keys_delete(&m->keys, &touch);
    keys_delete(&m->keys, &cold);
    *steps_left -= *steps_left < SWEEP_STEPS ? *steps_left : SWEEP_STEPS;
    return ERR_OK;
}

static int sweep_class(struct machine *m, struct sweep *s, unsigned chunk_class, uint32_t *steps_left, bool *done,
                       struct error *e)
{
    struct key from = chunk_key(m->options.shard, s->queue, s->at[chunk_class] << 1 | chunk_class);
    struct key to = chunk_key(m->options.shard, s->queue, s->below << 1 | chunk_class);
    *done = true;
    if (bytes_compare(key_view(&from), key_view(&to)) >= 0)
        return ERR_OK;
    struct store_iterator *i = keys_iterate(&m->keys, &from, &to);
    int code = ERR_OK;
    while (code == ERR_OK && store_iterator_valid(i) && *steps_left > 0) {
        uint64_t number = chunk_key_number(store_iterator_key(i));
        code = sweep_chunk(m, s, number, steps_left, e);
        s->at[chunk_class] = (number >> 1) + 1;
        store_iterator_next(i);
    }
    *done = !store_iterator_valid(i);
    if (*done) /* what lies behind the last one is gone, and need not be gone over while the other class is swept */
        s->at[chunk_class] = s->below;
    int closed = store_iterator_error(i, e);
    store_iterator_close(i);
    return code != ERR_OK ? code : closed;
}

int sweep_step(struct machine *m, uint32_t *steps_left, struct error *e)
{
    struct sweep *s;
    while (*steps_left > 0 && (s = tree_first(&m->sweeps, NULL)) != NULL) {
        bool done = false;
        int code = sweep_class(m, s, 0, steps_left, &done, e);
        if (code == ERR_OK && done)
            code = sweep_class(m, s, 1, steps_left, &done, e);
        if (code != ERR_OK)
            return code;
        if (!done) {
            put(m, s);
            return ERR_OK;
        }
        struct key key = key_of1(m->options.shard, KEY_SWEEP, s->queue);
        keys_delete(&m->keys, &key);
        tree_remove(&m->sweeps, s->queue);
        memory_free(s);
    }
    return ERR_OK;
}

static int load(struct machine *m, struct bytes key, struct bytes value, struct error *e)
{
    struct sweep s = {0};
    struct cursor c;
    if (!key_numbers(key, KEY_SWEEP, &s.queue, 1))
        return value_corrupt(key, "the key is malformed", e);
    int code = value_open(key, value, SWEEP_VERSION, &c, e);
    if (code != ERR_OK)
        return code;
    s.below = cursor_varint(&c);
    s.at[0] = cursor_varint(&c);
    s.at[1] = cursor_varint(&c);
    code = value_done(key, &c, e);
    if (code != ERR_OK)
        return code;
    struct sweep *kept = memory_alloc(sizeof *kept);
    *kept = s;
    tree_put(&m->sweeps, s.queue, kept);
    return ERR_OK;
}

int sweep_load_all(struct machine *m, struct error *e)
{
    struct key from = key_of(m->options.shard, KEY_SWEEP);
    struct key to = key_after(&from);
    struct store_iterator *i = keys_iterate(&m->keys, &from, &to);
    int code = ERR_OK;
    for (; code == ERR_OK && store_iterator_valid(i); store_iterator_next(i))
        code = load(m, store_iterator_key(i), store_iterator_value(i), e);
    int closed = store_iterator_error(i, e);
    store_iterator_close(i);
    return code != ERR_OK ? code : closed;
}

void sweep_free_all(struct machine *m)
{
    struct sweep *s;
    uint64_t queue;
    while ((s = tree_first(&m->sweeps, &queue)) != NULL) {
        tree_remove(&m->sweeps, queue);
        memory_free(s);
    }
}
