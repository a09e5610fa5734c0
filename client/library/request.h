/* A request: one frame to the broker and the calls that wait for its answer.
 *
 * States: open (a batch being filled, in client->open), queued (in client->queued), sent (in client->sent and by_id). A lost
 * connection puts what is sent and may be repeated back before what is queued. The frame's bytes do not change once it is
 * queued, and last until no write borrows them. A sent receive whose calls are all gone stays, so that messages it still
 * brings can be given back. */
#ifndef HATO_LIBRARY_REQUEST_H
#define HATO_LIBRARY_REQUEST_H

#include "library/client.h"
#include "proto/client.pb-c.h"

enum request_state { REQUEST_OPEN, REQUEST_QUEUED, REQUEST_SENT, REQUEST_GONE };

/* One kind of request: operation.c has the table. */
struct operation {
    const char *name; /* as people say it: "send", "queue create" */
    Hato__Request__OpCase request;
    Hato__Reply__OpCase reply;
    bool repeatable; /* after a lost connection */
    bool unanswered; /* the broker sends no reply */
    int gone;        /* the code that, when repeated, tells that the first request was probably carried out... */
    int gone_means;  /* ...and the code it is reported as */
};

struct request {
    struct list_link link;      /* client's queued, sent, or pool */
    struct list_link send_link; /* client's unsettled */
    const struct operation *operation;
    enum request_state state;
    uint64_t id;
    struct buffer frame;
    size_t start; /* where in `frame` the frame begins */
    struct hato_call *calls;
    struct hato_call *last_call;
    uint32_t items;     /* messages or receipts in it */
    uint64_t sequence;  /* of its first message; 0: not numbered */
    uint64_t deadline;  /* the earliest of its calls' */
    unsigned writes;    /* under way */
    bool repeated;      /* it may have been carried out by an earlier connection */
    struct buffer key;  /* of a batch: operation, then the fields it has in common; of a receive: the queue's name */
    uint64_t accounted; /* bytes in client->pending_bytes */
    struct hato_stream *stream;
};

struct request *request_create(struct hato_client *c, const struct operation *op);

/* Packs `message` (whose id it sets) as the request's frame. */
void request_pack(struct request *r, struct hato_client *c, Hato__Request *message);

void request_add_call(struct request *r, struct hato_call *call);

/* The calls, linked by next; the request has none then. Whoever finishes one may find another cancelled meanwhile. */
struct hato_call *request_take_calls(struct request *r);

/* To the end of what is to be written. */
void request_queue(struct hato_client *c, struct request *r);

/* Takes it out of all lists; freed once no write borrows its frame. Its calls must have been taken. */
void request_drop(struct hato_client *c, struct request *r);

/* It is being written to the broker, and its answer awaited. */
void request_sent(struct hato_client *c, struct request *r);

/* A write that borrowed the frame is over. */
void request_written(struct hato_client *c, struct request *r);

/* Ends all its calls with the error, and the request. */
void request_fail(struct hato_client *c, struct request *r, const struct error *e);

/* Ends those calls whose time is up, and the request when none is left. */
void request_expire(struct hato_client *c, struct request *r, uint64_t now);

/* After a lost connection: all that was sent goes back in line or fails. */
void request_requeue_all(struct hato_client *c, const struct error *why);

void request_free(struct request *r);

#endif
