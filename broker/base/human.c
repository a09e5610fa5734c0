#include "base/human.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct unit {
    const char *name;
    uint64_t size;
};

static const struct unit duration_units[] = {
    {"y", UINT64_C(365) * 86400000},
    {"w", UINT64_C(7) * 86400000},
    {"d", 86400000},
    {"h", 3600000},
    {"m", 60000},
    {"s", 1000},
    {"ms", 1},
};
enum { DURATION_UNITS = sizeof duration_units / sizeof duration_units[0] };

static const struct unit size_units[] = {
    {"TiB", UINT64_C(1) << 40},
    {"GiB", UINT64_C(1) << 30},
    {"MiB", UINT64_C(1) << 20},
    {"KiB", UINT64_C(1) << 10},
    {"TB", UINT64_C(1000000000000)},
    {"GB", 1000000000},
    {"MB", 1000000},
    {"KB", 1000},
    {"B", 1},
};
enum { SIZE_UNITS = sizeof size_units / sizeof size_units[0], BINARY_UNITS = 4 };

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Reads the number at *text and moves on. False when there is none, or it does not fit. */
static bool take_number(const char **text, uint64_t *number)
{
    uint64_t v = 0;
    if (!digit(**text))
        return false;
    for (; digit(**text); (*text)++) {
        uint64_t more = (uint64_t)(**text - '0');
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, more, &v))
            return false;
    }
    *number = v;
    return true;
}

/* Reads the unit at *text and moves on. DURATION_UNITS when there is none. */
static size_t take_duration_unit(const char **text)
{
    size_t len = 0;
    while ((*text)[len] != '\0' && !digit((*text)[len]))
        len++;
    for (size_t i = 0; i < DURATION_UNITS; i++) {
        if (strlen(duration_units[i].name) == len && strncmp(*text, duration_units[i].name, len) == 0) {
            *text += len;
            return i;
        }
    }
    return DURATION_UNITS;
}

static int refuse_duration(const char *text, struct error *e)
{
    return error_set(e, ERR_INVALID,
                     "\"%.40s\" is not a duration: write whole numbers with units, the larger first, such as 250ms, "
                     "30s, 1h30m, 7d (units are ms, s, m, h, d, w, y)",
                     text);
}

int human_duration(const char *text, uint64_t *ms, struct error *e)
{
    uint64_t total = 0;
    size_t next_unit = 0;
    if (strcmp(text, "0") == 0) {
        *ms = 0;
        return ERR_OK;
    }
    const char *at = text;
    do {
        uint64_t number = 0;
        if (!take_number(&at, &number))
            return refuse_duration(text, e);
        if (*at == '\0')
            return error_set(e, ERR_INVALID,
                             "\"%.40s\" lacks a unit: write %.20ss for seconds or %.20sms for milliseconds", text, text,
                             text);
        size_t unit = take_duration_unit(&at);
        if (unit == DURATION_UNITS || unit < next_unit)
            return refuse_duration(text, e);
        next_unit = unit + 1;
        if (__builtin_mul_overflow(number, duration_units[unit].size, &number) ||
            __builtin_add_overflow(total, number, &total))
            return error_set(e, ERR_INVALID, "\"%.40s\" is too long a duration", text);
    } while (*at != '\0');
    *ms = total;
    return ERR_OK;
}

/* The size of the unit `name`; 0 when it is none. No name means bytes. */
static uint64_t size_unit(const char *name)
{
    if (*name == '\0')
        return 1;
    for (size_t i = 0; i < SIZE_UNITS; i++) {
        if (strcasecmp(name, size_units[i].name) == 0)
            return size_units[i].size;
    }
    return 0;
}

int human_size(const char *text, uint64_t *bytes, struct error *e)
{
    const char *at = text;
    uint64_t number = 0;
    uint64_t unit = take_number(&at, &number) ? size_unit(at) : 0;
    if (unit == 0)
        return error_set(
            e, ERR_INVALID,
            "\"%.40s\" is not a size: write a whole number and a unit, such as 64KiB or 10MB (units are B, "
            "KB, MB, GB, TB, and KiB, MiB, GiB, TiB)",
            text);
    if (__builtin_mul_overflow(number, unit, &number))
        return error_set(e, ERR_INVALID, "\"%.40s\" is too large a size", text);
    *bytes = number;
    return ERR_OK;
}

char *human_duration_text(uint64_t ms, char out[HUMAN_TEXT_MAX])
{
    size_t len = 0;
    for (size_t i = 0; i < DURATION_UNITS; i++) {
        uint64_t number = ms / duration_units[i].size;
        ms %= duration_units[i].size;
        if (number > 0)
            len += (size_t)snprintf(out + len, HUMAN_TEXT_MAX - len, "%llu%s", (unsigned long long)number,
                                    duration_units[i].name);
    }
    if (len == 0)
        snprintf(out, HUMAN_TEXT_MAX, "0s");
    return out;
}

char *human_size_text(uint64_t bytes, char out[HUMAN_TEXT_MAX])
{
    size_t i = 0;
    while (i < BINARY_UNITS && bytes < size_units[i].size)
        i++;
    if (i == BINARY_UNITS)
        snprintf(out, HUMAN_TEXT_MAX, "%lluB", (unsigned long long)bytes);
    else if (bytes % size_units[i].size == 0)
        snprintf(out, HUMAN_TEXT_MAX, "%llu%s", (unsigned long long)(bytes / size_units[i].size), size_units[i].name);
    else
        snprintf(out, HUMAN_TEXT_MAX, "%.1f%s", (double)bytes / (double)size_units[i].size, size_units[i].name);
    return out;
}
