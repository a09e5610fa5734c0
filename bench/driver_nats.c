/* NATS JetStream, the NATS text protocol spoken directly: publish with acknowledgement; a durable pull consumer whose acks
 * are confirmed. What answers what is told by the reply subject: "<inbox>.<slot>". */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "bench/driver.h"
#include "bench/wire.h"

/* Our subscriptions. */
enum { NATS_CONFIRMED = 1, NATS_DELIVERED = 2, NATS_ANSWERED = 3 };

enum { NATS_LINE_MAX = 4096, NATS_SUBJECT_MAX = 256 };

struct driver {
    struct driver_base base;
    struct wire wire;
    uint64_t asked; /* messages asked for, not arrived */
    bool answered;  /* the request of the preparation */
};

struct nats_message {
    char subject[NATS_SUBJECT_MAX];
    char reply[NATS_SUBJECT_MAX]; /* "" when none */
    int subscription;
    struct bytes headers; /* empty when none */
    struct bytes body;
};

extern const struct driver_ops driver_nats;

static void nats_close(struct driver *d)
{
    wire_close(&d->wire);
    memory_free(d);
}

/* "MSG <subject> <sid> [reply] <bytes>", "HMSG <subject> <sid> [reply] <header bytes> <bytes>". */
static bool nats_head(const char *line, struct nats_message *m, size_t *header, size_t *total)
{
    char words[6][NATS_SUBJECT_MAX];
    int n =
        sscanf(line, "%255s %255s %255s %255s %255s %255s", words[0], words[1], words[2], words[3], words[4], words[5]);
    int sizes = line[0] == 'H' ? 2 : 1;
    if (n != 3 + sizes && n != 4 + sizes)
        return false;
    bool replied = n == 4 + sizes;
    snprintf(m->subject, sizeof(m->subject), "%s", words[1]);
    snprintf(m->reply, sizeof(m->reply), "%s", replied ? words[3] : "");
    m->subscription = atoi(words[2]);
    *header = sizes == 2 ? strtoul(words[n - 2], NULL, 10) : 0;
    *total = strtoul(words[n - 1], NULL, 10);
    return *total <= LOAD_BODY_MAX && *header <= *total;
}

/* Eats the next whole message. 1: there is one; 0: not complete; else an error. */
static int nats_next(struct driver *d, struct nats_message *m, struct error *e)
{
    for (;;) {
        struct bytes v = wire_view(&d->wire);
        const uint8_t *end = v.len > 0 ? memchr(v.data, '\n', v.len < NATS_LINE_MAX ? v.len : NATS_LINE_MAX) : NULL;
        if (end == NULL)
            return 0;
        char line[NATS_LINE_MAX + 1];
        size_t len = (size_t)(end + 1 - v.data);
        memcpy(line, v.data, len);
        line[len] = 0;
        size_t header = 0, total = 0;
        if (strncmp(line, "MSG ", 4) == 0 || strncmp(line, "HMSG ", 5) == 0) {
            if (!nats_head(line, m, &header, &total))
                return error_set(e, ERR_PROTOCOL, "an answer that is not understood: %s", line);
            if (v.len < len + total + 2)
                return 0;
            m->headers = bytes_of(v.data + len, header);
            m->body = bytes_of(v.data + len + header, total - header);
            wire_eat(&d->wire, len + total + 2);
            return 1;
        }
        if (strncmp(line, "PING", 4) == 0)
            buffer_put(&d->wire.out, "PONG\r\n", 6);
        if (strncmp(line, "-ERR", 4) == 0)
            return error_set(e, ERR_INTERNAL, "%.*s", (int)len - 2, line);
        wire_eat(&d->wire, len);
    }
}

static void nats_publish(struct driver *d, const char *subject, const char *reply, struct bytes body)
{
    buffer_printf(&d->wire.out, "PUB %s %s %zu\r\n", subject, reply, body.len);
    buffer_put(&d->wire.out, body.data, body.len);
    buffer_put(&d->wire.out, "\r\n", 2);
}

static void nats_slot_subject(char *subject, uint32_t slot)
{
    snprintf(subject, NATS_SUBJECT_MAX, "_INBOX.c.%" PRIu32, slot);
}

static int nats_is_error(struct bytes body, struct error *e)
{
    if (body.len == 0 || memmem(body.data, body.len, "\"error\":", 8) == NULL)
        return ERR_OK;
    return error_set(e, ERR_INTERNAL, "%.*s", (int)(body.len < 300 ? body.len : 300), (const char *)body.data);
}

/* A request to the JetStream API; its answer is awaited. */
static int nats_request(struct driver *d, const char *subject, const char *json, struct error *e)
{
    nats_publish(d, subject, "_INBOX.a", bytes_text(json));
    for (;;) {
        struct nats_message m;
        int rc = nats_next(d, &m, e);
        if (rc == 1 && m.headers.len > 0)
            return error_set(e, ERR_NOT_FOUND, "JetStream does not answer: is it enabled?");
        if (rc == 1)
            return nats_is_error(m.body, e);
        if (rc == 0)
            rc = wire_wait(&d->wire, UINT64_MAX, e);
        if (rc != ERR_OK)
            return rc;
    }
}

