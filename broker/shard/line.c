/* Who waits for messages of which queue, and the receives proposed for them.
 *
 * A consumer's credit moves: free -> asked (a receive is in an entry) -> given, or free again where the receive found less.
 * An *ask* is one receive under way; it outlives its consumer, and what it then brings is given back uncounted.
 *
 *   asked --entry applied--> held --bodies may be fetched--> fetching --> delivered
 *                             |  ^
 *      consumer is not ready  v  |  it is ready, or closed
 *                           unready
 *
 * However many receives one entry answers, bodies are in memory for SHARD_FETCH_BYTES_MAX of them only. */
#include "base/assert.h"
#include "base/memory.h"
#include "shard/internal.h"

enum { CONSUMER_ASKS_MAX = 64 };

struct line {
    uint64_t queue;
    struct list consumers; /* the one served longest ago first */
    uint32_t asked;        /* messages, over all asks */
    uint32_t asks;
    struct list_link dirty;
};

struct ask {
    struct command command;
    struct list_link place; /* in held or unready */
    bool unready;
    bool waited;  /* was not fetched at once: leases may have run out */
    bool lasting; /* leases of some length: one of none is over when it begins, and is given all the same */
    uint64_t bytes;
    struct shard *shard;
    struct consumer *consumer; /* NULL once it closed */
    struct list_link link;     /* of the consumer */
    uint64_t queue;
    uint32_t count;
    struct fetch fetch;
};

static struct line *line_find(struct shard *s, uint64_t queue)
{
    return idmap_find(&s->lines, queue);
}

static struct line *line_make(struct shard *s, uint64_t queue)
{
    struct line *line = line_find(s, queue);
    if (line != NULL)
        return line;
    line = memory_zero(1, sizeof *line);
    line->queue = queue;
    list_init(&line->consumers);
    idmap_put(&s->lines, queue, line);
    return line;
}

static void line_drop_if_idle(struct shard *s, struct line *line)
{
    if (!list_empty(&line->consumers) || line->asks > 0)
        return;
    if (list_linked(&line->dirty))
        list_remove(&s->dirty_lines, &line->dirty);
    idmap_remove(&s->lines, line->queue);
    memory_free(line);
}

void shard_line_dirty(struct shard *s, uint64_t queue)
{
    struct line *line = line_find(s, queue);
    if (line == NULL || list_linked(&line->dirty))
        return;
    list_append(&s->dirty_lines, &line->dirty);
    shard_ask_turn(s);
}

/* ---------------------------------------------------------------- consumers */

int shard_consumer_open(struct shard *s, struct consumer *c, struct error *e)
{
    int rc = shard_refuse(s, e);
    if (rc != ERR_OK)
        return rc;
    struct queue_view view;
    if (!machine_queue_get(s->machine, c->queue, &view))
        return error_field(e, ERR_NOT_FOUND, "queue", "there is no such queue any more");
    ASSERT(c->batch_max > 0);
    list_init(&c->asks);
    c->link = (struct list_link){0};
    c->asked = 0;
    c->open = true;
    struct line *line = line_make(s, c->queue);
    list_append(&line->consumers, &c->link);
    shard_line_dirty(s, c->queue);
    return ERR_OK;
}

void shard_consumer_credit(struct shard *s, struct consumer *c, uint32_t more)
{
    if (!c->open)
        return;
    c->credit = c->credit > UINT32_MAX - more ? UINT32_MAX : c->credit + more;
    shard_line_dirty(s, c->queue);
}

static void hold_again(struct shard *s, struct ask *a)
{
    if (!a->unready)
        return;
    a->unready = false;
    list_remove(&s->unready, &a->place);
    list_append(&s->held, &a->place);
    shard_ask_turn(s);
}

void shard_consumer_ready(struct shard *s, struct consumer *c)
{
    if (!c->open)
        return;
    for (struct list_link *l = list_first(&c->asks); l != NULL; l = list_next(&c->asks, l))
        hold_again(s, CONTAINER_OF(l, struct ask, link));
    shard_line_dirty(s, c->queue);
}

