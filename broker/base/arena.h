/* Bump allocation for things that die together: the decoded fields of one frame, the replies of one entry. */
#ifndef HATO_BASE_ARENA_H
#define HATO_BASE_ARENA_H

#include <stddef.h>

struct arena_block;

/* A zeroed struct is an empty arena. */
struct arena {
    struct arena_block *head;
    size_t used;
    size_t block; /* bytes asked for at a time; 0: 64 KiB */
};

void *arena_alloc(struct arena *a, size_t size); /* 16-byte aligned, uninitialised */
void *arena_copy(struct arena *a, const void *data, size_t size);
char *arena_text(struct arena *a, const void *data, size_t len); /* copies and terminates */
size_t arena_bytes(const struct arena *a);                       /* taken, what is left over in full blocks included */
void arena_reset(struct arena *a);                               /* forgets all, keeps one block */
void arena_close(struct arena *a);                               /* frees all */

#endif
