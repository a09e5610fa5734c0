/* A socket of libcurl's, watched by libuv for as long as libcurl wants to hear of it. */
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
    int events; /* UV_READABLE, UV_WRITABLE */
};

/* Sets libcurl's socket options of a multi handle, and of an easy handle that will be added to it. */
void connection_setup_multi(struct transport *t);
void connection_setup_easy(CURL *easy);

#endif
