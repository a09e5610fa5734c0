/* What the files of state/ share, and nobody else: the machine, its queues, lanes and chunks. Each noun's functions are in
 * the header of its name. README.md of this folder says why state is laid out so; the rule that all files keep is that a decision
 * depends only on what is persisted (or derived from it): caches, list orders and pointers may differ between replicas. */
#ifndef HATO_STATE_INTERNAL_H
#define HATO_STATE_INTERNAL_H

#include "base/arena.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/heap.h"
#include "base/idmap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/memory.h"
#include "base/tree.h"
#include "proto/command.pb-c.h"
#include "proto/settings.pb-c.h"
#include "state/catalog.h"
#include "state/dedup.h"
#include "state/entry.h"
#include "state/extent.h"
#include "state/identity.h"
#include "state/keys.h"
#include "state/lasterror.h"
#include "state/machine.h"
#include "state/nodes.h"
#include "state/outbox.h"
#include "state/producer.h"
#include "state/redrive.h"
#include "state/settings.h"
#include "store/store.h"

enum {
    CHUNK_SLOTS = 64,
    PRIORITIES = 8,
    GROUP_BYTES_MAX = 128,
    DEDUPLICATION_BYTES_MAX = 128,
    ATTRIBUTES_MAX = 64,
    SEND_MESSAGES_MAX = 65535,          /* of one send command */
    RECEIVE_MESSAGES_MAX = 10000,       /* of one receive command; more is cut to this */
    GROUPS_MAX = 1000000,               /* active lanes of one queue */
    PROMOTED_CHUNKS_MAX = 4096,         /* of a queue: delayed chunks made ready ahead of being received */
    BLOCKED_CHUNKS_MAX = 131072,        /* of a queue: chunks with ready messages of blocked lanes, while delays end */
    QUEUES_MAX = 1000000,               /* of one shard */
    TICK_STEPS_MAX = 10000,             /* things that fall due in one entry */
    TICK_STEPS_MIN = 1000,              /* what a sweep may take whatever else is due */
    CACHED_BYTES_MAX = 4 * 1024 * 1024, /* never-received chunks kept in memory, of one shard */
};
#define DURATION_MS_MAX (UINT64_C(7) * 24 * 3600 * 1000)     /* of a lease, or a nack's delay */
#define DELAY_MS_MAX (UINT64_C(10) * 366 * 24 * 3600 * 1000) /* of a message */
#define CLOCK_MS_MAX (UINT64_C(1) << 53)                     /* an entry's time beyond this is malformed */

struct queue;
struct lane;
struct chunk;

/* A message's bytes inside its entry's payload. */
struct slot {
    uint32_t offset;
    uint32_t len;
};

/* What a receive leaves on a message. */
struct touch {
    uint64_t first_ms;
    uint32_t receives;
};

/* Part of a chunk that one receive holds. Id 0 with `bits` is a hold: a delay after a nack on a FIFO queue, for which nobody has a receipt; id 0 with
 * `late` notes until when a nack delayed messages of a standard queue, whose due keys alone make them ready. */
struct lease {
    uint64_t id;
    uint64_t until_ms;
    uint64_t bits; /* held now */
    uint64_t late; /* ended by time and not received since: its receipt still acks (standard queues) */
};

/* Where a chunk is in its life. In memory are all open ones, those of the entry being applied, and a few fresh ones. */
enum chunk_state {
    CHUNK_FRESH, /* never received from, not delayed */
    CHUNK_COLD,  /* all live messages wait: for a due key, or for the other queue's answer */
    CHUNK_OPEN,  /* some are ready or leased: its touch record is loaded with the machine */
};

/* Up to 64 messages of one lane that came with one entry. live = ready + leased + delayed + moving, which are disjoint; a fresh chunk's
 * are ready, or moving: then its lane is blocked. */
