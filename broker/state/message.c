#include "state/message.h"

#include "base/wire.h"

enum {
    FIELD_BODY = 1,
    FIELD_ATTRIBUTE = 2,
    FIELD_GROUP = 3,
    FIELD_DEDUPLICATION_ID = 4,
    FIELD_DELAY = 5,
    FIELD_PRIORITY = 6,
    FIELD_TRACEPARENT = 7,
    FIELD_NOT_BEFORE = 8,
    FIELD_NO_DELAY = 9,
    FIELD_PROVENANCE = 15,
};

static uint32_t wire_of(uint32_t number)
{
    switch (number) {
    case FIELD_DELAY:
    case FIELD_PRIORITY:
    case FIELD_NOT_BEFORE:
    case FIELD_NO_DELAY:
        return WIRE_VARINT;
    default:
        return WIRE_BYTES;
    }
}

static void keep(struct message *m, const struct wire_field *f)
{
    switch (f->number) {
    case FIELD_BODY:
        m->body = f->bytes;
        break;
    case FIELD_ATTRIBUTE:
        m->attributes++;
        m->size += f->bytes.len;
        break;
    case FIELD_GROUP:
        m->group = f->bytes;
        break;
    case FIELD_DEDUPLICATION_ID:
        m->deduplication_id = f->bytes;
        break;
    case FIELD_DELAY:
        m->delay_ms = f->value;
        break;
    case FIELD_PRIORITY:
        m->priority = (uint32_t)f->value;
        break;
    case FIELD_NOT_BEFORE:
        m->not_before_ms = f->value;
        break;
    case FIELD_NO_DELAY:
        m->no_delay = f->value != 0;
        break;
    case FIELD_PROVENANCE:
        m->has_provenance = true;
        break;
    default:
        break;
    }
}

static bool known(uint32_t number)
{
    return number <= FIELD_NO_DELAY || number == FIELD_PROVENANCE;
}

bool message_scan(struct bytes raw, struct message *out)
{
    *out = (struct message){0};
    struct cursor c = cursor_open(raw);
    while (cursor_left(&c) > 0) {
        struct wire_field f = {0};
        if (!wire_next(&c, &f))
            return false;
        if (!known(f.number))
            continue;
        if (f.type != wire_of(f.number))
            return false;
        keep(out, &f);
    }
    out->size += out->body.len;
    return true;
}

bool message_provenance(struct bytes raw, struct buffer *out)
{
    struct cursor c = cursor_open(raw);
    while (cursor_left(&c) > 0) {
        struct wire_field f = {0};
        if (!wire_next(&c, &f))
            return false;
        if (f.number == FIELD_PROVENANCE) {
            if (f.type != WIRE_BYTES)
                return false;
            buffer_put(out, f.bytes.data, f.bytes.len);
        }
    }
    return true;
}
