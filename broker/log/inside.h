/* The log from within: what the files of this folder share. Nobody else includes it.
 *
 * Who touches what:
 *   owner's thread   the upper half of a group: its view, its tail
 *   writer           struct writer, a group's `expected`; with log->lock: faces, places, ends of segments
 *   keeper           makes, reuses and removes segment files, holding log->upkeep
 *   any reader       with log->lock: where an entry is; without: reads it, the segment being held by `readers`
 * Locks are taken in the order upkeep, lock, port. A log that is not threaded runs all of it on one thread. */
#ifndef HATO_LOG_INSIDE_H
#define HATO_LOG_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include "log/face.h"
#include "log/log.h"
#include "log/pack.h"
#include "log/place.h"
#include "log/record.h"
#include "log/segment.h"
#include "log/tail.h"
#include "log/terms.h"

enum {
    /* Of each segment kept from ordinary writes, so that compactions, which make room, always find some. */
    LOG_SLACK_BYTES = 4096,
    /* A batch is synced at this size even though more waits: completions flow, memory is bounded. */
    LOG_BATCH_BYTES = 8 << 20,
    /* Payloads up to this size are copied beside their headers: cheaper than a part of their own. */
    LOG_INLINE_BYTES = 512,
    /* The distance between two points of a group in a segment (see place.h): this times the number of groups, at least
     * LOG_SPREAD_BYTES_MIN. */
    LOG_SPREAD_BYTES = 32 << 10,
    LOG_SPREAD_BYTES_MIN = 256 << 10,
};

/* One submit: copies of what the caller's write pointed to. */
struct log_work {
    struct log_work *next;
    struct log_group *group;
    struct log_write *write; /* NULL: a compaction, which belongs to the writer */
    uint64_t sequence;       /* within the group */
    int code;
    bool has_reset, has_mark, has_state;
    struct log_snapshot reset, mark;     /* views of the blobs below */
    struct blob *reset_blob, *mark_blob; /* NULL: empty */
    uint64_t truncate_from, truncate_term;
    uint64_t first, first_term; /* compaction: the first entry kept, the term of the one before */
    struct log_hard_state state;
    uint8_t vote[8]; /* state.vote as stored */
    size_t entries_n;
    struct log_entry entries[];
};

struct work_list {
    struct log_work *head, *tail;
};

void work_list_push(struct work_list *l, struct log_work *w);
void work_list_join(struct work_list *to, struct work_list *from); /* empties `from` */
void work_destroy(struct log_work *w);

struct log_group {
    struct log *log;
    uint32_t number;

    /* Owner: as submitted. */
    struct log_port *port;
    struct terms terms;
    struct tail tail;
    struct log_hard_state state;
    uint64_t snapshot_index, snapshot_term;
    struct blob *membership;
    uint64_t durable, released;
    uint64_t sequence;       /* of the last write */
    struct work_list parked; /* completed with ERR_STORAGE_FULL, not retried yet */

    /* log->lock: as written. */
    struct face face;
    struct places places;

    /* Writer. */
    uint64_t expected; /* the sequence of the write to come */
};

struct log_port {
    struct log_port *next;
    struct log *log;
    void (*wake)(void *ctx);
    void *ctx;
    pthread_mutex_t lock;
    struct work_list done; /* port->lock */
    bool waking;           /* writer: to be woken after this batch */
};

/* A record of the batch in hand. */
struct spot {
    struct record record;
    uint32_t offset;
    struct log_group *group; /* NULL: a checkpoint */
    struct bytes payload;    /* of the small kinds */
};

/* A piece of the batch's bytes: `data`, or where NULL the bytes at `at` of writer->meta. */
struct part {
    const uint8_t *data;
    size_t at, len;
};

struct writer {
    struct pack pack;
    struct log_segment *segment;
    uint64_t former_end; /* of the segment before */
    uint64_t position;   /* all before it is synced */
    uint64_t previous;   /* the checksum of the last record before it */
    bool marked;         /* a RECORD_DURABLE stands at `position` */

    /* The batch in hand. */
    struct work_list works;
    struct buffer meta;
    struct part *parts;
    size_t parts_n, parts_capacity;
    struct iovec *vector;
    size_t vector_capacity;
    struct spot *spots;
    size_t spots_n, spots_capacity;
    uint8_t **packed;
    size_t packed_n, packed_capacity;
    uint64_t next_position, next_previous;
};

