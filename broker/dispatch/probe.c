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

uint32_t probe_bytes(const struct endpoint *e)
{
    return e->suspects.count > 0 ? PROBE_BYTES_MAX : DISPATCHER_LEASE_BYTES_MAX;
}

static uint64_t tried(const struct lease *l, const struct source_message *m)
{
    return suspects_tried(&l->endpoint->suspects, l->binding->queue, m->token.sequence);
}

/* How many may be sent with this one. */
static uint32_t most_with(const struct lease *l, const struct source_message *m)
{
    uint32_t next = suspects_next(&l->endpoint->suspects, l->binding->queue, m->token.sequence);
    return next > 0 && next < l->take ? next : l->take;
}

uint32_t probe_alike(const struct lease *l)
{
    const struct source_message *all = l->batch->messages;
    uint64_t first = tried(l, &all[0]);
    uint32_t most = most_with(l, &all[0]), count = 1;
    while (count < l->batch->count && count < most && tried(l, &all[count]) == first)
        count++;
    return count;
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

/* Of the sorted ones. */
static uint32_t count_sent(const struct lease *l, const struct candidate *all, uint32_t count)
{
    uint32_t most = most_with(l, all[0].message), sent = 0;
    uint64_t bytes = 0;
    while (sent < count && sent < most && all[sent].tried == all[0].tried) {
        bytes += all[sent].message->message.len;
        if (sent > 0 && bytes > DISPATCHER_LEASE_BYTES_MAX)
            break;
        sent++;
    }
    return sent;
}

static struct source_message copy_of(struct arena *arena, const struct source_message *m)
{
    struct source_message copy = *m;
    copy.message = bytes_of(arena_copy(arena, m->message.data, m->message.len), m->message.len);
    copy.receipt = bytes_of(arena_copy(arena, m->receipt.data, m->receipt.len), m->receipt.len);
    copy.id = arena_text(arena, m->id, strlen(m->id));
    return copy;
}

void probe_choose(struct lease *l)
{
    struct arena arena = {0};
    uint32_t count = (uint32_t)l->batch->count;
    struct candidate *all = memory_zero(count, sizeof *all);
    for (uint32_t i = 0; i < count; i++) {
        const struct source_message *m = &l->batch->messages[i];
        all[i] = (struct candidate){.message = m, .tried = tried(l, m), .place = i};
    }
    if (l->binding->origin.fifo)
        keep_order(all, count, &arena);
    qsort(all, count, sizeof *all, compare_tries);
    uint32_t sent = count_sent(l, all, count);
    qsort(all, sent, sizeof *all, compare_places);
    struct source_message *chosen = arena_alloc(&l->chosen, sent * sizeof *chosen);
    for (uint32_t i = 0; i < sent; i++)
        chosen[i] = copy_of(&l->chosen, all[i].message);
    l->messages = chosen;
    l->count = sent;
    arena_close(&arena);
    memory_free(all);
}
