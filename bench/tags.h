/* The slots of a server that numbers what it is sent from 1 and confirms the numbers one by one or all up to one, in any order. */
#ifndef HATO_BENCH_TAGS_H
#define HATO_BENCH_TAGS_H

#include <stdbool.h>
#include <stdint.h>

struct tags {
    uint32_t *slots; /* [tag & mask]: the slot + 1, 0 once confirmed; of the tags after `confirmed` alone */
    uint64_t mask;
    uint64_t last;      /* sent */
    uint64_t confirmed; /* all up to it are */
};

void tags_open(struct tags *t, uint64_t items_max);
void tags_close(struct tags *t);

/* Gives the slot the next tag. False: there are as many tags since the first that is not confirmed as there is room for. */
bool tags_add(struct tags *t, uint32_t slot);

/* False: it was confirmed before, or never sent. */
bool tags_confirm(struct tags *t, uint64_t tag, uint32_t *slot);

#endif
