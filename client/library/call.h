/* A call: what the user asked for and is to be told of once. It belongs to a request, alone or with others of the turn,
 * until it is done; one that failed before that is told at the end of the turn. */
#ifndef HATO_LIBRARY_CALL_H
#define HATO_LIBRARY_CALL_H

#include "library/client.h"

struct hato_call {
    struct hato_client *client;
    struct request *request; /* NULL: failed, done, or not in one yet */
    struct hato_call *next;  /* in the request's calls, or in the pool */
    struct list_link link;   /* client's failed or kept */
    uint32_t first;          /* its part of the request's messages or receipts */
    uint32_t count;
    hato_done_cb done;
    void *user;
    uint64_t timeout_ms;
    uint64_t grace_ms;  /* a receive's waiting time, not counted by the timeout while the broker has the request */
    uint64_t deadline;  /* as client_now; UINT64_MAX: none */
    uint64_t waits_end; /* of a receive that lost its connection: the deadline goes no further; 0: it did not */
    struct error *failure;
    struct hato_reply *reply; /* done without callback: for hato_wait */
    bool cancelled;
};

struct hato_call *call_create(struct hato_client *c, hato_done_cb done, void *user);

/* A receive's time begins anew when its request is sent, and when the connection is lost it was sent on. */
void call_begin_anew(struct hato_call *call);

/* Ends a call that is in no request: told at the end of the turn. */
void call_fail(struct hato_call *call, const struct error *e);

/* Tells the user now; the call is gone then (kept for hato_wait when it has no callback). */
void call_finish(struct hato_call *call, const struct hato_reply *reply);
void call_finish_error(struct hato_call *call, const struct error *e);

#endif
