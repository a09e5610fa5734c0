#include "command/check.h"

#include <inttypes.h>

#include "base/utf8.h"
#include "base/wire.h"
#include "state/settings.h"
#include "state/settings_fields.h"

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_name_char(uint8_t c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-' || c == '.';
}

static bool starts_with(struct bytes b, const char *prefix)
{
    size_t len = strlen(prefix);
    return b.len >= len && memcmp(b.data, prefix, len) == 0;
}

static int check_attribute_name(struct bytes name, struct error *e)
{
    if (name.len == 0 || name.len > CHECK_ATTRIBUTE_NAME_MAX)
        return error_field(e, ERR_INVALID, "attributes", "an attribute's name has %zu bytes; it must have 1 to %d",
                           name.len, CHECK_ATTRIBUTE_NAME_MAX);
    for (size_t i = 0; i < name.len; i++)
        if (!is_name_char(name.data[i]))
            return error_field(e, ERR_INVALID, "attributes",
                               "an attribute's name has the byte 0x%02x; allowed are A-Z a-z 0-9 _ - .", name.data[i]);
    if (starts_with(name, "hato.") || starts_with(name, "AWS.") || starts_with(name, "Amazon."))
        return error_field(e, ERR_INVALID, "attributes",
                           "an attribute's name must not start with hato., AWS. or Amazon.: those are reserved");
    return ERR_OK;
}

/* Where messages are unpacked, texts become C strings, which end there. */
static bool has_zero(struct bytes text)
{
    return text.len > 0 && memchr(text.data, 0, text.len) != NULL;
}

/* [+-] digits [. digits] [e [+-] digits] */
static bool is_number(struct bytes text)
{
    size_t i = 0;
    size_t digits = 0;
    if (i < text.len && (text.data[i] == '-' || text.data[i] == '+'))
        i++;
    for (; i < text.len && is_digit(text.data[i]); i++)
        digits++;
    if (i < text.len && text.data[i] == '.')
        for (i++; i < text.len && is_digit(text.data[i]); i++)
            digits++;
    if (digits == 0)
        return false;
    if (i < text.len && (text.data[i] == 'e' || text.data[i] == 'E')) {
        i++;
        if (i < text.len && (text.data[i] == '-' || text.data[i] == '+'))
            i++;
        size_t before = i;
        while (i < text.len && is_digit(text.data[i]))
            i++;
        if (i == before)
            return false;
    }
    return i == text.len;
}

enum { ATTRIBUTE_NAME = 1, ATTRIBUTE_TEXT = 2, ATTRIBUTE_NUMBER = 3, ATTRIBUTE_BINARY = 4, ATTRIBUTE_SUFFIX = 5 };

static int check_attribute_field(const struct wire_field *f, struct error *e)
{
    switch (f->number) {
    case ATTRIBUTE_TEXT:
        if (!utf8_valid(f->bytes) || has_zero(f->bytes))
            return error_field(e, ERR_INVALID, "attributes",
                               "a text attribute is not UTF-8 without zero bytes: use a binary one");
        return ERR_OK;
    case ATTRIBUTE_NUMBER:
        if (f->bytes.len > CHECK_NUMBER_MAX || !is_number(f->bytes))
            return error_field(e, ERR_INVALID, "attributes",
                               "a number attribute is not a decimal number of at most %d characters", CHECK_NUMBER_MAX);
        return ERR_OK;
    case ATTRIBUTE_SUFFIX:
        if (f->bytes.len > CHECK_TYPE_SUFFIX_MAX || !utf8_valid(f->bytes) || has_zero(f->bytes))
            return error_field(e, ERR_INVALID, "attributes",
                               "an attribute's type suffix has %zu bytes; at most %d of UTF-8 without zero bytes are "
                               "allowed",
                               f->bytes.len, CHECK_TYPE_SUFFIX_MAX);
        return ERR_OK;
    default:
        return ERR_OK;
    }
}

/* Says which of a message's attributes it is, when its name came before and may be shown. */
static int name_attribute(struct bytes name, int rc, struct error *e)
{
    if (name.len == 0 || check_attribute_name(name, NULL) != ERR_OK)
        return rc;
    error_wrap(e, "%.*s", (int)name.len, (const char *)name.data);
    return rc;
}

struct seen {
    struct bytes names[CHECK_ATTRIBUTES_MAX];
    size_t count;
    size_t fields; /* of the message and its attributes */
    uint64_t delay_ms, not_before_ms;
    bool no_delay;
};

/* Each is stored, and costs whoever decodes it some 100 bytes. */
static int count_field(struct seen *seen, struct error *e)
{
    if (++seen->fields <= CHECK_FIELDS_MAX)
        return ERR_OK;
    return error_field(e, ERR_INVALID, "messages", "a message has at most %d fields, those of its attributes included",
                       CHECK_FIELDS_MAX);
}

