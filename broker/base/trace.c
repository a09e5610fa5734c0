#include "base/trace.h"

#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/utf8.h"

/* The line under construction. A field that does not fit is undone, and the line remembers that it is cut. Fields go up
 * to LINE_RESERVE bytes before the end, which `finish` needs. */
struct line {
    enum trace_format format;
    size_t len;
    size_t limit;
    bool cut;
    char text[TRACE_LINE_MAX];
};

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static const char *const format_names[] = {"logfmt", "json"};

enum { LEVELS = 4, FORMATS = 2, LINE_RESERVE = 64, NS_PER_SECOND = 1000000000 };

static void put(struct line *l, const char *data, size_t len)
{
    if (l->cut || l->len + len > l->limit) {
        l->cut = true;
        return;
    }
    memcpy(l->text + l->len, data, len);
    l->len += len;
}

static void put_text(struct line *l, const char *text)
{
    put(l, text, strlen(text));
}

/* Whether the code point may stand as it is: printable, and nothing a terminal would act on. */
static bool plain(uint32_t point)
{
    return point >= 0x20 && !(point >= 0x7F && point <= 0x9F) && point != 0x2028 && point != 0x2029 && point != '"' &&
           point != '\\';
}

static void put_escaped(struct line *l, uint32_t point)
{
    char out[16];
    if (point == '"' || point == '\\')
        snprintf(out, sizeof out, "\\%c", (char)point);
    else if (point == '\n')
        snprintf(out, sizeof out, "\\n");
    else if (point == '\r')
        snprintf(out, sizeof out, "\\r");
    else if (point == '\t')
        snprintf(out, sizeof out, "\\t");
    else
        snprintf(out, sizeof out, "\\u%04x", point);
    put_text(l, out);
}

/* A byte that belongs to no code point: JSON has no way to keep it. */
static void put_stray(struct line *l, uint8_t byte)
{
    char out[16];
    if (l->format == TRACE_JSON)
        snprintf(out, sizeof out, "\\ufffd");
    else
        snprintf(out, sizeof out, "\\x%02x", byte);
    put_text(l, out);
}

static void put_quoted(struct line *l, struct bytes b)
{
    put_text(l, "\"");
    while (b.len > 0 && !l->cut) {
        uint32_t point = 0;
        size_t step = utf8_next(b, &point);
        if (step == 0)
            put_stray(l, b.data[0]);
        else if (plain(point))
            put(l, (const char *)b.data, step);
        else
            put_escaped(l, point);
        step = step == 0 ? 1 : step;
        b.data += step;
        b.len -= step;
    }
    put_text(l, "\"");
}

/* Whether logfmt takes the value without quotes. */
static bool bare(struct bytes b)
{
    if (b.len == 0)
        return false;
    for (size_t i = 0; i < b.len; i++) {
        if (b.data[i] <= ' ' || b.data[i] >= 0x7F || b.data[i] == '"' || b.data[i] == '=' || b.data[i] == '\\')
            return false;
    }
    return true;
}

static void put_value(struct line *l, struct bytes b)
{
    if (l->format == TRACE_LOGFMT && bare(b))
        put(l, (const char *)b.data, b.len);
    else
        put_quoted(l, b);
}

static void put_key(struct line *l, const char *key)
{
    if (l->format == TRACE_JSON) {
        put_text(l, l->len == 0 ? "{\"" : ",\"");
        put_text(l, key);
        put_text(l, "\":");
    } else {
        put_text(l, l->len == 0 ? "" : " ");
        put_text(l, key);
        put_text(l, "=");
    }
}

static void put_field(struct line *l, const struct trace_field *f)
{
    char number[32];
    size_t before = l->len;
    if (f->kind == TRACE_KIND_NONE)
        return;
    put_key(l, f->key);
    switch (f->kind) {
    case TRACE_KIND_BYTES:
        put_value(l, f->value.bytes);
        break;
    case TRACE_KIND_U64:
        snprintf(number, sizeof number, "%llu", (unsigned long long)f->value.u64);
        put_text(l, number);
        break;
    case TRACE_KIND_I64:
        snprintf(number, sizeof number, "%lld", (long long)f->value.i64);
        put_text(l, number);
        break;
    case TRACE_KIND_HEX:
        snprintf(number, sizeof number, "%016llx", (unsigned long long)f->value.u64);
        put_value(l, bytes_text(number));
        break;
    case TRACE_KIND_BOOL:
        put_text(l, f->value.yes ? "true" : "false");
        break;
    case TRACE_KIND_NONE:
        UNREACHABLE();
    }
    if (l->cut)
        l->len = before;
}

static void put_time(struct line *l, uint64_t now_ms)
{
    char text[40];
    struct tm tm;
    time_t seconds = (time_t)(now_ms / 1000);
    if (gmtime_r(&seconds, &tm) == NULL)
        tm = (struct tm){.tm_mday = 1};
    size_t len = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + len, sizeof text - len, ".%03uZ", (unsigned)(now_ms % 1000));
    put_key(l, "time");
    if (l->format == TRACE_JSON)
        put_quoted(l, bytes_text(text));
    else
        put_text(l, text);
}

