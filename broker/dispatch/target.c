#include "dispatch/target.h"

#include <curl/curl.h>
#include <proto/settings.pb-c.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "dispatch/format.h"
#include "dispatch/headers.h"
#include "state/settings.h"

/* Lines that would break the request itself. */
static const char *const refused_headers[] = {
    "content-length", "transfer-encoding", "connection", "expect", "upgrade", "te", "trailer", "keep-alive"};

static int take_url(struct target *t, const char *url, struct error *e)
{
    if (strlen(url) > TARGET_URL_MAX)
        return error_field(e, ERR_INVALID, "url", "a URL has at most %d bytes", TARGET_URL_MAX);
    CURLU *u = curl_url();
    ASSERT(u != NULL);
    char *scheme = NULL;
    int code = ERR_OK;
    CURLUcode rc = curl_url_set(u, CURLUPART_URL, url, 0);
    if (rc != CURLUE_OK)
        code = error_field(e, ERR_INVALID, "url", "the URL can't be read: %s", curl_url_strerror(rc));
    else if (curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
             (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0))
        code = error_field(e, ERR_INVALID, "url", "a URL begins with http:// or https://");
    curl_free(scheme);
    curl_url_cleanup(u);
    t->url = memory_string(url, strlen(url));
    t->emulator = settings_function_emulated(url);
    return code;
}

static void add_header(struct target *t, const char *line)
{
    struct curl_slist *longer = curl_slist_append(t->headers, line);
    ASSERT(longer != NULL);
    t->headers = longer;
}

static bool same_name(struct bytes name, const char *other)
{
    return name.len == strlen(other) && curl_strnequal((const char *)name.data, other, name.len);
}

static bool value_valid(struct bytes value)
{
    for (size_t i = 0; i < value.len; i++)
        if ((value.data[i] < 0x20 && value.data[i] != '\t') || value.data[i] == 0x7f)
            return false;
    return value.len <= HEADERS_VALUE_MAX;
}

/* Of the headers that we would add, those that the function brings itself. */
struct brought {
    bool content_type;
    bool agent;
};

static int take_header(struct target *t, const char *line, struct brought *brought, struct error *e)
{
    const char *colon = strchr(line, ':');
    struct bytes name = bytes_of(line, colon == NULL ? 0 : (size_t)(colon - line));
    if (colon == NULL || !headers_name_valid(name))
        return error_field(e, ERR_INVALID, "headers", "a header is \"Name: value\"; \"%.60s\" is not", line);
    const char *value = colon + 1;
    while (*value == ' ' || *value == '\t')
        value++;
    if (!value_valid(bytes_text(value)))
        return error_field(e, ERR_INVALID, "headers",
                           "the value of header %.*s has control characters or more than %d bytes", (int)name.len, line,
                           HEADERS_VALUE_MAX);
    for (size_t i = 0; i < sizeof refused_headers / sizeof refused_headers[0]; i++)
        if (same_name(name, refused_headers[i]))
            return error_field(e, ERR_INVALID, "headers", "header %.*s can't be set", (int)name.len, line);
    brought->content_type |= same_name(name, "content-type");
    brought->agent |= same_name(name, "user-agent");
    struct buffer text = {0};
    buffer_printf(&text, "%.*s%s%s", (int)name.len, line, *value != '\0' ? ": " : ";", value);
    buffer_u8(&text, 0);
    add_header(t, (const char *)text.data);
    buffer_close(&text);
    return ERR_OK;
}

