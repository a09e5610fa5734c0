/* When a failed message may be tried again. Pure: time and chance are arguments. */
#ifndef HATO_DISPATCH_RETRY_H
#define HATO_DISPATCH_RETRY_H

#include <stdint.h>

#include "base/random.h"

/* Exponential with full jitter: evenly between `min_ms` and min_ms * 2^receive_count, the upper end no more than
 * `max_ms`. `receive_count` is at least 1. */
uint64_t retry_delay_ms(uint64_t min_ms, uint64_t max_ms, uint32_t receive_count, struct random *random);

/* The value of a Retry-After header, seconds or an HTTP date, as milliseconds from `now_ms` (since 1970 UTC). 0 when
 * it is neither, or in the past. */
uint64_t retry_after_ms(const char *value, uint64_t now_ms);

#endif
