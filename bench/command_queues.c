/* Many queues with a message each: what they cost in memory, and that a listing pages through them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "bench/broker.h"
#include "bench/command.h"
#include "bench/target.h"

enum { QUEUES_FAN = 1000, QUEUES_PAGE = 1000, QUEUES_NAME_MAX = 96 };

struct queues {
    const struct settings *s;
    struct target target;
    struct hato_client *client;
    double create_seconds;
    double send_seconds;
    double list_seconds;
    uint64_t pages;
    struct process_usage empty; /* of the broker before */
    struct process_usage full;
    double restart_seconds;
};

static double queues_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void queues_name(char *name, uint64_t n)
{
    snprintf(name, QUEUES_NAME_MAX, "bench-%09" PRIu64, n);
}

static struct hato_call *queues_create(struct hato_client *client, uint64_t n, hato_done_cb done, void *user)
{
    char name[QUEUES_NAME_MAX];
    queues_name(name, n);
    return hato_queue_create(client, name, NULL, done, user);
}

static struct hato_call *queues_send(struct hato_client *client, uint64_t n, hato_done_cb done, void *user)
{
    char name[QUEUES_NAME_MAX], body[1024];
    queues_name(name, n);
    memset(body, 'a' + (int)(n % 26), sizeof(body));
    struct hato_message message = {.body = body, .body_len = sizeof(body)};
    return hato_send(client, name, &message, 1, done, user);
}

/* Every queue once, in the order of their names, with its message. */
static int queues_list(struct queues *q, struct error *e)
{
    char after[QUEUES_NAME_MAX] = "", want[QUEUES_NAME_MAX];
    uint64_t seen = 0;
    int rc = ERR_OK;
    bool more = true;
    while (rc == ERR_OK && more) {
        struct hato_list_options options = {.prefix = "bench-", .after = after, .max = QUEUES_PAGE};
        struct hato_reply *page = NULL;
        rc = broker_ask(hato_queue_list(q->client, &options, NULL, NULL), &page, e);
        for (size_t i = 0; rc == ERR_OK && i < page->queue_count; i++, seen++) {
            queues_name(want, seen);
            if (strcmp(page->queues[i].name, want) != 0 || page->queues[i].counts.ready != 1)
                rc = error_set(e, ERR_INTERNAL,
                               "the listing has \"%s\" with %" PRIu64 " messages in place of \"%s\" with 1",
                               page->queues[i].name, page->queues[i].counts.ready, want);
        }
        if (rc == ERR_OK) {
            q->pages++;
            more = page->next[0] != 0;
            snprintf(after, sizeof(after), "%s", page->next);
        }
        hato_reply_destroy(page);
    }
    if (rc == ERR_OK && seen != q->s->queues)
        rc = error_set(e, ERR_INTERNAL, "the listing has %" PRIu64 " queues", seen);
    return rc;
}

static int queues_measure(struct queues *q, struct error *e)
{
    pid_t pid = q->target.process.pid;
    int rc = broker_open(&q->client, q->target.server, e);
    if (rc == ERR_OK)
        rc = broker_do(hato_ping(q->client, NULL, NULL), e);
    if (rc == ERR_OK && pid != 0)
        rc = process_usage(pid, &q->empty, e);
    double began = queues_now();
    if (rc == ERR_OK)
        rc = broker_fan(q->client, q->s->queues, QUEUES_FAN, queues_create, e);
    double created = queues_now();
    if (rc == ERR_OK)
        rc = broker_fan(q->client, q->s->queues, QUEUES_FAN, queues_send, e);
    double sent = queues_now();
    if (rc == ERR_OK)
        rc = queues_list(q, e);
    q->list_seconds = queues_now() - sent;
    q->send_seconds = sent - created;
    q->create_seconds = created - began;
    if (rc == ERR_OK && pid != 0)
        rc = process_usage(pid, &q->full, e);
    return rc;
}

/* The queues are all there after a restart, which is not slow for them. */
static int queues_restart(struct queues *q, struct error *e)
{
    double began = queues_now();
    int rc = process_restart(&q->target.process, true, e);
    if (rc == ERR_OK)
        rc = broker_do(hato_ping(q->client, NULL, NULL), e);
    char last[QUEUES_NAME_MAX];
    queues_name(last, q->s->queues - 1);
    uint64_t left = 0;
    if (rc == ERR_OK)
        rc = broker_left(q->client, last, &left, e);
    q->restart_seconds = queues_now() - began;
    if (rc == ERR_OK && left != 1)
        rc = error_set(e, ERR_INTERNAL, "\"%s\" lost its message in the restart", last);
    struct process_usage usage = {0};
    if (rc == ERR_OK)
        rc = process_usage(q->target.process.pid, &usage, e);
    if (usage.memory_peak_bytes > q->full.memory_peak_bytes)
        q->full.memory_peak_bytes = usage.memory_peak_bytes;
    return rc;
}

static int command_run_queues(const struct settings *s, struct report *r, struct error *e)
{
    struct queues q = {.s = s};
    if (s->queues == 0)
        return error_field(e, ERR_INVALID, "queues", "--queues is at least 1");
    int rc = target_open(&q.target, s, e);
    if (rc != ERR_OK)
        return rc;
    rc = queues_measure(&q, e);
    bool ours = q.target.process.pid != 0;
    if (rc == ERR_OK && ours)
        rc = queues_restart(&q, e);
    if (rc == ERR_OK) {
        report_text(r, "workload", "queues");
        report_text(r, "system", "hato");
        report_number(r, "queues", REPORT_COUNT, (double)s->queues);
        report_number(r, "creates_rate", REPORT_PER_SECOND, (double)s->queues / q.create_seconds);
        report_number(r, "sends_rate", REPORT_PER_SECOND, (double)s->queues / q.send_seconds);
        report_number(r, "list_pages", REPORT_COUNT, (double)q.pages);
        report_number(r, "list_seconds", REPORT_SECONDS, q.list_seconds);
    }
    if (rc == ERR_OK && ours) {
        report_number(r, "memory_before", REPORT_BYTES, (double)q.empty.memory_bytes);
        report_number(r, "memory", REPORT_BYTES, (double)q.full.memory_bytes);
        report_number(r, "memory_peak", REPORT_BYTES, (double)q.full.memory_peak_bytes);
        report_number(r, "crash_restart_seconds", REPORT_SECONDS, q.restart_seconds);
    }
    hato_client_destroy(q.client);
    target_close(&q.target);
    return rc;
}

static void command_defaults_queues(struct settings *s)
{
    s->queues = 100000;
}

const struct command command_queues = {
    .name = "queues",
    .what = "make many queues with a message each, list them, restart",
    .about = "With --spawn also the broker's memory, and the time of a restart after SIGKILL.",
    .example = "hato-bench queues --spawn build/bin/hatod --queues 100k",
    .takes = SETTINGS_SERVER | SETTINGS_QUEUES,
    .defaults = command_defaults_queues,
    .run = command_run_queues,
};
