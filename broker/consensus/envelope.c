#include "consensus/envelope.h"

#include "base/memory.h"
#include "base/wire.h"

enum {
    VERSION = 1,
    ENTRY_LEN_MIN = 3 /* kind, term, length: a byte each at least */
};

void envelope_encode(const struct raft_message *m, struct buffer *to)
{
    buffer_u8(to, VERSION);
    buffer_varint(to, m->header.len);
    buffer_put(to, m->header.data, m->header.len);
    buffer_varint(to, m->entry_count);
    if (m->entry_count > 0)
        buffer_u64(to, m->entries[0].index);
    for (size_t i = 0; i < m->entry_count; i++) {
        buffer_u8(to, (uint8_t)m->entries[i].kind);
        buffer_varint(to, m->entries[i].term);
        buffer_varint(to, m->entries[i].len);
    }
}

size_t envelope_body_len(const struct raft_message *m)
{
    size_t len = 0;
    for (size_t i = 0; i < m->entry_count; i++)
        len += m->entries[i].len;
    return len;
}

/* Reads the list of entries; their bodies are not placed yet. */
static void entries_read(struct cursor *c, struct raft_entry *entries, size_t count)
{
    uint64_t first = cursor_u64(c);
    for (size_t i = 0; i < count; i++) {
        entries[i].index = first + i;
        entries[i].kind = cursor_u8(c);
        entries[i].term = cursor_varint(c);
        entries[i].len = (size_t)cursor_varint(c);
    }
}

static int bodies_place(struct cursor *c, struct blob *owner, struct raft_entry *entries, size_t count, struct error *e)
{
    for (size_t i = 0; i < count; i++) {
        if (entries[i].len > RAFT_ENTRY_MAX)
            return error_set(e, ERR_TOO_LARGE, "an entry of %zu bytes, the limit is %d", entries[i].len,
                             RAFT_ENTRY_MAX);
        if (entries[i].len == 0)
            continue;
        entries[i].data = cursor_take(c, entries[i].len).data;
        entries[i].owner = owner;
    }
    if (c->failed || cursor_left(c) > 0)
        return error_set(e, ERR_PROTOCOL, "the entries' lengths do not add up to the message");
    return ERR_OK;
}

int envelope_decode(struct blob *owner, struct bytes from, struct raft_message *m, struct error *e)
{
    struct cursor c = cursor_open(from);
    uint8_t version = cursor_u8(&c);
    if (!c.failed && version != VERSION)
        return error_set(e, ERR_VERSION, "peer message of version %u, this build reads %d", version, VERSION);
    uint64_t header_len = cursor_varint(&c);
    if (!c.failed && header_len > RAFT_HEADER_MAX)
        return error_set(e, ERR_TOO_LARGE, "a header of %llu bytes, the limit is %d", (unsigned long long)header_len,
                         RAFT_HEADER_MAX);
    struct bytes header = cursor_take(&c, (size_t)header_len);
    uint64_t count = cursor_varint(&c);
    if (c.failed || count > cursor_left(&c) / ENTRY_LEN_MIN)
        return error_set(e, ERR_PROTOCOL, "the peer message is cut short");
    if (count > RAFT_MESSAGE_ENTRIES_MAX)
        return error_set(e, ERR_TOO_LARGE, "%llu entries, the limit is %d", (unsigned long long)count,
                         RAFT_MESSAGE_ENTRIES_MAX);
    struct raft_entry *entries = NULL;
    int code = ERR_OK;
    if (count > 0) {
        entries = memory_zero((size_t)count, sizeof *entries);
        entries_read(&c, entries, (size_t)count);
    }
    code = bodies_place(&c, owner, entries, (size_t)count, e);
    if (code != ERR_OK) {
        memory_free(entries);
        return code;
    }
    *m = (struct raft_message){.header = header, .entries = entries, .entry_count = (size_t)count};
    return ERR_OK;
}

void envelope_free(struct raft_message *m)
{
    memory_free((void *)m->entries);
    m->entries = NULL;
    m->entry_count = 0;
}

/* Numbers of fields in the library's protobuf messages. */
enum { MESSAGE_SNAPSHOT = 9, SNAPSHOT_DATA = 1, SNAPSHOT_METADATA = 2, METADATA_INDEX = 2, METADATA_TERM = 3 };

/* The last field of this number, as protobuf has it. */
static bool find(struct bytes in, uint32_t number, enum wire_type type, struct wire_field *out)
{
    struct cursor c = cursor_open(in);
    struct wire_field field;
    bool found = false;
    while (wire_next(&c, &field)) {
        if (field.number != number || field.type != type)
            continue;
        *out = field;
        found = true;
    }
    return found;
}

bool envelope_snapshot(const struct raft_message *m, struct raft_snapshot *out)
{
    struct wire_field snapshot, metadata, field;
    *out = (struct raft_snapshot){0};
    if (!find(m->header, MESSAGE_SNAPSHOT, WIRE_BYTES, &snapshot))
        return false;
    if (find(snapshot.bytes, SNAPSHOT_DATA, WIRE_BYTES, &field)) {
        out->data = field.bytes.data;
        out->len = field.bytes.len;
    }
    if (!find(snapshot.bytes, SNAPSHOT_METADATA, WIRE_BYTES, &metadata))
        return true;
    if (find(metadata.bytes, METADATA_INDEX, WIRE_VARINT, &field))
        out->index = field.value;
    if (find(metadata.bytes, METADATA_TERM, WIRE_VARINT, &field))
        out->term = field.value;
    return true;
}
