#include "state/walk.h"

#include "state/chunk.h"

static uint64_t number_at(const struct store_iterator *i)
{
    return chunk_key_number(store_iterator_key(i));
}

static void choose(struct walk *w)
{
    w->at = -1;
    for (int k = 0; k < 2; k++)
        if (store_iterator_valid(w->i[k]) && (w->at < 0 || number_at(w->i[k]) < number_at(w->i[w->at])))
            w->at = k;
}

void walk_open(struct walk *w, const struct machine *m, const struct queue *q, uint64_t from, uint64_t end)
{
    struct keys *ks =
        &((struct machine *)(uintptr_t)m)->keys; /* what is pending goes to the store: nobody sees a change */
    if (from < q->purged_below << 1)
        from = q->purged_below << 1;
    if (end < from)
        end = from;
    for (unsigned k = 0; k < 2; k++) {
        /* the first numbers of the class that are not below */
        struct key first =
            chunk_key(m->options.shard, q->id, chunk_class(from) <= k ? (from & ~UINT64_C(1)) | k : from + 1);
        struct key last =
            chunk_key(m->options.shard, q->id, chunk_class(end) <= k ? (end & ~UINT64_C(1)) | k : end + 1);
        w->i[k] = keys_iterate(ks, &first, &last);
    }
    choose(w);
}

bool walk_valid(const struct walk *w)
{
    return w->at >= 0;
}

uint64_t walk_number(const struct walk *w)
{
    return number_at(w->i[w->at]);
}

struct bytes walk_key(const struct walk *w)
{
    return store_iterator_key(w->i[w->at]);
}

struct bytes walk_value(const struct walk *w)
{
    return store_iterator_value(w->i[w->at]);
}

void walk_next(struct walk *w)
{
    store_iterator_next(w->i[w->at]);
    choose(w);
}

int walk_close(struct walk *w, struct error *e)
{
    int code = ERR_OK;
    for (int k = 0; k < 2; k++) {
        int one = store_iterator_error(w->i[k], code == ERR_OK ? e : NULL);
        if (code == ERR_OK)
            code = one;
        store_iterator_close(w->i[k]);
    }
    return code;
}
