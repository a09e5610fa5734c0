/* What functions and senders call JSON, against jansson: it takes no more than we do, but for a NUL, at which it stops
 * reading; what it does not take of ours is a number it can't hold or an escaped half of a surrogate pair. */
#include <jansson.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "dispatch/json_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct shape {
    uint32_t depth;
    bool ended; /* the outermost value has */
};

static void take(void *ctx, const struct json_event *event)
{
    struct shape *s = ctx;
    if (event->kind == JSON_READ_END) {
        ASSERT(s->depth > 0);
        s->depth--;
    }
    ASSERT(event->depth == s->depth && !s->ended);
    if (event->kind == JSON_READ_OBJECT || event->kind == JSON_READ_ARRAY) {
        s->depth++;
        ASSERT(s->depth <= JSON_READ_DEPTH_MAX);
    } else if (event->kind != JSON_READ_KEY && s->depth == 0) {
        s->ended = true;
    }
    if (event->kind == JSON_READ_KEY)
        ASSERT(s->depth > 0);
    for (size_t i = 0; i < event->text.len; i++) {
        volatile uint8_t read = event->text.data[i];
        (void)read;
    }
}

static bool has(struct bytes text, const char *what)
{
    return memmem(text.data, text.len, what, strlen(what)) != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes text = bytes_of(data, size);
    struct shape shape = {0};
    bool good = json_read(text, take, &shape);
    ASSERT(json_valid(text) == good);
    if (good)
        ASSERT(shape.ended && shape.depth == 0);
    json_error_t error;
    json_t *value =
        json_loadb((const char *)data, size, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &error);
    if (value != NULL)
        ASSERT(good || memchr(data, 0, size) != NULL);
    else if (good)
        ASSERT(json_error_code(&error) == json_error_numeric_overflow || has(text, "\\u"));
    json_decref(value);
    return 0;
}
