/* A long backlog: memory while it grows and shrinks, receive speed at its depth against that of a short queue, restarts. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bench/broker.h"
#include "bench/command.h"
#include "bench/target.h"

enum { BACKLOG_ROUNDS = 3 }; /* of short and deep in turn, so that both meet the disk in the same state */

struct backlog {
    const struct settings *s;
    struct target target;
    struct hato_client *client;
    double short_rates[BACKLOG_ROUNDS]; /* receive+ack, of a queue no longer than the sample, beside the backlog */
    double deep_rates[BACKLOG_ROUNDS];  /* receive+ack at its depth */
    double send_rate;                   /* of the whole backlog */
    double again_rate;                  /* as deep, after the restarts */
    double restart_seconds;
    double crash_restart_seconds;
    uint64_t memory_bytes; /* with the whole backlog */
    uint64_t memory_peak_bytes;
};

static double backlog_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int backlog_load(struct backlog *b, const char *queue, enum driver_mode mode, uint64_t count, double *rate,
                        struct error *e)
{
    struct settings s = *b->s;
    s.queue = queue;
    struct load load;
    int rc = target_load(&b->target, &s, mode, count, 0, mode == DRIVER_SEND, &load, e);
    if (rate != NULL)
        *rate = load_rate(&load);
    load_close(&load);
    return rc;
}

/* The peak of each of the broker's lives counts. */
static int backlog_watch(struct backlog *b, struct error *e)
{
    struct process_usage usage;
    int rc = process_usage(b->target.process.pid, &usage, e);
    if (rc != ERR_OK)
        return rc;
    b->memory_bytes = usage.memory_bytes;
    if (usage.memory_peak_bytes > b->memory_peak_bytes)
        b->memory_peak_bytes = usage.memory_peak_bytes;
    return ERR_OK;
}

/* From the stop to the first message received and given back. */
static int backlog_restart(struct backlog *b, bool kill, double *seconds, struct error *e)
{
    double began = backlog_now();
    int rc = process_restart(&b->target.process, kill, e);
    struct hato_receive_options options = {.max_messages = 1, .has_wait = true, .wait_ms = 60000};
    struct hato_reply *reply = NULL;
    if (rc == ERR_OK)
        rc = broker_ask(hato_receive(b->client, "bench-deep", &options, NULL, NULL), &reply, e);
    *seconds = backlog_now() - began;
    if (rc == ERR_OK && reply->delivery_count != 1)
        rc = error_set(e, ERR_NOT_FOUND, "the backlog is gone after the restart");
    if (rc == ERR_OK)
        rc = broker_do(hato_nack(b->client, "bench-deep", &reply->deliveries[0].receipt, 1, NULL, NULL, NULL), e);
    hato_reply_destroy(reply);
    return rc;
}

static int backlog_receive(struct backlog *b, struct error *e)
{
    const uint64_t sample = b->s->sample;
    int rc = ERR_OK;
    for (int i = 0; rc == ERR_OK && i < BACKLOG_ROUNDS; i++) {
        rc = backlog_load(b, "bench-short", DRIVER_SEND, sample, NULL, e);
        if (rc == ERR_OK)
            rc = backlog_load(b, "bench-short", DRIVER_RECEIVE, sample, &b->short_rates[i], e);
        if (rc == ERR_OK)
            rc = backlog_load(b, "bench-deep", DRIVER_RECEIVE, sample, &b->deep_rates[i], e);
    }
    return rc;
}

static int backlog_measure(struct backlog *b, struct error *e)
{
    const uint64_t sample = b->s->sample;
    int rc = backlog_load(b, "bench-deep", DRIVER_SEND, b->s->messages, &b->send_rate, e);
    if (rc == ERR_OK)
        rc = backlog_receive(b, e);
    if (rc == ERR_OK)
        rc = backlog_watch(b, e);
    uint64_t full = b->memory_bytes;
    if (rc == ERR_OK)
        rc = broker_open(&b->client, b->target.server, e);
    if (rc == ERR_OK)
        rc = backlog_restart(b, false, &b->restart_seconds, e);
    if (rc == ERR_OK)
        rc = backlog_watch(b, e);
    if (rc == ERR_OK)
        rc = backlog_restart(b, true, &b->crash_restart_seconds, e);
    if (rc == ERR_OK)
        rc = backlog_load(b, "bench-deep", DRIVER_RECEIVE, sample, &b->again_rate, e);
    if (rc == ERR_OK)
        rc = backlog_watch(b, e);
    b->memory_bytes = full;
    return rc;
}

static int compare_rates(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double rates[BACKLOG_ROUNDS])
{
    qsort(rates, BACKLOG_ROUNDS, sizeof rates[0], compare_rates);
    return rates[BACKLOG_ROUNDS / 2];
}

static void backlog_report(struct backlog *b, struct report *r)
{
    target_report(&b->target, b->s, "backlog", r);
    report_number(r, "messages", REPORT_COUNT, (double)b->s->messages);
    report_number(r, "send_rate", REPORT_PER_SECOND, b->send_rate);
    report_number(r, "short_rate", REPORT_PER_SECOND, median(b->short_rates));
    report_number(r, "deep_rate", REPORT_PER_SECOND, median(b->deep_rates));
    report_number(r, "deep_rate_after_restart", REPORT_PER_SECOND, b->again_rate);
    report_number(r, "memory", REPORT_BYTES, (double)b->memory_bytes);
    report_number(r, "memory_peak", REPORT_BYTES, (double)b->memory_peak_bytes);
    report_number(r, "restart_seconds", REPORT_SECONDS, b->restart_seconds);
    report_number(r, "crash_restart_seconds", REPORT_SECONDS, b->crash_restart_seconds);
}

static int command_run_backlog(const struct settings *s, struct report *r, struct error *e)
{
    struct backlog b = {.s = s};
    if (s->spawn == NULL)
        return error_field(e, ERR_INVALID, "spawn", "--spawn PROGRAM is needed: the broker is restarted");
    /* Something must be left to find after the restarts. */
    if (s->sample == 0 || s->messages / (BACKLOG_ROUNDS + 1) <= s->sample)
        return error_field(e, ERR_INVALID, "messages", "--messages is more than %d times --sample, which is at least 1",
                           BACKLOG_ROUNDS + 1);
    int rc = target_open(&b.target, s, e);
    if (rc != ERR_OK)
        return rc;
    rc = backlog_measure(&b, e);
    if (rc == ERR_OK)
        backlog_report(&b, r);
    hato_client_destroy(b.client);
    target_close(&b.target);
    return rc;
}

static void command_defaults_backlog(struct settings *s)
{
    s->messages = 1000000;
    s->sample = 200000;
    s->warmup_ms = 0;
}

const struct command command_backlog = {
    .name = "backlog",
    .what = "send a long backlog, receive at its depth, restart on it",
    .about = "Starts its own broker. Memory is the broker's resident memory, its peak over all its lives. A restart is "
             "timed\n"
             "from the stop (SIGTERM, then SIGKILL) to the first message received.",
    .example = "hato-bench backlog --spawn build/bin/hatod --messages 20m",
    .takes = SETTINGS_SERVER | SETTINGS_COUNT | SETTINGS_WINDOW | SETTINGS_BATCH | SETTINGS_BACKLOG,
    .defaults = command_defaults_backlog,
    .run = command_run_backlog,
};
