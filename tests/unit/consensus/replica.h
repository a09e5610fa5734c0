/* A replica with an in-memory log, a disk that lags behind it, and a state machine that hashes what it applies. It
 * follows the order of calls that consensus/raft.h prescribes. For the tests of this folder. */
#ifndef TEST_CONSENSUS_REPLICA_H
#define TEST_CONSENSUS_REPLICA_H

#include <check.h>

#include "consensus/envelope.h"
#include "consensus/raft.h"
#include "image.h"

struct machine {
    uint64_t applied;
    uint64_t hash;
    struct membership membership;
};

struct write {
    uint64_t number;
    struct raft_hard_state hard;
    struct raft_entry *entries;
    size_t count;
    bool has_hard;
    bool has_snapshot;
    uint64_t snapshot_term;
    struct machine snapshot;
};

struct letter { /* a message on its way, as bytes */
    uint64_t from;
    uint64_t to;
    uint32_t kind;
    uint64_t number; /* of the ready that must be on disk first */
    struct blob *bytes;
};

struct replica;

struct replica_events {
    void (*send)(void *context, const struct letter *l); /* takes the bytes */
    void (*apply)(void *context, struct replica *r, const struct raft_entry *e);
    void (*read)(void *context, struct replica *r, const struct raft_read *read);
    void (*drained)(void *context, struct replica *r);
};

struct replica {
    uint64_t id;
    struct raft *raft; /* NULL while crashed */
    struct raft_options options;
    struct image live;
    struct image disk;
    struct machine machine;
    struct machine saved; /* on disk */
    struct write *writes;
    size_t write_count;
    struct letter *held;
    size_t held_count;
    struct random random;
    uint8_t description[16];
    bool snapshot_later; /* answers of the storage */
    bool entries_later;
    bool entries_bad;
    uint64_t given; /* highest number given out */
    bool hostile;   /* peers may say anything: what they say need not make sense here */
    const struct replica_events *events;
    void *context;
};

/* ---------------------------------------------------------------- storage */

static inline enum raft_storage_result replica_entries(void *context, uint64_t low, uint64_t high, uint64_t max_bytes,
                                                       struct raft_entries *to)
{
    struct replica *r = context;
    if (r->entries_bad)
        return RAFT_STORAGE_FAILED;
    if (low < r->live.first)
        return RAFT_STORAGE_COMPACTED;
    if (r->entries_later)
        return RAFT_STORAGE_LATER;
    uint64_t bytes = 0;
    for (uint64_t i = low; i < high; i++) {
        const struct raft_entry *e = image_entry(&r->live, i);
        bytes += e->len;
        if (i > low && bytes > max_bytes)
            break;
        raft_entries_add(to, e);
    }
    return RAFT_STORAGE_OK;
}

static inline uint64_t replica_term(void *context, uint64_t index)
{
    return image_term(&((struct replica *)context)->live, index);
}

static inline uint64_t replica_first(void *context)
{
    return ((struct replica *)context)->live.first;
}

static inline uint64_t replica_last(void *context)
{
    return image_last(&((struct replica *)context)->live);
}

static inline enum raft_storage_result replica_snapshot(void *context, uint64_t to, struct raft_snapshot *s)
{
    struct replica *r = context;
    (void)to;
    if (r->snapshot_later)
        return RAFT_STORAGE_LATER;
    memcpy(r->description, &r->machine.hash, sizeof r->machine.hash);
    *s = (struct raft_snapshot){.index = r->machine.applied,
                                .term = image_term(&r->live, r->machine.applied),
                                .data = r->description,
                                .len = sizeof r->description,
                                .membership = r->machine.membership};
    return RAFT_STORAGE_OK;
}

static const struct raft_storage replica_storage = {
    .entries = replica_entries,
    .term = replica_term,
    .first_index = replica_first,
    .last_index = replica_last,
    .snapshot = replica_snapshot,
};

/* ---------------------------------------------------------------- life */

/* With a membership: one of the group's first day; without: one that joins. */
static inline void replica_open(struct replica *r, uint64_t id, const struct membership *m, uint64_t seed)
{
    *r = (struct replica){.id = id};
    random_open(&r->random, seed);
    raft_options_default(&r->options);
    r->options.node = id;
    r->options.random = &r->random;
    r->options.storage = &replica_storage;
    r->options.storage_context = r;
    r->disk.first = 1;
    if (m != NULL) {
        image_reset(&r->disk, RAFT_BIRTH_INDEX, RAFT_BIRTH_TERM);
        r->disk.hard = (struct raft_hard_state){RAFT_BIRTH_TERM, 0, RAFT_BIRTH_INDEX};
        r->saved.applied = RAFT_BIRTH_INDEX;
        r->saved.membership = *m;
    }
}

