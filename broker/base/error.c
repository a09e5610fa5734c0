#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const names[ERR_CODE_MAX] = {
    "ok",
    "invalid",
    "not_found",
    "exists",
    "receipt_stale",
    "receipt_invalid",
    "limit",
    "too_large",
    "overloaded",
    "storage_full",
    "not_leader",
    "timeout",
    "unknown_outcome",
    "unauthenticated",
    "forbidden",
    "protocol",
    "version",
    "corrupt",
    "io",
    "internal",
    "conflict",
    "closed",
    "cancelled",
    "no_memory",
};

__attribute__((format(printf, 4, 0))) static int fill(struct error *e, enum error_code code, const char *field,
                                                      const char *format, va_list args)
{
    if (e == NULL)
        return (int)code;
    e->code = code;
    snprintf(e->field, sizeof e->field, "%s", field);
    vsnprintf(e->message, sizeof e->message, format, args);
    return (int)code;
}

int error_set(struct error *e, enum error_code code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int rc = fill(e, code, "", format, args);
    va_end(args);
    return rc;
}

int error_field(struct error *e, enum error_code code, const char *field, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int rc = fill(e, code, field, format, args);
    va_end(args);
    return rc;
}

int error_wrap(struct error *e, const char *format, ...)
{
    if (e == NULL)
        return ERR_INTERNAL;
    char inner[ERROR_MESSAGE_MAX];
    memcpy(inner, e->message, sizeof inner);
    char context[ERROR_MESSAGE_MAX / 2];
    va_list args;
    va_start(args, format);
    vsnprintf(context, sizeof context, format, args);
    va_end(args);
    size_t len = (size_t)snprintf(e->message, sizeof e->message, "%s: ", context);
    snprintf(e->message + len, sizeof e->message - len, "%s", inner);
    return (int)e->code;
}

const char *error_code_name(int code)
{
    return code >= 0 && code < ERR_CODE_MAX ? names[code] : "unknown";
}

int error_retryable(int code)
{
    switch (code) {
    case ERR_LIMIT:
    case ERR_OVERLOADED:
    case ERR_STORAGE_FULL:
    case ERR_NOT_LEADER:
    case ERR_TIMEOUT:
    case ERR_UNKNOWN_OUTCOME:
    case ERR_CLOSED:
        return 1;
    default:
        return 0;
    }
}