static void leave_line(struct shard *s, struct consumer *c)
{
    while (!list_empty(&c->asks)) {
        struct ask *a = CONTAINER_OF(list_first(&c->asks), struct ask, link);
        list_remove(&c->asks, &a->link);
        a->consumer = NULL;
        hold_again(s, a);
    }
    c->open = false;
    struct line *line = line_find(s, c->queue);
    ASSERT(line != NULL);
    list_remove(&line->consumers, &c->link);
}

void shard_consumer_close(struct shard *s, struct consumer *c)
{
    if (!c->open)
        return;
    leave_line(s, c);
    line_drop_if_idle(s, line_find(s, c->queue));
}

static void end_line(struct shard *s, struct line *line, int code, const char *message)
{
    while (!list_empty(&line->consumers)) {
        struct consumer *c = CONTAINER_OF(list_first(&line->consumers), struct consumer, link);
        leave_line(s, c);
        c->ended(c, code, message);
    }
}

void shard_lines_end(struct shard *s, int code, const char *message)
{
    size_t at = 0;
    struct line *line;
    while ((line = idmap_next(&s->lines, &at, NULL)) != NULL) {
        end_line(s, line, code, message);
        line_drop_if_idle(s, line);
    }
}

void shard_lines_close(struct shard *s)
{
    shard_lines_end(s, ERR_CLOSED, "the broker is stopping");
    shard_held_serve(s); /* nobody is there any more: they go */
    ASSERT(list_empty(&s->held) && list_empty(&s->unready));
    ASSERT(idmap_count(&s->lines) == 0);
    idmap_close(&s->lines);
}

/* ---------------------------------------------------------------- giving back what nobody takes */

struct give_back {
    struct command command;
};

static void on_given_back(struct command *c, const struct reply *reply)
{
    (void)reply; /* where it failed the leases end by themselves */
    memory_free(CONTAINER_OF(c, struct give_back, command));
}

static void give_back(struct shard *s, uint64_t queue, const struct delivered *messages, size_t count)
{
    struct entry_lease *leases = memory_alloc(count * sizeof *leases);
    for (size_t i = 0; i < count; i++)
        leases[i] = (struct entry_lease){messages[i].is.sequence, messages[i].is.lease};
    struct entry_settle settle = {.queue = queue, .uncounted = true, .count = (uint32_t)count};
    struct give_back *g = memory_alloc(sizeof *g);
    g->command.done = on_given_back;
    if (shard_nack(s, &g->command, &settle, leases, NULL) != ERR_OK)
        memory_free(g);
    memory_free(leases);
}

/* ---------------------------------------------------------------- asks */

static size_t asks_max(const struct consumer *c)
{
    return c->single ? 1 : CONSUMER_ASKS_MAX;
}

static void leave_consumer(struct ask *a)
{
    struct consumer *c = a->consumer;
    a->consumer = NULL;
    if (list_count(&c->asks) >= asks_max(c))
        shard_line_dirty(a->shard, a->queue); /* it may ask again */
    list_remove(&c->asks, &a->link);
}

static void ask_free(struct ask *a)
{
    struct shard *s = a->shard;
    if (a->consumer != NULL)
        leave_consumer(a);
    struct line *line = line_find(s, a->queue);
    ASSERT(line != NULL && line->asks > 0);
    line->asks--;
    line_drop_if_idle(s, line);
    memory_free(a->fetch.messages);
    memory_free(a);
}

/* While bodies are on their way a purge, the end of retention or of the queue may take the messages, and upkeep their bodies.
 * Else the code stays what it is; that of the machine where it can't tell. */
static int drop_gone(struct shard *s, struct ask *a, struct error *e)
{
    struct fetch *f = &a->fetch;
    size_t kept = 0;
    for (size_t i = 0; i < f->count; i++) {
        const struct received *is = &f->messages[i].is;
        bool there = false;
        if (f->messages[i].owner != NULL) {
            f->messages[kept++] = f->messages[i];
            continue;
        }
        int code = machine_holds(s->machine, a->queue, is->sequence, &is->ref, &there, e);
        if (code != ERR_OK || there)
            return code != ERR_OK ? code : ERR_NOT_FOUND;
    }
    if (a->consumer != NULL)
        a->consumer->credit += (uint32_t)(f->count - kept);
    f->count = kept;
    shard_line_dirty(s, a->queue);
    return ERR_OK;
}

