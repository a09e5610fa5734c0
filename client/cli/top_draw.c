#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/human.h"
#include "base/memory.h"
#include "cli/text.h"
#include "cli/top.h"

enum {
    UNLIMITED = 1 << 20,
    LINE_BYTES = 1024,
    NAME_WIDTH_MIN = 12,
    NAME_WIDTH_MAX = 40,
    NUMBERS_WIDTH = 66,
    HEAD_ROWS = 5,
    FUNCTIONS_HEAD_ROWS = 2
};

static const char *const order_names[TOP_ORDERS] = {"name", "ready", "rate"};

struct page {
    struct buffer *out;
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
    char line[LINE_BYTES], a[TEXT_MAX], b[TEXT_MAX], c[TEXT_MAX], d[TEXT_MAX];
    snprintf(line, sizeof line, "hato %s  node %llu  %s  up %s  %s", s->version, (unsigned long long)s->node, f->server,
             text_age(s->started_ms, s->now_ms, a), text_time(f->now_ms, b));
    put_line(p, line);
    snprintf(line, sizeof line, "messages: %s ready, %s in flight, %s delayed, %s", text_count(s->totals.ready, a),
             text_count(s->totals.in_flight, b), text_count(s->totals.delayed, c), human_size_text(s->totals.bytes, d));
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

static int name_width(const struct top_frame *f)
{
    size_t width = NAME_WIDTH_MIN;
    for (size_t i = 0; i < f->look->queue_count; i++) {
        size_t len = strlen(f->look->queues[i].name);
        width = len > width ? len : width;
    }
    for (size_t i = 0; i < f->look->function_count; i++) {
        size_t len = strlen(f->look->functions[i].name);
        width = len > width ? len : width;
    }
    int room = f->columns > 0 ? f->columns - NUMBERS_WIDTH : (int)width; /* on a screen the numbers are seen first */
    room = f->columns > 0 && room > NAME_WIDTH_MAX ? NAME_WIDTH_MAX : room;
    room = room < NAME_WIDTH_MIN ? NAME_WIDTH_MIN : room;
    return (int)width < room ? (int)width : room;
}

static void draw_queue(struct page *p, const struct top_frame *f, const struct top_queue *q, int width)
{
    char line[LINE_BYTES], r[TEXT_MAX], i[TEXT_MAX], d[TEXT_MAX], s[TEXT_MAX], v[TEXT_MAX], a[TEXT_MAX], o[TEXT_MAX];
    snprintf(line, sizeof line, "%-*.*s %10s %9s %9s %8s %8s %8s %7s  %s%s", width, width, q->name,
             text_count(q->counts.ready, r), text_count(q->counts.in_flight, i), text_count(q->counts.delayed, d),
             rate_text(q->sent_rate, s), rate_text(q->received_rate, v), rate_text(q->acked_rate, a),
             text_age(q->counts.oldest_sent_ms, f->look->status.now_ms, o), q->function, q->paused ? " (paused)" : "");
    put_line(p, line);
}

static void draw_queues(struct page *p, const struct top_frame *f, int width, int rows)
{
    static int (*const orders[TOP_ORDERS])(const void *, const void *) = {by_name, by_ready, by_rate};
    const struct top_look *l = f->look;
    char line[LINE_BYTES];
    const struct top_queue **sorted = memory_alloc(l->queue_count * sizeof(void *));
    for (size_t i = 0; i < l->queue_count; i++)
        sorted[i] = &l->queues[i];
    qsort(sorted, l->queue_count, sizeof(void *), orders[f->order]);
    snprintf(line, sizeof line, "%-*s %10s %9s %9s %8s %8s %8s %7s  %s", width, "QUEUE", "READY", "IN FLIGHT",
             "DELAYED", "SENT/S", "RECV/S", "ACK/S", "OLDEST", "FUNCTION");
    put_line(p, line);
    size_t first = f->first[TOP_QUEUES], end = end_of(first, l->queue_count, rows);
    for (size_t i = first; i < end; i++)
        draw_queue(p, f, sorted[i], width);
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

static void draw_function(struct page *p, const struct top_function *t, int width)
{
    char line[LINE_BYTES], state[20], flight[40], d[TEXT_MAX], x[TEXT_MAX], error[200];
    snprintf(state, sizeof state, "%s%s", t->state, t->partial ? "?" : "");
    snprintf(flight, sizeof flight, "%u/%u", t->in_flight, t->window);
    text_line(t->last_error, strlen(t->last_error), 80, error, sizeof error);
    snprintf(line, sizeof line, "%-*.*s %12s %13s %10s %10s  %s", width, width, t->name, state, flight,
             rate_text(t->delivered_rate, d), rate_text(t->failed_rate, x), error);
    put_line(p, line);
}

static void draw_functions(struct page *p, const struct top_frame *f, int width, int rows)
{
    const struct top_look *l = f->look;
    char line[LINE_BYTES];
    if (l->function_count == 0)
        return;
    const struct top_function **sorted = memory_alloc(l->function_count * sizeof(void *));
    for (size_t i = 0; i < l->function_count; i++)
        sorted[i] = &l->functions[i];
    qsort(sorted, l->function_count, sizeof(void *), by_need);
    put_line(p, "");
    snprintf(line, sizeof line, "%-*s %12s %13s %10s %10s  %s", width, "FUNCTION", "STATE", "IN FLIGHT", "DONE/S",
             "FAILED/S", "LAST ERROR");
    put_line(p, line);
    size_t first = f->first[TOP_FUNCTIONS], end = end_of(first, l->function_count, rows);
    for (size_t i = first; i < end; i++)
        draw_function(p, sorted[i], width);
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
    struct page p = {out, screen ? f->columns : UNLIMITED, screen ? f->rows - 1 : UNLIMITED};
    int width = name_width(f);
    draw_head(&p, f);
    int space = screen ? f->rows - 1 - HEAD_ROWS - 1 : UNLIMITED;
    int functions = function_rows(f->look, space);
    int taken = functions > 0 ? functions + FUNCTIONS_HEAD_ROWS : 0;
    taken += (size_t)functions < f->look->function_count || f->look->more_functions; /* the line that says so */
    draw_queues(&p, f, width, space - taken > 1 ? space - taken : 1);
    draw_functions(&p, f, width, functions);
    if (!screen)
        return;
    p.left = 1;
    draw_hint(&p, f);
}
