#include "base/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

void *memory_alloc(size_t size)
{
    void *p = malloc(size > 0 ? size : 1);
    ASSERT(p != NULL);
    return p;
}

void *memory_zero(size_t count, size_t size)
{
    ASSERT(size == 0 || count <= SIZE_MAX / size);
    void *p = calloc(count > 0 ? count : 1, size > 0 ? size : 1);
    ASSERT(p != NULL);
    return p;
}

void *memory_grow(void *old, size_t count, size_t size)
{
    ASSERT(size == 0 || count <= SIZE_MAX / size);
    size_t total = count * size;
    void *p = realloc(old, total > 0 ? total : 1);
    ASSERT(p != NULL);
    return p;
}

char *memory_string(const char *text, size_t len)
{
    char *copy = memory_alloc(len + 1);
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

void memory_free(void *p)
{
    free(p);
}
