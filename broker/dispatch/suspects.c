#include "dispatch/suspects.h"

#include <stddef.h>

#include "base/memory.h"

void suspects_close(struct suspects *s)
{
    memory_free(s->list);
    *s = (struct suspects){0};
}

static struct suspect *find(struct suspects *s, uint64_t queue, uint64_t sequence)
{
    for (uint32_t i = 0; s->count > 0 && i < SUSPECTS_MAX; i++)
        if (s->list[i].known && s->list[i].sequence == sequence && s->list[i].queue == queue)
            return &s->list[i];
    return NULL;
}

static struct suspect *add(struct suspects *s)
{
    if (s->list == NULL)
        s->list = memory_zero(SUSPECTS_MAX, sizeof *s->list);
    struct suspect *one = &s->list[s->next];
    s->next = (s->next + 1) % SUSPECTS_MAX;
    if (!one->known)
        s->count++;
    return one;
}

/* Another, too, got no answer since this one did not for the first time, each in a request without the other. */
static bool others_silent(const struct suspects *s, const struct suspect *one)
{
    for (uint32_t i = 0; i < SUSPECTS_MAX; i++) {
        const struct suspect *other = &s->list[i];
        if (other->known && !other->guilty && other->last > one->since && other->last != one->last &&
            other->last != s->request)
            return true;
    }
    return false;
}

/* Nobody was answered since it came to nothing last, and others of no guilt came to nothing as well. */
static bool in_an_outage(const struct suspects *s, const struct suspect *one, uint64_t answers)
{
    if (answers > one->answers)
        return false;
    for (uint32_t i = 0; i < SUSPECTS_MAX; i++) {
        const struct suspect *other = &s->list[i];
        if (other->known && !other->guilty && other->last > one->last && other->last != s->request)
            return true;
    }
    return false;
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
    if (alone && alone_too_long(s, one))
        return true;
    switch (sign) {
    case SUSPECT_BROKEN:
        return others_answered && alone;
    case SUSPECT_TIMED_OUT:
        one->timeouts += !others_silent(s, one);
        return one->timeouts > SUSPECTS_TIMEOUTS || (others_answered && alone);
    case SUSPECT_GATEWAY:
        break;
    }
    if (others_answered)
        one->gateways++;
    return one->gateways > SUSPECTS_GATEWAYS && others_answered && alone;
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
        one = add(s);
        *one = (struct suspect){.queue = queue,
                                .sequence = sequence,
                                .answers = answers,
                                .since = s->request,
                                .last = s->request,
                                .known = true};
    }
    bool excused = in_an_outage(s, one, answers);
    one->guilty |= is_guilty(s, one, answers, sign);
    one->answers = answers;
    one->last = s->request;
    one->together = s->together;
    return one->guilty && !excused;
}

uint64_t suspects_tried(struct suspects *s, uint64_t queue, uint64_t sequence)
{
    const struct suspect *one = find(s, queue, sequence);
    return one != NULL ? one->last : 0;
}

uint32_t suspects_next(struct suspects *s, uint64_t queue, uint64_t sequence)
{
    const struct suspect *one = find(s, queue, sequence);
    if (one == NULL)
        return 0;
    return one->together > 1 ? one->together / 2 : 1;
}

bool suspects_guilty(struct suspects *s, uint64_t queue, uint64_t sequence)
{
    const struct suspect *one = find(s, queue, sequence);
    return one != NULL && one->guilty;
}

void suspects_clear(struct suspects *s, uint64_t queue, uint64_t sequence)
{
    struct suspect *one = find(s, queue, sequence);
    if (one == NULL)
        return;
    one->known = false;
    s->count--;
}
