/* Deliveries to a function: fills a queue, binds it to the trivial function, and counts what arrives there. */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "bench/broker.h"
#include "bench/command.h"
#include "bench/function.h"
#include "bench/target.h"

enum { PUSH_IDLE_SECONDS = 3, PUSH_STALL_SECONDS = 30, PUSH_POLL_MS = 5, PUSH_FAN = 200 };

struct push {
    const struct settings *s;
    struct target target;
    struct hato_client *client;
    struct function_counts *counts;
    pid_t function;
    double seconds;
    double cpu_seconds;      /* of the broker, while delivering */
    double idle_cpu_percent; /* and afterwards */
};

static uint64_t push_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void push_sleep_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static double push_cpu_seconds(const struct push *p)
{
    struct process_usage usage = {0};
    if (p->target.process.pid != 0)
        process_usage(p->target.process.pid, &usage, NULL);
    return (double)usage.cpu_ns / 1e9;
}

static int push_function(struct push *p, struct error *e)
{
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", atomic_load(&p->counts->port));
    struct hato_function_settings f = {.present =
                                           HATO_FUNCTION_URL | HATO_FUNCTION_FORMAT | HATO_FUNCTION_MAX_CONCURRENCY,
                                       .url = url,
                                       .format = HATO_LAMBDA,
                                       .max_concurrency = (uint32_t)p->s->concurrency};
    return broker_do(hato_function_create(p->client, "bench-function", &f, NULL, NULL), e);
}

static struct hato_call *push_idle_queue(struct hato_client *client, uint64_t n, hato_done_cb done, void *user)
{
    char name[48];
    snprintf(name, sizeof(name), "bench-idle-%" PRIu64, n);
    return hato_queue_create(client, name, NULL, done, user);
}

static struct hato_call *push_idle_function(struct hato_client *client, uint64_t n, hato_done_cb done, void *user)
{
    char name[48];
    snprintf(name, sizeof(name), "bench-idle-%" PRIu64, n);
    struct hato_function_settings f = {.present = HATO_FUNCTION_URL, .url = "http://127.0.0.1:9/"};
    return hato_function_create(client, name, &f, done, user);
}

static struct hato_call *push_idle_bind(struct hato_client *client, uint64_t n, hato_done_cb done, void *user)
{
    char name[48];
    snprintf(name, sizeof(name), "bench-idle-%" PRIu64, n);
    return hato_bind(client, name, name, NULL, done, user);
}

static int push_idle(struct push *p, struct error *e)
{
    int rc = broker_fan(p->client, p->s->idle, PUSH_FAN, push_idle_queue, e);
    if (rc == ERR_OK)
        rc = broker_fan(p->client, p->s->idle, PUSH_FAN, push_idle_function, e);
    return rc == ERR_OK ? broker_fan(p->client, p->s->idle, PUSH_FAN, push_idle_bind, e) : rc;
}

/* Binds and waits until the function has seen all messages. */
static int push_deliver(struct push *p, struct error *e)
{
    struct hato_binding_settings binding = {.present = HATO_BINDING_BATCH_SIZE, .batch_size = (uint32_t)p->s->batch};
    uint64_t began = push_now(), seen = 0, seen_ns = began;
    double cpu = push_cpu_seconds(p);
    int rc = broker_do(hato_bind(p->client, p->s->queue, "bench-function", &binding, NULL, NULL), e);
    while (rc == ERR_OK && seen < p->s->messages) {
        push_sleep_ms(PUSH_POLL_MS);
        uint64_t now = atomic_load(&p->counts->messages);
        seen_ns = now != seen ? push_now() : seen_ns;
        seen = now;
        if (push_now() - seen_ns > PUSH_STALL_SECONDS * UINT64_C(1000000000))
            rc = error_set(e, ERR_TIMEOUT, "deliveries stopped after %" PRIu64 " of %" PRIu64, seen, p->s->messages);
    }
    p->seconds = (double)(seen_ns - began) / 1e9;
    p->cpu_seconds = push_cpu_seconds(p) - cpu;
    return rc;
}

