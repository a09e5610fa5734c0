/* The trivial function as a program, to bind queues to by hand. */
#include <stdio.h>

#include "bench/command.h"
#include "bench/function.h"

static int command_run_function(const struct settings *s, struct report *r, struct error *e)
{
    struct function_counts counts = {0};
    if (!s->quiet)
        fprintf(stderr, "answering on http://127.0.0.1:%d/ until it is interrupted\n", (int)s->port);
    int rc = function_serve((int)s->port, &counts, e);
    if (rc == ERR_OK) {
        report_number(r, "requests", REPORT_COUNT, (double)atomic_load(&counts.requests));
        report_number(r, "messages", REPORT_COUNT, (double)atomic_load(&counts.messages));
        report_number(r, "connections", REPORT_COUNT, (double)atomic_load(&counts.connections));
    }
    return rc;
}

static void command_defaults_function(struct settings *s)
{
    s->port = 9399;
}

const struct command command_function = {
    .name = "function",
    .what = "serve a function that answers 200 and counts",
    .example = "hato-bench function --port 9399",
    .takes = SETTINGS_PORT,
    .defaults = command_defaults_function,
    .run = command_run_function,
};
