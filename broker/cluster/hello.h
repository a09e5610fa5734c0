/* The first words of two nodes to each other: which versions of the peer protocol they speak and who they are. The side that
 * dialled speaks first; the other answers with its own hello, or with one that only says why it refuses. proto/PEER-FORMAT.md is
 * the reference.
 *
 * Pure: bytes in, a struct out. */
#ifndef HATO_CLUSTER_HELLO_H
#define HATO_CLUSTER_HELLO_H

#include "base/bytes.h"
#include "base/error.h"

enum {
    HELLO_OLDEST = 1, /* versions of the protocol that this build speaks */
    HELLO_NEWEST = 1,
    HELLO_ID = 33, /* 32 hexadecimal digits and the end */
    HELLO_ADDRESS_MAX = 272,
    HELLO_TEXT_MAX = 512,
    HELLO_MAX = 4096, /* bytes of its fields */
};

enum hello_purpose {
    HELLO_FRAMES = 0,  /* frames between shards follow */
    HELLO_CLIENTS = 1, /* requests of a client of the node that dialled follow, in the native protocol */
};

struct hello {
    uint16_t oldest, newest;
    char cluster[HELLO_ID];
    char birth[HELLO_ID]; /* of the data directory: another one under the same id has lost what this one had */
    uint64_t node;        /* who speaks */
    uint64_t to;          /* who it thinks it speaks to */
    uint64_t instance;    /* drawn when the process began */
    uint32_t shards;
    char clients[HELLO_ADDRESS_MAX]; /* where it serves clients, HOST:PORT */
    char software[32];
    uint64_t since;   /* the change of the cluster with which it was added; 0: a founder */
    uint32_t purpose; /* of who dialled: enum hello_purpose */
    uint32_t refused; /* why the speaker goes no further, a code of base/error.h; 0: it goes on */
    char why[HELLO_TEXT_MAX];
};

void hello_put(struct buffer *to, const struct hello *h); /* its versions are this build's */

/* Reads a hello from the beginning of `in`. `used` becomes its length, 0 when it is not whole yet. Errors: ERR_PROTOCOL (no
 * hello), ERR_TOO_LARGE, ERR_VERSION (it speaks no version that this build does). */
int hello_take(struct bytes in, struct hello *out, size_t *used, struct error *e);

#endif