struct chunk {
    uint64_t number; /* in its queue; bit 0 is the class: 0 default lane and undelayed, 1 everything else */
    struct queue *queue;
    struct lane *lane; /* counted in its refs */
    uint64_t index;    /* the entry that holds the bodies */
    uint64_t sent_ms;
    uint64_t due_ms; /* not before; 0: none. Retention counts from the later of the two */
    uint64_t live;
    uint64_t ready;
    uint64_t leased; /* by a receive or a hold: the union of leases' bits */
    uint64_t delayed;
    uint64_t moving; /* those that another queue has not answered for: they leave when it has taken them */
    uint64_t errors; /* slots that have an error record */
    struct slot *slots;
    struct touch *touches; /* NULL before the first receive */
    struct lease *leases;
    uint32_t lease_count;
    uint32_t lease_capacity;
    uint8_t count;         /* slots used at birth */
    uint8_t capacity;      /* of slots */
    uint8_t state;         /* enum chunk_state */
    uint8_t stored;        /* STORED_*: records that the store has, as of the last written entry and the batch */
    bool dirty;            /* in machine.dirty_chunks */
    bool born;             /* its chunk record is not yet in the batch */
    bool touched;          /* its touch record has to be written */
    bool listed;           /* in its lane's head or tail */
    uint32_t gone;         /* messages that left since the extents were told */
    uint32_t cached_bytes; /* its part of machine.cached_bytes, while listed */
    uint64_t gone_bytes;
    struct chunk *next;       /* in its lane's list */
    struct chunk *before;     /* likewise */
    struct list_link open;    /* in lane.open, from its opening until it leaves memory */
    struct chunk *next_dirty; /* in machine.dirty_chunks */
    struct heap_node due;     /* in queue.due: first lease end or retention */
};

enum { STORED_CHUNK = 1, STORED_OPEN = 2, STORED_COLD = 4, STORED_INDEX = 8 };

/* Fresh chunks in memory, in order of number. */
struct chunk_list {
    struct chunk *first;
    struct chunk *last;
};

/* A stream with an order of its own: (priority, group). In memory while it has a chunk that is fresh or open ("active").
 * Fresh chunks in order: head, then (when `disk`) those of the store from `frontier` to below `tail_from`, then tail. */
struct lane {
    struct queue *queue;
    uint64_t id; /* 0: the default lane */
    uint64_t turn;
    uint32_t weight;
    uint32_t in_flight;   /* messages leased */
    uint32_t held;        /* messages in holds */
    uint64_t waiting;     /* FIFO: messages that a due key waits for; it is active as long as there are some */
    uint64_t last_due_ms; /* FIFO: while some wait, later ones are due no earlier, so that order is kept */
    uint64_t moving;      /* FIFO: messages in `moving` of its chunks; it is active as long as there are some */
    uint64_t passed_by;   /* FIFO: the redrive that left a message of it because it was not free; 0: none did */
    uint32_t listed;      /* chunks in head and tail */
    uint32_t refs;        /* chunks in memory that point here */
    uint32_t blocked;     /* its part of queue.open_blocked */
    uint32_t place;       /* in its priority's heap plus one; 0: not eligible */
    uint8_t priority;
    uint64_t halted_ms; /* since when it is halted; 0: it is not */
    bool turned_back;   /* FIFO: one that moved was refused: those that still move are withdrawn */
    bool disk;
    bool stored;  /* the store has its record */
    bool dirty;   /* in machine.dirty_lanes */
    bool changed; /* its record has to be written */
    uint8_t group_len;
    char *group;
    struct list open;  /* open chunks, in the order of their opening */
    struct tree ready; /* those of them with ready bits, by number */
    struct chunk_list head;
    struct chunk_list tail;
    uint64_t frontier;
    uint64_t tail_from;
    struct chunk *builder; /* takes more messages of this entry; NULL: none */
    struct lane *next_dirty;
    struct list_link cached; /* in machine.cached_lanes while head or tail hold something */
};

/* Where a due key lies: after all of a lower time, then number, then bits. */
struct due_place {
    uint64_t ms;
    uint64_t number;
    uint64_t bits;
};

/* No due key lies between the two, which are not part of it. Empty unless `after` is the lower. */
struct due_gap {
    struct due_place after;
    struct due_place to;
};

/* No chunk record of a class has a number from `from` to before `to`, nor will have. */
struct chunk_gap {
    uint64_t from;
    uint64_t to;
};

struct lane_heap {
    struct lane **lanes;
    uint32_t count;
    uint32_t capacity;
};

/* The eligible lanes; only for queues that ever had another than the default one. */
struct pick {
    struct lane_heap heaps[PRIORITIES];
    uint32_t eligible;
};

