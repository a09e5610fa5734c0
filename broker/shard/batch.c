#include "shard/batch.h"

#include "base/assert.h"
#include "base/memory.h"
#include "shard/internal.h"

struct batch *batch_create(uint64_t seed)
{
    struct batch *b = memory_zero(1, sizeof *b);
    entry_open(&b->writer, &b->payload, 0, seed);
    return b;
}

void batch_destroy(struct batch *b)
{
    buffer_close(&b->payload);
    memory_free(b->commands);
    memory_free(b);
}

void batch_add(struct batch *b, struct command *c)
{
    if (b->count == b->capacity) {
        b->capacity = b->capacity > 0 ? b->capacity * 2 : 16;
        b->commands = memory_grow(b->commands, b->capacity, sizeof *b->commands);
    }
    b->commands[b->count++] = c;
}

void batch_fail(struct batch *b, int code, const char *message)
{
    struct reply reply = {.code = code, .field = "", .message = message};
    for (uint32_t i = 0; i < b->count; i++)
        if (b->commands[i] != NULL)
            b->commands[i]->done(b->commands[i], &reply);
    b->count = 0;
}

/* ---------------------------------------------------------------- the shard's batches */

static void close_open(struct shard *s)
{
    if (s->open == NULL)
        return;
    entry_close(&s->open->writer);
    list_append(&s->waiting, &s->open->link);
    s->open = NULL;
}

struct batch *shard_batch_for(struct shard *s, size_t bytes)
{
    bool full = s->open != NULL && s->open->payload.len > 0 && s->open->count > 0 &&
                (!entry_fits(&s->open->writer, bytes) || s->open->payload.len + bytes > SHARD_BATCH_BYTES);
    if (full)
        close_open(s);
    if (s->open == NULL)
        s->open = batch_create(random_next(&s->random));
    s->pending_bytes += bytes + ENTRY_COMMAND_BYTES;
    s->open->reserved += bytes + ENTRY_COMMAND_BYTES;
    shard_ask_turn(s);
    return s->open;
}

/* Gives a batch to raft. False: it has to wait. Only here it gets its time: while the disk stalls commands gather for long, and by an
 * earlier time the delays and leases of the last of them would end too soon. */
static bool propose_one(struct shard *s, struct batch *b)
{
    struct error e = {0};
    entry_stamp(&b->payload, timekeeper_now_ms(&s->time));
    struct blob *body = blob_adopt(&b->payload);
    int rc = raft_propose(s->raft, body, &b->index, &e);
    if (rc != ERR_OVERLOADED) {
        ASSERT(s->pending_bytes >= b->reserved);
        s->pending_bytes -= b->reserved;
        b->reserved = 0;
    }
    if (rc == ERR_OK) {
        b->term = s->term;
        list_append(&s->proposed, &b->link);
        blob_unref(body);
        return true;
    }
    if (rc == ERR_OVERLOADED) { /* raft's bound of uncommitted bytes: it falls as entries commit */
        buffer_put(&b->payload, body->data, body->len);
        list_prepend(&s->waiting, &b->link);
        blob_unref(body);
        return false;
    }
    blob_unref(body);
    batch_fail(b, rc == ERR_NOT_LEADER ? ERR_NOT_LEADER : rc, e.message);
    batch_destroy(b);
    return true;
}

void shard_propose(struct shard *s)
{
    while (list_count(&s->proposed) < SHARD_ENTRIES_IN_FLIGHT) {
        if (list_empty(&s->waiting)) {
            if (s->open == NULL)
                return;
            close_open(s);
        }
        struct list_link *first = list_first(&s->waiting);
        list_remove(&s->waiting, first);
        if (!propose_one(s, CONTAINER_OF(first, struct batch, link)))
            return;
    }
}

static void fail_list(struct list *batches, int code, const char *message)
{
    while (!list_empty(batches)) {
        struct list_link *first = list_first(batches);
        list_remove(batches, first);
        struct batch *b = CONTAINER_OF(first, struct batch, link);
        batch_fail(b, code, message);
        batch_destroy(b);
    }
}

void shard_batches_fail(struct shard *s, int code, const char *message)
{
    /* What was proposed may still be committed by another leader, or be found in the log at the next start. */
    fail_list(&s->proposed, ERR_UNKNOWN_OUTCOME, message);
    fail_list(&s->waiting, code, message);
    struct batch *open = s->open;
    s->open = NULL;
    if (open != NULL) {
        batch_fail(open, code, message);
        batch_destroy(open);
    }
    s->pending_bytes = 0;
}
