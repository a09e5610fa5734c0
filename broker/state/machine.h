/* The state machine of one shard: entries in, replies and effects out (DESIGN.md section 7).
 *
 * Pure: it sees time, randomness and ids only as fields of the entry; it touches nothing but the store's keys under its
 * shard's prefix. The same entries give the same state, byte for byte, on every replica, in the simulator, and again when
 * the log is replayed after a crash: whatever influences a later decision is persisted with the applied index.
 *
 * Threads: all calls for one machine come from the loop that owns the shard. `machine_spill_*` says otherwise where so.
 * Errors: a command's refusal is in its reply. A return value other than 0 means the shard can't go on (the store failed
 * or is corrupt): the caller stops the shard and reports. */
#ifndef HATO_STATE_MACHINE_H
#define HATO_STATE_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/blob.h"
#include "base/bytes.h"
#include "base/error.h"
#include "state/nodes.h"

struct machine;
struct store;
struct Hato__QueueSettings;
struct Hato__FunctionSettings;

enum { SHARDS_MAX = 256 }; /* of a cluster, the catalog not counted */

#define NEVER UINT64_MAX /* a point in time that does not come */

struct machine_options {
    uint16_t shard;      /* 0 is the catalog, 1 to `shards` hold queues */
    uint16_t shards;     /* as chosen when the cluster was born */
    struct store *store; /* borrowed; shared by all machines of the node */
};

/* Where a message's `Message` bytes are: inside the payload of entry `index` (proto/ENTRY-FORMAT.md). */
struct message_ref {
    uint64_t index;
    uint32_t offset;
    uint32_t len;
};

/* A message as given by a receive. */
struct received {
    struct message_ref ref;
    uint64_t sequence; /* in its queue: chunk * 64 + slot */
    uint64_t lease;
    uint64_t sent_ms;
    uint64_t first_received_ms;
    uint64_t lease_until_ms;
    uint32_t receive_count; /* this one included */
};

struct send_result {
    int code;          /* ERR_OK, or why this message was refused */
    const char *field; /* "" when none */
    const char *message;
    uint64_t sequence; /* of the stored message; with `duplicate` of the earlier one */
    bool duplicate;
};

/* One per command, in order. Pointers live in the output's arena. */
struct reply {
    uint8_t kind; /* the command's (enum command_kind of state/entry.h) */
    int code;     /* ERR_OK, or why the command was refused as a whole */
    const char *field;
    const char *message;
    uint64_t queue; /* the queue's id, where there is one */
    uint64_t tag;   /* of a receive */
    size_t count;   /* of the array that the kind uses */
    union {
        struct send_result *sent;  /* send */
        struct received *received; /* receive; count 0 when there was nothing */
        uint8_t *codes;            /* ack, nack, extend, cancel: an error_code each */
        uint8_t *accepted;         /* accept: an error_code each (an item seen before gets what it got then) */
        uint64_t purged;           /* purge */
        const char *redrive_id;    /* redrive start */
    };
};

enum effect_kind {
    EFFECT_READY = 1,      /* `queue` may have something to receive that was not there before */
    EFFECT_QUEUE = 2,      /* `queue` was created, changed or deleted (settings, binding) */
    EFFECT_OUTBOX = 3,     /* there is something to forward to shard `target` */
    EFFECT_FUNCTION = 4,   /* function `name` was created, changed or deleted */
    EFFECT_QUEUE_MADE = 5, /* `queue`, called `name`, was made for a dead letter that found none: for the trace */
    EFFECT_NODES = 6,      /* nodes, or who has which shard, changed */
};

/* What only the leader performs. Distinct within one output. */
struct effect {
    enum effect_kind kind;
    uint64_t queue;
    uint16_t target;
    const char *name;
};

/* Filled by machine_apply; the caller zeroes it once, reuses it, and closes it with machine_output_close. */
struct machine_output {
    struct arena arena;
    struct reply *replies;
    size_t reply_count;
    struct effect *effects;
    size_t effect_count;
    size_t effect_capacity;
};

void machine_output_close(struct machine_output *out);

/* Loads what the store has under the shard's prefix. Cost: proportional to queues, leases and active groups, not backlog. */
int machine_open(const struct machine_options *options, struct machine **out, struct error *e);
void machine_close(struct machine *m); /* accepts NULL; flushes nothing */

