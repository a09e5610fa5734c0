/* The server a command works against: one that is there, or one started for the run (settings->spawn). */
#ifndef HATO_BENCH_TARGET_H
#define HATO_BENCH_TARGET_H

#include "bench/driver.h"
#include "bench/process.h"
#include "bench/settings.h"

struct target {
    const struct driver_ops *ops;
    const char *server;
    char address[PROCESS_ADDRESS_MAX];
    bool text;              /* bodies are letters */
    struct process process; /* pid 0: not ours */
};

/* Errors: ERR_NOT_FOUND for an unknown system, those of process_start. After an error there is nothing to close. */
int target_open(struct target *t, const struct settings *s, struct error *e);
void target_close(struct target *t);

/* Runs a load against it: `mode`, at most `count` messages (0: no limit) and `duration_ms` (0: none). `load` is opened; the
 * caller closes it, also after an error. `create` makes the queue first. */
int target_load(struct target *t, const struct settings *s, enum driver_mode mode, uint64_t count, uint64_t duration_ms,
                bool create, struct load *load, struct error *e);

/* Starts a report: what was measured against what, with which window and size. */
struct report;
void target_report(const struct target *t, const struct settings *s, const char *workload, struct report *r);

/* Adds the CPU time used here, and what the server used if it is ours; both since they were started. */
void target_report_usage(const struct target *t, struct report *r);

#endif
