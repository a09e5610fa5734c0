/* What replies hold that their peers have not read, all connections together: peeks, lists, receives and streams ask for far more than
 * they say, and thousands of connections may do so and never read.
 *
 *   up to half of NATIVE_UNSENT_BYTES_MAX    all are answered
 *   up to it                                 those who have read what they were sent, with replies of NATIVE_UNSENT_REPLY_MAX
 *   beyond                                   nobody, but with what other nodes send in pieces of NATIVE_UNSENT_REPLY_MAX where what was
 *                                            sent is read: sends and acks that they answer must not wait behind it. Behind a larger
 *                                            reply, asked for before, they do
 *
 * Requests that change settings have large replies, too, and once begun can't be refused: what they may take is promised. While that and
 * what is not read come to more than NATIVE_UNSENT_BYTES_MAX, connections are not read that have more than STREAM_KEPT_FREE to
 * read, or a promise; whatever they would ask.
 *
 * Who has more than STREAM_KEPT_FREE to read, and reads none of it for NATIVE_UNSENT_DEAF_MS of the last, is closed: what others wait for
 * does not hang on it for ever.
 *
 * Who is not answered is refused with ERR_OVERLOADED; streams pause. A stream's bytes are counted by net/stream.c, a reply's by its
 * op until it is put there. Receives are not asked for how much they will bring: what is fetched for them at the time may come on
 * top, which the shard limits. */
#include "base/assert.h"
#include "protocol/native_session.h"

static uint64_t bytes_of_all(const struct native *n)
{
    return atomic_load_explicit(&n->unsent.bytes, memory_order_relaxed);
}

static bool is_much(const struct native *n)
{
    return bytes_of_all(n) > n->unsent.bytes_max / 2;
}

bool unsent_may_ask(const struct session *s)
{
    const struct native *n = s->ns->native;
    uint64_t all = bytes_of_all(n) + atomic_load_explicit(&n->promised, memory_order_relaxed);
    return all < n->unsent.bytes_max ||
           (s->promised == 0 && atomic_load_explicit(&s->stream.unsent_counted, memory_order_relaxed) == 0);
}

bool unsent_may(const struct session *s)
{
    const struct native *n = s->ns->native;
    if (!is_much(n))
        return true;
    return bytes_of_all(n) < n->unsent.bytes_max &&
           atomic_load_explicit(&s->stream.unsent_counted, memory_order_relaxed) == 0;
}

bool unsent_may_pass(const struct session *s, size_t bytes)
{
    bool small =
        bytes <= NATIVE_UNSENT_REPLY_MAX && atomic_load_explicit(&s->stream.unsent_counted, memory_order_relaxed) == 0;
    return small || unsent_may(s);
}

size_t unsent_reply_max(const struct native *n, size_t max)
{
    return is_much(n) && max > NATIVE_UNSENT_REPLY_MAX ? NATIVE_UNSENT_REPLY_MAX : max;
}

void unsent_refuse(struct error *e)
{
    error_set(e, ERR_OVERLOADED,
              "the broker holds more than %d MiB of replies that clients have not read: read what this connection was "
              "sent, then ask again, for less at once",
              NATIVE_UNSENT_BYTES_MAX / 2 / (1024 * 1024));
}

int unsent_check(const struct session *s, uint32_t number, struct error *e)
{
    bool much = number == HATO__REQUEST__OP_RECEIVE || number == HATO__REQUEST__OP_PEEK ||
                number == HATO__REQUEST__OP_QUEUE_LIST || number == HATO__REQUEST__OP_FUNCTION_LIST ||
                number == HATO__REQUEST__OP_FUNCTION_ACTIVITY || number == HATO__REQUEST__OP_QUEUE_SHOW ||
                number == HATO__REQUEST__OP_FUNCTION_SHOW;
    if (!much || unsent_may(s))
        return ERR_OK;
    unsent_refuse(e);
    return ERR_OVERLOADED;
}

/* ---------------------------------------------------------------- on the way to the stream */

