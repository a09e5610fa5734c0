/* The broker: a node with its front ends. What `hatod` runs. */
#ifndef HATO_SERVER_SERVER_H
#define HATO_SERVER_SERVER_H

#include "cluster/node.h"
#include "dispatch/address.h"
#include "net/files.h"

struct server;

struct server_options {
    struct node_options node; /* hooks are the server's own */
    const char *listen;       /* native protocol, HOST:PORT */
    const char *http;         /* "" for none */
    const char *account;
    const char *region;
    const char *endpoint_ca;         /* a PEM file of certificates that endpoints may have; "" for the system's only */
    struct address_policy endpoints; /* which addresses functions may have */
    uint64_t drain_ms;               /* how long server_stop waits for requests to functions that are out */
    struct files_share connections;  /* at most */
};

int server_open(const struct server_options *options, struct server **out, struct error *e);
int server_run(struct server *s, struct error *e); /* until server_stop, or until it wants to begin anew */
bool server_wants_anew(
    const struct server *s); /* after server_run: the store had no space and has to be opened once more */
/* Any thread. First no more requests are sent to functions, and those that are out are waited for: clients are served
 * meanwhile, and /readyz says no. */
void server_stop(struct server *s);
void server_close(struct server *s);

#endif
