/* libhato: the client library of the Hato message broker.
 *
 * A client speaks to one broker (or to the first that answers of several) over one connection, which it opens, keeps
 * and reopens by itself. Every operation is a call: a function that takes the arguments, returns at once, and reports
 * exactly once what came of it. There are two ways to hear of it:
 *
 *   Asynchronous. Give the client your uv_loop_t, and each call a `done` callback. Any number of calls may be under way.
 *   Synchronous.  Give no loop: the client makes its own. Give a call no callback, and pass what it returns to
 *                 hato_wait(), which runs that loop until the reply is there:
 *
 *                     struct hato_reply *r = hato_wait(hato_send(client, "jobs", &message, 1, NULL, NULL));
 *
 * ERRORS. A call never fails on the spot: arguments that are wrong, a full buffer, a broker that refuses or cannot be
 * reached all come as `reply->error`, whose code is one of `enum hato_code`. A programmer's mistake (NULL where none is
 * allowed, waiting twice) ends the process with a message.
 *
 * OWNERSHIP. Arguments are copied before a call returns, and may be freed or changed at once. A reply given to a callback
 * lives until the callback returns; hato_reply_keep() makes it last. A reply from hato_wait() is the caller's, to be given
 * to hato_reply_destroy(). Text in replies is never NULL (it is "" where there is nothing) and ends with a zero byte.
 *
 * THREADS. A client, its calls and its streams belong to the thread that runs their loop. Two clients share nothing.
 * Callbacks come from the loop, never from inside a call; they may call anything here, hato_client_close() included (of a client on
 * the caller's loop), but not what runs the loop that they come from: hato_wait() and hato_client_destroy() on their own client.
 *
 * UNITS. Durations are milliseconds, points in time are milliseconds since 1970 UTC by the broker's clock, sizes are
 * bytes. The units end the names.
 *
 * LOST CONNECTIONS. Calls that were under way are not failed: they are repeated on the next connection, in their order,
 * until their timeout. Sends are repeated with the same producer id and sequence, so that each message is stored once (the broker
 * remembers a producer for an hour after its last send, for 5 minutes where it has 100,000 others: "sending once" in
 * proto/client.proto). A repeated ack, nack or cancel whose receipt or message is gone by then is reported as HATO_UNKNOWN_OUTCOME: most likely
 * the first one did it. What must not be done twice (purge, redrive, resuming a group, creating a function) is not repeated and reported
 * as HATO_UNKNOWN_OUTCOME too. A connection that died without a word (a machine that lost its power, a firewall that forgot) is
 * noticed within silence_max_ms of the first answer or delivery that is missed, and counts as lost.
 *
 * SEVERAL SERVERS. Any node of a cluster answers for all of them. One that is cut off from the majority can't: it answers
 * HATO_NOT_LEADER, each time after 10 s. A client that was given several servers leaves a node that answered so three times in a row
 * (some 30 s: all that was under way together counts as one; pings and status aside, which a node answers by itself): the connection counts as lost, and the next server is tried.
 *
 * BATCHING. Sends to one queue of one turn of the loop leave as one request, likewise acks, nacks and extends; all of a
 * turn leave with one write. Sends, acks, nacks and extends of one client for one queue
 * take effect in the order made within their kind, a cancel after all of them that were made before it. Any other call (create,
 * set, bind, delete, show, receive, ...) leaves after them, but may not know yet of what is not answered, and a send may overtake it:
 * wait for its reply where that matters, as for that of hato_queue_create before the first send. */
#ifndef HATO_H
#define HATO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HATO_VERSION "0.1.0"
#define HATO_DEFAULT_SERVER "127.0.0.1:9325"

#if defined(__GNUC__)
#define HATO_API __attribute__((visibility("default")))
#else
#define HATO_API
#endif

/* ---------------------------------------------------------------- errors */

/* The same numbers as on the wire. */
enum hato_code {
    HATO_OK = 0,
    HATO_INVALID = 1,          /* an argument is wrong; `field` names it, the message says the limit */
    HATO_NOT_FOUND = 2,        /* no such queue, function, message */
    HATO_EXISTS = 3,           /* exists already, with other settings */
    HATO_RECEIPT_STALE = 4,    /* the lease behind the receipt is over; another may have the message */
    HATO_RECEIPT_INVALID = 5,  /* not a receipt of this queue, or altered */
    HATO_LIMIT = 6,            /* a queue's limit is reached: retry later */
    HATO_TOO_LARGE = 7,        /* a message, batch or frame is above its limit */
    HATO_OVERLOADED = 8,       /* the broker, or this client's buffer, has too much in hand: retry later */
    HATO_STORAGE_FULL = 9,     /* no disk space for new messages; receive and ack still work: retry later */
    HATO_NOT_LEADER = 10,      /* this node can't decide now: retry */
    HATO_TIMEOUT = 11,         /* not answered in time; whether a change happened is unknown */
    HATO_UNKNOWN_OUTCOME = 12, /* the connection was lost and the request could not be repeated safely */
    HATO_UNAUTHENTICATED = 13,
    HATO_FORBIDDEN = 14,
    HATO_PROTOCOL = 15, /* what answers there does not speak Hato's protocol, or broke it */
    HATO_VERSION_MISMATCH = 16,
    HATO_CORRUPT = 17,
    HATO_IO = 18, /* the broker cannot be reached; the message has the reason */
    HATO_INTERNAL = 19,
    HATO_CONFLICT = 20,  /* the state forbids it now (still referenced, already running, in flight) */
    HATO_CLOSED = 21,    /* the client was closed first */
    HATO_CANCELLED = 22, /* by hato_call_cancel() */
    HATO_NO_MEMORY = 23
};

