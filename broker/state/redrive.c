#define _GNU_SOURCE /* memmem */

#include "state/redrive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/tree.h"
#include "proto/command.pb-c.h"
#include "state/identity.h"
#include "state/keys.h"
#include "state/lasterror.h"
#include "state/outbox.h"
#include "store/store.h"

enum { VERSION = 1, SLOTS = 64, RUNNING = 0, COMPLETED = 1, CANCELLED = 2 };
#define SECOND_US UINT64_C(1000000)
#define RATE_MIN 0.001

struct redrive {
    char id[REDRIVE_ID_LEN + 1];
    char *destination;
    char *reason;
    double rate;
    uint32_t state;
    uint64_t moved;
    uint64_t skipped;
    uint64_t total;
    uint64_t started_ms;
    uint64_t ended_ms;
    uint64_t cursor;     /* next sequence to look at */
    uint64_t end;        /* first chunk not looked at */
    uint64_t next_us;    /* the next message not before this */
    uint64_t on_the_way; /* of those moved: not settled */
};

/* A queue's, newest last. */
struct history {
    uint64_t queue;
    struct redrive *redrives[REDRIVE_KEPT];
    size_t count;
};

struct redrives {
    struct tree by_queue;
    struct tree running; /* those whose newest one runs, in an order that is the same everywhere */
    struct tree changed; /* those to be written */
};

static struct redrive *newest(const struct history *h)
{
    return h->redrives[h->count - 1];
}

/* Has it looked at all? Then it only waits for what is on its way. */
static bool has_seen_all(const struct redrive *d)
{
    return d->cursor / SLOTS >= d->end;
}

/* One that was cancelled has messages on their way. Some may come back, and then go before what lies behind them. */
static bool waits(const struct history *h)
{
    for (size_t i = 0; i + 1 < h->count; i++)
        if (h->redrives[i]->on_the_way > 0)
            return true;
    return false;
}

static void destroy(struct redrive *d)
{
    memory_free(d->destination);
    memory_free(d->reason);
    memory_free(d);
}

static void destroy_history(struct history *h)
{
    for (size_t i = 0; i < h->count; i++)
        destroy(h->redrives[i]);
    memory_free(h);
}

static bool rate_ok(double rate)
{
    return rate == 0.0 || (rate >= RATE_MIN && rate <= REDRIVE_RATE_MAX);
}

/* ---------------------------------------------------------------- records */

static void put_record(struct buffer *v, struct redrive *d)
{
    Hato__Log__RedriveRecord r = HATO__LOG__REDRIVE_RECORD__INIT;
    r.id = d->id;
    r.destination = d->destination;
    r.reason = d->reason;
    r.has_rate = r.has_state = r.has_moved = r.has_skipped = r.has_total = r.has_started_ms = true;
    r.has_ended_ms = r.has_cursor = r.has_end = r.has_next_us = r.has_on_the_way = true;
    r.rate = d->rate;
    r.state = d->state;
    r.moved = d->moved;
    r.skipped = d->skipped;
    r.total = d->total;
    r.started_ms = d->started_ms;
    r.ended_ms = d->ended_ms;
    r.cursor = d->cursor;
    r.end = d->end;
    r.next_us = d->next_us;
    r.on_the_way = d->on_the_way;
    size_t len = hato__log__redrive_record__get_packed_size(&r);
    buffer_varint(v, len);
    v->len += hato__log__redrive_record__pack(&r, buffer_reserve(v, len));
}

static char *text_of(const char *text)
{
    return text != NULL ? memory_string(text, strlen(text)) : memory_string("", 0);
}

