/* HTTP requests on a libuv loop: the one home of libcurl's transfers.
 *
 * Connections are kept and used again, up to TRANSPORT_IDLE_MAX idle ones. HTTP/1.1; redirects are not followed,
 * proxies of the environment not used. Every address is shown to the policy before it is connected to. A request whose kept connection
 * dies before a byte of the answer, which the endpoint may have closed before it came, is sent once more, on a new connection: an
 * exchange reaches the endpoint twice at most.
 *
 * Threads: the loop's only. `done` of an exchange is called exactly once, never from transport_send, and not at all
 * after transport_cancel. */
#ifndef HATO_DISPATCH_TRANSPORT_H
#define HATO_DISPATCH_TRANSPORT_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/idmap.h"
#include "dispatch/address.h"
#include "dispatch/answer.h"

enum {
    TRANSPORT_IDLE_MAX = 512,                   /* connections kept */
    TRANSPORT_HANDLES_MAX = 64,                 /* libcurl's handles kept for the next request */
    TRANSPORT_RECEIVED_MAX = 128 * 1024 * 1024, /* default of received_max */
    TRANSPORT_HEADERS_MAX = 256 * 1024,         /* bytes of an answer's headers; more counts as too large */
    TRANSPORT_DNS_SECONDS = 10                  /* an address looked up is used again for so long */
};

struct connection;

struct transport {
    uv_loop_t *loop;
    CURLM *multi;
    uv_timer_t timer;
    struct address_policy policy;
    char *ca;                 /* a file, or NULL */
    struct idmap connections; /* socket + 1 -> struct connection */
    CURL *handles[TRANSPORT_HANDLES_MAX];
    uint32_t handle_count;
    size_t received;       /* bytes of answers held */
    size_t received_max;   /* an answer that would exceed it is given up as crowded out; the owner may set it */
    uint32_t open_handles; /* of libuv, not closed yet */
    bool closing;
    void (*settled)(struct transport *t); /* after a round of `done`s */
    void (*closed)(struct transport *t);
};

/* One request and its answer. The owner's memory, zeroed before its first use; what it points to stays until `done`. */
struct exchange {
    const char *url;
    struct curl_slist *headers;
    struct bytes body;
    uint64_t timeout_ms;
    uint64_t connect_ms;
    size_t keep_max; /* bytes of the answer to keep; ANSWER_BYTES_MAX at most; more is read and thrown away */
    void (*done)(struct exchange *x);

    /* Of the last answer, until exchange_clear. */
    struct answer answer;
    const char *retry_after; /* header's value, or NULL */
    uint64_t duration_us;

    /* The transport's own. */
    struct transport *transport;
    CURL *easy;
    struct buffer received;
    size_t seen;         /* bytes of the answer, kept or not */
    size_t headers_seen; /* and of its headers */
    bool too_large;
    bool crowded;
    bool headers_whole;             /* the empty line after them was seen */
    char blocked[ADDRESS_TEXT_MAX]; /* an address that the policy refused */
    char error[CURL_ERROR_SIZE];
    char reason[CURL_ERROR_SIZE + 160];
};

/* `ca`: a file of certificates (PEM) to trust; NULL: the system's only. Errors: ERR_INTERNAL. */
int transport_open(struct transport *t, uv_loop_t *loop, const struct address_policy *policy, const char *ca,
                   void (*settled)(struct transport *t), struct error *e);

/* No exchange may be out. Calls `closed` later, when libuv has let go of everything. */
void transport_close(struct transport *t, void (*closed)(struct transport *t));

void transport_send(struct transport *t, struct exchange *x);
void transport_cancel(struct transport *t, struct exchange *x);

/* Lets go of the answer; keeps up to `keep` bytes of memory for the next one. */
void exchange_clear(struct exchange *x, size_t keep);

/* For connection.c: libcurl was told of something; looks at what is done. */
void transport_progress(struct transport *t);

#endif
