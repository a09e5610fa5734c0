/* Hato through libhato, as a user's program would: one call a message, streams with credit, acks of what came together. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "bench/driver.h"
#include "bench/wire.h"
#include "client/hato.h"

enum { HATO_CREDIT_MAX = 100000, HATO_FIRST_CONNECT_MS = 5000 };

/* A batch that is being acked. */
struct hato_batch {
    struct driver *driver;
    uint32_t count;
    uint32_t slots[];
};

/* What a call's `user` points to: where its slot is told by its place in the table. */
struct hato_slot {
    struct driver *driver;
};

struct driver {
    struct driver_base base;
    uv_loop_t loop;
    struct hato_client *client;
    struct hato_stream *stream;
    struct hato_slot *slots; /* [window] */
    uint64_t asked;          /* credit given, not used */
    struct error failed;     /* the first that failed */
    bool gone;
};

extern const struct driver_ops driver_hato;

static void hato_closed(void *user)
{
    ((struct driver *)user)->gone = true;
}

static void hato_close(struct driver *d)
{
    if (d->client != NULL) {
        hato_client_close(d->client, hato_closed, d);
        while (!d->gone)
            uv_run(&d->loop, UV_RUN_ONCE);
    }
    uv_run(&d->loop, UV_RUN_DEFAULT);
    int rc = uv_loop_close(&d->loop);
    ASSERT(rc == 0);
    memory_free(d->slots);
    memory_free(d);
}

static bool hato_failed(struct driver *d, const struct hato_error *error)
{
    if (error->code != HATO_OK && d->failed.code == ERR_OK)
        error_set(&d->failed, (enum error_code)error->code, "%s", error->message);
    return error->code != HATO_OK;
}

static void hato_acked(void *user, const struct hato_reply *reply)
{
    struct hato_batch *b = user;
    struct driver *d = b->driver;
    load_tick(d->base.load);
    if (!hato_failed(d, &reply->error)) {
        for (uint32_t i = 0; i < b->count; i++)
            load_done(d->base.load, b->slots[i]);
    }
    memory_free(b);
}

static void hato_delivered(void *user, struct hato_stream *stream, const struct hato_delivery *deliveries, size_t count)
{
    (void)stream;
    struct driver *d = user;
    load_tick(d->base.load);
    struct hato_bytes receipts[1000];
    ASSERT(count <= sizeof(receipts) / sizeof(receipts[0]) && count <= d->asked);
    d->asked -= count;
    struct hato_batch *b = memory_alloc(sizeof(*b) + count * sizeof(b->slots[0]));
    *b = (struct hato_batch){d, (uint32_t)count};
    for (size_t i = 0; i < count; i++) {
        receipts[i] = deliveries[i].receipt;
        struct bytes body = bytes_of(deliveries[i].message.body, deliveries[i].message.body_len);
        b->slots[i] = load_arrive(d->base.load, body);
    }
    hato_ack(d->client, d->base.config.queue, receipts, count, hato_acked, b);
}

static void hato_ended(void *user, const struct hato_error *error)
{
    struct driver *d = user;
    d->stream = NULL;
    if (error->code != HATO_CLOSED)
        hato_failed(d, error);
}

static uint32_t hato_credit(struct driver *d)
{
    uint64_t room = load_room(d->base.load, d->asked);
    room = room < HATO_CREDIT_MAX ? room : HATO_CREDIT_MAX;
    d->asked += room;
    return (uint32_t)room;
}

static void hato_ask(struct driver *d)
{
    uint32_t credit = hato_credit(d);
    if (credit == 0 || d->failed.code != ERR_OK)
        return;
    if (d->stream != NULL) {
        hato_stream_credit(d->stream, credit);
        return;
    }
    struct hato_stream_options options = {.credit = credit, .max_batch = d->base.config.batch};
    d->stream = hato_stream_open(d->client, d->base.config.queue, &options, hato_delivered, hato_ended, d);
}

static void hato_created(void *user, const struct hato_reply *reply)
{
    struct driver *d = user;
    d->gone = true;
    hato_failed(d, &reply->error);
}

/* Runs the loop until the call that sets `gone` is done. */
static int hato_settle(struct driver *d, struct error *e)
{
    while (!d->gone)
        uv_run(&d->loop, UV_RUN_ONCE);
    d->gone = false;
    return d->failed.code == ERR_OK ? ERR_OK : error_set(e, d->failed.code, "%s", d->failed.message);
}

static int hato_open(struct driver **out, const struct driver_config *config, struct load *load, struct error *e)
{
    struct driver *d = memory_zero(1, sizeof(*d));
    d->base = (struct driver_base){&driver_hato, load, *config};
    d->slots = memory_zero(load->config.window, sizeof(*d->slots));
    for (uint32_t i = 0; i < load->config.window; i++)
        d->slots[i].driver = d;
    uv_loop_init(&d->loop);
    struct hato_options options = {
        .server = config->server, .name = "hato-bench", .first_connect_ms = HATO_FIRST_CONNECT_MS};
    char why[ERROR_MESSAGE_MAX];
    d->client = hato_client_create(&d->loop, &options, why, sizeof(why));
    int rc = d->client != NULL ? ERR_OK : error_set(e, ERR_INVALID, "%s", why);
    if (rc == ERR_OK) {
        if (config->create)
            hato_queue_create(d->client, config->queue, NULL, hato_created, d);
        else
            hato_ping(d->client, hato_created, d);
        rc = hato_settle(d, e);
    }
    if (rc != ERR_OK)
        hato_close(d);
    else
        *out = d;
    return rc;
}

static void hato_confirmed(void *user, const struct hato_reply *reply)
{
    struct hato_slot *slot = user;
    struct driver *d = slot->driver;
    load_tick(d->base.load);
    hato_failed(d, &reply->error);
    load_done(d->base.load, (uint32_t)(slot - d->slots));
}

static int hato_submit(struct driver *d, uint32_t slot, struct bytes body, struct error *e)
{
    (void)e;
    struct hato_message message = {.body = body.data, .body_len = body.len};
    hato_send(d->client, d->base.config.queue, &message, 1, hato_confirmed, &d->slots[slot]);
    return ERR_OK;
}

static int hato_run(struct driver *d, uint64_t timeout_ns, struct error *e)
{
    if (d->base.config.mode == DRIVER_RECEIVE)
        hato_ask(d);
    uint64_t done = d->base.load->done;
    uint64_t claimed = d->base.load->claimed;
    uv_run(&d->loop, UV_RUN_NOWAIT);
    /* The loop's own timers are in milliseconds, too coarse for a schedule: it is waited for from outside. */
    int ms = uv_backend_timeout(&d->loop);
    uint64_t loop_ns = ms >= 0 ? (uint64_t)ms * 1000000 : UINT64_MAX;
    int rc = ERR_OK;
    if (d->base.load->done == done && d->base.load->claimed == claimed && d->failed.code == ERR_OK) {
        rc = wire_readable(uv_backend_fd(&d->loop), timeout_ns < loop_ns ? timeout_ns : loop_ns, e);
        uv_run(&d->loop, UV_RUN_NOWAIT);
    }
    if (d->failed.code != ERR_OK)
        rc = error_set(e, d->failed.code, "%s", d->failed.message);
    return rc == ERR_TIMEOUT && d->failed.code == ERR_OK ? ERR_OK : rc;
}

const struct driver_ops driver_hato = {
    .name = "hato",
    .what = "hatod through libhato",
    .port = 9325,
    .receives = true,
    .waits = true,
    .open = hato_open,
    .send = hato_submit,
    .wait = hato_run,
    .close = hato_close,
};
