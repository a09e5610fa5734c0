/* What goes over a connection between two nodes once they have greeted each other (hello.h): frames, whose head says how long
 * they are, for which shard, and what their bytes hash to. proto/PEER-FORMAT.md is the reference.
 *
 * Pure: bytes in, views out. */
#ifndef HATO_CLUSTER_FRAME_H
#define HATO_CLUSTER_FRAME_H

#include "base/bytes.h"
#include "base/error.h"

enum {
    FRAME_HEAD_BYTES = 16,
    FRAME_BODY_MAX = 72 * 1024 * 1024, /* the largest entry, what goes with it in one message, and heads */
};

enum frame_kind {
    FRAME_SHARD = 1, /* for the shard that the head names */
    FRAME_PING = 2,  /* of who dialled; no body */
    FRAME_PONG = 3,  /* the answer */
};

struct frame {
    enum frame_kind kind;
    uint16_t shard;
    struct bytes body;
};

/* Appends a frame in steps: begin, the body's bytes put behind it, end with what begin returned. */
size_t frame_begin(struct buffer *to, enum frame_kind kind, uint16_t shard);
void frame_end(struct buffer *to, size_t at);

/* Reads the first frame of `in`. `used` becomes its length; 0 when it is not whole yet, and `want` then says how many bytes it
 * will have. Errors: ERR_TOO_LARGE, ERR_CORRUPT (checksum), ERR_PROTOCOL (a kind that is not known, or with a body it has not). */
int frame_take(struct bytes in, struct frame *out, size_t *used, size_t *want, struct error *e);

#endif
