#include "base/utf8.h"

static bool continues(uint8_t byte)
{
    return (byte & 0xC0) == 0x80;
}

size_t utf8_next(struct bytes b, uint32_t *point)
{
    if (b.len == 0)
        return 0;
    const uint8_t *p = b.data;
    if (p[0] < 0x80) {
        *point = p[0];
        return 1;
    }
    /* 0xC0 and 0xC1 could only begin overlong forms. */
    if (p[0] >= 0xC2 && p[0] <= 0xDF) {
        if (b.len < 2 || !continues(p[1]))
            return 0;
        *point = (uint32_t)(p[0] & 0x1F) << 6 | (p[1] & 0x3F);
        return 2;
    }
    if ((p[0] & 0xF0) == 0xE0) {
        if (b.len < 3 || !continues(p[1]) || !continues(p[2]))
            return 0;
        uint32_t v = (uint32_t)(p[0] & 0x0F) << 12 | (uint32_t)(p[1] & 0x3F) << 6 | (p[2] & 0x3F);
        if (v < 0x800 || (v >= 0xD800 && v <= 0xDFFF))
            return 0;
        *point = v;
        return 3;
    }
    if ((p[0] & 0xF8) == 0xF0) {
        if (b.len < 4 || !continues(p[1]) || !continues(p[2]) || !continues(p[3]))
            return 0;
        uint32_t v = (uint32_t)(p[0] & 0x07) << 18 | (uint32_t)(p[1] & 0x3F) << 12 | (uint32_t)(p[2] & 0x3F) << 6 |
                     (p[3] & 0x3F);
        if (v < 0x10000 || v > 0x10FFFF)
            return 0;
        *point = v;
        return 4;
    }
    return 0;
}

/* The length of the prefix that is ASCII, in steps of eight bytes. */
static size_t ascii_run(struct bytes b)
{
    size_t at = 0;
    for (; at + 8 <= b.len; at += 8) {
        uint64_t word;
        memcpy(&word, b.data + at, sizeof word);
        if ((word & UINT64_C(0x8080808080808080)) != 0)
            break;
    }
    return at;
}

bool utf8_valid(struct bytes b)
{
    while (b.len > 0) {
        size_t step = ascii_run(b);
        uint32_t point;
        if (step == 0)
            step = utf8_next(b, &point);
        if (step == 0)
            return false;
        b.data += step;
        b.len -= step;
    }
    return true;
}

struct bytes utf8_cut(struct bytes text, size_t max)
{
    if (text.len <= max)
        return text;
    size_t len = max;
    for (int back = 0; back < 3 && len > 0 && continues(text.data[len]); back++)
        len--;
    return bytes_of(text.data, len);
}

static bool xml_char(uint32_t c)
{
    if (c < 0x20)
        return c == 0x9 || c == 0xA || c == 0xD;
    return c != 0xFFFE && c != 0xFFFF;
}

bool utf8_xml(struct bytes b)
{
    while (b.len > 0) {
        uint32_t point;
        size_t step = utf8_next(b, &point);
        if (step == 0 || !xml_char(point))
            return false;
        b.data += step;
        b.len -= step;
    }
    return true;
}
