#include "consensus/membership.h"

#include <string.h>

enum { VERSION = 1 };

static uint32_t place_of(const struct membership_list *list, uint64_t node)
{
    uint32_t at = 0;
    while (at < list->count && list->ids[at] < node)
        at++;
    return at;
}

bool membership_has(const struct membership_list *list, uint64_t node)
{
    uint32_t at = place_of(list, node);
    return at < list->count && list->ids[at] == node;
}

bool membership_add(struct membership_list *list, uint64_t node)
{
    if (node == 0 || list->count == MEMBERSHIP_NODES_MAX || membership_has(list, node))
        return false;
    uint32_t at = place_of(list, node);
    memmove(&list->ids[at + 1], &list->ids[at], (list->count - at) * sizeof list->ids[0]);
    list->ids[at] = node;
    list->count++;
    return true;
}

bool membership_includes(const struct membership *m, uint64_t node)
{
    return membership_has(&m->voters, node) || membership_has(&m->learners, node) ||
           membership_has(&m->outgoing, node) || membership_has(&m->learners_next, node);
}

static bool list_ordered(const struct membership_list *list)
{
    if (list->count > MEMBERSHIP_NODES_MAX)
        return false;
    for (uint32_t i = 0; i < list->count; i++)
        if (list->ids[i] <= (i == 0 ? 0 : list->ids[i - 1]))
            return false;
    return true;
}

static bool lists_disjoint(const struct membership_list *a, const struct membership_list *b)
{
    for (uint32_t i = 0; i < a->count; i++)
        if (membership_has(b, a->ids[i]))
            return false;
    return true;
}

static bool list_within(const struct membership_list *a, const struct membership_list *b)
{
    for (uint32_t i = 0; i < a->count; i++)
        if (!membership_has(b, a->ids[i]))
            return false;
    return true;
}

int membership_check(const struct membership *m, struct error *e)
{
    if (!list_ordered(&m->voters) || !list_ordered(&m->learners) || !list_ordered(&m->outgoing) ||
        !list_ordered(&m->learners_next))
        return error_set(e, ERR_INVALID, "node ids must be ascending, none 0, at most %d a list", MEMBERSHIP_NODES_MAX);
    if (m->voters.count == 0 && (m->learners.count > 0 || membership_joint(m) || m->learners_next.count > 0))
        return error_set(e, ERR_INVALID, "a group needs a voter");
    if (!lists_disjoint(&m->learners, &m->voters) || !lists_disjoint(&m->learners, &m->outgoing))
        return error_set(e, ERR_INVALID, "a node is both learner and voter");
    if (!list_within(&m->learners_next, &m->outgoing) || !lists_disjoint(&m->learners_next, &m->voters))
        return error_set(e, ERR_INVALID, "only an outgoing voter that is no voter any more can be a learner next");
    if (m->auto_leave && !membership_joint(m))
        return error_set(e, ERR_INVALID, "auto_leave is for a joint membership");
    return ERR_OK;
}

static void list_encode(const struct membership_list *list, struct buffer *to)
{
    buffer_u8(to, (uint8_t)list->count);
    for (uint32_t i = 0; i < list->count; i++)
        buffer_u64(to, list->ids[i]);
}

void membership_encode(const struct membership *m, struct buffer *to)
{
    buffer_u8(to, VERSION);
    buffer_u8(to, m->auto_leave);
    list_encode(&m->voters, to);
    list_encode(&m->learners, to);
    list_encode(&m->outgoing, to);
    list_encode(&m->learners_next, to);
}

static void list_decode(struct cursor *c, struct membership_list *list)
{
    list->count = cursor_u8(c);
    if (list->count > MEMBERSHIP_NODES_MAX) {
        c->failed = true;
        return;
    }
    for (uint32_t i = 0; i < list->count; i++)
        list->ids[i] = cursor_u64(c);
}

int membership_decode(struct bytes from, struct membership *m, struct error *e)
{
    struct cursor c = cursor_open(from);
    struct membership read = {0};
    uint8_t version = cursor_u8(&c);
    if (!c.failed && version != VERSION)
        return error_set(e, ERR_VERSION, "membership of version %u, this build reads %d", version, VERSION);
    uint8_t auto_leave = cursor_u8(&c);
    read.auto_leave = auto_leave == 1;
    list_decode(&c, &read.voters);
    list_decode(&c, &read.learners);
    list_decode(&c, &read.outgoing);
    list_decode(&c, &read.learners_next);
    if (c.failed || cursor_left(&c) > 0 || auto_leave > 1)
        return error_set(e, ERR_CORRUPT, "the stored membership (%zu bytes) can't be read", from.len);
    struct error why;
    if (membership_check(&read, &why) != ERR_OK)
        return error_set(e, ERR_CORRUPT, "the stored membership cannot be: %s", why.message);
    *m = read;
    return ERR_OK;
}