static struct redrive *take_record(struct bytes b)
{
    Hato__Log__RedriveRecord *r = hato__log__redrive_record__unpack(NULL, b.len, b.data);
    if (r == NULL || r->state > CANCELLED || !rate_ok(r->rate) || r->next_us > UINT64_MAX / 2) {
        if (r != NULL)
            hato__log__redrive_record__free_unpacked(r, NULL);
        return NULL;
    }
    struct redrive *d = memory_zero(1, sizeof *d);
    snprintf(d->id, sizeof d->id, "%s", r->id != NULL ? r->id : "");
    d->destination = text_of(r->destination);
    d->reason = text_of(r->reason);
    d->rate = r->rate;
    d->state = r->state;
    d->moved = r->moved;
    d->skipped = r->skipped;
    d->total = r->total;
    d->started_ms = r->started_ms;
    d->ended_ms = r->ended_ms;
    d->cursor = r->cursor;
    d->end = r->end;
    d->next_us = r->next_us;
    d->on_the_way = r->on_the_way;
    hato__log__redrive_record__free_unpacked(r, NULL);
    return d;
}

static void mark(struct redrives *r, struct history *h)
{
    tree_put(&r->changed, h->queue, h);
}

static void write_history(struct keys *ks, const struct history *h)
{
    struct key k = key_of1(ks->shard, KEY_REDRIVE, h->queue);
    struct buffer *v = keys_begin(ks, VERSION);
    buffer_varint(v, h->count);
    for (size_t i = 0; i < h->count; i++)
        put_record(v, h->redrives[i]);
    keys_put(ks, &k);
}

void redrive_write(struct redrives *r, struct keys *ks)
{
    uint64_t queue = 0;
    const struct history *h;
    while ((h = tree_first(&r->changed, &queue)) != NULL) {
        write_history(ks, h);
        tree_remove(&r->changed, queue);
    }
}

static int take_history(struct history *h, struct bytes key, struct cursor *c, struct error *e)
{
    uint64_t count = cursor_varint(c);
    if (count == 0 || count > REDRIVE_KEPT)
        return value_corrupt(key, "its number of redrives can't be", e);
    while (h->count < count) {
        struct redrive *d = take_record(cursor_take(c, (size_t)cursor_varint(c)));
        if (d == NULL || c->failed) {
            if (d != NULL)
                destroy(d);
            return value_corrupt(key, "a redrive in it can't be read", e);
        }
        h->redrives[h->count++] = d;
    }
    return value_done(key, c, e);
}

static int load_one(struct redrives *r, struct bytes key, struct bytes value, struct error *e)
{
    struct cursor c;
    uint64_t queue = 0;
    int code = value_open(key, value, VERSION, &c, e);
    if (code != ERR_OK)
        return code;
    if (!key_numbers(key, KEY_REDRIVE, &queue, 1))
        return value_corrupt(key, "its key is malformed", e);
    struct history *h = memory_zero(1, sizeof *h);
    h->queue = queue;
    tree_put(&r->by_queue, queue, h);
    code = take_history(h, key, &c, e);
    if (code == ERR_OK && newest(h)->state == RUNNING)
        tree_put(&r->running, queue, h);
    return code;
}

int redrive_open(struct keys *ks, struct redrives **out, struct error *e)
{
    struct redrives *r = memory_zero(1, sizeof *r);
    struct key from = key_of(ks->shard, KEY_REDRIVE);
    struct key to = key_after(&from);
    int code = ERR_OK;
    struct store_iterator *i = keys_iterate(ks, &from, &to);
    for (; code == ERR_OK && store_iterator_valid(i); store_iterator_next(i))
        code = load_one(r, store_iterator_key(i), store_iterator_value(i), e);
    if (code == ERR_OK)
        code = store_iterator_error(i, e);
    store_iterator_close(i);
    if (code != ERR_OK) {
        redrive_close(r);
        return code;
    }
    *out = r;
    return ERR_OK;
}

void redrive_close(struct redrives *r)
{
    if (r == NULL)
        return;
    uint64_t queue = 0;
    for (struct history *h = tree_first(&r->by_queue, &queue); h != NULL; h = tree_after(&r->by_queue, queue, &queue))
        destroy_history(h);
    tree_close(&r->by_queue);
    tree_close(&r->running);
    tree_close(&r->changed);
    memory_free(r);
}

/* ---------------------------------------------------------------- commands */

