/* A table for people: columns as wide as their widest cell, numbers to the right. */
#ifndef HATO_CLI_TABLE_H
#define HATO_CLI_TABLE_H

#include <stddef.h>

#include "base/bytes.h"

enum { TABLE_COLUMNS_MAX = 16 };

struct table {
    struct buffer cells; /* texts, each with its zero byte, row after row */
    size_t columns;
    size_t count; /* of cells */
    int width[TABLE_COLUMNS_MAX];
};

/* `headings` are separated by '|'; a heading that begins with '>' is of a column of numbers. */
void table_open(struct table *t, const char *headings);

/* The next cell, left to right, row by row. */
void table_cell(struct table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

void table_print(struct table *t); /* to standard output; closes the table */

#endif
