/* One flush of the store makes all shards' state durable: marks are gathered first, from each shard on its own seat, then
 * the store is flushed on another thread, then each shard is told its mark. */
#include "base/assert.h"
#include "base/memory.h"
#include "cluster/internal.h"

struct mark {
    struct visit visit;
    struct flush *flush;
    uint64_t value;
    bool wants;
};

struct flush {
    uv_work_t work;
    struct node *node;
    unsigned out; /* visits under way */
    bool wanted;
    int code;
    struct error error;
    unsigned count;
    struct mark marks[];
};

static void end(struct flush *f)
{
    f->node->flushing = false;
    memory_free(f);
}

static void tell_mark(struct visit *v, struct shard *s)
{
    struct mark *m = CONTAINER_OF(v, struct mark, visit);
    shard_flushed(s, m->value);
    visit_return(v);
}

static void on_told(struct visit *v)
{
    struct flush *f = CONTAINER_OF(v, struct mark, visit)->flush;
    if (--f->out == 0)
        end(f);
}

static void visit_all(struct flush *f, void (*run)(struct visit *, struct shard *), void (*done)(struct visit *))
{
    f->out = f->count + 1;
    for (unsigned i = 0; i < f->count; i++) {
        f->marks[i].visit.run = run;
        f->marks[i].visit.done = done;
        node_visit(&f->node->seats[0], (uint16_t)i, &f->marks[i].visit);
    }
}

static void on_flushed(uv_work_t *work, int status)
{
    struct flush *f = work->data;
    ASSERT(status == 0);
    if (f->code != ERR_OK) {
        TRACE(f->node->options.trace, TRACE_ERROR, "flushing the store failed", trace_text("error", f->error.message));
        if (f->code != ERR_STORAGE_FULL)
            node_fail(f->node, &f->error);
        end(f);
        return;
    }
    visit_all(f, tell_mark, on_told);
    if (--f->out == 0)
        end(f);
}

static void run_flush(uv_work_t *work)
{
    struct flush *f = work->data;
    f->code = store_flush(f->node->store, STORE_STATE, &f->error);
}

static void take_mark(struct visit *v, struct shard *s)
{
    struct mark *m = CONTAINER_OF(v, struct mark, visit);
    m->value = shard_flush_mark(s);
    m->wants = shard_wants_flush(s);
    visit_return(v);
}

static void all_marked(struct flush *f)
{
    if (!f->wanted) {
        end(f);
        return;
    }
    f->work.data = f;
    int rc = uv_queue_work(&f->node->seats[0].loop.uv, &f->work, run_flush, on_flushed);
    ASSERT(rc == 0);
}

static void on_marked(struct visit *v)
{
    struct mark *m = CONTAINER_OF(v, struct mark, visit);
    struct flush *f = m->flush;
    f->wanted = f->wanted || m->wants;
    if (--f->out == 0)
        all_marked(f);
}

void flush_if_wanted(struct node *n)
{
    if (n->flushing)
        return;
    unsigned count = n->birth.shards + 1u;
    struct flush *f = memory_zero(1, sizeof *f + count * sizeof f->marks[0]);
    f->node = n;
    f->count = count;
    for (unsigned i = 0; i < count; i++)
        f->marks[i].flush = f;
    n->flushing = true;
    visit_all(f, take_mark, on_marked);
    if (--f->out == 0)
        all_marked(f);
}
