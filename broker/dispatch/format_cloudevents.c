/* Formats cloudevents and cloudevents-structured: CloudEvents 1.0 over HTTP.
 *
 * id, source (the queue's ARN) and time come from the queue; type, subject, dataschema and content-type from
 * attributes of these names, where the message has them; the content type else from the function. Its other attributes
 * become extensions if their names, in lower case, are ones that CloudEvents allows (letters and digits only) and are not
 * taken: of "Foo" and "foo" the first is sent. */
#include <proto/client.pb-c.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/utf8.h"
#include "dispatch/format.h"
#include "dispatch/json_put.h"
#include "dispatch/json_read.h"
#include "net/crypto.h"

enum { EXTENSION_MAX = 64, JSON_CHECK_MAX = 6 * 1024 * 1024 };

static const char type_default[] = "dev.hato.message";

/* Where an event's attributes go, in the order that `describe` gives them. */
struct sink {
    void (*put)(struct encoded *out, const char *name, struct bytes value);
    struct encoded *out;
};

static void put(const struct sink *s, const char *name, const char *value)
{
    if (value != NULL && value[0] != '\0')
        s->put(s->out, name, bytes_text(value));
}

/* The name of the extension that an attribute becomes; false when it can't be one. */
static bool extension_name(const char *attribute, char out[EXTENSION_MAX + 1])
{
    static const char *const taken[] = {
        "specversion",     "id",   "source",          "type",     "time",         "subject",
        "dataschema",      "data", "datacontenttype", "sequence", "partitionkey", "traceparent",
        "hatoreceivecount"};
    size_t len = strlen(attribute);
    if (len == 0 || len > EXTENSION_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = attribute[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9'))
            return false;
        out[i] = c;
    }
    out[len] = '\0';
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++)
        if (strcmp(out, taken[i]) == 0)
            return false;
    return true;
}

/* An attribute before the `i`th has become the extension of this name. */
static bool given_before(const Hato__Message *content, size_t i, const char *name)
{
    char other[EXTENSION_MAX + 1];
    for (size_t k = 0; k < i; k++)
        if (extension_name(content->attributes[k]->name, other) && strcmp(other, name) == 0)
            return true;
    return false;
}

static void put_extensions(const struct sink *s, const Hato__Message *content)
{
    struct buffer text = {0};
    for (size_t i = 0; i < content->n_attributes; i++) {
        const Hato__Attribute *a = content->attributes[i];
        char name[EXTENSION_MAX + 1];
        if (!extension_name(a->name, name) || given_before(content, i, name))
            continue;
        if (a->value_case == HATO__ATTRIBUTE__VALUE_BINARY) {
            buffer_clear(&text);
            base64_put(&text, bytes_of(a->binary.data, a->binary.len));
            s->put(s->out, name, buffer_view(&text));
        } else if (a->value_case == HATO__ATTRIBUTE__VALUE_TEXT) {
            put(s, name, a->text);
        } else if (a->value_case == HATO__ATTRIBUTE__VALUE_NUMBER) {
            put(s, name, a->number);
        }
    }
    buffer_close(&text);
}

static const char *content_type_of(const struct message *m, const struct encoded *out)
{
    const char *type = message_attribute_text(m, "content-type");
    return type != NULL && type[0] != '\0' ? type : out->content_type;
}

/* All but the content type and the data. */
static void describe(const struct origin *origin, const struct message *m, const struct sink *s)
{
    char text[FORMAT_TIME_MAX];
    put(s, "specversion", "1.0");
    put(s, "id", m->source->id);
    put(s, "source", origin->arn);
    const char *type = message_attribute_text(m, "type");
    put(s, "type", type != NULL && type[0] != '\0' ? type : type_default);
    put(s, "time", format_time(m->source->sent_ms, text));
    put(s, "subject", message_attribute_text(m, "subject"));
    put(s, "dataschema", message_attribute_text(m, "dataschema"));
    put(s, "partitionkey", m->content->group);
    put(s, "traceparent", m->content->traceparent);
    snprintf(text, sizeof text, "%020llu", (unsigned long long)m->source->token.sequence);
    put(s, "sequence", text);
    snprintf(text, sizeof text, "%u", m->source->receive_count);
    put(s, "hatoreceivecount", text);
    put_extensions(s, m->content);
}

/* ------------------------------------------------------------------ binary: attributes in headers */

static void put_header(struct encoded *out, const char *name, struct bytes value)
{
    char header[EXTENSION_MAX + 8];
    snprintf(header, sizeof header, "ce-%s", name);
    headers_add_encoded(&out->headers, header, value);
}

static void encode_binary(struct crypto *crypto, const struct origin *origin, const struct message *m, size_t count,
                          struct encoded *out)
{
    (void)crypto;
    ASSERT(count == 1);
    struct sink s = {put_header, out};
    if (!headers_add_text(&out->headers, "Content-Type", content_type_of(m, out)))
        headers_add_text(&out->headers, "Content-Type", out->content_type);
    describe(origin, m, &s);
    out->body = bytes_of(m->content->body.data, m->content->body.len);
}

const struct format format_cloudevents = {.name = "cloudevents", .single = true, .encode = encode_binary};

/* ------------------------------------------------------------------ structured: one JSON object */

static void put_member(struct encoded *out, const char *name, struct bytes value)
{
    if (!utf8_valid(value))
        return;
    json_put_raw(&out->buffer, out->buffer.len == 0 ? "{" : ",");
    json_put_text(&out->buffer, name);
    json_put_raw(&out->buffer, ":");
    json_put_string(&out->buffer, value);
}

/* "application/json", "application/problem+json; charset=utf-8", ... */
static bool means_json(const char *type)
{
    size_t len = strcspn(type, "; \t");
    return (len == 16 && strncasecmp(type, "application/json", 16) == 0) ||
           (len > 5 && strncasecmp(type + len - 5, "+json", 5) == 0);
}

static void put_data(struct buffer *out, const char *type, struct bytes body)
{
    if (body.len == 0)
        return;
    size_t before = out->len;
    json_put_raw(out, ",\"data\":");
    if (means_json(type) && body.len <= JSON_CHECK_MAX && json_valid(body)) {
        buffer_put(out, body.data, body.len);
        return;
    }
    if (strncasecmp(type, "text/", 5) == 0 && json_put_string(out, body))
        return;
    out->len = before;
    json_put_raw(out, ",\"data_base64\":");
    json_put_base64(out, body);
}

static void encode_structured(struct crypto *crypto, const struct origin *origin, const struct message *m, size_t count,
                              struct encoded *out)
{
    (void)crypto;
    ASSERT(count == 1);
    struct sink s = {put_member, out};
    const char *type = content_type_of(m, out);
    describe(origin, m, &s);
    put(&s, "datacontenttype", type);
    put_data(&out->buffer, type, bytes_of(m->content->body.data, m->content->body.len));
    json_put_raw(&out->buffer, "}");
    out->body = buffer_view(&out->buffer);
}

const struct format format_cloudevents_structured = {.name = "cloudevents-structured",
                                                     .single = true,
                                                     .content_type = "application/cloudevents+json; charset=utf-8",
                                                     .encode = encode_structured};

char *format_time(uint64_t ms, char out[FORMAT_TIME_MAX])
{
    enum { YEAR_9999_END_S = 253402300799 };
    time_t seconds = (time_t)(ms / 1000 < YEAR_9999_END_S ? ms / 1000 : YEAR_9999_END_S);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    size_t len = strftime(out, FORMAT_TIME_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + len, FORMAT_TIME_MAX - len, ".%03uZ", (unsigned)(ms % 1000));
    return out;
}
