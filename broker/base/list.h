/* A doubly linked list whose links live in the elements: no memory of its own, every operation constant time.
 *
 * A `struct list` is the circle's anchor and must not move while anything is linked. An element's `struct list_link` is
 * zeroed (or went through list_remove) when it is in no list, which list_linked tells; put one in twice and it asserts.
 * Not thread-safe.
 *
 *   for (struct list_link *l = list_first(&q->waiters); l != NULL; l = list_next(&q->waiters, l)) {
 *       struct waiter *w = CONTAINER_OF(l, struct waiter, link);
 *
 * To remove while going through, take the next link before removing this one. */
#ifndef HATO_BASE_LIST_H
#define HATO_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/assert.h"
#include "base/container.h" // IWYU pragma: export

struct list_link {
    struct list_link *next;
    struct list_link *previous;
};

struct list {
    struct list_link anchor;
    size_t count;
};

static inline void list_init(struct list *l)
{
    l->anchor.next = &l->anchor;
    l->anchor.previous = &l->anchor;
    l->count = 0;
}

static inline bool list_empty(const struct list *l)
{
    return l->count == 0;
}

static inline size_t list_count(const struct list *l)
{
    return l->count;
}

static inline bool list_linked(const struct list_link *e)
{
    return e->next != NULL;
}

/* Puts `e` in after `at`, which is in `l` or is its anchor. */
static inline void list_after(struct list *l, struct list_link *at, struct list_link *e)
{
    ASSERT(!list_linked(e));
    e->previous = at;
    e->next = at->next;
    at->next->previous = e;
    at->next = e;
    l->count++;
}

static inline void list_append(struct list *l, struct list_link *e)
{
    list_after(l, l->anchor.previous, e);
}

static inline void list_prepend(struct list *l, struct list_link *e)
{
    list_after(l, &l->anchor, e);
}

/* Puts `e` in before `at`, which is in `l`. */
static inline void list_before(struct list *l, struct list_link *at, struct list_link *e)
{
    list_after(l, at->previous, e);
}

/* `e` is in `l`. */
static inline void list_remove(struct list *l, struct list_link *e)
{
    ASSERT(list_linked(e) && l->count > 0);
    e->previous->next = e->next;
    e->next->previous = e->previous;
    e->next = NULL;
    e->previous = NULL;
    l->count--;
}

/* NULL when the list is empty. */
static inline struct list_link *list_first(const struct list *l)
{
    return l->count == 0 ? NULL : l->anchor.next;
}

static inline struct list_link *list_last(const struct list *l)
{
    return l->count == 0 ? NULL : l->anchor.previous;
}

/* NULL after the last. */
static inline struct list_link *list_next(const struct list *l, const struct list_link *e)
{
    return e->next == &l->anchor ? NULL : e->next;
}

/* NULL before the first. */
static inline struct list_link *list_previous(const struct list *l, const struct list_link *e)
{
    return e->previous == &l->anchor ? NULL : e->previous;
}

/* Removes the first and returns it; NULL when the list is empty. */
static inline struct list_link *list_take(struct list *l)
{
    struct list_link *e = list_first(l);
    if (e != NULL)
        list_remove(l, e);
    return e;
}

#endif
