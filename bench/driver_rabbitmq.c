/* RabbitMQ through librabbitmq: a quorum queue, publisher confirms; a consumer with manual acks. Acks of AMQP have no answer:
 * a message counts as acked when its ack is written. */
#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_tcp_socket.h>
#include <string.h>
#include <sys/time.h>

#include "base/memory.h"
#include "bench/driver.h"
#include "bench/ring.h"
#include "bench/tags.h"
#include "bench/wire.h"

enum { RABBITMQ_CHANNEL = 1, RABBITMQ_FRAME_BYTES = 131072, RABBITMQ_PENDING_FACTOR = 16 };

struct driver {
    struct driver_base base;
    amqp_connection_state_t amqp;
    struct tags sent;
    uint64_t delivered; /* the last one's tag */
    struct ring held;   /* slots of messages delivered, not acked */
    uint64_t body_left; /* of the delivery that is arriving */
    bool delivering;
};

extern const struct driver_ops driver_rabbitmq;

static void rabbitmq_close(struct driver *d)
{
    if (d->amqp != NULL)
        amqp_destroy_connection(d->amqp);
    tags_close(&d->sent);
    ring_close(&d->held);
    memory_free(d);
}

static int rabbitmq_status(int status, const char *what, struct error *e)
{
    if (status == AMQP_STATUS_OK)
        return ERR_OK;
    return error_set(e, ERR_IO, "%s: %s", what, amqp_error_string2(status));
}

static int rabbitmq_reply(amqp_rpc_reply_t r, const char *what, struct error *e)
{
    if (r.reply_type == AMQP_RESPONSE_NORMAL)
        return ERR_OK;
    if (r.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION)
        return rabbitmq_status(r.library_error, what, e);
    if (r.reply.id == AMQP_CHANNEL_CLOSE_METHOD) {
        const amqp_channel_close_t *m = r.reply.decoded;
        return error_set(e, ERR_INTERNAL, "%s: %.*s", what, (int)m->reply_text.len, (const char *)m->reply_text.bytes);
    }
    return error_set(e, ERR_INTERNAL, "%s: refused", what);
}

