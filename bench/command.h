/* A subcommand of hato-bench. */
#ifndef HATO_BENCH_COMMAND_H
#define HATO_BENCH_COMMAND_H

#include "base/error.h"
#include "bench/report.h"
#include "bench/settings.h"

struct command {
    const char *name;
    const char *what;    /* one line */
    const char *about;   /* more, for its --help; NULL: none */
    const char *example; /* a command line */
    uint32_t takes;      /* SETTINGS_* */
    /* Changes the common defaults for this command; NULL: none. */
    void (*defaults)(struct settings *s);
    /* Fills the report to be printed; a report of no values prints nothing. */
    int (*run)(const struct settings *s, struct report *r, struct error *e);
};

extern const struct command command_send, command_latency, command_limit, command_receive, command_pipeline,
    command_push, command_backlog, command_queues, command_function, command_systems, command_table;

#endif
