#include "server/settler.h"

#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/memory.h"

/* One allocation: the settlement, its tokens, its error's text. */
static struct settling *copy(struct settler *r, const struct settlement *from)
{
    struct bytes error = from->kind == SETTLEMENT_NACK ? from->nack.error : bytes_of(NULL, 0);
    size_t tokens = from->count * sizeof *from->tokens;
    struct settling *s = memory_alloc(sizeof *s + tokens + error.len);
    uint8_t *behind = (uint8_t *)(s + 1);
    *s = (struct settling){.is = *from, .settler = r};
    memcpy(behind, from->tokens, tokens);
    if (error.len > 0)
        memcpy(behind + tokens, error.data, error.len);
    s->is.tokens = (const struct source_token *)(const void *)behind;
    s->is.nack.error = bytes_of(behind + tokens, error.len);
    return s;
}

static struct settler_shard *shard_of(struct settler *r, const struct settlement *s)
{
    ASSERT(s->shard <= r->shards);
    return &r->by_shard[s->shard];
}

static bool is_worth_again(enum settlement_kind kind, int code)
{
    switch (code) {
    case ERR_OVERLOADED:
        return true;
    case ERR_STORAGE_FULL:
    case ERR_UNKNOWN_OUTCOME:
        return kind != SETTLEMENT_EXTEND;
    default:
        return false;
    }
}

/* False when the shard refuses for now: then it is the caller's to keep. */
static bool say(struct settler *r, struct settling *s)
{
    int code = r->submit(r->ctx, s);
    if (code == ERR_OK) {
        list_append(&r->out, &s->link);
        return true;
    }
    shard_of(r, &s->is)->full = code == ERR_STORAGE_FULL;
    if (is_worth_again(s->is.kind, code))
        return false;
    memory_free(s);
    return true;
}

/* False when the shard still refuses. */
static bool say_kept(struct settler *r, struct list *kept)
{
    while (!list_empty(kept)) {
        struct settling *s = CONTAINER_OF(list_take(kept), struct settling, link);
        if (!say(r, s)) {
            list_prepend(kept, &s->link);
            return false;
        }
    }
    return true;
}

static void on_timer(uv_timer_t *timer)
{
    struct settler *r = CONTAINER_OF(timer, struct settler, timer);
    bool all = true;
    for (unsigned i = 0; i <= r->shards; i++)
        all &= say_kept(r, &r->by_shard[i].kept);
    if (!all)
        uv_timer_start(timer, on_timer, SETTLER_AGAIN_MS, 0);
}

static void keep(struct settler *r, struct settling *s)
{
    list_append(&shard_of(r, &s->is)->kept, &s->link);
    if (!uv_is_active((uv_handle_t *)&r->timer))
        uv_timer_start(&r->timer, on_timer, SETTLER_AGAIN_MS, 0);
}

void settler_open(struct settler *r, uv_loop_t *loop, unsigned shards, int (*submit)(void *ctx, struct settling *s),
                  void *ctx)
{
    *r = (struct settler){.shards = shards, .submit = submit, .ctx = ctx};
    r->by_shard = memory_zero(shards + 1, sizeof *r->by_shard);
    for (unsigned i = 0; i <= shards; i++)
        list_init(&r->by_shard[i].kept);
    list_init(&r->out);
    ASSERT(uv_timer_init(loop, &r->timer) == 0);
}

static void on_closed(uv_handle_t *handle)
{
    struct settler *r = CONTAINER_OF(handle, struct settler, timer);
    for (unsigned i = 0; i <= r->shards; i++)
        while (!list_empty(&r->by_shard[i].kept))
            memory_free(CONTAINER_OF(list_take(&r->by_shard[i].kept), struct settling, link));
    memory_free(r->by_shard);
    r->closed(r->closed_arg);
}

void settler_close(struct settler *r, void (*closed)(void *arg), void *arg)
{
    while (!list_empty(&r->out))
        CONTAINER_OF(list_take(&r->out), struct settling, link)->settler = NULL;
    r->closed = closed;
    r->closed_arg = arg;
    uv_close((uv_handle_t *)&r->timer, on_closed);
}

void settler_add(struct settler *r, const struct settlement *settlement)
{
    struct settler_shard *shard = shard_of(r, settlement);
    bool behind = !list_empty(&shard->kept);
    if (behind && shard->full && settlement->kind == SETTLEMENT_EXTEND)
        return;
    struct settling *s = copy(r, settlement);
    if (behind || !say(r, s))
        keep(r, s);
}

void settler_settled(struct settling *s, int code)
{
    struct settler *r = s->settler;
    if (r != NULL)
        list_remove(&r->out, &s->link);
    if (r != NULL && is_worth_again(s->is.kind, code)) {
        shard_of(r, &s->is)->full = code == ERR_STORAGE_FULL;
        keep(r, s);
    } else {
        memory_free(s);
    }
}

bool settler_behind(const struct settler *r, uint16_t shard)
{
    return !list_empty(&r->by_shard[shard].kept);
}

bool settler_busy(const struct settler *r)
{
    bool busy = !list_empty(&r->out);
    for (unsigned i = 0; i <= r->shards; i++)
        busy |= settler_behind(r, (uint16_t)i);
    return busy;
}
