/* A shard's runtime: the one place where commands become entries and entries become replies.
 *
 *   command -> batch -> entry -> raft -> log (fsync) -> raft says committed -> machine applies -> reply, effects
 *
 * Sans-IO: no socket, timer or thread is touched here. The owner (a loop of a node, or the simulator) calls in and is
 * called back through `struct shard_env`. All that one turn of the loop brings becomes one entry.
 *
 * Threads: one, the owner's, for everything. `run` of a `struct work` is the exception: it runs elsewhere and touches
 * only what its work owns and what is thread-safe (log_read, the store).
 *
 * Callbacks never come from inside the call that asked for them, with one exception that is said where it is. */
#ifndef HATO_SHARD_SHARD_H
#define HATO_SHARD_SHARD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/list.h"
#include "base/pace.h"
#include "base/random.h"
#include "base/trace.h"
#include "consensus/membership.h"
#include "log/log.h"
#include "state/entry.h"
#include "state/machine.h"

struct shard;
struct store;

/* Blocking work off the loop: `run` on another thread, then `done` on the owner's. */
struct work {
    void (*run)(struct work *w);
    void (*done)(struct work *w);
    void *owner_data; /* the owner's, while the work is out */
};

/* Something to be done on another shard's thread. */
struct task {
    void (*run)(struct task *t, struct shard *on);
};

/* Bytes behind a frame's head. With an owner they may be kept by a reference of it, else they last for the call. */
struct shard_part {
    struct bytes data;
    struct blob *owner;
};

/* What a shard needs from whoever owns it. */
struct shard_env {
    void *ctx;
    struct clock clock;
    /* Call shard_turn when this turn's input is all in. Asked at most once until then. */
    void (*ask_turn)(void *ctx, struct shard *s);
    void (*work)(void *ctx, struct work *w);
    /* The shard began or ended to serve (leader, and caught up with its own term). */
    void (*leading)(void *ctx, struct shard *s, bool leading);
    /* Effects for which the owner has the means. */
    void (*queue_ready)(void *ctx, struct shard *s, uint64_t queue); /* it may have something to receive */
    void (*queue_changed)(void *ctx, struct shard *s, uint64_t queue);
    void (*function_changed)(void *ctx, struct shard *s,
                             const char *name);        /* on every replica, not the leader's alone */
    void (*nodes_changed)(void *ctx, struct shard *s); /* likewise; also when it may have */
    /* Runs the task where shard `number` lives, with that shard; with NULL where it can't be reached. Later, never inside. */
    void (*post)(void *ctx, uint16_t number, struct task *t);
    /* Brings a frame (head, then parts) to `shard` at another node: shard_receive there. It may be lost. */
    void (*send)(void *ctx, struct shard *s, uint64_t node, uint16_t shard, struct bytes head,
                 const struct shard_part *parts, size_t count);
    /* The node that leads shard `number`, as far as is known here; 0: not known. */
    uint64_t (*leader)(void *ctx, uint16_t number);
    /* The shard can't go on and has stopped (corruption, a failed disk), or rests until its full disk has space, when `leading`
     * comes again; the reason is in shard_problem. */
    void (*stopped)(void *ctx, struct shard *s);
};

struct shard_options {
    uint16_t number; /* 0: the catalog; also the Raft group */
    uint16_t shards;
    uint64_t node;
    struct membership
        founders; /* of the group: the same on each of them. Empty: this replica joins a group that exists */
    struct log *log;
    struct log_port *port;
    struct store *store;
    const struct shard_env *env; /* borrowed */
    uint64_t seed;               /* of election timeouts and of the entries' randomness */
    uint64_t flush_bytes;        /* of entries applied after which a flush is wanted; 0: 128 MiB */
    uint64_t spill_file_bytes;   /* of bodies, about; 0: 64 MiB */
    uint64_t cache_bytes;        /* of entries kept for reading bodies; 0: 8 MiB */
    struct pace *catch_up;       /* of snapshots that the node takes, all its shards together; borrowed; NULL: none */
    struct trace *trace;         /* may be NULL */
};

int shard_open(const struct shard_options *options, struct shard **out, struct error *e);

/* The node is stopping: the shard hands over its lead, if anybody is there to take it, and begins nothing of its own any more
 * (forwarding), while what is asked is still done. Should the disk be full, those who wait for it are answered at the next tick. */
