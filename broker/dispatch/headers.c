#include "dispatch/headers.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "base/memory.h"

void headers_close(struct headers *h)
{
    buffer_close(&h->text);
    memory_free(h->nodes);
    *h = (struct headers){0};
}

void headers_clear(struct headers *h)
{
    buffer_clear(&h->text);
    h->count = 0;
    headers_keep(h, 0, 0);
}

void headers_keep(struct headers *h, uint32_t lines, size_t bytes)
{
    h->lines_kept = lines;
    h->bytes_kept = bytes;
}

static bool room_for(const struct headers *h, size_t name_len, size_t value_len)
{
    return h->count + h->lines_kept < HEADERS_MAX && value_len <= HEADERS_VALUE_MAX &&
           h->text.len + name_len + value_len + 4 + h->bytes_kept <= HEADERS_BYTES_MAX;
}

static void begin(struct headers *h, const char *name)
{
    h->starts[h->count++] = (uint32_t)h->text.len;
    buffer_put(&h->text, name, strlen(name));
}

static bool printable(struct bytes value)
{
    for (size_t i = 0; i < value.len; i++)
        if (value.data[i] < 0x20 || value.data[i] > 0x7e)
            return false;
    return true;
}

static struct bytes trimmed(struct bytes value)
{
    while (value.len > 0 && value.data[0] == ' ') {
        value.data++;
        value.len--;
    }
    while (value.len > 0 && value.data[value.len - 1] == ' ')
        value.len--;
    return value;
}

bool headers_add(struct headers *h, const char *name, struct bytes value)
{
    value = trimmed(value);
    if (!room_for(h, strlen(name), value.len) || !printable(value))
        return false;
    begin(h, name);
    /* libcurl takes "Name:" for "leave this header out", and "Name;" for an empty one. */
    buffer_put(&h->text, value.len > 0 ? ": " : ";", value.len > 0 ? 2 : 1);
    buffer_put(&h->text, value.data, value.len);
    buffer_u8(&h->text, 0);
    return true;
}

bool headers_add_text(struct headers *h, const char *name, const char *value)
{
    return headers_add(h, name, bytes_text(value));
}

bool headers_add_number(struct headers *h, const char *name, uint64_t value)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)value);
    return headers_add(h, name, bytes_of(digits, (size_t)len));
}

bool headers_has(const struct headers *h, const char *name)
{
    size_t len = strlen(name);
    for (uint32_t i = 0; i < h->count; i++) {
        const char *line = (const char *)h->text.data + h->starts[i];
        if (strncasecmp(line, name, len) == 0 && (line[len] == ':' || line[len] == ';'))
            return true;
    }
    return false;
}

static bool stands_for_itself(uint8_t c)
{
    return c > 0x20 && c < 0x7f && c != '"' && c != '%';
}

bool headers_add_encoded(struct headers *h, const char *name, struct bytes value)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t len = 0;
    for (size_t i = 0; i < value.len; i++)
        len += stands_for_itself(value.data[i]) ? 1 : 3;
    if (!room_for(h, strlen(name), len))
        return false;
    begin(h, name);
    buffer_put(&h->text, value.len > 0 ? ": " : ";", value.len > 0 ? 2 : 1);
    for (size_t i = 0; i < value.len; i++) {
        uint8_t c = value.data[i];
        if (stands_for_itself(c)) {
            buffer_u8(&h->text, c);
        } else {
            const char code[3] = {'%', digits[c >> 4], digits[c & 15]};
            buffer_put(&h->text, code, sizeof code);
        }
    }
    buffer_u8(&h->text, 0);
    return true;
}

struct curl_slist *headers_list(struct headers *h, struct curl_slist *rest)
{
    if (h->count == 0)
        return rest;
    if (h->nodes == NULL)
        h->nodes = memory_zero(HEADERS_MAX, sizeof *h->nodes);
    for (uint32_t i = 0; i < h->count; i++) {
        h->nodes[i].data = (char *)h->text.data + h->starts[i];
        h->nodes[i].next = i + 1 < h->count ? &h->nodes[i + 1] : rest;
    }
    return h->nodes;
}

bool headers_name_valid(struct bytes name)
{
    if (name.len == 0 || name.len > 256)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.data[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!alnum && (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL))
            return false;
    }
    return true;
}
