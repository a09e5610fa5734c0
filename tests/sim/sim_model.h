/* What the clients know, and what must therefore hold: the promises of the broker, checked at every reply and delivery. */
#ifndef HATO_TESTS_SIM_MODEL_H
#define HATO_TESTS_SIM_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SIM_QUEUES = 6, SIM_GROUPS = 5, SIM_MESSAGES_MAX = 200000 };

struct sim_queue {
    const char *name; /* full */
    bool fifo;
    int dead;     /* its dead-letter queue, -1: none */
    bool is_dead; /* a dead-letter queue: nobody sends to it */
    uint32_t max_receives;
    bool delays, groups, priorities;
};

enum sim_state {
    SIM_SENDING, /* outcome not known yet */
    SIM_STORED,  /* acknowledged */
    SIM_REFUSED, /* never stored */
    SIM_GONE,    /* ack or cancel was acknowledged */
};

struct sim_message {
    enum sim_state state;
    uint8_t queue;           /* sent to */
    uint8_t at;              /* last seen in */
    uint8_t group;           /* 0: none */
    bool maybe_gone;         /* an ack or cancel whose outcome is not known */
    uint8_t ending;          /* acks and cancels under way: they may have been done though nobody knows yet */
    uint8_t changing;        /* nacks and extensions under way */
    bool maybe_moved;        /* nobody knows whether the last lease was the last one */
    uint64_t sequence;       /* in queue `at`; 0: not known */
    uint64_t due_ms;         /* not before */
    uint64_t lease_until_ms; /* while this lasts nobody else may have it; 0: none that is known */
    uint64_t lease, leased_ms;
    uint64_t former_lease; /* the last one seen in the queue it left */
    bool changed;          /* a lease of it was ended or extended, so that nobody knows when the others ended */
    uint32_t count;        /* receives seen, in queue `at` */
    uint32_t deliveries;
    uint32_t lost; /* as of the queue, when its send was begun */
};

struct sim_model {
    const struct sim_queue *queues;
    struct sim_message *messages;
    size_t count;
    uint32_t
        lost[SIM_QUEUES]; /* leads of its shard that are over: each may have lost one receive of a message on its way */
    uint64_t stored, acked, dead, deliveries;
    char violation[400]; /* the first one; "" while all promises hold */
};

void sim_violate(struct sim_model *m, const char *format, ...) __attribute__((format(printf, 2, 3)));

struct sim_delivery {
    uint32_t message; /* as the body says */
    int queue;        /* where it was received */
    uint64_t sequence, lease, at_ms, until_ms, sent_ms;
    uint32_t count;
};

void sim_stored(struct sim_model *m, uint32_t message, uint64_t sequence, bool duplicate);
void sim_delivered(struct sim_model *m, const struct sim_delivery *d);
/* A settlement was begun (+1) or answered (-1, before what the answer is): by a leader that is cut off it may be long under way
 * although another leader has done it. `ends`: an ack or cancel. */
void sim_settling(struct sim_model *m, uint32_t message, bool ends, int by);
void sim_acked(struct sim_model *m, const struct sim_delivery *d, int code, uint64_t now_ms);
void sim_nacked(struct sim_model *m, const struct sim_delivery *d, int code, uint64_t now_ms, uint64_t delay_ms,
                bool uncounted);
void sim_extended(struct sim_model *m, const struct sim_delivery *d, int code, uint64_t now_ms, uint64_t until_ms);
void sim_cancelled(struct sim_model *m, uint32_t message, int code);

/* At the end, when everything was drained and acked. */
void sim_check_drained(struct sim_model *m);

#endif
