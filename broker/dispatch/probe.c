#include "dispatch/probe.h"

#include <proto/client.pb-c.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/memory.h"
#include "dispatch/binding.h"
#include "dispatch/core.h"
#include "dispatch/lease.h"
#include "dispatch/message.h"

/* In the order in which they are tried. */
enum stage { STAGE_HALVING, STAGE_UNTRIED, STAGE_ALONE };

struct turn {
    enum stage stage;
    uint32_t together; /* of those that are halved */
    uint64_t last;     /* the request that came to nothing last */
};

struct candidate {
    const struct source_message *message;
    const char *group;
    struct turn turn; /* on a FIFO queue the last of those of its group up to it */
    uint32_t place;   /* in the batch */
};

/* Messages of a queue that now feeds another function, too. */
static bool is_there(void *ctx, uint64_t queue, uint64_t sequence)
{
    const struct endpoint *e = ctx;
    const struct dispatcher *d = e->dispatcher;
    const struct binding *b = idmap_find(&d->bindings, queue);
    return b != NULL && b->endpoint == e && d->ops->holds(d->ctx, queue, sequence);
}

void probe_begin(struct endpoint *e)
{
    suspects_keep(&e->suspects, timers_now_ms(&e->dispatcher->timers), is_there, e);
}

uint32_t probe_looks_at(const struct endpoint *e, uint32_t take)
{
    uint32_t past = take < PROBE_LOOKS_MAX ? PROBE_LOOKS_MAX - take : 0;
    uint32_t known = suspects_count(&e->suspects);
    return take + (known < past ? known : past);
}

uint32_t probe_bytes(const struct endpoint *e)
{
    return suspects_count(&e->suspects) > 0 ? PROBE_BYTES_MAX : DISPATCHER_LEASE_BYTES_MAX;
}

static const struct suspect *known(const struct lease *l, const struct source_message *m)
{
    return suspects_find(&l->endpoint->suspects, l->binding->queue, m->token.sequence);
}

static struct turn turn_of(const struct lease *l, const struct source_message *m)
{
    const struct suspect *s = known(l, m);
    if (s == NULL)
        return (struct turn){.stage = STAGE_UNTRIED};
    if (s->together > 1)
        return (struct turn){STAGE_HALVING, s->together, s->last};
    return (struct turn){.stage = STAGE_ALONE, .last = s->last};
}

static int compare_turns(const struct turn *a, const struct turn *b)
{
    if (a->stage != b->stage)
        return a->stage < b->stage ? -1 : 1;
    if (a->together != b->together)
        return a->together < b->together ? -1 : 1;
    return a->last < b->last ? -1 : a->last > b->last;
}

/* How many may be sent with this one. */
static uint32_t most_with(const struct lease *l, const struct source_message *m)
{
    const struct suspect *s = known(l, m);
    return s != NULL && suspect_next(s) < l->take ? suspect_next(s) : l->take;
}

uint32_t probe_alike(const struct lease *l)
{
    const struct source_message *all = l->batch->messages;
    const struct turn first = turn_of(l, &all[0]);
    uint32_t most = most_with(l, &all[0]), count = 1;
    for (; count < l->batch->count && count < most; count++) {
        const struct turn next = turn_of(l, &all[count]);
        if (compare_turns(&next, &first) != 0)
            break;
    }
    return count;
}

static int compare_places(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    return x->place < y->place ? -1 : x->place > y->place;
}

static int compare_candidates(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    int order = compare_turns(&x->turn, &y->turn);
    return order != 0 ? order : compare_places(a, b);
}

/* None is tried before those of its group that stand before it. */
static void keep_order(struct candidate *all, uint32_t count, struct arena *arena)
{
    for (uint32_t i = 0; i < count; i++) {
        struct message m;
        all[i].group = message_decode(&m, all[i].message, arena) ? m.content->group : "";
        for (uint32_t k = 0; k < i; k++)
            if (compare_turns(&all[k].turn, &all[i].turn) > 0 && strcmp(all[k].group, all[i].group) == 0)
                all[i].turn = all[k].turn;
    }
}

/* Of the sorted ones. */
static uint32_t count_sent(const struct lease *l, const struct candidate *all, uint32_t count)
{
    uint32_t most = most_with(l, all[0].message), sent = 0;
    uint64_t bytes = 0;
    while (sent < count && sent < most && compare_turns(&all[sent].turn, &all[0].turn) == 0) {
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
        all[i] = (struct candidate){.message = m, .turn = turn_of(l, m), .place = i};
    }
    if (l->binding->origin.fifo)
        keep_order(all, count, &arena);
    qsort(all, count, sizeof *all, compare_candidates);
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
