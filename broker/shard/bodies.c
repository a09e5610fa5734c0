#include "shard/bodies.h"

#include "base/memory.h"

struct kept {
    struct list_link link;
    uint64_t index;
    struct blob *entry;
};

void bodies_open(struct bodies *b, uint64_t budget)
{
    *b = (struct bodies){.budget = budget};
    list_init(&b->recent);
}

static void drop(struct bodies *b, struct kept *k)
{
    list_remove(&b->recent, &k->link);
    idmap_remove(&b->by_index, k->index);
    b->bytes -= k->entry->len;
    blob_unref(k->entry);
    memory_free(k);
}

void bodies_close(struct bodies *b)
{
    while (!list_empty(&b->recent))
        drop(b, CONTAINER_OF(list_first(&b->recent), struct kept, link));
    idmap_close(&b->by_index);
}

bool bodies_fits(const struct bodies *b, uint64_t bytes)
{
    return bytes <= b->budget / 2;
}

void bodies_put(struct bodies *b, uint64_t index, struct blob *entry)
{
    if (!bodies_fits(b, entry->len) || idmap_find(&b->by_index, index) != NULL)
        return;
    struct kept *k = memory_zero(1, sizeof *k);
    k->index = index;
    k->entry = blob_ref(entry);
    b->bytes += entry->len;
    list_append(&b->recent, &k->link);
    idmap_put(&b->by_index, index, k);
    while (b->bytes > b->budget)
        drop(b, CONTAINER_OF(list_first(&b->recent), struct kept, link));
}

struct blob *bodies_find(struct bodies *b, uint64_t index)
{
    struct kept *k = idmap_find(&b->by_index, index);
    if (k == NULL)
        return NULL;
    list_remove(&b->recent, &k->link);
    list_append(&b->recent, &k->link);
    return k->entry;
}
