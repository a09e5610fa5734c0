#include "protocol/native_status.h"

#include <unistd.h>

static bool add_counts(void *ctx, const struct queue_view *q)
{
    Hato__QueueCounts *t = ctx;
    const struct queue_counts *c = &q->counts;
    t->ready += c->ready;
    t->in_flight += c->in_flight;
    t->delayed += c->delayed;
    t->bytes += c->bytes;
    t->moving += c->moving;
    t->halted_groups += c->halted_groups;
    t->sent_total += c->sent_total;
    t->received_total += c->received_total;
    t->acked_total += c->acked_total;
    t->dead_lettered_total += c->dead_lettered_total;
    t->dead_letters_refused_total += c->dead_letters_refused_total;
    t->expired_total += c->expired_total;
    return true;
}

static void add_replicas(struct op *op, const struct shard *s, Hato__ShardStatus *out)
{
    struct shard_replica replicas[SHARD_REPLICAS_MAX];
    size_t count = shard_replicas(s, replicas);
    out->replicas = arena_alloc(&op->arena, (count + 1) * sizeof *out->replicas);
    for (; out->n_replicas < count; out->n_replicas++) {
        const struct shard_replica *from = &replicas[out->n_replicas];
        Hato__ReplicaStatus *r = arena_alloc(&op->arena, sizeof *r);
        hato__replica_status__init(r);
        r->node = from->node;
        r->voter = from->voter;
        r->state = (char *)(uintptr_t)from->state;
        r->matched = from->matched;
        out->replicas[out->n_replicas] = r;
    }
}

static void status_at(struct op *op, struct shard *s)
{
    struct stating *x = op->extra;
    struct machine *m = shard_machine(s);
    struct shard_status status;
    shard_status(s, &status);
    Hato__ShardStatus *out = arena_alloc(&op->arena, sizeof *out);
    hato__shard_status__init(out);
    out->shard = shard_number(s);
    out->role = (char *)(uintptr_t)status.role;
    out->leader = status.leader;
    out->term = status.term;
    out->commit = status.commit;
    out->applied = status.applied;
    out->durable = status.durable;
    out->queues = machine_queue_count(m);
    out->problem = (char *)(uintptr_t)op_text(op, shard_problem(s));
    add_replicas(op, s, out);
    out->placed_version = shard_placed(s);
    x->body.shards[x->body.n_shards++] = out;
    x->body.queues += out->queues;
    x->body.functions += machine_function_count(m);
    machine_queue_each(m, "", add_counts, &x->totals);
    op_return(op);
}

uint64_t resident_bytes(void)
{
    unsigned long size = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f == NULL)
        return 0;
    int n = fscanf(f, "%lu %lu", &size, &resident);
    fclose(f);
    return n == 2 ? resident * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static void status_home(struct op *op)
{
    struct stating *x = op->extra;
    struct native *native = op->session->ns->native;
    struct node *n = native->node;
    if (x->shard <= node_birth(n)->shards) {
        op->home = status_home;
        long_visit(op, x->shard++);
        return;
    }
    struct node_space space;
    struct clock clock = clock_real();
    node_space(n, &space);
    static char version[] = HATO_BROKER_VERSION;
    x->body.version = version;
    x->body.node = node_birth(n)->node;
    x->body.started_ms = node_started_ms(n);
    x->body.now_ms = clock_now_ms(&clock);
    x->body.connections = atomic_load(&native->connections);
    x->body.log_bytes = space.log_bytes;
    x->body.store_bytes = space.store_bytes;
    x->body.disk_free_bytes = space.free_bytes;
    x->body.accepts_sends = space.accepts_sends;
    x->body.memory_bytes = resident_bytes();
    x->body.totals = &x->totals;
    x->then(op);
}

void status_begin(struct op *op, struct stating *x, void (*then)(struct op *op))
{
    hato__status_reply__init(&x->body);
    hato__queue_counts__init(&x->totals);
    size_t shards = node_birth(op->session->ns->native->node)->shards + 1u;
    x->body.shards = arena_alloc(&op->arena, shards * sizeof *x->body.shards);
    x->then = then;
    op->at = status_at;
    status_home(op);
}

static void answer(struct op *op)
{
    struct stating *x = op->extra;
    Hato__Reply reply = HATO__REPLY__INIT;
    reply.op_case = HATO__REPLY__OP_STATUS;
    reply.status = &x->body;
    op_reply(op, &reply);
    op_answer(op);
}

void native_status(struct op *op)
{
    status_begin(op, op_extra(op, sizeof(struct stating)), answer);
}
