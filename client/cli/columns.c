#include "cli/columns.h"

#include <string.h>

#include "base/assert.h"

static const char CUT[] = "...";

enum { NAME_ENOUGH = 24, CUT_WIDTH = sizeof CUT - 1 }; /* for most names to be told from each other */

static bool shows(const struct columns *c, const struct column *column)
{
    return column->gives_way == 0 || column->gives_way > c->given_way;
}

static int room_for_name(const struct columns *c, int width, int rest)
{
    int room = width - rest;
    for (size_t i = 0; i < c->count; i++)
        room -= shows(c, &c->column[i]) ? c->column[i].width + 1 : 0;
    return room;
}

void columns_fit(struct columns *c, int width, size_t longest, int rest)
{
    int wanted = longest > COLUMNS_NAME_MIN ? (int)longest : COLUMNS_NAME_MIN;
    int enough = wanted < NAME_ENOUGH ? wanted : NAME_ENOUGH;
    ASSERT(c->count <= COLUMNS_MAX);
    c->given_way = 0;
    c->name = wanted;
    if (width == 0)
        return;
    while (room_for_name(c, width, rest) < enough && c->given_way < c->count)
        c->given_way++;
    int room = room_for_name(c, width, rest);
    room = room > COLUMNS_NAME_MIN ? room : COLUMNS_NAME_MIN;
    c->name = room < wanted ? room : wanted;
}

/* The end stays: it is what tells a queue from its dead-letter queue. */
static void put_name(const char *name, int width, struct buffer *out)
{
    int len = (int)strlen(name);
    int head = (width - CUT_WIDTH + 1) / 2;
    if (len <= width)
        buffer_printf(out, "%-*s", width, name);
    else
        buffer_printf(out, "%.*s%s%s", head, name, CUT, name + len - (width - CUT_WIDTH - head));
}

void columns_row(const struct columns *c, const char *name, char cells[][TEXT_MAX], const char *rest,
                 struct buffer *out)
{
    put_name(name, c->name, out);
    for (size_t i = 0; i < c->count; i++) {
        if (shows(c, &c->column[i]))
            buffer_printf(out, " %*s", c->column[i].width, cells[i]);
    }
    buffer_printf(out, "  %s", rest);
    buffer_u8(out, 0);
}

void columns_head(const struct columns *c, const char *name, const char *rest, struct buffer *out)
{
    char titles[COLUMNS_MAX][TEXT_MAX];
    for (size_t i = 0; i < c->count; i++)
        snprintf(titles[i], TEXT_MAX, "%s", c->column[i].title);
    columns_row(c, name, titles, rest, out);
}
