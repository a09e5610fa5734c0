/* Snapshots for followers that need what the log does not have any more. What is offered through raft is small: who it is, and at which
 * entry. The follower then asks for the state part by part (join.c), each part naming where the last one ended, so that it may go on
 * after a loss and sets the pace:
 *
 *   bodies   of messages alive in entries up to the offer's, in order of (entry, offset). They never change, so parts of one offer
 *            are good for another one, whoever makes it. One that is gone by now belongs to a message that died meanwhile: the
 *            follower will be told by the entries after the offer's.
 *   state    the shard's keys as of exactly that entry, from the store's own snapshot
 *
 * A body that is gone although its message lives is damage, and found here, but by who serves only: after a restart the state is for a while
 * older than it was before, and the bodies of what had died by then may be gone. Such a leader offers all the same, for it may need the
 * follower to come to serve; the entries behind the offer tell that one what died.
 *
 * One offer at a time, for all followers; it is let go when nobody has asked for a while. */
#include "base/assert.h"
#include "base/memory.h"
#include "shard/internal.h"
#include "state/keys.h"
#include "store/store.h"

enum {
    PART_BYTES = 256 * 1024,
    OFFER_IDLE_TICKS = 100,
    FEED_IDLE_TICKS = 30, /* of a follower: then it is offered again */
};

struct offer {
    uint64_t id;
    uint64_t index;
    uint64_t term;
    struct membership membership;
    struct store_snapshot *at;
    uint32_t idle_ticks;
    uint32_t users; /* parts being made */
    uint8_t data[8];
};

/* A part on its way to a follower. */
struct part {
    struct work work;
    struct shard *shard;
    struct log *log;
    struct store *store;
    struct offer *offer;
    struct feed *feed;
    struct machine_spill *list; /* bodies: what lives now */
    uint16_t number;
    enum snapshot_phase phase;
    struct key after;
    struct key position; /* where the part ends */
    struct buffer records;
    bool last;
    struct message_ref *missing;
    size_t missing_count;
    int code;
    struct error error;
};

/* ---------------------------------------------------------------- the offer */

static void offer_free(struct shard *s)
{
    if (s->offer == NULL)
        return;
    store_snapshot_close(s->options.store, s->offer->at);
    memory_free(s->offer);
    s->offer = NULL;
}

static bool make(struct shard *s)
{
    struct offer *o = memory_zero(1, sizeof *o);
    o->index = machine_applied(s->machine);
    bool fine = log_term(s->log, o->index, &o->term) == ERR_OK && shard_members(s, &o->membership) == ERR_OK &&
                machine_write(s->machine, NULL) == ERR_OK;
    if (!fine) {
        memory_free(o);
        return false;
    }
    o->id = random_next(&s->random);
    for (size_t i = 0; i < sizeof o->data; i++)
        o->data[i] = (uint8_t)(o->id >> (8 * i));
    o->at = store_snapshot_open(s->options.store);
    offer_free(s);
    s->offer = o;
    TRACE(s->options.trace, TRACE_INFO, "snapshot offered", trace_u64("shard", s->options.number),
          trace_u64("entry", o->index));
    return true;
}

enum raft_storage_result shard_offer_snapshot(void *ctx, uint64_t to, struct raft_snapshot *out)
{
    struct shard *s = ctx;
    if (s->stopped || s->closing || s->installing)
        return RAFT_STORAGE_LATER;
    bool useful = s->offer != NULL && s->offer->index + 1 >= log_first(s->log) &&
                  membership_includes(&s->offer->membership, to); /* raft takes none that does not know it */
    if (!useful && s->offer != NULL && s->offer->users > 0)
        return RAFT_STORAGE_LATER;
    if (!useful && !(s->elected && make(s)))
        return RAFT_STORAGE_LATER;
    s->offer->idle_ticks = 0;
    *out = (struct raft_snapshot){.index = s->offer->index,
                                  .term = s->offer->term,
                                  .data = s->offer->data,
                                  .len = sizeof s->offer->data,
                                  .membership = s->offer->membership};
    return RAFT_STORAGE_OK;
}

void shard_offer_close(struct shard *s)
{
    ASSERT(s->offer == NULL || s->offer->users == 0);
    offer_free(s);
}

/* ---------------------------------------------------------------- who is being fed */

static struct feed *feed_of(struct shard *s, uint64_t node)
{
    struct feed *unused = NULL;
    for (size_t i = 0; i < SHARD_FEEDS_MAX; i++) {
        if (s->feeds[i].node == node)
            return &s->feeds[i];
        if (unused == NULL && s->feeds[i].node == 0)
            unused = &s->feeds[i];
    }
    if (unused != NULL)
        unused->node = node;
    return unused;
}

/* A follower that stopped asking is offered again: raft waits for it until it is told. */
static void look_after(struct shard *s, const struct raft_peer *peer)
{
    struct feed *f = feed_of(s, peer->node);
    if (f == NULL)
        return;
    f->idle_ticks = peer->state == RAFT_PEER_SNAPSHOT ? f->idle_ticks + 1 : 0;
    if (f->idle_ticks < FEED_IDLE_TICKS)
        return;
    f->idle_ticks = 0;
    raft_report_snapshot(s->raft, peer->node, false);
}

