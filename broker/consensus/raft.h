/* One replica of one Raft group: the border to raft-rs, the consensus library of TiKV.
 *
 * The library does no input or output. Time comes as ticks, messages through raft_step; what is to be written, sent and
 * applied comes back in a *ready*; the log is read through the callbacks of `struct raft_storage`. Bodies of entries
 * cross the border as views of blobs and are never copied.
 *
 *
 *  ticks, peers, proposals
 *    |                                  +--- drain while raft_has_ready ------------------------------------+
 *    v                                  v                                                                   |
 *  raft_tick, raft_step,  -->  raft_ready(r, &ready)                                                        |
 *  raft_propose, ...                    |                                                                   |
 *    ^                                  |  1. soft state: who leads (wake, or fail those who wait)          |
 *    |                                  |  2. snapshot: install it before anything below                    |
 *    |                                  |  3. send ready.messages now                                       |
 *    |                                  |  4. give ready.hard and ready.entries to the log, with            |
 *    |                                  |     ready.number; from here on the storage callbacks must         |
 *    |                                  |     show them, although nothing is on disk                        |
 *    |                                  |  5. keep ready.persisted_messages (encoded) until then            |
 *    |                                  v                                                                   |
 *    |                           raft_advance(r)                                                            |
 *    |                                  |                                                                   |
 *    |                                  |  6. apply ready.committed in order; a membership entry            |
 *    |                                  |     goes through raft_apply_membership                            |
 *    |                                  v                                                                   |
 *    |                           raft_applied(r, last index applied) ---------------------------------------+
 *    |                                                                                                      ^
 *    |   later, when the log has number N on disk:                                                          |
 *    +-- raft_persisted(r, N), send the persisted_messages of every ready up to N --------------------------+
 *
 * - Between raft_ready and raft_advance only raft_status and the getters may be called; anything else is asserted.
 * - Views in a ready stay valid until the next raft_ready or raft_destroy. To keep an entry's bytes longer, take a
 *   reference of its owner (blob_ref).
 * - Numbers are persisted in order, and N covers all smaller ones. Where a ready has nothing to write (no hard state,
 *   entries, snapshot) its number must be reported all the same; it counts as written when those before it are.
 * - raft_applied may come late (the state machine lags) but goes up only, and never beyond what was given out as
 *   committed. Entries are given out as committed once, and only after they were persisted here.
 * - Entries may overwrite a suffix: the log truncates from the first entry's index before it appends.
 * - A replica with an empty membership (one that is yet to join, or has left and begins anew) has no vote.
 * - Snapshot: after installing, the log begins at snapshot.index + 1 and knows the term of snapshot.index. When its
 *   number is persisted, say raft_persisted and then raft_applied(snapshot.index).
 * - On losing leadership, proposals that have not come back as committed have an unknown outcome, and reads that were
 *   asked for with raft_read_index never answer: settle both when `ready.soft` says so.
 *
 * Errors are refusals: the replica is as it was, unless it says otherwise. A refused peer message is dropped, nothing
 * more. What raft-rs itself holds impossible ends the process; every message from outside, every answer of the storage
 * and every membership is therefore checked before it goes there.
 *
 * When the storage finds its data bad it answers RAFT_STORAGE_FAILED. From then on the replica is *failed*: it does
 * nothing, has no ready, and every call says ERR_CORRUPT. Destroy it; the other groups of the process live on.
 *
 * Threads: one replica is used by one thread at a time; different replicas by different threads. */
#ifndef HATO_CONSENSUS_RAFT_H
#define HATO_CONSENSUS_RAFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/random.h"
#include "consensus/membership.h"

enum {
    RAFT_ENTRY_MAX = 256 << 20,         /* bytes of one entry */
    RAFT_MESSAGE_ENTRIES_MAX = 1 << 20, /* entries of one peer message */
    RAFT_HEADER_MAX = 128 << 10,        /* bytes of a peer message's header (a snapshot's data is in it) */
    RAFT_SNAPSHOT_DATA_MAX = 64 << 10,  /* bytes of `raft_snapshot.data` */
    RAFT_READS_MAX = 4096,              /* read_index requests waiting at a time */
    RAFT_PEERS_MAX = 4 * MEMBERSHIP_NODES_MAX
};
#define RAFT_TERM_MAX (UINT64_C(1) << 62)
#define RAFT_INDEX_MAX (UINT64_C(1) << 62)
#define RAFT_BIRTH_INDEX UINT64_C(1)
#define RAFT_BIRTH_TERM UINT64_C(1)

/* ---------------------------------------------------------------- what crosses the border */