void unsent_promise(struct op *op, size_t bytes)
{
    if (bytes == 0)
        return;
    struct session *s = op->session;
    op_weigh(op, bytes);
    op->promised = bytes;
    s->promised += bytes;
    atomic_fetch_add_explicit(&s->ns->native->promised, bytes, memory_order_relaxed);
}

void unsent_keep(struct op *op)
{
    if (op->promised == 0)
        return;
    op->session->promised -= op->promised;
    atomic_fetch_sub_explicit(&op->session->ns->native->promised, op->promised, memory_order_relaxed);
    op->promised = 0;
}

/* A small one is on its way for a moment only, and not worth a line of memory that all loops share. */
void unsent_hold(struct op *op, size_t bytes)
{
    struct stream_budget *b = &op->session->ns->native->unsent;
    bytes = bytes > STREAM_KEPT_FREE ? bytes : 0;
    if (bytes != op->unsent)
        atomic_fetch_add_explicit(&b->bytes, (uint64_t)bytes - op->unsent, memory_order_relaxed);
    op->unsent = bytes;
}

bool unsent_take(struct op *op, size_t bytes)
{
    const struct native *n = op->session->ns->native;
    unsent_hold(op, bytes);
    if (op->unsent == 0 || bytes_of_all(n) <= n->unsent.bytes_max)
        return true;
    unsent_hold(op, 0);
    unsent_refuse(&op->error);
    return false;
}

/* ---------------------------------------------------------------- waiting */

static void on_again(struct alarm *a)
{
    struct native_seat *here = CONTAINER_OF(a, struct native_seat, unsent_again);
    /* Those that say they wait on come in behind these. */
    for (size_t left = list_count(&here->unsent_waits); left > 0 && !list_empty(&here->unsent_waits); left--) {
        struct unsent_wait *w = CONTAINER_OF(list_first(&here->unsent_waits), struct unsent_wait, link);
        list_remove(&here->unsent_waits, &w->link);
        w->again(w, unsent_may(w->session));
    }
    if (!list_empty(&here->unsent_waits))
        alarm_set(&here->alarms, a, NATIVE_UNSENT_AGAIN_MS, on_again);
}

void unsent_wait(struct native_seat *here, struct unsent_wait *w)
{
    if (list_linked(&w->link))
        return;
    if (list_empty(&here->unsent_waits))
        alarm_set(&here->alarms, &here->unsent_again, NATIVE_UNSENT_AGAIN_MS, on_again);
    list_append(&here->unsent_waits, &w->link);
}

void unsent_forget(struct native_seat *here, struct unsent_wait *w)
{
    if (!list_linked(&w->link))
        return;
    list_remove(&here->unsent_waits, &w->link);
    if (list_empty(&here->unsent_waits))
        alarm_clear(&here->alarms, &here->unsent_again);
}

/* ---------------------------------------------------------------- who reads nothing */

static void look_at(struct session *s, uint64_t now, bool first)
{
    uint64_t taken = stream_taken(&s->stream);
    bool owes = atomic_load_explicit(&s->stream.unsent_counted, memory_order_relaxed) > 0;
    if (first || !owes || taken != s->taken) {
        s->taken = taken;
        s->taken_ms = now;
    } else if (now - s->taken_ms >= NATIVE_UNSENT_DEAF_MS) {
        stream_close(&s->stream);
    }
}

static void on_look(struct alarm *a)
{
    struct native_seat *here = CONTAINER_OF(a, struct native_seat, unsent_look);
    bool first = !here->unsent_full;
    here->unsent_full = bytes_of_all(here->native) >= here->native->unsent.bytes_max;
    if (here->unsent_full)
        for (struct list_link *l = list_first(&here->sessions); l != NULL; l = list_next(&here->sessions, l))
            look_at(CONTAINER_OF(l, struct session, link), uv_now(&here->seat->loop.uv), first);
    unsent_watch(here);
}

void unsent_watch(struct native_seat *here)
{
    alarm_set(&here->alarms, &here->unsent_look, NATIVE_UNSENT_LOOK_MS, on_look);
}
