#include "dispatch/suspects.h"

#include <stddef.h>

#include "base/container.h"
#include "base/memory.h"

static struct bytes key_of(const uint64_t place[2])
{
    return bytes_of(place, 2 * sizeof *place);
}

static void forget(struct suspects *s, struct suspect *one)
{
    map_remove(&s->known, key_of(one->place));
    list_remove(&s->list, &one->link);
    memory_free(one);
}

static struct suspect *first(const struct suspects *s)
{
    return CONTAINER_OF(list_first(&s->list), struct suspect, link);
}

void suspects_close(struct suspects *s)
{
    while (suspects_count(s) > 0)
        forget(s, first(s));
    map_close(&s->known);
    *s = (struct suspects){0};
}

static struct suspect *find(const struct suspects *s, uint64_t queue, uint64_t sequence)
{
    const uint64_t place[2] = {queue, sequence};
    return map_find(&s->known, key_of(place));
}

static struct suspect *add(struct suspects *s, uint64_t queue, uint64_t sequence)
{
    if (suspects_count(s) == 0)
        list_init(&s->list);
    if (suspects_count(s) == SUSPECTS_MAX)
        forget(s, first(s));
    struct suspect *one = memory_zero(1, sizeof *one);
    one->place[0] = queue;
    one->place[1] = sequence;
    map_put(&s->known, key_of(one->place), one);
    list_append(&s->list, &one->link);
    return one;
}

/* One of no guilt came to nothing in a request after `since`, which is neither the present one nor `but`. */
static bool another_since(const struct suspects *s, uint64_t since, uint64_t but)
{
    for (struct list_link *l = list_last(&s->list); l != NULL; l = list_previous(&s->list, l)) {
        const struct suspect *other = CONTAINER_OF(l, struct suspect, link);
        if (other->last <= since)
            return false;
        if (!other->guilty && other->last != s->request && other->last != but)
            return true;
    }
    return false;
}

/* Another, too, got no answer since this one did not for the first time, each in a request without the other. */
static bool others_silent(const struct suspects *s, const struct suspect *one)
{
    return another_since(s, one->since, one->last);
}

/* Nobody was answered since it came to nothing last, and others of no guilt came to nothing as well. */
static bool in_an_outage(const struct suspects *s, const struct suspect *one, uint64_t answers)
{
    return answers <= one->answers && another_since(s, one->last, one->last);
}

/* True: for longer than an outage may last. */
static bool alone_too_long(const struct suspects *s, struct suspect *one)
{
    uint64_t gap = one->alone_at_ms > 0 ? s->now_ms - one->alone_at_ms : 0;
    one->alone_ms += gap < SUSPECTS_GAP_MS ? gap : SUSPECTS_GAP_MS;
    one->alone_at_ms = s->now_ms;
    return one->alone_ms > SUSPECTS_ALONE_MS;
}

static bool is_guilty(const struct suspects *s, struct suspect *one, uint64_t answers, enum suspect_sign sign)
{
    bool others_answered = answers > one->answers;
    bool alone = s->together <= 1;
    if (sign == SUSPECT_GATEWAY && others_answered)
        one->gateways++;
    if (!alone)
        return false;
    if (alone_too_long(s, one))
        return true;
    switch (sign) {
    case SUSPECT_BROKEN:
        return others_answered;
    case SUSPECT_TIMED_OUT:
        one->timeouts += !others_silent(s, one);
        return one->timeouts > SUSPECTS_TIMEOUTS || others_answered;
    case SUSPECT_GATEWAY:
        break;
    }
    return one->gateways > SUSPECTS_GATEWAYS && others_answered;
}

void suspects_request(struct suspects *s, uint32_t together, uint64_t now_ms)
{
    s->request++;
    s->together = together;
    s->now_ms = now_ms;
}

bool suspects_silent(struct suspects *s, uint64_t queue, uint64_t sequence, uint64_t answers, enum suspect_sign sign)
{
    struct suspect *one = find(s, queue, sequence);
    if (one == NULL) {
        one = add(s, queue, sequence);
        one->answers = answers;
        one->since = one->last = s->request;
    }
    if (one->together > 1 && s->together <= 1)
        one->since = s->request;
    bool excused = in_an_outage(s, one, answers);
    one->guilty |= is_guilty(s, one, answers, sign);
    one->answers = answers;
    one->last = s->request;
    one->together = s->together;
    list_remove(&s->list, &one->link);
    list_append(&s->list, &one->link);
    return one->guilty && !excused;
}

const struct suspect *suspects_find(const struct suspects *s, uint64_t queue, uint64_t sequence)
{
    return find(s, queue, sequence);
}

uint32_t suspect_next(const struct suspect *one)
{
    return one->together > 1 ? one->together / 2 : 1;
}

void suspects_clear(struct suspects *s, uint64_t queue, uint64_t sequence)
{
    struct suspect *one = find(s, queue, sequence);
    if (one != NULL)
        forget(s, one);
}

void suspects_keep(struct suspects *s, uint64_t now_ms, bool (*there)(void *ctx, uint64_t queue, uint64_t sequence),
                   void *ctx)
{
    if (suspects_count(s) == 0 || now_ms - s->looked_ms < SUSPECTS_LOOK_MS)
        return;
    s->looked_ms = now_ms;
    for (struct list_link *l = list_first(&s->list), *next; l != NULL; l = next) {
        next = list_next(&s->list, l);
        struct suspect *one = CONTAINER_OF(l, struct suspect, link);
        if (!there(ctx, one->place[0], one->place[1]))
            forget(s, one);
    }
}
