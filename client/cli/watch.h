/* Looking again and again at something that goes on in the broker, until it has ended or the user has had enough (ctrl-c). */
#ifndef HATO_CLI_WATCH_H
#define HATO_CLI_WATCH_H

#include <stdbool.h>
#include <uv.h>

struct watch {
    uv_loop_t *loop;
    uv_timer_t timer;
    uv_signal_t interrupt;
    bool due;
    bool stopped; /* by the user */
};

void watch_open(struct watch *w, uv_loop_t *loop);
void watch_pause(struct watch *w); /* until the next look, or it is stopped */
void watch_close(struct watch *w);

#endif
