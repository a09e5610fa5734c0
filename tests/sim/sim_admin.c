#include "sim/sim_admin.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/memory.h"
#include "proto/command.pb-c.h"

enum { RESUME_ONE_IN = 2000, PAYLOAD_MAX = 512 };

struct sim_admin {
    struct sim_cluster *cluster;
    struct sim_model *model;
    struct random random;
    struct sim_route route;
    uint64_t act_one_in; /* steps; 0: never */
    bool emptying[SIM_QUEUES];
    size_t busy;
};

struct act {
    struct command command;
    struct sim_admin *admin;
    struct shard *at;
    int queue;
    unsigned group;
    enum command_kind kind;
};

/* ---------------------------------------------------------------- commands */

static bool empties(enum command_kind kind)
{
    return kind == COMMAND_QUEUE_PURGE || kind == COMMAND_QUEUE_DELETE;
}

static bool is_fine(const struct act *x, int code)
{
    bool deleted = code == ERR_NOT_FOUND && x->admin->model->deletions[x->queue] > 0;
    bool none = code == ERR_NOT_FOUND && (x->kind == COMMAND_REDRIVE_CANCEL || x->kind == COMMAND_GROUP_RESUME);
    bool runs = code == ERR_CONFLICT && x->kind == COMMAND_REDRIVE_START;
    return code == ERR_OK || deleted || none || runs || error_retryable(code) || code == ERR_UNKNOWN_OUTCOME ||
           code == ERR_CLOSED;
}

static void on_done(struct command *command, const struct reply *reply)
{
    struct act *x = CONTAINER_OF(command, struct act, command);
    struct sim_admin *a = x->admin;
    struct sim_model *m = a->model;
    uint64_t now = machine_clock_ms(shard_machine(x->at));
    a->busy--;
    if (!is_fine(x, reply->code))
        sim_violate(m, "command %d on queue %d: %s %s", (int)x->kind, x->queue, error_code_name(reply->code),
                    reply->message);
    if (empties(x->kind)) {
        sim_emptied(m, x->queue, reply->code, now);
        a->emptying[x->queue] = false;
        m->purged += x->kind == COMMAND_QUEUE_PURGE && reply->code == ERR_OK;
        m->deleted += x->kind == COMMAND_QUEUE_DELETE && reply->code == ERR_OK;
    }
    if (x->kind == COMMAND_GROUP_RESUME)
        sim_resumed(m, x->queue, x->group, reply->code, now);
    memory_free(x);
}

static void begin(struct act *x)
{
    struct sim_admin *a = x->admin;
    a->busy++;
    if (empties(x->kind)) {
        a->emptying[x->queue] = true;
        sim_emptying(a->model, x->queue);
    }
    a->model->deletions[x->queue] += x->kind == COMMAND_QUEUE_DELETE;
    a->model->redrives[x->queue] += x->kind == COMMAND_REDRIVE_START;
    if (x->kind == COMMAND_GROUP_RESUME)
        sim_resuming(a->model, x->queue, x->group);
}

static void act(struct sim_admin *a, struct shard *s, int queue, unsigned group, enum command_kind kind,
                const ProtobufCMessage *message)
{
    uint8_t payload[PAYLOAD_MAX];
    ASSERT(protobuf_c_message_get_packed_size(message) <= sizeof payload);
    size_t len = protobuf_c_message_pack(message, payload);
    struct act *x = memory_zero(1, sizeof *x);
    *x = (struct act){.admin = a, .at = s, .queue = queue, .group = group, .kind = kind};
    x->command.done = on_done;
    begin(x);
    if (shard_command(s, &x->command, kind, bytes_of(payload, len), NULL) != ERR_OK)
        on_done(&x->command, &(struct reply){.kind = (uint8_t)kind, .code = ERR_NOT_LEADER, .message = ""});
}

/* ---------------------------------------------------------------- what there is to do */

static void empty(struct sim_admin *a, struct shard *s, int queue, uint64_t id)
{
    if (a->emptying[queue])
        return;
    Hato__Log__QueuePurge purge = HATO__LOG__QUEUE_PURGE__INIT;
    Hato__Log__QueueDelete delete = HATO__LOG__QUEUE_DELETE__INIT;
    purge.has_queue = delete.has_queue = true;
    purge.queue = delete.queue = id;
    if (random_below(&a->random, 3) == 0)
        act(a, s, queue, 0, COMMAND_QUEUE_DELETE, &delete.base);
    else
        act(a, s, queue, 0, COMMAND_QUEUE_PURGE, &purge.base);
}

