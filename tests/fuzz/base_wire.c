/* The protobuf wire format, field by field. What is read is written again and read back the same. */
#include <stdint.h>

#include "base/assert.h"
#include "base/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put(struct buffer *out, const struct wire_field *f)
{
    if (f->type == WIRE_VARINT)
        wire_put_varint(out, f->number, f->value);
    else if (f->type == WIRE_BYTES)
        wire_put_bytes(out, f->number, f->bytes);
}

/* Fields that proto3 leaves out are not written. */
static bool written(const struct wire_field *f)
{
    return (f->type == WIRE_VARINT && f->value != 0) || (f->type == WIRE_BYTES && f->bytes.len > 0);
}

static bool same(const struct wire_field *a, const struct wire_field *b)
{
    return a->number == b->number && a->type == b->type &&
           (a->type == WIRE_BYTES ? bytes_equal(a->bytes, b->bytes) : a->value == b->value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buffer out = {0};
    struct wire_field first;
    struct wire_field again;
    struct cursor c = cursor_open(bytes_of(data, size));
    while (wire_next(&c, &first)) {
        ASSERT(first.type != WIRE_BYTES ||
               (first.bytes.data >= data && first.bytes.data + first.bytes.len <= data + size));
        put(&out, &first);
    }
    c = cursor_open(bytes_of(data, size));
    struct cursor back = cursor_open(buffer_view(&out));
    while (wire_next(&c, &first)) {
        if (written(&first))
            ASSERT(wire_next(&back, &again) && same(&first, &again));
    }
    ASSERT(!wire_next(&back, &again) && !back.failed);
    buffer_close(&out);
    return 0;
}