static int check_destination(struct bytes queue_name, struct bytes destination, struct error *e)
{
    struct identity parts;
    if (destination.len == 0)
        return ERR_OK;
    int code = identity_split_queue(destination, "destination", &parts, e);
    if (code != ERR_OK)
        return code;
    if (bytes_equal(queue_name, destination))
        return error_field(e, ERR_INVALID, "destination", "a redrive's destination must be another queue");
    if (identity_is_fifo(queue_name) != identity_is_fifo(destination))
        return error_field(e, ERR_INVALID, "destination",
                           "a FIFO queue's messages go to a FIFO queue, others to others");
    return ERR_OK;
}

static int check(struct bytes queue_name, struct bytes destination, struct bytes reason, double rate, struct error *e)
{
    int code = check_destination(queue_name, destination, e);
    if (code != ERR_OK)
        return code;
    if (reason.len > REDRIVE_REASON_MAX || (reason.len > 0 && memchr(reason.data, 0, reason.len) != NULL))
        return error_field(e, ERR_INVALID, "reason", "the reason is at most %d bytes without a zero byte",
                           (int)REDRIVE_REASON_MAX);
    if (rate_ok(rate))
        return ERR_OK;
    return error_field(e, ERR_INVALID, "rate", "the rate is 0 (as fast as it goes) or 0.001 to 1000000 a second");
}

static struct history *history_of(struct redrives *r, uint64_t queue)
{
    struct history *h = tree_find(&r->by_queue, queue);
    if (h == NULL) {
        h = memory_zero(1, sizeof *h);
        h->queue = queue;
        tree_put(&r->by_queue, queue, h);
    }
    return h;
}

static void append(struct history *h, struct redrive *d)
{
    if (h->count == REDRIVE_KEPT) {
        destroy(h->redrives[0]);
        h->count--;
        memmove(h->redrives, h->redrives + 1, h->count * sizeof(struct redrive *));
    }
    h->redrives[h->count++] = d;
}

static uint64_t number_of(const struct redrive *d)
{
    return strtoull(d->id, NULL, 16);
}

static struct redrive *by_number(const struct history *h, uint64_t number)
{
    for (size_t i = 0; h != NULL && i < h->count; i++)
        if (number_of(h->redrives[i]) == number)
            return h->redrives[i];
    return NULL;
}

/* Another than those remembered have, which may be of the same entry. */
static void make_id(char out[REDRIVE_ID_LEN + 1], const struct history *h, uint64_t seed, uint64_t now_ms)
{
    uint64_t parts[] = {h->queue, now_ms};
    uint64_t number = bytes_hash(bytes_of(parts, sizeof parts), seed);
    while (number == 0 || by_number(h, number) != NULL)
        number++;
    snprintf(out, REDRIVE_ID_LEN + 1, "%016llx", (unsigned long long)number);
}

int redrive_start(struct redrives *r, uint64_t queue, struct bytes queue_name, struct bytes destination,
                  struct bytes reason, double rate, uint64_t end, uint64_t total, uint64_t now_ms, uint64_t seed,
                  const char **id, struct error *e)
{
    int code = check(queue_name, destination, reason, rate, e);
    if (code != ERR_OK)
        return code;
    const struct history *running = tree_find(&r->running, queue);
    if (running != NULL)
        return error_set(e, ERR_CONFLICT, "redrive %s of this queue is running: cancel it or wait for its end",
                         newest(running)->id);
    struct history *h = history_of(r, queue);
    if (h->count == REDRIVE_KEPT && h->redrives[0]->on_the_way > 0)
        return error_set(e, ERR_CONFLICT, "what redrive %s moved is still on its way: wait for its end",
                         h->redrives[0]->id);
    struct redrive *d = memory_zero(1, sizeof *d);
    make_id(d->id, h, seed, now_ms);
    d->destination = memory_string((const char *)destination.data, destination.len);
    d->reason = memory_string((const char *)reason.data, reason.len);
    d->rate = rate;
    d->total = total;
    d->started_ms = now_ms;
    d->end = end;
    d->next_us = now_ms * 1000;
    append(h, d);
    tree_put(&r->running, queue, h);
    mark(r, h);
    *id = d->id;
    return ERR_OK;
}