static int check_attribute(struct bytes raw, struct bytes *name, struct seen *seen, struct error *e)
{
    struct cursor c = cursor_open(raw);
    struct wire_field f;
    bool has_value = false;
    *name = bytes_of(raw.data, 0);
    while (wire_next(&c, &f)) {
        int rc = count_field(seen, e);
        if (rc != ERR_OK)
            return rc;
        if (f.number > ATTRIBUTE_SUFFIX)
            continue;
        if (f.type != WIRE_BYTES)
            return error_field(e, ERR_INVALID, "attributes", "an attribute is not well-formed");
        if (f.number == ATTRIBUTE_NAME)
            *name = f.bytes;
        has_value = has_value || (f.number >= ATTRIBUTE_TEXT && f.number <= ATTRIBUTE_BINARY);
        rc = check_attribute_field(&f, e);
        if (rc != ERR_OK)
            return name_attribute(*name, rc, e);
    }
    if (c.failed)
        return error_field(e, ERR_INVALID, "attributes", "an attribute is not well-formed");
    if (!has_value)
        return error_field(e, ERR_INVALID, "attributes",
                           "an attribute has no value: give it a text, number or binary one");
    return check_attribute_name(*name, e);
}

static int check_printable(struct bytes text, const char *field, size_t max, struct error *e)
{
    if (text.len > max)
        return error_field(e, ERR_INVALID, field, "%s has %zu bytes; at most %zu are allowed", field, text.len, max);
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] <= 0x20 || text.data[i] >= 0x7f)
            return error_field(e, ERR_INVALID, field,
                               "%s has the byte 0x%02x; allowed are letters, digits and punctuation of ASCII", field,
                               text.data[i]);
    return ERR_OK;
}

static bool all_of(struct bytes t, size_t from, size_t len, uint8_t c)
{
    for (size_t i = from; i < from + len; i++)
        if (t.data[i] != c)
            return false;
    return true;
}

/* version-traceid-parentid-flags, lower-case hexadecimal. Version ff and ids of zeros alone are invalid (W3C Trace Context,
 * section 3.2.2). */
static int check_traceparent(struct bytes t, struct error *e)
{
    bool good = t.len == 0 || t.len == CHECK_TRACEPARENT_LEN;
    for (size_t i = 0; good && i < t.len; i++) {
        bool dash = i == 2 || i == 35 || i == 52;
        uint8_t c = t.data[i];
        good = dash ? c == '-' : is_digit(c) || (c >= 'a' && c <= 'f');
    }
    if (!good)
        return error_field(e, ERR_INVALID, "traceparent",
                           "traceparent is not of the form 00-<32 hex digits>-<16 hex digits>-<2 hex digits>, in lower "
                           "case: leave it out where there is no trace");
    if (t.len > 0 && (all_of(t, 0, 2, 'f') || all_of(t, 3, 32, '0') || all_of(t, 36, 16, '0')))
        return error_field(
            e, ERR_INVALID, "traceparent",
            "traceparent has version ff, or a trace or parent id of zeros alone, which W3C Trace Context "
            "makes invalid: leave it out where there is no trace");
    return ERR_OK;
}

enum {
    MESSAGE_BODY = 1,
    MESSAGE_ATTRIBUTE = 2,
    MESSAGE_GROUP = 3,
    MESSAGE_DEDUPLICATION = 4,
    MESSAGE_DELAY = 5,
    MESSAGE_PRIORITY = 6,
    MESSAGE_TRACEPARENT = 7,
    MESSAGE_NOT_BEFORE = 8,
    MESSAGE_NO_DELAY = 9,
    MESSAGE_PROVENANCE = 15,
};

static int check_next_attribute(struct bytes raw, struct seen *seen, struct error *e)
{
    if (seen->count == CHECK_ATTRIBUTES_MAX)
        return error_field(e, ERR_INVALID, "attributes", "a message has at most %d attributes", CHECK_ATTRIBUTES_MAX);
    struct bytes name;
    int rc = check_attribute(raw, &name, seen, e);
    if (rc != ERR_OK)
        return rc;
    for (size_t i = 0; i < seen->count; i++)
        if (bytes_equal(seen->names[i], name))
            return error_field(e, ERR_INVALID, "attributes", "the attribute %.*s is given twice", (int)name.len,
                               name.data);
    seen->names[seen->count++] = name;
    return ERR_OK;
}

static bool type_fits(const struct wire_field *f)
{
    switch (f->number) {
    case MESSAGE_BODY:
    case MESSAGE_ATTRIBUTE:
    case MESSAGE_GROUP:
    case MESSAGE_DEDUPLICATION:
    case MESSAGE_TRACEPARENT:
    case MESSAGE_PROVENANCE:
        return f->type == WIRE_BYTES;
    case MESSAGE_DELAY:
    case MESSAGE_PRIORITY:
    case MESSAGE_NOT_BEFORE:
    case MESSAGE_NO_DELAY:
        return f->type == WIRE_VARINT;
    default:
        return true;
    }
}