/* What was delivered must also be settled: nothing is to be left. */
static int push_settled(struct push *p, struct error *e)
{
    uint64_t left = 1;
    int rc = ERR_OK;
    for (int i = 0; rc == ERR_OK && left > 0; i++) {
        rc = broker_left(p->client, p->s->queue, &left, e);
        if (rc == ERR_OK && left > 0 && i == PUSH_STALL_SECONDS * 10)
            rc = error_set(e, ERR_TIMEOUT, "%" PRIu64 " delivered messages are still in the queue", left);
        if (left > 0)
            push_sleep_ms(100);
    }
    return rc;
}

static int push_fill(struct push *p, struct error *e)
{
    struct settings fill = *p->s;
    fill.quiet = true;
    struct load load;
    int rc = target_load(&p->target, &fill, DRIVER_SEND, p->s->messages, 0, true, &load, e);
    load_close(&load);
    return rc;
}

static int push_measure(struct push *p, struct error *e)
{
    int rc = broker_open(&p->client, p->target.server, e);
    if (rc == ERR_OK)
        rc = function_start(&p->counts, &p->function, e);
    if (rc == ERR_OK)
        rc = push_fill(p, e);
    if (rc == ERR_OK)
        rc = push_function(p, e);
    if (rc == ERR_OK)
        rc = push_idle(p, e);
    if (rc == ERR_OK)
        rc = push_deliver(p, e);
    if (rc == ERR_OK)
        rc = push_settled(p, e);
    if (rc == ERR_OK && p->target.process.pid != 0) {
        push_sleep_ms(1000);
        double before = push_cpu_seconds(p);
        push_sleep_ms(PUSH_IDLE_SECONDS * 1000);
        p->idle_cpu_percent = (push_cpu_seconds(p) - before) * 100 / PUSH_IDLE_SECONDS;
    }
    return rc;
}

static void push_report(const struct push *p, struct report *r)
{
    double messages = (double)atomic_load(&p->counts->messages);
    double requests = (double)atomic_load(&p->counts->requests);
    target_report(&p->target, p->s, "push", r);
    report_number(r, "batch", REPORT_COUNT, (double)p->s->batch);
    report_number(r, "messages", REPORT_COUNT, messages);
    report_number(r, "seconds", REPORT_SECONDS, p->seconds);
    report_number(r, "rate", REPORT_PER_SECOND, messages / p->seconds);
    report_number(r, "requests", REPORT_COUNT, requests);
    report_number(r, "requests_rate", REPORT_PER_SECOND, requests / p->seconds);
    report_number(r, "connections", REPORT_COUNT, (double)atomic_load(&p->counts->connections));
    report_number(r, "idle_functions", REPORT_COUNT, (double)p->s->idle);
    if (p->target.process.pid != 0) {
        report_number(r, "delivering_cpu_seconds", REPORT_SECONDS, p->cpu_seconds);
        report_number(r, "idle_cpu_percent", REPORT_RATIO, p->idle_cpu_percent);
    }
    target_report_usage(&p->target, r);
}

static int command_run_push(const struct settings *s, struct report *r, struct error *e)
{
    struct push p = {.s = s};
    if (s->messages == 0)
        return error_field(e, ERR_INVALID, "messages", "--messages is at least 1");
    int rc = target_open(&p.target, s, e);
    if (rc != ERR_OK)
        return rc;
    p.target.text = true;
    rc = push_measure(&p, e);
    if (rc == ERR_OK)
        push_report(&p, r);
    hato_client_destroy(p.client);
    function_stop(p.counts, p.function);
    target_close(&p.target);
    return rc;
}

static void command_defaults_push(struct settings *s)
{
    s->messages = 200000;
    s->batch = 10;
    s->concurrency = 100;
    s->idle = 100;
}

const struct command command_push = {
    .name = "push",
    .what = "deliver a filled queue to a trivial function",
    .about =
        "The function is a process of hato-bench that answers 200 at once. The rate is in messages; requests_rate in\n"
        "requests of up to --batch messages each.",
    .example = "hato-bench push --spawn build/bin/hatod --messages 200k --batch 10",
    .takes = SETTINGS_SERVER | SETTINGS_QUEUE | SETTINGS_COUNT | SETTINGS_WINDOW | SETTINGS_BATCH | SETTINGS_PUSH,
    .defaults = command_defaults_push,
    .run = command_run_push,
};
