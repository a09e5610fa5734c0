#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/human.h"
#include "base/memory.h"
#include "cli/columns.h"
#include "cli/text.h"
#include "cli/top.h"

enum {
    UNLIMITED = 1 << 20,
    LINE_BYTES = 1024,
    QUEUE_COLUMNS = 7,
    FUNCTION_COLUMNS = 4,
    ERROR_WIDTH_MIN = 16,
    HEAD_ROWS = 5,
    FUNCTIONS_HEAD_ROWS = 2
};

static const char *const order_names[TOP_ORDERS] = {"name", "ready", "rate"};

static const struct column queue_columns[QUEUE_COLUMNS] = {
    {"READY", 10, 0}, {"IN FLIGHT", 9, 0}, {"DELAYED", 9, 1}, {"SENT/S", 8, 4},
    {"RECV/S", 8, 2}, {"ACK/S", 8, 3},     {"OLDEST", 7, 0},
};
static const struct column function_columns[FUNCTION_COLUMNS] = {
    {"STATE", 12, 0}, {"IN FLIGHT", 13, 1}, {"DONE/S", 10, 2}, {"FAILED/S", 10, 0}};

struct page {
    struct buffer *out;
    struct buffer row; /* being made */
    int columns;
    int left; /* rows */
};

/* One line, cut to the page's width at a character's end. */
static void put_line(struct page *p, const char *text)
{
    if (p->left-- <= 0)
        return;
    int column = 0;
    for (const char *c = text; *c != '\0'; c++) {
        bool begins = ((unsigned char)*c & 0xc0) != 0x80;
        if (begins && column++ == p->columns)
            break;
        buffer_u8(p->out, (uint8_t)*c);
    }
    buffer_u8(p->out, '\n');
}

static void put_row(struct page *p, const struct columns *c, const char *name, char cells[][TEXT_MAX], const char *rest)
{
    buffer_clear(&p->row);
    columns_row(c, name, cells, rest, &p->row);
    put_line(p, (const char *)p->row.data);
}

static void put_titles(struct page *p, const struct columns *c, const char *name, const char *rest)
{
    buffer_clear(&p->row);
    columns_head(c, name, rest, &p->row);
    put_line(p, (const char *)p->row.data);
}

static char *rate_text(double v, char out[TEXT_MAX])
{
    if (v < 0)
        snprintf(out, TEXT_MAX, "-");
    else if (v < 10)
        snprintf(out, TEXT_MAX, "%.1f", v);
    else
        text_count((uint64_t)v, out);
    return out;
}

static void draw_head(struct page *p, const struct top_frame *f)
{
    const struct hato_status *s = &f->look->status;
    char line[LINE_BYTES], a[TEXT_MAX], b[TEXT_MAX], c[TEXT_MAX], d[TEXT_MAX], m[TEXT_MAX];
    snprintf(line, sizeof line, "hato %s  node %llu  %s  up %s  %s", s->version, (unsigned long long)s->node, f->server,
             text_age(s->started_ms, s->now_ms, a), text_time(f->now_ms, b));
    put_line(p, line);
    snprintf(line, sizeof line, "messages: %s ready, %s in flight, %s delayed, %s moving, %s",
             text_count(s->totals.ready, a), text_count(s->totals.in_flight, b), text_count(s->totals.delayed, c),
             text_count(s->totals.moving, m), human_size_text(s->totals.bytes, d));
    put_line(p, line);
    snprintf(line, sizeof line, "memory %s, log %s, store %s, disk free %s%s", human_size_text(s->memory_bytes, a),
             human_size_text(s->log_bytes, b), human_size_text(s->store_bytes, c),
             human_size_text(s->disk_free_bytes, d), s->accepts_sends ? "" : "  SENDS REFUSED: disk full");
    put_line(p, line);
    put_line(p, "");
}

/* ---------------------------------------------------------------- both tables */

