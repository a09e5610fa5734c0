/* The nodes of the cluster, and which has which shard, on shard 0. Where nobody has changed anything yet it knows of none, and the
 * groups are those of their founders. All in memory, written as it changes. Loop thread. */
#ifndef HATO_STATE_NODES_H
#define HATO_STATE_NODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "state/placement.h"

struct keys;
struct nodes;

enum { NODES_ADDRESS_MAX = 272, NODES_ZONE_MAX = 64 };

struct node_view {
    uint64_t id;
    const char *address; /* HOST:PORT where it listens for the others */
    const char *zone;    /* "": none */
    bool leaves;         /* it is to have no shards */
    uint64_t since;      /* the entry with which it was added, another one each time; 0: a founder */
};

struct nodes_view {
    const struct node_view *nodes; /* in order of their ids */
    size_t count;
    const struct placement *shards; /* 0 to the last */
    uint32_t replicas;              /* that a shard is to have */
    uint64_t version;               /* the entry that changed any of this last */
};

/* `shards`: of the cluster, the catalog not counted. */
int nodes_open(struct keys *ks, uint16_t shards, struct nodes **out, struct error *e);
void nodes_close(struct nodes *n); /* accepts NULL */

/* A command of kind 64 to 68 (entry.h), of entry `index`. Errors: ERR_INVALID, ERR_EXISTS, ERR_NOT_FOUND, ERR_LIMIT, ERR_CONFLICT. */
int nodes_apply(struct nodes *n, struct keys *ks, uint8_t kind, struct bytes payload, uint64_t index, bool *changed,
                struct error *e);

/* False where nobody has changed anything yet. Valid until the next change. */
bool nodes_look(const struct nodes *n, struct nodes_view *out);

#endif
