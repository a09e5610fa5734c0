/* Taking a snapshot: this replica lacks entries that its leader's log does not have any more (offer.c is the other end).
 *
 *   offered -> bodies -> state -> flushing -> staged -> installing -> done
 *                part by part, asked for again when one does not come; a newer offer begins the state anew, never the bodies;
 *                no faster than the node's pace, so that those who serve meanwhile have disk and network
 *
 * Bodies go where spilled ones are: they are the same on every replica. The state is staged under keys of its own, and raft is told of
 * the snapshot only when all of it is on disk. Then the log begins anew behind the snapshot, and once that is on disk the staged keys
 * take the place of the shard's. A crash in between finds the log's mark and the staged state of the same entry, and goes on from
 * there; staged keys of any other entry are nothing. The record of the applied index is moved last, so that a state which has
 * it is whole. */
#include "base/assert.h"
#include "base/memory.h"
#include "consensus/envelope.h"
#include "shard/internal.h"
#include "state/keys.h"
#include "store/store.h"

enum { STAGED_BIT = 0x80, JOIN_WAIT_TICKS = 10, MOVE_BYTES = 1024 * 1024 };

enum join_phase { JOIN_FETCHES, JOIN_FLUSHES, JOIN_STAGED, JOIN_INSTALLS };

struct join {
    enum join_phase phase;
    enum snapshot_phase part; /* what is asked for */
    uint64_t node;            /* who offers */
    uint64_t id, index;
    struct blob *frame; /* raft's message */
    struct key after;   /* of the state */
    uint32_t wait_ticks;
    uint32_t paced_ticks;  /* for which the next part was not asked for, because of the pace */
    uint64_t bodies_bytes; /* taken */
    bool working;
};

/* Something blocking on the way. */
struct join_work {
    struct work work;
    struct shard *shard;
    struct store *store;
    uint16_t number;
    enum snapshot_phase part;
    bool first, last;
    struct blob *frame;
    struct bytes records;
    struct key position;
    int code;
    struct error error;
};

/* ---------------------------------------------------------------- the store's side: any thread */

struct key shard_key(uint16_t number, bool staged)
{
    struct key k = {.len = 2};
    k.data[0] = (uint8_t)((number >> 8) | (staged ? STAGED_BIT : 0));
    k.data[1] = (uint8_t)number;
    return k;
}

int shard_drop_state(struct store *store, uint16_t number, bool staged, struct error *e)
{
    struct key from = shard_key(number, staged);
    struct key to = key_after(&from);
    struct store_batch *b = store_batch_create();
    store_delete_range(b, STORE_STATE, key_view(&from), key_view(&to));
    int rc = store_write(store, b, e);
    store_batch_destroy(b);
    return rc;
}

/* One record of a part, checked: of this shard, and after `last`. */
static bool take_record(struct cursor *c, uint16_t number, enum snapshot_phase part, struct key *last,
                        struct bytes *value)
{
    size_t key_len = cursor_u16(c);
    size_t value_len = cursor_u32(c);
    struct bytes key = cursor_take(c, key_len);
    *value = cursor_take(c, value_len);
    struct key own = shard_key(number, false);
    bool body = key.len > own.len && key.data[own.len] == KEY_BODY;
    if (c->failed || key.len <= own.len || key.len > KEY_MAX || memcmp(key.data, own.data, own.len) != 0 ||
        body != (part == SNAPSHOT_BODIES) || bytes_compare(key, key_view(last)) <= 0)
        return false;
    memcpy(last->data, key.data, key.len);
    last->len = (uint32_t)key.len;
    return true;
}

static int store_part(struct join_work *w)
{
    struct cursor c = cursor_open(w->records);
    struct store_batch *b = store_batch_create();
    struct key at = {0};
    int rc = w->first ? shard_drop_state(w->store, w->number, true, &w->error) : ERR_OK;
    while (rc == ERR_OK && cursor_left(&c) > 0) {
        struct bytes value;
        if (!take_record(&c, w->number, w->part, &at, &value)) {
            rc = error_set(&w->error, ERR_PROTOCOL, "a part of a snapshot has a malformed record");
            break;
        }
        struct key to = at;
        if (w->part == SNAPSHOT_STATE)
            to.data[0] |= STAGED_BIT;
        store_put(b, w->part == SNAPSHOT_STATE ? STORE_STATE : STORE_BODIES, key_view(&to), value);
    }
    if (rc == ERR_OK)
        rc = store_write(w->store, b, &w->error);
    store_batch_destroy(b);
    return rc;
}