static void finish(struct redrives *r, const struct history *h, uint32_t state, uint64_t now_ms)
{
    newest(h)->state = state;
    newest(h)->ended_ms = now_ms;
    tree_remove(&r->running, h->queue);
}

static const struct redrive *find(const struct history *h, struct bytes id)
{
    for (size_t i = 0; h != NULL && i < h->count; i++)
        if (bytes_equal(bytes_text(h->redrives[i]->id), id))
            return h->redrives[i];
    return NULL;
}

int redrive_cancel(struct redrives *r, uint64_t queue, struct bytes id, uint64_t now_ms, struct error *e)
{
    struct history *h = tree_find(&r->by_queue, queue);
    const struct redrive *running = tree_find(&r->running, queue) != NULL ? newest(h) : NULL;
    const struct redrive *meant = id.len == 0 ? running : find(h, id);
    if (meant == NULL)
        return error_field(e, ERR_NOT_FOUND, "id",
                           id.len == 0 ? "no redrive of this queue is running"
                                       : "this queue has no redrive of that id");
    if (meant != running)
        return error_field(e, ERR_CONFLICT, "id", "redrive %s is over already", meant->id);
    finish(r, h, CANCELLED, now_ms);
    mark(r, h);
    return ERR_OK;
}

static void finish_if_over(struct redrives *r, const struct history *h, const struct redrive *d, uint64_t now_ms)
{
    if (d->state == RUNNING && has_seen_all(d) && d->on_the_way == 0)
        finish(r, h, COMPLETED, now_ms);
}

void redrive_settled(struct redrives *r, uint64_t queue, uint64_t redrive, bool refused, uint64_t now_ms)
{
    struct history *h = tree_find(&r->by_queue, queue);
    struct redrive *d = by_number(h, redrive);
    if (d == NULL)
        return;
    if (d->on_the_way > 0) /* a build that did not count it may have put the item */
        d->on_the_way--;
    if (refused && d->moved > 0) {
        d->moved--;
        d->skipped++;
    }
    finish_if_over(r, h, d, now_ms);
    mark(r, h);
}

void redrive_put_off(struct redrives *r, uint64_t queue, uint64_t redrive, uint64_t until_ms)
{
    struct history *h = tree_find(&r->by_queue, queue);
    struct redrive *d = by_number(h, redrive);
    if (d == NULL || d->next_us >= until_ms * 1000)
        return;
    d->next_us = until_ms * 1000;
    mark(r, h);
}

void redrive_clear(struct redrives *r, struct keys *ks, uint64_t queue)
{
    tree_remove(&r->running, queue);
    tree_remove(&r->changed, queue);
    struct history *h = tree_remove(&r->by_queue, queue);
    if (h == NULL)
        return;
    destroy_history(h);
    struct key k = key_of1(ks->shard, KEY_REDRIVE, queue);
    keys_delete(ks, &k);
}

size_t redrive_list(const struct redrives *r, uint64_t queue, struct redrive_view *out, size_t max)
{
    const struct history *h = tree_find(&r->by_queue, queue);
    size_t count = 0;
    for (; h != NULL && count < h->count && count < max; count++) {
        const struct redrive *d = h->redrives[h->count - 1 - count];
        out[count] = (struct redrive_view){.id = d->id,
                                           .destination = d->destination,
                                           .reason = d->reason,
                                           .rate = d->rate,
                                           .state = (int)d->state,
                                           .moved = d->moved,
                                           .skipped = d->skipped,
                                           .total = d->total,
                                           .started_ms = d->started_ms,
                                           .ended_ms = d->ended_ms};
    }
    return count;
}

/* ---------------------------------------------------------------- steps */

/* One step of one redrive. */
struct step {
    struct keys *keys;
    const struct redrive_ops *ops;
    struct redrive *redrive;
    uint64_t queue;
    uint64_t may;   /* messages that may still be moved */
    uint32_t steps; /* chunks and messages that may still be looked at */
    uint64_t moved;
};

