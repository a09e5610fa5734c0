#include "dispatch/probe.h"

#include <proto/client.pb-c.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/memory.h"
#include "dispatch/core.h"
#include "dispatch/lease.h"
#include "dispatch/message.h"

struct candidate {
    const struct source_message *message;
    const char *group;
    uint64_t tried; /* suspects.h; on a FIFO queue the last of those of its group up to it; 0: not yet */
    uint32_t place; /* in the batch */
};

uint32_t probe_looks_at(const struct endpoint *e, uint32_t take)
{
    uint32_t past = take < PROBE_LOOKS_MAX ? PROBE_LOOKS_MAX - take : 0;
    return take + (e->suspects.count < past ? e->suspects.count : past);
}

static int compare_places(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    return x->place < y->place ? -1 : x->place > y->place;
}

static int compare_tries(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->tried != y->tried)
        return x->tried < y->tried ? -1 : 1;
    return compare_places(a, b);
}

/* None is tried before those of its group that stand before it. */
static void keep_order(struct candidate *all, uint32_t count, struct arena *arena)
{
    for (uint32_t i = 0; i < count; i++) {
        struct message m;
        all[i].group = message_decode(&m, all[i].message, arena) ? m.content->group : "";
        for (uint32_t k = 0; k < i; k++)
            if (all[k].tried > all[i].tried && strcmp(all[k].group, all[i].group) == 0)
                all[i].tried = all[k].tried;
    }
}

void probe_choose(struct lease *l)
{
    struct arena arena = {0};
    uint32_t count = (uint32_t)l->batch->count, sent = 0;
    struct candidate *all = memory_zero(count, sizeof *all);
    for (uint32_t i = 0; i < count; i++) {
        const struct source_message *m = &l->batch->messages[i];
        uint64_t tried = suspects_tried(&l->endpoint->suspects, l->binding->queue, m->token.sequence);
        all[i] = (struct candidate){.message = m, .tried = tried, .place = i};
    }
    if (l->binding->origin.fifo)
        keep_order(all, count, &arena);
    qsort(all, count, sizeof *all, compare_tries);
    while (sent < count && sent < l->take && (all[sent].tried == 0 || all[0].tried > 0))
        sent++;
    qsort(all, sent, sizeof *all, compare_places);
    l->chosen = memory_alloc(sent * sizeof *l->chosen);
    for (uint32_t i = 0; i < sent; i++)
        l->chosen[i] = *all[i].message;
    l->messages = l->chosen;
    l->count = sent;
    arena_close(&arena);
    memory_free(all);
}
