/* The header lines of one request, as libcurl takes them.
 *
 * Lines are collected in one buffer; headers_list makes the list when all are in, followed by a list of lines that do
 * not change from request to request. Names are literals or were checked; values that can't stand in a header are not
 * taken. */
#ifndef HATO_DISPATCH_HEADERS_H
#define HATO_DISPATCH_HEADERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

struct curl_slist;

enum {
    HEADERS_MAX = 128,             /* lines of one request */
    HEADERS_VALUE_MAX = 4096,      /* bytes; servers refuse longer ones */
    HEADERS_BYTES_MAX = 12 * 1024, /* of all lines of a request that come from a message; many servers stop at 16 KiB */
};

/* A zeroed struct is an empty list of headers. */
struct headers {
    struct buffer text; /* lines, each ended by a zero byte */
    uint32_t starts[HEADERS_MAX];
    uint32_t count;
    uint32_t lines_kept; /* by headers_keep */
    size_t bytes_kept;
    struct curl_slist *nodes; /* HEADERS_MAX of them, once needed */
};

void headers_close(struct headers *h);
void headers_clear(struct headers *h);

/* Keeps so many lines and bytes (names, values, and 4 a line) free from now on, for what must not be left out: until it is
 * called with less. */
void headers_keep(struct headers *h, uint32_t lines, size_t bytes);

/* False, and nothing is added, when the value is not printable ASCII, or a limit is reached. Spaces at its ends go. */
bool headers_add(struct headers *h, const char *name, struct bytes value);
bool headers_add_text(struct headers *h, const char *name, const char *value);
bool headers_add_number(struct headers *h, const char *name, uint64_t value);

/* Whether a line of this name is there; case counts for nothing. */
bool headers_has(const struct headers *h, const char *name);

/* As CloudEvents wants values: spaces, quotes, percent signs, and what is not printable ASCII, percent-encoded. */
bool headers_add_encoded(struct headers *h, const char *name, struct bytes value);

/* The list, with `rest` behind it (may be NULL). Borrowed; good until the headers change or close. */
struct curl_slist *headers_list(struct headers *h, struct curl_slist *rest);

/* Whether `name` is a header's name: 1 to 256 of the characters of a token. */
bool headers_name_valid(struct bytes name);

#endif
