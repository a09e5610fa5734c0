#include "sim/sim_queues.h"

#include "base/assert.h"
#include "base/memory.h"
#include "proto/command.pb-c.h"

#define NAME(x) "000000000000:us-east-1:" x

const struct sim_queue sim_queues[SIM_QUEUES] = {
    {.name = NAME("jobs"), .dead = 1, .max_receives = 3},
    {.name = NAME("jobs-dead"), .dead = -1, .is_dead = true},
    {.name = NAME("orders.fifo"), .fifo = true, .dead = 3, .max_receives = 4, .groups = true},
    {.name = NAME("orders-dead.fifo"), .fifo = true, .dead = -1, .is_dead = true},
    {.name = NAME("later"), .dead = -1, .delays = true},
    {.name = NAME("tenants"), .dead = 1, .max_receives = 5, .groups = true, .priorities = true, .delays = true},
    {.name = NAME("steps.fifo"), .fifo = true, .dead = -1, .max_receives = 3, .groups = true, .halts = true},
};

struct create {
    struct command command;
    struct sim_maker *maker;
    int queue;
};

static void on_created(struct command *command, const struct reply *reply)
{
    struct create *x = CONTAINER_OF(command, struct create, command);
    x->maker->creating[x->queue] = false;
    bool fine = reply->code == ERR_OK || reply->code == ERR_EXISTS || error_retryable(reply->code);
    if (!fine)
        sim_violate(x->maker->model, "creating queue %d: %s %s", x->queue, error_code_name(reply->code),
                    reply->message);
    memory_free(x);
}

static void make(struct sim_maker *k, struct shard *s, int queue)
{
    const struct sim_queue *q = &sim_queues[queue];
    Hato__QueueSettings settings = HATO__QUEUE_SETTINGS__INIT;
    settings.has_kind = true;
    settings.kind = q->fifo ? HATO__QUEUE_KIND__FIFO : HATO__QUEUE_KIND__STANDARD;
    settings.has_max_receives = q->max_receives > 0;
    settings.max_receives = q->max_receives;
    if (q->dead >= 0)
        settings.dead_letter_queue = (char *)(uintptr_t)sim_queues[q->dead].name;
    bool full = q->is_dead && random_below(k->route->random, 4) == 0; /* soon, until all is calm */
    settings.has_max_messages = full;
    settings.max_messages = 1;
    k->model->limits[queue] += full;
    settings.has_on_exhausted = q->halts;
    settings.on_exhausted = HATO__ON_EXHAUSTED__HALT_GROUP;
    settings.has_deduplication_window_ms = true;
    settings.deduplication_window_ms = SIM_DEDUPLICATION_WINDOW_MS;
    settings.has_content_deduplication = true;
    settings.content_deduplication = q->fifo;
    Hato__Log__QueueCreate create = HATO__LOG__QUEUE_CREATE__INIT;
    create.name = (char *)(uintptr_t)q->name;
    create.settings = &settings;
    uint8_t payload[1024];
    ASSERT(hato__log__queue_create__get_packed_size(&create) <= sizeof payload);
    size_t len = hato__log__queue_create__pack(&create, payload);
    struct create *x = memory_zero(1, sizeof *x);
    x->command.done = on_created;
    x->maker = k;
    x->queue = queue;
    if (shard_command(s, &x->command, COMMAND_QUEUE_CREATE, bytes_of(payload, len), NULL) == ERR_OK)
        k->creating[queue] = true;
    else
        memory_free(x);
}

void sim_make_queues(struct sim_maker *k)
{
    for (int i = 0; i < SIM_QUEUES; i++) {
        struct queue_view q;
        struct shard *s;
        if (!k->creating[i] && !sim_route_find(k->route, i, &s, &q) && s != NULL)
            make(k, s, i);
    }
}
