#include "base/tree.h"

#include "base/assert.h"
#include "base/memory.h"

/* A treap: ordered by key, and a heap by a hash of the key. The hash gives the balance that a random priority would,
 * costs no memory, and makes the shape a function of the keys alone. */
struct tree_node {
    uint64_t key;
    void *value;
    struct tree_node *left;
    struct tree_node *right;
};

static uint64_t priority(uint64_t key)
{
    uint64_t x = key + UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* Turns left children up until there is none, then frees the node and goes on to the right: no stack is needed. */
void tree_close(struct tree *t)
{
    struct tree_node *n = t->root;
    while (n != NULL) {
        if (n->left != NULL) {
            struct tree_node *left = n->left;
            n->left = left->right;
            left->right = n;
            n = left;
            continue;
        }
        struct tree_node *right = n->right;
        memory_free(n);
        n = right;
    }
    *t = (struct tree){0};
}

void *tree_find(const struct tree *t, uint64_t key)
{
    const struct tree_node *n = t->root;
    while (n != NULL && n->key != key)
        n = key < n->key ? n->left : n->right;
    return n == NULL ? NULL : n->value;
}

/* Divides `n` into the keys below `key` and those above; `key` itself is not in it. */
static void split(struct tree_node *n, uint64_t key, struct tree_node **below, struct tree_node **above)
{
    while (n != NULL) {
        if (n->key < key) {
            *below = n;
            below = &n->right;
            n = n->right;
        } else {
            *above = n;
            above = &n->left;
            n = n->left;
        }
    }
    *below = NULL;
    *above = NULL;
}

/* Joins two trees, all keys of `below` being smaller than those of `above`, into *at. */
static void merge(struct tree_node **at, struct tree_node *below, struct tree_node *above)
{
    while (below != NULL && above != NULL) {
        if (priority(below->key) > priority(above->key)) {
            *at = below;
            at = &below->right;
            below = below->right;
        } else {
            *at = above;
            at = &above->left;
            above = above->left;
        }
    }
    *at = below != NULL ? below : above;
}

void *tree_put(struct tree *t, uint64_t key, void *value)
{
    ASSERT(value != NULL);
    uint64_t rank = priority(key);
    struct tree_node **at = &t->root;
    while (*at != NULL && (*at)->key != key && priority((*at)->key) > rank)
        at = key < (*at)->key ? &(*at)->left : &(*at)->right;
    /* Priorities of distinct keys differ (the hash is a bijection), so the key, if it is in the tree, is met here. */
    if (*at != NULL && (*at)->key == key) {
        void *before = (*at)->value;
        (*at)->value = value;
        return before;
    }
    struct tree_node *n = memory_alloc(sizeof *n);
    n->key = key;
    n->value = value;
    split(*at, key, &n->left, &n->right);
    *at = n;
    t->count++;
    return NULL;
}

void *tree_remove(struct tree *t, uint64_t key)
{
    struct tree_node **at = &t->root;
    while (*at != NULL && (*at)->key != key)
        at = key < (*at)->key ? &(*at)->left : &(*at)->right;
    struct tree_node *n = *at;
    if (n == NULL)
        return NULL;
    void *value = n->value;
    merge(at, n->left, n->right);
    memory_free(n);
    t->count--;
    return value;
}

static void *answer(const struct tree_node *n, uint64_t *found)
{
    if (n == NULL)
        return NULL;
    if (found != NULL)
        *found = n->key;
    return n->value;
}

void *tree_from(const struct tree *t, uint64_t key, uint64_t *found)
{
    const struct tree_node *best = NULL;
    for (const struct tree_node *n = t->root; n != NULL;) {
        if (n->key >= key) {
            best = n;
            n = n->left;
        } else {
            n = n->right;
        }
    }
    return answer(best, found);
}

void *tree_below(const struct tree *t, uint64_t key, uint64_t *found)
{
    const struct tree_node *best = NULL;
    for (const struct tree_node *n = t->root; n != NULL;) {
        if (n->key < key) {
            best = n;
            n = n->right;
        } else {
            n = n->left;
        }
    }
    return answer(best, found);
}

void *tree_after(const struct tree *t, uint64_t key, uint64_t *found)
{
    return key == UINT64_MAX ? NULL : tree_from(t, key + 1, found);
}

void *tree_first(const struct tree *t, uint64_t *found)
{
    return tree_from(t, 0, found);
}

void *tree_last(const struct tree *t, uint64_t *found)
{
    const struct tree_node *n = t->root;
    while (n != NULL && n->right != NULL)
        n = n->right;
    return answer(n, found);
}
