/* A TCP connection for the raw protocol drivers: a non-blocking socket with a buffer each way, one thread, no callbacks.
 * A driver puts requests into `out`, calls wire_wait, and eats replies from `in`. */
#ifndef HATO_BENCH_WIRE_H
#define HATO_BENCH_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

struct wire {
    int fd;            /* -1: closed */
    struct buffer out; /* not sent yet, from out_at on */
    size_t out_at;
    struct buffer in; /* not eaten yet, from in_at on */
    size_t in_at;
};

enum { WIRE_READ_BYTES = 256 * 1024 };

/* Connects to "HOST:PORT" (a name or an address); blocks until connected. Errors: ERR_INVALID, ERR_IO. */
int wire_open(struct wire *w, const char *address, struct error *e);
void wire_close(struct wire *w); /* also of a wire whose opening failed */

/* Sends what is in `out` and reads what has come. Returns once something was read, or after `timeout_ns` (UINT64_MAX: no
 * limit), whichever is first; while the peer takes no more bytes it keeps reading, so that two full pipes cannot wait for
 * each other. Errors: ERR_CLOSED, ERR_IO. */
int wire_wait(struct wire *w, uint64_t timeout_ns, struct error *e);

/* What was read and not eaten; valid until the next wire_wait. */
static inline struct bytes wire_view(const struct wire *w)
{
    return (struct bytes){w->in.data + w->in_at, w->in.len - w->in_at};
}

static inline void wire_eat(struct wire *w, size_t len)
{
    w->in_at += len;
}

/* The next line of the protocols that end lines with CR LF, without them, eaten. False: not complete yet. */
bool wire_line(struct wire *w, struct bytes *line);

/* Blocks until a whole line is there, for the exchange at the beginning. Errors: as wire_wait. */
int wire_read_line(struct wire *w, struct bytes *line, struct error *e);

/* Waits until `fd` has something to read. Errors: ERR_TIMEOUT after `timeout_ns`, ERR_IO. */
int wire_readable(int fd, uint64_t timeout_ns, struct error *e);

/* Splits "HOST:PORT"; `host` has `host_size` bytes. Errors: ERR_INVALID. */
int wire_address(const char *address, char *host, size_t host_size, int *port, struct error *e);

#endif
