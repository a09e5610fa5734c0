/* What the files of shard/ share. Nobody else includes this. */
#ifndef HATO_SHARD_INTERNAL_H
#define HATO_SHARD_INTERNAL_H

#include "base/idmap.h"
#include "consensus/raft.h"
#include "shard/batch.h"
#include "shard/bodies.h"
#include "shard/peer.h"
#include "shard/shard.h"
#include "shard/timekeeper.h"
#include "state/keys.h"

enum {
    SHARD_ENTRIES_IN_FLIGHT = 4,                 /* proposed, not yet applied: the rest gathers into larger ones */
    SHARD_BATCH_BYTES = 1024 * 1024,             /* an entry is closed beyond this */
    SHARD_PENDING_BYTES_MAX = 192 * 1024 * 1024, /* commands waiting for their entry; beyond: ERR_OVERLOADED */
    SHARD_FETCH_BYTES_MAX = 64 * 1024 * 1024,    /* of messages being fetched for receives; the others wait. What
                                                    is in memory for them may be SHARD_KEPT_FACTOR times as much */
    SHARD_READINGS_AHEAD_MAX = 4,                /* entries on their way; beyond, none is read before it is asked for */
    SHARD_SPILL_FILE_BYTES = 64 * 1024 * 1024,
    SHARD_FLUSH_BYTES = 128 * 1024 * 1024, /* log to replay after a crash, about */
    SHARD_REPLAY_BYTES = 2 * 1024,         /* a small entry counts as so many: it takes as long to apply */
};

enum { SHARD_FEEDS_MAX = MEMBERSHIP_NODES_MAX };

struct offer;
struct join;

/* A follower that takes a snapshot from here. */
struct feed {
    uint64_t node; /* 0: unused */
    uint32_t idle_ticks;
    bool working; /* a part is being made */
};

/* What one ready gave to the log. */
struct shard_write {
    struct log_write write;
    struct shard *shard;
    struct list_link link;
    uint64_t number; /* of the ready, or of a later one that had nothing to write */
    bool resets;     /* the log begins anew behind a snapshot */
};

struct shard {
    struct shard_options options;
    const struct shard_env *env;
    struct random random;
    struct raft *raft;
    struct log_group *log;
    struct machine *machine;
    struct machine_output output;
    char problem[ERROR_MESSAGE_MAX];
    bool stopped;
    bool resting;          /* stopped until the store has space: revive.c */
    unsigned rested_ticks; /* since the last try */
    bool closing;
    bool retiring;

    bool elected;  /* raft says leader */
    bool leads;    /* serving: elected, and an entry of its own term is applied */
    uint64_t term; /* in which it is elected */
    struct timekeeper time;
    bool accept_sends;
    bool handover_begun;
    uint32_t handover_ticks; /* left for handing the lead over; 0: it does not */
    uint64_t preferred;      /* who is to lead; 0: whoever does */
    uint64_t successor;      /* who the lead is being handed to */
    uint32_t steady_ticks;   /* for which that one has kept up */
    uint32_t eager_ticks;    /* since the opening, a few */
    uint32_t announce_ticks; /* of a leader: until those who take no part are told again */
    struct told {            /* of one of these: who leads */
        uint64_t node, term;
        uint32_t left; /* ticks for which that counts */
    } told;
    struct heard {
        uint64_t node;
        uint32_t left; /* ticks for which it counts as there */
    } heard[RAFT_PEERS_MAX];
    uint64_t heard_term; /* the term of these */
    bool turn_asked;

    struct batch *open;     /* takes commands; NULL until the first */
    struct list waiting;    /* closed batches, not proposed yet */
    struct list proposed;   /* in the order of their indexes */
    uint64_t pending_bytes; /* of open and waiting */

    struct list writes;          /* out at the log, in order */
    struct list unwritten;       /* came back because the disk is full; submitted again at the next tick */
    struct list owed;            /* frames that wait for the disk, in the order of their numbers */
    struct raft_hard_state hard; /* as of the last ready */
    bool hard_unwritten;         /* it goes along with the next entries */

