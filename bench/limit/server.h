/* The limit: what a durable server can do at best on this machine, disk and loopback. It reads frames, writes them to one
 * file, syncs once for all that arrived since the last sync, and acks. No queues, no state, no protocol beyond framing.
 *
 * One loop thread (libuv) reads and acks, one thread writes (writer.h). */
#ifndef HATO_BENCH_LIMIT_SERVER_H
#define HATO_BENCH_LIMIT_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/bytes.h"
#include "base/error.h"
#include "bench/limit/writer.h"

enum {
    SERVER_FILE_BYTES = 256 * 1024 * 1024,
    SERVER_FILLING_MAX = 64 * 1024 * 1024, /* bytes waiting for the writer; above it nothing is read */
    SERVER_CONNECTIONS_MAX = 1024,
    SERVER_READ_BYTES = 256 * 1024
};

struct server_connection;

struct server {
    uv_loop_t *loop;
    uv_tcp_t listener;
    uv_async_t wake;
    struct writer writer;
    struct buffer filling; /* whole frames for the next write */
    struct server_connection *connections;
    uint32_t connection_count;
    bool paused;
    char read[SERVER_READ_BYTES];
};

/* Listens on `address` ("HOST:PORT", a numeric IPv4 address; port 0 takes a free one) and writes to `file`, which is made
 * with `file_bytes` first. The server lives until the loop is stopped and server_close was called. Errors: ERR_INVALID, ERR_IO. */
int server_open(struct server *s, uv_loop_t *loop, const char *address, const char *file, uint64_t file_bytes,
                bool fsync, struct error *e);

int server_port(const struct server *s);

/* Closes all handles; the loop must be run until it is idle, then server_free. */
void server_close(struct server *s);
void server_free(struct server *s);

#endif
