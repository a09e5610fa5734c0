/* What was decided when a node's data directory was made, and can't be changed: kept in its file `hato.node`. */
#ifndef HATO_CLUSTER_BIRTH_H
#define HATO_CLUSTER_BIRTH_H

#include <stdint.h>

#include "base/error.h"

enum { BIRTH_FORMAT = 1 };

struct birth {
    char cluster[33]; /* 32 hexadecimal digits, random: strangers can't join */
    uint64_t node;
    uint16_t shards;
};

/* Reads `dir`/hato.node; makes it (and the directory) from `wanted` when there is none. Errors: ERR_CORRUPT, ERR_VERSION,
 * ERR_IO, ERR_CONFLICT (the directory belongs to another node than wanted->node). */
int birth_load(const char *dir, const struct birth *wanted, struct birth *out, struct error *e);

#endif
