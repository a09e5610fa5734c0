/* The generator every contender is loaded by: it says when a message may go (window, rate, count, duration), and keeps the
 * time each took. A driver (driver.h) knows how to speak to one kind of server and nothing of this.
 *
 * Each message in flight holds a slot, 0 to window-1, which the driver keeps with it and gives back. One thread. */
#ifndef HATO_BENCH_LOAD_H
#define HATO_BENCH_LOAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/histogram.h"
#include "bench/schedule.h"

enum { LOAD_WINDOW_MAX = 1000000, LOAD_BODY_MAX = 64 * 1024 * 1024 };

struct load_config {
    uint64_t count;       /* messages; 0: as many as fit into the duration */
    uint64_t duration_ns; /* 0: until `count` is reached */
    uint64_t warmup_ns;   /* not measured; on top of the duration, within the count */
    double rate;          /* messages a second; 0: closed loop */
    uint32_t window;      /* in flight at most */
    uint32_t body_size;
    bool stamped; /* each body begins with the 8 bytes of its time; a consumer measures from there to arrival */
    bool text;    /* bodies are letters, for those who put them into JSON */
    const atomic_bool *stop; /* ends the run when it becomes true; NULL: nobody can */
    bool consumes;           /* messages come by load_arrive, not load_take */
    bool progress;           /* shown on standard error */
};

struct load {
    struct load_config config;
    struct schedule schedule;
    struct histogram latency; /* ns, of the measured ones */
    uint64_t *from_ns;        /* [window]: where the slot's time began */
    uint32_t *free_slots;     /* stack */
    uint32_t free_count;
    uint8_t *bodies; /* a pool of random bytes, more than one window of bodies, so that no batch compresses */
    uint64_t body_count;
    uint64_t now_ns;      /* as of load_tick; CLOCK_MONOTONIC */
    uint64_t claimed;     /* slots taken since the beginning */
    uint64_t done;        /* slots given back */
    uint64_t measured;    /* of those, after the warm-up */
    uint64_t began_ns;    /* when the first one could go */
    uint64_t measured_ns; /* when measuring began; 0: still warming up */
    uint64_t ended_ns;    /* when the last one was done */
    uint64_t shown_ns;    /* progress */
    uint64_t shown_done;
};

void load_open(struct load *l, const struct load_config *config);
void load_close(struct load *l);

/* Starts the clock; to be called once, after connecting and preparing. */
void load_begin(struct load *l);

/* Reads the clock once for all that follows. */
void load_tick(struct load *l);

/* Takes the next message if the window, the schedule and the end of the run allow one now. */
bool load_take(struct load *l, uint32_t *slot);

/* For consumers: a message has arrived; there must be a free slot (load_room). Its time begins now and ends with load_done,
 * or, if the load is stamped, began in `body` and ends now. */
uint32_t load_arrive(struct load *l, struct bytes body);

/* Messages a consumer may have on the way: free slots, or less near the end of the run. `asked` are under way already. */
uint64_t load_room(const struct load *l, uint64_t asked);

/* The message of `slot` is done: confirmed, or acked. */
void load_done(struct load *l, uint32_t slot);

/* How long a driver may sleep before the schedule or the end wants it; UINT64_MAX: until something arrives. */
uint64_t load_wait(const struct load *l);

bool load_ended(const struct load *l);    /* nothing more is to be taken */
bool load_finished(const struct load *l); /* and nothing is in flight */

/* The body of the message just taken into `slot`; valid until that is done. Stamped with its time if the load is. */
struct bytes load_body(struct load *l, uint32_t slot);

/* What was measured. Zero when nothing was. */
double load_seconds(const struct load *l);
double load_rate(const struct load *l);

#endif
