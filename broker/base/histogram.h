/* A histogram of latencies and sizes in fixed memory (19 KB): log-linear buckets, so that any value is kept to within
 * 1/64 of itself. Values below 64 are exact; those above HISTOGRAM_VALUE_MAX count as it. The unit is the caller's.
 *
 * A zeroed struct is empty. Not thread-safe: keep one a thread and merge. */
#ifndef HATO_BASE_HISTOGRAM_H
#define HATO_BASE_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_VALUE_MAX ((UINT64_C(1) << 42) - 1)
enum { HISTOGRAM_SUB_BITS = 6, HISTOGRAM_BUCKETS = (42 - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS };

struct histogram {
    uint64_t count;
    uint64_t sum; /* of the values as recorded, not as kept; wraps */
    uint64_t min; /* 0 when empty */
    uint64_t max;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_record(struct histogram *h, uint64_t value);
void histogram_record_many(struct histogram *h, uint64_t value, uint64_t times);
void histogram_merge(struct histogram *into, const struct histogram *from);
void histogram_clear(struct histogram *h);

/* The smallest kept value that at least `percent` (0 to 100) of the values do not exceed; 0 when empty. Percentile 100 is
 * the maximum, 0 the minimum, exactly. */
uint64_t histogram_percentile(const struct histogram *h, double percent);

/* How many values are at most `value`, to the precision of the buckets: for cumulative buckets with fixed bounds. */
uint64_t histogram_up_to(const struct histogram *h, uint64_t value);

double histogram_mean(const struct histogram *h); /* 0 when empty */

#endif