/* Puts the staged keys in the place of the shard's. May be done again from any point of it. */
static int move_in(struct store *store, uint16_t number, struct error *e)
{
    struct key from = shard_key(number, true);
    struct key to = key_after(&from);
    struct key applied = key_of(number, KEY_APPLIED);
    struct buffer held = {0};
    struct store_batch *b = store_batch_create();
    int rc = shard_drop_state(store, number, false, e);
    struct store_iterator *i = store_iterate(store, STORE_STATE, key_view(&from), key_view(&to), NULL);
    for (; rc == ERR_OK && store_iterator_valid(i); store_iterator_next(i)) {
        struct key key = {.len = (uint32_t)store_iterator_key(i).len};
        ASSERT(key.len <= KEY_MAX);
        memcpy(key.data, store_iterator_key(i).data, key.len);
        key.data[0] &= (uint8_t)~STAGED_BIT;
        struct bytes value = store_iterator_value(i);
        if (bytes_equal(key_view(&key), key_view(&applied)))
            buffer_put(&held, value.data, value.len);
        else
            store_put(b, STORE_STATE, key_view(&key), value);
        if (store_batch_bytes(b) < MOVE_BYTES)
            continue;
        rc = store_write(store, b, e);
        store_batch_clear(b);
    }
    if (rc == ERR_OK)
        rc = store_iterator_error(i, e);
    store_iterator_close(i);
    if (rc == ERR_OK)
        rc = store_write(store, b, e);
    store_batch_clear(b);
    store_put(b, STORE_STATE, key_view(&applied), buffer_view(&held));
    if (rc == ERR_OK)
        rc = store_write(store, b, e);
    if (rc == ERR_OK)
        rc = store_flush(store, STORE_STATE, e);
    store_batch_destroy(b);
    buffer_close(&held);
    return rc;
}

