/* One TCP connection to a broker: greeting, frames in, writes out. Made for one try; a new try makes a new one. */
#ifndef HATO_LIBRARY_LINK_H
#define HATO_LIBRARY_LINK_H

#include "library/client.h"

enum { LINK_FIRST_ID = 2 }; /* the greeting has 1 */

struct write {
    uv_write_t uv;
    struct hato_client *client;
    struct link *link;
    unsigned count;
    struct request *requests[];
};

/* Begins to connect; client_connected or client_lost tells what came of it, never from inside. NULL when no socket can be
 * had (`e` says why). */
struct link *link_create(struct hato_client *c, const struct sockaddr *address, struct error *e);

bool link_ready(const struct link *l);

/* Takes `w` (allocated, with client, count and requests filled in) and writes their frames, which must last until
 * request_written. */
void link_write(struct link *l, struct write *w);

/* Looks from time to time whether the broker is silent while something is awaited of it: asks it for a sign of life, and gives
 * the connection up when none comes. Lowers `*earliest` to when it wants to look again (as client_now). */
void link_look(struct link *l, uint64_t now, uint64_t *earliest);

/* Closes; nothing more is heard of it. Its memory goes when libuv lets it. */
void link_close(struct link *l);

/* Closes and tells the client why. */
void link_fail(struct link *l, const struct error *why);

#endif