/* Applies entry `index` (the successor of machine_applied). `payload` is the entry's payload, borrowed for the call. The
 * changes and the applied index go to the store together with those of other entries, now or later. */
int machine_apply(struct machine *m, uint64_t index, struct bytes payload, struct machine_output *out, struct error *e);

/* An entry with no commands of ours (Raft's own: a new leader's): the applied index moves, and producers are remembered anew from the
 * next entry on, for nobody could repeat a send while there was no leader. */
int machine_skip(struct machine *m, uint64_t index, struct error *e);

/* The index moves for an entry that says who takes part in the shard's group: opaque bytes, kept with the applied index. */
int machine_set_membership(struct machine *m, uint64_t index, struct bytes membership, struct error *e);
struct bytes machine_membership(const struct machine *m); /* the last one; empty: none yet */

uint64_t machine_applied(const struct machine *m);
/* The same from the record a store has of it, of a machine that is not open. Pure. Errors: ERR_CORRUPT, ERR_VERSION. */
int machine_applied_in(struct bytes key, struct bytes value, uint64_t *applied, struct error *e);
uint64_t machine_clock_ms(const struct machine *m);    /* the last entry's time */
uint64_t machine_next_due_ms(const struct machine *m); /* when an empty entry is wanted if nobody speaks; NEVER */
uint64_t machine_secret(const struct machine *m);      /* keys the receipts' check; from the first entry's seed */

/* Puts all that was applied into the store (not durable until it is flushed): call it before flushing the store for all shards
 * at once, or before looking into the store from outside. After ERR_STORAGE_FULL the machine is as it was: try again. */
int machine_write(struct machine *m, struct error *e);

/* ---------------------------------------------------------------- queries, for the leader; never change anything */

struct queue_counts {
    uint64_t ready, in_flight, delayed, moving, bytes, halted_groups;
    uint64_t sent_total, received_total, acked_total, dead_lettered_total, dead_letters_refused_total, expired_total;
};

/* A queue as seen from outside. Pointers are the machine's, valid until the next apply. */
struct queue_view {
    uint64_t id;
    const char *name;                           /* full name "account:region:name" */
    const struct Hato__QueueSettings *settings; /* every field present, except binding when there is none */
    uint64_t created_ms, modified_ms;
    struct queue_counts counts;
};

enum { WAITED_BUCKETS = 24 }; /* time from send to first receive: bucket i is below 2^i ms, the last is open */
struct queue_waited {
    uint64_t counts[WAITED_BUCKETS];
    uint64_t total, sum_ms;
};

bool machine_queue_find(const struct machine *m, const char *name, struct queue_view *out);
bool machine_queue_get(const struct machine *m, uint64_t id, struct queue_view *out);
/* When the oldest message that is ready or in flight was sent; 0 when there is none. Reads the store: not for every send; when that
 * fails, or finds nothing but delayed ones for long, a time before which no message was sent that is not in memory. */
uint64_t machine_queue_oldest_ms(const struct machine *m, uint64_t id);
void machine_queue_waited(const struct machine *m, uint64_t id, struct queue_waited *out); /* since machine_open */

/* Queues by name from the first one greater than `after` ("" begins); stops when `visit` returns false. */
void machine_queue_each(const struct machine *m, const char *after,
                        bool (*visit)(void *ctx, const struct queue_view *q), void *ctx);
size_t machine_queue_count(const struct machine *m);

/* How many messages a receive could get now, at most `limit` are looked for. 0 only when there is none; on a FIFO queue whose groups
 * have a backlog in the store it may be more than there are. */
uint32_t machine_queue_available(const struct machine *m, uint64_t id, uint32_t limit);

/* What is wanted next once those of entry `index` are received: where the first fresh messages of a later entry end. A guess for
 * reading ahead, from what is in memory; false: none. */
bool machine_queue_next(const struct machine *m, uint64_t id, uint64_t index, struct message_ref *out);

struct peeked {
    struct message_ref ref;
    uint64_t sequence;
    uint64_t sent_ms;
    uint64_t due_ms;    /* end of the lease or delay; 0 when ready */
    uint64_t halted_ms; /* its group halted at this message then; 0: it did not */
    uint32_t receive_count;
    char state; /* 'r' ready, 'f' in flight, 'd' delayed, 'h' would be ready but its group is halted, 'm' on its way to
                             * the dead-letter queue */
    const char *last_error; /* "" when none; in the arena */
};
enum peek_which { PEEK_ALL, PEEK_READY, PEEK_IN_FLIGHT, PEEK_DELAYED, PEEK_HALTED_AT };

