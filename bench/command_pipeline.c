/* Sending and receiving at once: two connections, two threads, the latency from send to arrival. */
#include <pthread.h>
#include <unistd.h>

#include "bench/command.h"
#include "bench/target.h"

struct side {
    pthread_t thread;
    const struct driver_ops *ops;
    struct driver_config driver;
    struct load load;
    struct error error;
    int rc;
};

static void side_open(struct side *side, const struct target *t, const struct settings *s, enum driver_mode mode,
                      const atomic_bool *stop)
{
    bool sends = mode == DRIVER_SEND;
    /* The receiver ends with the last message sent, so it goes by the count alone. */
    struct load_config config = {.count = s->messages,
                                 .rate = sends ? (double)s->rate : 0,
                                 .window = (uint32_t)s->window,
                                 .body_size = (uint32_t)s->size,
                                 .stamped = true,
                                 .stop = sends ? NULL : stop,
                                 .consumes = !sends,
                                 .progress = !sends && !s->quiet && isatty(STDERR_FILENO)};
    *side = (struct side){.ops = t->ops,
                          .driver = {.server = t->server,
                                     .queue = s->queue,
                                     .mode = mode,
                                     .batch = (uint32_t)(s->batch < s->window ? s->batch : s->window)}};
    load_open(&side->load, &config);
}

static void *side_run(void *arg)
{
    struct side *side = arg;
    side->rc = driver_run(side->ops, &side->driver, &side->load, &side->error);
    return NULL;
}

/* Makes the queue, so that both sides find it. */
static int pipeline_create(struct target *t, const struct settings *s, struct error *e)
{
    struct settings one = *s;
    one.rate = 0;
    struct load load;
    int rc = target_load(t, &one, DRIVER_SEND, 1, 0, true, &load, e);
    load_close(&load);
    if (rc == ERR_OK)
        rc = target_load(t, &one, DRIVER_RECEIVE, 1, 0, false, &load, e);
    else
        return rc;
    load_close(&load);
    return rc;
}

static int pipeline_run(struct target *t, const struct settings *s, struct report *r, struct error *e)
{
    struct side sender, receiver;
    atomic_bool stop = false; /* a receiver would wait for ever for what a failed sender did not send */
    side_open(&sender, t, s, DRIVER_SEND, &stop);
    side_open(&receiver, t, s, DRIVER_RECEIVE, &stop);
    int rc = pthread_create(&receiver.thread, NULL, side_run, &receiver);
    if (rc == 0) {
        side_run(&sender);
        atomic_store(&stop, sender.rc != ERR_OK);
        pthread_join(receiver.thread, NULL);
        struct side *bad = sender.rc != ERR_OK ? &sender : receiver.rc != ERR_OK ? &receiver : NULL;
        rc = bad != NULL ? error_set(e, bad->error.code, "%s", bad->error.message) : ERR_OK;
    } else {
        rc = error_set(e, ERR_IO, "cannot start a thread");
    }
    if (rc == ERR_OK) {
        target_report(t, s, "pipeline", r);
        report_load(r, &receiver.load);
        report_number(r, "send_p50_us", REPORT_MICROSECONDS,
                      (double)histogram_percentile(&sender.load.latency, 50) / 1e3);
        report_number(r, "send_p99_us", REPORT_MICROSECONDS,
                      (double)histogram_percentile(&sender.load.latency, 99) / 1e3);
        target_report_usage(t, r);
    }
    load_close(&sender.load);
    load_close(&receiver.load);
    return rc;
}

static int command_run_pipeline(const struct settings *s, struct report *r, struct error *e)
{
    struct target t;
    int rc = target_open(&t, s, e);
    if (rc != ERR_OK)
        return rc;
    if (!t.ops->waits)
        rc = error_field(e, ERR_INVALID, "system", "a receiver of %s does not wait for messages here", t.ops->name);
    else if (s->messages == 0)
        rc = error_field(e, ERR_INVALID, "messages", "--messages is at least 1");
    if (rc == ERR_OK)
        rc = pipeline_create(&t, s, e);
    if (rc == ERR_OK)
        rc = pipeline_run(&t, s, r, e);
    target_close(&t);
    return rc;
}

static void command_defaults_pipeline(struct settings *s)
{
    s->messages = 200000;
}

const struct command command_pipeline = {
    .name = "pipeline",
    .what = "send and receive at once",
    .about = "Latency is the time from when a message was due to be sent to its arrival at the receiver.",
    .example = "hato-bench pipeline --spawn build/bin/hatod --messages 100k --rate 10k",
    .takes = SETTINGS_SERVER | SETTINGS_SYSTEM | SETTINGS_QUEUE | SETTINGS_COUNT | SETTINGS_WINDOW | SETTINGS_RATE |
             SETTINGS_BATCH,
    .defaults = command_defaults_pipeline,
    .run = command_run_pipeline,
};