static size_t end_of(size_t first, size_t count, int rows)
{
    return count - first < (size_t)rows ? count : first + (size_t)rows;
}

/* Which rows are shown, where some are not. */
static void put_range(struct page *p, size_t first, size_t end, size_t count, bool more)
{
    char line[LINE_BYTES];
    if (first == 0 && end == count && !more)
        return;
    snprintf(line, sizeof line, "  %zu to %zu of %zu%s", first + 1, end, count, more ? " and more" : "");
    put_line(p, line);
}

/* ---------------------------------------------------------------- queues */

/* The queues are sorted by pointers: the look's maps point to them where they are. */
static const struct top_queue *queue_of(const void *pointer)
{
    return *(const struct top_queue *const *)pointer;
}

static int by_name(const void *x, const void *y)
{
    return strcmp(queue_of(x)->name, queue_of(y)->name);
}

static int by_ready(const void *x, const void *y)
{
    uint64_t a = queue_of(x)->counts.ready;
    uint64_t b = queue_of(y)->counts.ready;
    return a != b ? (a < b) - (a > b) : by_name(x, y);
}

static double activity(const struct top_queue *q)
{
    return (q->sent_rate > 0 ? q->sent_rate : 0) + (q->acked_rate > 0 ? q->acked_rate : 0);
}

static int by_rate(const void *x, const void *y)
{
    double a = activity(queue_of(x));
    double b = activity(queue_of(y));
    return a < b ? 1 : a > b ? -1 : by_ready(x, y);
}

static size_t longer(const char *name, size_t longest)
{
    size_t len = strlen(name);
    return len > longest ? len : longest;
}

static void draw_queue(struct page *p, const struct columns *c, const struct top_frame *f, const struct top_queue *q)
{
    char cells[QUEUE_COLUMNS][TEXT_MAX], function[LINE_BYTES];
    text_count(q->counts.ready, cells[0]);
    text_count(q->counts.in_flight, cells[1]);
    text_count(q->counts.delayed, cells[2]);
    rate_text(q->sent_rate, cells[3]);
    rate_text(q->received_rate, cells[4]);
    rate_text(q->acked_rate, cells[5]);
    text_age(q->counts.oldest_sent_ms, f->look->status.now_ms, cells[6]);
    snprintf(function, sizeof function, "%s%s", q->function, q->paused ? " (paused)" : "");
    put_row(p, c, q->name, cells, function);
}

static void draw_queues(struct page *p, const struct top_frame *f, int rows)
{
    static int (*const orders[TOP_ORDERS])(const void *, const void *) = {by_name, by_ready, by_rate};
    const struct top_look *l = f->look;
    struct columns c = {.column = queue_columns, .count = QUEUE_COLUMNS};
    const struct top_queue **sorted = memory_alloc(l->queue_count * sizeof(void *));
    size_t longest = 0;
    for (size_t i = 0; i < l->queue_count; i++) {
        sorted[i] = &l->queues[i];
        longest = longer(sorted[i]->name, longest);
    }
    qsort(sorted, l->queue_count, sizeof(void *), orders[f->order]);
    columns_fit(&c, f->columns, longest, 0);
    put_titles(p, &c, "QUEUE", "FUNCTION");
    size_t first = f->first[TOP_QUEUES], end = end_of(first, l->queue_count, rows);
    for (size_t i = first; i < end; i++)
        draw_queue(p, &c, f, sorted[i]);
    memory_free(sorted);
    put_range(p, first, end, l->queue_count, l->more_queues);
}

/* ---------------------------------------------------------------- functions */

static const struct top_function *function_of(const void *pointer)
{
    return *(const struct top_function *const *)pointer;
}

/* 0: gets nothing at all; 1: fails some; 2: is well, or has nothing to do. */
static int rank(const struct top_function *t)
{
    if (strcmp(t->state, "open") == 0 || strcmp(t->state, "gone") == 0)
        return 0;
    return t->failed_rate > 0 ? 1 : 2;
}