struct hato_error {
    int code;            /* HATO_OK when all went well */
    const char *field;   /* the argument at fault, "" when none is */
    const char *message; /* one sentence: what was wrong, the limit, what to do; "" when all went well */
};

/* The code's stable name in lower case ("receipt_stale"); "unknown" for a number that is none. */
HATO_API const char *hato_code_name(int code);

/* A sentence for people, where only a code is there (results of ack, cancel, ...). */
HATO_API const char *hato_code_text(int code);

/* Whether the same request may succeed later without a change. */
HATO_API bool hato_code_retryable(int code);

/* The library's version, "0.1.0". */
HATO_API const char *hato_version(void);

/* ---------------------------------------------------------------- client */

struct hato_client;
struct hato_call;
struct hato_stream;
struct hato_reply;

/* Called once for each call. `reply` lives until the callback returns. */
typedef void (*hato_done_cb)(void *user, const struct hato_reply *reply);

/* Tells of the connection: `connected` with no error, or lost or refused with the reason in `error` (lives until the
 * callback returns). For diagnostics: the client reconnects by itself. */
typedef void (*hato_connection_cb)(void *user, bool connected, const struct hato_error *error);

typedef void (*hato_closed_cb)(void *user);

/* All zero is a good choice everywhere: each field says what 0 or NULL means. */
struct hato_options {
    const char *server;  /* "HOST:PORT", or several with commas between, tried in turn; NULL: 127.0.0.1:9325 */
    const char *name;    /* of the program, for the broker's diagnostics; NULL: "libhato" */
    const char *account; /* NULL: 000000000000 */
    const char *region;  /* NULL: us-east-1 */
    /* Of each call, from when it is made, reconnecting included (see hato_receive); 0: 30 s. It ends with HATO_IO then
     * while there never was a connection, else with HATO_TIMEOUT. */
    uint64_t timeout_ms;
    uint64_t connect_timeout_ms; /* of one try to connect; 0: 5 s */
    uint64_t reconnect_min_ms;   /* first pause between tries; doubles, with jitter; 0: 50 ms */
    uint64_t reconnect_max_ms;   /* longest pause; 0: 5 s */
    uint64_t silence_max_ms;   /* of a broker that owes an answer or has a stream of ours, until the connection is given
                                         up and a new one opened; it is asked for a sign of life meanwhile; 0: 20 s */
    uint64_t first_connect_ms; /* while there never was a connection, calls fail with HATO_IO once tries have gone on
                                         for so long (1: at the first failure); 0: calls wait until their timeout */
    uint64_t pending_bytes_max;  /* of calls not answered; above it new ones fail with HATO_OVERLOADED; 0: 256 MiB */
    uint32_t batch_messages_max; /* calls of one turn put into one request; 1 to 1,000; 0: 1,000 */
    /* And its size; a larger message goes alone. 0: 128 KiB, so that the broker writes one while the next comes. */
    uint64_t batch_bytes_max;
    uint64_t producer;                /* 0: a random one. See "sending once" in proto/client.proto */
    bool send_unnumbered;             /* no producer id: a repeated send may be stored twice */
    hato_connection_cb on_connection; /* NULL: none */
    void *user;                       /* given to on_connection */
};

/* Makes a client on `loop`, or with a loop of its own when `loop` is NULL. Connecting begins in the loop's next turn. The
 * options are copied (NULL: all defaults). Returns NULL when an option is wrong (with the reason in `text`, when it is not
 * NULL, of `size` bytes) or no loop can be made. The client keeps the loop running until it is closed. Where SIGPIPE would
 * end the process it is set to be ignored from here on, since a broker that goes away must not. */
HATO_API struct hato_client *hato_client_create(uv_loop_t *loop, const struct hato_options *options, char *text,
                                                size_t size);

/* Closes a client on the caller's loop (one with a loop of its own is destroyed): calls and streams under way end with HATO_CLOSED (each callback once), then `closed`
 * (may be NULL) is called, after which the client is gone. Calls made after this also end with HATO_CLOSED as long as the
 * client is there, and keep it there until their callbacks have come: who answers HATO_CLOSED with another call keeps it for
 * ever. What was sent but not answered may have been done. Nothing is called from inside. */
HATO_API void hato_client_close(struct hato_client *client, hato_closed_cb closed, void *user);

/* Closes a client with its own loop and waits for that; callbacks still due are called from inside. Not to be
 * called from a callback of this client. Accepts NULL. */
HATO_API void hato_client_destroy(struct hato_client *client);

HATO_API uv_loop_t *hato_client_loop(struct hato_client *client);
HATO_API bool hato_client_connected(const struct hato_client *client);

/* Calls not answered yet: what to look at to keep a window (1,000 sends under way is a good one). */
HATO_API size_t hato_client_pending(const struct hato_client *client);

