/* Where and how requests of a function go: its settings, read once and made ready for use. Never changed after it is
 * made; requests hold a reference, so that one which is out goes on with the settings it began with. */
#ifndef HATO_DISPATCH_TARGET_H
#define HATO_DISPATCH_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "dispatch/signature.h"

struct Hato__FunctionSettings;
struct curl_slist;
struct format;

enum {
    TARGET_URL_MAX = 2048,
    TARGET_HEADERS_MAX = 32,
    TARGET_CONNECT_MS_MAX = 10000, /* of the timeout, at most this much for the connection */
    TARGET_TIMEOUT_MS = 30000,     /* defaults, as settings.proto gives them */
    TARGET_RETRY_MIN_MS = 1000,
    TARGET_RETRY_MAX_MS = 300000
};

struct target {
    uint32_t refs;
    char *url;
    const struct format *format;
    char *content_type;         /* of bodies whose message names none */
    struct curl_slist *headers; /* the same for every request */
    struct signature_key keys[SIGNATURE_SECRETS_MAX];
    uint32_t key_count;
    uint64_t timeout_ms;
    uint64_t connect_ms;
    uint64_t retry_min_ms;
    uint64_t retry_max_ms;
    uint32_t max_concurrency;
    double rate;
    bool emulator; /* the URL's path is that of AWS's Lambda runtime interface emulator */
};

/* Errors: ERR_INVALID, naming the field. */
int target_create(struct target **out, const struct Hato__FunctionSettings *settings, const char *agent,
                  struct error *e);
struct target *target_ref(struct target *t);
void target_unref(struct target *t); /* accepts NULL */

#endif
