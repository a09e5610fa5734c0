/* The entries a shard keeps in memory so that receiving what was just sent reads no disk: least recently used go first,
 * within a budget of bytes. */
#ifndef HATO_SHARD_BODIES_H
#define HATO_SHARD_BODIES_H

#include "base/blob.h"
#include "base/idmap.h"
#include "base/list.h"

struct bodies {
    struct idmap by_index;
    struct list recent; /* least recently used first */
    uint64_t bytes;
    uint64_t budget;
};

void bodies_open(struct bodies *b, uint64_t budget);
void bodies_close(struct bodies *b);
void bodies_put(struct bodies *b, uint64_t index, struct blob *entry); /* takes a reference of its own */
bool bodies_fits(const struct bodies *b, uint64_t bytes);              /* one of this size would be kept */
struct blob *bodies_find(struct bodies *b, uint64_t index); /* borrowed until the next put; NULL when absent */

#endif
