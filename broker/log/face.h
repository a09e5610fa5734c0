/* A group as the records up to a point of the log make it: what a checkpoint keeps of it. Pure. */
#ifndef HATO_LOG_FACE_H
#define HATO_LOG_FACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/bytes.h"
#include "log/log.h"
#include "log/record.h"

struct face {
    bool used; /* a record of the group was written */
    struct log_hard_state state;
    uint64_t first;     /* entry; last + 1 when there is none */
    uint64_t base_term; /* of entry first - 1 */
    uint64_t last;
    uint64_t last_term;
    uint64_t snapshot_index;
    uint64_t snapshot_term;
    struct blob *membership; /* NULL: empty */
};

void face_init(struct face *f);
void face_close(struct face *f);

/* What one record does to the group. Returns NULL, or why it cannot follow what was before; `f` is unchanged then. */
const char *face_apply(struct face *f, const struct record *r, struct bytes payload);

bool face_equal(const struct face *a, const struct face *b);

uint64_t face_bytes(const struct face *f); /* as encoded */
void face_encode(const struct face *f, uint32_t group, struct buffer *out);

/* False when the bytes are not one; nothing to close then. */
bool face_decode(struct cursor *c, uint32_t *group, struct face *out);

#endif