struct queue {
    uint64_t id;
    char *name;                    /* full name */
    Hato__QueueSettings *settings; /* every field present; see settings.h */
    uint64_t created_ms;
    uint64_t modified_ms;
    struct queue_counts counts;
    uint64_t next_number; /* of chunks, without the class bit */
    /* Numbers (without the class bit) below this are gone, though the store may still have them. */
    uint64_t purged_below;
    uint64_t picks; /* every 16th goes to the lowest priority */
    uint64_t turn;
    uint64_t waiting;           /* messages that a due key waits for */
    uint64_t last_due_ms;       /* FIFO: due times never go back */
    uint64_t due_from_ms;       /* no due key is earlier; NEVER: there is none */
    struct due_gap due_gap;     /* what due_promote need not go over: memory only, see there */
    struct chunk_gap walked[2]; /* what a walk need not go over, by class: memory only, see walk.c */
    uint64_t fresh_chunks[2];   /* of each class */
    uint64_t fresh_from_ms[2];  /* no fresh chunk of the class was sent earlier */
    uint64_t fresh_from[2];     /* no fresh chunk of the class has a lower number */
    uint64_t cold_fresh;        /* fresh chunks that lost messages, so that they have a cold touch record */
    uint64_t open_ready;        /* open chunks with ready bits */
    uint64_t open_blocked;      /* those of them whose lane is blocked */
    uint64_t held;              /* messages in holds; part of counts.delayed */
    uint64_t moving; /* messages in `moving` of chunks; part of counts.moving, beside those that redrives took */
    bool fifo;
    bool dirty;             /* in machine.dirty_queues */
    bool settings_dirty;    /* the settings record has to be written */
    bool announced;         /* EFFECT_READY of this entry is out */
    bool gone;              /* deleted in this entry */
    struct lane lane;       /* the default lane */
    struct idmap lanes;     /* the others, by id */
    struct pick *pick;      /* NULL while there is only the default lane */
    struct tree chunks;     /* in memory, by number */
    struct heap due;        /* chunks by their next point in time */
    struct heap_node timer; /* in machine.timers */
    struct chunk *delayed_builder;
    struct queue_waited *waited;
    struct dedup dedup;
    struct queue *next_dirty;
    struct queue *next_due; /* during the tick: the next of those that were due */
};

/* What is left of a purged or deleted queue: chunks below a number, removed bit by bit. Numbers are without the class bit. */
struct sweep {
    uint64_t queue;
    uint64_t below;
    uint64_t at[2]; /* where to go on, by class */
};

struct machine {
    struct machine_options options;
    struct store *store;
    struct keys keys; /* its batch: all changes of the entry being applied */
    uint64_t applied;
    uint64_t clock_ms;
    uint64_t secret;
    uint64_t next_queue;
    uint64_t next_lease;
    uint64_t led_from_ms; /* the time of the first entry of who leads now; 0: it made none yet */
    bool broken;          /* an apply failed: memory and store may differ */
    struct error failure; /* of that apply */
    struct buffer membership;

    /* the entry being applied */
    uint64_t index;
    uint64_t seed;
    const uint8_t *payload;
    struct machine_output *out;
    struct received *taken; /* scratch of a receive */
    size_t taken_capacity;
    struct buffer scratch; /* of whoever needs one for a moment */
    struct chunk *dirty_chunks;
    struct lane *dirty_lanes;
    struct queue *dirty_queues;
    struct list cached_lanes; /* oldest first */
    size_t cached_bytes;

    struct map names;       /* full name -> struct queue */
    struct idmap ids;       /* id -> struct queue */
    struct queue **ordered; /* by name */
    size_t ordered_count;
    size_t ordered_capacity;
    struct heap timers; /* queues by their next point in time */
    struct tree sweeps; /* by queue id */

    struct producers *producers;
    struct outbox *outbox;
    struct catalog *catalog; /* NULL but on shard 0 */
    struct nodes *nodes;     /* likewise */
    struct extents *extents;
    struct redrives *redrives;
};

/* ---------------------------------------------------------------- machine.c, for the others */

/* Adds an effect; the caller sees to it that it is the only one of its sort in this entry, or asks machine_effect_once. */
void machine_effect(struct machine *m, enum effect_kind kind, uint64_t queue, uint16_t target, const char *name);
/* As machine_effect unless the same effect is there already: linear in the number of effects. */
void machine_effect_once(struct machine *m, enum effect_kind kind, uint64_t queue, uint16_t target, const char *name);
/* Fills a reply's code, field and message (both copied into the output's arena) and returns the code. */
int reply_refuse(struct machine *m, struct reply *r, int code, const char *field, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* As above from an error. */
int reply_error(struct machine *m, struct reply *r, const struct error *e);

#endif
