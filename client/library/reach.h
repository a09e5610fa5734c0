/* How a client gets to a broker and back to it: servers and addresses in turn, pauses that grow, with jitter. */
#ifndef HATO_LIBRARY_REACH_H
#define HATO_LIBRARY_REACH_H

#include "library/client.h"

/* Reads "HOST:PORT,HOST:PORT"; a port that is not given is 9325. Errors: HATO_INVALID. */
int reach_parse(struct reach *r, const char *servers, struct error *e);

void reach_begin(struct hato_client *c);   /* begins to try, in the next turn */
void reach_reached(struct hato_client *c); /* connected and greeted */

/* The broker works: pauses begin small again. It `decided` what it was asked, which says that it is not cut off from the others. */
void reach_answered(struct hato_client *c, bool decided);

/* The broker can't decide what request `id` asked (HATO_NOT_LEADER). True: it is cut off from the others by all appearances, and
 * the connection to be given up for the next server; `e` says so. Answers to what was under way together count as one: whenever a
 * leader goes, all that waits for it and all streams from it end at once. */
bool reach_undecided(struct hato_client *c, uint64_t id, struct error *e);

/* Why there never was a connection, to a call that waited `waited_ms` for it: the server's address, and what is wrong there. */
void reach_never(const struct hato_client *c, uint64_t waited_ms, struct error *e);

void reach_end(struct hato_client *c); /* stops all tries, for good */

/* The link is gone: it had been `connected`, or was a try that failed. Goes on with what is next. */
void reach_lost(struct hato_client *c, bool connected, const struct error *why);

#endif
