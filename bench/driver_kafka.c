/* Kafka through librdkafka: acks=all to one partition of a topic made with flush.messages=1 (each batch is synced before it
 * is acknowledged). Sending only. */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "bench/driver.h"

enum { KAFKA_CREATE_MS = 30000, KAFKA_WAIT_MS_MAX = 100, KAFKA_EVENTS_MAX = 10000 };

struct driver {
    struct driver_base base;
    rd_kafka_t *kafka;
    rd_kafka_topic_t *topic;
    rd_kafka_queue_t *events;
    uint32_t failed; /* deliveries */
    char why[256];
};

extern const struct driver_ops driver_kafka;

static void kafka_close(struct driver *d)
{
    if (d->events != NULL)
        rd_kafka_queue_destroy(d->events);
    if (d->topic != NULL)
        rd_kafka_topic_destroy(d->topic);
    if (d->kafka != NULL)
        rd_kafka_destroy(d->kafka);
    memory_free(d);
}

static int kafka_set(rd_kafka_conf_t *conf, const char *name, const char *value, struct error *e)
{
    char why[256];
    if (rd_kafka_conf_set(conf, name, value, why, sizeof(why)) != RD_KAFKA_CONF_OK)
        return error_set(e, ERR_INVALID, "%s", why);
    return ERR_OK;
}

static int kafka_connect(struct driver *d, struct error *e)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR);
    /* A window of messages is not to wait for more than it; one alone for nothing. */
    const char *linger = d->base.load->config.window > 1 ? "1" : "0";
    int rc = kafka_set(conf, "bootstrap.servers", d->base.config.server, e);
    if (rc == ERR_OK)
        rc = kafka_set(conf, "linger.ms", linger, e);
    if (rc == ERR_OK)
        rc = kafka_set(conf, "acks", "all", e);
    char why[256] = "";
    if (rc == ERR_OK) {
        d->kafka = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
        if (d->kafka == NULL)
            rc = error_set(e, ERR_IO, "%s", why);
    }
    if (d->kafka == NULL)
        rd_kafka_conf_destroy(conf);
    return rc;
}

static int kafka_created(rd_kafka_event_t *event, struct error *e)
{
    if (event == NULL)
        return error_set(e, ERR_TIMEOUT, "creating the topic was not answered");
    const rd_kafka_CreateTopics_result_t *result = rd_kafka_event_CreateTopics_result(event);
    size_t count = 0;
    const rd_kafka_topic_result_t **topics =
        result != NULL ? rd_kafka_CreateTopics_result_topics(result, &count) : NULL;
    if (count == 0)
        return error_set(e, ERR_IO, "creating the topic: %s", rd_kafka_event_error_string(event));
    rd_kafka_resp_err_t code = rd_kafka_topic_result_error(topics[0]);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
        return ERR_OK;
    return error_set(e, ERR_IO, "creating the topic: %s", rd_kafka_topic_result_error_string(topics[0]));
}

static int kafka_create(struct driver *d, struct error *e)
{
    char why[256] = "";
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(d->base.config.queue, 1, 1, why, sizeof(why));
    if (topic == NULL)
        return error_set(e, ERR_INVALID, "%s", why);
    rd_kafka_NewTopic_set_config(topic, "flush.messages", "1");
    rd_kafka_queue_t *answers = rd_kafka_queue_new(d->kafka);
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(d->kafka, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    rd_kafka_AdminOptions_set_request_timeout(options, KAFKA_CREATE_MS, why, sizeof(why));
    rd_kafka_CreateTopics(d->kafka, &topic, 1, options, answers);
    rd_kafka_event_t *event = rd_kafka_queue_poll(answers, KAFKA_CREATE_MS);
    int rc = kafka_created(event, e);
    if (event != NULL)
        rd_kafka_event_destroy(event);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(answers);
    rd_kafka_NewTopic_destroy(topic);
    return rc;
}

static int kafka_open(struct driver **out, const struct driver_config *config, struct load *load, struct error *e)
{
    struct driver *d = memory_zero(1, sizeof(*d));
    d->base = (struct driver_base){&driver_kafka, load, *config};
    int rc = kafka_connect(d, e);
    if (rc == ERR_OK && config->create)
        rc = kafka_create(d, e);
    if (rc == ERR_OK) {
        d->events = rd_kafka_queue_get_main(d->kafka);
        d->topic = rd_kafka_topic_new(d->kafka, config->queue, NULL);
        if (d->topic == NULL)
            rc = error_set(e, ERR_IO, "no topic \"%s\"", config->queue);
    }
    if (rc != ERR_OK)
        kafka_close(d);
    else
        *out = d;
    return rc;
}

static int kafka_send(struct driver *d, uint32_t slot, struct bytes body, struct error *e)
{
    /* The body lives until the slot is done: no copy. */
    int rc = rd_kafka_produce(d->topic, 0, 0, (void *)(uintptr_t)body.data, body.len, NULL, 0, (void *)(uintptr_t)slot);
    if (rc != 0)
        return error_set(e, ERR_IO, "producing: %s", rd_kafka_err2str(rd_kafka_last_error()));
    return ERR_OK;
}

static void kafka_delivered(struct driver *d, rd_kafka_event_t *event)
{
    const rd_kafka_message_t *m;
    while ((m = rd_kafka_event_message_next(event)) != NULL) {
        if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR && d->failed++ == 0)
            snprintf(d->why, sizeof(d->why), "%s", rd_kafka_err2str(m->err));
        load_done(d->base.load, (uint32_t)(uintptr_t)m->_private);
    }
}

static int kafka_wait(struct driver *d, uint64_t timeout_ns, struct error *e)
{
    uint64_t ms = timeout_ns / 1000000;
    rd_kafka_event_t *event = rd_kafka_queue_poll(d->events, (int)(ms < KAFKA_WAIT_MS_MAX ? ms : KAFKA_WAIT_MS_MAX));
    load_tick(d->base.load);
    for (int i = 0; event != NULL && i < KAFKA_EVENTS_MAX; i++) {
        if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_DR)
            kafka_delivered(d, event);
        rd_kafka_event_destroy(event);
        event = rd_kafka_queue_poll(d->events, 0);
    }
    if (event != NULL)
        rd_kafka_event_destroy(event);
    return d->failed > 0 ? error_set(e, ERR_IO, "delivery: %s", d->why) : ERR_OK;
}

const struct driver_ops driver_kafka = {
    .name = "kafka",
    .what = "Kafka: acks=all, one partition, flush.messages=1 (send only)",
    .port = 9092,
    .open = kafka_open,
    .send = kafka_send,
    .wait = kafka_wait,
    .close = kafka_close,
};