/* ---------------------------------------------------------------- calls */

/* Replaces the client's timeout for this call: from now, 0 for none. Not after it is done. A receive's timeout counts from
 * the end of its waiting time while the broker has it in hand. */
HATO_API void hato_call_timeout(struct hato_call *call, uint64_t timeout_ms);

/* Ends the call with HATO_CANCELLED in a later turn, unless it is answered first. Does not undo what was sent: whether a
 * change happened is unknown. Messages that a cancelled receive still brings are given back, uncounted. */
HATO_API void hato_call_cancel(struct hato_call *call);

/* For a call without callback on a client with its own loop: runs the loop until the call is done; `call` is gone then.
 * Callbacks of other calls come meanwhile. Not to be called from a callback. Returns the reply, never NULL. */
HATO_API struct hato_reply *hato_wait(struct hato_call *call);

/* A `done` that does nothing, for those who don't care. */
HATO_API void hato_ignore(void *user, const struct hato_reply *reply);

/* Makes a reply outlive the callback it was given to (call it there only, once). To be destroyed. */
HATO_API struct hato_reply *hato_reply_keep(const struct hato_reply *reply);
HATO_API void hato_reply_destroy(struct hato_reply *reply); /* accepts NULL */

/* ---------------------------------------------------------------- messages */

struct hato_bytes {
    const void *data;
    size_t len;
};

enum hato_attribute_type {
    HATO_TEXT = 0,
    HATO_NUMBER = 1, /* decimal text of at most 64 characters, so that no precision is lost */
    HATO_BINARY = 2
};

struct hato_attribute {
    const char *name; /* 1 to 256 of A-Z a-z 0-9 _ - . ; not starting with "hato.", "AWS." or "Amazon." */
    enum hato_attribute_type type;
    const void *value; /* `value_len` bytes; in replies a zero byte follows them */
    size_t value_len;
    const char *type_suffix; /* a label after the type, as in SQS's "Number.float"; NULL or "": none */
};

/* Where a message that was moved (dead-lettered, redriven) has been. */
struct hato_provenance {
    const char *source_queue; /* by its plain name; of another account or region as "account:region:name" */
    const char *message_id;   /* its id there */
    uint64_t sent_ms;         /* when it was first sent */
    uint32_t attempts;        /* receives it had there */
    uint64_t first_received_ms;
    uint64_t moved_ms;
    const char *reason;     /* "max-receives" (dead-lettered) or "redrive" */
    const char *last_error; /* as given with the last nack, or by the function */
    uint32_t last_status;   /* HTTP status of the last attempt, 0 when there was none */
};

/* What a sender gives (text that is NULL counts as ""), and a receiver gets back. */
struct hato_message {
    const void *body; /* `body_len` bytes; in replies a zero byte follows them */
    size_t body_len;
    const struct hato_attribute *attributes; /* at most 64; names distinct */
    size_t attribute_count;
    const char *group;            /* order (FIFO queue) or fairness (standard queue); at most 128 bytes; those
                                                 without are one group of their own, in order in a FIFO queue */
    const char *deduplication_id; /* at most 128 bytes */
    const char *traceparent;      /* W3C trace context; reaches the function; one whose trace or parent id
                                                 is zeros alone, or of version ff, is refused as W3C has it */
    uint64_t delay_ms;            /* not to be received earlier; 0: the queue's delay; at most 10 years */
    uint64_t not_before_ms;       /* a point in time instead of a delay; 0: none */
    bool no_delay;                /* overrides the queue's delay with none */
    uint32_t priority; /* 0 (lowest) to 7, strict but for each 16th turn, the lowest's; standard queues only */
    const struct hato_provenance *provenance; /* in replies, NULL unless moved; ignored when sending */
};

/* One message as received. */
struct hato_delivery {
    struct hato_bytes receipt; /* the token for ack, nack and extend; at most 64 bytes, of any value */
    const char *message_id;
    uint64_t sequence; /* grows within a queue; the order of a FIFO queue */
    uint64_t sent_ms;
    uint32_t receive_count; /* 1 on the first receive */
    uint64_t first_received_ms;
    uint64_t lease_until_ms;
    struct hato_message message;
};

/* What became of one message of a send. */
struct hato_sent {
    struct hato_error error; /* HATO_OK: it is stored, durably */
    const char *message_id;
    uint64_t sequence; /* as hato_delivery's */
    bool duplicate; /* stored by an earlier send; id and sequence are that one's, or "" and 0 when they are forgotten */
};

/* Sends `count` messages (1 to 1,000) to a queue: reply->sent[0 to count-1]. reply->error is the first message's that was
 * not stored, HATO_OK when all were. */
HATO_API struct hato_call *hato_send(struct hato_client *client, const char *queue, const struct hato_message *messages,
                                     size_t count, hato_done_cb done, void *user);

struct hato_receive_options {
    uint32_t max_messages;  /* 1 to 1,000; 0: 1 */
    bool has_visibility;    /* false: the queue's visibility timeout */
    uint64_t visibility_ms; /* 0 to 7 days */
    bool has_wait;          /* false: the queue's waiting time */
    uint64_t wait_ms;       /* to wait for a first message; 0 to 1 hour */
    uint64_t max_bytes;     /* 0: as much as a reply takes, 32 MiB; one message is always given */
};

