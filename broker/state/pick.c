#include "state/pick.h"

#include "state/chunk.h"
#include "state/lane.h"
#include "state/queue.h"

enum {
    LOWEST_EVERY = 16, /* picks: the last of so many goes to the lowest priority */
    TURN_STEP = 1000,  /* of virtual time, for a weight of 1 */
};

/* ---------------------------------------------------------------- a heap of lanes */

/* Rounded down, so that with few in flight the turns decide: a group of weight 10 has ten for each one of a group of weight 1. */
static uint64_t load_of(const struct lane *l)
{
    return l->in_flight / l->weight;
}

/* A total order, so that the first of a heap does not depend on how the heap came to be. */
static bool before(const struct lane *a, const struct lane *b)
{
    uint64_t load_a = load_of(a);
    uint64_t load_b = load_of(b);
    if (load_a != load_b)
        return load_a < load_b;
    if (a->turn != b->turn)
        return a->turn < b->turn;
    return a->id < b->id;
}

static void place(struct lane_heap *h, uint32_t at, struct lane *l)
{
    h->lanes[at] = l;
    l->place = at + 1;
}

static void sift_up(struct lane_heap *h, uint32_t at, struct lane *l)
{
    while (at > 0 && before(l, h->lanes[(at - 1) / 2])) {
        place(h, at, h->lanes[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    place(h, at, l);
}

static void sift_down(struct lane_heap *h, uint32_t at, struct lane *l)
{
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= h->count)
            break;
        if (child + 1 < h->count && before(h->lanes[child + 1], h->lanes[child]))
            child++;
        if (!before(h->lanes[child], l))
            break;
        place(h, at, h->lanes[child]);
        at = child;
    }
    place(h, at, l);
}

static void heap_fix(struct lane_heap *h, struct lane *l)
{
    uint32_t at = l->place - 1;
    sift_up(h, at, l);
    if (l->place - 1 == at)
        sift_down(h, at, l);
}

static void heap_add(struct lane_heap *h, struct lane *l)
{
    if (h->count == h->capacity) {
        h->capacity = h->capacity > 0 ? h->capacity * 2 : 4;
        h->lanes = memory_grow(h->lanes, h->capacity, sizeof *h->lanes);
    }
    sift_up(h, h->count++, l);
}

static void heap_drop(struct lane_heap *h, struct lane *l)
{
    uint32_t at = l->place - 1;
    l->place = 0;
    struct lane *last = h->lanes[--h->count];
    if (last == l)
        return;
    place(h, at, last);
    heap_fix(h, last);
}

/* ---------------------------------------------------------------- who is eligible */

static bool eligible(const struct lane *l)
{
    return !lane_blocked(l) && lane_has_ready(l);
}

static void count_blocked(struct lane *l)
{
    uint32_t blocked = lane_blocked(l) ? (uint32_t)tree_count(&l->ready) : 0;
    l->queue->open_blocked += blocked;
    l->queue->open_blocked -= l->blocked;
    l->blocked = blocked;
}

void pick_update(struct lane *l)
{
    count_blocked(l);
    struct pick *p = l->queue->pick;
    if (p == NULL)
        return;
    if (!eligible(l)) {
        pick_forget(l);
    } else if (l->place != 0) {
        heap_fix(&p->heaps[l->priority], l);
    } else {
        heap_add(&p->heaps[l->priority], l);
        p->eligible++;
    }
}

void pick_forget(struct lane *l)
{
    struct pick *p = l->queue->pick;
    if (l->place == 0)
        return;
    heap_drop(&p->heaps[l->priority], l);
    p->eligible--;
}

void pick_begin(struct queue *q)
{
    if (q->pick != NULL)
        return;
    q->pick = memory_zero(1, sizeof *q->pick);
    pick_update(&q->lane);
}

void pick_free(struct queue *q)
{
    if (q->pick == NULL)
        return;
    for (int i = 0; i < PRIORITIES; i++)
        memory_free(q->pick->heaps[i].lanes);
    memory_free(q->pick);
    q->pick = NULL;
}

/* ---------------------------------------------------------------- whose turn */

static struct lane *next_of_many(struct queue *q, uint32_t want, uint32_t *run)
{
    struct pick *p = q->pick;
    int lowest = -1;
    int highest = -1;
    for (int i = 0; i < PRIORITIES; i++) {
        if (p->heaps[i].count == 0)
            continue;
        if (lowest < 0)
            lowest = i;
        highest = i;
    }
    if (lowest < 0)
        return NULL;
    uint32_t left = LOWEST_EVERY - 1 - (uint32_t)(q->picks % LOWEST_EVERY); /* picks before the lowest's */
    const struct lane_heap *h = &p->heaps[left == 0 ? lowest : highest];
    if (q->fifo || (h->count == 1 && lowest == highest))
        *run = want;
    else if (h->count == 1 && left > 0)
        *run = left < want ? left : want;
    else
        *run = 1;
    return h->lanes[0];
}

struct lane *pick_next(struct queue *q, uint32_t want, uint32_t *run)
{
    if (q->pick != NULL)
        return next_of_many(q, want, run);
    *run = want;
    return eligible(&q->lane) ? &q->lane : NULL;
}

void pick_join(struct lane *l)
{
    l->turn = l->queue->turn + TURN_STEP / l->weight;
}

void pick_served(struct machine *m, struct lane *l, uint32_t n)
{
    struct queue *q = l->queue;
    uint64_t now = l->turn > q->turn ? l->turn : q->turn;
    q->picks += n;
    q->turn = now;
    l->turn = now + (uint64_t)n * TURN_STEP / l->weight;
    lane_mark(m, l, true);
    queue_mark(m, q);
    pick_update(l);
}

uint32_t pick_eligible(const struct queue *q)
{
    return q->pick != NULL ? q->pick->eligible : eligible(&q->lane);
}
