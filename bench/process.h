/* A server of the benchmark's own: started on fresh files in a directory of its own, watched, stopped, its files removed, so
 * that no run inherits what the one before left behind. */
#ifndef HATO_BENCH_PROCESS_H
#define HATO_BENCH_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

enum process_kind {
    PROCESS_BROKER, /* hatod --data DIR --listen ADDRESS --http ADDRESS */
    PROCESS_LIMIT,  /* hato-limit --file FILE --listen ADDRESS */
    PROCESS_LIMIT_UNSYNCED
};

enum { PROCESS_PATH_MAX = 512, PROCESS_ADDRESS_MAX = 64 };

struct process {
    enum process_kind kind;
    const char *program;
    pid_t pid;    /* 0: not running */
    pid_t keeper; /* removes `dir` when `leash` is closed, by us or by our death */
    int leash;
    char dir[PROCESS_PATH_MAX];
    char address[PROCESS_ADDRESS_MAX]; /* HOST:PORT it listens on */
    char http[PROCESS_ADDRESS_MAX];
};

struct process_usage {
    uint64_t memory_bytes;      /* resident now */
    uint64_t memory_peak_bytes; /* and at most since it was started */
    uint64_t cpu_ns;            /* used since it was started */
};

/* Makes a directory under `parent` (gone with this process, however that ends), starts `program` on free loopback ports, and waits until it takes connections.
 * `program` and the text it points to outlive the process. Errors: ERR_IO, with the last line the program printed. */
int process_start(struct process *p, enum process_kind kind, const char *program, const char *parent, struct error *e);

/* Stops it (SIGKILL when `kill`, else SIGTERM and a wait) and starts it again on the same files and ports; returns once it
 * takes connections. */
int process_restart(struct process *p, bool kill, struct error *e);

/* Stops it and removes its files. Accepts a zeroed struct. */
void process_stop(struct process *p);

/* Errors: ERR_NOT_FOUND. */
int process_usage(pid_t pid, struct process_usage *usage, struct error *e);

/* The figures of /proc/PID/status and /proc/PID/stat, from their text. False: not found in it. Pure. */
bool process_parse_status(const char *text, struct process_usage *usage);
bool process_parse_stat(const char *text, uint64_t ticks_per_s, struct process_usage *usage);

/* A port nobody listens on now, on 127.0.0.1. Errors: ERR_IO. */
int process_free_port(int *port, struct error *e);

#endif