static int nats_prepare(struct driver *d, struct error *e)
{
    const char *queue = d->base.config.queue;
    char subject[NATS_SUBJECT_MAX], json[512];
    buffer_printf(&d->wire.out, "CONNECT {\"verbose\":false,\"pedantic\":false,\"name\":\"hato-bench\",\"lang\":\"c\","
                                "\"version\":\"1\",\"protocol\":1,\"headers\":true,\"no_responders\":true}\r\n");
    buffer_printf(&d->wire.out, "SUB _INBOX.c.* %d\r\nSUB _INBOX.d %d\r\nSUB _INBOX.a %d\r\n", NATS_CONFIRMED,
                  NATS_DELIVERED, NATS_ANSWERED);
    int rc = ERR_OK;
    if (d->base.config.create) {
        snprintf(subject, sizeof(subject), "$JS.API.STREAM.CREATE.%s", queue);
        snprintf(json, sizeof(json), "{\"name\":\"%s\",\"subjects\":[\"%s\"],\"storage\":\"file\"}", queue, queue);
        rc = nats_request(d, subject, json, e);
    }
    if (rc == ERR_OK && d->base.config.mode == DRIVER_RECEIVE) {
        snprintf(subject, sizeof(subject), "$JS.API.CONSUMER.CREATE.%s.bench", queue);
        snprintf(json, sizeof(json),
                 "{\"stream_name\":\"%s\",\"config\":{\"durable_name\":\"bench\",\"name\":\"bench\","
                 "\"ack_policy\":\"explicit\",\"max_ack_pending\":%" PRIu32 "}}",
                 queue, d->base.load->config.window * 2);
        rc = nats_request(d, subject, json, e);
    }
    return rc;
}

static int nats_open(struct driver **out, const struct driver_config *config, struct load *load, struct error *e)
{
    struct driver *d = memory_zero(1, sizeof(*d));
    d->base = (struct driver_base){&driver_nats, load, *config};
    int rc = wire_open(&d->wire, config->server, e);
    if (rc == ERR_OK)
        rc = nats_prepare(d, e);
    if (rc != ERR_OK)
        nats_close(d);
    else
        *out = d;
    return rc;
}

static int nats_send(struct driver *d, uint32_t slot, struct bytes body, struct error *e)
{
    (void)e;
    char reply[NATS_SUBJECT_MAX];
    nats_slot_subject(reply, slot);
    nats_publish(d, d->base.config.queue, reply, body);
    return ERR_OK;
}

static void nats_ask(struct driver *d)
{
    uint64_t room;
    while ((room = load_room(d->base.load, d->asked)) > 0) {
        uint64_t count = room < d->base.config.batch ? room : d->base.config.batch;
        if (count < d->base.config.batch && d->asked > 0)
            return;
        char subject[NATS_SUBJECT_MAX], json[64];
        snprintf(subject, sizeof(subject), "$JS.API.CONSUMER.MSG.NEXT.%s.bench", d->base.config.queue);
        snprintf(json, sizeof(json), "{\"batch\":%" PRIu64 ",\"no_wait\":true}", count);
        nats_publish(d, subject, "_INBOX.d", bytes_text(json));
        d->asked += count;
    }
}

static int nats_took(struct driver *d, const struct nats_message *m, struct error *e)
{
    char reply[NATS_SUBJECT_MAX];
    if (m->subscription == NATS_CONFIRMED) {
        const char *dot = strrchr(m->subject, '.');
        uint32_t slot = dot != NULL ? (uint32_t)strtoul(dot + 1, NULL, 10) : UINT32_MAX;
        if (m->headers.len > 0 || slot >= d->base.load->config.window)
            return error_set(e, ERR_NOT_FOUND, "no stream takes \"%s\"", d->base.config.queue);
        load_done(d->base.load, slot);
        return nats_is_error(m->body, e);
    }
    if (m->reply[0] == 0 || d->asked == 0)
        return error_set(e, ERR_NOT_FOUND, "the stream has too few messages to receive");
    d->asked--;
    nats_slot_subject(reply, load_arrive(d->base.load, m->body));
    nats_publish(d, m->reply, reply, bytes_text("+ACK"));
    return ERR_OK;
}

static int nats_wait(struct driver *d, uint64_t timeout_ns, struct error *e)
{
    if (d->base.config.mode == DRIVER_RECEIVE)
        nats_ask(d);
    int rc = wire_wait(&d->wire, timeout_ns, e);
    load_tick(d->base.load);
    struct nats_message m;
    while (rc == ERR_OK && (rc = nats_next(d, &m, e)) == 1)
        rc = nats_took(d, &m, e);
    return rc;
}

const struct driver_ops driver_nats = {
    .name = "nats",
    .what = "NATS JetStream: publish with acknowledgement, a pull consumer with confirmed acks",
    .port = 4222,
    .receives = true,
    .open = nats_open,
    .send = nats_send,
    .wait = nats_wait,
    .close = nats_close,
};