/* Nodes come and go, and there are only so many feeds. */
static void forget_others(struct shard *s, const struct raft_peer *peers, size_t count)
{
    for (size_t i = 0; i < SHARD_FEEDS_MAX; i++) {
        struct feed *f = &s->feeds[i];
        bool peer = f->working;
        for (size_t k = 0; k < count && !peer; k++)
            peer = peers[k].node == f->node;
        if (!peer)
            *f = (struct feed){0};
    }
}

void shard_offer_tick(struct shard *s)
{
    struct raft_peer peers[RAFT_PEERS_MAX];
    size_t count = s->elected ? raft_peers(s->raft, peers, RAFT_PEERS_MAX) : 0;
    forget_others(s, peers, count);
    for (size_t i = 0; i < count && count > 1; i++)
        look_after(s, &peers[i]);
    if (s->offer != NULL && ++s->offer->idle_ticks > OFFER_IDLE_TICKS && s->offer->users == 0)
        offer_free(s);
}

/* ---------------------------------------------------------------- making a part: on another thread */

static void put_record(struct part *p, struct bytes key, struct bytes value)
{
    buffer_u16(&p->records, (uint16_t)key.len);
    buffer_u32(&p->records, (uint32_t)value.len);
    buffer_put(&p->records, key.data, key.len);
    buffer_put(&p->records, value.data, value.len);
    ASSERT(key.len <= sizeof p->position.data);
    memcpy(p->position.data, key.data, key.len);
    p->position.len = (uint32_t)key.len;
}

static void note_missing(struct part *p, struct message_ref ref)
{
    p->missing = memory_grow(p->missing, p->missing_count + 1, sizeof *p->missing);
    p->missing[p->missing_count++] = ref;
}

