#include "consensus/raft.h"

#include "base/assert.h"
#include "consensus/border.h"

enum { TICKS_MAX = 1 << 20 };

void raft_options_default(struct raft_options *o)
{
    *o = (struct raft_options){
        .election_ticks = 10,
        .heartbeat_ticks = 2,
        .max_size_per_msg = 1 << 20,
        .max_inflight_msgs = 256,
        .max_uncommitted_size = 64 << 20,
        .max_committed_size_per_ready = 4 << 20,
        .pre_vote = true,
        .check_quorum = true,
        .trace_level = RAFT_TRACE_INFO,
    };
}

static struct bytes view_of(const struct blob *b)
{
    return blob_view(b);
}

/* The crate has these structs a second time: they must not drift apart. */
static void layout_check(void)
{
    const size_t own[] = {
        sizeof(struct error),         sizeof(struct raft_entry),   sizeof(struct membership),
        sizeof(struct raft_snapshot), sizeof(struct raft_message), sizeof(struct raft_read),
        sizeof(struct raft_ready),    sizeof(struct raft_storage), sizeof(struct raft_options),
        sizeof(struct raft_change),   sizeof(struct raft_status),  sizeof(struct raft_peer),
        sizeof(struct border_host),
    };
    enum { COUNT = sizeof own / sizeof own[0] };
    size_t theirs[COUNT];
    ASSERT(hato_raft_layout(theirs, COUNT) == COUNT);
    for (size_t i = 0; i < COUNT; i++)
        ASSERT(own[i] == theirs[i]);
}

static int options_check(const struct raft_options *o, struct error *e)
{
    if (o->node == 0)
        return error_field(e, ERR_INVALID, "node", "a node's id is not 0");
    if (o->heartbeat_ticks == 0 || o->election_ticks <= o->heartbeat_ticks || o->election_ticks > TICKS_MAX)
        return error_field(e, ERR_INVALID, "election_ticks", "must be above heartbeat_ticks (above 0), at most %d",
                           TICKS_MAX);
    if (o->max_inflight_msgs == 0)
        return error_field(e, ERR_INVALID, "max_inflight_msgs", "must be above 0");
    if (o->max_uncommitted_size < o->max_size_per_msg)
        return error_field(e, ERR_INVALID, "max_uncommitted_size", "must not be below max_size_per_msg");
    return membership_check(&o->membership, e);
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* What the library would end the process for. Sets hard.commit to what is known to be committed: what was applied was,
 * and so was what has left the log. */
static int storage_check(struct raft_options *o, struct error *e)
{
    const struct raft_storage *s = o->storage;
    uint64_t first = s->first_index(o->storage_context);
    uint64_t last = s->last_index(o->storage_context);
    if (first == 0 || first > RAFT_INDEX_MAX || last > RAFT_INDEX_MAX || last + 1 < first)
        return error_set(e, ERR_CORRUPT, "the log cannot begin at %llu and end at %llu", (unsigned long long)first,
                         (unsigned long long)last);
    if (o->applied + 1 < first)
        return error_set(e, ERR_CORRUPT, "the state ends at index %llu, but the log begins only at %llu",
                         (unsigned long long)o->applied, (unsigned long long)first);
    o->hard.commit = larger(o->hard.commit, larger(o->applied, first - 1));
    if (o->hard.commit > last)
        return error_set(e, ERR_CORRUPT, "the log ends at index %llu, but %llu was committed here: entries are missing",
                         (unsigned long long)last, (unsigned long long)o->hard.commit);
    uint64_t before = s->term(o->storage_context, first - 1);
    uint64_t term = s->term(o->storage_context, last);
    if ((before == 0) != (first == 1) || (term == 0) != (last == 0) || term > o->hard.term ||
        o->hard.term > RAFT_TERM_MAX)
        return error_set(e, ERR_CORRUPT, "the log ends in term %llu, the replica has seen term %llu",
                         (unsigned long long)term, (unsigned long long)o->hard.term);
    return ERR_OK;
}

int raft_create(const struct raft_options *o, struct raft **r, struct error *e)
{
    static const struct border_host host = {
        .blob_ref = blob_ref,
        .blob_unref = blob_unref,
        .blob_copy = blob_copy,
        .blob_view = view_of,
        .random_below = random_below,
        .membership_check = membership_check,
    };
    ASSERT(o->storage != NULL && o->random != NULL);
    layout_check();
    struct raft_options checked = *o;
    int code = options_check(&checked, e);
    if (code == ERR_OK)
        code = storage_check(&checked, e);
    if (code != ERR_OK)
        return code;
    return hato_raft_create(&checked, &host, r, e);
}
