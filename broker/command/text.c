#include "command/text.h"

#include <string.h>

#include "base/utf8.h"
#include "base/wire.h"

static int check_one(const char *field, struct bytes text, struct error *e)
{
    if (text.len == 0)
        return ERR_OK;
    if (memchr(text.data, 0, text.len) != NULL)
        return error_field(e, ERR_INVALID, field, "%s has a zero byte in it, which no text here may have", field);
    if (!utf8_valid(text))
        return error_field(e, ERR_INVALID, field, "%s is not valid UTF-8", field);
    return ERR_OK;
}

static int check_at(const ProtobufCMessageDescriptor *d, struct bytes raw, int depth, size_t *fields, struct error *e)
{
    struct cursor c = cursor_open(raw);
    struct wire_field f;
    int rc = ERR_OK;
    if (depth == TEXT_DEPTH_MAX)
        return error_set(e, ERR_INVALID, "messages within messages are deeper than %d", TEXT_DEPTH_MAX);
    while (rc == ERR_OK && wire_next(&c, &f)) {
        if (++*fields > TEXT_FIELDS_MAX)
            return error_set(e, ERR_TOO_LARGE, "a request has at most %d fields, those of messages within it included",
                             TEXT_FIELDS_MAX);
        const ProtobufCFieldDescriptor *field =
            f.type == WIRE_BYTES ? protobuf_c_message_descriptor_get_field(d, f.number) : NULL;
        if (field == NULL)
            continue;
        if (field->type == PROTOBUF_C_TYPE_STRING)
            rc = check_one(field->name, f.bytes, e);
        else if (field->type == PROTOBUF_C_TYPE_MESSAGE)
            rc = check_at(field->descriptor, f.bytes, depth + 1, fields, e);
    }
    if (rc == ERR_OK && c.failed)
        rc = error_set(e, ERR_PROTOCOL, "a message within it can't be read");
    return rc;
}

int text_check(const ProtobufCMessageDescriptor *d, struct bytes raw, struct error *e)
{
    size_t fields = 0;
    return check_at(d, raw, 0, &fields, e);
}