static void redrive(struct sim_admin *a, struct shard *s, int queue, uint64_t id)
{
    static const double rates[] = {0.0, 0.0, 2.5, 300.0};
    static const char *const reasons[] = {"", "", "luck", "no such reason"};
    Hato__Log__RedriveStart start = HATO__LOG__REDRIVE_START__INIT;
    Hato__Log__RedriveCancel cancel = HATO__LOG__REDRIVE_CANCEL__INIT;
    start.has_queue = start.has_rate = cancel.has_queue = true;
    start.queue = cancel.queue = id;
    start.rate = rates[random_below(&a->random, 4)];
    start.reason = (char *)(uintptr_t)reasons[random_below(&a->random, 4)];
    if (random_below(&a->random, 4) == 0)
        act(a, s, queue, 0, COMMAND_REDRIVE_CANCEL, &cancel.base);
    else
        act(a, s, queue, 0, COMMAND_REDRIVE_START, &start.base);
}

/* Settings that change who is served when, and no promise. */
static void set(struct sim_admin *a, struct shard *s, int queue, uint64_t id)
{
    Hato__QueueSettings settings = HATO__QUEUE_SETTINGS__INIT;
    settings.has_max_in_flight = settings.has_retention_ms = true;
    settings.max_in_flight = 50 + (uint32_t)random_below(&a->random, 500);
    settings.retention_ms = (1 + random_below(&a->random, 14)) * UINT64_C(86400000);
    Hato__Log__QueueSet c = HATO__LOG__QUEUE_SET__INIT;
    c.has_queue = true;
    c.queue = id;
    c.settings = &settings;
    act(a, s, queue, 0, COMMAND_QUEUE_SET, &c.base);
}

/* A dead-letter queue that is full gives back what it is brought. */
static void limit(struct sim_admin *a, struct shard *s, int queue, uint64_t id, bool full)
{
    Hato__QueueSettings settings = HATO__QUEUE_SETTINGS__INIT;
    settings.has_max_messages = true;
    settings.max_messages = full;
    Hato__Log__QueueSet c = HATO__LOG__QUEUE_SET__INIT;
    c.has_queue = true;
    c.queue = id;
    c.settings = &settings;
    a->model->limits[queue]++;
    act(a, s, queue, 0, COMMAND_QUEUE_SET, &c.base);
}

static void resume(struct sim_admin *a, struct shard *s, int queue, uint64_t id)
{
    unsigned group = 1 + (unsigned)random_below(&a->random, SIM_GROUPS);
    char name[8];
    snprintf(name, sizeof name, "g%u", group);
    Hato__Log__GroupResume c = HATO__LOG__GROUP_RESUME__INIT;
    c.has_queue = true;
    c.queue = id;
    c.group = name;
    act(a, s, queue, group, COMMAND_GROUP_RESUME, &c.base);
}

static void do_something(struct sim_admin *a)
{
    int queue = (int)random_below(&a->random, SIM_QUEUES);
    struct shard *s;
    struct queue_view q;
    if (!sim_route_find(&a->route, queue, &s, &q))
        return;
    uint64_t dice = random_below(&a->random, 12);
    if (sim_queues[queue].is_dead && dice > 4)
        redrive(a, s, queue, q.id);
    else if (sim_queues[queue].is_dead && dice > 0)
        limit(a, s, queue, q.id, dice > 2);
    else if (dice < 3)
        empty(a, s, queue, q.id);
    else
        set(a, s, queue, q.id);
}

static void resume_one(struct sim_admin *a, int queue)
{
    struct shard *s;
    struct queue_view q;
    if (sim_route_find(&a->route, queue, &s, &q) && q.counts.halted_groups > 0)
        resume(a, s, queue, q.id);
}

static void lift(struct sim_admin *a, int queue)
{
    struct shard *s;
    struct queue_view q;
    if (sim_route_find(&a->route, queue, &s, &q) && q.settings->max_messages > 0)
        limit(a, s, queue, q.id, false);
}

/* ---------------------------------------------------------------- the whole */

struct sim_admin *sim_admin_create(struct sim_cluster *cluster, struct sim_model *model, uint64_t seed)
{
    static const uint64_t act_one_in[] = {0, 10000, 2000, 500};
    struct sim_admin *a = memory_zero(1, sizeof *a);
    a->cluster = cluster;
    a->model = model;
    random_open(&a->random, seed);
    a->route = (struct sim_route){.cluster = cluster, .random = &a->random};
    a->act_one_in = act_one_in[random_below(&a->random, 4)];
    return a;
}

void sim_admin_destroy(struct sim_admin *a)
{
    memory_free(a);
}

void sim_admin_step(struct sim_admin *a, bool calm)
{
    if (!calm && a->act_one_in > 0 && random_below(&a->random, a->act_one_in) == 0)
        do_something(a);
    for (int i = 0; i < SIM_QUEUES; i++)
        if (sim_queues[i].halts && random_below(&a->random, calm ? 10 : RESUME_ONE_IN) == 0)
            resume_one(a, i);
    for (int i = 0; i < SIM_QUEUES && calm; i++)
        if (sim_queues[i].is_dead && random_below(&a->random, 10) == 0)
            lift(a, i);
}

bool sim_admin_idle(const struct sim_admin *a)
{
    return a->busy == 0;
}
