/* Where other nodes come in: connections that they dialled, and what arrives over them. Nobody outside of cluster/ includes this. */
#ifndef HATO_CLUSTER_GATE_H
#define HATO_CLUSTER_GATE_H

#include "cluster/mesh.h"

int gate_open(struct mesh *m, struct error *e);
int gate_start(struct mesh *m, struct error *e);
void gate_update(struct mesh *m, const struct roster_peer *peers, size_t count); /* others are not let stay */
void gate_close(struct mesh *m); /* each of its parts takes itself off mesh->open when it is gone */

#endif
