#include "cli/table.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/utf8.h"

/* Columns on a screen, one a code point. */
static int width_of(const char *text)
{
    int width = 0;
    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void put(struct table *t, const char *text)
{
    size_t column = t->count++ % t->columns;
    int width = width_of(text) - (t->count <= t->columns && text[0] == '>');
    if (width > t->width[column])
        t->width[column] = width;
    buffer_put(&t->cells, text, strlen(text) + 1);
}

void table_open(struct table *t, const char *headings)
{
    *t = (struct table){.columns = 1};
    for (const char *c = headings; *c != '\0'; c++)
        t->columns += *c == '|';
    ASSERT(t->columns <= TABLE_COLUMNS_MAX);
    for (const char *at = headings;; at++) {
        size_t len = strcspn(at, "|");
        char heading[64];
        snprintf(heading, sizeof heading, "%.*s", (int)len, at);
        put(t, heading);
        at += len;
        if (*at == '\0')
            return;
    }
}

void table_cell(struct table *t, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    put(t, text);
}

static void print_line(struct buffer *line)
{
    while (line->len > 0 && line->data[line->len - 1] == ' ')
        line->len--;
    printf("%.*s\n", (int)line->len, (const char *)line->data);
    buffer_clear(line);
}

void table_print(struct table *t)
{
    ASSERT(t->count % t->columns == 0);
    bool numbers[TABLE_COLUMNS_MAX] = {false};
    struct buffer line = {0};
    const char *text = (const char *)t->cells.data;
    for (size_t i = 0; i < t->count; i++) {
        size_t column = i % t->columns;
        const char *shown = text;
        if (i < t->columns && text[0] == '>') {
            numbers[column] = true;
            shown = text + 1;
        }
        int pad = t->width[column] - width_of(shown);
        if (numbers[column])
            buffer_printf(&line, "%*s%s  ", pad, "", shown);
        else
            buffer_printf(&line, "%s%*s  ", shown, pad, "");
        if (column + 1 == t->columns)
            print_line(&line);
        text += strlen(text) + 1;
    }
    buffer_close(&line);
    buffer_close(&t->cells);
}
