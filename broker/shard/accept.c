/* The receiving end of a channel whose source is led by another node: the items become a command of this shard, what became of
 * them goes back. Frames may be lost or doubled: the source repeats, and the machine knows what it has seen. */
#include "base/memory.h"
#include "shard/internal.h"

struct accepting {
    struct command command;
    struct shard *shard;
    uint64_t node;
    uint16_t source;
    uint64_t round;
};

static void answer(struct shard *s, uint64_t node, uint16_t source, uint64_t round, int code, struct bytes codes)
{
    if (s->closing)
        return;
    struct peer_accepted a = {.target = s->options.number, .round = round, .code = (uint8_t)code, .codes = codes};
    struct buffer frame = {0};
    peer_put_accepted(&frame, &a);
    s->env->send(s->env->ctx, s, node, source, buffer_view(&frame), NULL, 0);
    buffer_close(&frame);
}

static void on_accepted(struct command *c, const struct reply *reply)
{
    struct accepting *a = CONTAINER_OF(c, struct accepting, command);
    bool fine = reply->code == ERR_OK;
    struct bytes codes = fine ? bytes_of(reply->accepted, reply->count) : (struct bytes){0};
    answer(a->shard, a->node, a->source, a->round, reply->code, codes);
    memory_free(a);
}

int shard_accept(struct shard *s, uint64_t node, const struct peer_accept *accept, struct error *e)
{
    uint16_t source;
    if (!machine_accept_sound(accept->payload, &source) || source != accept->source)
        return error_set(e, ERR_PROTOCOL, "the items of a channel are malformed");
    struct accepting *a = memory_zero(1, sizeof *a);
    a->command.done = on_accepted;
    a->shard = s;
    a->node = node;
    a->source = accept->source;
    a->round = accept->round;
    int rc = shard_command(s, &a->command, COMMAND_ACCEPT, accept->payload, NULL);
    if (rc == ERR_OK)
        return ERR_OK;
    answer(s, node, accept->source, accept->round, rc, (struct bytes){0});
    memory_free(a);
    return ERR_OK;
}
