/* How messages become the body and headers of a request. One table a format, one file each (format_*.c). */
#ifndef HATO_DISPATCH_FORMAT_H
#define HATO_DISPATCH_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "dispatch/headers.h"
#include "dispatch/message.h"

struct crypto;

/* The queue that the messages come from. */
struct origin {
    const char *name; /* the last part of the full name */
    const char *arn;
    const char *region;
    const char *account;
    bool fifo;
    bool content_deduplication; /* a message without a deduplication id has that of its body */
};

/* A request in the making; its memory is used again for the next. */
struct encoded {
    const char *content_type; /* given: the function's, for bodies whose message names none */
    struct bytes body;        /* in `buffer`, or borrowed from a message */
    struct buffer buffer;     /* empty to begin with */
    struct headers headers;
};

struct format {
    const char *name;
    bool single;              /* one message a request */
    bool partial;             /* the answer may name those that failed */
    const char *content_type; /* default; NULL: each message has its own, and `encode` adds the header */
    void (*encode)(struct crypto *crypto, const struct origin *origin, const struct message *messages, size_t count,
                   struct encoded *out);
};

extern const struct format format_raw;
extern const struct format format_lambda;
extern const struct format format_cloudevents; /* binary mode */
extern const struct format format_cloudevents_structured;

/* "2026-01-31T12:00:00.000Z"; `out` has room for it. Pure. */
enum { FORMAT_TIME_MAX = 32 };
char *format_time(uint64_t ms, char out[FORMAT_TIME_MAX]);

#endif
