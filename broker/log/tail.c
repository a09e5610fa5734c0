#include "log/tail.h"

#include "base/assert.h"
#include "base/memory.h"

static struct tail_slot *nth(const struct tail *t, size_t i)
{
    return &t->at[(t->head + i) & (t->capacity - 1)];
}

void tail_close(struct tail *t)
{
    tail_truncate(t, 0);
    memory_free(t->at);
    *t = (struct tail){0};
}

static void resize(struct tail *t, size_t capacity)
{
    struct tail_slot *at = memory_alloc(capacity * sizeof *at);
    for (size_t i = 0; i < t->n; i++)
        at[i] = *nth(t, i);
    memory_free(t->at);
    t->at = at;
    t->head = 0;
    t->capacity = capacity;
}

void tail_push(struct tail *t, const struct log_entry *entry, uint64_t sequence)
{
    ASSERT(t->n == 0 || nth(t, t->n - 1)->entry.index + 1 == entry->index);
    if (t->n == t->capacity)
        resize(t, t->capacity == 0 ? 16 : t->capacity * 2);
    struct tail_slot *slot = nth(t, t->n++);
    *slot = (struct tail_slot){*entry, sequence};
    if (entry->owner != NULL)
        blob_ref(entry->owner);
}

void tail_truncate(struct tail *t, uint64_t from)
{
    while (t->n > 0 && nth(t, t->n - 1)->entry.index >= from)
        blob_unref(nth(t, --t->n)->entry.owner);
}

void tail_drop(struct tail *t, uint64_t upto)
{
    while (t->n > 0 && nth(t, 0)->entry.index <= upto) {
        blob_unref(nth(t, 0)->entry.owner);
        t->head++;
        t->n--;
    }
    if (t->n == 0 && t->capacity > 1024) { /* a burst is over */
        memory_free(t->at);
        *t = (struct tail){0};
    }
}

const struct tail_slot *tail_find(const struct tail *t, uint64_t index)
{
    if (t->n == 0)
        return NULL;
    uint64_t first = nth(t, 0)->entry.index;
    return index >= first && index - first < t->n ? nth(t, (size_t)(index - first)) : NULL;
}
