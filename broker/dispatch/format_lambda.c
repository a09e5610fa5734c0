/* Format lambda: the event that AWS Lambda's SQS event source gives to a function, field for field.
 *
 * A body that is not UTF-8, which SQS would never have taken, comes as base64, and the record says so with
 * "isBase64Encoded": true. md5OfBody is that of the body's bytes in both cases. */
#include <proto/client.pb-c.h>
#include <string.h>

#include "dispatch/format.h"
#include "dispatch/json_put.h"
#include "net/crypto.h"

static const char trace_name[] = "AWSTraceHeader";

static void put_body(struct buffer *out, struct bytes body)
{
    json_put_raw(out, ",\"body\":");
    if (json_put_string(out, body))
        return;
    json_put_base64(out, body);
    json_put_raw(out, ",\"isBase64Encoded\":true");
}

static bool is_hex(const char *text, size_t len)
{
    return strspn(text, "0123456789abcdef") >= len;
}

/* W3C's "00-<32 hex trace>-<16 hex parent>-<flags>" as X-Ray's "Root=1-<8>-<24>;Parent=<16>;Sampled=0|1". */
static bool put_trace_of_parent(struct buffer *out, const char *parent)
{
    if (strlen(parent) < 55 || !is_hex(parent, 2) || parent[2] != '-' || !is_hex(parent + 3, 32) || parent[35] != '-' ||
        !is_hex(parent + 36, 16) || parent[52] != '-' || !is_hex(parent + 53, 2))
        return false;
    /* The lowest bit of the flags, in a hexadecimal digit. */
    int sampled = strchr("13579bdf", parent[54]) != NULL;
    buffer_printf(out, ",\"AWSTraceHeader\":\"Root=1-%.8s-%.24s;Parent=%.16s;Sampled=%d\"", parent + 3, parent + 11,
                  parent + 36, sampled);
    return true;
}

static void put_trace(struct buffer *out, const struct message *m)
{
    const char *trace = message_attribute_text(m, trace_name);
    if (trace != NULL) {
        json_put_raw(out, ",\"AWSTraceHeader\":");
        json_put_text(out, trace);
    } else {
        put_trace_of_parent(out, m->content->traceparent);
    }
}

/* "account:region:name" as "arn:aws:sqs:region:account:name". */
static void put_dead_letter_source(struct buffer *out, const Hato__Provenance *p)
{
    const char *region = strchr(p->source_queue, ':');
    const char *name = region == NULL ? NULL : strchr(region + 1, ':');
    if (name == NULL)
        return;
    struct buffer arn = {0};
    buffer_printf(&arn, "arn:aws:sqs:%.*s:%.*s:%s", (int)(name - region - 1), region + 1,
                  (int)(region - p->source_queue), p->source_queue, name + 1);
    json_put_raw(out, ",\"DeadLetterQueueSourceArn\":");
    json_put_string(out, buffer_view(&arn));
    buffer_close(&arn);
}

static void put_deduplication_id(struct crypto *crypto, struct buffer *out, const struct origin *origin,
                                 const Hato__Message *content)
{
    bool given = content->deduplication_id[0] != '\0';
    if (!given && !origin->content_deduplication)
        return;
    json_put_raw(out, ",\"MessageDeduplicationId\":");
    if (given) {
        json_put_text(out, content->deduplication_id);
        return;
    }
    uint8_t hash[CRYPTO_SHA256];
    struct bytes body = bytes_of(content->body.data, content->body.len);
    crypto_sha256(crypto, &body, 1, hash);
    json_put_raw(out, "\"");
    crypto_hex(out, bytes_of(hash, sizeof hash));
    json_put_raw(out, "\"");
}

