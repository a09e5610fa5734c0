/* What C and the crate agree on beside raft.h. Private to this folder. */
#ifndef HATO_CONSENSUS_BORDER_H
#define HATO_CONSENSUS_BORDER_H

#include "consensus/raft.h"

/* What the crate borrows from C. */
struct border_host {
    struct blob *(*blob_ref)(struct blob *b);
    void (*blob_unref)(struct blob *b);
    struct blob *(*blob_copy)(struct bytes b);
    struct bytes (*blob_view)(const struct blob *b);
    uint64_t (*random_below)(struct random *r, uint64_t bound);
    int (*membership_check)(const struct membership *m, struct error *e);
};

/* The options have been checked against the storage; `host` is copied. */
int hato_raft_create(const struct raft_options *o, const struct border_host *host, struct raft **r, struct error *e);

/* Sizes of the shared structs as the crate has them, in the order of raft.c's own list. Returns how many there are. */
size_t hato_raft_layout(size_t *sizes, size_t max);

#endif
