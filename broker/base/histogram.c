#include "base/histogram.h"

#include <math.h>
#include <stddef.h>

enum { SUB_COUNT = 1 << HISTOGRAM_SUB_BITS };

/* Values below SUB_COUNT have a bucket each; each power of two above is divided into SUB_COUNT equal parts. */
static size_t bucket_of(uint64_t value)
{
    if (value > HISTOGRAM_VALUE_MAX)
        value = HISTOGRAM_VALUE_MAX;
    if (value < SUB_COUNT)
        return (size_t)value;
    unsigned shift = 63U - (unsigned)__builtin_clzll(value) - HISTOGRAM_SUB_BITS;
    return (size_t)(shift << HISTOGRAM_SUB_BITS) + (size_t)(value >> shift);
}

static uint64_t bucket_upper(size_t bucket)
{
    if (bucket < SUB_COUNT)
        return bucket;
    size_t shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
    uint64_t part = SUB_COUNT + bucket % SUB_COUNT;
    return ((part + 1) << shift) - 1;
}

void histogram_record(struct histogram *h, uint64_t value)
{
    histogram_record_many(h, value, 1);
}

void histogram_record_many(struct histogram *h, uint64_t value, uint64_t times)
{
    if (times == 0)
        return;
    if (h->count == 0 || value < h->min)
        h->min = value;
    if (value > h->max)
        h->max = value;
    h->buckets[bucket_of(value)] += times;
    h->count += times;
    h->sum += value * times;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    if (from->count == 0)
        return;
    if (into->count == 0 || from->min < into->min)
        into->min = from->min;
    if (from->max > into->max)
        into->max = from->max;
    into->count += from->count;
    into->sum += from->sum;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        into->buckets[i] += from->buckets[i];
}

void histogram_clear(struct histogram *h)
{
    *h = (struct histogram){0};
}

uint64_t histogram_percentile(const struct histogram *h, double percent)
{
    if (h->count == 0 || percent <= 0)
        return h->min;
    if (percent >= 100)
        return h->max;
    uint64_t rank = (uint64_t)ceil(percent / 100 * (double)h->count);
    uint64_t seen = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen >= rank && seen > 0)
            return bucket_upper(i) < h->max ? bucket_upper(i) : h->max;
    }
    return h->max;
}

uint64_t histogram_up_to(const struct histogram *h, uint64_t value)
{
    uint64_t count = 0;
    size_t last = bucket_of(value);
    for (size_t i = 0; i <= last; i++)
        count += h->buckets[i];
    return count;
}

double histogram_mean(const struct histogram *h)
{
    return h->count == 0 ? 0 : (double)h->sum / (double)h->count;
}
