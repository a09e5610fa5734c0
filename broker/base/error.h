/* What went wrong, as a code a program can act on and a sentence a person can.
 *
 * A function that can fail for reasons outside the program returns an `int`: 0 (ERR_OK) or one of the codes below, and
 * fills the caller's `struct error` when it is not NULL. A programmer's mistake is not an error: it is an assertion
 * (assert.h of this folder), which stays on in production.
 *
 * The numbers are the same on the wire (`Code` in proto/client.proto) and in the public library (client/hato.h).
 * Numbers are never reused. */
#ifndef HATO_BASE_ERROR_H
#define HATO_BASE_ERROR_H

enum error_code {
    ERR_OK = 0,
    ERR_INVALID = 1,          /* an argument is wrong; `field` names it, the message says the limit */
    ERR_NOT_FOUND = 2,        /* no such queue, function, message */
    ERR_EXISTS = 3,           /* exists already, with other settings */
    ERR_RECEIPT_STALE = 4,    /* the lease behind the receipt is over; the message may have been given to another */
    ERR_RECEIPT_INVALID = 5,  /* not a receipt of this queue, or altered */
    ERR_LIMIT = 6,            /* a queue's limit of messages, bytes, groups or leases is reached: retry later */
    ERR_TOO_LARGE = 7,        /* a message, batch or frame is above its limit */
    ERR_OVERLOADED = 8,       /* the node has too much in hand: retry later */
    ERR_STORAGE_FULL = 9,     /* no disk space for new messages; receive and ack still work: retry later */
    ERR_NOT_LEADER = 10,      /* this node can't decide now; a hint may name the one that can: retry there */
    ERR_TIMEOUT = 11,         /* not done in the time given; for a write the outcome is unknown */
    ERR_UNKNOWN_OUTCOME = 12, /* may or may not have happened; safe to retry with the same producer sequence */
    ERR_UNAUTHENTICATED = 13,
    ERR_FORBIDDEN = 14,
    ERR_PROTOCOL = 15, /* malformed frame; the connection is closed after this */
    ERR_VERSION = 16,  /* a protocol or file version this build does not speak */
    ERR_CORRUPT = 17,  /* a checksum or structure on disk does not hold */
    ERR_IO = 18,       /* the operating system refused: the message has its reason */
    ERR_INTERNAL = 19,
    ERR_CONFLICT = 20, /* the state forbids it now (paused, still referenced, already running) */
    ERR_CLOSED = 21,   /* the connection or the broker is going away */
    ERR_CANCELLED = 22,
    ERR_NO_MEMORY = 23,
    ERR_CODE_MAX = 24
};

enum { ERROR_FIELD_MAX = 48, ERROR_MESSAGE_MAX = 400 };

struct error {
    enum error_code code;
    char field[ERROR_FIELD_MAX];     /* the argument at fault, "" when none is */
    char message[ERROR_MESSAGE_MAX]; /* one sentence, with what to do next where that helps */
};

/* Fills `e` (may be NULL) and returns `code`. Truncates silently: messages are for people. */
int error_set(struct error *e, enum error_code code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* As error_set, naming the argument at fault. */
int error_field(struct error *e, enum error_code code, const char *field, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Puts "context: " before the message, for a caller that knows more. Returns e->code. */
int error_wrap(struct error *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The code's stable name, lower case with underscores ("receipt_stale"); "unknown" for others. */
const char *error_code_name(int code);

/* Whether the same request may succeed later without a change by the caller. */
int error_retryable(int code);

#endif