static void put_system_attributes(struct crypto *crypto, struct buffer *out, const struct origin *origin,
                                  const struct message *m)
{
    const Hato__Message *content = m->content;
    json_put_raw(out, ",\"attributes\":{\"ApproximateReceiveCount\":");
    json_put_digits(out, m->source->receive_count);
    json_put_raw(out, ",\"SentTimestamp\":");
    json_put_digits(out, m->source->sent_ms);
    json_put_raw(out, ",\"SenderId\":");
    json_put_text(out, origin->account);
    json_put_raw(out, ",\"ApproximateFirstReceiveTimestamp\":");
    json_put_digits(out, m->source->first_received_ms);
    if (origin->fifo)
        buffer_printf(out, ",\"SequenceNumber\":\"%020llu\"", (unsigned long long)m->source->token.sequence);
    if (content->group[0] != '\0') {
        json_put_raw(out, ",\"MessageGroupId\":");
        json_put_text(out, content->group);
    }
    put_deduplication_id(crypto, out, origin, content);
    put_trace(out, m);
    if (content->provenance != NULL)
        put_dead_letter_source(out, content->provenance);
    json_put_raw(out, "}");
}

static void put_attribute(struct buffer *out, const Hato__Attribute *a)
{
    json_put_text(out, a->name);
    const char *type = "String";
    if (a->value_case == HATO__ATTRIBUTE__VALUE_BINARY) {
        json_put_raw(out, ":{\"binaryValue\":");
        json_put_base64(out, bytes_of(a->binary.data, a->binary.len));
        type = "Binary";
    } else {
        bool number = a->value_case == HATO__ATTRIBUTE__VALUE_NUMBER;
        json_put_raw(out, ":{\"stringValue\":");
        json_put_text(out, number ? a->number : a->value_case == HATO__ATTRIBUTE__VALUE_TEXT ? a->text : "");
        type = number ? "Number" : type;
    }
    json_put_raw(out, ",\"stringListValues\":[],\"binaryListValues\":[],\"dataType\":");
    if (a->type_suffix[0] == '\0') {
        json_put_text(out, type);
    } else {
        struct buffer full = {0};
        buffer_printf(&full, "%s.%s", type, a->type_suffix);
        json_put_string(out, buffer_view(&full));
        buffer_close(&full);
    }
    json_put_raw(out, "}");
}

/* Among the system attributes already. A binary one is no trace, and comes like any other. */
static bool is_trace(const struct message *m, const Hato__Attribute *a)
{
    return strcmp(a->name, trace_name) == 0 && message_attribute_text(m, trace_name) != NULL;
}

static void put_attributes(struct buffer *out, const struct message *m)
{
    const Hato__Message *content = m->content;
    json_put_raw(out, ",\"messageAttributes\":{");
    bool first = true;
    for (size_t i = 0; i < content->n_attributes; i++) {
        if (is_trace(m, content->attributes[i]))
            continue;
        if (!first)
            json_put_raw(out, ",");
        first = false;
        put_attribute(out, content->attributes[i]);
    }
    json_put_raw(out, "}");
}

static void put_record(struct crypto *crypto, const struct origin *origin, const struct message *m, struct buffer *out)
{
    struct bytes body = bytes_of(m->content->body.data, m->content->body.len);
    json_put_raw(out, "{\"messageId\":");
    json_put_text(out, m->source->id);
    json_put_raw(out, ",\"receiptHandle\":");
    json_put_base64(out, m->source->receipt);
    put_body(out, body);
    put_system_attributes(crypto, out, origin, m);
    put_attributes(out, m);
    uint8_t md5[CRYPTO_MD5];
    crypto_md5(crypto, &body, 1, md5);
    json_put_raw(out, ",\"md5OfBody\":\"");
    crypto_hex(out, bytes_of(md5, sizeof md5));
    json_put_raw(out, "\",\"eventSource\":\"aws:sqs\",\"eventSourceARN\":");
    json_put_text(out, origin->arn);
    json_put_raw(out, ",\"awsRegion\":");
    json_put_text(out, origin->region);
    json_put_raw(out, "}");
}

static void encode(struct crypto *crypto, const struct origin *origin, const struct message *messages, size_t count,
                   struct encoded *out)
{
    json_put_raw(&out->buffer, "{\"Records\":[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            json_put_raw(&out->buffer, ",");
        put_record(crypto, origin, &messages[i], &out->buffer);
    }
    json_put_raw(&out->buffer, "]}");
    out->body = buffer_view(&out->buffer);
}

const struct format format_lambda = {
    .name = "lambda", .partial = true, .content_type = "application/json", .encode = encode};