/* Leases up to max_messages: reply->deliveries, none when nothing came in time. `options` may be NULL. While the
 * connection that it was sent on lasts, its timeout counts from the end of the waiting time: of an hour, the longest there is, without
 * has_wait, since the client does not know the queue's own. Without a connection the timeout counts alone: from the call, or from
 * when the connection was lost (silence_max_ms after the broker's last sign of life at the latest). On the next connection the
 * receive waits anew, but no more than twice as long in all. */
HATO_API struct hato_call *hato_receive(struct hato_client *client, const char *queue,
                                        const struct hato_receive_options *options, hato_done_cb done, void *user);

/* Settling: `count` receipts (1 to 1,000), reply->codes[0 to count-1], each HATO_OK, HATO_RECEIPT_STALE,
 * HATO_RECEIPT_INVALID, ... reply->error is the first that is not HATO_OK. */

/* Done with the messages: they are deleted. A lease that ran out (at once with a visibility of 0) does no harm as long as nobody
 * has received the message again. */
HATO_API struct hato_call *hato_ack(struct hato_client *client, const char *queue, const struct hato_bytes *receipts,
                                    size_t count, hato_done_cb done, void *user);

struct hato_nack_options {
    uint64_t delay_ms; /* before they may be received again; at most 7 days */
    const char *error; /* kept as the messages' last error; cut at 1 KiB, at a whole character; NULL: none */
    uint32_t status;   /* a status kept with it, 0: none */
    bool uncounted;    /* this receive does not count: the messages were not tried */
};

/* Gives messages back. `options` may be NULL: at once, counted. */
HATO_API struct hato_call *hato_nack(struct hato_client *client, const char *queue, const struct hato_bytes *receipts,
                                     size_t count, const struct hato_nack_options *options, hato_done_cb done,
                                     void *user);

/* Makes leases last `visibility_ms` (at most 7 days) from now. */
HATO_API struct hato_call *hato_extend(struct hato_client *client, const char *queue, const struct hato_bytes *receipts,
                                       size_t count, uint64_t visibility_ms, hato_done_cb done, void *user);

/* Deletes messages that nobody holds, by id (1 to 1,000): reply->codes, each HATO_OK, HATO_NOT_FOUND, HATO_CONFLICT (in
 * flight, or moving), HATO_INVALID. */
HATO_API struct hato_call *hato_cancel(struct hato_client *client, const char *queue, const char *const *message_ids,
                                       size_t count, hato_done_cb done, void *user);

/* ---------------------------------------------------------------- streams */

/* Messages as they come, without asking. `deliveries` live until the callback returns. */
typedef void (*hato_delivery_cb)(void *user, struct hato_stream *stream, const struct hato_delivery *deliveries,
                                 size_t count);

/* The stream is over, and gone after this call (callbacks of acks that come later must not touch it): HATO_OK after
 * hato_stream_close(), else why (HATO_NOT_FOUND, ...). */
typedef void (*hato_stream_end_cb)(void *user, const struct hato_error *error);

struct hato_stream_options {
    uint32_t credit;        /* messages the broker may deliver before it must be given more; 1 to 100,000; 0: 1,000 */
    uint32_t max_batch;     /* messages in one callback; 1 to 1,000; 0: 100 */
    bool has_visibility;    /* false: the queue's visibility timeout */
    uint64_t visibility_ms; /* 0 to 7 days */
};

/* Opens a stream of a queue's messages. It is opened again after a lost connection, and when the broker ends it for a
 * reason that passes. Messages are leased as with hato_receive(), and settled in the same way: leases do not depend on the
 * connection. Every message uses up one credit; hato_stream_credit() adds more, typically as messages are settled, so
 * that the first credit is the number of messages in hand at once. */
HATO_API struct hato_stream *hato_stream_open(struct hato_client *client, const char *queue,
                                              const struct hato_stream_options *options, hato_delivery_cb on_delivery,
                                              hato_stream_end_cb on_end, void *user);

/* Adds credit, told to the broker once in a turn. Credit above 100,000 is cut. Not after hato_stream_close(). */
HATO_API void hato_stream_credit(struct hato_stream *stream, uint32_t more);

/* Ends the stream: no delivery is handed over after this; messages that were on their way are given back uncounted; on_end
 * comes in a later turn. What was handed over stays leased. */
HATO_API void hato_stream_close(struct hato_stream *stream);

/* ---------------------------------------------------------------- looking at messages */

enum hato_which {
    HATO_PEEK_ALL = 0,
    HATO_PEEK_READY = 1,
    HATO_PEEK_IN_FLIGHT = 2,
    HATO_PEEK_DELAYED = 3,
    HATO_PEEK_HALTED_AT = 4, /* the messages at which groups of a FIFO queue halted */
};

struct hato_peek_options {
    uint32_t max_messages; /* 1 to 1,000; 0: 10 */
    const char *after;     /* message id to go on from; NULL: the first */
    enum hato_which which;
    const char *group; /* only this group; NULL: all */
};

