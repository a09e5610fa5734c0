/* The limit server (limit/): a frame is a 32-bit length and the body; the answer to each is a frame with its number. */
#include <string.h>

#include "base/memory.h"
#include "bench/driver.h"
#include "bench/limit/frame.h"
#include "bench/ring.h"
#include "bench/wire.h"

struct driver {
    struct driver_base base;
    struct wire wire;
    struct ring pending;
    uint64_t acked;
};

extern const struct driver_ops driver_limit;

static void limit_close(struct driver *d)
{
    wire_close(&d->wire);
    ring_close(&d->pending);
    memory_free(d);
}

static int limit_open(struct driver **out, const struct driver_config *config, struct load *load, struct error *e)
{
    struct driver *d = memory_zero(1, sizeof(*d));
    d->base = (struct driver_base){&driver_limit, load, *config};
    ring_open(&d->pending, load->config.window);
    int rc = wire_open(&d->wire, config->server, e);
    if (rc != ERR_OK)
        limit_close(d);
    else
        *out = d;
    return rc;
}

static int limit_send(struct driver *d, uint32_t slot, struct bytes body, struct error *e)
{
    (void)e;
    buffer_u32(&d->wire.out, (uint32_t)body.len);
    buffer_put(&d->wire.out, body.data, body.len);
    ring_put(&d->pending, slot);
    return ERR_OK;
}

static int limit_wait(struct driver *d, uint64_t timeout_ns, struct error *e)
{
    int rc = wire_wait(&d->wire, timeout_ns, e);
    load_tick(d->base.load);
    struct cursor c = cursor_open(wire_view(&d->wire));
    while (rc == ERR_OK && cursor_left(&c) >= FRAME_ACK_BYTES) {
        uint32_t len = cursor_u32(&c);
        uint64_t number = cursor_u64(&c);
        if (len != FRAME_ACK_BYTES - FRAME_HEAD_BYTES || number != ++d->acked || ring_count(&d->pending) == 0)
            return error_set(e, ERR_PROTOCOL, "an ack that was not due");
        wire_eat(&d->wire, FRAME_ACK_BYTES);
        load_done(d->base.load, ring_take(&d->pending));
    }
    return rc;
}

const struct driver_ops driver_limit = {
    .name = "limit",
    .what = "hato-limit: frames in, one append, one fdatasync for all that came, acks out",
    .port = 9326,
    .open = limit_open,
    .send = limit_send,
    .wait = limit_wait,
    .close = limit_close,
};
