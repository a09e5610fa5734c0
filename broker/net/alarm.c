#include "net/alarm.h"

#include "base/assert.h"

static void arm(struct alarms *as);

static void on_timer(uv_timer_t *timer)
{
    struct alarms *as = timer->data;
    uint64_t now = uv_now(&as->loop->uv);
    struct heap_node *first;
    while ((first = heap_first(&as->heap)) != NULL && first->key <= now) {
        heap_take(&as->heap);
        struct alarm *a = CONTAINER_OF(first, struct alarm, node);
        a->ring(a);
    }
    arm(as);
}

static void arm(struct alarms *as)
{
    struct heap_node *first = heap_first(&as->heap);
    if (first == NULL) {
        uv_timer_stop(&as->timer);
        return;
    }
    uint64_t now = uv_now(&as->loop->uv);
    uv_timer_start(&as->timer, on_timer, first->key > now ? first->key - now : 0, 0);
}

void alarms_open(struct alarms *as, struct loop *loop)
{
    *as = (struct alarms){.loop = loop};
    uv_timer_init(&loop->uv, &as->timer);
    as->timer.data = as;
}

void alarms_close(struct alarms *as)
{
    ASSERT(heap_count(&as->heap) == 0);
    heap_close(&as->heap);
    uv_close((uv_handle_t *)&as->timer, NULL);
}

void alarm_set(struct alarms *as, struct alarm *a, uint64_t in_ms, void (*ring)(struct alarm *a))
{
    uv_update_time(&as->loop->uv);
    uint64_t at = uv_now(&as->loop->uv) + in_ms;
    a->ring = ring;
    if (heap_holds(&a->node))
        heap_move(&as->heap, &a->node, at, as->count++);
    else
        heap_put(&as->heap, &a->node, at, as->count++);
    if (heap_first(&as->heap) == &a->node)
        arm(as);
}

void alarm_clear(struct alarms *as, struct alarm *a)
{
    if (heap_holds(&a->node))
        heap_remove(&as->heap, &a->node);
}
