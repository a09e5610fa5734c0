/* Many alarms on one libuv timer: a waiting receive costs no handle of its own. Loop thread only. */
#ifndef HATO_NET_ALARM_H
#define HATO_NET_ALARM_H

#include "base/heap.h"
#include "net/loop.h"

/* A zeroed alarm is not set. Its memory stays until it rang or was cleared. */
struct alarm {
    struct heap_node node;
    void (*ring)(struct alarm *a);
};

struct alarms {
    struct loop *loop;
    uv_timer_t timer;
    struct heap heap;
    uint64_t count; /* ever set: ties ring in the order set */
};

void alarms_open(struct alarms *as, struct loop *loop);
void alarms_close(struct alarms *as);                                                              /* none may be set */
void alarm_set(struct alarms *as, struct alarm *a, uint64_t in_ms, void (*ring)(struct alarm *a)); /* also moves it */
void alarm_clear(struct alarms *as, struct alarm *a);

#endif
