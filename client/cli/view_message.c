#include <stdio.h>

#include "cli/base64.h"
#include "cli/text.h"
#include "cli/view.h"

const char *const view_which[] = {"all", "ready", "in-flight", "delayed", "halted-at", NULL};

const char *view_name(const char *const *names, int at)
{
    for (int i = 0; names[i] != NULL; i++) {
        if (i == at)
            return names[i];
    }
    return "?";
}

const char *view_receipt(struct buffer *out, struct hato_bytes receipt)
{
    buffer_clear(out);
    base64_put(out, bytes_of(receipt.data, receipt.len), BASE64_URL);
    buffer_u8(out, 0);
    return (const char *)out->data;
}

/* ---------------------------------------------------------------- JSON */

static const char *type_name(const struct hato_attribute *a, char out[256])
{
    static const char *const names[] = {"text", "number", "binary", NULL};
    snprintf(out, 256, "%s%s%s", view_name(names, (int)a->type), a->type_suffix[0] != '\0' ? "." : "", a->type_suffix);
    return out;
}

static void attributes_json(struct json *j, const struct hato_message *m)
{
    json_object(j, "attributes");
    for (size_t i = 0; i < m->attribute_count; i++) {
        const struct hato_attribute *a = &m->attributes[i];
        char type[256];
        json_object(j, a->name);
        json_text(j, "type", type_name(a, type));
        if (a->type == HATO_BINARY) {
            struct buffer b = {0};
            base64_put(&b, bytes_of(a->value, a->value_len), BASE64_STANDARD);
            json_bytes(j, "value_base64", b.data, b.len);
            buffer_close(&b);
        } else {
            json_bytes(j, "value", a->value, a->value_len);
        }
        json_object_end(j);
    }
    json_object_end(j);
}

static void provenance_json(struct json *j, const struct hato_provenance *p)
{
    if (p == NULL)
        return;
    json_object(j, "provenance");
    json_text(j, "source_queue", p->source_queue);
    json_text(j, "message_id", p->message_id);
    json_number(j, "sent_ms", p->sent_ms);
    json_number(j, "attempts", p->attempts);
    json_number(j, "first_received_ms", p->first_received_ms);
    json_number(j, "moved_ms", p->moved_ms);
    json_text(j, "reason", p->reason);
    json_text(j, "last_error", p->last_error);
    json_number(j, "last_status", p->last_status);
    json_object_end(j);
}

void view_message_json(struct json *j, const struct hato_message *m)
{
    json_data(j, "body", m->body, m->body_len);
    attributes_json(j, m);
    json_text(j, "group", m->group);
    json_text(j, "deduplication_id", m->deduplication_id);
    json_number(j, "priority", m->priority);
    json_text(j, "traceparent", m->traceparent);
    provenance_json(j, m->provenance);
}

void view_delivery_json(struct json *j, const struct hato_delivery *d)
{
    struct buffer receipt = {0};
    json_object(j, NULL);
    json_text(j, "message_id", d->message_id);
    json_text(j, "receipt", view_receipt(&receipt, d->receipt));
    json_number(j, "sequence", d->sequence);
    json_number(j, "sent_ms", d->sent_ms);
    json_number(j, "receive_count", d->receive_count);
    json_number(j, "first_received_ms", d->first_received_ms);
    json_number(j, "lease_until_ms", d->lease_until_ms);
    view_message_json(j, &d->message);
    json_object_end(j);
    buffer_close(&receipt);
}

void view_peeked_json(struct json *j, const struct hato_peeked *p)
{
    json_object(j, NULL);
    json_text(j, "message_id", p->message_id);
    json_number(j, "sequence", p->sequence);
    json_text(j, "state", p->state);
    json_number(j, "sent_ms", p->sent_ms);
    json_number(j, "receive_count", p->receive_count);
    json_number(j, "due_ms", p->due_ms);
    json_number(j, "halted_ms", p->halted_ms);
    json_text(j, "last_error", p->last_error);
    view_message_json(j, &p->message);
    json_object_end(j);
}

/* ---------------------------------------------------------------- for people */

static void provenance_lines(const struct hato_provenance *p)
{
    if (p == NULL)
        return;
    printf("  from %s as %s: %s after %u receive%s", p->source_queue, p->message_id, p->reason, p->attempts,
           p->attempts == 1 ? "" : "s");
    if (p->last_error[0] != '\0') {
        printf(": ");
        text_print(stdout, p->last_error);
    }
    if (p->last_status != 0)
        printf(" (status %u)", p->last_status);
    printf("\n");
}

/* As send's --attr takes it, so that the number 5 and the text 5 look different. */
static void attribute_line(const struct hato_attribute *a)
{
    struct buffer base64 = {0};
    char type[256], value[200];
    bool plain = a->type == HATO_TEXT && a->type_suffix[0] == '\0';
    if (a->type == HATO_BINARY) {
        base64_put(&base64, bytes_of(a->value, a->value_len), BASE64_STANDARD);
        text_line(base64.data, base64.len, 120, value, sizeof value);
    } else {
        text_line(a->value, a->value_len, 120, value, sizeof value);
    }
    printf("  %s%s", a->name, plain ? "" : ":");
    text_print(stdout, plain ? "" : type_name(a, type));
    printf("=%s\n", value);
    buffer_close(&base64);
}

void view_text_line(const char *name, const char *text)
{
    if (text[0] == '\0')
        return;
    printf("  %s ", name);
    text_print(stdout, text);
    printf("\n");
}

void view_message_lines(const struct hato_message *m)
{
    view_text_line("group", m->group);
    view_text_line("deduplication id", m->deduplication_id);
    if (m->priority != 0)
        printf("  priority %u\n", m->priority);
    view_text_line("traceparent", m->traceparent);
    for (size_t i = 0; i < m->attribute_count; i++) {
        attribute_line(&m->attributes[i]);
    }
    provenance_lines(m->provenance);
}

void view_delivery(const struct hato_delivery *d)
{
    struct buffer receipt = {0};
    char age[TEXT_MAX];
    printf("%s  sent %s ago, receive %u\n", d->message_id, text_age(d->sent_ms, text_now_ms(), age), d->receive_count);
    printf("  receipt %s\n", view_receipt(&receipt, d->receipt));
    view_message_lines(&d->message);
    text_body(stdout, d->message.body, d->message.body_len);
    printf("\n\n");
    buffer_close(&receipt);
}
