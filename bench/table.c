#include "bench/table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "bench/units.h"

static int compare_numbers(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double table_median(const double *values, uint32_t count)
{
    double sorted[TABLE_ROUNDS_MAX];
    ASSERT(count <= TABLE_ROUNDS_MAX);
    if (count == 0)
        return 0;
    memcpy(sorted, values, count * sizeof(*values));
    qsort(sorted, count, sizeof(*sorted), compare_numbers);
    return (sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
}

struct table_result table_result(const struct table_row *row)
{
    double ratios[TABLE_ROUNDS_MAX];
    double least = (double)INFINITY, most = 0;
    for (uint32_t i = 0; i < row->rounds; i++) {
        ratios[i] = row->againsts[i] > 0 ? row->values[i] / row->againsts[i] : 0;
        least = fmin(least, ratios[i]);
        most = fmax(most, ratios[i]);
    }
    struct table_result r = {.value = table_median(row->values, row->rounds),
                             .against = table_median(row->againsts, row->rounds),
                             .ratio = table_median(ratios, row->rounds),
                             .spread = least > 0 ? most / least : 0};
    r.met = row->at_least ? r.ratio >= row->bound : r.ratio <= row->bound;
    return r;
}

/* The next field; false at the line's end. */
static bool table_field(const char **line, char *field, size_t size)
{
    size_t len = strcspn(*line, "\t\r\n");
    if (len == 0 || len >= size)
        return false;
    memcpy(field, *line, len);
    field[len] = 0;
    *line += len;
    *line += **line == '\t';
    return true;
}

static bool table_number(const char **line, double *number)
{
    char field[64], *end;
    if (!table_field(line, field, sizeof(field)))
        return false;
    *number = strtod(field, &end);
    return *end == 0 && isfinite(*number) && *number >= 0;
}

static bool table_aim(struct table_row *row)
{
    char *end = row->aim;
    row->at_least = strncmp(row->aim, ">= ", 3) == 0;
    if (row->at_least || strncmp(row->aim, "<= ", 3) == 0)
        row->bound = strtod(row->aim + 3, &end);
    return end > row->aim + 3 && *end == 0;
}

static struct table_row *table_row(struct table *t, const struct table_row *like)
{
    for (uint32_t i = 0; i < t->count; i++) {
        if (strcmp(t->rows[i].name, like->name) == 0)
            return &t->rows[i];
    }
    if (t->count == TABLE_ROWS_MAX)
        return NULL;
    t->rows[t->count] = *like;
    return &t->rows[t->count++];
}

int table_add(struct table *t, const char *line, struct error *e)
{
    struct table_row like = {0};
    double value = 0, against = 0;
    if (!table_field(&line, like.name, sizeof(like.name)))
        return error_field(e, ERR_INVALID, "name", "a line begins with the row's name");
    if (!table_field(&line, like.aim, sizeof(like.aim)) || !table_aim(&like))
        return error_field(e, ERR_INVALID, "aim", "\"%s\": the aim is \">= 5\" or \"<= 1.5\"", like.name);
    if (!table_number(&line, &value) || !table_number(&line, &against) || line[strspn(line, "\r\n")] != 0)
        return error_field(e, ERR_INVALID, "value", "\"%s\": after the aim come two numbers", like.name);
    struct table_row *row = table_row(t, &like);
    if (row == NULL || row->rounds == TABLE_ROUNDS_MAX)
        return error_set(e, ERR_LIMIT, "more than %d rows or %d rounds", TABLE_ROWS_MAX, TABLE_ROUNDS_MAX);
    row->values[row->rounds] = value;
    row->againsts[row->rounds++] = against;
    return ERR_OK;
}

void table_print(const struct table *t, FILE *out)
{
    fprintf(out, "%-52s %9s %9s %8s %9s %7s\n", "", "value", "against", "ratio", "aim", "spread");
    for (uint32_t i = 0; i < t->count; i++) {
        struct table_result r = table_result(&t->rows[i]);
        char value[UNITS_TEXT_MAX], against[UNITS_TEXT_MAX];
        fprintf(out, "%-52s %9s %9s %8.3g %9s %7.2f  %s\n", t->rows[i].name, units_count_text(r.value, value),
                units_count_text(r.against, against), r.ratio, t->rows[i].aim, r.spread, r.met ? "met" : "MISSED");
    }
}

void table_print_json(const struct table *t, FILE *out)
{
    fputc('[', out);
    for (uint32_t i = 0; i < t->count; i++) {
        struct table_result r = table_result(&t->rows[i]);
        fprintf(out, "%s{\"name\": \"", i == 0 ? "" : ",\n ");
        for (const char *c = t->rows[i].name; *c != 0; c++)
            fprintf(out, *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
        fprintf(out, "\", \"value\": %.6g, \"against\": %.6g, \"ratio\": %.4g, \"aim\": \"%s\", \"met\": %s}", r.value,
                r.against, r.ratio, t->rows[i].aim, r.met ? "true" : "false");
    }
    fputs("]\n", out);
}
