/* Messages that got no answer, until it is clear whose fault that was.
 *
 * When a request gets no whole answer, either the endpoint is down, and the message must not pay for it, or the
 * message kills or hangs the function, and must not be tried for ever. What tells them apart is whether the endpoint
 * answers others. So a message without an answer is a suspect; if the endpoint has answered others since that, and the
 * message comes to nothing again, it is guilty, and stays so until it is answered. What others were answered while it was out says
 * nothing: an endpoint that goes down leaves all that is out without an answer. Nor does a guilty one pay for an outage: while nobody is
 * answered and others of no guilt come to nothing, too, its tries do not count.
 *
 * A message that is alone has nobody to be compared with. That its requests time out again and again (taken, and not
 * answered) counts against it after SUSPECTS_TIMEOUTS of them; that connections break doesn't: a proxy before an endpoint that
 * is down breaks them, too. It is not alone while requests without it get no answer either: then it is the endpoint that hangs.
 *
 * A proxy may also say that it got no answer. It says so as well while some of what is behind it goes down or comes up, to
 * messages of no fault; so its word counts only where others were answered since the last time that it counted, and
 * makes guilty after SUSPECTS_GATEWAYS times. While nobody is answered it never does.
 *
 * What came to nothing with others is not guilty by what others were answered: any of them may be. It is tried with half as many the
 * next time, until it was alone.
 *
 * Where none of that tells a message from an outage, time does: after SUSPECTS_ALONE_MS of being tried alone, and nothing but silence, a
 * message is guilty, too. So one that stands in front of its group stops it for that long at most; and an outage of an hour in
 * which connections break, or a proxy says that it got no answer, costs no receive.
 *
 * Only the last SUSPECTS_MAX to come to nothing are known; a forgotten one is a suspect anew. Pure. */
#ifndef HATO_DISPATCH_SUSPECTS_H
#define HATO_DISPATCH_SUSPECTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"

enum {
    SUSPECTS_MAX = 1024, /* more than the largest batch; some 150 KB of an endpoint that came to that */
    SUSPECTS_TIMEOUTS = 3,
    SUSPECTS_GATEWAYS = 3,
    SUSPECTS_ALONE_MS =
        2 * 3600 * 1000, /* clearly beyond the hour that an endpoint may be down without a receive counted */
    SUSPECTS_GAP_MS = 10 * 60 * 1000, /* more between two tries (its queue was paused) counts as that much of it */
    SUSPECTS_LOOK_MS = 1000
};

enum suspect_sign {
    SUSPECT_BROKEN,    /* the connection ended without a whole answer */
    SUSPECT_TIMED_OUT, /* as broken, by our patience */
    SUSPECT_GATEWAY    /* a proxy says so */
};

struct suspect {
    struct list_link link;
    uint64_t place[2];    /* queue and sequence: the key */
    uint64_t answers;     /* of the endpoint, when it came to nothing last */
    uint64_t since;       /* the request that it was suspected for first; of a batch's, the first by itself */
    uint64_t last;        /* and last */
    uint64_t alone_at_ms; /* when it last came to nothing alone; 0: not yet */
    uint64_t alone_ms;    /* and for how long it has */
    uint32_t together;    /* messages of the last request */
    uint32_t timeouts;    /* that counted */
    uint32_t gateways;    /* words that counted */
    bool guilty;
};

/* A zeroed struct knows none. */
struct suspects {
    struct list list;   /* the last to come to nothing is last */
    struct map known;   /* by place */
    uint64_t request;   /* number of the last one that came to nothing */
    uint32_t together;  /* messages of it */
    uint64_t now_ms;    /* when it did */
    uint64_t looked_ms; /* suspects_keep */
};

static inline uint32_t suspects_count(const struct suspects *s)
{
    return (uint32_t)map_count(&s->known);
}

void suspects_close(struct suspects *s);

/* A request of so many messages came to nothing, now (monotonic): the calls of suspects_silent that follow are of its messages. */
void suspects_request(struct suspects *s, uint32_t together, uint64_t now_ms);

/* The message got no answer; the endpoint has given `answers` until now. True: it is the message's fault. */
bool suspects_silent(struct suspects *s, uint64_t queue, uint64_t sequence, uint64_t answers, enum suspect_sign sign);

/* What is known of a message; NULL: nothing. Until the next call that is not const. */
const struct suspect *suspects_find(const struct suspects *s, uint64_t queue, uint64_t sequence);

/* How many messages the next request with this one may have: half as many as the last, at least one. */
uint32_t suspect_next(const struct suspect *one);

/* The message was answered. */
void suspects_clear(struct suspects *s, uint64_t queue, uint64_t sequence);

/* Forgets those that `there` says are gone, whoever took them: once in SUSPECTS_LOOK_MS, however often it is called. */
void suspects_keep(struct suspects *s, uint64_t now_ms, bool (*there)(void *ctx, uint64_t queue, uint64_t sequence),
                   void *ctx);

#endif