static void begin(struct line *l, const struct trace *t, enum trace_level level, const char *event)
{
    l->format = t->options.format;
    l->len = 0;
    l->limit = TRACE_LINE_MAX - LINE_RESERVE;
    l->cut = false;
    put_time(l, clock_now_ms(&t->options.clock));
    struct trace_field name = trace_text("level", level_names[level]);
    struct trace_field what = trace_text("event", event);
    put_field(l, &name);
    put_field(l, &what);
}

static void finish(struct line *l, uint64_t suppressed)
{
    bool was_cut = l->cut;
    l->cut = false;
    l->limit = TRACE_LINE_MAX;
    struct trace_field more = trace_u64("suppressed", suppressed);
    struct trace_field cut = trace_bool("cut", true);
    if (suppressed > 0)
        put_field(l, &more);
    if (was_cut)
        put_field(l, &cut);
    put_text(l, l->format == TRACE_JSON ? "}\n" : "\n");
}

static void emit(struct trace *t, enum trace_level level, const struct line *l)
{
    if (t->options.file == NULL) {
        t->options.write(t->options.context, level, l->text, l->len);
        return;
    }
    /* Diagnostics that cannot be written have nowhere to be told. */
    (void)fwrite(l->text, 1, l->len, t->options.file);
    (void)fflush(t->options.file);
}

/* Writes the line that says how many of `e` were held back, when its place is needed or the object closes. */
static void emit_suppressed(struct trace *t, struct trace_event *e)
{
    if (e->suppressed == 0)
        return;
    struct line l;
    begin(&l, t, e->level, e->text);
    finish(&l, e->suppressed);
    e->suppressed = 0;
    emit(t, e->level, &l);
}

/* The event's place: its own, else a free one, else that of the event longest unheard of. */
static struct trace_event *event_place(struct trace *t, enum trace_level level, const char *event, uint64_t second)
{
    struct trace_event *oldest = &t->events[0];
    for (size_t i = 0; i < TRACE_EVENTS; i++) {
        struct trace_event *e = &t->events[i];
        if (e->text != NULL && e->level == level && strcmp(e->text, event) == 0)
            return e;
        if (oldest->text != NULL && (e->text == NULL || e->second < oldest->second))
            oldest = e;
    }
    emit_suppressed(t, oldest);
    *oldest = (struct trace_event){.text = event, .level = level, .second = second};
    return oldest;
}

/* Whether a line of the event may be written now; when so, *suppressed is how many were held back before it. */
static bool admit(struct trace *t, enum trace_level level, const char *event, uint64_t *suppressed)
{
    *suppressed = 0;
    if (level == TRACE_DEBUG)
        return true;
    uint64_t second = clock_monotonic_ns(&t->options.clock) / NS_PER_SECOND;
    struct trace_event *e = event_place(t, level, event, second);
    if (e->second != second) {
        e->second = second;
        e->lines = 0;
    }
    if (e->lines >= t->options.burst) {
        e->suppressed++;
        return false;
    }
    e->lines++;
    *suppressed = e->suppressed;
    e->suppressed = 0;
    return true;
}

void trace_write(struct trace *t, enum trace_level level, const char *event, const struct trace_field *fields,
                 size_t count)
{
    struct line l;
    uint64_t suppressed;
    pthread_mutex_lock(&t->mutex);
    if (admit(t, level, event, &suppressed)) {
        begin(&l, t, level, event);
        for (size_t i = 1; i < count && !l.cut; i++)
            put_field(&l, &fields[i]);
        finish(&l, suppressed);
        emit(t, level, &l);
    }
    pthread_mutex_unlock(&t->mutex);
}

void trace_open(struct trace *t, const struct trace_options *options)
{
    ASSERT(options->file != NULL || options->write != NULL);
    memset(t, 0, sizeof *t);
    t->options = *options;
    if (t->options.burst == 0)
        t->options.burst = TRACE_BURST_DEFAULT;
    atomic_init(&t->level, (int)options->level);
    ASSERT(pthread_mutex_init(&t->mutex, NULL) == 0);
}

void trace_close(struct trace *t)
{
    for (size_t i = 0; i < TRACE_EVENTS; i++)
        emit_suppressed(t, &t->events[i]);
    pthread_mutex_destroy(&t->mutex);
}

void trace_set_level(struct trace *t, enum trace_level level)
{
    atomic_store_explicit(&t->level, (int)level, memory_order_relaxed);
}

int trace_level_parse(const char *text, enum trace_level *level, struct error *e)
{
    for (int i = 0; i < LEVELS; i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *level = (enum trace_level)i;
            return ERR_OK;
        }
    }
    return error_set(e, ERR_INVALID, "\"%.40s\" is not a level: use error, warn, info or debug", text);
}

int trace_format_parse(const char *text, enum trace_format *format, struct error *e)
{
    for (int i = 0; i < FORMATS; i++) {
        if (strcmp(text, format_names[i]) == 0) {
            *format = (enum trace_format)i;
            return ERR_OK;
        }
    }
    return error_set(e, ERR_INVALID, "\"%.40s\" is not a format: use logfmt or json", text);
}
