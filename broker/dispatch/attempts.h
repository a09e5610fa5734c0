/* The last attempts of a function, for people to look at. Memory is taken as attempts come, as much as each needs. */
#ifndef HATO_DISPATCH_ATTEMPTS_H
#define HATO_DISPATCH_ATTEMPTS_H

#include <stdint.h>

#include "base/arena.h"
#include "dispatch/dispatcher.h"

struct attempt;

/* A zeroed struct is an empty list. */
struct attempts {
    struct attempt *ring[DISPATCHER_ATTEMPTS_MAX];
    uint32_t next; /* place of the next one */
    uint32_t count;
};

void attempts_close(struct attempts *a);

/* Copied; the answer is cut to DISPATCHER_ANSWER_KEPT bytes, and the oldest attempt makes room. */
void attempts_add(struct attempts *a, const struct dispatcher_attempt *attempt);

/* Newest first, copied to the arena. */
size_t attempts_list(const struct attempts *a, struct arena *arena, const struct dispatcher_attempt **out);

#endif
