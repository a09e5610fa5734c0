/* Diagnostics: one event a line, as logfmt or JSON, for people and for collectors.
 *
 *   TRACE(t, TRACE_INFO, "queue created", trace_text("queue", name), trace_u64("shard", 3));
 *
 *   time=2026-01-31T12:00:00.000Z level=info event="queue created" queue=jobs shard=3
 *   {"time":"2026-01-31T12:00:00.000Z","level":"info","event":"queue created","queue":"jobs","shard":3}
 *
 * Event and keys are literals: the event says what happened and is always the same text, what varies goes into fields.
 * Values may be anything: they are escaped, so that neither a line break nor a terminal's control sequence gets through.
 * Lines longer than TRACE_LINE_MAX lose their last fields, and say so.
 *
 * An event that comes more than `burst` times in a second is held back for the rest of that second; the next line of the
 * event tells how many (`suppressed`). Debug lines are never held back.
 *
 * A NULL `struct trace` swallows everything, at the price of a comparison. All threads may write to one object; a line is
 * written whole, and is on its way to the kernel when TRACE returns. */
#ifndef HATO_BASE_TRACE_H
#define HATO_BASE_TRACE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"

enum trace_level { TRACE_ERROR, TRACE_WARN, TRACE_INFO, TRACE_DEBUG };
enum trace_format { TRACE_LOGFMT, TRACE_JSON };

enum { TRACE_LINE_MAX = 4096, TRACE_EVENTS = 64, TRACE_BURST_DEFAULT = 20 };

struct trace_options {
    enum trace_format format;
    enum trace_level level; /* lines above it are dropped */
    uint32_t burst;         /* lines of one event a second; 0: TRACE_BURST_DEFAULT */
    struct clock clock;
    /* Where lines go: to `file` (borrowed), or when that is NULL to `write`, which is called by one thread at a time. The
     * line ends with a line feed and is not terminated. */
    FILE *file;
    void (*write)(void *context, enum trace_level level, const char *line, size_t len);
    void *context;
};

/* What is known of an event's recent lines. */
struct trace_event {
    const char *text;
    enum trace_level level;
    uint64_t second;
    uint32_t lines;
    uint64_t suppressed;
};

struct trace {
    struct trace_options options;
    atomic_int level;
    pthread_mutex_t mutex;
    struct trace_event events[TRACE_EVENTS]; /* those heard of last */
};

void trace_open(struct trace *t, const struct trace_options *options);
void trace_close(struct trace *t); /* tells what is still suppressed; no other thread may be writing */

/* May be called at any time, by any thread. */
void trace_set_level(struct trace *t, enum trace_level level);

/* "error", "warn", "info", "debug". Errors: ERR_INVALID. */
int trace_level_parse(const char *text, enum trace_level *level, struct error *e);
/* "logfmt", "json". Errors: ERR_INVALID. */
int trace_format_parse(const char *text, enum trace_format *format, struct error *e);

enum trace_kind { TRACE_KIND_NONE, TRACE_KIND_BYTES, TRACE_KIND_U64, TRACE_KIND_I64, TRACE_KIND_HEX, TRACE_KIND_BOOL };

struct trace_field {
    const char *key;
    enum trace_kind kind;
    union {
        struct bytes bytes;
        uint64_t u64;
        int64_t i64;
        bool yes;
    } value;
};

/* A NULL text leaves the field out. */
static inline struct trace_field trace_text(const char *key, const char *text)
{
    if (text == NULL)
        return (struct trace_field){.key = key, .kind = TRACE_KIND_NONE};
    return (struct trace_field){.key = key, .kind = TRACE_KIND_BYTES, .value.bytes = bytes_text(text)};
}

static inline struct trace_field trace_bytes(const char *key, struct bytes b)
{
    return (struct trace_field){.key = key, .kind = TRACE_KIND_BYTES, .value.bytes = b};
}

static inline struct trace_field trace_u64(const char *key, uint64_t v)
{
    return (struct trace_field){.key = key, .kind = TRACE_KIND_U64, .value.u64 = v};
}

static inline struct trace_field trace_i64(const char *key, int64_t v)
{
    return (struct trace_field){.key = key, .kind = TRACE_KIND_I64, .value.i64 = v};
}

/* Sixteen digits; for ids and hashes. */
static inline struct trace_field trace_hex(const char *key, uint64_t v)
{
    return (struct trace_field){.key = key, .kind = TRACE_KIND_HEX, .value.u64 = v};
}

static inline struct trace_field trace_bool(const char *key, bool v)
{
    return (struct trace_field){.key = key, .kind = TRACE_KIND_BOOL, .value.yes = v};
}

/* The error's name and its sentence, as two fields of TRACE: trace_code(&e), trace_message(&e). */
static inline struct trace_field trace_code(const struct error *e)
{
    return trace_text("code", error_code_name((int)e->code));
}

static inline struct trace_field trace_message(const struct error *e)
{
    return trace_text("error", e->message);
}

static inline bool trace_wants(struct trace *t, enum trace_level level)
{
    return t != NULL && (int)level <= atomic_load_explicit(&t->level, memory_order_relaxed);
}

/* Use TRACE. `fields` has `count` fields, the first of which is not looked at. */
void trace_write(struct trace *t, enum trace_level level, const char *event, const struct trace_field *fields,
                 size_t count);

/* Fields are evaluated only when the line is wanted. */
#define TRACE(t, level, event, ...)                                                                                    \
    do {                                                                                                               \
        struct trace *trace_to_ = (t);                                                                                 \
        if (trace_wants(trace_to_, (level))) {                                                                         \
            const struct trace_field trace_fields_[] = {{0}, ##__VA_ARGS__};                                           \
            trace_write(trace_to_, (level), "" event, trace_fields_, sizeof trace_fields_ / sizeof trace_fields_[0]);  \
        }                                                                                                              \
    } while (0)

#endif
