#include "library/encode.h"

#include <string.h>

#include "base/assert.h"

static ProtobufCBinaryData binary(const void *data, size_t len)
{
    return (ProtobufCBinaryData){len, (uint8_t *)data};
}

char *encode_text(const char *text)
{
    return (char *)(text != NULL ? text : "");
}

void encode_frame(struct buffer *out, const Hato__Request *request)
{
    size_t len = hato__request__get_packed_size(request);
    ASSERT(len <= UINT32_MAX);
    buffer_u32(out, (uint32_t)len);
    hato__request__pack(request, buffer_reserve(out, len));
    out->len += len;
}

/* ---------------------------------------------------------------- messages */

static int encode_attribute(struct arena *a, Hato__Attribute *out, const struct hato_attribute *in, struct error *e)
{
    *out = (Hato__Attribute)HATO__ATTRIBUTE__INIT;
    out->name = encode_text(in->name);
    out->type_suffix = encode_text(in->type_suffix);
    if (in->type == HATO_BINARY) {
        out->value_case = HATO__ATTRIBUTE__VALUE_BINARY;
        out->binary = binary(in->value, in->value_len);
        return ERR_OK;
    }
    if (in->value_len > 0 && memchr(in->value, '\0', in->value_len) != NULL)
        return error_field(e, ERR_INVALID, "attributes", "attribute %s is text with a zero byte: send it as binary",
                           out->name);
    char *text = arena_text(a, in->value, in->value_len);
    out->value_case = in->type == HATO_NUMBER ? HATO__ATTRIBUTE__VALUE_NUMBER : HATO__ATTRIBUTE__VALUE_TEXT;
    if (in->type == HATO_NUMBER)
        out->number = text;
    else
        out->text = text;
    return ERR_OK;
}

static int encode_attributes(struct arena *a, Hato__Message *out, const struct hato_message *m, struct error *e)
{
    if (m->attribute_count > ENCODE_ATTRIBUTES_MAX)
        return error_field(e, ERR_INVALID, "attributes", "%zu attributes; the limit is %d", m->attribute_count,
                           ENCODE_ATTRIBUTES_MAX);
    Hato__Attribute *attributes = arena_alloc(a, m->attribute_count * sizeof *attributes);
    out->attributes = arena_alloc(a, m->attribute_count * sizeof(Hato__Attribute *));
    out->n_attributes = m->attribute_count;
    for (size_t i = 0; i < m->attribute_count; i++) {
        out->attributes[i] = &attributes[i];
        int rc = encode_attribute(a, &attributes[i], &m->attributes[i], e);
        if (rc != ERR_OK)
            return rc;
    }
    return ERR_OK;
}

int encode_message(struct arena *a, Hato__Message *out, const struct hato_message *m, struct error *e)
{
    *out = (Hato__Message)HATO__MESSAGE__INIT;
    out->body = binary(m->body, m->body_len);
    out->group = encode_text(m->group);
    out->deduplication_id = encode_text(m->deduplication_id);
    out->traceparent = encode_text(m->traceparent);
    out->delay_ms = m->delay_ms;
    out->not_before_ms = m->not_before_ms;
    out->no_delay = m->no_delay;
    out->priority = m->priority;
    return m->attribute_count > 0 ? encode_attributes(a, out, m, e) : ERR_OK;
}

/* ---------------------------------------------------------------- settings */

