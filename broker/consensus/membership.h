/* Who takes part in a Raft group, and its bytes for storing.
 *
 * A group is usually described by its voters and learners. While a change of several replicas is under way the group is
 * *joint*: a decision then needs a majority of `voters` and one of `outgoing`. Leaving the joint state is an entry of
 * its own, proposed by the leader by itself when `auto_leave` is set.
 *
 * A replica's membership is part of its state: store it in the same write as the applied index, for the two are given
 * back together to raft_create, and membership entries after that index are applied again. */
#ifndef HATO_CONSENSUS_MEMBERSHIP_H
#define HATO_CONSENSUS_MEMBERSHIP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

enum { MEMBERSHIP_NODES_MAX = 16 }; /* in each of the four lists */

/* Ids are node ids: not 0, in ascending order, none twice in a list. */
struct membership_list {
    uint64_t ids[MEMBERSHIP_NODES_MAX];
    uint32_t count;
};

struct membership {
    struct membership_list voters;
    struct membership_list learners;      /* get the log, have no vote; in neither voters nor outgoing */
    struct membership_list outgoing;      /* the voters before a joint change; empty when the group is not joint */
    struct membership_list learners_next; /* outgoing voters that become learners when the joint state is left */
    bool auto_leave;                      /* only when joint */
};

/* Adds an id at its place. Returns false when it is there already, is 0, or the list is full. */
bool membership_add(struct membership_list *list, uint64_t node);
bool membership_has(const struct membership_list *list, uint64_t node);

/* Whether the node is in any of the lists. */
bool membership_includes(const struct membership *m, uint64_t node);

static inline bool membership_joint(const struct membership *m)
{
    return m->outgoing.count > 0;
}

/* Whether all that is said above holds. A membership without voters is valid only if it is empty: that is how a replica
 * begins that will learn of its group from the leader.
 * Errors: ERR_INVALID. */
int membership_check(const struct membership *m, struct error *e);

/* The stored form, version 1: u8 version, u8 auto_leave, then for each of the four lists in the order of the struct:
 * u8 count, count times u64 id (little-endian). */
void membership_encode(const struct membership *m, struct buffer *to);

/* Reads exactly one membership from `from`; checked.
 * Errors: ERR_CORRUPT (truncated, trailing bytes, or not a valid membership), ERR_VERSION. */
int membership_decode(struct bytes from, struct membership *m, struct error *e);

#endif