void shard_retire(struct shard *s);
bool shard_hands_over(const struct shard *s); /* it still does; for some seconds at most */

/* Which replica is to lead where all are well, so that the owner can spread its shards' leads; 0: whichever does. Where another leads it
 * hands its lead over once the preferred one has kept up with it for ten seconds: clients see some round trips of latency. */
void shard_prefer(struct shard *s, uint64_t node);

/* To be told to every replica, again when it opens, and to those on nodes that are to join. Whoever leads brings it about, one safe step at
 * a time, and a replica that is not in it empties itself once the group has let it go: change.c, leave.c. */
void shard_place(struct shard *s, const struct placement *p);
/* The version of the placement that the group has come to be as, for good; 0: it has not, or this replica does not lead. */
uint64_t shard_placed(struct shard *s);

/* Everything submitted and not answered is answered with ERR_CLOSED. Work that is out must have come back
 * (shard_busy). Accepts NULL. */
void shard_close(struct shard *s);
bool shard_busy(const struct shard *s);

/* As a crash leaves it: `begin` answers everybody and takes nothing more; then the work that is out must come back; `end` frees
 * without touching log or store. For the simulator, and for a node that has failed. */
void shard_abandon_begin(struct shard *s);
void shard_abandon_end(struct shard *s);

uint16_t shard_number(const struct shard *s);
/* What a query of its machine or a fetch failed with: damage stops the shard, whoever came across it. */
void shard_query_failed(struct shard *s, const struct error *e);
bool shard_leads(const struct shard *s);
const char *shard_problem(const struct shard *s); /* "" while it works */
/* Why it can't take commands: ERR_NOT_LEADER, ERR_STORAGE_FULL (it waits for space and goes on by itself), ERR_CORRUPT (it has
 * stopped); ERR_OK when it can. */
int shard_refuse(const struct shard *s, struct error *e);
struct machine *shard_machine(struct shard *s); /* queries only */

struct shard_status {
    const char *role;
    uint64_t leader, term, commit, applied, durable;
};
void shard_status(const struct shard *s, struct shard_status *out);

/* A replica, as the leader sees it. */
struct shard_replica {
    uint64_t node;
    uint64_t matched;  /* on its disk, as far as is known */
    const char *state; /* "leader", "replicating", "probing", "snapshot", "silent" */
    bool voter;
};
enum { SHARD_REPLICAS_MAX = 4 * MEMBERSHIP_NODES_MAX };
/* In order of their nodes, itself included; none where this replica does not lead. Returns how many. */
size_t shard_replicas(const struct shard *s, struct shard_replica out[SHARD_REPLICAS_MAX]);

/* ---------------------------------------------------------------- driven by the owner */

void shard_turn(struct shard *s); /* as asked by ask_turn, after the log port was drained */
void shard_tick(struct shard *s); /* every SHARD_TICK_MS */
uint64_t
shard_due_in_ms(struct shard *s); /* after how long shard_due is wanted, or NEVER; ask again after each call in */
void shard_due(struct shard *s);
/* A frame from `node`, whose identity the link has proven. Keeps references of the frame as it needs them. */
void shard_receive(struct shard *s, uint64_t node, struct blob *frame);
void shard_unreachable(struct shard *s, uint64_t node); /* frames to it are being lost */
uint64_t shard_now_ms(struct shard *s);                 /* the leader's time: that of the entries it makes */

enum { SHARD_TICK_MS = 100 };

/* Whether new messages may be accepted; false: sends are refused with ERR_STORAGE_FULL, and what channels bring (dead letters,
 * redrives) waits where it is. Set by the owner. */
void shard_accept_sends(struct shard *s, bool accept);

/* ---------------------------------------------------------------- commands */

/* A command under way; embedded in what the caller knows about it. `done` is called once; `reply` lives for the call. When the
 * fate of a command is unknown (leadership lost, shard stopped) reply->code says so. */
struct command {
    void (*done)(struct command *c, const struct reply *reply);
};

/* Each puts one command into the entry that this turn makes, copying its arguments, or refuses at once with
 * ERR_NOT_LEADER, ERR_OVERLOADED, ERR_STORAGE_FULL (messages; all while the store is full), ERR_TOO_LARGE, ERR_CORRUPT (stopped); then `done` is not called. */
int shard_send(struct shard *s, struct command *c, const struct entry_send *send, const struct bytes *messages,
               struct error *e);
