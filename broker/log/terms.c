#include "log/terms.h"

#include <string.h>

#include "base/assert.h"
#include "base/memory.h"

void terms_init(struct terms *t, uint64_t index, uint64_t term)
{
    *t = (struct terms){0};
    terms_reset(t, index, term);
}

void terms_close(struct terms *t)
{
    memory_free(t->runs);
    *t = (struct terms){0};
}

static void push(struct terms *t, uint64_t first, uint64_t term)
{
    if (t->n == t->capacity) {
        t->capacity = t->capacity * 2 + 4;
        t->runs = memory_grow(t->runs, t->capacity, sizeof *t->runs);
    }
    t->runs[t->n++] = (struct term_run){first, term};
}

void terms_reset(struct terms *t, uint64_t index, uint64_t term)
{
    t->n = 0;
    push(t, index, term);
    t->last = index;
}

void terms_append(struct terms *t, uint64_t term)
{
    t->last++;
    if (t->runs[t->n - 1].term != term)
        push(t, t->last, term);
}

void terms_skip(struct terms *t, uint64_t last, uint64_t term)
{
    if (last <= t->last)
        return;
    t->last = last;
    if (t->runs[t->n - 1].term != term)
        push(t, last, term);
}

void terms_truncate(struct terms *t, uint64_t from)
{
    ASSERT(from > terms_base(t));
    while (t->runs[t->n - 1].first >= from)
        t->n--;
    if (t->last >= from)
        t->last = from - 1;
}

void terms_compact(struct terms *t, uint64_t upto, uint64_t term)
{
    if (upto <= terms_base(t))
        return;
    if (upto >= t->last) {
        terms_reset(t, upto, term);
        return;
    }
    size_t gone = 0;
    while (gone + 1 < t->n && t->runs[gone + 1].first <= upto)
        gone++;
    memmove(t->runs, t->runs + gone, (t->n - gone) * sizeof *t->runs);
    t->n -= gone;
    t->runs[0] = (struct term_run){upto, term};
}

bool terms_find(const struct terms *t, uint64_t index, uint64_t *term)
{
    if (index < terms_base(t) || index > t->last)
        return false;
    size_t low = 0, high = t->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (t->runs[middle].first <= index)
            low = middle + 1;
        else
            high = middle;
    }
    *term = t->runs[low - 1].term;
    return true;
}
