/* When the next message is due: pure, the time is an argument.
 *
 * Closed loop (rate 0): due at once, whenever there is room; a message's time begins when it is submitted.
 * Open loop: message n is due n / rate after the beginning, whatever the server does, and its time begins when it was due.
 * A server that stalls for a second is so charged with every message that should have gone out in it: without that the
 * generator would wait politely together with the server and see one slow message (coordinated omission). */
#ifndef HATO_BENCH_SCHEDULE_H
#define HATO_BENCH_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

struct schedule {
    double interval_ns; /* 0: closed loop */
    uint64_t began_ns;
    uint64_t issued; /* messages handed out */
};

void schedule_open(struct schedule *s, double rate_per_s, uint64_t now_ns);

/* Takes the next message if it is due; `*from_ns` is the time its latency counts from. */
bool schedule_take(struct schedule *s, uint64_t now_ns, uint64_t *from_ns);

/* How long until the next is due; 0: it is due. */
uint64_t schedule_wait(const struct schedule *s, uint64_t now_ns);

#endif
