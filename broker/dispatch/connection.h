/* A socket of libcurl's, watched by libuv. Lives as long as the socket does, so that a kept connection costs no system call to
 * watch again. */
#ifndef HATO_DISPATCH_CONNECTION_H
#define HATO_DISPATCH_CONNECTION_H

#include <curl/curl.h>
#include <stdbool.h>
#include <uv.h>

struct transport;

struct connection {
    uv_poll_t poll;
    struct transport *transport;
    curl_socket_t socket;
    int watched; /* UV_READABLE, UV_WRITABLE */
    bool ours;   /* made by connection_open; else libcurl's own business, as its resolver's pipe */
    bool idle;   /* no transfer wants to hear of it */
};

/* Sets libcurl's socket options of a multi handle, and of an easy handle that will be added to it. */
void connection_setup_multi(struct transport *t);
void connection_setup_easy(struct transport *t, CURL *easy);

#endif