/* Segments in order. */
struct segment_list {
    struct log_segment **at;
    size_t n, capacity;
};

void segment_list_push(struct segment_list *l, struct log_segment *s);
struct log_segment *segment_list_shift(struct segment_list *l); /* NULL: empty */
void segment_list_unshift(struct segment_list *l, struct log_segment *s);
void segment_list_close(struct segment_list *l); /* and the segments in it */

struct log {
    struct log_options options;
    char dir[DISK_PATH_MAX];
    struct disk *disk;
    struct disk_file *lock_file;
    struct log_summary summary;

    pthread_mutex_t lock;
    struct work_list queue;        /* submitted */
    struct work_list stalled;      /* compactions that found no space */
    struct log_group **groups;     /* by number, NULL where there is none */
    size_t groups_n;               /* length of the array */
    size_t groups_used;            /* how many there are */
    struct segment_list segments;  /* in use, contiguous sequence numbers; the last is written to */
    struct segment_list ready;     /* made in advance, following the last of `segments` */
    struct segment_list condemned; /* to be reused or removed, oldest first */
    uint64_t last_sequence;        /* of the newest file */
    struct error failure;
    pthread_cond_t writer_wake, keeper_wake;
    bool writer_sleeps, stopping;
    bool keeper_due;
    uint64_t claimed_bytes; /* of the disk, by files next to the log that are being written */

    pthread_mutex_t upkeep;
    uint64_t next_id; /* upkeep: counts what segment ids were made of */

    struct writer writer;
    pthread_t writer_thread, keeper_thread;
    bool threads_run;

    _Atomic(struct log_port *) ports;
    atomic_bool failed, room, above_window;
    _Atomic uint64_t bytes;
};

/* log.c */
void log_fail(struct log *log, const struct error *e);
struct log_group *log_group_made(struct log *log, uint32_t number); /* finds or makes; log->lock held */
void log_count(struct log *log);                                    /* bytes and window anew; log->lock held */
void log_enqueue(struct log *log, struct log_work *w);

/* One record that is on disk: the group's face and places follow. log->lock held. Returns NULL, or why the record cannot
 * follow what was before. */
const char *log_written(struct log_group *g, const struct record *r, struct bytes payload, uint64_t segment,
                        uint32_t offset);

/* port.c */
void port_post(struct log_work *w); /* writer: hands a completed work over */
void port_wake_all(struct log *log);
void port_destroy(struct log_port *port);

/* batch.c: what the writer has in hand, as bytes */
uint64_t batch_work_bytes(const struct log_work *work); /* an upper bound; 0 when it has no records */
void batch_put_work(struct log *log, const struct log_work *work);
uint64_t batch_checkpoint_bytes(struct log *log); /* an upper bound */
void batch_put_checkpoint(struct log *log);       /* the first record of a segment */
size_t batch_vector(struct writer *w);            /* fills w->vector; returns its length */
void batch_forget(struct writer *w);
void batch_close(struct writer *w);

/* writer.c */
bool writer_turn(struct log *log);                  /* true when it did anything */
int writer_begin(struct log *log, struct error *e); /* at open: a segment and its checkpoint, synced */
void writer_finish(struct log *log);                /* at close: what was synced is proven */
void *writer_main(void *log);

/* keeper.c */
bool keeper_turn(struct log *log);
void keeper_condemn(struct log *log); /* finds segments nobody needs; log->lock held */
void keeper_ask(struct log *log);     /* a turn is due; log->lock held */

/* For the writer: the next segment, with at least `bytes`. The last one that is ready is kept for the next start, and for
 * compactions, unless `last_too`. */
int keeper_take(struct log *log, uint64_t bytes, bool last_too, struct log_segment **out, struct error *e);
uint64_t keeper_id(struct log *log, uint64_t sequence, uint64_t former);
void *keeper_main(void *log);

/* recover.c */
int log_recover(struct log *log, struct error *e);

/* reader.c */

/* Entries lo .. hi - 1 from disk as far as `max` and `bytes_max` allow; without `must` possibly none, else one at least. */
int reader_fetch(struct log *log, uint32_t group, uint64_t lo, uint64_t hi, uint64_t bytes_max, bool must,
                 struct log_entry *out, size_t max, size_t *n, struct error *e);

#endif