static int rabbitmq_connect(struct driver *d, struct error *e)
{
    char host[256];
    int port = 0;
    int rc = wire_address(d->base.config.server, host, sizeof(host), &port, e);
    if (rc != ERR_OK)
        return rc;
    d->amqp = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(d->amqp);
    rc = rabbitmq_status(amqp_socket_open(socket, host, port), "cannot connect", e);
    if (rc == ERR_OK)
        rc = rabbitmq_reply(
            amqp_login(d->amqp, "/", 0, RABBITMQ_FRAME_BYTES, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest"), "login", e);
    if (rc == ERR_OK) {
        amqp_channel_open(d->amqp, RABBITMQ_CHANNEL);
        rc = rabbitmq_reply(amqp_get_rpc_reply(d->amqp), "opening a channel", e);
    }
    return rc;
}

static int rabbitmq_prepare(struct driver *d, struct error *e)
{
    amqp_bytes_t queue = amqp_cstring_bytes(d->base.config.queue);
    amqp_table_entry_t quorum = {.key = amqp_cstring_bytes("x-queue-type"),
                                 .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes("quorum")}};
    amqp_table_t arguments = {.num_entries = 1, .entries = &quorum};
    amqp_queue_declare(d->amqp, RABBITMQ_CHANNEL, queue, 0, 1, 0, 0, arguments);
    int rc = rabbitmq_reply(amqp_get_rpc_reply(d->amqp), "declaring the queue", e);
    if (rc == ERR_OK && d->base.config.mode == DRIVER_SEND) {
        amqp_confirm_select(d->amqp, RABBITMQ_CHANNEL);
        rc = rabbitmq_reply(amqp_get_rpc_reply(d->amqp), "asking for confirms", e);
    } else if (rc == ERR_OK) {
        uint32_t window = d->base.load->config.window;
        amqp_basic_qos(d->amqp, RABBITMQ_CHANNEL, 0, (uint16_t)(window < UINT16_MAX ? window : UINT16_MAX), 0);
        amqp_basic_consume(d->amqp, RABBITMQ_CHANNEL, queue, amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
        rc = rabbitmq_reply(amqp_get_rpc_reply(d->amqp), "consuming", e);
    }
    return rc;
}

static int rabbitmq_open(struct driver **out, const struct driver_config *config, struct load *load, struct error *e)
{
    struct driver *d = memory_zero(1, sizeof(*d));
    d->base = (struct driver_base){&driver_rabbitmq, load, *config};
    tags_open(&d->sent, (uint64_t)load->config.window * RABBITMQ_PENDING_FACTOR);
    ring_open(&d->held, load->config.window);
    int rc = rabbitmq_connect(d, e);
    if (rc == ERR_OK)
        rc = rabbitmq_prepare(d, e);
    if (rc != ERR_OK)
        rabbitmq_close(d);
    else
        *out = d;
    return rc;
}

static int rabbitmq_send(struct driver *d, uint32_t slot, struct bytes body, struct error *e)
{
    amqp_basic_properties_t properties = {._flags = AMQP_BASIC_DELIVERY_MODE_FLAG, .delivery_mode = 2};
    amqp_bytes_t data = {.len = body.len, .bytes = (void *)(uintptr_t)body.data};
    if (!tags_add(&d->sent, slot))
        return error_set(e, ERR_OVERLOADED, "a confirm is %llu messages late", (unsigned long long)d->sent.mask);
    int status = amqp_basic_publish(d->amqp, RABBITMQ_CHANNEL, amqp_empty_bytes,
                                    amqp_cstring_bytes(d->base.config.queue), 0, 0, &properties, data);
    return rabbitmq_status(status, "publishing", e);
}

static void rabbitmq_confirm(struct driver *d, const amqp_basic_ack_t *ack)
{
    uint64_t from = ack->multiple ? d->sent.confirmed + 1 : ack->delivery_tag;
    uint32_t slot;
    for (uint64_t tag = from; tag <= ack->delivery_tag && tag <= d->sent.last; tag++) {
        if (tags_confirm(&d->sent, tag, &slot))
            load_done(d->base.load, slot);
    }
}

static int rabbitmq_ack(struct driver *d, struct error *e)
{
    if (ring_count(&d->held) == 0)
        return ERR_OK;
    int status = amqp_basic_ack(d->amqp, RABBITMQ_CHANNEL, d->delivered, 1);
    load_tick(d->base.load);
    while (ring_count(&d->held) > 0)
        load_done(d->base.load, ring_take(&d->held));
    return rabbitmq_status(status, "acking", e);
}

/* A delivery is a method frame, a header frame with the size, and body frames. */
static int rabbitmq_part(struct driver *d, const amqp_frame_t *f, struct error *e)
{
    if (f->frame_type == AMQP_FRAME_HEADER)
        d->body_left = f->payload.properties.body_size;
    else if (f->frame_type == AMQP_FRAME_BODY)
        d->body_left -= f->payload.body_fragment.len;
    if (!d->delivering || d->body_left > 0)
        return ERR_OK;
    d->delivering = false;
    if (load_room(d->base.load, 0) > 0)
        ring_put(&d->held, load_arrive(d->base.load, (struct bytes){0}));
    return ring_count(&d->held) >= d->base.config.batch ? rabbitmq_ack(d, e) : ERR_OK;
}

static int rabbitmq_frame(struct driver *d, const amqp_frame_t *f, struct error *e)
{
    if (f->frame_type != AMQP_FRAME_METHOD)
        return rabbitmq_part(d, f, e);
    const amqp_method_t *m = &f->payload.method;
    switch (m->id) {
    case AMQP_BASIC_ACK_METHOD:
        rabbitmq_confirm(d, m->decoded);
        return ERR_OK;
    case AMQP_BASIC_DELIVER_METHOD:
        /* Told apart from a body of 0 bytes by the header that comes next. */
        d->body_left = 1;
        d->delivering = true;
        if (load_room(d->base.load, 0) > 0)
            d->delivered = ((const amqp_basic_deliver_t *)m->decoded)->delivery_tag;
        return ERR_OK;
    case AMQP_BASIC_NACK_METHOD:
        return error_set(e, ERR_INTERNAL, "the server refused a message");
    case AMQP_CHANNEL_CLOSE_METHOD:
    case AMQP_CONNECTION_CLOSE_METHOD:
        return error_set(e, ERR_CLOSED, "the server closed the channel");
    default:
        return ERR_OK;
    }
}

static int rabbitmq_wait(struct driver *d, uint64_t timeout_ns, struct error *e)
{
    struct timeval timeout = {(time_t)(timeout_ns / 1000000000u), (suseconds_t)(timeout_ns % 1000000000u / 1000)};
    const struct timeval at_once = {0};
    int rc = ERR_OK;
    amqp_frame_t f;
    int status = amqp_simple_wait_frame_noblock(d->amqp, &f, timeout_ns != UINT64_MAX ? &timeout : NULL);
    load_tick(d->base.load);
    while (rc == ERR_OK && status == AMQP_STATUS_OK) {
        rc = rabbitmq_frame(d, &f, e);
        bool more = amqp_frames_enqueued(d->amqp) || amqp_data_in_buffer(d->amqp);
        status = more ? amqp_simple_wait_frame_noblock(d->amqp, &f, &at_once) : AMQP_STATUS_TIMEOUT;
    }
    amqp_maybe_release_buffers(d->amqp);
    if (rc == ERR_OK)
        rc = rabbitmq_ack(d, e);
    return rc != ERR_OK || status == AMQP_STATUS_TIMEOUT ? rc : rabbitmq_status(status, "receiving", e);
}

const struct driver_ops driver_rabbitmq = {
    .name = "rabbitmq",
    .what = "RabbitMQ: a quorum queue with publisher confirms and manual acks",
    .port = 5672,
    .receives = true,
    .open = rabbitmq_open,
    .send = rabbitmq_send,
    .wait = rabbitmq_wait,
    .close = rabbitmq_close,
};
