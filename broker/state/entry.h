/* The payload of a log entry (proto/ENTRY-FORMAT.md): the leader writes it, every replica's machine reads it.
 *
 * Writing: entry_open, any number of entry_add_*, entry_close. The buffer is the caller's; offsets count from where it was at
 * entry_open, which the writer takes as the payload's first byte. Sizes are the caller's to keep within the limits below
 * (entry_fits); breaking them is a programmer's error.
 * Reading: entry_read, entry_next until it says there is no more, and the command's own reader. Every length is checked; what
 * does not hold is ERR_CORRUPT, because an entry was checksummed and agreed upon before it comes here. */
#ifndef HATO_STATE_ENTRY_H
#define HATO_STATE_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

enum {
    ENTRY_VERSION = 1,
    ENTRY_HEADER_BYTES = 24,
    ENTRY_COMMAND_BYTES = 8, /* before each command's payload */
    ENTRY_COMMANDS_MAX = 65535,
    ENTRY_BYTES_MAX = 66 * 1024 * 1024,
    ENTRY_ERROR_MAX = 1024 /* bytes of a nack's error */
};

/* Persistent numbers: never changed, never reused. */
enum command_kind {
    COMMAND_SEND = 1,
    COMMAND_RECEIVE = 2,
    COMMAND_ACK = 3,
    COMMAND_NACK = 4,
    COMMAND_EXTEND = 5,
    COMMAND_CANCEL = 6,
    COMMAND_QUEUE_CREATE = 16,
    COMMAND_QUEUE_SET = 17,
    COMMAND_QUEUE_DELETE = 18,
    COMMAND_QUEUE_PURGE = 19,
    COMMAND_REDRIVE_START = 20,
    COMMAND_REDRIVE_CANCEL = 21,
    COMMAND_GROUP_RESUME = 22,
    COMMAND_ACCEPT = 32,
    COMMAND_SETTLED = 33,
    COMMAND_FUNCTION_CREATE = 48,
    COMMAND_FUNCTION_SET = 49,
    COMMAND_FUNCTION_DELETE = 50,
    COMMAND_NODES_FOUND = 64,
    COMMAND_NODE_ADD = 65,
    COMMAND_NODE_SET = 66,
    COMMAND_NODE_REMOVE = 67,
    COMMAND_SHARD_LEAD = 68,
    COMMAND_KINDS = 69
};

/* A receive that names no visibility of its own takes the queue's. */
#define ENTRY_VISIBILITY_DEFAULT UINT64_MAX

/* What ack, nack and extend point at; from a receipt. */
struct entry_lease {
    uint64_t sequence;
    uint64_t lease;
};

struct entry_send {
    uint64_t queue;
    uint64_t producer; /* 0: none */
    uint64_t sequence; /* of the first message */
    uint64_t settled_below;
    uint32_t count;
    struct cursor messages; /* when read: for entry_send_next */
};

struct entry_receive {
    uint64_t queue;
    uint32_t max_messages;
    uint32_t max_bytes;     /* 0: no bound */
    uint64_t visibility_ms; /* ENTRY_VISIBILITY_DEFAULT: the queue's */
    uint64_t tag;           /* comes back in the reply */
};

/* ack, nack, extend */
struct entry_settle {
    uint64_t queue;
    uint64_t delay_ms;  /* of a nack; of an extend its visibility; else 0 */
    uint32_t status;    /* nack */
    bool uncounted;     /* nack */
    struct bytes error; /* nack; at most ENTRY_ERROR_MAX */
    uint32_t count;
    struct cursor leases; /* when read: for entry_lease_next */
};

struct entry_cancel {
    uint64_t queue;
    uint32_t count;
    struct cursor sequences; /* cursor_u64 each */
};

/* ---------------------------------------------------------------- writing */

struct entry_writer {
    struct buffer *out; /* borrowed */
    size_t start;
    uint32_t count;
};

void entry_open(struct entry_writer *w, struct buffer *out, uint64_t time_ms, uint64_t seed);
/* Whether one more command with `len` bytes of payload keeps the entry within its limits. */
bool entry_fits(const struct entry_writer *w, size_t len);
size_t entry_bytes(const struct entry_writer *w);
void entry_close(struct entry_writer *w); /* the payload is complete; the writer is done */
void entry_stamp(struct buffer *payload,
                 uint64_t time_ms); /* in the place of the time it has; of a payload by itself */

/* The payload's length of a send of these messages, for entry_fits. */
size_t entry_send_bytes(const struct bytes *messages, size_t count);

/* `send->count` messages; each is copied. */
void entry_add_send(struct entry_writer *w, const struct entry_send *send, const struct bytes *messages);
void entry_add_receive(struct entry_writer *w, const struct entry_receive *receive);
void entry_add_ack(struct entry_writer *w, uint64_t queue, const struct entry_lease *leases, uint32_t count);
/* `settle` gives everything but the leases; an error longer than ENTRY_ERROR_MAX is cut, at a whole UTF-8
 * character. */
void entry_add_nack(struct entry_writer *w, const struct entry_settle *settle, const struct entry_lease *leases);
void entry_add_extend(struct entry_writer *w, uint64_t queue, uint64_t visibility_ms, const struct entry_lease *leases,
                      uint32_t count);
void entry_add_cancel(struct entry_writer *w, uint64_t queue, const uint64_t *sequences, uint32_t count);
/* A command whose payload is a protobuf message of proto/command.proto. */
void entry_add(struct entry_writer *w, enum command_kind kind, struct bytes payload);

/* ---------------------------------------------------------------- reading */

struct entry_reader {
    uint64_t time_ms;
    uint64_t seed;
    uint32_t count;      /* commands */
    const uint8_t *base; /* the payload's first byte */
    struct cursor at;
    uint32_t done;
};

struct entry_command {
    uint8_t kind; /* may be one that this build does not know */
    struct bytes payload;
};

/* ERR_VERSION when the entry is of a version not known, with the version needed in the message. */
int entry_read(struct entry_reader *r, struct bytes payload, struct error *e);
/* *more is false after the last command, when the payload must be at its end. */
int entry_next(struct entry_reader *r, struct entry_command *c, bool *more, struct error *e);

int entry_read_send(struct bytes payload, struct entry_send *out, struct error *e);
int entry_read_receive(struct bytes payload, struct entry_receive *out, struct error *e);
int entry_read_settle(enum command_kind kind, struct bytes payload, struct entry_settle *out, struct error *e);
int entry_read_cancel(struct bytes payload, struct entry_cancel *out, struct error *e);

/* The readers above have checked that `count` of them are there. */
struct bytes entry_send_next(struct entry_send *s);
struct entry_lease entry_lease_next(struct entry_settle *s);

#endif
