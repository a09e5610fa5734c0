#include "state/settings_fields.h"

#include <string.h>

#include "base/assert.h"
#include "base/memory.h"

#define RATE_MIN 0.001

static bool has(const struct settings_field *f, const void *message)
{
    protobuf_c_boolean present;
    memcpy(&present, (const char *)message + f->has_at, sizeof present);
    return present != 0;
}

static uint64_t get(const struct settings_field *f, const void *message)
{
    uint64_t wide = 0;
    uint32_t narrow = 0;
    const char *from = (const char *)message + f->at;
    if (f->size == sizeof wide)
        memcpy(&wide, from, sizeof wide);
    else
        memcpy(&narrow, from, sizeof narrow);
    return f->size == sizeof wide ? wide : narrow;
}

static void set(const struct settings_field *f, void *message, uint64_t value)
{
    protobuf_c_boolean present = 1;
    uint32_t narrow = (uint32_t)value;
    char *to = (char *)message + f->at;
    memcpy((char *)message + f->has_at, &present, sizeof present);
    if (f->size == sizeof value)
        memcpy(to, &value, sizeof value);
    else
        memcpy(to, &narrow, sizeof narrow);
}

int settings_fields_check(const struct settings_field *fields, size_t count, const void *message, struct error *e)
{
    for (size_t i = 0; i < count; i++) {
        const struct settings_field *f = &fields[i];
        ASSERT(f->size == sizeof(uint32_t) || f->size == sizeof(uint64_t));
        uint64_t value = get(f, message);
        if (has(f, message) && (value < f->min || value > f->max))
            return error_field(e, ERR_INVALID, f->name, "%s is %s, not %llu", f->name, f->limits,
                               (unsigned long long)value);
    }
    return ERR_OK;
}

void settings_fields_default(const struct settings_field *fields, size_t count, void *message)
{
    for (size_t i = 0; i < count; i++)
        set(&fields[i], message, fields[i].initial);
}

const char *settings_fields_difference(const struct settings_field *fields, size_t count, const void *a, const void *b)
{
    for (size_t i = 0; i < count; i++)
        if (get(&fields[i], a) != get(&fields[i], b))
            return fields[i].name;
    return NULL;
}

void settings_fields_merge(const struct settings_field *fields, size_t count, const void *from, void *to)
{
    for (size_t i = 0; i < count; i++)
        if (has(&fields[i], from))
            set(&fields[i], to, get(&fields[i], from));
}

int settings_rate_check(double rate, const char *field, struct error *e)
{
    if (rate == 0.0 || (rate >= RATE_MIN && rate <= (double)SETTINGS_RATE_MAX))
        return ERR_OK;
    return error_field(e, ERR_INVALID, field, "%s is 0 (no limit) or 0.001 to 1000000 a second", field);
}

/* ---------------------------------------------------------------- protobuf */

static void *allocate(void *data, size_t size)
{
    (void)data;
    return memory_alloc(size);
}

static void release(void *data, void *p)
{
    (void)data;
    memory_free(p);
}

static ProtobufCAllocator allocator(void)
{
    return (ProtobufCAllocator){.alloc = allocate, .free = release};
}

void settings_pack(const void *message, struct buffer *out)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    out->len += protobuf_c_message_pack(message, buffer_reserve(out, len));
}

void *settings_unpack(const ProtobufCMessageDescriptor *type, struct bytes b)
{
    ProtobufCAllocator a = allocator();
    return protobuf_c_message_unpack(type, &a, b.len, b.data);
}

void settings_discard(void *message)
{
    ProtobufCAllocator a = allocator();
    if (message != NULL)
        protobuf_c_message_free_unpacked(message, &a);
}
