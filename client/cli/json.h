/* JSON, written as it goes: commas and quoting are seen to here. Bytes that are not UTF-8 are replaced by U+FFFD; give
 * binary data to json_data. */
#ifndef HATO_CLI_JSON_H
#define HATO_CLI_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

enum { JSON_DEPTH_MAX = 16 };

/* A zeroed struct is an empty document. `key` is NULL within a list and at the top. */
struct json {
    struct buffer out;
    bool filled[JSON_DEPTH_MAX]; /* whether there is something in the object or list of this depth */
    unsigned depth;
};

void json_object(struct json *j, const char *key);
void json_list(struct json *j, const char *key);
void json_object_end(struct json *j);
void json_list_end(struct json *j);

void json_text(struct json *j, const char *key, const char *text);
void json_bytes(struct json *j, const char *key, const void *text, size_t len);
void json_number(struct json *j, const char *key, uint64_t v);
void json_real(struct json *j, const char *key, double v);
void json_bool(struct json *j, const char *key, bool v);
void json_null(struct json *j, const char *key);

/* As text under `key` when it is UTF-8, else as base64 under `key` with "_base64" after it. */
void json_data(struct json *j, const char *key, const void *data, size_t len);

/* Writes the document and a line's end to standard output, and begins anew. */
void json_print(struct json *j);

#endif
