#include <string.h>
#include <strings.h>

#include "state/settings.h"
#include "state/settings_fields.h"

#define FUNCTION(member, low, high, first, text) SETTINGS_FIELD(Hato__FunctionSettings, member, low, high, first, text)
#define SECRET_BEGIN "whsec_"
#define CONTENT_TYPE "application/octet-stream"
#define EMULATOR_PATH "/2015-03-31/functions/function/invocations"

enum { HOST_MAX = 253, PORT_MAX = 65535, SECRET_MIN_BYTES = 24, SECRET_MAX_BYTES = 64 };

static const struct settings_field FIELDS[] = {
    FUNCTION(format, 0, 3, HATO__FORMAT__RAW, "0 (raw), 1 (lambda), 2 (cloudevents) or 3 (cloudevents structured)"),
    FUNCTION(timeout_ms, 100, SETTINGS_HOUR_MS, 30 * SETTINGS_SECOND_MS, "100 ms to 1 hour"),
    FUNCTION(max_concurrency, 1, SETTINGS_CONCURRENCY_MAX, SETTINGS_FUNCTION_CONCURRENCY, "1 to 10000"),
    FUNCTION(retry_min_ms, 1, SETTINGS_DAY_MS, SETTINGS_SECOND_MS, "1 ms to 1 day"),
    FUNCTION(retry_max_ms, 1, SETTINGS_DAY_MS, 300 * SETTINGS_SECOND_MS, "1 ms to 1 day"),
};
enum { COUNT = sizeof FIELDS / sizeof FIELDS[0] };

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alphanumeric(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* ---------------------------------------------------------------- url */

static int bad_url(const char *why, struct error *e)
{
    return error_field(e, ERR_INVALID, "url", "the url %s; it is http://HOST[:PORT]/PATH or https://...", why);
}

/* A decimal port follows, or nothing. */
static bool port_ok(struct bytes port)
{
    unsigned long value = 0;
    if (port.len == 0 || port.len > 5)
        return false;
    for (size_t i = 0; i < port.len; i++) {
        if (!is_digit((char)port.data[i]))
            return false;
        value = value * 10 + (unsigned long)(port.data[i] - '0');
    }
    return value >= 1 && value <= PORT_MAX;
}

/* The length of the address in brackets at the start, brackets included; 0 when it is none. */
static size_t bracketed(struct bytes authority)
{
    for (size_t i = 1; i < authority.len; i++) {
        char c = (char)authority.data[i];
        if (c == ']')
            return i > 2 ? i + 1 : 0;
        if (!is_digit(c) && !(c >= 'a' && c <= 'f') && !(c >= 'A' && c <= 'F') && c != ':' && c != '.')
            return 0;
    }
    return 0;
}

static size_t named_host(struct bytes authority)
{
    size_t len = 0;
    while (len < authority.len &&
           (is_alphanumeric((char)authority.data[len]) || strchr("-._~", authority.data[len]) != NULL))
        len++;
    return len <= HOST_MAX ? len : 0;
}

static int check_authority(struct bytes authority, struct error *e)
{
    if (memchr(authority.data, '@', authority.len) != NULL)
        return bad_url("has a user or password in it, which belong into headers", e);
    size_t host = authority.len > 0 && authority.data[0] == '[' ? bracketed(authority) : named_host(authority);
    if (host == 0)
        return bad_url("has no valid host", e);
    if (host == authority.len)
        return ERR_OK;
    if (authority.data[host] != ':')
        return bad_url("has no valid host", e);
    if (!port_ok(bytes_of(authority.data + host + 1, authority.len - host - 1)))
        return bad_url("has a port that is not 1 to 65535", e);
    return ERR_OK;
}

static int check_url(const char *url, struct error *e)
{
    size_t len = strlen(url);
    if (len == 0 || len > SETTINGS_URL_MAX)
        return error_field(e, ERR_INVALID, "url", "the url is 1 to %d bytes, not %zu", (int)SETTINGS_URL_MAX, len);
    for (size_t i = 0; i < len; i++)
        if (url[i] <= 0x20 || url[i] >= 0x7f)
            return bad_url("has a blank, a control character or one beyond ASCII in it, which must be %-encoded", e);
    if (strchr(url, '#') != NULL)
        return bad_url("has a fragment (#), which is never sent", e);
    size_t scheme = 0;
    if (strncasecmp(url, "http://", 7) == 0)
        scheme = 7;
    else if (strncasecmp(url, "https://", 8) == 0)
        scheme = 8;
    else
        return bad_url("has a scheme other than http or https", e);
    const char *authority = url + scheme;
    return check_authority(bytes_of(authority, strcspn(authority, "/?")), e);
}

/* ---------------------------------------------------------------- headers */

/* Set by the connection, by the format, or by the signature. */
static const char *const RESERVED[] = {
    "host",       "content-length",      "connection", "keep-alive", "proxy-connection",  "proxy-authenticate",
    "te",         "proxy-authorization", "trailer",    "upgrade",    "transfer-encoding", "expect",
    "traceparent"};
static const char *const RESERVED_BEGINNINGS[] = {"webhook-", "ce-", "hato-"};

static bool is_token(char c)
{
    return is_alphanumeric(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool value_ok(const char *value)
{
    for (; *value != '\0'; value++)
        if (((unsigned char)*value < 0x20 && *value != '\t') || *value == 0x7f)
            return false;
    return true;
}

static int check_name(const char *name, size_t len, struct error *e)
{
    for (size_t i = 0; i < sizeof RESERVED / sizeof RESERVED[0]; i++)
        if (strlen(RESERVED[i]) == len && strncasecmp(name, RESERVED[i], len) == 0)
            return error_field(e, ERR_INVALID, "headers", "the header %s is set by the broker", RESERVED[i]);
    for (size_t i = 0; i < sizeof RESERVED_BEGINNINGS / sizeof RESERVED_BEGINNINGS[0]; i++)
        if (strncasecmp(name, RESERVED_BEGINNINGS[i], strlen(RESERVED_BEGINNINGS[i])) == 0)
            return error_field(e, ERR_INVALID, "headers", "headers that begin with %s are set by the broker",
                               RESERVED_BEGINNINGS[i]);
    if (len == strlen("content-type") && strncasecmp(name, "content-type", len) == 0)
        return error_field(e, ERR_INVALID, "headers", "the content type is set with content_type");
    return ERR_OK;
}

static int check_header(const char *header, struct error *e)
{
    if (strlen(header) > SETTINGS_HEADER_MAX)
        return error_field(e, ERR_INVALID, "headers", "a header is at most %d bytes", (int)SETTINGS_HEADER_MAX);
    size_t len = 0;
    while (is_token(header[len]))
        len++;
    if (len == 0 || header[len] != ':')
        return error_field(e, ERR_INVALID, "headers",
                           "a header is \"Name: value\", its name of the letters of a token");
    if (!value_ok(header + len + 1))
        return error_field(e, ERR_INVALID, "headers", "a header's value has no line breaks or control characters");
    return check_name(header, len, e);
}

static int check_headers(const Hato__FunctionSettings *given, struct error *e)
{
    if (given->n_headers > SETTINGS_HEADERS_MAX)
        return error_field(e, ERR_INVALID, "headers", "at most %d headers are allowed, not %zu",
                           (int)SETTINGS_HEADERS_MAX, given->n_headers);
    int code = ERR_OK;
    for (size_t i = 0; i < given->n_headers && code == ERR_OK; i++)
        code = check_header(given->headers[i], e);
    return code;
}

/* ---------------------------------------------------------------- secrets and the rest */

static int digit_of(char c)
{
    static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = c != '\0' ? strchr(DIGITS, c) : NULL;
    return found != NULL ? (int)(found - DIGITS) : -1;
}

/* The number of bytes behind standard base64 with its padding; 0 when it is not that. */
static size_t base64_bytes(const char *text)
{
    size_t len = strlen(text);
    size_t padding = len > 0 && text[len - 1] == '=' ? 1 : 0;
    padding += padding == 1 && len > 1 && text[len - 2] == '=' ? 1 : 0;
    if (len == 0 || len % 4 != 0)
        return 0;
    for (size_t i = 0; i < len - padding; i++)
        if (digit_of(text[i]) < 0)
            return 0;
    /* What is beyond the last whole byte must be zero, so that a secret has one spelling. */
    int last = digit_of(text[len - padding - 1]);
    if ((padding == 1 && (last & 3) != 0) || (padding == 2 && (last & 15) != 0))
        return 0;
    return len / 4 * 3 - padding;
}

static int check_secrets(const Hato__FunctionSettings *given, struct error *e)
{
    if (given->n_secrets > SETTINGS_SECRETS_MAX)
        return error_field(e, ERR_INVALID, "secrets", "at most %d secrets are allowed (the newest first)",
                           (int)SETTINGS_SECRETS_MAX);
    for (size_t i = 0; i < given->n_secrets; i++) {
        const char *secret = given->secrets[i];
        size_t begin = strlen(SECRET_BEGIN);
        size_t len = strncmp(secret, SECRET_BEGIN, begin) == 0 ? base64_bytes(secret + begin) : 0;
        if (len < SECRET_MIN_BYTES || len > SECRET_MAX_BYTES)
            return error_field(e, ERR_INVALID, "secrets", "a secret is whsec_ and %d to %d bytes in base64",
                               (int)SECRET_MIN_BYTES, (int)SECRET_MAX_BYTES);
    }
    return ERR_OK;
}

static int check_content_type(const char *type, struct error *e)
{
    size_t len = strlen(type);
    const char *slash = strchr(type, '/');
    if (len <= SETTINGS_CONTENT_TYPE_MAX && slash != NULL && slash != type && slash[1] != '\0' && value_ok(type))
        return ERR_OK;
    return error_field(e, ERR_INVALID, "content_type", "the content type is type/subtype, at most %d bytes",
                       (int)SETTINGS_CONTENT_TYPE_MAX);
}

int settings_function_check(const Hato__FunctionSettings *given, struct error *e)
{
    int code = settings_fields_check(FIELDS, COUNT, given, e);
    if (code == ERR_OK && given->url != NULL)
        code = check_url(given->url, e);
    if (code == ERR_OK)
        code = check_headers(given, e);
    if (code == ERR_OK)
        code = check_secrets(given, e);
    if (code == ERR_OK && given->content_type != NULL)
        code = check_content_type(given->content_type, e);
    if (code == ERR_OK && given->has_rate)
        code = settings_rate_check(given->rate, "rate", e);
    return code;
}

/* ---------------------------------------------------------------- merging */

/* Settings under construction: texts are borrowed from what is merged, then all is copied at once. */
struct draft {
    Hato__FunctionSettings settings;
    char url[1];
    char content_type[sizeof CONTENT_TYPE];
};

static void begin_draft(struct draft *d)
{
    Hato__FunctionSettings *s = &d->settings;
    hato__function_settings__init(s);
    settings_fields_default(FIELDS, COUNT, s);
    d->url[0] = '\0';
    memcpy(d->content_type, CONTENT_TYPE, sizeof CONTENT_TYPE);
    s->url = d->url;
    s->content_type = d->content_type;
    s->has_rate = true;
}

static void merge(Hato__FunctionSettings *d, const Hato__FunctionSettings *given)
{
    settings_fields_merge(FIELDS, COUNT, given, d);
    if (given->url != NULL)
        d->url = given->url;
    if (given->content_type != NULL)
        d->content_type = given->content_type;
    if (given->has_rate)
        d->rate = given->rate;
    if (given->n_headers > 0 || given->clear_headers) {
        d->n_headers = given->n_headers;
        d->headers = given->headers;
    }
    if (given->n_secrets > 0 || given->clear_secrets) {
        d->n_secrets = given->n_secrets;
        d->secrets = given->secrets;
    }
}

bool settings_function_emulated(const char *url)
{
    const char *authority = strstr(url, "://");
    if (authority == NULL)
        return false;
    authority += strlen("://");
    const char *path = authority + strcspn(authority, "/?");
    return bytes_equal(bytes_of(path, strcspn(path, "?")), bytes_text(EMULATOR_PATH));
}

static uint32_t default_concurrency(const char *url)
{
    return settings_function_emulated(url) ? SETTINGS_EMULATOR_CONCURRENCY : SETTINGS_FUNCTION_CONCURRENCY;
}

static bool concurrency_told(const Hato__FunctionSettings *now, const Hato__FunctionSettings *given)
{
    return given->has_max_concurrency || (now != NULL && now->max_concurrency != default_concurrency(now->url));
}

static int check_whole(const Hato__FunctionSettings *d, struct error *e)
{
    if (d->url[0] == '\0')
        return error_field(e, ERR_INVALID, "url", "a function needs a url to be called at");
    if (d->retry_max_ms < d->retry_min_ms)
        return error_field(e, ERR_INVALID, "retry_max_ms",
                           "retry_max_ms is %llu; it must be at least retry_min_ms, %llu",
                           (unsigned long long)d->retry_max_ms, (unsigned long long)d->retry_min_ms);
    return ERR_OK;
}

static int make(const Hato__FunctionSettings *now, const Hato__FunctionSettings *given, Hato__FunctionSettings **out,
                struct error *e)
{
    struct draft d;
    begin_draft(&d);
    if (now != NULL)
        merge(&d.settings, now);
    int code = given != NULL ? settings_function_check(given, e) : ERR_OK;
    if (code == ERR_OK && given != NULL)
        merge(&d.settings, given);
    if (code == ERR_OK)
        code = check_whole(&d.settings, e);
    if (code == ERR_OK && given != NULL && !concurrency_told(now, given))
        d.settings.max_concurrency = default_concurrency(d.settings.url);
    if (code == ERR_OK)
        *out = settings_function_copy(&d.settings);
    return code;
}

int settings_function_create(const Hato__FunctionSettings *given, Hato__FunctionSettings **out, struct error *e)
{
    return make(NULL, given, out, e);
}

int settings_function_merge(const Hato__FunctionSettings *now, const Hato__FunctionSettings *given,
                            Hato__FunctionSettings **out, struct error *e)
{
    return make(now, given, out, e);
}

/* ---------------------------------------------------------------- whole settings */

bool settings_function_equal(const Hato__FunctionSettings *a, const Hato__FunctionSettings *b)
{
    struct buffer x = {0};
    struct buffer y = {0};
    settings_pack(a, &x);
    settings_pack(b, &y);
    bool equal = bytes_equal(buffer_view(&x), buffer_view(&y));
    buffer_close(&x);
    buffer_close(&y);
    return equal;
}

Hato__FunctionSettings *settings_function_copy(const Hato__FunctionSettings *s)
{
    struct buffer packed = {0};
    settings_pack(s, &packed);
    Hato__FunctionSettings *copy = settings_unpack(&hato__function_settings__descriptor, buffer_view(&packed));
    buffer_close(&packed);
    return copy;
}

void settings_function_free(Hato__FunctionSettings *s)
{
    settings_discard(s);
}

void settings_function_encode(const Hato__FunctionSettings *s, struct buffer *out)
{
    settings_pack(s, out);
}

int settings_function_decode(struct bytes b, Hato__FunctionSettings **out, struct error *e)
{
    Hato__FunctionSettings *read = settings_unpack(&hato__function_settings__descriptor, b);
    if (read == NULL)
        return error_set(e, ERR_CORRUPT, "a function's settings can't be read");
    int code = make(read, NULL, out, e);
    settings_discard(read);
    if (code != ERR_OK && e != NULL)
        e->code = ERR_CORRUPT;
    return code == ERR_OK ? ERR_OK : ERR_CORRUPT;
}
