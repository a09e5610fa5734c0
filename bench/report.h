/* What a run found: named values, printed for a person or as one line of JSON. The JSON names are stable. */
#ifndef HATO_BENCH_REPORT_H
#define HATO_BENCH_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "bench/load.h"

enum report_unit {
    REPORT_TEXT,
    REPORT_COUNT,
    REPORT_PER_SECOND,
    REPORT_BYTES,
    REPORT_SECONDS,
    REPORT_MICROSECONDS,
    REPORT_RATIO
};

enum { REPORT_VALUES_MAX = 48 };

struct report_value {
    const char *name;
    enum report_unit unit;
    const char *text; /* of REPORT_TEXT */
    double number;
};

struct report {
    struct report_value values[REPORT_VALUES_MAX];
    uint32_t count;
};

/* Names and texts are borrowed until the report is printed. */
void report_text(struct report *r, const char *name, const char *text);
void report_number(struct report *r, const char *name, enum report_unit unit, double number);

/* Messages, seconds, rate, and the latencies (p50 to max) of a load. */
void report_load(struct report *r, const struct load *load);

void report_print(const struct report *r, bool json, FILE *out);

#endif