static int by_need(const void *x, const void *y)
{
    int a = rank(function_of(x));
    int b = rank(function_of(y));
    return a != b ? a - b : strcmp(function_of(x)->name, function_of(y)->name);
}

static void draw_function(struct page *p, const struct columns *c, const struct top_function *t)
{
    char cells[FUNCTION_COLUMNS][TEXT_MAX], error[200];
    snprintf(cells[0], TEXT_MAX, "%s%s", t->state, t->partial ? "?" : "");
    snprintf(cells[1], TEXT_MAX, "%u/%u", t->in_flight, t->window);
    rate_text(t->delivered_rate, cells[2]);
    rate_text(t->failed_rate, cells[3]);
    text_line(t->last_error, strlen(t->last_error), 80, error, sizeof error);
    put_row(p, c, t->name, cells, error);
}

static void draw_functions(struct page *p, const struct top_frame *f, int rows)
{
    const struct top_look *l = f->look;
    struct columns c = {.column = function_columns, .count = FUNCTION_COLUMNS};
    if (l->function_count == 0)
        return;
    const struct top_function **sorted = memory_alloc(l->function_count * sizeof(void *));
    size_t longest = 0;
    for (size_t i = 0; i < l->function_count; i++) {
        sorted[i] = &l->functions[i];
        longest = longer(sorted[i]->name, longest);
    }
    qsort(sorted, l->function_count, sizeof(void *), by_need);
    put_line(p, "");
    columns_fit(&c, f->columns, longest, 2 + ERROR_WIDTH_MIN);
    put_titles(p, &c, "FUNCTION", "LAST ERROR");
    size_t first = f->first[TOP_FUNCTIONS], end = end_of(first, l->function_count, rows);
    for (size_t i = first; i < end; i++)
        draw_function(p, &c, sorted[i]);
    memory_free(sorted);
    put_range(p, first, end, l->function_count, l->more_functions);
}

/* ---------------------------------------------------------------- the frame */

/* How many functions are shown. They get half of what the head leaves, and what the queues don't need; one is always shown. */
static int function_rows(const struct top_look *l, int space)
{
    int count = (int)l->function_count;
    int most = space / 2 > space - (int)l->queue_count ? space / 2 : space - (int)l->queue_count;
    if (count <= 1 || (count + FUNCTIONS_HEAD_ROWS <= most && !l->more_functions))
        return count;
    return most > FUNCTIONS_HEAD_ROWS + 2 ? most - FUNCTIONS_HEAD_ROWS - 1 : 1;
}

static void draw_hint(struct page *p, const struct top_frame *f)
{
    static const char *const scrolls[TOP_TABLES] = {"up and down scroll queues, tab: functions",
                                                    "up and down scroll functions, tab: queues"};
    char hint[LINE_BYTES];
    snprintf(hint, sizeof hint, "q quits, s sorts (by %s), %s", order_names[f->order], scrolls[f->scrolled]);
    put_line(p, f->problem != NULL ? f->problem : hint);
}

void top_draw(struct buffer *out, const struct top_frame *f)
{
    bool screen = f->columns > 0;
    struct page p = {.out = out, .columns = screen ? f->columns : UNLIMITED, .left = screen ? f->rows - 1 : UNLIMITED};
    draw_head(&p, f);
    int space = screen ? f->rows - 1 - HEAD_ROWS - 1 : UNLIMITED;
    int functions = function_rows(f->look, space);
    int taken = functions > 0 ? functions + FUNCTIONS_HEAD_ROWS : 0;
    taken += (size_t)functions < f->look->function_count || f->look->more_functions; /* the line that says so */
    draw_queues(&p, f, space - taken > 1 ? space - taken : 1);
    draw_functions(&p, f, functions);
    buffer_close(&p.row);
    if (!screen)
        return;
    p.left = 1;
    draw_hint(&p, f);
}
