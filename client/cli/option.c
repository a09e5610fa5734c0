#include "cli/option.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/human.h"

enum { LIMITS_TEXT_MAX = 2 * HUMAN_TEXT_MAX + 8 };

struct found {
    const struct option *option;
    void *values;
    bool negated;
};

static bool find(const struct option_set *sets, size_t set_count, const char *name, size_t len, struct found *out)
{
    bool no = len > 3 && strncmp(name, "no-", 3) == 0;
    for (size_t s = 0; s < set_count; s++) {
        for (const struct option *o = sets[s].options; o->kind != OPTION_END; o++) {
            bool same = strlen(o->name) == len && strncmp(o->name, name, len) == 0;
            bool opposite = no && o->kind == OPTION_SWITCH && strlen(o->name) == len - 3 &&
                            strncmp(o->name, name + 3, len - 3) == 0;
            if (!same && !opposite)
                continue;
            *out = (struct found){o, sets[s].values, opposite};
            return true;
        }
    }
    return false;
}

/* The option that shares the most first letters; NULL when none shares three. */
static const char *nearest(const struct option_set *sets, size_t set_count, const char *name)
{
    const char *best = NULL;
    size_t best_common = 2;
    for (size_t s = 0; s < set_count; s++) {
        for (const struct option *o = sets[s].options; o->kind != OPTION_END; o++) {
            size_t common = 0;
            while (name[common] != '\0' && name[common] == o->name[common])
                common++;
            if (common > best_common) {
                best = o->name;
                best_common = common;
            }
        }
    }
    return best;
}

void option_mark(const struct option *o, void *values)
{
    if (o->mask != 0)
        *(uint32_t *)(void *)((char *)values + o->mask_offset) |= o->mask;
}

/* ---------------------------------------------------------------- limits */

static uint64_t max_of(const struct option *o)
{
    if (o->max != 0)
        return o->max;
    return o->kind == OPTION_U32 ? UINT32_MAX : UINT64_MAX;
}

static char *unit_text(const struct option *o, uint64_t v, char out[HUMAN_TEXT_MAX])
{
    if (o->kind == OPTION_DURATION)
        return human_duration_text(v, out);
    if (o->kind == OPTION_SIZE)
        return human_size_text(v, out);
    snprintf(out, HUMAN_TEXT_MAX, "%llu", (unsigned long long)v);
    return out;
}

/* "1 to 1000", "0s to 7d", "1 or more"; "" when anything goes. */
static char *limits_text(const struct option *o, char out[LIMITS_TEXT_MAX])
{
    char min[HUMAN_TEXT_MAX], max[HUMAN_TEXT_MAX];
    out[0] = '\0';
    if (o->max != 0)
        snprintf(out, LIMITS_TEXT_MAX, "%s to %s", unit_text(o, o->min, min), unit_text(o, o->max, max));
    else if (o->min != 0)
        snprintf(out, LIMITS_TEXT_MAX, "%s or more", unit_text(o, o->min, min));
    return out;
}

static int check_limits(const struct option *o, const char *text, uint64_t v, struct error *e)
{
    char limits[LIMITS_TEXT_MAX];
    if (v >= o->min && v <= max_of(o))
        return ERR_OK;
    return error_field(e, ERR_INVALID, o->name, "--%s takes %s, not '%.60s'", o->name, limits_text(o, limits), text);
}

/* ---------------------------------------------------------------- values */

bool option_number(const char *text, uint64_t max, uint64_t *out)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || v > max)
        return false;
    *out = v;
    return true;
}

static int read_number(const struct option *o, const char *text, uint64_t *out, struct error *e)
{
    char limits[LIMITS_TEXT_MAX];
    uint64_t most = o->kind == OPTION_U32 ? UINT32_MAX : UINT64_MAX;
    if (option_number(text, most, out))
        return check_limits(o, text, *out, e);
    if (o->max == 0)
        snprintf(limits, sizeof limits, "%llu to %llu", (unsigned long long)o->min, (unsigned long long)most);
    else
        limits_text(o, limits);
    return error_field(e, ERR_INVALID, o->name, "--%s takes a whole number, %s, not '%.60s'", o->name, limits, text);
}

static int read_real(const struct option *o, const char *text, double *out, struct error *e)
{
    char *end;
    double v = strtod(text, &end);
    bool plain = text[0] != '\0' && text[strspn(text, "0123456789.eE+-")] == '\0' && text[0] != '+'; /* no 0x, no inf */
    if (!plain || *end != '\0' || !isfinite(v) || v < 0)
        return error_field(e, ERR_INVALID, o->name,
                           "--%s takes a number that is not negative, such as 2.5, not '%.60s'", o->name, text);
    *out = v;
    return ERR_OK;
}

static int read_choice(const struct option *o, const char *text, int *out, struct error *e)
{
    char all[200] = "";
    for (int i = 0; o->choices[i] != NULL; i++) {
        if (strcmp(o->choices[i], text) == 0) {
            *out = i;
            return ERR_OK;
        }
        size_t len = strlen(all);
        snprintf(all + len, sizeof all - len, "%s%s", i > 0 ? ", " : "", o->choices[i]);
    }
    return error_field(e, ERR_INVALID, o->name, "--%s is one of %s, not '%.60s'", o->name, all, text);
}

