#include "base/heap.h"

#include "base/assert.h"
#include "base/memory.h"

enum { HEAP_CAPACITY_MIN = 16 };

/* The key is kept beside the pointer, so that sifting touches nodes only where keys are equal. */
struct heap_slot {
    uint64_t key;
    struct heap_node *node;
};

static bool before(const struct heap_slot *a, const struct heap_slot *b)
{
    return a->key != b->key ? a->key < b->key : a->node->tie < b->node->tie;
}

static void settle(struct heap *h, size_t at, struct heap_slot s)
{
    h->slots[at] = s;
    s.node->place = at + 1;
}

static size_t sift_up(struct heap *h, size_t at, struct heap_slot s)
{
    while (at > 0) {
        size_t parent = (at - 1) / 2;
        if (!before(&s, &h->slots[parent]))
            break;
        settle(h, at, h->slots[parent]);
        at = parent;
    }
    return at;
}

static size_t sift_down(struct heap *h, size_t at, struct heap_slot s)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= h->count)
            return at;
        if (child + 1 < h->count && before(&h->slots[child + 1], &h->slots[child]))
            child++;
        if (!before(&h->slots[child], &s))
            return at;
        settle(h, at, h->slots[child]);
        at = child;
    }
}

/* Puts `s` where it belongs, given that the slot `at` is vacant. */
static void place(struct heap *h, size_t at, struct heap_slot s)
{
    size_t up = sift_up(h, at, s);
    settle(h, up == at ? sift_down(h, at, s) : up, s);
}

static void resize(struct heap *h, size_t capacity)
{
    h->slots = memory_grow(h->slots, capacity, sizeof *h->slots);
    h->capacity = capacity;
}

void heap_close(struct heap *h)
{
    for (size_t i = 0; i < h->count; i++)
        h->slots[i].node->place = 0;
    memory_free(h->slots);
    *h = (struct heap){0};
}

void heap_put(struct heap *h, struct heap_node *n, uint64_t key, uint64_t tie)
{
    ASSERT(!heap_holds(n));
    if (h->count == h->capacity)
        resize(h, h->capacity == 0 ? HEAP_CAPACITY_MIN : h->capacity * 2);
    n->key = key;
    n->tie = tie;
    h->count++;
    place(h, h->count - 1, (struct heap_slot){key, n});
}

static size_t place_of(const struct heap *h, const struct heap_node *n)
{
    ASSERT(n->place > 0 && n->place <= h->count && h->slots[n->place - 1].node == n);
    return n->place - 1;
}

void heap_move(struct heap *h, struct heap_node *n, uint64_t key, uint64_t tie)
{
    size_t at = place_of(h, n);
    n->key = key;
    n->tie = tie;
    place(h, at, (struct heap_slot){key, n});
}

void heap_remove(struct heap *h, struct heap_node *n)
{
    size_t at = place_of(h, n);
    struct heap_slot last = h->slots[h->count - 1];
    n->place = 0;
    h->count--;
    if (last.node != n)
        place(h, at, last);
    if (h->capacity > HEAP_CAPACITY_MIN && h->count < h->capacity / 4)
        resize(h, h->capacity / 2);
}

struct heap_node *heap_first(const struct heap *h)
{
    return h->count == 0 ? NULL : h->slots[0].node;
}

struct heap_node *heap_take(struct heap *h)
{
    struct heap_node *n = heap_first(h);
    if (n != NULL)
        heap_remove(h, n);
    return n;
}
