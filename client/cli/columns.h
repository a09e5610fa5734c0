/* A table on a screen: a name, columns of numbers, and a last text that takes what is left. Where there is no room for a good part
 * of the names, the numbers of least use give way. */
#ifndef HATO_CLI_COLUMNS_H
#define HATO_CLI_COLUMNS_H

#include "base/bytes.h"
#include "cli/text.h"

struct column {
    const char *title;
    int width;
    unsigned gives_way; /* 1: the first one, 2: the next, ...; 0: it stays */
};

enum { COLUMNS_MAX = 8, COLUMNS_NAME_MIN = 12 };

struct columns {
    const struct column *column; /* [count] */
    size_t count;
    int name; /* its width */
    unsigned given_way;
};

/* On a screen of `width` characters (0: without end) on which the longest name has `longest` and the last text is to have `rest`. */
void columns_fit(struct columns *c, int width, size_t longest, int rest);

/* Appends a row, ended by 0. A name that is too long is cut in its middle, with "..." there. */
void columns_row(const struct columns *c, const char *name, char cells[][TEXT_MAX], const char *rest,
                 struct buffer *out);
void columns_head(const struct columns *c, const char *name, const char *rest, struct buffer *out);

#endif
