/* The queues of a namespace, by name: the pages of all shards, merged. */
#include <stdlib.h>

#include "command/check.h"
#include "protocol/native_route.h"

enum {
    LISTED_BYTES = 1024, /* about, of a queue in a reply */
    LISTED_OF_SHARD_MIN = 16,
    LISTED_PAGE_BYTES = 16 * 1024 * 1024,
    LISTED_SHARD_BYTES =
        2 * 1024 * 1024, /* of one shard's queues, for settings may be large: a page may have fewer than asked for */
};

struct listing {
    const char *after; /* full */
    const char *prefix;
    uint32_t max;
    uint32_t max_of_shard; /* what is beyond their share would be thrown away mostly */
    uint16_t shard;
    Hato__QueueInfo **found; /* of all shards so far */
    size_t count, capacity;
    size_t of_this; /* found on the shard being visited */
    size_t bytes_of_this;
    const char *until; /* the last name that some shard got to: beyond it not all are known; NULL: all are */
    struct op *op;
};

static bool list_one(void *ctx, const struct queue_view *q)
{
    struct listing *x = ctx;
    size_t len = strlen(x->prefix);
    if (strncmp(q->name, x->prefix, len) != 0)
        return strcmp(q->name, x->prefix) < 0; /* beyond the prefix nothing more can match */
    if (x->count == x->capacity) {
        size_t capacity = x->capacity > 0 ? x->capacity * 2 : 64;
        Hato__QueueInfo **bigger = arena_alloc(&x->op->arena, capacity * sizeof *bigger);
        if (x->count > 0)
            memcpy(bigger, x->found, x->count * sizeof *bigger);
        x->found = bigger;
        x->capacity = capacity;
    }
    Hato__QueueInfo *info = encode_queue_info(&x->op->arena, shard_machine(x->op->shard), q, NULL);
    x->found[x->count++] = info;
    x->of_this++;
    x->bytes_of_this += hato__queue_info__get_packed_size(info);
    if (x->of_this <= x->max_of_shard && x->bytes_of_this < LISTED_SHARD_BYTES)
        return true;
    if (x->until == NULL || strcmp(info->name, x->until) < 0)
        x->until = info->name;
    return false;
}

static int by_name(const void *a, const void *b)
{
    const Hato__QueueInfo *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static void list_home(struct op *op);

static void list_at(struct op *op, struct shard *s)
{
    struct listing *x = op->extra;
    x->of_this = 0;
    x->bytes_of_this = 0;
    /* The first name that can match comes right after this one. */
    const char *from = strcmp(x->after, x->prefix) > 0 ? x->after : x->prefix;
    struct queue_view exact;
    if (strcmp(x->after, x->prefix) < 0 && machine_queue_find(shard_machine(s), x->prefix, &exact))
        list_one(x, &exact);
    machine_queue_each(shard_machine(s), from, list_one, x);
    unsent_take(op, arena_bytes(&op->arena)); /* more with each shard */
    op_return(op);
}

/* How many of those found one reply may have. */
static size_t page_of(const struct listing *x)
{
    size_t n = 0;
    for (size_t bytes = 0; n < x->count && n < x->max && bytes < LISTED_PAGE_BYTES; n++) {
        if (x->until != NULL && strcmp(x->found[n]->name, x->until) > 0)
            break;
        bytes += hato__queue_info__get_packed_size(x->found[n]);
    }
    return n;
}

static void list_home(struct op *op)
{
    struct listing *x = op->extra;
    if (++x->shard <= node_birth(op->session->ns->native->node)->shards) {
        op->home = list_home;
        long_visit(op, x->shard);
        return;
    }
    if (x->count > 0)
        qsort(x->found, x->count, sizeof *x->found, by_name);
    Hato__QueueListReply body = HATO__QUEUE_LIST_REPLY__INIT;
    Hato__Reply reply = HATO__REPLY__INIT;
    body.queues = x->found;
    body.n_queues = page_of(x);
    if (body.n_queues < x->count || x->until != NULL)
        body.next = x->found[body.n_queues - 1]->name;
    reply.op_case = HATO__REPLY__OP_QUEUES;
    reply.queues = &body;
    op_reply(op, &reply);
    op_answer(op);
}

static const char *with_prefix(struct op *op, const char *name)
{
    struct session *s = op->session;
    size_t len = strlen(name);
    char *full = arena_alloc(&op->arena, s->prefix_len + len + 1);
    memcpy(full, s->prefix, s->prefix_len);
    memcpy(full + s->prefix_len, name, len + 1);
    return full;
}

void native_queue_list(struct op *op)
{
    const Hato__QueueList *q = op->request->queue_list;
    struct listing *x = op_extra(op, sizeof *x);
    x->op = op;
    x->max = q->max == 0 ? 100 : q->max;
    if (x->max > CHECK_BATCH_MAX) {
        op_fail(op, ERR_INVALID, "max", "max is %u; it must be 1 to %d", q->max, CHECK_BATCH_MAX);
        op_answer(op);
        return;
    }
    x->max_of_shard = x->max / node_birth(op->session->ns->native->node)->shards * 3 / 2 + LISTED_OF_SHARD_MIN;
    op_weigh(op, x->max * (size_t)LISTED_BYTES);
    x->prefix = with_prefix(op, q->prefix);
    x->after = with_prefix(op, q->after);
    x->shard = 1;
    op->at = list_at;
    op->home = list_home;
    long_visit(op, x->shard);
}
