/* Protobuf messages of the log, unpacked into the output's arena: nothing to free. */
#ifndef HATO_STATE_UNPACK_H
#define HATO_STATE_UNPACK_H

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"

static inline void *unpack_alloc(void *arena, size_t size)
{
    return arena_alloc(arena, size);
}

static inline void unpack_free(void *arena, void *p)
{
    (void)arena;
    (void)p;
}

static inline ProtobufCAllocator unpack_allocator(struct arena *arena)
{
    return (ProtobufCAllocator){unpack_alloc, unpack_free, arena};
}

#endif
