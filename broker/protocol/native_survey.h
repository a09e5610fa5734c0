/* Asking other nodes something on behalf of one request, all at once: the answers that come in time, and who gave none.
 *
 *   survey_open -> survey_ask of each node -> survey_close -> `answered` for each, in any order -> `done`
 *
 * A node that is asked while it owes the session an answer to an earlier survey is not asked: what is asked would pile up there.
 * Nobody outside of protocol/ includes this. Threads: the session's loop, where its op is at home. */
#ifndef HATO_PROTOCOL_NATIVE_SURVEY_H
#define HATO_PROTOCOL_NATIVE_SURVEY_H

#include "protocol/native_session.h"

enum {
    SURVEY_WAIT_MS = 2 * 1000, /* for the answers */
    SURVEY_NODES_MAX = 32,     /* more than a cluster has */
};

struct survey_node {
    struct survey *survey;
    uint64_t node;
    unsigned about;
    struct op *asking; /* NULL: it is not asked, or has answered */
};

struct survey {
    struct op *op;
    /* Once for each node asked, with the caller's `about`. `reply` is NULL when there is none, which `why` explains; else it lives in
     * the op's arena. Also from inside survey_ask. */
    void (*answered)(struct survey *s, unsigned about, const Hato__Reply *reply, const struct error *why);
    void (*done)(struct survey *s); /* also from inside survey_close */
    struct survey_node nodes[SURVEY_NODES_MAX];
    unsigned count;
    unsigned out; /* that have not come home, and one while they are being asked */
    struct alarm late;
};

/* The callbacks are set by the caller. The memory is the op's. */
void survey_open(struct survey *s, struct op *op);
void survey_ask(struct survey *s, uint64_t node, unsigned about, Hato__Request *request); /* at most SURVEY_NODES_MAX */
void survey_close(struct survey *s);

#endif
