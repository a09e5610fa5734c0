#include "server/settler.h"

#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/memory.h"

/* One allocation: the settlement, its tokens, its error's text. */
struct kept {
    struct list_link link;
    struct settlement is;
    struct source_token tokens[];
};

static struct kept *keep(const struct settlement *s)
{
    struct bytes error = s->kind == SETTLEMENT_NACK ? s->nack.error : bytes_of(NULL, 0);
    size_t tokens = s->count * sizeof *s->tokens;
    struct kept *k = memory_alloc(sizeof *k + tokens + error.len);
    uint8_t *text = (uint8_t *)k->tokens + tokens;
    k->link = (struct list_link){0};
    k->is = *s;
    memcpy(k->tokens, s->tokens, tokens);
    if (error.len > 0)
        memcpy(text, error.data, error.len);
    k->is.tokens = k->tokens;
    k->is.nack.error = bytes_of(text, error.len);
    return k;
}

/* False when the shard still refuses. */
static bool say_kept(struct settler *r, struct list *kept)
{
    while (!list_empty(kept)) {
        struct kept *k = CONTAINER_OF(list_first(kept), struct kept, link);
        if (r->submit(r->ctx, &k->is) == ERR_OVERLOADED)
            return false;
        list_remove(kept, &k->link);
        memory_free(k);
    }
    return true;
}

static void on_timer(uv_timer_t *timer)
{
    struct settler *r = CONTAINER_OF(timer, struct settler, timer);
    bool all = true;
    for (unsigned i = 0; i <= r->shards; i++)
        all &= say_kept(r, &r->kept[i]);
    if (!all)
        uv_timer_start(timer, on_timer, SETTLER_AGAIN_MS, 0);
}

void settler_open(struct settler *r, uv_loop_t *loop, unsigned shards,
                  int (*submit)(void *ctx, const struct settlement *s), void *ctx)
{
    *r = (struct settler){.shards = shards, .submit = submit, .ctx = ctx};
    r->kept = memory_zero(shards + 1, sizeof *r->kept);
    for (unsigned i = 0; i <= shards; i++)
        list_init(&r->kept[i]);
    ASSERT(uv_timer_init(loop, &r->timer) == 0);
}

static void on_closed(uv_handle_t *handle)
{
    struct settler *r = CONTAINER_OF(handle, struct settler, timer);
    for (unsigned i = 0; i <= r->shards; i++)
        while (!list_empty(&r->kept[i]))
            memory_free(CONTAINER_OF(list_take(&r->kept[i]), struct kept, link));
    memory_free(r->kept);
    r->closed(r->closed_arg);
}

void settler_close(struct settler *r, void (*closed)(void *arg), void *arg)
{
    r->closed = closed;
    r->closed_arg = arg;
    uv_close((uv_handle_t *)&r->timer, on_closed);
}

void settler_add(struct settler *r, const struct settlement *s)
{
    ASSERT(s->shard <= r->shards);
    struct list *kept = &r->kept[s->shard];
    if (list_empty(kept) && r->submit(r->ctx, s) != ERR_OVERLOADED)
        return;
    list_append(kept, &keep(s)->link);
    if (!uv_is_active((uv_handle_t *)&r->timer))
        uv_timer_start(&r->timer, on_timer, SETTLER_AGAIN_MS, 0);
}

bool settler_behind(const struct settler *r, uint16_t shard)
{
    return !list_empty(&r->kept[shard]);
}