int shard_ack(struct shard *s, struct command *c, uint64_t queue, const struct entry_lease *leases, uint32_t count,
              struct error *e);
int shard_nack(struct shard *s, struct command *c, const struct entry_settle *settle, const struct entry_lease *leases,
               struct error *e);
int shard_extend(struct shard *s, struct command *c, uint64_t queue, uint64_t visibility_ms,
                 const struct entry_lease *leases, uint32_t count, struct error *e);
int shard_cancel(struct shard *s, struct command *c, uint64_t queue, const uint64_t *sequences, uint32_t count,
                 struct error *e);
int shard_command(struct shard *s, struct command *c, enum command_kind kind, struct bytes payload, struct error *e);

/* ---------------------------------------------------------------- receiving */

/* A message in hand: what the machine says of it, and its `Message` bytes. */
struct delivered {
    struct received is;
    struct bytes message; /* a Message of client.proto, encoded */
    struct blob *owner;
};

/* Someone who wants messages of a queue: a long poll, a stream, a function's binding. It waits in the leader's memory and
 * costs nothing while there is nothing. */
struct consumer {
    uint64_t queue;
    uint32_t credit;        /* messages it may still be given; shard_consumer_credit adds */
    uint32_t batch_max;     /* messages in one delivery */
    uint32_t bytes_max;     /* bytes in one delivery; 0: no bound; one message is always given */
    uint64_t visibility_ms; /* ENTRY_VISIBILITY_DEFAULT: the queue's */
    bool single;            /* closes itself at its first delivery, so that nothing more is leased for it meanwhile */
    bool once; /* does not wait: closed by its first delivery, or ended with ERR_OK when there is nothing */

    /* Whether it can take a delivery now; may be NULL: always. After a false what is leased for it waits, without its bodies,
     * until shard_consumer_ready. `count` messages of `bytes` are what it would be given; 0 when it is asked before it is known. */
    bool (*ready)(struct consumer *c, size_t count, uint64_t bytes);
    /* Leased messages, `count` > 0. Takes no references: what is needed later is ref'd or copied. */
    void (*deliver)(struct consumer *c, const struct delivered *messages, size_t count);
    /* The shard stopped serving, or the queue is gone: nothing more will come; the consumer is closed already. */
    void (*ended)(struct consumer *c, int code, const char *message);

    /* inside */
    struct list_link link;
    struct list asks;
    uint32_t asked;
    bool open;
};

/* ERR_NOT_LEADER, ERR_NOT_FOUND (no such queue). */
int shard_consumer_open(struct shard *s, struct consumer *c, struct error *e);
void shard_consumer_credit(struct shard *s, struct consumer *c, uint32_t more);
/* It can take deliveries again. */
void shard_consumer_ready(struct shard *s, struct consumer *c);
/* What was leased for it and not delivered yet goes back, uncounted. */
void shard_consumer_close(struct shard *s, struct consumer *c);

/* ---------------------------------------------------------------- bodies */

/* Gets the bytes of messages; for peeking and forwarding. `done` is called exactly once, possibly from inside this call when
 * all are at hand; the messages' owners are released after it returns. */
struct fetch {
    struct delivered *messages; /* `is.ref` filled by the caller, who keeps the array until done */
    size_t count;
    void (*done)(struct fetch *f, int code, const struct error *e);
    size_t missing; /* inside, as what follows */
    int code;
    struct error error;
};
void shard_fetch(struct shard *s, struct fetch *f);

enum { SHARD_KEPT_FACTOR = 4 };

/* For who keeps messages for longer than a call. Neighbours that share their owner, an entry perhaps a thousand times their
 * size, and take less of it than one part of SHARD_KEPT_FACTOR, get a copy of their own instead; so what is held in all is at
 * most that many times the messages. `messages` have references that are the caller's, and then others; an owner may be NULL. */
void shard_keep(struct delivered *messages, size_t count);

/* ---------------------------------------------------------------- upkeep: log window, flushes */

/* Called about once a second: spills and compacts what the log's window asks for. */
void shard_upkeep(struct shard *s);
/* A flush of the store is wanted: the log to replay grows long, or compaction waits for it. */
bool shard_wants_flush(const struct shard *s);
/* The owner flushes the store for all shards: it asks each for its mark, flushes on another thread, gives the mark back. */
uint64_t shard_flush_mark(struct shard *s);
void shard_flushed(struct shard *s, uint64_t mark);

#endif
