/* An ordered map from 64-bit numbers to pointers: chunks by sequence number, timers by point in time.
 *
 * Values are the caller's and never NULL. The order, and the tree's shape, depend on the keys held alone, not on how they
 * came. 32 bytes a key (48 with the allocator's share); put, remove and the finders are O(log n) expected for keys that
 * nobody chooses in order to harm, so keys must not come from outside unmixed. Not thread-safe.
 *
 * A zeroed struct is an empty tree. */
#ifndef HATO_BASE_TREE_H
#define HATO_BASE_TREE_H

#include <stddef.h>
#include <stdint.h>

struct tree_node;

struct tree {
    struct tree_node *root;
    size_t count;
};

void tree_close(struct tree *t);                           /* forgets all; values are the caller's to free */
void *tree_find(const struct tree *t, uint64_t key);       /* NULL when there is none */
void *tree_put(struct tree *t, uint64_t key, void *value); /* the value it replaces, or NULL */
void *tree_remove(struct tree *t, uint64_t key);           /* the value that was there, or NULL */

/* Each returns a value and puts its key in *found (may be NULL), or returns NULL and leaves *found alone. */
void *tree_first(const struct tree *t, uint64_t *found);
void *tree_last(const struct tree *t, uint64_t *found);
void *tree_from(const struct tree *t, uint64_t key, uint64_t *found);  /* the smallest key >= key */
void *tree_below(const struct tree *t, uint64_t key, uint64_t *found); /* the largest key < key */
void *tree_after(const struct tree *t, uint64_t key, uint64_t *found); /* the smallest key > key */

static inline size_t tree_count(const struct tree *t)
{
    return t->count;
}

#endif
