/* A client: what is shared by its calls, requests, batches, streams and its one link.
 *
 * The way of a call: operation.c makes it (call.c) and puts it into a request (request.c), for sends and settlements into
 * one that others of the turn share (batch.c). At the end of the turn the requests are written to the link (link.c), which
 * reach.c opens and reopens. What the broker answers is unpacked into the client's arena (decode.c) and handed to the
 * calls (answer.c); arena and reply end when the callbacks have returned, unless somebody keeps them (reply.c).
 *
 * Everything belongs to the loop's thread. User callbacks are called from two places only: the turn (client_turn) and a
 * frame's arrival (answer_frame); no state is held in local variables across them that the user could change. */
#ifndef HATO_LIBRARY_CLIENT_H
#define HATO_LIBRARY_CLIENT_H

#include <uv.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/idmap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/random.h"
#include "hato.h"

struct link;
struct request;

enum {
    CLIENT_MESSAGES_MAX = 1000, /* of a send, a settlement, a receive */
    CLIENT_NAME_MAX = 1024,     /* a queue's or function's name as given; the broker has the real limit */
    CLIENT_SERVERS_MAX = 16,
};
static const uint64_t CLIENT_FRAME_DEFAULT = 68u << 20; /* until the broker says its own */
static const uint64_t CLIENT_FRAME_MAX = 1u << 30;      /* what is taken from a broker at most */

struct server {
    char host[256];
    char port[8];
};

/* Where the client is on its way to a broker; reach.c. */
struct reach {
    struct server servers[CLIENT_SERVERS_MAX];
    unsigned server_count;
    unsigned server;             /* being tried, or connected to */
    unsigned tried;              /* servers in this round */
    struct addrinfo *addresses;  /* of it, when they were resolved */
    struct addrinfo *address;    /* the one being tried */
    struct resolving *resolving; /* a name being looked up, or NULL */
    uv_timer_t timer;            /* the end of a try, or of a pause between tries */
    uint64_t pause_ms;           /* the next pause, before jitter */
    uint64_t began_ms;           /* when the first try began; 0: none did */
    unsigned undecided;          /* answers in a row that the node connected to can't decide */
    uint64_t undecided_below;    /* requests that were there when the last one was counted */
    struct error error;          /* why there is no connection */
    bool ever;                   /* there was one */
};

struct hato_client {
    struct hato_options options; /* with all defaults filled in; the text is in the fields below */
    char *name;
    char *account;
    char *region;
    uv_loop_t *loop;
    uv_loop_t own_loop;
    bool owns_loop;
    unsigned in_callbacks; /* of the user's, one within the other */
    bool in_wait;
    struct random random;

    uv_idle_t turn; /* active when there is something to do at the end of the turn */
    bool turn_asked;
    uv_timer_t timer;  /* the earliest deadline of a request, a stream or the link */
    uint64_t timer_at; /* when it is set for, UINT64_MAX: not */

    struct reach reach;
    struct link *link; /* NULL between tries */
    bool writing;      /* a write is under way on the link */
    uint64_t max_frame_bytes;
    char *scope; /* "account:region:" that names are in, as the broker says; NULL: it did not */

    uint64_t next_id;
    uint64_t next_sequence;
    uint64_t pending_bytes;
    size_t pending_calls;
    struct map open;             /* batches being filled, by operation and key, in the order begun */
    struct request *last_batch;  /* the one most likely to be filled further, or NULL */
    struct list queued;          /* requests to be written, in order */
    struct list sent;            /* requests written (or being written) and not answered, in order */
    struct idmap by_id;          /* the same by id */
    struct list unsettled;       /* sends with sequence numbers, not answered, in order of them */
    struct list failed;          /* calls whose failure is to be told */
    struct list kept;            /* done calls that nobody has waited for */
    struct list streams;         /* all */
    struct list dirty_streams;   /* those with something to be done at the end of the turn */
    struct list request_pool;    /* finished requests with their buffers */
    struct hato_call *call_pool; /* linked by next */
    struct arena arena;          /* the frame being handled */
    struct buffer key;           /* of the batch being looked for */

    bool closing;
    bool handles_closing;
    unsigned handles; /* libuv handles and requests that still name the client */
    hato_closed_cb closed;
    void *closed_user;
};

/* Milliseconds that only grow. */
uint64_t client_now(void);

/* Asks for client_turn at the end of the turn. */
void client_wake(struct hato_client *c);

/* Makes sure that client_expire runs at `deadline` (as client_now). */
void client_arm(struct hato_client *c, uint64_t deadline);

/* From the link: it speaks with the broker; it is gone. */
void client_connected(struct hato_client *c);
void client_lost(struct hato_client *c, const struct error *why);

/* From reach.c: no try succeeded. */
void client_unreachable(struct hato_client *c, const struct error *why);

/* A write ended (the link may be gone since). */
void client_written(struct hato_client *c);

/* One of the client's handles is closed; the last one ends the client. */
void client_handle_gone(struct hato_client *c);

#endif
