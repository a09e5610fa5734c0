/* What the parts of a dispatcher share. Private to this folder. */
#ifndef HATO_DISPATCH_CORE_H
#define HATO_DISPATCH_CORE_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/idmap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/random.h"
#include "dispatch/dispatcher.h"
#include "dispatch/timers.h"
#include "dispatch/transport.h"

struct crypto;

struct dispatcher {
    const struct source_ops *ops;
    void *ctx;
    struct clock clock;
    char *agent;
    struct trace *trace;
    unsigned loop;
    uint32_t requests_max;
    uint64_t memory_max;
    uint64_t lease_ms;
    struct random random;
    struct crypto *crypto;
    struct timers timers;
    struct transport transport;
    uv_idle_t soon;        /* runs while endpoints are marked: before the loop waits again */
    struct idmap bindings; /* queue -> struct binding */
    struct map endpoints;  /* function -> struct endpoint */
    struct list marked;    /* endpoints to look at */
    struct list starving;  /* endpoints that wait for memory or requests of others */
    struct list jobs;      /* out */
    struct list kept;      /* jobs for the next requests */
    uint32_t leases;       /* asked for */
    uint32_t reserved;     /* requests they will need */
    uint64_t asked;        /* bytes that they may bring at most */
    uint64_t held;         /* bytes of messages and requests */
    bool draining;
    bool closing;
    void (*closed)(void *arg);
    void *closed_arg;
};

/* How many more requests all functions together may have; 0 also when memory is short. */
uint32_t dispatcher_room(struct dispatcher *d);

/* Endpoints will be looked at before the loop waits again. */
void dispatcher_soon(struct dispatcher *d);

/* A request or lease is done: those that waited for its place are looked at. */
void dispatcher_freed(struct dispatcher *d);

/* A lease is done; when it was the last one that a closing dispatcher waited for, it goes on to close. */
void dispatcher_lease_done(struct dispatcher *d);

#endif
