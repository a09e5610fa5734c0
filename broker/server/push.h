/* Where queues meet functions: on each seat a dispatcher, fed from the shards that this seat leads (dispatch/source.h). */
#ifndef HATO_SERVER_PUSH_H
#define HATO_SERVER_PUSH_H

#include "cluster/node.h"
#include "dispatch/dispatcher.h"
#include "protocol/native.h"

struct push_seat;
struct quota;

struct push_options {
    const char *ca;                      /* certificates to trust besides the system's; "" for none */
    const struct address_policy *policy; /* which addresses functions may have; copied */
};

int push_open(struct push_seat **out, struct seat *seat, const struct push_options *options, struct error *e);
/* Sends no more requests, and waits for those that are out, until what they say is settled, but no longer than `patience_ms`;
 * then `drained`, never inside this call, and not at all when the seat is closed before. Once. */
void push_drain(struct push_seat *p, uint64_t patience_ms, void (*drained)(void *ctx), void *ctx);
/* Requests that are out are cancelled, their messages go back; then `closed`, and the memory is freed. */
void push_close(struct push_seat *p, void (*closed)(void *ctx), void *ctx);

/* The node's hooks, on this seat. */
void push_queue_ready(struct push_seat *p, uint64_t queue);
void push_queue_changed(struct push_seat *p, struct shard *s, uint64_t queue);
void push_leading(struct push_seat *p, struct shard *s, bool leading);
/* From any seat's point of view: the function as it is now, with its quota; that it is no more; what its quota has to say. */
void push_function(struct push_seat *p, const char *name, const struct Hato__FunctionSettings *settings,
                   struct quota *quota);
void push_function_deleted(struct push_seat *p, const char *name);
void push_quota(struct push_seat *p, struct quota *quota, bool permit);

void push_activity(struct push_seat *p, const char *function, struct arena *arena, struct function_activity *out);

#endif