/* Begins with what is on disk. */
static inline int replica_start(struct replica *r, struct error *e)
{
    image_copy(&r->live, &r->disk);
    r->machine = r->saved;
    r->given = 0;
    r->options.hard = r->disk.hard;
    r->options.applied = r->saved.applied;
    r->options.membership = r->saved.membership;
    return raft_create(&r->options, &r->raft, e);
}

static inline void write_free(struct write *w)
{
    for (size_t i = 0; i < w->count; i++)
        blob_unref(w->entries[i].owner);
    memory_free(w->entries);
}

/* What a write does to the disk. */
static inline void write_store(struct replica *r, const struct write *w)
{
    if (w->has_snapshot) {
        image_reset(&r->disk, w->snapshot.applied, w->snapshot_term);
        r->saved = w->snapshot;
    }
    if (w->has_hard)
        r->disk.hard = w->hard;
    image_append(&r->disk, w->entries, w->count);
}

/* Stops; of the writes under way the first `survivors` reach the disk. */
static inline void replica_crash(struct replica *r, size_t survivors)
{
    for (size_t i = 0; i < r->write_count; i++) {
        if (i < survivors)
            write_store(r, &r->writes[i]);
        write_free(&r->writes[i]);
    }
    r->write_count = 0;
    for (size_t i = 0; i < r->held_count; i++)
        blob_unref(r->held[i].bytes);
    r->held_count = 0;
    raft_destroy(r->raft);
    r->raft = NULL;
}

static inline void replica_close(struct replica *r)
{
    replica_crash(r, 0);
    image_close(&r->live);
    image_close(&r->disk);
    memory_free(r->writes);
    memory_free(r->held);
}

/* ---------------------------------------------------------------- a ready */

static inline struct letter letter_of(const struct raft_message *m, uint64_t number)
{
    struct buffer b = {0};
    envelope_encode(m, &b);
    size_t body = envelope_body_len(m), head = b.len;
    for (size_t i = 0; i < m->entry_count; i++)
        if (m->entries[i].len > 0)
            buffer_put(&b, m->entries[i].data, m->entries[i].len);
    ck_assert_uint_eq(b.len, head + body);
    return (struct letter){m->from, m->to, m->kind, number, blob_adopt(&b)};
}

static inline void replica_send(struct replica *r, const struct letter *l)
{
    if (r->events != NULL && r->events->send != NULL)
        r->events->send(r->context, l);
    else
        blob_unref(l->bytes);
}

static inline struct machine machine_of(const struct raft_snapshot *s)
{
    struct machine m = {.applied = s->index, .membership = s->membership};
    if (s->len >= sizeof m.hash)
        memcpy(&m.hash, s->data, sizeof m.hash);
    return m;
}

static inline void replica_write(struct replica *r, const struct raft_ready *ready)
{
    struct write w = {.number = ready->number, .has_hard = ready->has_hard, .hard = ready->hard};
    if (ready->snapshot != NULL) {
        w.has_snapshot = true;
        w.snapshot = machine_of(ready->snapshot);
        w.snapshot_term = ready->snapshot->term;
        image_reset(&r->live, w.snapshot.applied, w.snapshot_term);
        r->machine = w.snapshot;
    }
    w.count = ready->entry_count;
    w.entries = memory_zero(w.count + 1, sizeof *w.entries);
    for (size_t i = 0; i < w.count; i++) {
        w.entries[i] = ready->entries[i];
        if (w.entries[i].owner != NULL)
            blob_ref(w.entries[i].owner);
    }
    image_append(&r->live, w.entries, w.count);
    if (w.has_hard)
        r->live.hard = w.hard;
    r->writes = memory_grow(r->writes, r->write_count + 1, sizeof *r->writes);
    r->writes[r->write_count++] = w;
}

static inline void replica_apply(struct replica *r, const struct raft_entry *e)
{
    ck_assert_uint_eq(e->index, r->machine.applied + 1);
    ck_assert_uint_le(e->index, image_last(&r->disk));
    ck_assert_uint_eq(e->term, image_term(&r->disk, e->index));
    if (e->kind != RAFT_ENTRY_NORMAL) {
        struct error error;
        int code = raft_apply_membership(r->raft, e, &r->machine.membership, &error);
        ck_assert_msg(code == ERR_OK || code == ERR_INVALID || r->hostile, "%d %s", code, error.message);
        ck_assert_int_eq(membership_check(&r->machine.membership, NULL), ERR_OK);
    }
    r->machine.applied = e->index;
    r->machine.hash = bytes_hash(bytes_of(e->data, e->len), r->machine.hash ^ e->term << 8 ^ e->kind);
    if (r->events != NULL && r->events->apply != NULL)
        r->events->apply(r->context, r, e);
}