struct hato_peeked {
    const char *message_id;
    uint64_t sequence;
    const char *state; /* "ready", "in-flight", "delayed", "halted" (ready, but its group is halted), "moving" (to the
                        * dead-letter queue, which does not have it yet) */
    uint64_t sent_ms;
    uint32_t receive_count;
    uint64_t due_ms;    /* end of the lease or delay */
    uint64_t halted_ms; /* its group halted at this message then; 0: it did not */
    const char *last_error;
    struct hato_message message;
};

/* Looks without receiving: reply->peeked, and reply->next for the `after` of the next page. A page may be empty and another follow: the
 * broker looks at so many messages for one. */
HATO_API struct hato_call *hato_peek(struct hato_client *client, const char *queue,
                                     const struct hato_peek_options *options, hato_done_cb done, void *user);

/* ---------------------------------------------------------------- queues */

enum hato_queue_kind { HATO_STANDARD = 0, HATO_FIFO = 1 };
/* What becomes of a message that used up its receives: it goes to the dead-letter queue (without one it stays), or, in FIFO
 * queues only, its group stops there until hato_group_resume, or until it is gone (hato_cancel, redrive, purge, retention). */
enum hato_exhausted { HATO_DEAD_LETTER = 0, HATO_HALT_GROUP = 1 };
enum hato_deduplication_scope { HATO_SCOPE_QUEUE = 0, HATO_SCOPE_GROUP = 1 };

struct hato_group_weight {
    const char *group;
    uint32_t weight; /* 1 to 1,000; a group that is not listed has 1 */
};

/* Bits of hato_binding_settings.present. */
enum {
    HATO_BINDING_BATCH_SIZE = 1 << 0,
    HATO_BINDING_WINDOW = 1 << 1,
    HATO_BINDING_MAX_CONCURRENCY = 1 << 2,
    HATO_BINDING_PAUSED = 1 << 3
};

/* How a queue's messages go to its function. A field counts where its bit is in `present`; else the default (when binding
 * anew) or what was there. */
struct hato_binding_settings {
    uint32_t present;
    uint32_t batch_size;      /* 1 to 1,000; default 10 */
    uint64_t window_ms;       /* how long to wait for a full batch; 0 to 5 minutes; default 0 */
    uint32_t max_concurrency; /* batches out at once; 1 to 10,000; default 1,000 */
    bool paused;
};

/* Bits of hato_queue_settings.present. */
enum {
    HATO_QUEUE_KIND = 1 << 0,
    HATO_QUEUE_VISIBILITY = 1 << 1,
    HATO_QUEUE_DELAY = 1 << 2,
    HATO_QUEUE_RETENTION = 1 << 3,
    HATO_QUEUE_MAX_MESSAGE_BYTES = 1 << 4,
    HATO_QUEUE_MAX_MESSAGES = 1 << 5,
    HATO_QUEUE_MAX_BYTES = 1 << 6,
    HATO_QUEUE_MAX_IN_FLIGHT = 1 << 7,
    HATO_QUEUE_RECEIVE_WAIT = 1 << 8,
    HATO_QUEUE_DEAD_LETTER = 1 << 9,
    HATO_QUEUE_MAX_RECEIVES = 1 << 10,
    HATO_QUEUE_ON_EXHAUSTED = 1 << 11,
    HATO_QUEUE_CONTENT_DEDUPLICATION = 1 << 12,
    HATO_QUEUE_DEDUPLICATION_WINDOW = 1 << 13,
    HATO_QUEUE_DEDUPLICATION_SCOPE = 1 << 14,
    HATO_QUEUE_GROUP_WEIGHTS = 1 << 15, /* replaces the list; with a count of 0, clears it */
    HATO_QUEUE_FUNCTION = 1 << 16,
    HATO_QUEUE_BINDING = 1 << 17,
    HATO_QUEUE_USER_DATA = 1 << 18
};

/* A field counts where its bit is in `present`; else the default (when creating) or what was there (when setting). In
 * replies all bits are there that the broker told. */
struct hato_queue_settings {
    uint32_t present;
    enum hato_queue_kind kind;  /* fixed at creation */
    uint64_t visibility_ms;     /* 0 to 7 days; default 30 s */
    uint64_t delay_ms;          /* 0 to 10 years; default 0 */
    uint64_t retention_ms;      /* 1 s to 10 years; default 4 days; from when a message is first available */
    uint64_t max_message_bytes; /* 1 to 64 MiB; default 1 MiB; body and attributes */
    uint64_t max_messages;      /* 0: no limit */
    uint64_t max_bytes;         /* 0: no limit */
    uint32_t max_in_flight;     /* 1 to 10 million; default 120,000 */
    uint64_t receive_wait_ms;   /* of a receive that names none; 0 to 1 hour; default 0 */
    const char *dead_letter;    /* queue; "" removes it; one that is not there is made along, with the defaults and a
                                   retention of 14 days, and so by a dead letter that finds it deleted */
    /* 1 to 1,000,000; default 10; counts where there is a dead-letter queue or groups halt. Asked when a receive ends: what had more of them
     * already when it was lowered, or was refused by a full dead-letter queue, is given out once more. */
    uint32_t max_receives;
    enum hato_exhausted on_exhausted;
    bool content_deduplication;       /* SHA-256 of the body where no deduplication id is given */
    uint64_t deduplication_window_ms; /* 1 s to 7 days; default 5 minutes */
    enum hato_deduplication_scope deduplication_scope;
    const struct hato_group_weight *group_weights; /* at most 1,000 */
    size_t group_weight_count;
    const char *function; /* bound to it; "" when none is */
    struct hato_binding_settings binding;
    struct hato_bytes user_data; /* kept for front ends; at most 64 KiB */
};

