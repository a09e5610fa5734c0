#include "dispatch/window.h"

#include "base/assert.h"

/* The long-term mean moves by this share of each round's distance from it; by half when answers have become much
 * faster, since it is then an old truth. */
#define LATENCY_SHARE (1.0 / 16)

static void keep_in_bounds(struct window *w)
{
    if (w->size > w->max)
        w->size = w->max;
    if (w->size < 1)
        w->size = 1;
}

void window_open(struct window *w, uint32_t max)
{
    ASSERT(max > 0);
    *w = (struct window){.size = WINDOW_START, .max = max, .slow_start = true};
    keep_in_bounds(w);
}

void window_set_max(struct window *w, uint32_t max)
{
    ASSERT(max > 0);
    bool held = w->size >= w->max;
    w->max = max;
    if (held && w->size < WINDOW_START)
        w->size = WINDOW_START; /* as it would have begun */
    keep_in_bounds(w);
}

void window_restart(struct window *w)
{
    w->size = 1;
    w->slow_start = true;
    w->decided = w->next_request;
    w->latency_mean_us = 0;
    w->latency_round_us = 0;
    w->round_answers = 0;
    w->round_size = 1;
    w->round_full = false;
}

uint32_t window_size(const struct window *w)
{
    return (uint32_t)w->size;
}

uint64_t window_leave(struct window *w)
{
    return w->next_request++;
}

static void decrease(struct window *w, double factor)
{
    w->size *= factor;
    w->slow_start = false;
    w->decided = w->next_request;
    keep_in_bounds(w);
}

static bool latency_rose(const struct window *w, double round_us)
{
    return w->latency_mean_us > 0 && round_us > WINDOW_LATENCY_FLOOR_US &&
           round_us > WINDOW_LATENCY_RISE * w->latency_mean_us;
}

static void learn_latency(struct window *w, double round_us)
{
    bool old = w->latency_mean_us > WINDOW_LATENCY_RISE * round_us;
    if (w->latency_mean_us <= 0)
        w->latency_mean_us = round_us;
    else
        w->latency_mean_us += (round_us - w->latency_mean_us) * (old ? 0.5 : LATENCY_SHARE);
}

/* A round is as many answers as the window was wide when it began. */
static void end_round(struct window *w)
{
    double round_us = w->latency_round_us / w->round_answers;
    if (w->round_full && latency_rose(w, round_us)) {
        w->slow_start = false;
        if (w->size * 0.9 >= WINDOW_START)
            w->size *= 0.9;
    }
    learn_latency(w, round_us);
    w->latency_round_us = 0;
    w->round_answers = 0;
    w->round_size = window_size(w);
    w->round_full = false;
}

void window_success(struct window *w, uint64_t request, uint64_t latency_us, bool full)
{
    w->latency_round_us += (double)latency_us;
    w->round_answers++;
    w->round_full |= full;
    bool rising = latency_rose(w, w->latency_round_us / w->round_answers);
    if (full && !rising && request >= w->decided)
        w->size += w->slow_start ? 1 : 1 / w->size;
    keep_in_bounds(w);
    if (w->round_answers >= w->round_size)
        end_round(w);
}

void window_trouble(struct window *w, uint64_t request)
{
    if (request >= w->decided)
        decrease(w, 0.5);
}