static int check_field(const struct wire_field *f, struct seen *seen, struct error *e)
{
    if (!type_fits(f))
        return error_field(e, ERR_INVALID, "messages", "field %u of a message has the wrong type", f->number);
    switch (f->number) {
    case MESSAGE_ATTRIBUTE:
        return check_next_attribute(f->bytes, seen, e);
    case MESSAGE_GROUP:
        return check_printable(f->bytes, "group", CHECK_GROUP_MAX, e);
    case MESSAGE_DEDUPLICATION:
        return check_printable(f->bytes, "deduplication_id", CHECK_DEDUPLICATION_ID_MAX, e);
    case MESSAGE_TRACEPARENT:
        return check_traceparent(f->bytes, e);
    case MESSAGE_PRIORITY:
        return f->value <= CHECK_PRIORITY_MAX
                   ? ERR_OK
                   : error_field(e, ERR_INVALID, "priority", "priority is %" PRIu64 "; it must be 0 to %d", f->value,
                                 CHECK_PRIORITY_MAX);
    case MESSAGE_DELAY:
        seen->delay_ms = f->value;
        return f->value <= SETTINGS_DELAY_MAX_MS
                   ? ERR_OK
                   : error_field(e, ERR_INVALID, "delay_ms", "delay_ms is %" PRIu64 "; at most %" PRIu64 " (10 years)",
                                 f->value, SETTINGS_DELAY_MAX_MS);
    case MESSAGE_NOT_BEFORE:
        seen->not_before_ms = f->value;
        return ERR_OK;
    case MESSAGE_NO_DELAY:
        seen->no_delay = f->value != 0;
        return ERR_OK;
    case MESSAGE_PROVENANCE:
        return error_field(e, ERR_INVALID, "provenance", "provenance is set by the broker and can't be sent");
    default:
        return ERR_OK;
    }
}

int check_message(struct bytes raw, struct error *e)
{
    struct cursor c = cursor_open(raw);
    struct wire_field f;
    struct seen seen;
    seen.count = seen.fields = 0;
    seen.delay_ms = seen.not_before_ms = 0;
    seen.no_delay = false;
    size_t body = 0, attributes = 0; /* bytes that count for the queue's limit */
    while (wire_next(&c, &f)) {
        int rc = count_field(&seen, e);
        if (rc == ERR_OK)
            rc = check_field(&f, &seen, e);
        if (rc != ERR_OK)
            return rc;
        if (f.number == MESSAGE_BODY)
            body = f.bytes.len;
        else if (f.number == MESSAGE_ATTRIBUTE)
            attributes += f.bytes.len;
    }
    if (c.failed)
        return error_field(e, ERR_INVALID, "messages", "a message is not well-formed");
    if (raw.len - body - attributes > CHECK_BESIDE_MAX)
        return error_field(e, ERR_TOO_LARGE, "messages",
                           "a message has %zu bytes beside its body and attributes; at most %d: leave out what is none "
                           "of its fields",
                           raw.len - body - attributes, CHECK_BESIDE_MAX);
    if ((seen.delay_ms != 0) + (seen.not_before_ms != 0) + (seen.no_delay ? 1 : 0) > 1)
        return error_field(e, ERR_INVALID, "delay_ms", "give only one of delay_ms, not_before_ms and no_delay");
    return ERR_OK;
}

int check_count(size_t count, const char *field, struct error *e)
{
    if (count >= 1 && count <= CHECK_BATCH_MAX)
        return ERR_OK;
    return error_field(e, ERR_INVALID, field, "%s has %zu entries; it must have 1 to %d", field, count,
                       CHECK_BATCH_MAX);
}

int check_visibility(uint64_t ms, const char *field, struct error *e)
{
    if (ms <= SETTINGS_VISIBILITY_MAX_MS)
        return ERR_OK;
    return error_field(e, ERR_INVALID, field, "%s is %" PRIu64 " ms; at most %" PRIu64 " (7 days)", field, ms,
                       SETTINGS_VISIBILITY_MAX_MS);
}

int check_wait(uint64_t ms, struct error *e)
{
    if (ms <= CHECK_WAIT_MAX_MS)
        return ERR_OK;
    return error_field(e, ERR_INVALID, "wait_ms", "wait_ms is %" PRIu64 "; at most %d (1 hour)", ms, CHECK_WAIT_MAX_MS);
}

int check_rate(double rate, const char *field, struct error *e)
{
    return settings_rate_check(rate, field, e);
}
