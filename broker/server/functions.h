/* What the catalog says of functions, on its way to the seats that deliver to them; and each function's quota, which the
 * seats share.
 *
 * Threads: functions_changed on the catalog's seat only, which so owns the map of quotas. */
#ifndef HATO_SERVER_FUNCTIONS_H
#define HATO_SERVER_FUNCTIONS_H

#include "base/map.h"
#include "cluster/node.h"
#include "server/push.h"

struct functions {
    struct node *node;
    struct push_seat **pushes; /* by seat, borrowed; a place is its seat's: NULL once that delivers nothing any more */
    unsigned seats;
    struct map quotas; /* full name -> quota */
};

/* The function was created, changed or deleted, or the catalog is led from now on. */
void functions_changed(struct functions *f, struct shard *catalog, const char *name);

void functions_close(struct functions *f); /* when no loop runs any more */

#endif
