#include "cli/text.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/utf8.h"

uint64_t text_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

char *text_age(uint64_t at_ms, uint64_t now_ms, char out[TEXT_MAX])
{
    uint64_t ms = at_ms > now_ms ? at_ms - now_ms : now_ms - at_ms;
    unsigned long long s = ms / 1000;
    if (at_ms == 0)
        snprintf(out, TEXT_MAX, "-");
    else if (ms < 1000)
        snprintf(out, TEXT_MAX, "%ums", (unsigned)ms);
    else if (s < 60)
        snprintf(out, TEXT_MAX, "%llus", s);
    else if (s < 3600)
        snprintf(out, TEXT_MAX, "%llum%02llus", s / 60, s % 60);
    else if (s < 86400)
        snprintf(out, TEXT_MAX, "%lluh%02llum", s / 3600, s / 60 % 60);
    else
        snprintf(out, TEXT_MAX, "%llud%02lluh", s / 86400, s / 3600 % 24);
    return out;
}

char *text_time(uint64_t at_ms, char out[TEXT_MAX])
{
    time_t at = (time_t)(at_ms / 1000);
    struct tm parts;
    if (at_ms == 0 || localtime_r(&at, &parts) == NULL || strftime(out, TEXT_MAX, "%Y-%m-%d %H:%M:%S", &parts) == 0)
        snprintf(out, TEXT_MAX, "-");
    return out;
}

char *text_count(uint64_t n, char out[TEXT_MAX])
{
    char digits[TEXT_MAX];
    int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);
    char *to = out;
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            *to++ = ',';
        *to++ = digits[i];
    }
    *to = '\0';
    return out;
}

/* Takes a character off; whether it may be shown. */
static bool take_shown(struct bytes *left, struct bytes *character)
{
    uint32_t point = 0;
    size_t taken = utf8_next(*left, &point);
    *character = bytes_of(left->data, taken > 0 ? taken : 1);
    *left = bytes_of(left->data + character->len, left->len - character->len);
    return taken > 0 && point >= 0x20 && (point < 0x7f || point >= 0xa0);
}

void text_print(FILE *to, const char *text)
{
    struct bytes character;
    for (struct bytes left = bytes_text(text); left.len > 0;) {
        if (take_shown(&left, &character))
            fwrite(character.data, 1, character.len, to);
        else
            putc('.', to);
    }
}

void text_body(FILE *to, const void *body, size_t len)
{
    if (!isatty(fileno(to))) {
        fwrite(body, 1, len, to);
        return;
    }
    struct bytes character;
    for (struct bytes left = bytes_of(body, len); left.len > 0;) {
        bool shown = take_shown(&left, &character);
        if (shown || character.data[0] == '\n' || character.data[0] == '\t') {
            fwrite(character.data, 1, character.len, to);
            continue;
        }
        for (size_t i = 0; i < character.len; i++)
            fprintf(to, "\\x%02x", character.data[i]);
    }
}

void text_line(const void *data, size_t len, size_t columns, char *out, size_t size)
{
    struct bytes left = bytes_of(data, len);
    size_t used = 0;
    for (size_t column = 0; left.len > 0; column++) {
        struct bytes character;
        if (column + 3 >= columns && column + left.len > columns) {
            snprintf(out + used, size - used, "...");
            return;
        }
        if (used + 8 >= size)
            break;
        if (!take_shown(&left, &character))
            character = bytes_of(".", 1);
        memcpy(out + used, character.data, character.len);
        used += character.len;
    }
    out[used] = '\0';
}
