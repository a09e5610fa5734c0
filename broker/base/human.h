/* Durations and sizes as people write them: in flags, settings and listings.
 *
 * A duration is whole numbers with units, the larger unit first: "250ms", "30s", "1h30m", "2w". Units are ms, s, m, h, d,
 * w and y (365 days). A bare number is refused, since nobody can tell what it means; "0" is 0.
 * A size is one whole number with a unit: B, KB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB (powers of 1024), in
 * either case; a bare number is bytes. */
#ifndef HATO_BASE_HUMAN_H
#define HATO_BASE_HUMAN_H

#include <stdint.h>

#include "base/error.h"

enum { HUMAN_TEXT_MAX = 32 };

/* Errors: ERR_INVALID, saying what is wrong with `text`; *ms and *bytes are then left alone. */
int human_duration(const char *text, uint64_t *ms, struct error *e);
int human_size(const char *text, uint64_t *bytes, struct error *e);

/* Exact, and read back by human_duration. Returns `out`. */
char *human_duration_text(uint64_t ms, char out[HUMAN_TEXT_MAX]);

/* "64KiB" where it is a whole number of the unit, else to one decimal ("1.4GiB"): for people, not to be read back.
 * Returns `out`. */
char *human_size_text(uint64_t bytes, char out[HUMAN_TEXT_MAX]);

#endif
