/* Rounds of measurements to one table: contenders run in turn, several rounds, and what counts is the median of the ratios
 * of each round, since the machine's speed drifts from round to round and cancels out within one.
 *
 * Input: a line a measurement, fields parted by tabs: the row's name, its aim (">= 5" or "<= 1.5", of the ratio), the value,
 * what it is compared with. Rows come out in the order of their first lines. Pure. */
#ifndef HATO_BENCH_TABLE_H
#define HATO_BENCH_TABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

enum { TABLE_ROWS_MAX = 64, TABLE_ROUNDS_MAX = 100, TABLE_NAME_MAX = 96, TABLE_AIM_MAX = 24 };

struct table_row {
    char name[TABLE_NAME_MAX];
    char aim[TABLE_AIM_MAX];
    double bound;
    bool at_least; /* else at most */
    uint32_t rounds;
    double values[TABLE_ROUNDS_MAX];
    double againsts[TABLE_ROUNDS_MAX];
};

struct table {
    struct table_row rows[TABLE_ROWS_MAX];
    uint32_t count;
};

/* What a row comes to. */
struct table_result {
    double value; /* medians */
    double against;
    double ratio;
    double spread; /* largest ratio over the smallest: 1 is a quiet machine */
    bool met;
};

/* Adds one line (with or without its end). Errors: ERR_INVALID, saying which part is not understood; ERR_LIMIT. */
int table_add(struct table *t, const char *line, struct error *e);

struct table_result table_result(const struct table_row *row);

/* The median of `count` numbers, the mean of the middle two of an even count; 0 of none. */
double table_median(const double *values, uint32_t count);

void table_print(const struct table *t, FILE *out);

/* [{"name", "value", "against", "ratio", "aim", "met"}, ...] */
void table_print_json(const struct table *t, FILE *out);

#endif
