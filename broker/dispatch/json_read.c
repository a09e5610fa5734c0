#include "dispatch/json_read.h"

#include <string.h>
#include <yajl/yajl_parse.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/utf8.h"

struct reading {
    json_take *take; /* NULL: nobody listens */
    void *ctx;
    uint32_t depth;
};

/* What yajl's callbacks answer. */
enum { STOP = 0, GO_ON = 1 };

static int tell(struct reading *r, enum json_read_kind kind, struct bytes text)
{
    struct json_event event = {.kind = kind, .depth = r->depth, .text = text};
    if (r->take != NULL)
        r->take(r->ctx, &event);
    return GO_ON;
}

static int begin(struct reading *r, enum json_read_kind kind)
{
    if (r->depth == JSON_READ_DEPTH_MAX)
        return STOP;
    tell(r, kind, bytes_of(NULL, 0));
    r->depth++;
    return GO_ON;
}

static int on_object(void *ctx)
{
    return begin(ctx, JSON_READ_OBJECT);
}

static int on_array(void *ctx)
{
    return begin(ctx, JSON_READ_ARRAY);
}

static int on_end(void *ctx)
{
    struct reading *r = ctx;
    r->depth--;
    return tell(r, JSON_READ_END, bytes_of(NULL, 0));
}

static int on_key(void *ctx, const unsigned char *text, size_t len)
{
    return tell(ctx, JSON_READ_KEY, bytes_of(text, len));
}

static int on_string(void *ctx, const unsigned char *text, size_t len)
{
    return tell(ctx, JSON_READ_STRING, bytes_of(text, len));
}

static int on_null(void *ctx)
{
    return tell(ctx, JSON_READ_NULL, bytes_of(NULL, 0));
}

static int on_boolean(void *ctx, int value)
{
    (void)value;
    return tell(ctx, JSON_READ_PLAIN, bytes_of(NULL, 0));
}

static int on_number(void *ctx, const char *text, size_t len)
{
    (void)text;
    (void)len;
    return tell(ctx, JSON_READ_PLAIN, bytes_of(NULL, 0));
}

static const yajl_callbacks callbacks = {.yajl_null = on_null,
                                         .yajl_boolean = on_boolean,
                                         .yajl_number = on_number,
                                         .yajl_string = on_string,
                                         .yajl_start_map = on_object,
                                         .yajl_map_key = on_key,
                                         .yajl_end_map = on_end,
                                         .yajl_start_array = on_array,
                                         .yajl_end_array = on_end};

/* Without those for keys and strings, so that their escapes are not resolved for nobody. */
static const yajl_callbacks unheard = {
    .yajl_start_map = on_object, .yajl_end_map = on_end, .yajl_start_array = on_array, .yajl_end_array = on_end};

static void *yajl_allocates(void *ctx, size_t size)
{
    (void)ctx;
    return memory_alloc(size);
}

static void *yajl_grows(void *ctx, void *old, size_t size)
{
    (void)ctx;
    return memory_grow(old, size, 1);
}

static void yajl_frees(void *ctx, void *p)
{
    (void)ctx;
    memory_free(p);
}

static bool has_byte(struct bytes text, int byte)
{
    return text.len > 0 && memchr(text.data, byte, text.len) != NULL;
}

/* What yajl 2.1 takes and JSON does not have: UTF-8 that is not strict, and vertical tabs and form feeds as blanks. */
static bool beyond_yajl(struct bytes text)
{
    return !utf8_valid(text) || has_byte(text, '\v') || has_byte(text, '\f');
}

bool json_read(struct bytes text, json_take *take, void *ctx)
{
    if (text.len == 0 || beyond_yajl(text))
        return false;
    struct reading r = {.take = take, .ctx = ctx};
    yajl_alloc_funcs memory = {.malloc = yajl_allocates, .realloc = yajl_grows, .free = yajl_frees};
    yajl_handle h = yajl_alloc(take != NULL ? &callbacks : &unheard, &memory, &r);
    ASSERT(h != NULL);
    yajl_config(h, yajl_dont_validate_strings, 1);
    /* A string that begins after the value and never ends goes unnoticed there, but for the line break in it. */
    bool good = yajl_parse(h, text.data, text.len) == yajl_status_ok &&
                yajl_parse(h, (const unsigned char *)"\n", 1) == yajl_status_ok &&
                yajl_complete_parse(h) == yajl_status_ok;
    yajl_free(h);
    return good;
}

bool json_valid(struct bytes text)
{
    return json_read(text, NULL, NULL);
}
