/* A binary min-heap of things that fall due: the smallest key is found at once; put, move and remove are O(log n).
 *
 * The heap holds pointers to `struct heap_node`s that live in the elements (CONTAINER_OF leads back). A node is zeroed
 * when it is in no heap, and must not move while it is in one. Order is by `key`, then by `tie`: give distinct ties where
 * the order must not depend on history, as in the state machine, whose heaps are rebuilt from a snapshot. Not thread-safe.
 *
 * A zeroed struct is an empty heap. */
#ifndef HATO_BASE_HEAP_H
#define HATO_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/container.h" // IWYU pragma: export

struct heap_node {
    uint64_t key;
    uint64_t tie;
    size_t place; /* position in the heap plus one; 0: in none */
};

struct heap_slot;

struct heap {
    struct heap_slot *slots;
    size_t count;
    size_t capacity;
};

void heap_close(struct heap *h); /* frees the heap's own memory; its nodes are marked as in none */
void heap_put(struct heap *h, struct heap_node *n, uint64_t key, uint64_t tie);  /* asserts that n is in none */
void heap_move(struct heap *h, struct heap_node *n, uint64_t key, uint64_t tie); /* new key, up or down; n is in h */
void heap_remove(struct heap *h, struct heap_node *n);                           /* n is in h */
struct heap_node *heap_first(const struct heap *h);                              /* NULL when empty */
struct heap_node *heap_take(struct heap *h); /* removes the first and returns it; NULL when empty */

static inline bool heap_holds(const struct heap_node *n)
{
    return n->place != 0;
}

static inline size_t heap_count(const struct heap *h)
{
    return h->count;
}

#endif
