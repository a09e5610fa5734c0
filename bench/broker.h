/* What the commands ask of a Hato broker besides messages: queues, functions, status; through libhato, synchronously. */
#ifndef HATO_BENCH_BROKER_H
#define HATO_BENCH_BROKER_H

#include <stdint.h>

#include "base/error.h"
#include "client/hato.h"

/* Errors: ERR_IO. */
int broker_open(struct hato_client **client, const char *server, struct error *e);

/* Waits for a call of which only success matters. Errors: the broker's. */
int broker_do(struct hato_call *call, struct error *e);

/* As broker_do, keeping the reply, which the caller destroys; *reply is NULL after an error. */
int broker_ask(struct hato_call *call, struct hato_reply **reply, struct error *e);

/* Makes `count` calls, `window` under way at a time: `call(client, n, done, user)` makes the nth with the callback given.
 * Errors: the first call's that failed; the others are waited for. */
typedef struct hato_call *(*broker_call)(struct hato_client *client, uint64_t n, hato_done_cb done, void *user);
int broker_fan(struct hato_client *client, uint64_t count, uint32_t window, broker_call call, struct error *e);

/* Messages in a queue, in any state. Errors: the broker's. */
int broker_left(struct hato_client *client, const char *queue, uint64_t *left, struct error *e);

#endif
