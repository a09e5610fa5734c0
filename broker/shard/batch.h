/* The commands of one entry, from the first one's arrival until the machine has answered them. */
#ifndef HATO_SHARD_BATCH_H
#define HATO_SHARD_BATCH_H

#include "base/list.h"
#include "shard/shard.h"

struct batch {
    struct list_link link;
    struct buffer payload;
    struct entry_writer writer;
    struct command **commands; /* one for each command of the entry, in order */
    uint32_t count;
    uint32_t capacity;
    uint64_t reserved; /* bytes counted as pending until it is proposed */
    uint64_t index;    /* once proposed */
    uint64_t term;
};

struct batch *batch_create(uint64_t seed);
void batch_destroy(struct batch *b);
void batch_add(struct batch *b, struct command *c); /* after the writer was given the command's payload */

/* Answers every command with this error. */
void batch_fail(struct batch *b, int code, const char *message);

#endif
