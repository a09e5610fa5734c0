/* The native protocol (proto/client.proto): connections, their requests, and the way of a request to its shard and back. */
#ifndef HATO_PROTOCOL_NATIVE_H
#define HATO_PROTOCOL_NATIVE_H

#include <stdatomic.h>

#include "base/arena.h"
#include "base/list.h"
#include "cluster/node.h"
#include "net/alarm.h"
#include "net/stream.h"

enum {
    NATIVE_FRAME_MAX = 68 * 1024 * 1024,
    NATIVE_RELAYED_MORE = 16, /* that another node may add to a request that it passes on: its own number for it */
    NATIVE_REQUEST_MAX = 1024 * 1024,      /* of a frame of any request but Send; the largest settings take a fifth */
    NATIVE_REQUEST_FIELDS_MAX = 1000,      /* of Request itself, in any frame; and of Send beside its messages */
    NATIVE_MESSAGE_MAX = 64 * 1024 * 1024, /* ceiling of every queue */
    NATIVE_REQUESTS_MAX = 65536,           /* of one connection, under way; beyond: it is not read */
    NATIVE_LONG_MAX = 64,                  /* of them such as wait for their turn in native_long.c; beyond: likewise */
    /* of them streams and receives that may wait: few enough for the others to bring a connection that is not read back below the
     * half at which it is read again */
    NATIVE_WAITING_MAX = 16384,
    NATIVE_WAITING_FRAME_MAX = 4096, /* of a request that opens one: its frame is not counted while it waits */
    NATIVE_REQUEST_BYTES_MAX = 64 * 1024 * 1024,
    NATIVE_UNFINISHED_BYTES_MAX = 512 * 1024 * 1024, /* of frames not yet whole, of all connections; beyond: refused */
    /* of replies not read by their peers, of all connections: native_unsent.c */
    NATIVE_UNSENT_BYTES_MAX = 512 * 1024 * 1024,
    NATIVE_UNSENT_REPLY_MAX = 256 * 1024, /* of a reply while there is more than half of that; at least a message */
    NATIVE_UNSENT_AGAIN_MS = 50,          /* between looks whether there is less */
    NATIVE_UNSENT_LOOK_MS = 1000,         /* between looks for who reads nothing */
    NATIVE_UNSENT_DEAF_MS = 30 * 1000,    /* who reads nothing for as long, while there is all of that, is closed */
    NATIVE_FULL_TOLD_MS = 60 * 1000,      /* between lines of log about connections that are refused */
    NATIVE_PREFACE_MS = 10 * 1000,        /* a connection that has not sent its first bytes by then is closed */
};

/* What is known of a function where its queues are led; filled by the layer that delivers. */
struct function_activity {
    bool known;        /* a queue is bound to it there */
    const char *state; /* "idle", "delivering", "open", "gone", "paused" */
    uint32_t in_flight, window;
    uint64_t delivered_total, failed_total, retry_at_ms;
    const char *last_error;
    struct Hato__Attempt **attempts; /* newest first */
    size_t attempt_count;
};

/* What the protocol needs of the layers beside it. */
struct native_services {
    void *ctx;
    /* On that seat's thread; texts and attempts go to the arena. */
    void (*function_activity)(void *ctx, struct seat *seat, const char *function, struct arena *arena,
                              struct function_activity *out);
};

/* One for each node. */
struct native {
    struct node *node;
    const struct native_services *services;
    struct native_seat **seats; /* by number */
    struct trace *trace;        /* may be NULL */
    struct stream_budget unfinished;
    struct stream_budget unsent; /* what streams hold, and replies on the way to them */
    /* what replies to requests under way may take, of those that answer with settings */
    atomic_uint_least64_t promised;
    uint32_t connections_max; /* beyond, a new one is told ERR_OVERLOADED and closed */
    const char *account;      /* of connections that name none */
    const char *region;
    atomic_uint_least64_t full_told_ms; /* loop time when it was last logged that there is room for no more; 0: never */
    atomic_uint_least64_t connections;
    atomic_uint_least64_t connections_total;
    atomic_uint_least64_t requests_total;
    atomic_uint_least64_t refused_total;
};

/* The native side of one seat. */
struct native_seat {
    struct native *native;
    struct seat *seat;
    struct alarms alarms;
    struct listener listener;
    bool listening;
    bool closing;
    bool listener_closed;
    struct list sessions;
    struct list unsent_waits; /* struct unsent_wait */
    struct list long_looks;   /* ops that want to look at a shard of this seat, one a turn */
    struct mail long_mail;
    struct alarm unsent_again;
    struct alarm unsent_look;
    bool unsent_full;     /* as of the last look */
    struct alarm give_up; /* on peers that don't read, when closing */
    size_t session_count; /* also those whose connection is gone and whose requests are not home yet */
    void (*closed)(struct native_seat *ns);
};

uint64_t resident_bytes(void); /* of this process */

int native_seat_open(struct native_seat *ns, struct native *native, struct seat *seat, const char *address, bool share,
                     struct error *e);
/* Takes over a connection over which another node passes on requests of a client of its own; `rest` is what of it was read
 * already. Does nothing when it is closing. */
void native_seat_adopt(struct native_seat *ns, struct stream *from, struct bytes rest);
int native_seat_start(struct native_seat *ns, struct error *e);
void native_seat_close(struct native_seat *ns, void (*closed)(struct native_seat *ns));
/* Once all seats are closed: receives of other seats' connections wait here until then. */
void native_seat_end(struct native_seat *ns);

#endif