struct hato_counts {
    uint64_t ready;
    uint64_t in_flight;
    uint64_t delayed;
    uint64_t bytes;          /* of the messages of all three and of dead letters that move, as they are stored */
    uint64_t oldest_sent_ms; /* of what is ready or in flight; 0 when nothing is */
    /* On the way to another queue, not yet there. A dead letter keeps its place meanwhile, and counts towards the limits of its queue; on a
     * FIFO queue its group waits. One that is refused there (its queue is full) is given out again after 10 s, as it was. */
    uint64_t moving;
    uint64_t halted_groups;
    uint64_t sent_total;     /* these since the queue was created */
    uint64_t received_total; /* also those that did not count for their message, as of an endpoint that was down */
    uint64_t acked_total;
    uint64_t dead_lettered_total;        /* of its messages, that arrived in its dead-letter queue */
    uint64_t dead_letters_refused_total; /* times that its dead-letter queue took none: it is full */
    uint64_t expired_total;
};

/* Messages that waited less than `upper_ms`, beyond those of the bucket before; 0 in the last: no bound. */
struct hato_bucket {
    uint64_t upper_ms;
    uint64_t count;
};

/* Time between send and first receive. */
struct hato_histogram {
    const struct hato_bucket *buckets;
    size_t bucket_count;
    uint64_t count;
    uint64_t sum_ms;
};

struct hato_queue {
    const char *name;
    const char *arn;
    uint32_t shard;
    struct hato_queue_settings settings; /* every field present */
    struct hato_counts counts;
    uint64_t created_ms;
    uint64_t modified_ms;
    struct hato_histogram waited; /* since this node leads the shard; empty in lists */
};

/* reply->queues[0] is the queue, for create, set, show, bind and unbind. `settings` may be NULL. */
HATO_API struct hato_call *hato_queue_create(struct hato_client *client, const char *name,
                                             const struct hato_queue_settings *settings, hato_done_cb done, void *user);
HATO_API struct hato_call *hato_queue_set(struct hato_client *client, const char *name,
                                          const struct hato_queue_settings *settings, hato_done_cb done, void *user);
HATO_API struct hato_call *hato_queue_show(struct hato_client *client, const char *name, hato_done_cb done, void *user);
HATO_API struct hato_call *hato_queue_delete(struct hato_client *client, const char *name, hato_done_cb done,
                                             void *user);

/* Deletes all messages: reply->purged. Of those that move to a dead-letter queue one that is being handed over just then may still
 * arrive; what a redrive took of a standard queue has left already. */
HATO_API struct hato_call *hato_queue_purge(struct hato_client *client, const char *name, hato_done_cb done,
                                            void *user);

/* A group of a FIFO queue that was halted at a message (on_exhausted) goes on; the message's receives count anew. */
HATO_API struct hato_call *hato_group_resume(struct hato_client *client, const char *queue, const char *group,
                                             hato_done_cb done, void *user);

struct hato_list_options {
    const char *prefix; /* queues only; NULL: all */
    const char *after;  /* name to go on from; NULL: the first */
    uint32_t max;       /* 1 to 1,000; 0: 100 */
};

/* A page by name: reply->queues, and reply->next for the `after` of the next page. `options` may be NULL. */
HATO_API struct hato_call *hato_queue_list(struct hato_client *client, const struct hato_list_options *options,
                                           hato_done_cb done, void *user);

/* ---------------------------------------------------------------- redrive */

struct hato_redrive_options {
    const char *destination; /* NULL: each message to the queue it came from */
    const char *reason;      /* only those whose last error contains this; NULL: all */
    double rate;             /* messages a second; 0: as fast as it goes */
};

struct hato_redrive {
    const char *id;
    const char *queue;
    const char *destination;
    const char *reason;
    double rate;
    const char *state; /* "running", "completed", "cancelled" */
    uint64_t moved;
    /* Did not match, was in flight or delayed (FIFO: or behind such a one), has no queue to go to, or was refused by it. */
    uint64_t skipped;
    uint64_t total; /* messages in the queue when it began */
    uint64_t started_ms;
    uint64_t ended_ms;
};

/* What is in flight or delayed stays, and what is refused where it is to go; on a FIFO queue the rest of its group with it, so that the
 * group's order is kept: start another redrive when it is free again. It is "running" until all that moves has arrived or is back.
 * reply->redrives: the one started or cancelled; of list the newest first, at most 10. `options` may be NULL. */
HATO_API struct hato_call *hato_redrive_start(struct hato_client *client, const char *queue,
                                              const struct hato_redrive_options *options, hato_done_cb done,
                                              void *user);
HATO_API struct hato_call *hato_redrive_cancel(struct hato_client *client, const char *queue,
                                               const char *id /* NULL: the running one */, hato_done_cb done,
                                               void *user);
