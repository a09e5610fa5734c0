/* A line on standard error that tells how far something long has come; nothing when that is no terminal. */
#ifndef HATO_CLI_PROGRESS_H
#define HATO_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    const char *verb; /* "sent" */
    uint64_t total;   /* of what `done` counts towards; 0: not known */
    uint64_t began_ms;
    uint64_t drawn_ms;
    bool shown; /* it is a terminal */
    bool drawn;
};

void progress_open(struct progress *p, const char *verb, uint64_t total);

/* `items` are told to the person, `done` of `total` fills the bar. Draws at most ten times a second. */
void progress_at(struct progress *p, uint64_t items, uint64_t done);

/* Takes the line away. */
void progress_close(struct progress *p);

uint64_t progress_elapsed_ms(const struct progress *p);

#endif
