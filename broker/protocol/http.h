/* HTTP of one seat: health, readiness, metrics. */
#ifndef HATO_PROTOCOL_HTTP_H
#define HATO_PROTOCOL_HTTP_H

#include "net/http.h"
#include "protocol/native.h"

/* A page of metrics takes some MiB at most: what is asked for beyond these is refused with 503. */
enum {
    HTTP_METRICS_AT_ONCE = 4,                   /* being made */
    HTTP_METRICS_UNREAD_MAX = 32 * 1024 * 1024, /* bytes of pages that nobody has read yet */
};

enum http_phase {
    HTTP_STARTS,
    HTTP_SERVES, /* the native protocol is listened for */
    HTTP_STOPS
};

/* One for each node. */
struct http {
    struct node *node;
    struct native *native;
    const struct native_services *services;
    uint32_t connections_max;
    atomic_int phase; /* enum http_phase; set by the owner */
};

struct http_seat {
    struct http *http;
    struct seat *seat;
    struct alarms alarms;
    struct listener listener;
    struct http_server server;
    unsigned open;         /* parts not closed yet */
    size_t pages;          /* being made */
    size_t metrics_pages;  /* of them those of metrics */
    struct list page_list; /* those whose connection is still there */
    void (*closed)(struct http_seat *hs);
};

int http_seat_open(struct http_seat *hs, struct http *http, struct seat *seat, const char *address, struct error *e);
int http_seat_start(struct http_seat *hs, struct error *e);
void http_seat_close(struct http_seat *hs, void (*closed)(struct http_seat *hs));

void http_seat_end_if_closed(struct http_seat *hs);

/* metrics.c: the lines of the shards, one after the other, and the node's. (Prometheus text format 0.0.4.) */
struct metrics;
struct metrics *metrics_create(struct http *http);
/* On the shard's seat. Looks at some of its queues; true when there are more: to be called again, in a later turn. */
bool metrics_add_shard(struct metrics *m, struct shard *s, struct seat *seat);
void metrics_finish(struct metrics *m, struct buffer *out);
void metrics_destroy(struct metrics *m);

#endif