enum raft_entry_kind {
    RAFT_ENTRY_NORMAL = 0,    /* `len` 0: nothing to apply (a new leader's first entry, a change that was dropped) */
    RAFT_ENTRY_CHANGE_V1 = 1, /* a membership change in an older form; never proposed here, applied the same way */
    RAFT_ENTRY_CHANGE = 2     /* a membership change: raft_apply_membership */
};

struct raft_entry {
    uint64_t index;
    uint64_t term;
    const uint8_t *data;
    size_t len;
    struct blob *owner; /* where `data` lives; NULL when len is 0 or the bytes are borrowed for the call */
    uint32_t kind;      /* enum raft_entry_kind */
};

struct raft_hard_state {
    uint64_t term;
    uint64_t vote; /* node voted for in this term, or 0 */
    uint64_t commit;
};

enum raft_role { RAFT_FOLLOWER = 0, RAFT_CANDIDATE = 1, RAFT_LEADER = 2, RAFT_PRECANDIDATE = 3 };

struct raft_soft_state {
    uint64_t leader; /* or 0 */
    uint32_t role;   /* enum raft_role */
};

/* What the log up to `index` amounts to. `data` is opaque and small: a description (size, chunks, hashes) of the state,
 * which is streamed outside of Raft. */
struct raft_snapshot {
    uint64_t index;
    uint64_t term;
    const uint8_t *data;
    size_t len;
    struct membership membership; /* as of `index` */
};

enum raft_message_kind {
    RAFT_APPEND = 3,
    RAFT_APPEND_RESPONSE = 4,
    RAFT_VOTE = 5,
    RAFT_VOTE_RESPONSE = 6,
    RAFT_SNAPSHOT = 7, /* stream the state first, then deliver this; end with raft_report_snapshot */
    RAFT_HEARTBEAT = 8,
    RAFT_HEARTBEAT_RESPONSE = 9,
    RAFT_TIMEOUT_NOW = 14,
    RAFT_PREVOTE = 17,
    RAFT_PREVOTE_RESPONSE = 18
};

/* A message to a peer. `header` is opaque and holds all but the entries. See consensus/envelope.h for its bytes. */
struct raft_message {
    uint64_t from;
    uint64_t to;
    uint64_t term;
    struct bytes header;
    const struct raft_entry *entries; /* of RAFT_APPEND; contiguous */
    size_t entry_count;
    uint32_t kind; /* enum raft_message_kind */
};

/* The answer to raft_read_index: a read is linearizable once `index` is applied. */
struct raft_read {
    uint64_t context;
    uint64_t index;
};

struct raft_ready {
    uint64_t number; /* for raft_persisted */

    const struct raft_message *messages; /* send now */
    size_t message_count;
    const struct raft_message *persisted_messages; /* send when `number` is persisted; they carry no entries */
    size_t persisted_message_count;

    const struct raft_entry *entries; /* append to the log */
    size_t entry_count;
    const struct raft_entry *committed; /* apply */
    size_t committed_count;

    const struct raft_read *reads;
    size_t read_count;

    const struct raft_snapshot *snapshot; /* NULL, or install */

    struct raft_hard_state hard; /* to be written, when has_hard */
    struct raft_soft_state soft; /* news, when has_soft */
    bool has_hard;
    bool has_soft;
    bool must_sync; /* false: only the commit index moved, or nothing to write; then no fsync is owed */
};

/* ---------------------------------------------------------------- storage */

enum raft_storage_result {
    RAFT_STORAGE_OK = 0,
    RAFT_STORAGE_COMPACTED = 1, /* entries: `low` is before first_index */
    RAFT_STORAGE_LATER = 2,     /* must be fetched first: call raft_fetched when it can be answered */
    RAFT_STORAGE_FAILED = 3     /* the data is bad: see the head of this file */
};

/* Collects the answer of `entries`. */
struct raft_entries;

/* Adds the next entry. The collector takes its own reference of `owner`; with owner NULL the bytes are copied. */
void raft_entries_add(struct raft_entries *to, const struct raft_entry *entry);

/* The log as the replica sees it: all that was given to it in readies, on disk or not yet. Called from within raft_*
 * calls on the same thread; must not call raft_* of the same replica. `context` is raft_options.storage_context. */
struct raft_storage {
    /* Entries with low <= index < high, in order, at least one, stopping before their sizes (entry.len) exceed
     * max_bytes, save that one entry is always given; fewer is allowed. */
    enum raft_storage_result (*entries)(void *context, uint64_t low, uint64_t high, uint64_t max_bytes,
                                        struct raft_entries *to);

    /* The term of an index in [first_index - 1, last_index]; 0 outside of it, or for index 0. Answered from memory. */
    uint64_t (*term)(void *context, uint64_t index);

