#include "dispatch/attempts.h"

#include <string.h>

#include "base/memory.h"

/* One allocation: the fields, then the texts they point to. */
struct attempt {
    struct dispatcher_attempt seen;
    char text[];
};

void attempts_close(struct attempts *a)
{
    for (uint32_t i = 0; i < DISPATCHER_ATTEMPTS_MAX; i++)
        memory_free(a->ring[i]);
    *a = (struct attempts){0};
}

static struct attempt *copy(const struct dispatcher_attempt *from)
{
    size_t error = strlen(from->error) + 1;
    size_t queue = strlen(from->queue) + 1;
    size_t answer = from->answer.len < DISPATCHER_ANSWER_KEPT ? from->answer.len : DISPATCHER_ANSWER_KEPT;
    struct attempt *a = memory_alloc(sizeof *a + error + queue + answer);
    a->seen = *from;
    a->seen.error = memcpy(a->text, from->error, error);
    a->seen.queue = memcpy(a->text + error, from->queue, queue);
    if (answer > 0)
        memcpy(a->text + error + queue, from->answer.data, answer);
    a->seen.answer = bytes_of(a->text + error + queue, answer);
    return a;
}

void attempts_add(struct attempts *a, const struct dispatcher_attempt *attempt)
{
    memory_free(a->ring[a->next]);
    a->ring[a->next] = copy(attempt);
    a->next = (a->next + 1) % DISPATCHER_ATTEMPTS_MAX;
    if (a->count < DISPATCHER_ATTEMPTS_MAX)
        a->count++;
}

size_t attempts_list(const struct attempts *a, struct arena *arena, const struct dispatcher_attempt **out)
{
    struct dispatcher_attempt *list = arena_alloc(arena, (a->count + 1) * sizeof *list);
    for (uint32_t i = 0; i < a->count; i++) {
        uint32_t place = (a->next + DISPATCHER_ATTEMPTS_MAX - 1 - i) % DISPATCHER_ATTEMPTS_MAX;
        const struct dispatcher_attempt *from = &a->ring[place]->seen;
        list[i] = *from;
        list[i].error = arena_text(arena, from->error, strlen(from->error));
        list[i].queue = arena_text(arena, from->queue, strlen(from->queue));
        list[i].answer = bytes_of(arena_copy(arena, from->answer.data, from->answer.len), from->answer.len);
    }
    *out = list;
    return a->count;
}