HATO_API struct hato_call *hato_redrive_list(struct hato_client *client, const char *queue, hato_done_cb done,
                                             void *user);

/* ---------------------------------------------------------------- functions */

enum hato_format {
    HATO_RAW =
        0, /* one message a request, the body as it is; attributes as headers hato-attr-NAME, but for binary ones and
                     those that can't stand in a header, which are left out */
    HATO_LAMBDA = 1, /* the SQS event of AWS Lambda, with all attributes; partial batch failures honoured */
    HATO_CLOUDEVENTS =
        2, /* CloudEvents 1.0, binary mode, one message a request; attributes become extensions where their
                             names are letters and digits alone (in lower case then), others are left out */
    HATO_CLOUDEVENTS_STRUCTURED =
        3 /* the same, structured mode: a body whose content type is JSON is `data` as JSON, one of
                                       text as a string, any other `data_base64` */
};

/* Bits of hato_function_settings.present. */
enum {
    HATO_FUNCTION_URL = 1 << 0,
    HATO_FUNCTION_FORMAT = 1 << 1,
    HATO_FUNCTION_TIMEOUT = 1 << 2,
    HATO_FUNCTION_MAX_CONCURRENCY = 1 << 3,
    HATO_FUNCTION_RETRY_MIN = 1 << 4,
    HATO_FUNCTION_RETRY_MAX = 1 << 5,
    HATO_FUNCTION_HEADERS = 1 << 6, /* replaces the list; with a count of 0, clears it */
    HATO_FUNCTION_SECRETS = 1 << 7, /* likewise */
    HATO_FUNCTION_CONTENT_TYPE = 1 << 8,
    HATO_FUNCTION_RATE = 1 << 9
};

/* As with queues, a field counts where its bit is in `present`. */
struct hato_function_settings {
    uint32_t present;
    const char *url; /* http or https */
    enum hato_format format;
    uint64_t timeout_ms;        /* 100 ms to 1 hour; default 30 s */
    uint32_t max_concurrency;   /* of a node, over all queues; 1 to 10,000; default 1,000 (Lambda emulator: 1) */
    uint64_t retry_min_ms;      /* first retry delay; default 1 s */
    uint64_t retry_max_ms;      /* its cap; default 5 minutes */
    const char *const *headers; /* "Name: value"; at most 32 */
    size_t header_count;
    const char *const *secrets; /* Standard Webhooks "whsec_...", newest first; at most 2; never in replies */
    size_t secret_count;
    const char *content_type; /* of bodies: of raw requests, and of CloudEvents whose message has no text attribute
                                 content-type; default application/octet-stream */
    double rate;              /* requests a second of a node at most; 0: no limit */
};

struct hato_attempt {
    uint64_t started_ms;
    uint64_t duration_ms;
    uint32_t status;          /* HTTP status; 0 when there was no answer */
    const char *error;        /* why there was none */
    struct hato_bytes answer; /* its first 256 bytes */
    uint32_t messages;
    const char *queue;
};

struct hato_function {
    const char *name;
    struct hato_function_settings settings; /* secrets left out */
    const char *const *queues;              /* bound to it: 1,000 at most of show, else 100 */
    size_t queue_count;
    uint64_t queues_total; /* of all that are bound to it */
    uint64_t created_ms;
    uint64_t modified_ms;
    const char *state; /* "idle", "delivering", "open" (the endpoint is down), "gone" (it answered 410), "paused" */
    uint32_t in_flight;
    uint32_t window;          /* requests allowed at once now */
    uint64_t delivered_total; /* messages, since the nodes that lead its queues began to */
    uint64_t failed_total;
    const char *last_error;
    uint64_t retry_at_ms;                /* when the next probe of an endpoint that is down goes out */
    const struct hato_attempt *attempts; /* newest first, at most 50; of show only */
    size_t attempt_count;
    bool partial; /* from `state` on it lacks what a node of the cluster knows that did not answer in time */
};

/* reply->functions[0] is the function, for create, set and show. */
HATO_API struct hato_call *hato_function_create(struct hato_client *client, const char *name,
                                                const struct hato_function_settings *settings, hato_done_cb done,
                                                void *user);
HATO_API struct hato_call *hato_function_set(struct hato_client *client, const char *name,
                                             const struct hato_function_settings *settings, hato_done_cb done,
                                             void *user);
HATO_API struct hato_call *hato_function_show(struct hato_client *client, const char *name, hato_done_cb done,
                                              void *user);
HATO_API struct hato_call *hato_function_delete(struct hato_client *client, const char *name, hato_done_cb done,
                                                void *user);

/* A page by name: reply->functions and reply->next. `options` may be NULL; its prefix is not used. */
HATO_API struct hato_call *hato_function_list(struct hato_client *client, const struct hato_list_options *options,
                                              hato_done_cb done, void *user);

/* Pushes a queue's messages to a function, or changes how. `settings` may be NULL. Pause and resume are `paused`, which stays when another
 * function is bound. */
HATO_API struct hato_call *hato_bind(struct hato_client *client, const char *queue, const char *function,
                                     const struct hato_binding_settings *settings, hato_done_cb done, void *user);
