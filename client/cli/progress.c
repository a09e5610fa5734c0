#include "cli/progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "cli/text.h"

enum { BAR_COLUMNS = 30, DRAW_MS = 100 };

static uint64_t now_ms(void)
{
    return uv_hrtime() / 1000000;
}

void progress_open(struct progress *p, const char *verb, uint64_t total)
{
    *p = (struct progress){.verb = verb, .total = total, .began_ms = now_ms(), .shown = isatty(STDERR_FILENO) == 1};
}

uint64_t progress_elapsed_ms(const struct progress *p)
{
    return now_ms() - p->began_ms;
}

static void draw_bar(double part, uint64_t elapsed_ms)
{
    static const char full[] = "##############################";
    int filled = (int)(part * BAR_COLUMNS);
    fprintf(stderr, "[%.*s%*s] %3.0f%%", filled, full, BAR_COLUMNS - filled, "", part * 100);
    if (part > 0.01 && part < 1)
        fprintf(stderr, ", %.0f s left", (double)elapsed_ms / 1000 * (1 - part) / part);
}

void progress_at(struct progress *p, uint64_t items, uint64_t done)
{
    uint64_t now = now_ms();
    if (!p->shown || (p->drawn && now - p->drawn_ms < DRAW_MS))
        return;
    uint64_t elapsed = now - p->began_ms;
    char count[TEXT_MAX], rate[TEXT_MAX];
    fprintf(stderr, "\r\033[K%s %s", p->verb, text_count(items, count));
    if (elapsed > 0)
        fprintf(stderr, ", %s/s ", text_count(items * 1000 / elapsed, rate));
    if (p->total > 0)
        draw_bar(done < p->total ? (double)done / (double)p->total : 1, elapsed);
    fflush(stderr);
    p->drawn = true;
    p->drawn_ms = now;
}

void progress_close(struct progress *p)
{
    if (p->drawn)
        fprintf(stderr, "\r\033[K");
    fflush(stderr);
    p->drawn = false;
}
