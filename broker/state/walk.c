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

/* Remembers what is gone between where it begins and the first chunk. Chunks are made at the end only, so what was found empty stays
 * so; and since that only spares reading what is not there, replicas can't differ by it, though it is in memory only. One
 * gap is known: who begins elsewhere, where nothing is gone, leaves it. */
struct store_iterator *walk_class(const struct machine *m, const struct queue *q, unsigned chunk_class, uint64_t from,
                                  uint64_t end)
{
    /* nobody sees these change: what is pending goes to the store, and the gap is memory of what was read */
    struct keys *ks = &((struct machine *)(uintptr_t)m)->keys;
    struct chunk_gap *gap = &((struct queue *)(uintptr_t)q)->walked[chunk_class];
    ASSERT(end >> 1 <= q->next_number);
    bool within = from >= gap->from && from <= gap->to;
    if (within && from < gap->to)
        from = gap->to < end ? gap->to : end;
    struct key first = chunk_key(m->options.shard, q->id, from);
    struct key last = chunk_key(m->options.shard, q->id, end);
    struct store_iterator *i = keys_iterate(ks, &first, &last);
    uint64_t found = store_iterator_valid(i) ? number_at(i) : end;
    if (store_iterator_error(i, NULL) != ERR_OK)
        return i;
    if (!within && found > from)
        *gap = (struct chunk_gap){from, found};
    else if (within && found > gap->to)
        gap->to = found;
    return i;
}

void walk_open(struct walk *w, const struct machine *m, const struct queue *q, uint64_t from, uint64_t end)
{
    if (from < q->purged_below << 1)
        from = q->purged_below << 1;
    if (from > end)
        from = end; /* it may have come from a client */
    for (unsigned k = 0; k < 2; k++) {
        /* the first numbers of the class that are not below */
        uint64_t first = chunk_class(from) <= k ? (from & ~UINT64_C(1)) | k : from + 1;
        uint64_t last = chunk_class(end) <= k ? (end & ~UINT64_C(1)) | k : end + 1;
        w->i[k] = walk_class(m, q, k, first, last);
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
