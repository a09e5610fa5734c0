#include "base/assert.h"
#include "base/memory.h"
#include "log/inside.h"

struct log_port *log_port_create(struct log *log, void (*wake)(void *ctx), void *ctx)
{
    struct log_port *p = memory_zero(1, sizeof *p);
    p->log = log;
    p->wake = wake;
    p->ctx = ctx;
    pthread_mutex_init(&p->lock, NULL);
    p->next = atomic_load(&log->ports);
    while (!atomic_compare_exchange_weak(&log->ports, &p->next, p)) {
    }
    return p;
}

void port_destroy(struct log_port *p)
{
    pthread_mutex_destroy(&p->lock);
    memory_free(p);
}

void port_post(struct log_work *w)
{
    struct log_port *p = w->group->port;
    pthread_mutex_lock(&p->lock);
    if (p->done.head == NULL)
        p->waking = true;
    work_list_push(&p->done, w);
    pthread_mutex_unlock(&p->lock);
}

void port_wake_all(struct log *log)
{
    for (struct log_port *p = atomic_load(&log->ports); p != NULL; p = p->next) {
        bool waking = p->waking;
        p->waking = false;
        if (waking)
            p->wake(p->ctx);
    }
}

/* What the write brought is durable; an entry that a later write replaced meanwhile is not in the tail any more. */
static void settle(struct log_group *g, uint64_t sequence)
{
    for (;;) {
        const struct tail_slot *slot = tail_find(&g->tail, g->durable + 1);
        if (slot == NULL || slot->sequence > sequence)
            break;
        g->durable++;
    }
    tail_drop(&g->tail, g->released < g->durable ? g->released : g->durable);
}

static void complete(struct log_work *work)
{
    struct log_write *w = work->write;
    struct log_group *g = work->group;
    int code = work->code;
    if (code == ERR_STORAGE_FULL) {
        work_list_push(&g->parked, work);
    } else {
        if (code == ERR_OK)
            settle(g, work->sequence);
        w->work = NULL;
        work_destroy(work);
    }
    w->done(w, code);
}

size_t log_port_drain(struct log_port *p)
{
    pthread_mutex_lock(&p->lock);
    struct log_work *next = p->done.head;
    p->done = (struct work_list){0};
    pthread_mutex_unlock(&p->lock);
    size_t n = 0;
    while (next != NULL) {
        struct log_work *work = next;
        next = work->next;
        complete(work);
        n++;
    }
    return n;
}
