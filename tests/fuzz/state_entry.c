/* The payload of a log entry, all commands and all that is in them. */
#include <stdint.h>

#include "base/assert.h"
#include "state/entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint64_t sink;

static void touch(struct bytes b)
{
    for (size_t i = 0; i < b.len; i++)
        sink += b.data[i];
}

static void read_send(struct bytes payload)
{
    struct entry_send s;
    if (entry_read_send(payload, &s, NULL) != ERR_OK)
        return;
    for (uint32_t i = 0; i < s.count; i++)
        touch(entry_send_next(&s));
}

static void read_settle(enum command_kind kind, struct bytes payload)
{
    struct entry_settle s;
    if (entry_read_settle(kind, payload, &s, NULL) != ERR_OK)
        return;
    ASSERT(s.error.len <= ENTRY_ERROR_MAX);
    touch(s.error);
    for (uint32_t i = 0; i < s.count; i++)
        sink += entry_lease_next(&s).lease;
}

static void read_cancel(struct bytes payload)
{
    struct entry_cancel c;
    if (entry_read_cancel(payload, &c, NULL) != ERR_OK)
        return;
    for (uint32_t i = 0; i < c.count; i++)
        sink += cursor_u64(&c.sequences);
    ASSERT(!c.sequences.failed);
}

static void read_command(const struct entry_command *c)
{
    struct entry_receive receive;
    touch(c->payload);
    switch (c->kind) {
    case COMMAND_SEND:
        read_send(c->payload);
        break;
    case COMMAND_RECEIVE:
        (void)entry_read_receive(c->payload, &receive, NULL);
        break;
    case COMMAND_ACK:
    case COMMAND_NACK:
    case COMMAND_EXTEND:
        read_settle((enum command_kind)c->kind, c->payload);
        break;
    case COMMAND_CANCEL:
        read_cancel(c->payload);
        break;
    default:
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct entry_reader r;
    struct entry_command c;
    struct error e;
    if (entry_read(&r, bytes_of(data, size), &e) != ERR_OK)
        return 0;
    uint32_t seen = 0;
    for (bool more = true; entry_next(&r, &c, &more, &e) == ERR_OK && more; seen++)
        read_command(&c);
    ASSERT(seen <= r.count);
    return 0;
}
