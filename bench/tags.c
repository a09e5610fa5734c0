#include "bench/tags.h"

#include "base/memory.h"

void tags_open(struct tags *t, uint64_t items_max)
{
    uint64_t room = 1;
    while (room < items_max)
        room *= 2;
    *t = (struct tags){.slots = memory_zero(room, sizeof(*t->slots)), .mask = room - 1};
}

void tags_close(struct tags *t)
{
    memory_free(t->slots);
    *t = (struct tags){0};
}

bool tags_add(struct tags *t, uint32_t slot)
{
    if (t->last - t->confirmed > t->mask)
        return false;
    t->slots[++t->last & t->mask] = slot + 1;
    return true;
}

bool tags_confirm(struct tags *t, uint64_t tag, uint32_t *slot)
{
    if (tag <= t->confirmed || tag > t->last || t->slots[tag & t->mask] == 0)
        return false;
    *slot = t->slots[tag & t->mask] - 1;
    t->slots[tag & t->mask] = 0;
    while (t->confirmed < t->last && t->slots[(t->confirmed + 1) & t->mask] == 0)
        t->confirmed++;
    return true;
}
