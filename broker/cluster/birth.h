/* What was decided when a node's data directory was made, and can't be changed: kept in its file `hato.node`. */
#ifndef HATO_CLUSTER_BIRTH_H
#define HATO_CLUSTER_BIRTH_H

#include <stdint.h>

#include "base/error.h"
#include "consensus/membership.h"

/* 3: with founders always; 2: without the name; 1: without id and founders, too, of nodes by themselves */
enum { BIRTH_FORMAT = 4, BIRTH_NAME_MAX = 64 };

struct birth {
    char name[BIRTH_NAME_MAX + 1]; /* the cluster's, of letters, digits and . _ - ; "" when it was not kept */
    char cluster[33];              /* 32 hexadecimal digits: strangers can't join */
    char id[33]; /* likewise, random: tells this directory from another one made later for the same node */
    uint64_t node;
    uint16_t shards;
    uint64_t since; /* the change of the cluster with which it was added; 0: a founder */
    struct membership_list
        founders; /* nodes that were there when the cluster was born; of all its groups; empty: this one joins it */
};

/* The id of a cluster that several nodes found at once, each by itself: the same on all of them. 32 digits and the end. */
void birth_cluster_id(const char *name, const struct membership_list *founders, uint16_t shards, char out[33]);

/* Reads `dir`/hato.node; makes it (and the directory) from `wanted` when there is none. Errors: ERR_CORRUPT, ERR_VERSION,
 * ERR_IO, ERR_CONFLICT (the directory belongs to another node than wanted->node). */
int birth_load(const char *dir, const struct birth *wanted, struct birth *out, struct error *e);

#endif
