#include "bench/driver.h"

#include <string.h>

extern const struct driver_ops driver_hato, driver_limit, driver_beanstalkd, driver_nats;
#ifdef BENCH_REDIS
extern const struct driver_ops driver_redis;
#endif
#ifdef BENCH_RABBITMQ
extern const struct driver_ops driver_rabbitmq;
#endif
#ifdef BENCH_KAFKA
extern const struct driver_ops driver_kafka;
#endif

static const struct driver_ops *const drivers[] = {
    &driver_hato,       &driver_limit,
#ifdef BENCH_REDIS
    &driver_redis,
#endif
#ifdef BENCH_RABBITMQ
    &driver_rabbitmq,
#endif
    &driver_beanstalkd, &driver_nats,
#ifdef BENCH_KAFKA
    &driver_kafka,
#endif
};

const struct driver_ops *driver_at(uint32_t n)
{
    return n < sizeof(drivers) / sizeof(drivers[0]) ? drivers[n] : NULL;
}

const struct driver_ops *driver_find(const char *name)
{
    for (uint32_t i = 0; driver_at(i) != NULL; i++) {
        if (strcmp(driver_at(i)->name, name) == 0)
            return driver_at(i);
    }
    return NULL;
}

static int driver_feed(const struct driver_ops *ops, struct driver *d, struct load *load, struct error *e)
{
    int rc = ERR_OK;
    uint32_t slot = 0;
    while (rc == ERR_OK && load_take(load, &slot))
        rc = ops->send(d, slot, load_body(load, slot), e);
    return rc;
}

int driver_run(const struct driver_ops *ops, const struct driver_config *config, struct load *load, struct error *e)
{
    struct driver *d = NULL;
    int rc = ops->open(&d, config, load, e);
    if (rc == ERR_OK)
        load_begin(load);
    while (rc == ERR_OK && !load_finished(load)) {
        if (config->mode == DRIVER_SEND)
            rc = driver_feed(ops, d, load, e);
        if (rc == ERR_OK && !load_finished(load))
            rc = ops->wait(d, load_wait(load), e);
        load_tick(load);
    }
    if (d != NULL)
        ops->close(d);
    return rc == ERR_OK ? ERR_OK : error_wrap(e, "%s at %s", ops->name, config->server);
}
