/* The command line of hato-bench: one set of flags for all commands, each command naming those it takes. */
#ifndef HATO_BENCH_SETTINGS_H
#define HATO_BENCH_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* Which flags a command takes. */
enum {
    SETTINGS_SYSTEM = 1 << 0,
    SETTINGS_SERVER = 1 << 1, /* --server, --spawn, --dir */
    SETTINGS_QUEUE = 1 << 2,  /* --queue, --existing */
    SETTINGS_COUNT = 1 << 3,  /* --messages */
    SETTINGS_TIME = 1 << 4,   /* --duration, --warmup */
    SETTINGS_WINDOW = 1 << 5, /* --window, --size */
    SETTINGS_RATE = 1 << 6,
    SETTINGS_BATCH = 1 << 7,
    SETTINGS_FILL = 1 << 8,
    SETTINGS_PUSH = 1 << 9,     /* --idle, --concurrency */
    SETTINGS_BACKLOG = 1 << 10, /* --sample */
    SETTINGS_QUEUES = 1 << 11,  /* --queues */
    SETTINGS_PORT = 1 << 12,
    SETTINGS_NO_FSYNC = 1 << 13
};

struct settings {
    const char *system;
    const char *server; /* NULL: the system's usual address */
    const char *spawn;  /* program to start for the run; NULL: none */
    const char *dir;    /* where its files go */
    const char *queue;
    bool existing;
    uint64_t messages;
    uint64_t duration_ms;
    uint64_t warmup_ms;
    uint64_t window;
    uint64_t size;
    uint64_t rate;
    uint64_t batch;
    uint64_t fill;
    uint64_t sample;
    uint64_t queues;
    uint64_t idle;
    uint64_t concurrency;
    uint64_t port;
    bool no_fsync;
    bool json;
    bool quiet;
    bool help;
};

/* Parses `argv` (after the command's name) over what `s` holds; texts point into it. Errors: ERR_INVALID, `field` naming the flag. */
int settings_parse(struct settings *s, uint32_t takes, int argc, const char *const *argv, struct error *e);

/* Prints the flags a command takes, with what `s` holds as defaults. */
void settings_help(const struct settings *s, uint32_t takes);

#endif
