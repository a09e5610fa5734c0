/* beanstalkd, its text protocol spoken directly: put; reserve and delete. Commands are pipelined and answered in order.
 * Started with -f0 it syncs after every write. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "bench/driver.h"
#include "bench/ring.h"
#include "bench/wire.h"

enum { BEANSTALKD_RESERVE = UINT32_MAX }; /* in `pending`; else the slot of a put or a delete */

struct driver {
    struct driver_base base;
    struct wire wire;
    struct ring pending; /* what each answer to come is for */
    uint64_t asked;      /* reserves not answered */
};

extern const struct driver_ops driver_beanstalkd;

static void beanstalkd_close(struct driver *d)
{
    wire_close(&d->wire);
    ring_close(&d->pending);
    memory_free(d);
}

static int beanstalkd_use(struct driver *d, struct error *e)
{
    buffer_printf(&d->wire.out, "use %s\r\nwatch %s\r\nignore default\r\n", d->base.config.queue, d->base.config.queue);
    struct bytes line = {0};
    static const char *const answers[] = {"USING ", "WATCHING ", "WATCHING "};
    for (int i = 0; i < 3; i++) {
        int rc = wire_read_line(&d->wire, &line, e);
        if (rc != ERR_OK)
            return rc;
        if (line.len < strlen(answers[i]) || memcmp(line.data, answers[i], strlen(answers[i])) != 0)
            return error_set(e, ERR_INTERNAL, "%.*s", (int)line.len, (const char *)line.data);
    }
    return ERR_OK;
}

static int beanstalkd_open(struct driver **out, const struct driver_config *config, struct load *load, struct error *e)
{
    struct driver *d = memory_zero(1, sizeof(*d));
    d->base = (struct driver_base){&driver_beanstalkd, load, *config};
    ring_open(&d->pending, load->config.window * 2);
    int rc = wire_open(&d->wire, config->server, e);
    if (rc == ERR_OK)
        rc = beanstalkd_use(d, e);
    if (rc != ERR_OK)
        beanstalkd_close(d);
    else
        *out = d;
    return rc;
}

static int beanstalkd_send(struct driver *d, uint32_t slot, struct bytes body, struct error *e)
{
    (void)e;
    buffer_printf(&d->wire.out, "put 0 0 600 %zu\r\n", body.len);
    buffer_put(&d->wire.out, body.data, body.len);
    buffer_put(&d->wire.out, "\r\n", 2);
    ring_put(&d->pending, slot);
    return ERR_OK;
}

static void beanstalkd_ask(struct driver *d)
{
    for (uint64_t room = load_room(d->base.load, d->asked); room > 0; room--) {
        buffer_put(&d->wire.out, "reserve-with-timeout 0\r\n", 24);
        ring_put(&d->pending, BEANSTALKD_RESERVE);
        d->asked++;
    }
}

/* "RESERVED <id> <bytes>": asks for the deletion. Returns the bytes that follow the line, 0 when they are not there yet. */
static size_t beanstalkd_reserved(struct driver *d, const char *line, size_t after_line, struct error *e)
{
    unsigned long long id = 0, size = 0;
    if (sscanf(line, "RESERVED %llu %llu", &id, &size) != 2 || size > LOAD_BODY_MAX) {
        error_set(e, ERR_NOT_FOUND, "the tube has too few jobs to receive: %s", line);
        return 0;
    }
    if (after_line < size + 2)
        return 0;
    ring_take(&d->pending);
    d->asked--;
    buffer_printf(&d->wire.out, "delete %llu\r\n", id);
    ring_put(&d->pending, load_arrive(d->base.load, (struct bytes){0}));
    return size + 2;
}

/* Eats one answer; false when none is complete, or it was an error. */
static bool beanstalkd_answer(struct driver *d, struct error *e)
{
    struct bytes v = wire_view(&d->wire);
    const uint8_t *end = v.len > 0 ? memchr(v.data, '\n', v.len) : NULL;
    if (end == NULL || ring_count(&d->pending) == 0)
        return false;
    char line[96] = "";
    size_t len = (size_t)(end + 1 - v.data);
    if (len < 2) {
        error_set(e, ERR_PROTOCOL, "an empty line came where an answer was expected: is this a beanstalkd?");
        return false;
    }
    memcpy(line, v.data, len < sizeof(line) ? len - 2 : sizeof(line) - 1);
    if (ring_first(&d->pending) == BEANSTALKD_RESERVE) {
        size_t body = beanstalkd_reserved(d, line, v.len - len, e);
        wire_eat(&d->wire, body > 0 ? len + body : 0);
        return body > 0;
    }
    const char *good = d->base.config.mode == DRIVER_SEND ? "INSERTED" : "DELETED";
    if (strncmp(line, good, strlen(good)) != 0) {
        error_set(e, ERR_INTERNAL, "%s", line);
        return false;
    }
    load_done(d->base.load, ring_take(&d->pending));
    wire_eat(&d->wire, len);
    return true;
}

static int beanstalkd_wait(struct driver *d, uint64_t timeout_ns, struct error *e)
{
    if (d->base.config.mode == DRIVER_RECEIVE)
        beanstalkd_ask(d);
    struct error local = {0};
    int rc = wire_wait(&d->wire, timeout_ns, e);
    load_tick(d->base.load);
    while (rc == ERR_OK && beanstalkd_answer(d, &local))
        continue;
    if (rc == ERR_OK && local.code != ERR_OK)
        rc = error_set(e, local.code, "%s", local.message);
    return rc;
}

const struct driver_ops driver_beanstalkd = {
    .name = "beanstalkd",
    .what = "beanstalkd: put, reserve and delete",
    .port = 11300,
    .receives = true,
    .open = beanstalkd_open,
    .send = beanstalkd_send,
    .wait = beanstalkd_wait,
    .close = beanstalkd_close,
};
