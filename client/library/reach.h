/* How a client gets to a broker and back to it: servers and addresses in turn, pauses that grow, with jitter. */
#ifndef HATO_LIBRARY_REACH_H
#define HATO_LIBRARY_REACH_H

#include "library/client.h"

/* Reads "HOST:PORT,HOST:PORT"; a port that is not given is 9325. Errors: HATO_INVALID. */
int reach_parse(struct reach *r, const char *servers, struct error *e);

void reach_begin(struct hato_client *c);    /* begins to try, in the next turn */
void reach_reached(struct hato_client *c);  /* connected and greeted */
void reach_answered(struct hato_client *c); /* the broker works: pauses begin small again */
void reach_end(struct hato_client *c);      /* stops all tries, for good */

/* The link is gone: it had been `connected`, or was a try that failed. Goes on with what is next. */
void reach_lost(struct hato_client *c, bool connected, const struct error *why);

#endif