HATO_API struct hato_call *hato_unbind(struct hato_client *client, const char *queue, hato_done_cb done, void *user);

/* ---------------------------------------------------------------- the broker */

/* A replica of a shard, as its leader sees it. */
struct hato_replica {
    uint64_t node;
    bool voter;        /* false: it gets the log and has no vote */
    const char *state; /* "leader", "replicating", "probing" (where its log ends), "snapshot" (on its way), "silent" */
    uint64_t matched;  /* its log is known to be on disk up to here */
};

struct hato_shard {
    uint32_t shard;
    const char *role; /* "leader", "follower", "candidate", "stopped" */
    uint64_t leader;
    uint64_t term;
    uint64_t commit;
    uint64_t applied;
    uint64_t durable; /* applied and flushed to the store */
    uint64_t queues;
    const char *problem;                 /* why it is stopped */
    const struct hato_replica *replicas; /* where the node leads it; else none */
    size_t replica_count;
    uint64_t placed_version; /* likewise: of the plan that they are as, for good; 0: not yet */
};

struct hato_status {
    const char *version;
    uint64_t node;
    uint64_t started_ms;
    uint64_t now_ms;
    uint64_t queues;
    uint64_t functions;
    uint64_t connections;
    uint64_t log_bytes;
    uint64_t store_bytes;
    uint64_t disk_free_bytes;
    uint64_t memory_bytes;
    bool accepts_sends; /* false: disk full */
    struct hato_counts totals;
    const struct hato_shard *shards;
    size_t shard_count;
};

struct hato_node {
    uint64_t node;
    const char *peer_address;         /* where other nodes find it; "" of a node by itself */
    const char *client_address;       /* where clients do, as it said when it was last met; "" when that is not known */
    const struct hato_status *status; /* NULL: it did not answer */
    const char *problem;              /* why it did not */
    const char *zone;                 /* "": none */
    bool drains;                      /* it is to have no vote and no lead */
    uint64_t since;                   /* the change with which it was added; 0: a founder */
};

struct hato_plan {
    const uint64_t *voters; /* who is to have a vote in the shard; every other node has it as a learner */
    size_t voter_count;
    uint64_t lead; /* who is to lead it where it can */
};

struct hato_cluster {
    const char *cluster; /* its id */
    uint64_t node;       /* that was asked */
    const struct hato_node *nodes;
    size_t node_count;
    uint64_t version;              /* of the last change that the node has heard of; 0: none */
    const struct hato_plan *plans; /* by shard; none: as their founders are */
    size_t plan_count;
    uint32_t replicas; /* that a shard is to have; 0: as founded */
};

/* What hato_node_set changes: only what is given. */
struct hato_node_change {
    const char *peer_address; /* NULL: stays */
    const char *zone;         /* NULL: stays; "": none */
    enum { HATO_NODE_STAYS, HATO_NODE_DRAINS, HATO_NODE_SERVES } drain;
    bool fewer_replicas; /* shards may have fewer because of it */
};

/* All nodes, asked by the one that is connected: reply->cluster. Takes up to two seconds where one does not answer. */
HATO_API struct hato_call *hato_cluster_status(struct hato_client *client, hato_done_cb done, void *user);

/* Changes of the cluster, which go on while it serves: reply->version, and hato_cluster_status tells how far it is. HATO_CONFLICT where
 * the nodes can't be changed so, with what to do first. A node that is added is then to be started, to join. */
HATO_API struct hato_call *hato_node_add(struct hato_client *client, uint64_t node, const char *peer_address,
                                         const char *zone, hato_done_cb done, void *user);
HATO_API struct hato_call *hato_node_set(struct hato_client *client, uint64_t node,
                                         const struct hato_node_change *change, hato_done_cb done, void *user);
HATO_API struct hato_call *hato_node_remove(struct hato_client *client, uint64_t node, hato_done_cb done, void *user);
/* `node` leads the shard where it can; 0: as that spreads leads best. */
HATO_API struct hato_call *hato_shard_lead(struct hato_client *client, uint32_t shard, uint64_t node, hato_done_cb done,
                                           void *user);

HATO_API struct hato_call *hato_status(struct hato_client *client, hato_done_cb done, void *user); /* reply->status */
HATO_API struct hato_call *hato_ping(struct hato_client *client, hato_done_cb done,
                                     void *user); /* nothing but HATO_OK */

/* ---------------------------------------------------------------- replies */

/* What came of a call. Each function above says which fields it fills; the others are 0 or NULL, `next` is "". */
struct hato_reply {
    struct hato_error error;
    const struct hato_sent *sent;
    size_t sent_count;
    const int *codes; /* enum hato_code */
    size_t code_count;
    const struct hato_delivery *deliveries;
    size_t delivery_count;
    const struct hato_peeked *peeked;
    size_t peeked_count;
    const struct hato_queue *queues;
    size_t queue_count;
    const struct hato_function *functions;
    size_t function_count;
    const struct hato_redrive *redrives;
    size_t redrive_count;
    const struct hato_status *status;
    const struct hato_cluster *cluster;
    uint64_t version; /* of a change of the cluster */
    uint64_t purged;
    const char *next; /* of a page; "" at the end */
};

#ifdef __cplusplus
}
#endif

#endif
