/* Redis Streams through hiredis: XADD; XREADGROUP and XACK in a consumer group. The server decides what is durable
 * (appendfsync always). Pipelined: replies come in the order of the commands. */
#include <errno.h>
#include <hiredis/hiredis.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "bench/driver.h"
#include "bench/ring.h"
#include "bench/wire.h"

enum {
    REDIS_ASKED = UINT32_MAX
}; /* in `pending`: an XREADGROUP, its count follows; else an XADD's slot, an XACK's count */

struct driver {
    struct driver_base base;
    redisContext *redis;
    struct ring pending; /* what each reply to come is for */
    struct ring slots;   /* received, their XACK not answered */
    uint64_t asked;      /* messages asked for, not arrived */
    const char **args;   /* of one XACK */
    size_t *lengths;
};

extern const struct driver_ops driver_redis;

static void redis_close(struct driver *d)
{
    if (d->redis != NULL)
        redisFree(d->redis);
    ring_close(&d->pending);
    ring_close(&d->slots);
    memory_free(d->args);
    memory_free(d->lengths);
    memory_free(d);
}

static int redis_failed(struct driver *d, struct error *e)
{
    return error_set(e, ERR_IO, "%s", d->redis->errstr);
}

/* One command, its answer awaited; an answer that is an error is one unless it begins with `but`. */
static int redis_do(struct driver *d, struct error *e, const char *but, int argc, const char **argv)
{
    redisReply *reply = redisCommandArgv(d->redis, argc, argv, NULL);
    if (reply == NULL)
        return redis_failed(d, e);
    int rc = ERR_OK;
    if (reply->type == REDIS_REPLY_ERROR && (but == NULL || strncmp(reply->str, but, strlen(but)) != 0))
        rc = error_set(e, ERR_INTERNAL, "%s: %s", argv[0], reply->str);
    freeReplyObject(reply);
    return rc;
}

static int redis_prepare(struct driver *d, struct error *e)
{
    const char *queue = d->base.config.queue;
    int rc = ERR_OK;
    if (d->base.config.create)
        rc = redis_do(d, e, NULL, 2, (const char *[]){"DEL", queue});
    if (rc == ERR_OK)
        rc = redis_do(d, e, "BUSYGROUP", 6, (const char *[]){"XGROUP", "CREATE", queue, "bench", "0", "MKSTREAM"});
    return rc;
}

static int redis_open(struct driver **out, const struct driver_config *config, struct load *load, struct error *e)
{
    struct driver *d = memory_zero(1, sizeof(*d));
    d->base = (struct driver_base){&driver_redis, load, *config};
    ring_open(&d->pending, load->config.window * 3);
    ring_open(&d->slots, load->config.window);
    d->args = memory_zero(load->config.window + 3, sizeof(*d->args));
    d->lengths = memory_zero(load->config.window + 3, sizeof(*d->lengths));
    char host[256];
    int port = 0;
    int rc = wire_address(config->server, host, sizeof(host), &port, e);
    if (rc == ERR_OK) {
        d->redis = redisConnect(host, port);
        if (d->redis == NULL || d->redis->err != 0)
            rc = error_set(e, ERR_IO, "cannot connect: %s", d->redis != NULL ? d->redis->errstr : "no memory");
    }
    if (rc == ERR_OK)
        rc = redis_prepare(d, e);
    if (rc != ERR_OK)
        redis_close(d);
    else
        *out = d;
    return rc;
}

static int redis_send(struct driver *d, uint32_t slot, struct bytes body, struct error *e)
{
    const char *argv[] = {"XADD", d->base.config.queue, "*", "b", (const char *)body.data};
    size_t lengths[] = {4, strlen(d->base.config.queue), 1, 1, body.len};
    if (redisAppendCommandArgv(d->redis, 5, argv, lengths) != REDIS_OK)
        return redis_failed(d, e);
    ring_put(&d->pending, slot);
    return ERR_OK;
}

