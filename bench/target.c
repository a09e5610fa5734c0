#include "bench/target.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bench/report.h"

int target_open(struct target *t, const struct settings *s, struct error *e)
{
    *t = (struct target){.ops = driver_find(s->system), .server = s->server};
    if (t->ops == NULL)
        return error_field(e, ERR_NOT_FOUND, "system", "no \"%s\" in this build: see hato-bench systems", s->system);
    if (s->spawn != NULL) {
        bool limit = strcmp(s->system, "limit") == 0;
        enum process_kind kind = !limit ? PROCESS_BROKER : s->no_fsync ? PROCESS_LIMIT_UNSYNCED : PROCESS_LIMIT;
        if (!limit && strcmp(s->system, "hato") != 0)
            return error_field(e, ERR_INVALID, "spawn", "only hato and limit can be started here; see bench/peers.sh");
        int rc = process_start(&t->process, kind, s->spawn, s->dir, e);
        t->server = t->process.address;
        return rc;
    }
    if (t->server == NULL) {
        snprintf(t->address, sizeof(t->address), "127.0.0.1:%u", (unsigned)t->ops->port);
        t->server = t->address;
    }
    return ERR_OK;
}

void target_close(struct target *t)
{
    process_stop(&t->process);
}

int target_load(struct target *t, const struct settings *s, enum driver_mode mode, uint64_t count, uint64_t duration_ms,
                bool create, struct load *load, struct error *e)
{
    struct load_config config = {
        .count = count,
        .duration_ns = duration_ms * 1000000,
        .warmup_ns = duration_ms > 0 ? s->warmup_ms * 1000000 : 0,
        .rate = mode == DRIVER_SEND ? (double)s->rate : 0,
        .window = (uint32_t)s->window,
        .body_size = (uint32_t)s->size,
        .text = t->text,
        .consumes = mode == DRIVER_RECEIVE,
        .progress = !s->quiet && isatty(STDERR_FILENO),
    };
    struct driver_config driver = {.server = t->server,
                                   .queue = s->queue,
                                   .mode = mode,
                                   .batch = (uint32_t)(s->batch < s->window ? s->batch : s->window),
                                   .create = create};
    load_open(load, &config);
    if (mode == DRIVER_RECEIVE && !t->ops->receives)
        return error_set(e, ERR_INVALID, "%s can only be sent to here", t->ops->name);
    return driver_run(t->ops, &driver, load, e);
}

void target_report(const struct target *t, const struct settings *s, const char *workload, struct report *r)
{
    *r = (struct report){.count = 0};
    report_text(r, "workload", workload);
    report_text(r, "system", t->ops->name);
    report_number(r, "window", REPORT_COUNT, (double)s->window);
    report_number(r, "size", REPORT_BYTES, (double)s->size);
}

void target_report_usage(const struct target *t, struct report *r)
{
    struct process_usage usage;
    struct rusage own;
    getrusage(RUSAGE_SELF, &own);
    double own_us = (double)own.ru_utime.tv_usec + (double)own.ru_stime.tv_usec;
    report_number(r, "client_cpu_seconds", REPORT_SECONDS,
                  (double)own.ru_utime.tv_sec + (double)own.ru_stime.tv_sec + own_us / 1e6);
    if (t->process.pid == 0 || process_usage(t->process.pid, &usage, NULL) != ERR_OK)
        return;
    report_number(r, "server_memory", REPORT_BYTES, (double)usage.memory_bytes);
    report_number(r, "server_memory_peak", REPORT_BYTES, (double)usage.memory_peak_bytes);
    report_number(r, "server_cpu_seconds", REPORT_SECONDS, (double)usage.cpu_ns / 1e9);
}