/* Messages in order of sequence beyond `after` (0 begins). Looks at no more than 1,000 chunks a call; `*next` is where to go
 * on, 0 at the end. `group` NULL: all.
 * PEEK_HALTED_AT: only messages at which groups halted; these are all in memory, so that millions behind them cost nothing.
 * Errors: ERR_NOT_FOUND, the store's; among these ERR_STORAGE_FULL, for what was applied last has to be written before it is read. */
int machine_peek(const struct machine *m, uint64_t queue, uint64_t after, enum peek_which which, const char *group,
                 size_t max, struct arena *arena, struct peeked **out, size_t *count, uint64_t *next, struct error *e);

/* Whether the queue still has this message, as the one that `ref` was given for (NULL: whatever was). What was received lately is in memory; for others
 * two keys are read. */
int machine_holds(const struct machine *m, uint64_t queue, uint64_t sequence, const struct message_ref *ref,
                  bool *holds, struct error *e);

struct redrive_view {
    const char *id, *destination, *reason;
    double rate;
    int state; /* 0 running, 1 completed, 2 cancelled */
    uint64_t moved, skipped, total, started_ms, ended_ms;
};
size_t machine_redrives(const struct machine *m, uint64_t queue, struct redrive_view *out,
                        size_t max); /* newest first */

/* Functions (shard 0). */
struct function_view {
    const char *name;
    const struct Hato__FunctionSettings *settings; /* every field present, secrets included: never show them */
    uint64_t created_ms, modified_ms;
};
bool machine_function_find(const struct machine *m, const char *name, struct function_view *out);
void machine_function_each(const struct machine *m, const char *after,
                           bool (*visit)(void *ctx, const struct function_view *f), void *ctx);
size_t machine_function_count(const struct machine *m);

/* The cluster's nodes and who has which shard (nodes.h), of shard 0; false where nobody has changed anything yet. */
bool machine_nodes(const struct machine *m, struct nodes_view *out);

/* ---------------------------------------------------------------- channels */

struct outbox_item {
    uint64_t sequence; /* in the channel to `target` */
    const char *queue; /* full name it is for */
    bool create;
    bool
        withdrawn; /* its queue was purged, or one before it in its group refused: its turn is forwarded, with nothing in it */
    struct message_ref ref;  /* the Message as it was */
    struct bytes provenance; /* an encoded `provenance` field to append to it */
};
/* Items for `target` beyond `after`, in order, at most `max`; arena owns what they point to. */
int machine_outbox(const struct machine *m, uint16_t target, uint64_t after, size_t max, struct arena *arena,
                   struct outbox_item **out, size_t *count, struct error *e);
/* Targets with something in the outbox, for a new leader. */
size_t machine_outbox_targets(const struct machine *m, uint16_t *out, size_t max);
/* Whether the payload of a COMMAND_ACCEPT that another node brought is well-formed, and whose it is. Pure. */
bool machine_accept_sound(struct bytes payload, uint16_t *source);

/* ---------------------------------------------------------------- bodies that outlive the log's window */

/* No live message refers to an entry below this one; applied + 1 when there is none. It is a bound: up to 16 MiB of messages, or
 * 32,768 entries, before the first one that is alive. */
uint64_t machine_first_live(const struct machine *m);

/* Live messages of entries first..last, entry by entry, for spilling them. Works on a snapshot of the store taken by
 * machine_spill_open on the loop, then iterated on another thread. */
struct machine_spill;
struct machine_spill *machine_spill_open(struct machine *m, uint64_t first, uint64_t last);
int machine_spill_next(struct machine_spill *s, struct message_ref *out, bool *more, struct error *e);
void machine_spill_close(struct machine_spill *s);

/* Index ranges below `below` in which no live message is left and that were not reported before, so that spilled bodies of
 * that range can be dropped. Returns how many were written to out (first, last pairs). */
size_t machine_dead_ranges(struct machine *m, uint64_t below, uint64_t (*out)[2], size_t max);
/* A range of those whose bodies could not be dropped: it is reported again. */
void machine_dead_again(struct machine *m, uint64_t first, uint64_t last);

#endif