/* A body that was acknowledged can't be read: this replica is damaged. Or it can't be told for want of space. */
static void fail(struct shard *s, int code, const struct error *why)
{
    if (code == ERR_STORAGE_FULL)
        shard_rest(s, why);
    else
        shard_stop(s, why);
}

static void on_fetched(struct fetch *f, int code, const struct error *e)
{
    struct ask *a = CONTAINER_OF(f, struct ask, fetch);
    struct shard *s = a->shard;
    s->fetching_bytes -= a->bytes;
    struct error why = *e;
    if (code == ERR_NOT_FOUND)
        code = drop_gone(s, a, &why);
    bool led = code != ERR_OK && !s->leads; /* the consumer went with the lead, the lease runs out */
    if (code != ERR_OK && !led) {
        fail(s, code, &why);
    } else if (led || f->count == 0) {
        /* all are gone: the line looks again, and ends who does not wait */
    } else if (a->consumer != NULL) {
        struct consumer *c = a->consumer;
        leave_consumer(a);
        if (c->once)
            leave_line(s, c);
        c->deliver(c, f->messages, f->count);
    } else {
        give_back(s, a->queue, f->messages, f->count);
    }
    ask_free(a);
    shard_held_serve(s);
}

/* What waited may have lost its leases meanwhile: such a message is somebody else's by now. What did not wait is given even if a
 * lease was shorter than the write of its entry: it would be the same at the next receive, and in the end the message were a dead
 * letter that nobody ever got. */
static void drop_expired(struct shard *s, struct ask *a)
{
    struct fetch *f = &a->fetch;
    uint64_t now = shard_now_ms(s);
    size_t kept = 0;
    for (size_t i = 0; i < f->count; i++)
        if (f->messages[i].is.lease_until_ms > now)
            f->messages[kept++] = f->messages[i];
    a->consumer->credit += (uint32_t)(f->count - kept);
    f->count = kept;
    if (kept < a->count)
        shard_line_dirty(s, a->queue);
}

static void fetch_one(struct shard *s, struct ask *a)
{
    if (a->consumer == NULL) {
        give_back(s, a->queue, a->fetch.messages, a->fetch.count);
        ask_free(a);
        return;
    }
    if (a->consumer->ready != NULL && !a->consumer->ready(a->consumer, a->fetch.count, a->bytes)) {
        a->unready = a->waited = true;
        list_append(&s->unready, &a->place);
        return;
    }
    if (a->waited && a->lasting)
        drop_expired(s, a);
    if (a->fetch.count == 0) {
        ask_free(a);
        return;
    }
    s->fetching_bytes += a->bytes;
    shard_fetch(s, &a->fetch);
}

void shard_held_serve(struct shard *s)
{
    if (s->serving_held)
        return; /* the loop below goes on */
    s->serving_held = true;
    while (!list_empty(&s->held)) {
        struct ask *a = CONTAINER_OF(list_first(&s->held), struct ask, place);
        bool room = s->fetching_bytes == 0 || s->fetching_bytes + a->bytes <= SHARD_FETCH_BYTES_MAX;
        if (!room && a->consumer != NULL) {
            a->waited = true;
            break;
        }
        list_remove(&s->held, &a->place);
        fetch_one(s, a);
    }
    s->serving_held = false;
}

