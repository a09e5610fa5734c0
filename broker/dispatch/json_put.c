#include "dispatch/json_put.h"

#include "base/utf8.h"
#include "net/crypto.h"

/* For bytes below 0x20, '"' and '\': the letter after the backslash, 'u' for a \u00xx; 0 for those that come as they
 * are. */
static const char escapes[128] = {
    [0x00] = 'u', [0x01] = 'u', [0x02] = 'u', [0x03] = 'u', [0x04] = 'u', [0x05] = 'u',  [0x06] = 'u',
    [0x07] = 'u', [0x08] = 'b', [0x09] = 't', [0x0a] = 'n', [0x0b] = 'u', [0x0c] = 'f',  [0x0d] = 'r',
    [0x0e] = 'u', [0x0f] = 'u', [0x10] = 'u', [0x11] = 'u', [0x12] = 'u', [0x13] = 'u',  [0x14] = 'u',
    [0x15] = 'u', [0x16] = 'u', [0x17] = 'u', [0x18] = 'u', [0x19] = 'u', [0x1a] = 'u',  [0x1b] = 'u',
    [0x1c] = 'u', [0x1d] = 'u', [0x1e] = 'u', [0x1f] = 'u', ['"'] = '"',  ['\\'] = '\\', [0x7f] = 'u',
};

#define EACH_BYTE(b) (UINT64_C(0x0101010101010101) * (b))

/* Whether one of the eight bytes is not plain: 0x80 and above, 0x7f, below 0x20, a quote or a backslash. May say so of
 * bytes that follow such a one, never the other way round. */
static bool any_odd(uint64_t w)
{
    uint64_t quote = w ^ EACH_BYTE('"');
    uint64_t backslash = w ^ EACH_BYTE('\\');
    uint64_t odd = (w - EACH_BYTE(0x20)) | (quote - EACH_BYTE(1)) | (backslash - EACH_BYTE(1)) | (w + EACH_BYTE(1)) | w;
    return (odd & EACH_BYTE(0x80)) != 0;
}

static const uint8_t *skip_plain(const uint8_t *at, const uint8_t *end)
{
    while (end - at >= 8) {
        uint64_t w;
        memcpy(&w, at, sizeof w);
        if (any_odd(w))
            break;
        at += 8;
    }
    while (at < end && *at < 0x80 && escapes[*at] == 0)
        at++;
    return at;
}

static void put_escape(struct buffer *out, uint8_t c)
{
    static const char digits[] = "0123456789abcdef";
    if (escapes[c] == 'u') {
        const char text[] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]};
        buffer_put(out, text, sizeof text);
    } else {
        const char text[] = {'\\', escapes[c]};
        buffer_put(out, text, sizeof text);
    }
}

bool json_put_string(struct buffer *out, struct bytes text)
{
    size_t before = out->len;
    const uint8_t *at = text.data;
    const uint8_t *end = text.data + text.len;
    buffer_reserve(out, text.len + 2);
    buffer_u8(out, '"');
    while (at < end) {
        const uint8_t *run = at;
        at = skip_plain(at, end);
        buffer_put(out, run, (size_t)(at - run));
        if (at == end)
            break;
        if (*at < 0x80) {
            put_escape(out, *at++);
            continue;
        }
        uint32_t point = 0;
        size_t len = utf8_next(bytes_of(at, (size_t)(end - at)), &point);
        if (len == 0) {
            out->len = before;
            return false;
        }
        if (point == 0x2028 || point == 0x2029)
            json_put_raw(out, point == 0x2028 ? "\\u2028" : "\\u2029");
        else
            buffer_put(out, at, len);
        at += len;
    }
    buffer_u8(out, '"');
    return true;
}

void json_put_text(struct buffer *out, const char *text)
{
    if (!json_put_string(out, bytes_text(text)))
        json_put_raw(out, "\"\"");
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