static inline void replica_drain(struct replica *r)
{
    while (r->raft != NULL && raft_has_ready(r->raft)) {
        struct raft_ready ready;
        raft_ready(r->raft, &ready);
        ck_assert_uint_eq(ready.number, r->given + 1);
        r->given = ready.number;
        for (size_t i = 0; i < ready.message_count; i++) {
            struct letter l = letter_of(&ready.messages[i], 0);
            replica_send(r, &l);
        }
        for (size_t i = 0; i < ready.persisted_message_count; i++) {
            ck_assert_uint_eq(ready.persisted_messages[i].entry_count, 0);
            r->held = memory_grow(r->held, r->held_count + 1, sizeof *r->held);
            r->held[r->held_count++] = letter_of(&ready.persisted_messages[i], ready.number);
        }
        ck_assert(ready.must_sync || (ready.entry_count == 0 && ready.snapshot == NULL));
        replica_write(r, &ready);
        raft_advance(r->raft);
        for (size_t i = 0; i < ready.read_count; i++)
            if (r->events != NULL && r->events->read != NULL)
                r->events->read(r->context, r, &ready.reads[i]);
        for (size_t i = 0; i < ready.committed_count; i++)
            replica_apply(r, &ready.committed[i]);
        if (ready.committed_count > 0)
            raft_applied(r->raft, r->machine.applied);
    }
    if (r->raft != NULL && r->events != NULL && r->events->drained != NULL)
        r->events->drained(r->context, r);
}

/* The first `count` writes reach the disk; messages that waited for them go out. */
static inline void replica_sync(struct replica *r, size_t count)
{
    if (count > r->write_count)
        count = r->write_count;
    if (count == 0)
        return;
    uint64_t number = r->writes[count - 1].number, installed = 0;
    for (size_t i = 0; i < count; i++) {
        write_store(r, &r->writes[i]);
        if (r->writes[i].has_snapshot)
            installed = r->writes[i].snapshot.applied;
        write_free(&r->writes[i]);
    }
    r->write_count -= count;
    memmove(r->writes, r->writes + count, r->write_count * sizeof *r->writes);
    raft_persisted(r->raft, number);
    if (installed > 0)
        raft_applied(r->raft, installed);
    size_t out = 0;
    while (out < r->held_count && r->held[out].number <= number)
        replica_send(r, &r->held[out++]);
    r->held_count -= out;
    if (out > 0)
        memmove(r->held, r->held + out, r->held_count * sizeof *r->held);
    replica_drain(r);
}

/* Until nothing is left to write. */
static inline void replica_settle(struct replica *r)
{
    replica_drain(r);
    while (r->raft != NULL && r->write_count > 0)
        replica_sync(r, r->write_count);
}

/* Stores the state machine, if the log on disk reaches that far. */
static inline void replica_save(struct replica *r)
{
    for (size_t i = 0; i < r->write_count; i++)
        if (r->writes[i].has_snapshot)
            return;
    if (r->machine.applied <= image_last(&r->disk))
        r->saved = r->machine;
}

/* Drops the log up to `index`, as far as the stored state reaches. */
static inline void replica_compact(struct replica *r, uint64_t index)
{
    if (r->write_count > 0 || index > r->saved.applied)
        return;
    image_compact(&r->live, index);
    image_compact(&r->disk, index);
}

static inline int replica_deliver(struct replica *r, const struct letter *l, struct error *e)
{
    struct raft_message m;
    int code = envelope_decode(l->bytes, blob_view(l->bytes), &m, e);
    if (code != ERR_OK)
        return code;
    m.from = l->from;
    code = raft_step(r->raft, &m, e);
    envelope_free(&m);
    return code;
}

static inline struct raft_status replica_status(const struct replica *r)
{
    struct raft_status s;
    raft_status(r->raft, &s);
    return s;
}

static inline bool replica_leads(const struct replica *r)
{
    return r->raft != NULL && replica_status(r).role == RAFT_LEADER;
}

static inline int replica_propose(struct replica *r, const char *text, uint64_t *index, struct error *e)
{
    struct blob *b = blob_copy(bytes_text(text));
    int code = raft_propose(r->raft, b, index, e);
    blob_unref(b);
    return code;
}

#endif
