/* Inside settings: fields that are numbers, as tables of (name, place, limits, default), so that checking, defaults and
 * merging are written once; and the copying of protobuf messages. */
#ifndef HATO_STATE_SETTINGS_FIELDS_H
#define HATO_STATE_SETTINGS_FIELDS_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "state/settings.h"

/* A number of 4 or 8 bytes (enums and booleans have 4), and the `has_` field before it. */
struct settings_field {
    const char *name;
    uint32_t has_at;
    uint32_t at;
    uint32_t size;
    uint64_t min;
    uint64_t max;
    uint64_t initial;
    const char *limits; /* for people */
};

#define SETTINGS_FIELD(type, member, low, high, first, text)                                                           \
    {                                                                                                                  \
#member, offsetof(type, has_##member), offsetof(type, member), sizeof(((type *)0)->member), low, high, first,  \
            text                                                                                                       \
    }

/* ERR_INVALID for the first present field outside its limits. */
int settings_fields_check(const struct settings_field *fields, size_t count, const void *message, struct error *e);
void settings_fields_default(const struct settings_field *fields, size_t count, void *message);
/* The name of the first field whose value differs between two full messages; NULL when none does. */
const char *settings_fields_difference(const struct settings_field *fields, size_t count, const void *a, const void *b);
/* Fields that `from` has replace those of `to`. */
void settings_fields_merge(const struct settings_field *fields, size_t count, const void *from, void *to);

/* 0, or 0.001 to SETTINGS_RATE_MAX. */
int settings_rate_check(double rate, const char *field, struct error *e);

void settings_pack(const void *message, struct buffer *out); /* appends */
/* NULL when the bytes are not such a message. Freed with settings_discard. */
void *settings_unpack(const ProtobufCMessageDescriptor *type, struct bytes b);
void settings_discard(void *message); /* accepts NULL */

#endif
