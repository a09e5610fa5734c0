/* The log of a node: one sequence of segment files shared by all groups (one Raft log each), written by one thread with
 * one fdatasync for whatever all groups submitted meanwhile. proto/LOG-FORMAT.md is the reference of the files.
 *
 * A group has entries first..last without gaps, a hard state, and a snapshot mark. An entry is appended once and read
 * from memory (the tail) until it is durable and released, from disk afterwards.
 *
 * Threads: a group's functions are called by one thread, the one that drains its port. Functions that take `struct log`
 * say where they may be called. Nothing here knows an event loop: the writer calls `wake` and the loop drains.
 *
 * Errors: a write or sync that fails (ERR_IO) is final: the log takes nothing more, every write completes with ERR_IO,
 * log_failed() is true, and the node is to stop. No space (ERR_STORAGE_FULL) ends nothing: see log_retry. */
#ifndef HATO_LOG_LOG_H
#define HATO_LOG_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/bytes.h"
#include "base/disk.h"
#include "base/error.h"

enum {
    LOG_GROUP_MAX = 4095,                /* the largest group number */
    LOG_ENTRY_BYTES_MAX = 66 << 20,      /* of one entry, before compression */
    LOG_WRITE_BYTES_MAX = 768 << 20,     /* of all entries of one write */
    LOG_WRITE_ENTRIES_MAX = 1 << 16,     /* of one write */
    LOG_MEMBERSHIP_BYTES_MAX = 32 << 10, /* of a snapshot mark */
    LOG_SEGMENT_BYTES_MIN = 64 << 10,    /* limits of log_options.segment_bytes */
    LOG_SEGMENT_BYTES_MAX = 1 << 30,
    LOG_SEGMENT_BYTES_DEFAULT = 64 << 20,
    LOG_WINDOW_BYTES_DEFAULT = 1 << 30,
    LOG_RESERVE_SEGMENTS_DEFAULT = 2,
    LOG_RESERVE_SEGMENTS_MIN = 2, /* one to go on in, one for the next start */
    LOG_RESERVE_SEGMENTS_MAX = 64,
};

struct log;
struct log_group;
struct log_port;

struct log_options {
    struct disk *disk;         /* outlives the log */
    const char *dir;           /* made when missing; its parent must exist */
    uint64_t seed;             /* random, another at every open: segment ids come from it */
    uint64_t segment_bytes;    /* of a segment file; 0: the default */
    uint64_t window_bytes;     /* above this log_above_window() asks the shards to spill and compact; 0: the default */
    unsigned reserve_segments; /* kept ready beyond the one in use; 0: the default */
    uint64_t free_bytes_min;   /* of the file system: below it there is no room for new messages; 0: two segments */
    bool threaded;             /* own threads; false: the caller drives it by log_step (the simulator) */
    bool compress;             /* zstd for entries where a sample says it pays */
};

/* What recovery found, for the node's first lines of trace. */
struct log_summary {
    uint64_t segments;
    uint64_t bytes; /* of records, checked */
    uint64_t records;
    uint64_t entries;   /* live at the end */
    uint64_t cut_bytes; /* of a torn tail: from the last whole write to the last trace of a record; 0: none */
    char cut_file[64];  /* the file it was in, "" when none */
};

/* Opens the log in `dir`, making an empty one when there is none, and reads all of it: every checksum is verified.
 * A tail that a power cut can have torn is cut. Anything else that does not hold is refused with ERR_CORRUPT and a
 * message that names file and offset; no file is changed then.
 * Errors: ERR_CORRUPT, ERR_VERSION, ERR_EXISTS (another process has it open), ERR_STORAGE_FULL, ERR_IO, ERR_INVALID. */
int log_open(const struct log_options *options, struct log **out, struct error *e);

/* Finishes what was submitted, syncs, runs the completions that wait (on this thread), frees the log with its groups and
 * ports. The loops must be done with it. Accepts NULL. */
void log_close(struct log *log);

/* Frees without touching the disk again and without completing anything: what a crash leaves. Not for threaded logs. */
void log_abandon(struct log *log);

struct log_summary log_recovered(const struct log *log); /* any thread */

/* ---------------------------------------------------------------- ports: one for each loop */

/* Lives as long as the log. `wake(ctx)` is called on the writer's thread (or inside log_step) when completions wait and
 * none did before; it must not call the log. */
struct log_port *log_port_create(struct log *log, void (*wake)(void *ctx), void *ctx);

/* Runs the completions that wait, in order, on this thread; returns how many. They may submit. */
size_t log_port_drain(struct log_port *port);

/* ---------------------------------------------------------------- the node's view */

bool log_failed(const struct log *log);               /* any thread: a write or sync failed; why is in log_failure */
void log_failure(struct log *log, struct error *out); /* any thread */
bool log_has_room(const struct log *log);             /* any thread, cheap: new messages may be accepted */
bool log_above_window(const struct log *log);         /* any thread, cheap: bytes are above the window */
/* Any thread, asks the file system: at most one `part`th of the space that is free and nobody claimed, for files next to the log. What was
 * got is given back when they are written. */
int log_claim_space(struct log *log, uint64_t want, uint64_t part, uint64_t *got, struct error *e);
void log_unclaim_space(struct log *log, uint64_t got);
uint64_t log_bytes(const struct log *log); /* any thread: of all segments in use, the reserve not counted */