static int take_headers(struct target *t, const Hato__FunctionSettings *s, const char *agent, struct error *e)
{
    struct brought brought = {0};
    if (s->n_headers > TARGET_HEADERS_MAX)
        return error_field(e, ERR_INVALID, "headers", "a function has at most %d headers", TARGET_HEADERS_MAX);
    for (size_t i = 0; i < s->n_headers; i++) {
        int code = take_header(t, s->headers[i], &brought, e);
        if (code != ERR_OK)
            return code;
    }
    bool named = s->content_type != NULL && s->content_type[0] != '\0';
    const char *body_type = named ? s->content_type : format_raw.content_type;
    t->content_type = memory_string(body_type, strlen(body_type));
    const char *type = t->format == &format_raw ? body_type : t->format->content_type;
    if (!value_valid(bytes_text(body_type)))
        return error_field(e, ERR_INVALID, "content_type", "the content type has control characters");
    struct buffer text = {0};
    if (type != NULL && !brought.content_type) {
        buffer_printf(&text, "Content-Type: %s", type);
        buffer_u8(&text, 0);
        add_header(t, (const char *)text.data);
        buffer_clear(&text);
    }
    if (!brought.agent) {
        buffer_printf(&text, "User-Agent: %s", agent);
        buffer_u8(&text, 0);
        add_header(t, (const char *)text.data);
    }
    buffer_close(&text);
    /* Or else libcurl waits for a "100 Continue" before bodies above 1 MiB. */
    add_header(t, "Expect:");
    return ERR_OK;
}

static int take_secrets(struct target *t, const Hato__FunctionSettings *s, struct error *e)
{
    if (s->n_secrets > SIGNATURE_SECRETS_MAX)
        return error_field(e, ERR_INVALID, "secrets", "a function has at most %d secrets", SIGNATURE_SECRETS_MAX);
    for (size_t i = 0; i < s->n_secrets; i++) {
        int code = signature_key_parse(s->secrets[i], &t->keys[i], e);
        if (code != ERR_OK)
            return code;
        t->key_count++;
    }
    return ERR_OK;
}

static const struct format *format_of(const Hato__FunctionSettings *s)
{
    switch (s->has_format ? s->format : HATO__FORMAT__RAW) {
    case HATO__FORMAT__RAW:
        return &format_raw;
    case HATO__FORMAT__LAMBDA:
        return &format_lambda;
    case HATO__FORMAT__CLOUDEVENTS:
        return &format_cloudevents;
    case HATO__FORMAT__CLOUDEVENTS_STRUCTURED:
        return &format_cloudevents_structured;
    default:
        return NULL;
    }
}

static uint64_t value_or(protobuf_c_boolean has, uint64_t value, uint64_t otherwise)
{
    return has && value > 0 ? value : otherwise;
}

static void take_numbers(struct target *t, const Hato__FunctionSettings *s)
{
    t->timeout_ms = value_or(s->has_timeout_ms, s->timeout_ms, TARGET_TIMEOUT_MS);
    t->connect_ms = t->timeout_ms < TARGET_CONNECT_MS_MAX ? t->timeout_ms : TARGET_CONNECT_MS_MAX;
    t->retry_min_ms = value_or(s->has_retry_min_ms, s->retry_min_ms, TARGET_RETRY_MIN_MS);
    t->retry_max_ms = value_or(s->has_retry_max_ms, s->retry_max_ms, TARGET_RETRY_MAX_MS);
    if (t->retry_max_ms < t->retry_min_ms)
        t->retry_max_ms = t->retry_min_ms;
    t->max_concurrency =
        (uint32_t)value_or(s->has_max_concurrency, s->max_concurrency,
                           t->emulator ? SETTINGS_EMULATOR_CONCURRENCY : SETTINGS_FUNCTION_CONCURRENCY);
    t->rate = s->has_rate ? s->rate : 0;
}

int target_create(struct target **out, const struct Hato__FunctionSettings *s, const char *agent, struct error *e)
{
    struct target *t = memory_zero(1, sizeof *t);
    t->refs = 1;
    t->format = format_of(s);
    int code = ERR_OK;
    if (t->format == NULL)
        code = error_field(e, ERR_INVALID, "format", "this build does not know format %d", (int)s->format);
    if (code == ERR_OK)
        code = take_url(t, s->url != NULL ? s->url : "", e);
    if (code == ERR_OK)
        code = take_headers(t, s, agent, e);
    if (code == ERR_OK)
        code = take_secrets(t, s, e);
    if (code != ERR_OK) {
        target_unref(t);
        return code;
    }
    take_numbers(t, s);
    *out = t;
    return ERR_OK;
}

struct target *target_ref(struct target *t)
{
    t->refs++;
    return t;
}

void target_unref(struct target *t)
{
    if (t == NULL || --t->refs > 0)
        return;
    curl_slist_free_all(t->headers);
    memory_free(t->content_type);
    memory_free(t->url);
    memory_free(t);
}