/* Copies a field, and that it is there, when its bit is set. */
#define TAKE(bit, field)                                                                                               \
    (out->has_##field = (in->present & (bit)) != 0, out->field = out->has_##field ? in->field : out->field)

Hato__BindingSettings *encode_binding_settings(struct arena *a, const struct hato_binding_settings *in)
{
    if (in == NULL)
        return NULL;
    Hato__BindingSettings *out = arena_alloc(a, sizeof *out);
    *out = (Hato__BindingSettings)HATO__BINDING_SETTINGS__INIT;
    TAKE(HATO_BINDING_BATCH_SIZE, batch_size);
    TAKE(HATO_BINDING_WINDOW, window_ms);
    TAKE(HATO_BINDING_MAX_CONCURRENCY, max_concurrency);
    TAKE(HATO_BINDING_PAUSED, paused);
    return out;
}

static void encode_weights(struct arena *a, Hato__QueueSettings *out, const struct hato_queue_settings *in)
{
    if (in->group_weight_count == 0) {
        out->has_clear_group_weights = true;
        out->clear_group_weights = true;
        return;
    }
    Hato__GroupWeight *weights = arena_alloc(a, in->group_weight_count * sizeof *weights);
    out->group_weights = arena_alloc(a, in->group_weight_count * sizeof(Hato__GroupWeight *));
    out->n_group_weights = in->group_weight_count;
    for (size_t i = 0; i < in->group_weight_count; i++) {
        weights[i] = (Hato__GroupWeight)HATO__GROUP_WEIGHT__INIT;
        weights[i].group = encode_text(in->group_weights[i].group);
        weights[i].has_weight = true;
        weights[i].weight = in->group_weights[i].weight;
        out->group_weights[i] = &weights[i];
    }
}

Hato__QueueSettings *encode_queue_settings(struct arena *a, const struct hato_queue_settings *in)
{
    if (in == NULL)
        return NULL;
    Hato__QueueSettings *out = arena_alloc(a, sizeof *out);
    *out = (Hato__QueueSettings)HATO__QUEUE_SETTINGS__INIT;
    out->has_kind = (in->present & HATO_QUEUE_KIND) != 0;
    out->kind = (Hato__QueueKind)in->kind;
    TAKE(HATO_QUEUE_VISIBILITY, visibility_ms);
    TAKE(HATO_QUEUE_DELAY, delay_ms);
    TAKE(HATO_QUEUE_RETENTION, retention_ms);
    TAKE(HATO_QUEUE_MAX_MESSAGE_BYTES, max_message_bytes);
    TAKE(HATO_QUEUE_MAX_MESSAGES, max_messages);
    TAKE(HATO_QUEUE_MAX_BYTES, max_bytes);
    TAKE(HATO_QUEUE_MAX_IN_FLIGHT, max_in_flight);
    TAKE(HATO_QUEUE_RECEIVE_WAIT, receive_wait_ms);
    TAKE(HATO_QUEUE_MAX_RECEIVES, max_receives);
    TAKE(HATO_QUEUE_CONTENT_DEDUPLICATION, content_deduplication);
    TAKE(HATO_QUEUE_DEDUPLICATION_WINDOW, deduplication_window_ms);
    out->has_on_exhausted = (in->present & HATO_QUEUE_ON_EXHAUSTED) != 0;
    out->on_exhausted = (Hato__OnExhausted)in->on_exhausted;
    out->has_deduplication_scope = (in->present & HATO_QUEUE_DEDUPLICATION_SCOPE) != 0;
    out->deduplication_scope = (Hato__DeduplicationScope)in->deduplication_scope;
    if ((in->present & HATO_QUEUE_DEAD_LETTER) != 0)
        out->dead_letter_queue = encode_text(in->dead_letter);
    if ((in->present & HATO_QUEUE_GROUP_WEIGHTS) != 0)
        encode_weights(a, out, in);
    if ((in->present & HATO_QUEUE_FUNCTION) != 0)
        out->binding_function = encode_text(in->function);
    if ((in->present & HATO_QUEUE_BINDING) != 0)
        out->binding = encode_binding_settings(a, &in->binding);
    out->has_user_data = (in->present & HATO_QUEUE_USER_DATA) != 0;
    out->user_data = binary(in->user_data.data, in->user_data.len);
    return out;
}

static char **encode_texts(struct arena *a, const char *const *texts, size_t count)
{
    char **out = arena_alloc(a, count * sizeof *out);
    for (size_t i = 0; i < count; i++)
        out[i] = encode_text(texts[i]);
    return out;
}

static void encode_lists(struct arena *a, Hato__FunctionSettings *out, const struct hato_function_settings *in)
{
    if ((in->present & HATO_FUNCTION_HEADERS) != 0) {
        out->n_headers = in->header_count;
        out->headers = encode_texts(a, in->headers, in->header_count);
        out->has_clear_headers = in->header_count == 0;
        out->clear_headers = in->header_count == 0;
    }
    if ((in->present & HATO_FUNCTION_SECRETS) != 0) {
        out->n_secrets = in->secret_count;
        out->secrets = encode_texts(a, in->secrets, in->secret_count);
        out->has_clear_secrets = in->secret_count == 0;
        out->clear_secrets = in->secret_count == 0;
    }
}

Hato__FunctionSettings *encode_function_settings(struct arena *a, const struct hato_function_settings *in)
{
    if (in == NULL)
        return NULL;
    Hato__FunctionSettings *out = arena_alloc(a, sizeof *out);
    *out = (Hato__FunctionSettings)HATO__FUNCTION_SETTINGS__INIT;
    if ((in->present & HATO_FUNCTION_URL) != 0)
        out->url = encode_text(in->url);
    out->has_format = (in->present & HATO_FUNCTION_FORMAT) != 0;
    out->format = (Hato__Format)in->format;
    TAKE(HATO_FUNCTION_TIMEOUT, timeout_ms);
    TAKE(HATO_FUNCTION_MAX_CONCURRENCY, max_concurrency);
    TAKE(HATO_FUNCTION_RETRY_MIN, retry_min_ms);
    TAKE(HATO_FUNCTION_RETRY_MAX, retry_max_ms);
    TAKE(HATO_FUNCTION_RATE, rate);
    if ((in->present & HATO_FUNCTION_CONTENT_TYPE) != 0)
        out->content_type = encode_text(in->content_type);
    encode_lists(a, out, in);
    return out;
}
