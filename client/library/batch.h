/* Sends and settlements of one turn that go to one queue share a request. Its calls get their part of the results. */
#ifndef HATO_LIBRARY_BATCH_H
#define HATO_LIBRARY_BATCH_H

#include "library/request.h"

/* Adds a call's messages to a batch. Errors: HATO_INVALID, HATO_TOO_LARGE, HATO_OVERLOADED; the call is then in none. */
int batch_send(struct hato_client *c, struct hato_call *call, const char *queue, const struct hato_message *messages,
               size_t count, struct error *e);

/* What a settlement says of all its receipts. */
struct settlement {
    const struct operation *operation; /* ack, nack, extend */
    uint64_t delay_ms;                 /* nack */
    const char *error;                 /* nack, may be NULL */
    uint32_t status;                   /* nack */
    bool uncounted;                    /* nack */
    uint64_t visibility_ms;            /* extend */
};

int batch_settle(struct hato_client *c, struct hato_call *call, const char *queue, const struct settlement *settlement,
                 const struct hato_bytes *receipts, size_t count, struct error *e);

/* Queues all open batches, in the order they were begun. */
void batch_seal_all(struct hato_client *c);

/* Queues one. */
void batch_seal(struct hato_client *c, struct request *r);

#endif
