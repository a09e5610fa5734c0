#include "protocol/native_describe.h"

/* ---------------------------------------------------------------- what the catalog keeps */

struct describing *describe_begin(struct op *op, uint32_t max)
{
    struct describing *x = op_extra(op, sizeof *x);
    x->op = op;
    x->max = max;
    x->queues_max = op->request->op_case == HATO__REQUEST__OP_FUNCTION_SHOW ? DESCRIBE_QUEUES_MAX : DESCRIBE_LISTED_MAX;
    x->next = "";
    x->all = arena_alloc(&op->arena, max * sizeof *x->all);
    memset(x->all, 0, max * sizeof *x->all);
    return x;
}

void describe_close(struct describing *x)
{
    map_close(&x->by_name);
}

static Hato__FunctionSettings *shown_settings(struct arena *a, const Hato__FunctionSettings *from)
{
    Hato__FunctionSettings *plain = arena_copy(a, from, sizeof *from);
    plain->n_secrets = 0;
    plain->secrets = NULL;
    size_t len = hato__function_settings__get_packed_size(plain);
    uint8_t *bytes = arena_alloc(a, len > 0 ? len : 1);
    hato__function_settings__pack(plain, bytes);
    ProtobufCAllocator allocator = native_allocator(a);
    return hato__function_settings__unpack(&allocator, len, bytes);
}

void describe_add(struct describing *x, const struct function_view *f)
{
    struct arena *a = &x->op->arena;
    struct described *d = &x->all[x->count++];
    d->name = op_text(x->op, f->name);
    d->info = arena_alloc(a, sizeof *d->info);
    hato__function_info__init(d->info);
    d->info->name = (char *)(uintptr_t)short_name(d->name);
    d->info->settings = shown_settings(a, f->settings);
    d->info->created_ms = f->created_ms;
    d->info->modified_ms = f->modified_ms;
    d->info->state = (char *)(uintptr_t) "idle";
    x->bytes += hato__function_info__get_packed_size(d->info);
    map_put(&x->by_name, bytes_text(d->name), d);
}

/* ---------------------------------------------------------------- its queues */

struct looking {
    struct describing *x;
    uint64_t leader; /* of the shard; 0: not known */
    bool here;       /* this node leads it */
};

static void add_queue(struct describing *x, struct described *d, const char *name)
{
    Hato__FunctionInfo *info = d->info;
    info->queue_count++;
    if (info->n_queues == x->queues_max)
        return;
    if (info->n_queues == d->queue_capacity) {
        d->queue_capacity = d->queue_capacity > 0 ? d->queue_capacity * 2 : 8;
        char **bigger = arena_alloc(&x->op->arena, d->queue_capacity * sizeof *bigger);
        if (info->n_queues > 0)
            memcpy(bigger, info->queues, info->n_queues * sizeof *bigger);
        info->queues = bigger;
    }
    info->queues[info->n_queues++] = (char *)(uintptr_t)op_text(x->op, short_name(name));
}

static void add_leader(struct describing *x, struct described *d, uint64_t node)
{
    unsigned i = 0;
    while (i < x->node_count && x->nodes[i] != node)
        i++;
    if (node == 0 || i == SURVEY_NODES_MAX) {
        d->info->partial = true;
        return;
    }
    if (i == x->node_count)
        x->nodes[x->node_count++] = node;
    d->nodes |= 1u << i;
}

static bool note_queue(void *ctx, const struct queue_view *q)
{
    const struct looking *l = ctx;
    const char *function = q->settings->binding_function;
    struct described *d =
        function != NULL && function[0] != '\0' ? map_find(&l->x->by_name, bytes_text(function)) : NULL;
    if (d == NULL)
        return true;
    add_queue(l->x, d, q->name);
    if (!l->here)
        add_leader(l->x, d, l->leader);
    return true;
}

static void describe_at(struct op *op, struct shard *s)
{
    struct describing *x = op->extra;
    struct node *n = op->session->ns->native->node;
    struct looking l = {.x = x, .leader = node_leader(n, shard_number(s))};
    l.here = shard_leads(s) || l.leader == node_birth(n)->node;
    machine_queue_each(shard_machine(s), "", note_queue, &l);
    unsent_hold(op, arena_bytes(&op->arena)); /* more with each shard */
    if (shard_number(s) < node_seats(n))      /* the first shard of each seat speaks for it */
        activity_of_seat(x, node_seat_of(n, shard_number(s)));
    op_return(op);
}

/* ---------------------------------------------------------------- all of it */

void describe_reply(struct op *op)
{
    struct describing *x = op->extra;
    Hato__Reply reply = HATO__REPLY__INIT;
    Hato__FunctionListReply list = HATO__FUNCTION_LIST_REPLY__INIT;
    Hato__FunctionInfo **infos = arena_alloc(&op->arena, (x->count + 1) * sizeof *infos);
    for (size_t i = 0; i < x->count; i++)
        infos[i] = x->all[i].info;
    if (op->request->op_case == HATO__REQUEST__OP_FUNCTION_LIST) {
        list.n_functions = x->count;
        list.functions = infos;
        list.next = (char *)(uintptr_t)x->next;
        reply.op_case = HATO__REPLY__OP_FUNCTIONS;
        reply.functions = &list;
    } else {
        reply.op_case = HATO__REPLY__OP_FUNCTION;
        reply.function = infos[0];
    }
    op_reply(op, &reply);
    describe_close(x);
    op_answer(op);
}

void describe_home(struct op *op)
{
    struct describing *x = op->extra;
    if (x->shard > node_birth(op->session->ns->native->node)->shards) {
        activity_of_others(x);
        return;
    }
    op->at = describe_at;
    op->home = describe_home;
    long_visit(op, x->shard++);
}