/* Keeps as many messages asked for as the load has room for, in whole batches or what is left at the end. */
static int redis_ask(struct driver *d, struct error *e)
{
    uint64_t room;
    while ((room = load_room(d->base.load, d->asked)) > 0) {
        uint64_t count = room < d->base.config.batch ? room : d->base.config.batch;
        if (count < d->base.config.batch && d->asked > 0)
            break;
        int rc = redisAppendCommand(d->redis, "XREADGROUP GROUP bench one COUNT %llu STREAMS %s >",
                                    (unsigned long long)count, d->base.config.queue);
        if (rc != REDIS_OK)
            return redis_failed(d, e);
        d->asked += count;
        ring_put(&d->pending, REDIS_ASKED);
        ring_put(&d->pending, (uint32_t)count);
    }
    return ERR_OK;
}

static const redisReply *redis_element(const redisReply *r, size_t n)
{
    return r != NULL && r->type == REDIS_REPLY_ARRAY && n < r->elements ? r->element[n] : NULL;
}

/* [[stream, [[id, fields], ...]]]: acks all of it with one XACK. */
static int redis_received(struct driver *d, const redisReply *reply, uint32_t asked, struct error *e)
{
    const redisReply *messages = redis_element(redis_element(reply, 0), 1);
    size_t count = messages != NULL ? messages->elements : 0;
    if (count == 0 || count > asked)
        return error_set(e, ERR_NOT_FOUND, "the stream has too few messages to receive");
    d->asked -= asked;
    int argc = 0;
    const char *head[] = {"XACK", d->base.config.queue, "bench"};
    for (; argc < 3; argc++) {
        d->args[argc] = head[argc];
        d->lengths[argc] = strlen(head[argc]);
    }
    for (size_t i = 0; i < count; i++) {
        const redisReply *id = redis_element(messages->element[i], 0);
        if (id == NULL)
            return error_set(e, ERR_PROTOCOL, "an answer that is no message");
        d->args[argc] = id->str;
        d->lengths[argc++] = id->len;
        ring_put(&d->slots, load_arrive(d->base.load, (struct bytes){0}));
    }
    if (redisAppendCommandArgv(d->redis, argc, d->args, d->lengths) != REDIS_OK)
        return redis_failed(d, e);
    ring_put(&d->pending, (uint32_t)(argc - 3));
    return ERR_OK;
}

static int redis_answer(struct driver *d, const redisReply *reply, struct error *e)
{
    if (reply->type == REDIS_REPLY_ERROR)
        return error_set(e, ERR_INTERNAL, "%s", reply->str);
    uint32_t what = ring_take(&d->pending);
    if (what == REDIS_ASKED)
        return redis_received(d, reply, ring_take(&d->pending), e);
    if (d->base.config.mode == DRIVER_SEND)
        load_done(d->base.load, what);
    for (uint32_t i = 0; d->base.config.mode == DRIVER_RECEIVE && i < what; i++)
        load_done(d->base.load, ring_take(&d->slots));
    return ERR_OK;
}

static int redis_write(struct driver *d, struct error *e)
{
    int done = 0;
    while (!done) {
        if (redisBufferWrite(d->redis, &done) != REDIS_OK)
            return redis_failed(d, e);
    }
    return ERR_OK;
}

static int redis_read(struct driver *d, uint64_t timeout_ns, struct error *e)
{
    int rc = wire_readable(d->redis->fd, timeout_ns, e);
    if (rc == ERR_TIMEOUT)
        return ERR_OK;
    if (rc == ERR_OK && redisBufferRead(d->redis) != REDIS_OK)
        return redis_failed(d, e);
    load_tick(d->base.load);
    void *reply = NULL;
    while (rc == ERR_OK) {
        if (redisGetReplyFromReader(d->redis, &reply) != REDIS_OK)
            return redis_failed(d, e);
        if (reply == NULL)
            break;
        rc = redis_answer(d, reply, e);
        freeReplyObject(reply);
    }
    return rc;
}

static int redis_wait(struct driver *d, uint64_t timeout_ns, struct error *e)
{
    int rc = d->base.config.mode == DRIVER_RECEIVE ? redis_ask(d, e) : ERR_OK;
    if (rc == ERR_OK)
        rc = redis_write(d, e);
    return rc == ERR_OK ? redis_read(d, timeout_ns, e) : rc;
}

const struct driver_ops driver_redis = {
    .name = "redis",
    .what = "Redis Streams: XADD, XREADGROUP and XACK",
    .port = 6379,
    .receives = true,
    .open = redis_open,
    .send = redis_send,
    .wait = redis_wait,
    .close = redis_close,
};
