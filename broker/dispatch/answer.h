/* What became of a request, and what that says: of the messages, and of the endpoint. README.md of this folder has the
 * table. Pure. */
#ifndef HATO_DISPATCH_ANSWER_H
#define HATO_DISPATCH_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

struct message;
struct target;

enum { ANSWER_BYTES_MAX = 6 * 1024 * 1024, ANSWER_ERROR_MAX = 512 };

enum answer_end {
    ANSWER_COMPLETE,    /* a whole answer; `status` says which */
    ANSWER_TOO_LARGE,   /* a status, and more than ANSWER_BYTES_MAX */
    ANSWER_CROWDED,     /* a status, and no room for the rest beside the answers of others */
    ANSWER_UNREACHABLE, /* nothing was sent: name, address, connection, TLS, or the settings themselves */
    ANSWER_BROKEN,      /* sent, or begun to be, and the connection ended without a whole answer */
    ANSWER_TIMED_OUT    /* as broken, by our patience */
};

struct answer {
    enum answer_end end;
    uint32_t status; /* 0: no answer */
    struct bytes body;
    const char *content_type;   /* "" when there is none */
    const char *function_error; /* X-Amz-Function-Error; "" when there is none */
    const char *reason;         /* of what is not complete: libcurl's words */
};

enum verdict {
    VERDICT_DELIVERED, /* ack; or what `failed` says, message by message */
    VERDICT_FAILED,    /* the messages' fault: counted, and retried with a delay that grows */
    VERDICT_TROUBLE,   /* the endpoint's: uncounted, at once, in the old place; window and breaker react */
    VERDICT_SILENT,    /* either's: no whole answer to these messages, or a proxy (a status) got none. The caller knows
                          whether others did */
    VERDICT_GONE       /* as trouble, and the endpoint says it will not come back */
};

struct judgement {
    enum verdict verdict;
    bool partial;                 /* delivered, but `failed` marks some that were not */
    char error[ANSWER_ERROR_MAX]; /* "" when delivered; else valid UTF-8 in one line */
};

/* `failed` has `count` places and is filled when the answer is partial. */
void answer_judge(const struct answer *a, const struct target *target, const struct message *messages, size_t count,
                  bool *failed, struct judgement *out);

#endif
