/* Reading JSON as a stream of what comes, by yajl: the text may come from anybody, and nothing of it is kept. Numbers
 * are not looked at, so none is too large; an escaped half of a surrogate pair is JSON (RFC 8259, 8.2), and reads as
 * "?". Writing is json_put.h's. */
#ifndef HATO_DISPATCH_JSON_READ_H
#define HATO_DISPATCH_JSON_READ_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

enum { JSON_READ_DEPTH_MAX = 2048 };

enum json_read_kind {
    JSON_READ_OBJECT, /* begins */
    JSON_READ_ARRAY,  /* begins */
    JSON_READ_END,    /* of the object or array that began last and has not ended */
    JSON_READ_KEY,    /* of the member whose value comes next */
    JSON_READ_STRING,
    JSON_READ_NULL,
    JSON_READ_PLAIN, /* a number or a boolean */
};

struct json_event {
    enum json_read_kind kind;
    uint32_t depth;    /* how many objects and arrays it stands in; an end has the depth of its beginning */
    struct bytes text; /* of a key or a string, its escapes resolved; may hold NUL; valid during the call */
};

typedef void json_take(void *ctx, const struct json_event *event);

/* Tells `take` what comes. False when the text is not one JSON value in UTF-8, or nested deeper than
 * JSON_READ_DEPTH_MAX: what was told before that is void. Memory: some bytes for each level, and with `take` as much as
 * twice the longest string. */
bool json_read(struct bytes text, json_take *take, void *ctx);

/* The same without a listener. */
bool json_valid(struct bytes text);

#endif
