#include "base/blob.h"

#include "base/assert.h"
#include "base/memory.h"

struct blob *blob_create(size_t len)
{
    struct blob *b = memory_alloc(sizeof *b + len);
    atomic_init(&b->refs, 1);
    b->len = len;
    b->data = (uint8_t *)(b + 1);
    return b;
}

struct blob *blob_copy(struct bytes from)
{
    struct blob *b = blob_create(from.len);
    if (from.len > 0)
        memcpy(b->data, from.data, from.len);
    return b;
}

struct blob *blob_adopt(struct buffer *from)
{
    struct blob *b = memory_alloc(sizeof *b);
    atomic_init(&b->refs, 1);
    b->len = from->len;
    b->data = from->data;
    *from = (struct buffer){0};
    return b;
}

struct blob *blob_ref(struct blob *b)
{
    unsigned before = atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    ASSERT(before > 0);
    return b;
}

void blob_unref(struct blob *b)
{
    if (b == NULL)
        return;
    if (atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (b->data != (uint8_t *)(b + 1))
        memory_free(b->data);
    memory_free(b);
}