    uint64_t (*first_index)(void *context); /* one after the last index dropped from the log; 1 in a new log */
    uint64_t (*last_index)(void *context);  /* first_index - 1 when the log is empty */

    /* A snapshot for a follower that is too far behind, at an applied index not before first_index - 1. `data` must
     * stay valid until the next call. RAFT_STORAGE_LATER while it is being made: raft asks again by itself. */
    enum raft_storage_result (*snapshot)(void *context, uint64_t to, struct raft_snapshot *snapshot);
};

/* ---------------------------------------------------------------- life */

enum raft_trace_level { RAFT_TRACE_ERROR = 1, RAFT_TRACE_WARN = 2, RAFT_TRACE_INFO = 3 };

/* One line of diagnostics from within the library; `text` is not terminated. */
typedef void (*raft_trace_fn)(void *context, enum raft_trace_level level, const char *text, size_t len);

struct raft_options {
    uint64_t group; /* for diagnostics */
    uint64_t node;  /* this replica's id in the group; not 0 */

    uint32_t election_ticks;  /* without a leader's word for this many to twice as many: election; > heartbeat_ticks */
    uint32_t heartbeat_ticks; /* > 0 */

    uint64_t max_size_per_msg; /* bytes of entries in one append */
    uint32_t max_inflight_msgs;
    uint64_t max_uncommitted_size;         /* bytes; the leader refuses beyond; >= max_size_per_msg */
    uint64_t max_committed_size_per_ready; /* bytes */
    int64_t priority;                      /* a node votes only for nodes of its own priority or higher, unless their
                                              log is longer; equal everywhere unless placement is wanted */
    bool pre_vote;
    bool check_quorum;
    bool batch_append;

    /* The state to go on from. A new group is born at RAFT_BIRTH_INDEX: its log begins right after it and knows
     * RAFT_BIRTH_TERM for it, hard = {RAFT_BIRTH_TERM, 0, RAFT_BIRTH_INDEX}, applied = RAFT_BIRTH_INDEX, the membership
     * is that of its first day. A replica that joins later begins with all zero and an empty membership, and because no
     * log begins at 1 its first word from the leader is a snapshot, which has the membership. (A group whose log does
     * begin at 1 works, but such a joiner fails at the first change of membership in it.) */
    struct raft_hard_state hard;  /* as last written to the log */
    uint64_t applied;             /* in the state machine; may be ahead of hard.commit */
    struct membership membership; /* as of `applied` */

    struct random *random;              /* borrowed; election timeouts are drawn from it, and nothing else is random */
    const struct raft_storage *storage; /* borrowed */
    void *storage_context;
    raft_trace_fn trace; /* or NULL */
    void *trace_context;
    uint32_t trace_level; /* the most talkative level wanted */
};

/* Sets limits and switches to the usual ones (1 MiB a message, 256 in flight, 64 MiB uncommitted, 4 MiB committed a
 * ready, pre-vote, check-quorum, 10 and 2 ticks) and zeroes the rest. */
void raft_options_default(struct raft_options *o);

struct raft;

/* Errors: ERR_INVALID (an option is outside its range), ERR_CORRUPT (storage, hard state and applied index contradict
 * each other). */
int raft_create(const struct raft_options *o, struct raft **r, struct error *e);
void raft_destroy(struct raft *r); /* accepts NULL; drops its references of blobs */

/* ---------------------------------------------------------------- input */

/* One tick of the clock. */
void raft_tick(struct raft *r);

/* Starts an election now, without waiting for the timeout (a new single voter, a test). No effect on a leader. */
void raft_campaign(struct raft *r);

/* A message from a peer. `m->header`, `m->entries` and `m->from` are used: `from` is the node at the other end of the
 * authenticated connection and must be the message's sender. Entry bytes are not copied where they have an owner.
 * Errors: ERR_PROTOCOL (malformed, or says what cannot be), ERR_TOO_LARGE, ERR_NOT_FOUND (an answer from a node that is
 * no longer in the group: harmless), ERR_CORRUPT (the leader believes entries here that are not: this replica lost
 * what it had acknowledged, and must not go on; or failed). */
int raft_step(struct raft *r, const struct raft_message *m, struct error *e);

/* Proposes one entry with the bytes of `body` (takes its own reference; len 1 to RAFT_ENTRY_MAX). `index` may be NULL;
 * the entry is committed if and only if an entry of the same index *and term* comes back as committed.
 * Errors: ERR_NOT_LEADER (also while leadership is being handed over), ERR_OVERLOADED (max_uncommitted_size),
 * ERR_TOO_LARGE, ERR_CORRUPT (failed). */
int raft_propose(struct raft *r, struct blob *body, uint64_t *index, struct error *e);

