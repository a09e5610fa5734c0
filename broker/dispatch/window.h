/* How many requests an endpoint is trusted with at once. Opens and closes by itself, as TCP's congestion window does.
 *
 * Slow start: one more for each success, until the first trouble or a rise of latency; after that one more for each
 * window's worth of successes. It grows only while it is what holds delivery back. Trouble (429, 503, no answer)
 * halves it, at most once for the requests that were out together; a latency that rises above WINDOW_LATENCY_RISE
 * times its long-term mean takes a tenth, but not below where it began: a function may be slow without being
 * overloaded. Pure. */
#ifndef HATO_DISPATCH_WINDOW_H
#define HATO_DISPATCH_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

enum { WINDOW_START = 4, WINDOW_LATENCY_RISE = 2, WINDOW_LATENCY_FLOOR_US = 2000 };

struct window {
    double size;  /* 1 to max; what counts is its whole part */
    uint32_t max; /* max_concurrency of the function */
    bool slow_start;
    uint64_t next_request;  /* number of the next request to leave */
    uint64_t decided;       /* requests with a lower number were out before the last decrease: no second one for them */
    double latency_mean_us; /* over some dozen rounds; 0: none yet */
    double latency_round_us; /* summed over the round in progress */
    uint32_t round_answers;
    uint32_t round_size; /* answers after which it ends */
    bool round_full;     /* the window held delivery back during the round */
};

void window_open(struct window *w, uint32_t max);
void window_set_max(struct window *w, uint32_t max);
void window_restart(struct window *w); /* after an outage: slow start from one request, the mean forgotten */

uint32_t window_size(const struct window *w);

/* A request leaves; returns its number, to be given back with what became of it. */
uint64_t window_leave(struct window *w);

/* It was answered as it should be. `full`: as many were out as the window allows. */
void window_success(struct window *w, uint64_t request, uint64_t latency_us, bool full);

/* The endpoint was in trouble, or did not answer. */
void window_trouble(struct window *w, uint64_t request);

#endif