    struct bodies bodies;
    struct idmap lines; /* queue id -> struct line: who waits for what */
    struct list dirty_lines;
    struct list held;        /* asks that have their messages, not the bodies yet */
    struct list unready;     /* those of them whose consumers can't take anything now */
    uint64_t fetching_bytes; /* of messages whose bodies are on their way to asks */
    bool serving_held;
    struct idmap readings; /* entry index -> struct reading, on its way from the log */
    uint64_t ahead;        /* the entry read ahead last: one that is not to be had whole is not tried again and again */
    size_t works_out;

    uint64_t applied_bytes; /* of entries that no flush covers */
    uint64_t marked_bytes;  /* of them those that the flush under way will cover */
    uint64_t durable;       /* the machine's state on disk covers this */
    uint64_t spilled;       /* bodies of entries up to here are in the store, or dead */
    bool spilling;
    struct offer *offer; /* NULL: none */
    struct feed feeds[SHARD_FEEDS_MAX];
    struct join *join;            /* NULL: no snapshot is being taken */
    struct key joined_bodies;     /* bodies up to here are there, of this offer or one before */
    bool installing;              /* from raft's ready to the machine's new state */
    uint64_t persisted_meanwhile; /* raft hears of it after that */

    struct placement placement; /* who is to take part; no voters: nobody has said */
    uint64_t changed_at;        /* the log's last entry at shard_changed */
    bool leaving;               /* stopped, and opened anew as one that never joined */
    uint64_t leave_question;    /* whether it is a member; 0: none is out, or what was heard since voids the answer */
    uint32_t leave_ticks, leave_asked;

    struct idmap forwards; /* target shard -> struct forward: the channel's carrier */
};

/* Who takes part in its group, as applied. Errors: ERR_CORRUPT, ERR_VERSION. */
int shard_members(const struct shard *s, struct membership *m);

void shard_ask_turn(struct shard *s);
void shard_stop(struct shard *s, const struct error *e);  /* for good: corruption, disk */
int shard_machine_open(struct shard *s, struct error *e); /* replaces s->machine when it succeeds */
void shard_work(struct shard *s, struct work *w);         /* counts it */
void shard_work_done(struct shard *s);

/* ready.c: raft and the log */
void shard_drain(struct shard *s);
int shard_raft_open(struct shard *s, struct error *e);
void shard_write_again(struct shard *s); /* what the full disk refused */
void shard_write_reset(struct shard *s, const struct log_snapshot *reset, const struct log_hard_state *hard);

/* link.c: frames to and from other nodes */
void shard_link_send(struct shard *s, const struct raft_message *m);
void shard_link_owe(struct shard *s, const struct raft_message *m, uint64_t number); /* sent once that is persisted */
void shard_link_release(struct shard *s, uint64_t number);
void shard_link_close(struct shard *s);

int shard_link_step(struct shard *s, uint64_t node, struct blob *frame, struct error *e); /* gives raft its message */

/* offer.c: snapshots for followers */
enum raft_storage_result shard_offer_snapshot(void *ctx, uint64_t to, struct raft_snapshot *out);
int shard_offer_wanted(struct shard *s, uint64_t node, const struct peer_want *want, struct error *e);
void shard_offer_tick(struct shard *s);
void shard_offer_close(struct shard *s);

/* join.c: taking a snapshot */
int shard_join_offered(struct shard *s, uint64_t node, struct blob *frame, const struct raft_snapshot *offer,
                       struct error *e);
int shard_join_part(struct shard *s, uint64_t node, const struct peer_part *part, struct bytes records,
                    struct blob *frame, struct error *e);
