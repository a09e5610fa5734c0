#include "cluster/hello.h"

#include <stdio.h>

#include "base/wire.h"

enum { LETTERS = 4, VERSIONS = 8, PREFACE = 20 }; /* bytes up to the end of each */

/* Numbers of the fields: never reused. */
enum {
    FIELD_CLUSTER = 1,
    FIELD_BIRTH = 2,
    FIELD_NODE = 3,
    FIELD_TO = 4,
    FIELD_INSTANCE = 5,
    FIELD_SHARDS = 6,
    FIELD_CLIENTS = 7,
    FIELD_SOFTWARE = 8,
    FIELD_REFUSED = 9,
    FIELD_WHY = 10,
    FIELD_PURPOSE = 11,
    FIELD_SINCE = 12,
};

void hello_put(struct buffer *to, const struct hello *h)
{
    struct buffer fields = {0};
    wire_put_bytes(&fields, FIELD_CLUSTER, bytes_text(h->cluster));
    wire_put_bytes(&fields, FIELD_BIRTH, bytes_text(h->birth));
    wire_put_varint(&fields, FIELD_NODE, h->node);
    wire_put_varint(&fields, FIELD_TO, h->to);
    wire_put_varint(&fields, FIELD_INSTANCE, h->instance);
    wire_put_varint(&fields, FIELD_SHARDS, h->shards);
    wire_put_bytes(&fields, FIELD_CLIENTS, bytes_text(h->clients));
    wire_put_bytes(&fields, FIELD_SOFTWARE, bytes_text(h->software));
    wire_put_varint(&fields, FIELD_REFUSED, h->refused);
    wire_put_bytes(&fields, FIELD_WHY, bytes_text(h->why));
    wire_put_varint(&fields, FIELD_PURPOSE, h->purpose);
    wire_put_varint(&fields, FIELD_SINCE, h->since);
    buffer_put(to, "HATP", LETTERS);
    buffer_u16(to, HELLO_OLDEST);
    buffer_u16(to, HELLO_NEWEST);
    buffer_u32(to, (uint32_t)fields.len);
    buffer_u64(to, bytes_hash(buffer_view(&fields), 0));
    buffer_put(to, fields.data, fields.len);
    buffer_close(&fields);
}

static bool copy_text(struct bytes from, char *to, size_t size)
{
    if (from.len >= size || memchr(from.data, '\0', from.len) != NULL)
        return false;
    memcpy(to, from.data, from.len);
    to[from.len] = '\0';
    return true;
}

static bool is_id(const char *text)
{
    return strlen(text) == HELLO_ID - 1 && strspn(text, "0123456789abcdef") == HELLO_ID - 1;
}

static bool take_text(struct hello *h, const struct wire_field *f)
{
    switch (f->number) {
    case FIELD_CLUSTER:
        return copy_text(f->bytes, h->cluster, sizeof h->cluster);
    case FIELD_BIRTH:
        return copy_text(f->bytes, h->birth, sizeof h->birth);
    case FIELD_CLIENTS:
        return copy_text(f->bytes, h->clients, sizeof h->clients);
    case FIELD_SOFTWARE:
        return copy_text(f->bytes, h->software, sizeof h->software);
    case FIELD_WHY:
        return copy_text(f->bytes, h->why, sizeof h->why);
    default:
        return true;
    }
}

static bool take_number(struct hello *h, const struct wire_field *f)
{
    bool small = f->value <= UINT32_MAX;
    switch (f->number) {
    case FIELD_NODE:
        h->node = f->value;
        return true;
    case FIELD_TO:
        h->to = f->value;
        return true;
    case FIELD_INSTANCE:
        h->instance = f->value;
        return true;
    case FIELD_SHARDS:
        h->shards = (uint32_t)f->value;
        return small;
    case FIELD_PURPOSE:
        h->purpose = (uint32_t)f->value;
        return small;
    case FIELD_SINCE:
        h->since = f->value;
        return true;
    case FIELD_REFUSED:
        h->refused = (uint32_t)f->value;
        return small;
    default:
        return true;
    }
}

static int take_fields(struct bytes fields, struct hello *h, struct error *e)
{
    struct cursor c = cursor_open(fields);
    struct wire_field f;
    bool good = true;
    while (good && wire_next(&c, &f))
        good = f.type == WIRE_BYTES ? take_text(h, &f) : f.type != WIRE_VARINT || take_number(h, &f);
    if (!good || c.failed)
        return error_set(e, ERR_PROTOCOL, "a hello whose fields can't be read");
    if (h->refused == 0 && (!is_id(h->cluster) || !is_id(h->birth) || h->node == 0 || h->shards == 0))
        return error_set(e, ERR_PROTOCOL, "a hello that does not say who speaks");
    return ERR_OK;
}

int hello_take(struct bytes in, struct hello *out, size_t *used, struct error *e)
{
    struct cursor c = cursor_open(in);
    *used = 0;
    *out = (struct hello){0};
    size_t letters = in.len < LETTERS ? in.len : LETTERS;
    if (letters > 0 && memcmp(in.data, "HATP", letters) != 0)
        return error_set(e, ERR_PROTOCOL, "what came is no hello of a node of Hato (is it this port that was meant?)");
    if (in.len < VERSIONS)
        return ERR_OK;
    cursor_take(&c, LETTERS);
    out->oldest = cursor_u16(&c);
    out->newest = cursor_u16(&c);
    if (out->oldest > HELLO_NEWEST || out->newest < HELLO_OLDEST || out->oldest > out->newest)
        return error_set(e, ERR_VERSION, "it speaks versions %u to %u of the peer protocol, this build %d to %d",
                         out->oldest, out->newest, HELLO_OLDEST, HELLO_NEWEST);
    if (in.len < PREFACE)
        return ERR_OK;
    uint32_t len = cursor_u32(&c);
    uint64_t check = cursor_u64(&c);
    if (len > HELLO_MAX)
        return error_set(e, ERR_TOO_LARGE, "a hello of %u bytes; the largest has %d", len, HELLO_MAX);
    if (cursor_left(&c) < len)
        return ERR_OK;
    struct bytes fields = cursor_take(&c, len);
    if (check != bytes_hash(fields, 0))
        return error_set(e, ERR_CORRUPT, "a hello whose checksum does not hold");
    int rc = take_fields(fields, out, e);
    *used = rc == ERR_OK ? PREFACE + (size_t)len : 0;
    return rc;
}
