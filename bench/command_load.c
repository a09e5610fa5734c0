/* The plain workloads: send, latency, limit, receive. */
#include <stdio.h>

#include "bench/command.h"
#include "bench/target.h"

enum { TAKES_LOAD = SETTINGS_SERVER | SETTINGS_TIME | SETTINGS_COUNT | SETTINGS_WINDOW };

static int command_send_as(const char *workload, const struct settings *s, struct report *r, struct error *e)
{
    struct target t;
    int rc = target_open(&t, s, e);
    if (rc != ERR_OK)
        return rc;
    struct load load;
    rc = target_load(&t, s, DRIVER_SEND, s->messages, s->duration_ms, !s->existing, &load, e);
    if (rc == ERR_OK) {
        target_report(&t, s, workload, r);
        report_load(r, &load);
        target_report_usage(&t, r);
    }
    load_close(&load);
    target_close(&t);
    return rc;
}

static int command_run_send(const struct settings *s, struct report *r, struct error *e)
{
    return command_send_as("send", s, r, e);
}

static int command_run_latency(const struct settings *s, struct report *r, struct error *e)
{
    return command_send_as("latency", s, r, e);
}

static void command_defaults_latency(struct settings *s)
{
    s->window = 1;
}

static void command_defaults_limit(struct settings *s)
{
    s->system = "limit";
}

static int check_receive(const struct settings *s, struct error *e)
{
    if (s->messages == 0 && s->fill == 0 && s->duration_ms == 0)
        return error_field(e, ERR_INVALID, "messages", "say how many: --messages, --fill or --duration");
    if (s->fill > 0 && s->messages > s->fill && !s->existing)
        return error_field(e, ERR_INVALID, "messages",
                           "--messages %llu are more than --fill sends, %llu: raise --fill, or use --existing",
                           (unsigned long long)s->messages, (unsigned long long)s->fill);
    return ERR_OK;
}

static int command_run_receive(const struct settings *s, struct report *r, struct error *e)
{
    struct target t;
    int rc = check_receive(s, e);
    if (rc == ERR_OK)
        rc = target_open(&t, s, e);
    if (rc != ERR_OK)
        return rc;
    if (s->fill > 0) {
        struct load fill;
        struct settings plain = *s;
        plain.rate = 0;
        rc = target_load(&t, &plain, DRIVER_SEND, s->fill, 0, !s->existing, &fill, e);
        load_close(&fill);
    }
    uint64_t count = s->messages > 0 ? s->messages : s->fill;
    if (rc == ERR_OK) {
        struct load load;
        rc = target_load(&t, s, DRIVER_RECEIVE, count, s->duration_ms, false, &load, e);
        if (rc == ERR_OK) {
            target_report(&t, s, "receive", r);
            report_number(r, "batch", REPORT_COUNT, (double)s->batch);
            report_load(r, &load);
            target_report_usage(&t, r);
        }
        load_close(&load);
    }
    target_close(&t);
    return rc;
}

static void command_defaults_receive(struct settings *s)
{
    s->fill = 200000;
    s->duration_ms = 0;
    s->warmup_ms = 0;
}

static int command_run_systems(const struct settings *s, struct report *r, struct error *e)
{
    (void)s, (void)r, (void)e;
    for (uint32_t i = 0; driver_at(i) != NULL; i++)
        printf("%-12s %s\n", driver_at(i)->name, driver_at(i)->what);
    return ERR_OK;
}

const struct command command_send = {
    .name = "send",
    .what = "send as fast as the window allows, or at a rate",
    .about =
        "With --rate messages are due at fixed times, and each one's latency counts from when it was due: a server\n"
        "that stalls is charged with all that should have been sent meanwhile.",
    .example = "hato-bench send --spawn build/bin/hatod --duration 10s",
    .takes = TAKES_LOAD | SETTINGS_SYSTEM | SETTINGS_QUEUE | SETTINGS_RATE,
    .run = command_run_send,
};

const struct command command_latency = {
    .name = "latency",
    .what = "send one at a time: how long until a message is durable",
    .example = "hato-bench latency --system redis --server 127.0.0.1:6379",
    .takes = TAKES_LOAD | SETTINGS_SYSTEM | SETTINGS_QUEUE | SETTINGS_RATE,
    .defaults = command_defaults_latency,
    .run = command_run_latency,
};

const struct command command_limit = {
    .name = "limit",
    .what = "send to hato-limit: the most this disk and loopback give",
    .example = "hato-bench limit --spawn build/bin/hato-limit",
    .takes = TAKES_LOAD | SETTINGS_RATE | SETTINGS_NO_FSYNC,
    .defaults = command_defaults_limit,
    .run = command_run_send,
};

const struct command command_receive = {
    .name = "receive",
    .what = "fill a queue, then receive and ack",
    .about = "Latency is the time from a message's arrival to the answer to its ack.",
    .example = "hato-bench receive --spawn build/bin/hatod --fill 1m",
    .takes = TAKES_LOAD | SETTINGS_SYSTEM | SETTINGS_QUEUE | SETTINGS_BATCH | SETTINGS_FILL,
    .defaults = command_defaults_receive,
    .run = command_run_receive,
};

const struct command command_systems = {
    .name = "systems",
    .what = "list what this build can load",
    .example = "hato-bench systems",
    .run = command_run_systems,
};
