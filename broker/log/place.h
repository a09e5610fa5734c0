/* Where a group's entries are on disk: a sparse list of points. Between a point and the next the entries follow each
 * other in one segment, so a short scan from the point before finds any. At most one point for PLACE_SPARSE_BYTES of a
 * group's own records, or for `spread` bytes of segment: with entries of any size below 1 % of the log. Pure. */
#ifndef HATO_LOG_PLACE_H
#define HATO_LOG_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PLACE_SPARSE_BYTES = 4096 };

struct place {
    uint64_t index;
    uint64_t segment; /* its sequence number */
    uint32_t offset;
    uint32_t bytes; /* of the record */
    /* The entry replaced another, which may still stand before it in the segment; set by places_add. */
    uint32_t breaks : 1;
};

/* A zeroed struct is empty. */
struct places {
    struct place *at; /* a ring */
    size_t head, n, capacity;
    uint64_t since; /* own bytes since the last point */
    bool broken;    /* the next entry does not follow the last point's: it needs a point */
};

void places_close(struct places *p);

/* An entry was written; index is one above the entry added before, or anything after a truncation. */
void places_add(struct places *p, struct place entry, uint64_t spread);

void places_truncate(struct places *p, uint64_t from); /* entries from here on are void */
void places_compact(struct places *p, uint64_t first); /* entries below are not asked for again */
void places_clear(struct places *p);

/* The last point at or before the index; NULL when there is none. */
const struct place *places_find(const struct places *p, uint64_t index);

/* How far entries follow each other from `from`, a point found here: the first one at `hi` or before that stands elsewhere, in another
 * segment or behind what it replaced; else `hi`. */
uint64_t places_run_end(const struct places *p, const struct place *from, uint64_t hi);

/* The first point beyond this segment; NULL when there is none. */
const struct place *places_beyond(const struct places *p, uint64_t segment);

#endif