/* The entry that a state in the store has applied; 0 where there is none. */
static int applied_of(struct store *store, uint16_t number, bool staged, uint64_t *applied, struct error *e)
{
    struct key key = key_of(number, KEY_APPLIED);
    struct key at = key;
    struct buffer value = {0};
    if (staged)
        at.data[0] |= STAGED_BIT;
    *applied = 0;
    int rc = store_get(store, STORE_STATE, key_view(&at), &value, e);
    if (rc == ERR_OK)
        rc = machine_applied_in(key_view(&key), buffer_view(&value), applied, e);
    buffer_close(&value);
    return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

int shard_join_resume(struct shard *s, struct error *e)
{
    struct store *store = s->options.store;
    uint16_t number = s->options.number;
    uint64_t mark = log_snapshot(s->log).index, staged, applied;
    int rc = applied_of(store, number, true, &staged, e);
    if (rc == ERR_OK)
        rc = applied_of(store, number, false, &applied, e);
    if (rc != ERR_OK || staged == 0)
        return rc;
    if (staged == mark && applied < mark)
        rc = move_in(store, number, e);
    return rc == ERR_OK ? shard_drop_state(store, number, true, e) : rc;
}

/* ---------------------------------------------------------------- asking */

static void want(struct shard *s)
{
    struct join *j = s->join;
    if (s->joined_bodies.len ==
        0) /* of what is alive, all up to there is in the store, by spilling or by a snapshot before */
        s->joined_bodies = key_of2(s->options.number, KEY_BODY, s->spilled, UINT32_MAX);
    struct peer_want w = {.id = j->id, .phase = j->part};
    w.after = j->part == SNAPSHOT_BODIES ? key_view(&s->joined_bodies) : key_view(&j->after);
    struct buffer frame = {0};
    peer_put_want(&frame, &w);
    s->env->send(s->env->ctx, s, j->node, s->options.number, buffer_view(&frame), NULL, 0);
    buffer_close(&frame);
    j->wait_ticks = JOIN_WAIT_TICKS;
    j->paced_ticks = 0;
}

static uint64_t monotonic_us(const struct shard *s)
{
    return clock_monotonic_ns(&s->env->clock) / 1000;
}

/* At the pace that all shards of the node share, but often enough for the leader to know that it is still wanted. */
static void want_at_pace(struct shard *s)
{
    struct join *j = s->join;
    const struct pace *p = s->options.catch_up;
    if (p == NULL || pace_may(p, monotonic_us(s)) || ++j->paced_ticks >= JOIN_WAIT_TICKS)
        want(s);
    else
        j->wait_ticks = 1;
}

void shard_join_close(struct shard *s)
{
    if (s->join == NULL)
        return;
    ASSERT(!s->join->working);
    blob_unref(s->join->frame);
    memory_free(s->join);
    s->join = NULL;
    s->installing = false;
}

int shard_join_offered(struct shard *s, uint64_t node, struct blob *frame, const struct raft_snapshot *offer,
                       struct error *e)
{
    struct raft_status status;
    raft_status(s->raft, &status);
    struct cursor id = cursor_open(bytes_of(offer->data, offer->len));
    uint64_t number = cursor_u64(&id);
    if (id.failed || cursor_left(&id) > 0)
        return error_set(e, ERR_PROTOCOL, "a snapshot with another description than an offer's");
    if (offer->index <= status.commit)
        return shard_link_step(s, node, frame, e); /* raft says how far this replica is */
    struct join *j = s->join;
    if (j != NULL && (j->working || j->phase != JOIN_FETCHES))
        return ERR_OK; /* it is offered again */
    if (j == NULL) {
        j = memory_zero(1, sizeof *j);
        s->join = j;
    }
    if (j->id != number) {
        j->part = SNAPSHOT_BODIES;
        j->after.len = 0;
    }
    blob_unref(j->frame);
    j->frame = blob_ref(frame);
    j->node = node;
    j->id = number;
    j->index = offer->index;
    TRACE(s->options.trace, TRACE_INFO, "taking a snapshot", trace_u64("shard", s->options.number),
          trace_u64("node", node), trace_u64("entry", offer->index));
    want(s);
    return ERR_OK;
}

/* ---------------------------------------------------------------- storing */

static struct join_work *work_for(struct shard *s, void (*run)(struct work *w), void (*done)(struct work *w))
{
    struct join_work *w = memory_zero(1, sizeof *w);
    w->work.run = run;
    w->work.done = done;
    w->shard = s;
    w->store = s->options.store;
    w->number = s->options.number;
    s->join->working = true;
    return w;
}

/* What every piece of work ends with. False: there is nothing to go on with. */
static bool worked(struct join_work *w)
{
    struct shard *s = w->shard;
    s->join->working = false;
    shard_work_done(s);
    if (s->stopped || s->closing)
        return false;
    if (w->code == ERR_OK)
        return true;
    TRACE(s->options.trace, TRACE_WARN, "a snapshot was not taken", trace_u64("shard", s->options.number),
          trace_text("error", w->error.message));
    if (w->code == ERR_CORRUPT)
        shard_stop(s, &w->error);
    return false;
}

/* Raft takes the snapshot, or has heard of a newer leader: then that one offers again. */
static void try_to_install(struct shard *s)
{
    struct error e = {0};
    struct blob *frame = blob_ref(s->join->frame);
    int rc = shard_link_step(s, s->join->node, frame, &e);
    blob_unref(frame);
    if (rc == ERR_OK)
        shard_drain(s);
    if (s->join != NULL && s->join->phase == JOIN_STAGED && !s->stopped)
        shard_join_close(s);
}

static void flush_run(struct work *work)
{
    struct join_work *w = CONTAINER_OF(work, struct join_work, work);
    w->code = store_flush(w->store, STORE_BODIES, &w->error);
    if (w->code == ERR_OK)
        w->code = store_flush(w->store, STORE_STATE, &w->error);
}

static void flush_done(struct work *work)
{
    struct join_work *w = CONTAINER_OF(work, struct join_work, work);
    struct shard *s = w->shard;
    if (worked(w))
        s->join->phase = JOIN_STAGED; /* goes on with the next tick, when nothing is being spilled */
    else if (!s->closing && !s->stopped)
        shard_join_close(s);
    memory_free(w);
}

static void store_run(struct work *work)
{
    struct join_work *w = CONTAINER_OF(work, struct join_work, work);
    w->code = store_part(w);
}

static void go_on(struct shard *s, const struct join_work *w)
{
    struct join *j = s->join;
    *(w->part == SNAPSHOT_BODIES ? &s->joined_bodies : &j->after) = w->position;
    if (!w->last) {
        want_at_pace(s);
    } else if (w->part == SNAPSHOT_BODIES) {
        j->part = SNAPSHOT_STATE;
        want_at_pace(s);
    } else {
        j->phase = JOIN_FLUSHES;
        shard_work(s, &work_for(s, flush_run, flush_done)->work);
    }
}

static void store_done(struct work *work)
{
    struct join_work *w = CONTAINER_OF(work, struct join_work, work);
    struct shard *s = w->shard;
    if (worked(w))
        go_on(s, w);
    blob_unref(w->frame);
    memory_free(w);
}

int shard_join_part(struct shard *s, uint64_t node, const struct peer_part *part, struct bytes records,
                    struct blob *frame, struct error *e)
{
    struct join *j = s->join;
    if (j == NULL || j->node != node || j->id != part->id || j->phase != JOIN_FETCHES || j->working)
        return ERR_OK;
    if (part->phase == SNAPSHOT_GONE) {
        shard_join_close(s); /* what there is of bodies is kept for the next offer */
        return ERR_OK;
    }
    struct bytes after = j->part == SNAPSHOT_BODIES ? key_view(&s->joined_bodies) : key_view(&j->after);
    if (part->phase != j->part || !bytes_equal(part->after, after))
        return ERR_OK; /* it came twice */
    if (part->position.len > KEY_MAX || bytes_hash(records, part->id) != part->hash ||
        (!part->last && bytes_compare(part->position, after) <= 0))
        return error_set(e, ERR_PROTOCOL, "a part of a snapshot is not what its sender made");
    struct join_work *w = work_for(s, store_run, store_done);
    w->part = part->phase;
    w->first = part->phase == SNAPSHOT_STATE && after.len == 0;
    w->last = part->last;
    w->frame = blob_ref(frame);
    w->records = records;
    if (w->part == SNAPSHOT_BODIES)
        j->bodies_bytes += records.len;
    if (s->options.catch_up != NULL)
        pace_take(s->options.catch_up, records.len, monotonic_us(s));
    memcpy(w->position.data, part->position.data, part->position.len);
    w->position.len = (uint32_t)part->position.len;
    shard_work(s, &w->work);
    return ERR_OK;
}

void shard_join_tick(struct shard *s)
{
    struct join *j = s->join;
    if (j == NULL || j->working)
        return;
    if (j->phase == JOIN_STAGED && !s->spilling)
        try_to_install(s);
    else if (j->phase == JOIN_FETCHES && --j->wait_ticks == 0)
        want_at_pace(s);
}

bool shard_join_holds_spill(const struct shard *s)
{
    return s->join != NULL && s->join->phase != JOIN_FETCHES;
}

/* ---------------------------------------------------------------- installing */

void shard_join_install(struct shard *s, uint64_t index)
{
    ASSERT(s->join != NULL && s->join->phase == JOIN_STAGED && s->join->index == index);
    s->join->phase = JOIN_INSTALLS;
    s->installing = true;
    /* Nothing of the former state may reach the store while the new one moves in. If it can't be written now, that waits until the
     * shard is opened again. */
    struct error e = {0};
    int rc = machine_write(s->machine, &e);
    if (rc == ERR_STORAGE_FULL)
        shard_rest(s, &e);
    else if (rc != ERR_OK)
        shard_stop(s, &e);
}

static void install_run(struct work *work)
{
    struct join_work *w = CONTAINER_OF(work, struct join_work, work);
    w->code = move_in(w->store, w->number, &w->error);
}

/* The new machine is there before the former one goes: whoever looks at the shard finds one at any time. */
static int open_installed(struct shard *s, struct error *e)
{
    struct machine *former = s->machine;
    int rc = shard_machine_open(s, e);
    if (rc != ERR_OK)
        return rc;
    shard_replaced(s, former);
    machine_close(former);
    s->durable = machine_applied(s->machine);
    s->spilled = s->durable;
    return ERR_OK;
}

static void install_done(struct work *work)
{
    struct join_work *w = CONTAINER_OF(work, struct join_work, work);
    struct shard *s = w->shard;
    struct error e = w->error;
    int code = w->code;
    bool fine = worked(w);
    memory_free(w);
    if (s->closing || s->stopped)
        return;
    if (fine)
        code = open_installed(s, &e);
    uint64_t bodies_bytes = s->join->bodies_bytes;
    shard_join_close(s);
    s->joined_bodies.len = 0;
    if (code == ERR_STORAGE_FULL) {
        shard_rest(s, &e);
    } else if (code != ERR_OK) {
        shard_stop(s, &e);
    } else {
        TRACE(s->options.trace, TRACE_INFO, "snapshot installed", trace_u64("shard", s->options.number),
              trace_u64("entry", s->durable), trace_u64("bodies_bytes", bodies_bytes));
        shard_installed(s);
    }
}

void shard_join_log_reset(struct shard *s)
{
    shard_work(s, &work_for(s, install_run, install_done)->work);
}
