/* Queues and functions made, changed, emptied and deleted. */
#include "state/command.h"
#include "state/exhaust.h"
#include "state/queue.h"
#include "state/unpack.h"

static int malformed(struct error *e, const char *name)
{
    return error_set(e, ERR_CORRUPT, "a committed %s is malformed", name);
}

static int no_queue(struct machine *m, struct reply *r)
{
    return reply_refuse(m, r, ERR_NOT_FOUND, "queue", "there is no such queue");
}

int command_queue_create(struct machine *m, const struct entry_command *c, struct reply *r, struct error *e)
{
    ProtobufCAllocator allocator = unpack_allocator(&m->out->arena);
    Hato__Log__QueueCreate *in = hato__log__queue_create__unpack(&allocator, c->payload.len, c->payload.data);
    if (in == NULL)
        return malformed(e, "QueueCreate");
    struct error why;
    struct queue *q;
    bool changed;
    if (queue_create(m, bytes_text(in->name != NULL ? in->name : ""), in->settings, &q, &changed, &why) != ERR_OK)
        return reply_error(m, r, &why);
    r->queue = q->id;
    return ERR_OK;
}

int command_queue_set(struct machine *m, const struct entry_command *c, struct reply *r, struct error *e)
{
    ProtobufCAllocator allocator = unpack_allocator(&m->out->arena);
    Hato__Log__QueueSet *in = hato__log__queue_set__unpack(&allocator, c->payload.len, c->payload.data);
    if (in == NULL)
        return malformed(e, "QueueSet");
    r->queue = in->queue;
    struct queue *q = queue_by_id(m, in->queue);
    if (q == NULL)
        return no_queue(m, r);
    const Hato__QueueSettings nothing = HATO__QUEUE_SETTINGS__INIT;
    struct error why;
    if (queue_set(m, q, in->settings != NULL ? in->settings : &nothing, &why) != ERR_OK)
        return reply_error(m, r, &why);
    return ERR_OK;
}

int command_queue_delete(struct machine *m, const struct entry_command *c, struct reply *r, struct error *e)
{
    ProtobufCAllocator allocator = unpack_allocator(&m->out->arena);
    Hato__Log__QueueDelete *in = hato__log__queue_delete__unpack(&allocator, c->payload.len, c->payload.data);
    if (in == NULL)
        return malformed(e, "QueueDelete");
    r->queue = in->queue;
    struct queue *q = queue_by_id(m, in->queue);
    if (q == NULL)
        return no_queue(m, r);
    queue_delete(m, q);
    return ERR_OK;
}

int command_queue_purge(struct machine *m, const struct entry_command *c, struct reply *r, struct error *e)
{
    ProtobufCAllocator allocator = unpack_allocator(&m->out->arena);
    Hato__Log__QueuePurge *in = hato__log__queue_purge__unpack(&allocator, c->payload.len, c->payload.data);
    if (in == NULL)
        return malformed(e, "QueuePurge");
    r->queue = in->queue;
    struct queue *q = queue_by_id(m, in->queue);
    if (q == NULL)
        return no_queue(m, r);
    r->purged = queue_purge(m, q);
    return ERR_OK;
}

int command_group_resume(struct machine *m, const struct entry_command *c, struct reply *r, struct error *e)
{
    ProtobufCAllocator allocator = unpack_allocator(&m->out->arena);
    Hato__Log__GroupResume *in = hato__log__group_resume__unpack(&allocator, c->payload.len, c->payload.data);
    if (in == NULL)
        return malformed(e, "GroupResume");
    r->queue = in->queue;
    struct queue *q = queue_by_id(m, in->queue);
    if (q == NULL)
        return no_queue(m, r);
    if (!exhaust_resume(m, q, bytes_text(in->group != NULL ? in->group : "")))
        return reply_refuse(m, r, ERR_NOT_FOUND, "group", "no such group of this queue is halted");
    return ERR_OK;
}

int command_nodes(struct machine *m, const struct entry_command *c, struct reply *r, struct error *e)
{
    (void)e;
    if (m->nodes == NULL)
        return reply_refuse(m, r, ERR_INVALID, "node", "nodes are kept by shard 0");
    struct error why = {0};
    bool changed = false;
    if (nodes_apply(m->nodes, &m->keys, c->kind, c->payload, m->index, &changed, &why) != ERR_OK)
        return reply_error(m, r, &why);
    if (changed)
        machine_effect_once(m, EFFECT_NODES, 0, 0, "");
    return ERR_OK;
}

int command_function(struct machine *m, const struct entry_command *c, struct reply *r, struct error *e)
{
    if (m->catalog == NULL)
        return reply_refuse(m, r, ERR_INVALID, "name", "functions are kept by shard 0");
    struct error why;
    const char *name = NULL;
    int code = catalog_apply(m->catalog, &m->keys, c->kind, c->payload, m->clock_ms, &m->out->arena, &name, &why);
    if (code == ERR_CORRUPT || code == ERR_IO) {
        if (e != NULL)
            *e = why;
        return code;
    }
    if (code != ERR_OK)
        return reply_error(m, r, &why);
    if (name != NULL)
        machine_effect_once(m, EFFECT_FUNCTION, 0, 0, name);
    return ERR_OK;
}