static bool contains(struct bytes text, const char *what)
{
    size_t len = strlen(what);
    return len == 0 || (text.len >= len && memmem(text.data, text.len, what, len) != NULL);
}

/* Where the message is to go; empty when it stays. */
static int destination_of(const struct step *s, uint64_t sequence, struct bytes *out, struct error *e)
{
    struct lasterror l = {0};
    *out = bytes_text(s->redrive->destination);
    if (out->len > 0 && s->redrive->reason[0] == '\0')
        return ERR_OK;
    int code = lasterror_get(s->keys, s->queue, sequence, &l, e);
    if (code != ERR_OK && code != ERR_NOT_FOUND)
        return code;
    if (!contains(l.text, s->redrive->reason))
        *out = bytes_of(NULL, 0);
    else if (out->len == 0 &&
             !bytes_equal(l.reason, bytes_text("redrive"))) /* what a redrive brought is no dead letter */
        *out = l.source;
    return ERR_OK;
}

static void leave_message(struct step *s, uint64_t sequence)
{
    s->redrive->cursor = sequence + 1;
    s->redrive->skipped++;
}

static int take_message(struct step *s, uint64_t sequence, struct error *e)
{
    char name[IDENTITY_NAME_MAX];
    struct bytes to = {0};
    int code = destination_of(s, sequence, &to, e);
    if (code != ERR_OK)
        return code;
    if (to.len == 0 || to.len > sizeof name) {
        leave_message(s, sequence);
        return ERR_OK;
    }
    s->redrive->cursor = sequence + 1;
    memcpy(name, to.data, to.len); /* it is in a buffer that the move may use */
    s->redrive->moved++;
    s->redrive->on_the_way++;
    s->moved++;
    s->may--;
    return s->ops->move(s->ops->ctx, s->queue, sequence, bytes_of(name, to.len), number_of(s->redrive), e);
}

static bool goes_on(const struct step *s)
{
    return s->may > 0 && s->steps > 0;
}

static int take_chunk(struct step *s, uint64_t chunk, uint64_t live, uint64_t free_bits, struct error *e)
{
    uint64_t bits = live;
    for (; bits != 0 && goes_on(s); bits &= bits - 1) {
        unsigned slot = (unsigned)__builtin_ctzll(bits);
        uint64_t sequence = chunk * SLOTS + slot;
        if (sequence < s->redrive->cursor)
            continue;
        s->steps--;
        if ((free_bits >> slot & 1) == 0) {
            leave_message(s, sequence);
            if (s->ops->stay(s->ops->ctx))
                free_bits = 0;
            continue;
        }
        int code = take_message(s, sequence, e);
        if (code != ERR_OK)
            return code;
    }
    if (bits == 0)
        s->redrive->cursor = (chunk + 1) * SLOTS;
    return ERR_OK;
}

/* Goes on until the step's share is used up or nothing is left, which `*over` says. */
static int take_chunks(struct step *s, bool *over, struct error *e)
{
    *over = false;
    while (goes_on(s)) {
        uint64_t chunk = 0;
        uint64_t live = 0;
        uint64_t free_bits = 0;
        bool found = false;
        s->steps--;
        int code = s->ops->next(s->ops->ctx, &found, &chunk, &live, &free_bits, e);
        if (code == ERR_OK && found)
            code = take_chunk(s, chunk, live, free_bits, e);
        if (code != ERR_OK)
            return code;
        if (!found) {
            *over = true;
            return ERR_OK;
        }
    }
    return ERR_OK;
}

static int run_step(struct step *s, bool *over, struct error *e)
{
    s->ops->open(s->ops->ctx, s->queue, number_of(s->redrive), s->redrive->cursor / SLOTS, s->redrive->end);
    int code = take_chunks(s, over, e);
    int closed = s->ops->close(s->ops->ctx, code == ERR_OK ? e : NULL);
    return code != ERR_OK ? code : closed;
}

/* From when the rate's account is counted: what a pause saved up is worth a second at most. */
static uint64_t account_from(const struct redrive *d, uint64_t now_us)
{
    return now_us > SECOND_US && d->next_us < now_us - SECOND_US ? now_us - SECOND_US : d->next_us;
}