static int add_text(const struct option *o, struct text_list *list, const char *text, struct error *e)
{
    if (list->count == TEXT_LIST_MAX)
        return error_field(e, ERR_INVALID, o->name, "--%s is given more than %d times", o->name, TEXT_LIST_MAX);
    list->items[list->count++] = text;
    return ERR_OK;
}

static int read_u32(const struct option *o, const char *text, uint32_t *out, struct error *e)
{
    uint64_t v = 0;
    int rc = read_number(o, text, &v, e);
    *out = (uint32_t)v;
    return rc;
}

static int read_with_unit(const struct option *o, const char *text,
                          int (*read)(const char *text, uint64_t *out, struct error *e), uint64_t *out, struct error *e)
{
    if (read(text, out, e) == ERR_OK)
        return check_limits(o, text, *out, e);
    snprintf(e->field, sizeof e->field, "%s", o->name);
    return error_wrap(e, "--%s", o->name);
}

static int read_value(const struct option *o, void *at, const char *text, struct error *e)
{
    switch (o->kind) {
    case OPTION_TEXT:
        *(const char **)at = text;
        return ERR_OK;
    case OPTION_LIST:
        return add_text(o, at, text, e);
    case OPTION_U32:
        return read_u32(o, text, at, e);
    case OPTION_U64:
        return read_number(o, text, at, e);
    case OPTION_REAL:
        return read_real(o, text, at, e);
    case OPTION_DURATION:
        return read_with_unit(o, text, human_duration, at, e);
    case OPTION_SIZE:
        return read_with_unit(o, text, human_size, at, e);
    case OPTION_CHOICE:
        return read_choice(o, text, at, e);
    default:
        UNREACHABLE();
    }
}

static bool is_bool(const struct option *o)
{
    return o->kind == OPTION_FLAG || o->kind == OPTION_SWITCH;
}

static int unknown(const struct option_set *sets, size_t set_count, const char *arg, struct error *e)
{
    const char *other = strncmp(arg, "--", 2) == 0 ? nearest(sets, set_count, arg + 2) : NULL;
    if (other != NULL)
        return error_field(e, ERR_INVALID, arg, "no option %.60s here; did you mean --%s?", arg, other);
    return error_field(e, ERR_INVALID, arg, "no option %.60s here; --help lists them (after -- nothing is an option)",
                       arg);
}

/* One option at argv[*i], with its value, which may be the next argument. */
static int read_one(const struct option_set *sets, size_t set_count, const char **argv, int argc, int *i,
                    struct error *e)
{
    const char *arg = argv[*i];
    const char *name = strcmp(arg, "-h") == 0 ? "help" : arg + 2;
    size_t len = strcspn(name, "=");
    const char *value = name[len] == '=' ? name + len + 1 : NULL;
    struct found f;
    if ((arg[1] != '-' && strcmp(arg, "-h") != 0) || !find(sets, set_count, name, len, &f))
        return unknown(sets, set_count, arg, e);
    void *at = (char *)f.values + f.option->offset;
    option_mark(f.option, f.values);
    if (is_bool(f.option)) {
        if (value != NULL)
            return error_field(e, ERR_INVALID, f.option->name, "--%s takes no value", f.option->name);
        *(bool *)at = !f.negated;
        return ERR_OK;
    }
    if (value == NULL && *i + 1 < argc)
        value = argv[++*i];
    if (value == NULL)
        return error_field(e, ERR_INVALID, f.option->name, "--%s needs a value: %s", f.option->name, f.option->value);
    return read_value(f.option, at, value, e);
}

int option_read(const struct option_set *sets, size_t set_count, const char **argv, int argc, struct positionals *rest,
                struct error *e)
{
    bool options_over = false;
    for (int i = 0; i < argc; i++) {
        const char *arg = argv[i];
        if (!options_over && strcmp(arg, "--") == 0) {
            options_over = true;
        } else if (options_over || arg[0] != '-' || arg[1] == '\0') {
            if (rest->count == TEXT_LIST_MAX)
                return error_set(e, ERR_INVALID, "more than %d arguments; give long lists on standard input",
                                 TEXT_LIST_MAX);
            rest->items[rest->count++] = arg;
        } else {
            int rc = read_one(sets, set_count, argv, argc, &i, e);
            if (rc != ERR_OK)
                return rc;
        }
    }
    return ERR_OK;
}

static void heading(const struct option *o, char *out, size_t size)
{
    snprintf(out, size, "%s%s%s%s", o->kind == OPTION_SWITCH ? "--[no-]" : "--", o->name, o->value != NULL ? " " : "",
             o->value != NULL ? o->value : "");
}

void option_help(const struct option *options)
{
    char text[120];
    int width = 0;
    for (const struct option *o = options; o->kind != OPTION_END; o++) {
        heading(o, text, sizeof text);
        width = (int)strlen(text) > width ? (int)strlen(text) : width;
    }
    for (const struct option *o = options; o->kind != OPTION_END; o++) {
        heading(o, text, sizeof text);
        printf("  %-*s  %s", width, text, o->help);
        for (int i = 0; o->kind == OPTION_CHOICE && o->choices[i] != NULL; i++)
            printf("%s%s", i == 0 ? ": " : ", ", o->choices[i]);
        char limits[LIMITS_TEXT_MAX];
        if (limits_text(o, limits)[0] != '\0')
            printf("; %s", limits);
        printf("\n");
    }
}
