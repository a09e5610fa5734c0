#include "cli/watch.h"

#include <signal.h>

enum { LOOK_MS = 300 };

static void on_timer(uv_timer_t *t)
{
    ((struct watch *)t->data)->due = true;
}

static void on_interrupt(uv_signal_t *s, int number)
{
    (void)number;
    ((struct watch *)s->data)->stopped = true;
}

void watch_open(struct watch *w, uv_loop_t *loop)
{
    *w = (struct watch){.loop = loop};
    uv_timer_init(loop, &w->timer);
    uv_signal_init(loop, &w->interrupt);
    w->timer.data = w;
    w->interrupt.data = w;
    uv_signal_start(&w->interrupt, on_interrupt, SIGINT);
}

void watch_pause(struct watch *w)
{
    w->due = false;
    uv_timer_start(&w->timer, on_timer, LOOK_MS, 0);
    while (!w->due && !w->stopped)
        uv_run(w->loop, UV_RUN_ONCE);
}

void watch_close(struct watch *w)
{
    uv_close((uv_handle_t *)&w->timer, NULL);
    uv_close((uv_handle_t *)&w->interrupt, NULL);
    uv_run(w->loop, UV_RUN_NOWAIT);
}