void shard_join_tick(struct shard *s);
bool shard_join_holds_spill(const struct shard *s);       /* what would be spilled is about to go */
void shard_join_install(struct shard *s, uint64_t index); /* raft took it: the log is about to begin anew */
void shard_join_log_reset(struct shard *s);               /* that is on disk */
void shard_installed(struct shard *s);                    /* ready.c: the machine has the snapshot's state */
int shard_join_resume(struct shard *s, struct error *e);  /* what a crash interrupted; before the machine opens */
void shard_join_close(struct shard *s);

struct key shard_key(uint16_t number, bool staged); /* what the keys of its state begin with */
int shard_drop_state(struct store *store, uint16_t number, bool staged, struct error *e);

/* change.c: who takes part */
void shard_change_tick(struct shard *s);
void shard_changed(struct shard *s); /* the members changed, or this replica was elected */
bool shard_change_lasts(
    struct shard *s); /* of a leader: the members it has are those after any crash; else it sees to that */
bool shard_wants(const struct shard *s, uint64_t node); /* it is to take part */

/* leave.c: a replica that the group has let go of */
void shard_leave_tick(struct shard *s);
void shard_leave_asked(struct shard *s, uint64_t node, uint64_t question);
void shard_leave_heard(struct shard *s); /* a message of raft is about to be taken */
void shard_leave_told(struct shard *s, uint64_t question, uint64_t term);
bool shard_leave_log(struct shard *s); /* true: it is being written that the log is empty */
int shard_leave_forget(struct shard *s,
                       struct error *e); /* what the store has of a replica that left; before the machine opens */

/* accept.c: items of a channel from another node */
int shard_accept(struct shard *s, uint64_t node, const struct peer_accept *accept, struct error *e);

/* apply.c */
void shard_apply(struct shard *s, const struct raft_entry *entries, size_t count);
void shard_lead(struct shard *s, bool leads);
void shard_replaced(struct shard *s,
                    const struct machine *former); /* the machine is another one: tells of what differs */

/* revive.c: the store ran out of space */
void shard_rest(struct shard *s, const struct error *e);
void shard_revive(struct shard *s); /* at each tick */

/* line.c: who waits for messages */
void shard_lines_serve(struct shard *s); /* puts receives into the open batch */
void shard_held_serve(struct shard *s);  /* gets bodies for those who have messages */
/* Begins to read an entry that will be wanted soon, unless it is at hand or enough is on its way; what it can't read is found out by who wants it. */
void shard_read_ahead(struct shard *s, const struct message_ref *next);
void shard_handover_try(struct shard *s); /* as soon as nothing is proposed */
void shard_handover_tick(struct shard *s);
void shard_hand_to(struct shard *s, uint64_t node); /* or goes on leading, when that one does not take it at once */

/* lead.c */
void shard_lead_tick(struct shard *s);
bool shard_hears(const struct shard *s, uint64_t node); /* of a replica, as a leader */
void shard_lead_told(struct shard *s, uint64_t node, uint64_t term);
uint64_t shard_leader(const struct shard *s); /* as far as is known here; or 0 */
void shard_line_dirty(struct shard *s, uint64_t queue);
void shard_lines_end(struct shard *s, int code, const char *message);
void shard_lines_close(struct shard *s);

/* submit.c. ERR_STORAGE_FULL: what room the log has left is for what empties queues. */
int shard_refuse_messages(const struct shard *s, struct error *e);

/* forward.c */
void shard_forward(struct shard *s, uint16_t target);
int shard_forward_accepted(struct shard *s, const struct peer_accepted *accepted, struct error *e);
void shard_forwards_tick(struct shard *s);   /* rounds that failed go again, those that wait too long have */
void shard_forwards_recall(struct shard *s); /* rounds at other nodes have failed */
void shard_forwards_close(struct shard *s);

/* batch.c */
struct batch *shard_batch_for(struct shard *s,
                              size_t bytes); /* the open one, with room for a command of this payload */
void shard_propose(struct shard *s);
void shard_batches_fail(struct shard *s, int code, const char *message);

#endif
