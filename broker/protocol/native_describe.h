/* How functions are described: what the catalog keeps of them, which queues are bound to them, and how their deliveries go. The last is
 * known where a queue is led: on each seat of this node, and on other nodes, which are asked.
 *
 *   catalog's shard -> each shard in turn: its queues, its seat -> the other nodes, all at once -> reply
 *
 * Nobody outside of protocol/ includes this. */
#ifndef HATO_PROTOCOL_NATIVE_DESCRIBE_H
#define HATO_PROTOCOL_NATIVE_DESCRIBE_H

#include "base/map.h"
#include "protocol/native_survey.h"

enum {
    DESCRIBED_BYTES = 4096,     /* about, of a function in a reply */
    DESCRIBE_ATTEMPTS_MAX = 50, /* FunctionInfo.attempts */
    DESCRIBE_QUEUES_MAX = 1000, /* FunctionInfo.queues of FunctionShow */
    DESCRIBE_LISTED_MAX = 100,  /* and of the others */
};

struct described {
    const char *name; /* full */
    Hato__FunctionInfo *info;
    size_t queue_capacity;
    uint32_t nodes; /* that lead queues of it: bits, by place in describing->nodes */
    bool known;     /* something is known of its deliveries */
};

/* In the op's arena, as op->extra. */
struct describing {
    struct described *all;
    size_t count;
    struct map by_name;
    uint16_t shard;
    bool attempts;
    uint32_t max;
    uint32_t queues_max; /* that are named of each */
    size_t bytes;        /* of all, as they are sent, but for their queues */
    size_t bytes_max;
    const char *next;
    struct op *op;
    uint64_t nodes[SURVEY_NODES_MAX]; /* that lead queues of some of them */
    unsigned node_count;
    struct survey survey; /* of these, in their order */
};

struct describing *describe_begin(struct op *op, uint32_t max);
/* Adds one, and what the catalog keeps of it. On the catalog's seat. */
void describe_add(struct describing *x, const struct function_view *f);
void describe_close(struct describing *x);
/* At home: goes on to all that is not the catalog's, and replies. */
void describe_home(struct op *op);
void describe_reply(struct op *op);

/* ---------------------------------------------------------------- native_activity.c */

/* Adds what is known on the shard's seat of how deliveries go. There. */
void activity_of_seat(struct describing *x, struct seat *seat);
/* Asks the other nodes; describe_reply follows. At home. */
void activity_of_others(struct describing *x);

#endif
