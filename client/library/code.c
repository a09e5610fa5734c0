/* Error codes as a program's user meets them. */
#include "base/error.h"
#include "hato.h"

_Static_assert((int)HATO_NO_MEMORY == (int)ERR_NO_MEMORY && (int)ERR_CODE_MAX == (int)HATO_NO_MEMORY + 1,
               "the public codes are those of base/error.h");

static const char *const texts[ERR_CODE_MAX] = {
    [HATO_OK] = "done",
    [HATO_INVALID] = "not valid",
    [HATO_NOT_FOUND] = "there is no such message, queue or function",
    [HATO_EXISTS] = "exists already, with other settings",
    [HATO_RECEIPT_STALE] = "the lease behind the receipt is over; the message may have been given to another",
    [HATO_RECEIPT_INVALID] = "not a receipt of this queue, or altered",
    [HATO_LIMIT] = "a limit of the queue is reached; try again later",
    [HATO_TOO_LARGE] = "too large",
    [HATO_OVERLOADED] = "too much in hand; try again later",
    [HATO_STORAGE_FULL] = "the disk is full; try again later",
    [HATO_NOT_LEADER] = "this node cannot decide now; try again",
    [HATO_TIMEOUT] = "no answer in time; it may have happened",
    [HATO_UNKNOWN_OUTCOME] = "the connection was lost meanwhile; it may have happened",
    [HATO_UNAUTHENTICATED] = "no valid credentials",
    [HATO_FORBIDDEN] = "not allowed",
    [HATO_PROTOCOL] = "the protocol was broken",
    [HATO_VERSION_MISMATCH] = "another version of the protocol",
    [HATO_CORRUPT] = "data on disk is damaged",
    [HATO_IO] = "the operating system refused",
    [HATO_INTERNAL] = "a fault in the broker",
    [HATO_CONFLICT] = "not possible now: held, referenced or already running",
    [HATO_CLOSED] = "closed",
    [HATO_CANCELLED] = "cancelled",
    [HATO_NO_MEMORY] = "out of memory",
};

const char *hato_code_name(int code)
{
    return error_code_name(code);
}

const char *hato_code_text(int code)
{
    return code >= 0 && code < ERR_CODE_MAX ? texts[code] : "an error this version does not know";
}

bool hato_code_retryable(int code)
{
    return error_retryable(code) != 0;
}

const char *hato_version(void)
{
    return HATO_VERSION;
}
