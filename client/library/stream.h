/* Streams of deliveries, and how they come back after a lost connection. */
#ifndef HATO_LIBRARY_STREAM_H
#define HATO_LIBRARY_STREAM_H

#include "library/request.h"

struct hato_stream {
    struct hato_client *client;
    struct list_link link;       /* client's streams */
    struct list_link dirty_link; /* client's dirty_streams */
    char *queue;
    struct hato_stream_options options;
    hato_delivery_cb on_delivery;
    hato_stream_end_cb on_end;
    void *user;
    struct request *request; /* the StreamOpen under way; NULL: not open */
    uint64_t credit;         /* what the broker has of ours */
    uint64_t more;           /* to be told */
    uint64_t retry_ms;       /* the next pause before it is opened again */
    uint64_t due;            /* when to open again, or to give up waiting for the end; UINT64_MAX: not */
    bool closing;
    bool close_told;
    bool ended; /* on_end is due, with `error` */
    struct error error;
};

/* At the end of a turn: opens what is to be opened, tells credit, ends what has ended. */
void stream_turn(struct hato_client *c);

void stream_deliver(struct hato_stream *s, const Hato__ReceiveReply *reply);
void stream_over(struct hato_stream *s, const Hato__Error *why); /* the broker ended it */
void stream_lost_all(struct hato_client *c);                     /* the connection is gone */
void stream_wake_all(struct hato_client *c);                     /* a new one is there */
void stream_expire_all(struct hato_client *c, uint64_t now, uint64_t *earliest);
void stream_fail_all(struct hato_client *c, const struct error *why); /* the client is closing: calls on_end */

/* Gives messages that nobody will handle back to the queue, uncounted. */
void stream_give_back(struct hato_client *c, const char *queue, const Hato__ReceiveReply *reply);

#endif