static int put_body(struct part *p, struct message_ref ref, const struct blob *entry)
{
    struct key key = key_of2(p->number, KEY_BODY, ref.index, ref.offset);
    if (entry != NULL) {
        if (ref.offset > entry->len || ref.len > entry->len - ref.offset)
            return error_set(&p->error, ERR_CORRUPT, "a message lies outside of entry %llu",
                             (unsigned long long)ref.index);
        put_record(p, key_view(&key), bytes_of(entry->data + ref.offset, ref.len));
        return ERR_OK;
    }
    struct buffer value = {0};
    int rc = store_get(p->store, STORE_BODIES, key_view(&key), &value, &p->error);
    if (rc == ERR_OK && value.len == ref.len)
        put_record(p, key_view(&key), buffer_view(&value));
    else if (rc == ERR_OK)
        rc = error_set(&p->error, ERR_CORRUPT, "the spilled message %llu+%u has the wrong length",
                       (unsigned long long)ref.index, ref.offset);
    else if (rc == ERR_NOT_FOUND)
        note_missing(p, ref);
    buffer_close(&value);
    return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

static int read_entry(struct part *p, uint64_t index, struct blob **entry)
{
    blob_unref(*entry);
    *entry = NULL;
    int rc = log_read(p->log, p->number, index, entry, &p->error);
    if (rc != ERR_NOT_FOUND)
        return rc;
    struct buffer value = {0};
    struct key key = key_of2(p->number, KEY_BODY, index, BODY_WHOLE_ENTRY);
    rc = store_get(p->store, STORE_BODIES, key_view(&key), &value, &p->error);
    if (rc == ERR_OK)
        *entry = blob_adopt(&value);
    else
        buffer_close(&value);
    return rc == ERR_NOT_FOUND ? ERR_OK : rc; /* then each message was spilled by itself, or is gone */
}

static int put_bodies(struct part *p)
{
    struct blob *entry = NULL;
    uint64_t entry_index = 0;
    int rc = ERR_OK;
    while (rc == ERR_OK && p->records.len < PART_BYTES) {
        struct message_ref ref;
        bool more;
        rc = machine_spill_next(p->list, &ref, &more, &p->error);
        p->last = rc == ERR_OK && !more;
        if (rc != ERR_OK || !more)
            break;
        struct key key = key_of2(p->number, KEY_BODY, ref.index, ref.offset);
        if (p->after.len > 0 && bytes_compare(key_view(&key), key_view(&p->after)) <= 0)
            continue;
        if (entry_index != ref.index)
            rc = read_entry(p, ref.index, &entry);
        entry_index = ref.index;
        if (rc == ERR_OK)
            rc = put_body(p, ref, entry);
    }
    blob_unref(entry);
    return rc;
}

static int put_state(struct part *p)
{
    uint8_t to[2] = {(uint8_t)((p->number + 1) >> 8), (uint8_t)(p->number + 1)};
    uint8_t all[2] = {(uint8_t)(p->number >> 8), (uint8_t)p->number};
    struct bytes from = p->after.len > 0 ? key_view(&p->after) : bytes_of(all, sizeof all);
    struct store_iterator *i = store_iterate(p->store, STORE_STATE, from, bytes_of(to, sizeof to), p->offer->at);
    for (; store_iterator_valid(i) && p->records.len < PART_BYTES; store_iterator_next(i))
        if (!bytes_equal(store_iterator_key(i), key_view(&p->after)))
            put_record(p, store_iterator_key(i), store_iterator_value(i));
    p->last = !store_iterator_valid(i);
    int rc = store_iterator_error(i, &p->error);
    store_iterator_close(i);
    return rc;
}

static void part_run(struct work *w)
{
    struct part *p = CONTAINER_OF(w, struct part, work);
    p->position = p->after;
    p->code = p->phase == SNAPSHOT_BODIES ? put_bodies(p) : put_state(p);
}

/* ---------------------------------------------------------------- and sending it */

static void send_part(struct shard *s, uint64_t node, const struct peer_part *part, struct bytes records)
{
    struct buffer head = {0};
    struct shard_part behind = {.data = records};
    peer_put_part(&head, part);
    s->env->send(s->env->ctx, s, node, s->options.number, buffer_view(&head), &behind, records.len > 0);
    buffer_close(&head);
}

/* A body that was not found: the message has to be dead by now. */
static int check_missing(struct part *p)
{
    int rc = ERR_OK;
    for (size_t i = 0; i < p->missing_count && rc == ERR_OK; i++) {
        struct message_ref want = p->missing[i], ref;
        struct machine_spill *alive = machine_spill_open(p->shard->machine, want.index, want.index);
        bool more = true;
        while (rc == ERR_OK && more) {
            rc = machine_spill_next(alive, &ref, &more, &p->error);
            if (rc == ERR_OK && more && ref.offset == want.offset)
                rc = error_set(&p->error, ERR_CORRUPT,
                               "message %llu+%u is neither in the log nor in the store: rebuild this replica",
                               (unsigned long long)want.index, want.offset);
        }
        machine_spill_close(alive);
    }
    return rc;
}

static void settle(struct part *p)
{
    struct shard *s = p->shard;
    if (s->stopped || s->closing || s->installing)
        return;
    int rc = p->code == ERR_OK && s->leads ? check_missing(p) : p->code;
    if (rc == ERR_CORRUPT) {
        shard_stop(s, &p->error);
        return;
    }
    if (rc != ERR_OK) {
        TRACE(s->options.trace, TRACE_WARN, "part of a snapshot not read, will be asked for again",
              trace_u64("shard", s->options.number), trace_text("error", p->error.message));
        return;
    }
    struct peer_part part = {.id = p->offer->id,
                             .phase = p->phase,
                             .last = p->last,
                             .after = key_view(&p->after),
                             .position = key_view(&p->position),
                             .hash = bytes_hash(buffer_view(&p->records), p->offer->id)};
    send_part(s, p->feed->node, &part, buffer_view(&p->records));
}

static void part_done(struct work *w)
{
    struct part *p = CONTAINER_OF(w, struct part, work);
    struct shard *s = p->shard;
    machine_spill_close(p->list);
    p->feed->working = false;
    settle(p);
    p->offer->users--;
    buffer_close(&p->records);
    memory_free(p->missing);
    memory_free(p);
    shard_work_done(s);
}

int shard_offer_wanted(struct shard *s, uint64_t node, const struct peer_want *want, struct error *e)
{
    if (want->after.len > KEY_MAX)
        return error_set(e, ERR_PROTOCOL, "a part of a snapshot after no possible key");
    struct feed *feed = feed_of(s, node);
    if (feed == NULL || feed->working || s->installing)
        return ERR_OK; /* it asks again */
    feed->idle_ticks = 0;
    if (s->offer == NULL || s->offer->id != want->id) {
        struct peer_part gone = {.id = want->id, .phase = SNAPSHOT_GONE};
        send_part(s, node, &gone, (struct bytes){0});
        return ERR_OK;
    }
    uint64_t numbers[2] = {1, 0};
    bool bodies = want->phase == SNAPSHOT_BODIES;
    if (bodies && want->after.len > 0 && !key_numbers(want->after, KEY_BODY, numbers, 2))
        return error_set(e, ERR_PROTOCOL, "a part of a snapshot after no possible body");
    struct part *p = memory_zero(1, sizeof *p);
    p->work.run = part_run;
    p->work.done = part_done;
    p->shard = s;
    p->log = s->options.log;
    p->store = s->options.store;
    p->offer = s->offer;
    p->feed = feed;
    p->number = s->options.number;
    p->phase = want->phase;
    memcpy(p->after.data, want->after.data, want->after.len);
    p->after.len = (uint32_t)want->after.len;
    if (bodies)
        p->list = machine_spill_open(s->machine, numbers[0], s->offer->index);
    feed->working = true;
    s->offer->users++;
    s->offer->idle_ticks = 0;
    shard_work(s, &p->work);
    return ERR_OK;
}