static void on_received(struct command *command, const struct reply *reply)
{
    struct ask *a = CONTAINER_OF(command, struct ask, command);
    struct shard *s = a->shard;
    struct line *line = line_find(s, a->queue);
    size_t count = reply->code == ERR_OK ? reply->count : 0;
    line->asked -= a->count;
    if (a->consumer != NULL) {
        a->consumer->asked -= a->count;
        a->consumer->credit += a->count - (uint32_t)count;
    }
    if (reply->code == ERR_NOT_FOUND) {
        end_line(s, line, ERR_NOT_FOUND, "the queue was deleted");
    } else if (!list_empty(&line->consumers)) {
        shard_line_dirty(s, a->queue);
    }
    if (count == 0) {
        ask_free(a);
        return;
    }
    uint64_t queue = a->queue;
    uint64_t last = reply->received[count - 1].ref.index;
    a->lasting = reply->received[0].lease_until_ms > machine_clock_ms(s->machine);
    a->fetch = (struct fetch){.count = count, .done = on_fetched};
    a->fetch.messages = memory_zero(count, sizeof *a->fetch.messages);
    for (size_t i = 0; i < count; i++) {
        a->fetch.messages[i].is = reply->received[i];
        a->bytes += reply->received[i].ref.len;
    }
    list_append(&s->held, &a->place);
    shard_held_serve(s);
    struct message_ref next;
    if (machine_queue_next(s->machine, queue, last, &next))
        shard_read_ahead(s, &next);
}

static void ask(struct shard *s, struct line *line, struct consumer *c, uint32_t count)
{
    struct ask *a = memory_zero(1, sizeof *a);
    a->command.done = on_received;
    a->shard = s;
    a->consumer = c;
    a->queue = line->queue;
    a->count = count;
    list_append(&c->asks, &a->link);
    c->credit -= count;
    c->asked += count;
    line->asked += count;
    line->asks++;
    struct entry_receive receive = {
        .queue = line->queue, .max_messages = count, .max_bytes = c->bytes_max, .visibility_ms = c->visibility_ms};
    struct batch *b = shard_batch_for(s, 64);
    entry_add_receive(&b->writer, &receive);
    batch_add(b, &a->command);
}

static void serve_line(struct shard *s, struct line *line)
{
    uint64_t wanted = 0;
    for (struct list_link *l = list_first(&line->consumers); l != NULL; l = list_next(&line->consumers, l))
        wanted += CONTAINER_OF(l, struct consumer, link)->credit;
    uint64_t look = wanted + line->asked;
    uint32_t available =
        machine_queue_available(s->machine, line->queue, look > UINT32_MAX ? UINT32_MAX : (uint32_t)look);
    available = available > line->asked ? available - line->asked : 0;
    size_t passed = 0; /* consumers in a row that had no credit */
    while (available > 0 && passed < list_count(&line->consumers)) {
        struct consumer *c = CONTAINER_OF(list_first(&line->consumers), struct consumer, link);
        list_remove(&line->consumers, &c->link);
        list_append(&line->consumers, &c->link);
        uint32_t n = c->credit < c->batch_max ? c->credit : c->batch_max;
        if (list_count(&c->asks) >= asks_max(c) || (c->ready != NULL && !c->ready(c, 0, 0)))
            n = 0; /* what is under way for it comes first */
        n = n < available ? n : available;
        passed = n == 0 ? passed + 1 : 0;
        if (n == 0)
            continue;
        ask(s, line, c, n);
        available -= n;
    }
}

/* Those that don't wait and got nothing. Being told they may do anything to the line, so each time it is looked at anew. */
static struct consumer *find_empty_handed(const struct line *line)
{
    for (struct list_link *l = list_first(&line->consumers); l != NULL; l = list_next(&line->consumers, l)) {
        struct consumer *c = CONTAINER_OF(l, struct consumer, link);
        if (c->once && list_empty(&c->asks))
            return c;
    }
    return NULL;
}

static void end_empty_handed(struct shard *s, struct line *line)
{
    struct consumer *c;
    while ((c = find_empty_handed(line)) != NULL) {
        leave_line(s, c);
        c->ended(c, ERR_OK, "");
    }
}

void shard_lines_serve(struct shard *s)
{
    while (!list_empty(&s->dirty_lines)) {
        struct line *line = CONTAINER_OF(list_first(&s->dirty_lines), struct line, dirty);
        list_remove(&s->dirty_lines, &line->dirty);
        if (!s->leads)
            continue;
        struct queue_view queue;
        line->asks++; /* keeps it while those who end are told */
        if (machine_queue_get(s->machine, line->queue, &queue))
            serve_line(s, line);
        else
            end_line(s, line, ERR_NOT_FOUND, "the queue was deleted");
        end_empty_handed(s, line);
        line->asks--;
        line_drop_if_idle(s, line);
    }
}
