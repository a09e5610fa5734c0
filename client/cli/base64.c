#include "cli/base64.h"

static const char STANDARD[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char URL[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void base64_put(struct buffer *out, struct bytes data, enum base64_alphabet alphabet)
{
    const char *letters = alphabet == BASE64_URL ? URL : STANDARD;
    for (size_t i = 0; i < data.len; i += 3) {
        size_t have = data.len - i < 3 ? data.len - i : 3;
        uint32_t v = 0;
        for (size_t k = 0; k < 3; k++)
            v = v << 8 | (k < have ? data.data[i + k] : 0u);
        for (size_t k = 0; k < 4; k++) {
            if (k <= have)
                buffer_u8(out, (uint8_t)letters[v >> (18 - 6 * k) & 63]);
            else if (alphabet == BASE64_STANDARD)
                buffer_u8(out, '=');
        }
    }
}

static int value_of(uint8_t letter)
{
    if (letter >= 'A' && letter <= 'Z')
        return letter - 'A';
    if (letter >= 'a' && letter <= 'z')
        return letter - 'a' + 26;
    if (letter >= '0' && letter <= '9')
        return letter - '0' + 52;
    if (letter == '+' || letter == '-')
        return 62;
    return letter == '/' || letter == '_' ? 63 : -1;
}

bool base64_read(struct buffer *out, struct bytes text)
{
    while (text.len > 0 && text.data[text.len - 1] == '=')
        text.len--;
    if (text.len % 4 == 1)
        return false;
    uint32_t bits = 0;
    unsigned have = 0;
    for (size_t i = 0; i < text.len; i++) {
        int v = value_of(text.data[i]);
        if (v < 0)
            return false;
        bits = bits << 6 | (uint32_t)v;
        have += 6;
        if (have < 8)
            continue;
        have -= 8;
        buffer_u8(out, (uint8_t)(bits >> have));
        bits &= (1u << have) - 1;
    }
    return bits == 0;
}
