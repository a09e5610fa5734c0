/* The terms of a group's entries from first - 1 to last, as runs: a handful, whatever the number of entries. Pure. */
#ifndef HATO_LOG_TERMS_H
#define HATO_LOG_TERMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct term_run {
    uint64_t first;
    uint64_t term;
};

struct terms {
    struct term_run *runs; /* ascending; runs[0].first is the index before the group's first */
    size_t n, capacity;
    uint64_t last;
};

void terms_init(struct terms *t, uint64_t index, uint64_t term); /* nothing but the entry before the first */
void terms_close(struct terms *t);
void terms_reset(struct terms *t, uint64_t index, uint64_t term);
void terms_append(struct terms *t, uint64_t term);                 /* of entry last + 1 */
void terms_skip(struct terms *t, uint64_t last, uint64_t term);    /* entries up to `last`, only whose term is known */
void terms_truncate(struct terms *t, uint64_t from);               /* base < from */
void terms_compact(struct terms *t, uint64_t upto, uint64_t term); /* base becomes upto, which has this term */
bool terms_find(const struct terms *t, uint64_t index, uint64_t *term);

static inline uint64_t terms_base(const struct terms *t)
{
    return t->runs[0].first;
}

#endif
