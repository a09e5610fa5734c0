/* HTTP/1.1 on a stream: requests are read whole (llhttp parses), answered one after another, connections kept alive.
 *
 * Limits: HTTP_LINE_MAX for the target, HTTP_HEADERS_MAX headers of HTTP_HEADER_BYTES_MAX together, a body up to what the owner
 * allows. What is beyond is answered with 414, 431 or 413 and the connection is closed; what is malformed with 400. A request
 * has to be complete HTTP_REQUEST_MS after its first byte, an idle connection lasts HTTP_IDLE_MS. Loop thread only. */
#ifndef HATO_NET_HTTP_H
#define HATO_NET_HTTP_H

#include <llhttp.h>

#include "base/bytes.h"
#include "net/alarm.h"
#include "net/stream.h"

enum {
    HTTP_LINE_MAX = 8 * 1024,
    HTTP_HEADERS_MAX = 64,
    HTTP_HEADER_BYTES_MAX = 32 * 1024,
    HTTP_REQUEST_MS = 30 * 1000,
    HTTP_IDLE_MS = 120 * 1000,
    HTTP_CLOSE_MS = 10 * 1000, /* for a last answer to leave */
};

struct http_header {
    struct bytes name;
    struct bytes value;
};

/* Valid until http_reply. */
struct http_request {
    const char *method;
    struct bytes path;  /* up to the '?', not decoded */
    struct bytes query; /* after it */
    struct bytes body;
    struct http_header headers[HTTP_HEADERS_MAX];
    size_t header_count;
};

/* The value of a header, by its lower-case name; an empty view when there is none. */
struct bytes http_header(const struct http_request *r, const char *name);

struct http_connection;

struct http_server {
    struct loop *loop;
    struct alarms *alarms;
    size_t body_max;
    /* Beyond, the one is closed whose request is awaited longest; or the new one, where all are answered. */
    uint32_t connections_max;
    void *ctx;
    /* A whole request. Ends, then or later, with one http_reply. */
    void (*request)(struct http_connection *c, const struct http_request *r);
    /* The connection went away before the reply; http_reply must not be called any more. May be NULL when replies come at once. */
    void (*gone)(struct http_connection *c);
    struct list connections; /* by the time since when a request of them is awaited */
    bool closing;
    void (*closed)(struct http_server *s);
};

void http_server_open(struct http_server *s, struct loop *loop, struct alarms *alarms);
void http_server_accept(struct http_server *s, struct listener *l);
/* Closes all connections, then calls `closed`, perhaps at once. */
void http_server_close(struct http_server *s, void (*closed)(struct http_server *s));

/* Bytes of replies that the kernel has not taken, of all connections together. */
size_t http_server_backlog(const struct http_server *s);

struct http_server *http_connection_server(struct http_connection *c);
void http_reply(struct http_connection *c, int status, const char *content_type, struct bytes body);

#endif
