#include "base/arena.h"

#include <stddef.h>
#include <string.h>

#include "base/memory.h"

enum { ARENA_BLOCK = 64 * 1024, ARENA_ALIGN = 16 };

struct arena_block {
    struct arena_block *next;
    size_t size;
    _Alignas(16) unsigned char data[];
};

static size_t block_bytes(const struct arena *a)
{
    return a->block > 0 ? a->block : ARENA_BLOCK;
}

static struct arena_block *add_block(struct arena *a, size_t size)
{
    struct arena_block *b = memory_alloc(sizeof *b + size);
    b->next = a->head;
    b->size = size;
    a->head = b;
    a->used = 0;
    return b;
}

void *arena_alloc(struct arena *a, size_t size)
{
    size = (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    struct arena_block *b = a->head;
    if (b == NULL || b->size - a->used < size)
        b = add_block(a, size > block_bytes(a) ? size : block_bytes(a));
    void *p = b->data + a->used;
    a->used += size;
    return p;
}

void *arena_copy(struct arena *a, const void *data, size_t size)
{
    void *p = arena_alloc(a, size);
    if (size > 0)
        memcpy(p, data, size);
    return p;
}

char *arena_text(struct arena *a, const void *data, size_t len)
{
    char *text = arena_alloc(a, len + 1);
    if (len > 0)
        memcpy(text, data, len);
    text[len] = '\0';
    return text;
}

size_t arena_bytes(const struct arena *a)
{
    size_t bytes = a->used;
    for (const struct arena_block *b = a->head; b != NULL && b->next != NULL; b = b->next)
        bytes += b->next->size;
    return bytes;
}

static void free_from(struct arena_block *b)
{
    while (b != NULL) {
        struct arena_block *next = b->next;
        memory_free(b);
        b = next;
    }
}

void arena_reset(struct arena *a)
{
    struct arena_block *b = a->head;
    a->used = 0;
    if (b == NULL)
        return;
    free_from(b->next);
    b->next = NULL;
    if (b->size > block_bytes(a)) {
        memory_free(b);
        a->head = NULL;
    }
}

void arena_close(struct arena *a)
{
    free_from(a->head);
    *a = (struct arena){.block = a->block};
}