static uint64_t allowed(const struct redrive *d, uint64_t now_us, const struct outbox *o)
{
    uint64_t pending = outbox_pending(o);
    uint64_t most = pending >= REDRIVE_OUTSTANDING ? 0 : REDRIVE_OUTSTANDING - pending;
    if (d->rate == 0.0)
        return most;
    double by_rate = (double)(now_us - account_from(d, now_us)) * d->rate / (double)SECOND_US;
    return by_rate + 1.0 < (double)most ? (uint64_t)by_rate + 1 : most;
}

static int step_one(struct redrives *r, struct keys *ks, struct history *h, uint64_t now_ms, uint64_t may,
                    uint32_t steps, const struct redrive_ops *ops, struct error *e)
{
    struct redrive *d = newest(h);
    struct step s = {.keys = ks, .ops = ops, .redrive = d, .queue = h->queue, .may = may, .steps = steps};
    bool over = false;
    int code = run_step(&s, &over, e);
    if (code != ERR_OK)
        return code;
    if (d->rate > 0.0 && s.moved > 0)
        d->next_us = account_from(d, now_ms * 1000) + (uint64_t)((double)s.moved * (double)SECOND_US / d->rate);
    if (over)
        d->cursor = d->end * SLOTS;
    finish_if_over(r, h, d, now_ms);
    mark(r, h);
    return ERR_OK;
}

static bool is_due(const struct history *h, uint64_t now_ms)
{
    return newest(h)->next_us <= now_ms * 1000 && !has_seen_all(newest(h)) && !waits(h);
}

/* Those whose turn it is: of the due ones, in a circle, the first that are not before a place that changes with `turn`. */
static size_t choose(const struct redrives *r, uint64_t now_ms, uint64_t turn,
                     struct history *out[REDRIVE_SIDE_BY_SIDE])
{
    size_t due = 0;
    uint64_t queue = 0;
    for (const struct history *h = tree_first(&r->running, &queue); h != NULL;
         h = tree_after(&r->running, queue, &queue))
        due += is_due(h, now_ms);
    if (due == 0)
        return 0;
    size_t first = (size_t)(bytes_hash(bytes_of(&turn, sizeof turn), 0) % due);
    size_t at = 0;
    for (struct history *h = tree_first(&r->running, &queue); h != NULL; h = tree_after(&r->running, queue, &queue)) {
        if (!is_due(h, now_ms))
            continue;
        size_t place = (at++ + due - first) % due;
        if (place < REDRIVE_SIDE_BY_SIDE)
            out[place] = h;
    }
    return due < REDRIVE_SIDE_BY_SIDE ? due : REDRIVE_SIDE_BY_SIDE;
}

int redrive_step(struct redrives *r, struct keys *ks, struct outbox *o, uint64_t now_ms, uint64_t turn,
                 const struct redrive_ops *ops, struct error *e)
{
    struct history *chosen[REDRIVE_SIDE_BY_SIDE];
    size_t count = choose(r, now_ms, turn, chosen);
    int code = ERR_OK;
    for (size_t i = 0; i < count && code == ERR_OK; i++) {
        uint64_t may = allowed(newest(chosen[i]), now_ms * 1000, o);
        if (may > 0)
            code = step_one(r, ks, chosen[i], now_ms, may, (uint32_t)(REDRIVE_STEPS / count), ops, e);
    }
    return code;
}

uint64_t redrive_next_due_ms(const struct redrives *r, const struct outbox *o)
{
    uint64_t due = UINT64_MAX;
    uint64_t queue = 0;
    if (outbox_pending(o) >= REDRIVE_OUTSTANDING)
        return due;
    for (const struct history *h = tree_first(&r->running, &queue); h != NULL;
         h = tree_after(&r->running, queue, &queue)) {
        uint64_t at = (newest(h)->next_us + 999) / 1000;
        if (at < due && !has_seen_all(newest(h)) && !waits(h))
            due = at;
    }
    return due;
}