enum raft_change_kind { RAFT_ADD_VOTER = 0, RAFT_REMOVE = 1, RAFT_ADD_LEARNER = 2 };

struct raft_change {
    uint64_t node;
    uint32_t kind; /* enum raft_change_kind; adding turns a voter into a learner and the other way round */
};

/* Proposes to change the membership. One change is made in one step; several go through the joint state, which is left
 * by itself. No change at all (count 0) proposes to leave a joint state that stays. One at a time: the next is refused
 * until the last is applied. To remove or demote the leader, transfer first.
 * Errors: ERR_NOT_LEADER, ERR_CONFLICT (another change is under way; it would remove the leader), ERR_INVALID (no voter
 * would be left, too many nodes), ERR_OVERLOADED, ERR_CORRUPT (failed). */
int raft_propose_membership(struct raft *r, const struct raft_change *changes, size_t count, uint64_t *index,
                            struct error *e);

/* Hands leadership to a voter, whose log is first brought up to date; gives up by itself after election_ticks. Success
 * shows in the soft state. A voter of higher priority than `to` may prevent it.
 * Errors: ERR_NOT_LEADER, ERR_INVALID (not another voter), ERR_CORRUPT (failed). */
int raft_transfer(struct raft *r, uint64_t to, struct error *e);

/* Asks for the index at which a read is linearizable; the answer comes in ready.reads with the same `context`, which
 * must differ from all that wait. Costs one round of heartbeats, shared by those who wait.
 * Errors: ERR_NOT_LEADER (also until a new leader has committed its first entry), ERR_OVERLOADED (RAFT_READS_MAX),
 * ERR_CORRUPT (failed). */
int raft_read_index(struct raft *r, uint64_t context, struct error *e);

/* Messages to `node` are being lost: go back to probing instead of streaming. */
void raft_report_unreachable(struct raft *r, uint64_t node);

/* How the RAFT_SNAPSHOT message to `node` ended. Owed for each, or the node gets nothing more. */
void raft_report_snapshot(struct raft *r, uint64_t node, bool delivered);

/* What the storage put off with RAFT_STORAGE_LATER can be read now. */
void raft_fetched(struct raft *r);

void raft_set_priority(struct raft *r, int64_t priority);

/* ---------------------------------------------------------------- output */

bool raft_has_ready(const struct raft *r);
void raft_ready(struct raft *r, struct raft_ready *ready); /* only when raft_has_ready */
void raft_advance(struct raft *r);                         /* ends what raft_ready began */
void raft_persisted(struct raft *r, uint64_t number);      /* a number given out, not before the last one persisted */
void raft_applied(struct raft *r, uint64_t index);

/* Makes the membership of a committed entry (RAFT_ENTRY_CHANGE) take effect. To be called for each, in its order, before
 * raft_applied covers it. `m` receives the membership to store with that index, changed or not. A leader that is no
 * voter any more steps down.
 * Errors: ERR_INVALID: the change cannot be made to this membership; it is void, on every replica alike. ERR_CORRUPT
 * (the entry's bytes are no change, or this replica has no membership to change; failed). */
int raft_apply_membership(struct raft *r, const struct raft_entry *entry, struct membership *m, struct error *e);

/* ---------------------------------------------------------------- looking at it */

struct raft_status {
    uint64_t node;
    uint64_t leader; /* or 0 */
    uint64_t term;
    uint64_t vote;
    uint64_t commit;
    uint64_t applied;
    uint64_t persisted;
    uint64_t first_index;
    uint64_t last_index;
    uint64_t uncommitted_bytes; /* of a leader */
    uint64_t transferee;        /* node that leadership is being handed to, or 0 */
    uint32_t role;              /* enum raft_role */
    bool voter;                 /* may become leader */
    bool change_pending;        /* a membership change may be under way */
    bool failed;
};

enum raft_peer_state { RAFT_PEER_PROBE = 0, RAFT_PEER_REPLICATE = 1, RAFT_PEER_SNAPSHOT = 2 };

/* How far a peer is, as its leader knows. */
struct raft_peer {
    uint64_t node;
    uint64_t matched; /* highest index known to be on its disk */
    uint64_t next;
    uint64_t pending_snapshot; /* index of the snapshot on its way, or 0 */
    uint32_t state;            /* enum raft_peer_state */
    bool active;               /* heard of within the last election timeout */
    bool paused;               /* nothing is sent until it answers */
};

void raft_status(const struct raft *r, struct raft_status *status);

/* The peers (itself included) in order of their ids; meaningful on a leader. Returns how many there are, and fills at
 * most `max`. */
size_t raft_peers(const struct raft *r, struct raft_peer *peers, size_t max);

#endif
