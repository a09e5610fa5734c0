/* Counts, and times and rates for people: what base/human.h, which knows milliseconds and bytes, does not have. Pure. */
#ifndef HATO_BENCH_UNITS_H
#define HATO_BENCH_UNITS_H

#include <stdint.h>

#include "base/error.h"

/* A count: a number, then nothing, k, m or g (thousands, millions, billions): "500", "20k", "1.5m". What is left of a
 * fraction after that is cut. At most 10^15. Errors: ERR_INVALID; *count is then left alone. */
int units_count(const char *text, uint64_t *count, struct error *e);

enum { UNITS_TEXT_MAX = 32 };

/* Rounded to three digits; `out` has UNITS_TEXT_MAX bytes and is returned. */
char *units_count_text(double count, char *out); /* "987", "9999", "12.3k", "4.56M" */
char *units_time_text(double ns, char *out);     /* "12.3us", "4.56s" */

#endif
