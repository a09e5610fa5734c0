#include "dispatch/json_put.h"

#include <stdio.h>

#include "net/crypto.h"

/* For bytes below 0x20, '"' and '\': the letter after the backslash, 'u' for a \u00xx; 0 for those that come as they are. */
static const char escapes[128] = {
    [0x00] = 'u', [0x01] = 'u', [0x02] = 'u', [0x03] = 'u', [0x04] = 'u', [0x05] = 'u',  [0x06] = 'u',
    [0x07] = 'u', [0x08] = 'b', [0x09] = 't', [0x0a] = 'n', [0x0b] = 'u', [0x0c] = 'f',  [0x0d] = 'r',
    [0x0e] = 'u', [0x0f] = 'u', [0x10] = 'u', [0x11] = 'u', [0x12] = 'u', [0x13] = 'u',  [0x14] = 'u',
    [0x15] = 'u', [0x16] = 'u', [0x17] = 'u', [0x18] = 'u', [0x19] = 'u', [0x1a] = 'u',  [0x1b] = 'u',
    [0x1c] = 'u', [0x1d] = 'u', [0x1e] = 'u', [0x1f] = 'u', ['"'] = '"',  ['\\'] = '\\', [0x7f] = 'u',
};

static bool line_separator(const uint8_t *at, const uint8_t *end)
{
    return end - at >= 3 && at[0] == 0xe2 && at[1] == 0x80 && (at[2] == 0xa8 || at[2] == 0xa9);
}

static bool plain(const uint8_t *at, const uint8_t *end)
{
    return *at < 0x80 ? escapes[*at] == 0 : !line_separator(at, end);
}

void json_put_string(struct buffer *out, struct bytes text)
{
    const uint8_t *at = text.data;
    const uint8_t *end = text.data + text.len;
    buffer_u8(out, '"');
    while (at < end) {
        const uint8_t *run = at;
        while (at < end && plain(at, end))
            at++;
        buffer_put(out, run, (size_t)(at - run));
        if (at == end)
            break;
        char escape[8];
        if (*at >= 0x80) {
            snprintf(escape, sizeof escape, "\\u20%02x", at[2] - 0x80);
            at += 3;
        } else if (escapes[*at] == 'u') {
            snprintf(escape, sizeof escape, "\\u00%02x", *at++);
        } else {
            snprintf(escape, sizeof escape, "\\%c", escapes[*at++]);
        }
        json_put_raw(out, escape);
    }
    buffer_u8(out, '"');
}

void json_put_text(struct buffer *out, const char *text)
{
    json_put_string(out, bytes_text(text));
}

void json_put_base64(struct buffer *out, struct bytes data)
{
    buffer_u8(out, '"');
    base64_put(out, data);
    buffer_u8(out, '"');
}

void json_put_digits(struct buffer *out, uint64_t v)
{
    char digits[24];
    size_t at = sizeof digits;
    digits[--at] = '"';
    do
        digits[--at] = (char)('0' + v % 10);
    while ((v /= 10) > 0);
    digits[--at] = '"';
    buffer_put(out, digits + at, sizeof digits - at);
}

void json_put_raw(struct buffer *out, const char *text)
{
    buffer_put(out, text, strlen(text));
}