/* Any thread, once a second: tries again to fill the reserve after the disk was full. */
void log_check_space(struct log *log);

/* Not threaded: one gather, write, sync and completion, and upkeep of segments. True when there was anything to do.
 * The completions wait for log_port_drain. */
bool log_step(struct log *log);

/* Reads an entry that is on disk, from any thread; blocks. The caller gets a reference.
 * Errors: ERR_NOT_FOUND (compacted, or not on disk yet), ERR_CORRUPT (file and offset in the message), ERR_IO. */
int log_read(struct log *log, uint32_t group, uint64_t index, struct blob **out, struct error *e);

/* ---------------------------------------------------------------- groups: the owner's thread only */

struct log_hard_state {
    uint64_t term;
    uint64_t vote; /* a node, 0: none */
    uint64_t commit;
};

struct log_entry {
    uint64_t index;
    uint64_t term;
    uint8_t kind;       /* the owner's own meaning */
    struct bytes data;  /* lives as long as `owner` */
    struct blob *owner; /* may be NULL when data is empty */
};

struct log_snapshot {
    uint64_t index; /* 0: there never was one */
    uint64_t term;
    struct bytes membership; /* opaque */
};

/* The group with this number, made when it is new; lives as long as the log. Its completions go to `port`. */
struct log_group *log_group(struct log *log, uint32_t number, struct log_port *port);

/* The numbers of all groups there are, ascending, as far as `max` allows; returns how many there are. Any thread. */
size_t log_groups(struct log *log, uint32_t *out, size_t max);

uint32_t log_group_number(const struct log_group *g);

uint64_t log_first(const struct log_group *g); /* the first kept entry; last + 1 when there is none */
uint64_t log_last(const struct log_group *g);  /* submitted, durable or not; first - 1 when there is none */
uint64_t
log_durable(const struct log_group *g); /* entries up to here are durable (their completion has run); after a reset:
                                                  * its index */
struct log_hard_state log_hard_state(const struct log_group *g);
struct log_snapshot log_snapshot(const struct log_group *g); /* the view lasts until the next submit */

/* The term of an entry in first - 1 .. last; ERR_NOT_FOUND outside. From memory. */
int log_term(const struct log_group *g, uint64_t index, uint64_t *term);

/* One entry, from the tail or else from disk (blocking). The caller gets a reference on out->owner.
 * Errors: ERR_NOT_FOUND, ERR_CORRUPT, ERR_IO. */
int log_entry(struct log_group *g, uint64_t index, struct log_entry *out, struct error *e);

/* As log_entry, but only from the tail: ERR_NOT_FOUND means ask the disk (log_read, on another thread). */
int log_entry_cached(struct log_group *g, uint64_t index, struct log_entry *out);

/* Entries lo .. hi - 1 as far as `max` and `bytes_max` allow, one at least; a reference on each owner.
 * With `cached_only` it stops where the disk would be asked, *n may be 0 then. Errors: as log_entry. */
int log_entries(struct log_group *g, uint64_t lo, uint64_t hi, uint64_t bytes_max, bool cached_only,
                struct log_entry *out, size_t max, size_t *n, struct error *e);

/* The last entry this group still needs in the oldest segment file, and in those after it that are above the window too, as
 * far as all are bytes_max together: spill and compact up to here and they can go. 0 when nothing of this group is there, or
 * the oldest is the one being written. */
uint64_t log_oldest_index(struct log_group *g, uint64_t bytes_max);

/* A request to make something durable. The caller owns the struct until `done`; all parts are optional and take effect
 * in the order of the fields, all of them or (after a crash) none. What the pointers lead to is needed during log_submit
 * only; the entries' bytes are kept through their owner. */
struct log_write {
    const struct log_snapshot *reset; /* all entries go, the log goes on after reset->index: an installed snapshot */
    const struct log_snapshot *mark;  /* a new snapshot mark; the entries stay */
    uint64_t truncate_from;           /* entries from this index on go; 0: none */
    const struct log_entry *entries;  /* contiguous, the first one right after the last */
    size_t entries_n;
    const struct log_hard_state *state;

    /* Runs in log_port_drain of the group's port, once for each submit or retry, in order within the group. `code`:
     * ERR_OK, ERR_STORAGE_FULL, ERR_IO. The struct may be reused or freed inside it, after ERR_STORAGE_FULL not before
     * its retry has completed. */
    void (*done)(struct log_write *w, int code);
    void *ctx;

    struct log_work *work; /* inside */
};

/* Queues the write and applies it to the group's view at once: log_last, log_term and log_entry speak of it already. */
void log_submit(struct log_group *g, struct log_write *w);

/* Submits once more a write that completed with ERR_STORAGE_FULL. It cannot be withdrawn: it is part of the group's view.
 * While one is not on disk, all later writes of the group complete with ERR_STORAGE_FULL as well; retry them in the
 * order in which they completed, not inside `done` but after a while. Other groups and compactions are not held up. */
void log_retry(struct log_group *g, struct log_write *w);

/* Entries up to here were applied: their memory goes as soon as they are durable. */
void log_release(struct log_group *g, uint64_t upto);

/* Nothing up to here is needed any longer (upto <= log_durable): log_first becomes upto + 1. Files go, or are used
 * again, once no group needs them and this is durable. */
void log_compact(struct log_group *g, uint64_t upto);

#endif
