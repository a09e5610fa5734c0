#include "cli/json.h"

#include <math.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/utf8.h"
#include "cli/base64.h"

static void put_text(struct buffer *b, const char *text)
{
    buffer_put(b, text, strlen(text));
}

static void put_escape(struct buffer *b, uint32_t point)
{
    switch (point) {
    case '"':
        put_text(b, "\\\"");
        break;
    case '\\':
        put_text(b, "\\\\");
        break;
    case '\n':
        put_text(b, "\\n");
        break;
    case '\r':
        put_text(b, "\\r");
        break;
    case '\t':
        put_text(b, "\\t");
        break;
    default:
        buffer_printf(b, "\\u%04x", point);
    }
}

static void put_string(struct buffer *b, struct bytes text)
{
    buffer_u8(b, '"');
    while (text.len > 0) {
        uint32_t point = 0xfffd;
        size_t len = utf8_next(text, &point);
        if (len == 0)
            put_text(b, "\xef\xbf\xbd");
        else if (point < 0x20 || point == '"' || point == '\\' || (point >= 0x7f && point <= 0x9f))
            put_escape(b, point);
        else
            buffer_put(b, text.data, len);
        len = len > 0 ? len : 1;
        text = bytes_of(text.data + len, text.len - len);
    }
    buffer_u8(b, '"');
}

/* What stands before a value: a comma, the key. */
static void before(struct json *j, const char *key)
{
    if (j->filled[j->depth])
        buffer_u8(&j->out, ',');
    j->filled[j->depth] = true;
    if (key == NULL)
        return;
    put_string(&j->out, bytes_text(key));
    buffer_u8(&j->out, ':');
}

static void begin(struct json *j, const char *key, char bracket)
{
    before(j, key);
    buffer_u8(&j->out, (uint8_t)bracket);
    j->depth++;
    ASSERT(j->depth < JSON_DEPTH_MAX);
    j->filled[j->depth] = false;
}

static void end(struct json *j, char bracket)
{
    ASSERT(j->depth > 0);
    j->depth--;
    buffer_u8(&j->out, (uint8_t)bracket);
}

void json_object(struct json *j, const char *key)
{
    begin(j, key, '{');
}

void json_list(struct json *j, const char *key)
{
    begin(j, key, '[');
}

void json_object_end(struct json *j)
{
    end(j, '}');
}

void json_list_end(struct json *j)
{
    end(j, ']');
}

void json_bytes(struct json *j, const char *key, const void *text, size_t len)
{
    before(j, key);
    put_string(&j->out, bytes_of(text, len));
}

void json_text(struct json *j, const char *key, const char *text)
{
    json_bytes(j, key, text, strlen(text));
}

void json_number(struct json *j, const char *key, uint64_t v)
{
    before(j, key);
    buffer_printf(&j->out, "%llu", (unsigned long long)v);
}

void json_real(struct json *j, const char *key, double v)
{
    before(j, key);
    buffer_printf(&j->out, "%.15g", isfinite(v) ? v : 0.0);
}

void json_bool(struct json *j, const char *key, bool v)
{
    before(j, key);
    put_text(&j->out, v ? "true" : "false");
}

void json_null(struct json *j, const char *key)
{
    before(j, key);
    put_text(&j->out, "null");
}

void json_data(struct json *j, const char *key, const void *data, size_t len)
{
    if (utf8_valid(bytes_of(data, len))) {
        json_bytes(j, key, data, len);
        return;
    }
    char name[80];
    snprintf(name, sizeof name, "%s_base64", key);
    before(j, name);
    buffer_u8(&j->out, '"');
    base64_put(&j->out, bytes_of(data, len), BASE64_STANDARD);
    buffer_u8(&j->out, '"');
}

void json_print(struct json *j)
{
    ASSERT(j->depth == 0);
    buffer_u8(&j->out, '\n');
    fwrite(j->out.data, 1, j->out.len, stdout);
    buffer_clear(&j->out);
    j->filled[0] = false;
}
