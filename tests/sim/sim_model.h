/* What the clients know, and what must therefore hold: the promises of the broker, checked at every reply and delivery. */
#ifndef HATO_TESTS_SIM_MODEL_H
#define HATO_TESTS_SIM_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SIM_QUEUES = 7, SIM_GROUPS = 5, SIM_MESSAGES_MAX = 200000 };

#define SIM_DEDUPLICATION_WINDOW_MS UINT64_C(300000)

struct sim_queue {
    const char *name; /* full */
    bool fifo;
    int dead;     /* its dead-letter queue, -1: none */
    bool is_dead; /* a dead-letter queue: nobody sends to it */
    uint32_t max_receives;
    bool delays, groups, priorities;
    bool halts; /* a group, at a message whose receives are used up */
};

enum sim_state {
    SIM_SENDING, /* outcome not known yet */
    SIM_STORED,  /* acknowledged */
    SIM_REFUSED, /* never stored */
    SIM_GONE,    /* ack or cancel was acknowledged */
};

/* Where a message is: later ones compare higher. A queue that was deleted and made again has another id. */
struct sim_place {
    uint64_t queue, sequence; /* sequence 0: not known */
    uint64_t seen_ms;         /* first received there, as far as is known */
    uint64_t purged_ms;       /* a purge (or its queue's deletion) was over then; 0: none */
    bool purging;             /* it was known to be here when one began */
};

struct sim_message {
    enum sim_state state;
    uint8_t queue;    /* sent to */
    uint8_t at;       /* last seen in: that one, or its dead-letter queue */
    uint8_t group;    /* 0: none */
    bool maybe_gone;  /* an ack or cancel whose outcome is not known; a purge that may have found it */
    bool confused;    /* nobody knows in which order its deliveries came about, or whether it is another's duplicate */
    bool itself;      /* it was stored, and is no duplicate */
    uint8_t ending;   /* acks and cancels under way: they may have been done though nobody knows yet */
    uint8_t changing; /* nacks and extensions under way */
    bool maybe_moved; /* nobody knows whether the last lease was the last one */
    struct sim_place places[2]; /* the last one known in the queue it was sent to, and in its dead-letter queue */
    struct sim_place first;     /* where it was stored, when that is known for sure */
    uint64_t begun_ms;          /* its shard's clock when its send was begun */
    uint64_t asked_ms;          /* its leader's time then; 0: the send was begun more than once */
    uint32_t id;                /* for deduplication: that of this message, plus one; 0: none */
    uint64_t due_ms;            /* not before */
    uint64_t lease_until_ms;    /* while this lasts nobody else may have it; 0: none that is known */
    uint64_t lease, leased_ms;
    uint64_t cancelled_ms; /* 0: it was not */
    bool changed;          /* a lease of it was ended or extended, so that nobody knows when the others ended */
    uint32_t count;        /* receives seen, in queue `at` */
    uint32_t deliveries;
    uint32_t lost; /* as of the queue, when its send was begun */
};

struct sim_group {
    uint64_t resumed_ms; /* the last resume that was answered */
    uint32_t resuming;
    bool unknown; /* the outcome of a resume */
};

struct sim_model {
    const struct sim_queue *queues;
    struct sim_message *messages;
    size_t count;
    uint32_t lost
        [SIM_QUEUES]; /* leads of its shard that are over, consumers that were closed: each may have lost one receive of a message on its way */
    uint32_t redrives[SIM_QUEUES];  /* begun */
    uint32_t deletions[SIM_QUEUES]; /* begun */
    uint32_t limits[SIM_QUEUES];    /* of a dead-letter queue, so that it may have refused some */
    struct sim_group groups[SIM_QUEUES][SIM_GROUPS + 1];
    uint64_t stored, acked, dead, deliveries, redriven, merged, purged, deleted, resumed;
    char violation[400]; /* the first one; "" while all promises hold */
};

void sim_violate(struct sim_model *m, const char *format, ...) __attribute__((format(printf, 2, 3)));

struct sim_delivery {
    uint32_t message; /* as the body says */
    int queue;        /* where it was received */
    uint64_t queue_id;
    uint64_t sequence, lease, at_ms, until_ms, sent_ms;
    uint32_t count;
};

/* Its id and sequence in the queue it is taken to be in. */
const struct sim_place *sim_place(const struct sim_message *x);

/* A send was answered. `queue_id` 0: it was tried with more than one id of its queue. */
void sim_stored(struct sim_model *m, uint32_t message, uint64_t queue_id, uint64_t sequence, bool duplicate,
                uint64_t now_ms);
/* It was tried before its queue was deleted, and is not in the one that has the name now. */
void sim_left_behind(struct sim_model *m, uint32_t message);
void sim_delivered(struct sim_model *m, const struct sim_delivery *d);
/* A settlement was begun (+1) or answered (-1, before what the answer is): by a leader that is cut off it may be long under way
 * although another leader has done it. `ends`: an ack or cancel. */
void sim_settling(struct sim_model *m, uint32_t message, bool ends, int by);
void sim_acked(struct sim_model *m, const struct sim_delivery *d, int code, uint64_t now_ms);
void sim_nacked(struct sim_model *m, const struct sim_delivery *d, int code, uint64_t now_ms, uint64_t delay_ms,
                bool uncounted);
void sim_extended(struct sim_model *m, const struct sim_delivery *d, int code, uint64_t now_ms, uint64_t until_ms);
void sim_cancelled(struct sim_model *m, uint32_t message, int code, uint64_t now_ms);

/* A purge or the deletion of the queue is begun, and answered. One at a time in a queue. */
void sim_emptying(struct sim_model *m, int queue);
void sim_emptied(struct sim_model *m, int queue, int code, uint64_t now_ms);
void sim_resuming(struct sim_model *m, int queue, unsigned group);
void sim_resumed(struct sim_model *m, int queue, unsigned group, int code, uint64_t now_ms);

/* At the end, when everything was drained and acked. */
void sim_check_drained(struct sim_model *m);

#endif
