/* How many files the process may have open, and how they are shared out: so that clients, however many, never take those that
 * the log and the store need. */
#ifndef HATO_NET_FILES_H
#define HATO_NET_FILES_H

#include <stdint.h>

enum {
    FILES_RESERVE =
        1024, /* for the log, the store and requests to functions; half of what there is when that is less */
    FILES_CONNECTIONS_MAX = 1000000 /* of either kind */
};

struct files_share {
    uint32_t native; /* connections of the native protocol */
    uint32_t http;
};

/* Raises the process's limit to what the system allows it. Returns the limit. */
uint64_t files_raise(void);

/* What connections may have of `limit` files. Pure. */
void files_share_out(uint64_t limit, struct files_share *out);

#endif
