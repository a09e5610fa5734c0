/* What the generator asks of a server. One file a server (driver_NAME.c), all alike; driver_find names them.
 *
 * A driver connects once, keeps at most load->config.window messages in flight, and tells the load of each one that is
 * done. It is driven from one thread: `wait` is the only call that blocks. */
#ifndef HATO_BENCH_DRIVER_H
#define HATO_BENCH_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "bench/load.h"

enum driver_mode {
    DRIVER_SEND,   /* the generator calls `send` */
    DRIVER_RECEIVE /* the driver receives and acks by itself, as far as load_room allows */
};

struct driver_config {
    const char *server; /* HOST:PORT */
    const char *queue;  /* queue, stream, tube or topic */
    enum driver_mode mode;
    uint32_t batch; /* messages a receive and an ack, where the server has such a thing */
    bool create;    /* make the queue empty first; else it exists */
};

struct driver; /* a driver's struct begins with `struct driver_base` */

struct driver_ops {
    const char *name; /* "redis" */
    const char *what; /* one line for --help */
    uint16_t port;    /* its usual one */
    bool receives;    /* has DRIVER_RECEIVE */
    bool waits;       /* a receiver waits for messages to come; else an empty queue is an error */

    /* Connects and prepares the queue; blocks. The load outlives the driver. Errors: what the server or the socket said. */
    int (*open)(struct driver **driver, const struct driver_config *config, struct load *load, struct error *e);

    /* Sends one message; the slot goes to load_done once the server has confirmed it. The body stays valid until then. */
    int (*send)(struct driver *d, uint32_t slot, struct bytes body, struct error *e);

    /* Puts on the wire what was sent, takes what came, tells the load; at most `timeout_ns` without anything coming. */
    int (*wait)(struct driver *d, uint64_t timeout_ns, struct error *e);

    void (*close)(struct driver *d);
};

struct driver_base {
    const struct driver_ops *ops;
    struct load *load;
    struct driver_config config;
};

/* NULL when there is none of that name, or it was not built because its library was missing. */
const struct driver_ops *driver_find(const char *name);

/* The `n`th driver of this build, NULL after the last. */
const struct driver_ops *driver_at(uint32_t n);

/* Runs the load through the driver to its end: opens, begins, sends or receives, closes. Errors: the first one met. */
int driver_run(const struct driver_ops *ops, const struct driver_config *config, struct load *load, struct error *e);

#endif
