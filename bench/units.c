#include "bench/units.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct unit {
    const char *name;
    double factor;
};

static const double count_max = 1e15;

static const struct unit count_units[] = {{"", 1}, {"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {NULL, 0}};
static const struct unit time_units[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {NULL, 0}};

/* strtod alone also takes signs, hexadecimal, exponents, "inf" and leading space: no way to write a count. */
static bool plain_number(const char *text, size_t len)
{
    const char *dot = memchr(text, '.', len);
    return len > 0 && dot != text && dot != text + len - 1 &&
           (dot == NULL || memchr(dot + 1, '.', len - (size_t)(dot + 1 - text)) == NULL);
}

int units_count(const char *text, uint64_t *count, struct error *e)
{
    size_t len = strspn(text, "0123456789.");
    for (const struct unit *u = count_units; plain_number(text, len) && u->name != NULL; u++) {
        /* 1.001 * 1e3 falls short of 1001. */
        double number = strtod(text, NULL) * u->factor + 1e-6;
        if (strcasecmp(text + len, u->name) != 0 || number > count_max)
            continue;
        *count = (uint64_t)number;
        return ERR_OK;
    }
    return error_set(e, ERR_INVALID, "\"%s\" is no count; write 500, 20k or 1.5m", text);
}

static char *show(double v, const struct unit *u, char *out)
{
    /* 999.6 would print as "1000": the next unit says it in fewer digits. */
    while (u[1].name != NULL && v >= u[1].factor * 0.9995)
        u++;
    double scaled = v / u->factor;
    int decimals = u->factor <= 1 && scaled == floor(scaled) ? 0 : scaled < 9.995 ? 2 : scaled < 99.95 ? 1 : 0;
    snprintf(out, UNITS_TEXT_MAX, "%.*f%s", decimals, scaled, u->name);
    return out;
}

char *units_count_text(double count, char *out)
{
    if (count < 10000 && count == floor(count))
        snprintf(out, UNITS_TEXT_MAX, "%.0f", count);
    else
        show(count, count_units, out);
    return out;
}

char *units_time_text(double ns, char *out)
{
    return show(ns, time_units, out);
}
