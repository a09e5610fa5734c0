/* The dispatcher's deadlines: one libuv timer over a heap, stopped while there is none, so that what is idle costs no
 * wake-up. */
#ifndef HATO_DISPATCH_TIMERS_H
#define HATO_DISPATCH_TIMERS_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/clock.h"
#include "base/heap.h"

enum { TIMERS_LOOK_MS = 1000 }; /* after the machine slept, what was due meanwhile fires within this time */

/* Zeroed when not armed; lives in what it is about. `fire` is called once, with the timer disarmed. */
struct timer {
    struct heap_node node;
    void (*fire)(struct timer *t);
};

struct timers {
    uv_timer_t uv;
    struct heap heap;
    struct clock clock;              /* its monotonic time is the heap's */
    void (*fired)(struct timers *t); /* after a round of fires */
};

void timers_open(struct timers *t, uv_loop_t *loop, struct clock clock, void (*fired)(struct timers *t));
/* `closed` of libuv, when the handle is done with. Nothing fires any more. */
void timers_close(struct timers *t, uv_close_cb closed);

uint64_t timers_now_ms(const struct timers *t);

/* Arms, or changes when it fires. */
void timers_arm(struct timers *t, struct timer *one, uint64_t at_ms);
void timers_disarm(struct timers *t, struct timer *one); /* also when it is not armed */

static inline bool timers_armed(const struct timer *one)
{
    return heap_holds(&one->node);
}

#endif
