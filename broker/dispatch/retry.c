#include "dispatch/retry.h"

#include <curl/curl.h>

#include "base/assert.h"

/* Beyond this many seconds a Retry-After is not read more exactly. */
enum { RETRY_AFTER_SECONDS_MAX = 1000000000 };

uint64_t retry_delay_ms(uint64_t min_ms, uint64_t max_ms, uint32_t receive_count, struct random *random)
{
    ASSERT(receive_count > 0);
    uint64_t top = min_ms > 0 ? min_ms : 1;
    for (uint32_t i = 0; i < receive_count && top < max_ms; i++)
        top = top > max_ms / 2 ? max_ms : top * 2;
    if (top > max_ms)
        top = max_ms;
    return top <= min_ms ? top : min_ms + random_below(random, top - min_ms + 1);
}

uint64_t retry_after_ms(const char *value, uint64_t now_ms)
{
    while (*value == ' ' || *value == '\t')
        value++;
    if (*value >= '0' && *value <= '9') {
        uint64_t seconds = 0;
        while (*value >= '0' && *value <= '9' && seconds < RETRY_AFTER_SECONDS_MAX)
            seconds = 10 * seconds + (uint64_t)(*value++ - '0');
        while (*value >= '0' && *value <= '9')
            value++;
        while (*value == ' ' || *value == '\t')
            value++;
        return *value == '\0' ? seconds * 1000 : 0;
    }
    time_t at = curl_getdate(value, NULL);
    uint64_t at_ms = at > 0 ? (uint64_t)at * 1000 : 0;
    return at_ms > now_ms ? at_ms - now_ms : 0;
}
