/* Replicas in a simulated network, in virtual time, with faults drawn from a seed: lost, delayed and repeated messages,
 * partitions, pauses, crashes that lose what is not on disk, slow disks. Checks, as it goes, what consensus promises:
 * one leader a term, a leader that has all that was committed, one history for all, nothing applied that is not on the
 * disk, reads that see what was committed before them. For the tests of this folder. */
#ifndef TEST_CONSENSUS_NETWORK_H
#define TEST_CONSENSUS_NETWORK_H

#include "replica.h"

enum { NODES_MAX = 7, TICK_MS = 10, READS_WAITING_MAX = 64, BODY_MAX = 300 };

struct faults {
    unsigned lose;     /* of 1,000 messages */
    unsigned repeat;   /* of 1,000 messages */
    unsigned delay_ms; /* at most */
    unsigned cut;      /* partitions, of 10,000 ms */
    unsigned pause;    /* of 10,000 ms and replica */
    unsigned crash;    /* of 10,000 ms and replica */
    unsigned sync_ms;  /* a disk syncs at most this late */
    unsigned stall;    /* of 10,000 syncs: takes up to 500 ms */
    unsigned later;    /* of 1,000 drains: the storage must fetch first */
};

static const struct faults faults_none = {.delay_ms = 2, .sync_ms = 2};
static const struct faults faults_usual = {
    .lose = 50, .repeat = 20, .delay_ms = 15, .cut = 3, .pause = 3, .crash = 2, .sync_ms = 8, .stall = 30, .later = 20};

struct fact { /* what is known of an index once anyone applied it */
    uint64_t term;
    uint64_t state;
};

struct flying {
    uint64_t due;
    struct letter letter;
};

struct asked {
    uint64_t context;
    uint64_t floor; /* what was committed when it was asked */
    uint64_t node;
};

struct host {
    struct replica replica;
    uint64_t resume; /* paused, or down, until then */
    uint64_t sync;   /* the disk is next done at */
    bool led;
};

struct network {
    struct random random;
    struct faults faults;
    uint64_t now;
    size_t count;
    struct host hosts[NODES_MAX];
    bool cut[NODES_MAX + 1][NODES_MAX + 1];
    uint64_t cut_until;
    struct flying *flying;
    size_t flying_count;
    size_t flying_capacity;
    struct fact *history; /* by index */
    size_t history_capacity;
    uint64_t committed; /* highest index applied anywhere */
    uint64_t *leaders;  /* by term */
    size_t leaders_capacity;
    struct asked asked[READS_WAITING_MAX];
    uint64_t next_read;
    uint64_t next_body;
    uint64_t trace; /* hash of all that happened */
    uint64_t proposed, leader_changes, crashes, snapshots, reads, changes;
    bool quiet; /* proposes nothing by itself */
    bool churn; /* changes the membership by itself */
    bool check; /* the checks are on */
};

static inline void note(struct network *n, uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t words[] = {n->now, a, b, c};
    n->trace = bytes_hash(bytes_of(words, sizeof words), n->trace);
}

static inline bool chance(struct network *n, unsigned of, unsigned in)
{
    return of > 0 && random_below(&n->random, in) < of;
}

static inline struct replica *network_replica(struct network *n, uint64_t id)
{
    return &n->hosts[id - 1].replica;
}

static inline bool network_up(const struct network *n, uint64_t id)
{
    const struct host *h = &n->hosts[id - 1];
    if (h->replica.hostile && h->replica.raft != NULL && replica_status(&h->replica).failed)
        return false;
    return h->replica.raft != NULL && h->resume <= n->now;
}

/* ---------------------------------------------------------------- messages */

static inline void network_fly(struct network *n, const struct letter *l, uint64_t due)
{
    if (n->flying_count == n->flying_capacity) {
        n->flying_capacity = n->flying_capacity == 0 ? 64 : 2 * n->flying_capacity;
        n->flying = memory_grow(n->flying, n->flying_capacity, sizeof *n->flying);
    }
    n->flying[n->flying_count++] = (struct flying){due, *l};
}

static inline void network_report(struct network *n, const struct letter *l, bool delivered)
{
    struct replica *from = network_replica(n, l->from);
    if (from->raft == NULL)
        return;
    if (l->kind == RAFT_SNAPSHOT)
        raft_report_snapshot(from->raft, l->to, delivered);
    else if (!delivered)
        raft_report_unreachable(from->raft, l->to);
}

static inline void network_send(void *context, const struct letter *l)
{
    struct network *n = context;
    uint64_t due = n->now + 1 + random_below(&n->random, n->faults.delay_ms + 1);
    if (l->kind == RAFT_SNAPSHOT) {
        due += 50 + random_below(&n->random, 200);
        n->snapshots++;
    }
    note(n, l->from << 8 | l->to, l->kind, l->bytes->len);
    if (chance(n, n->faults.repeat, 1000)) {
        struct letter again = *l;
        blob_ref(l->bytes);
        network_fly(n, &again, due + random_below(&n->random, 10 * n->faults.delay_ms + 1));
    }
    network_fly(n, l, due);
}

static inline void network_arrive(struct network *n, const struct letter *l)
{
    struct replica *to = network_replica(n, l->to);
    bool lost = n->cut[l->from][l->to] || !network_up(n, l->to) || chance(n, n->faults.lose, 1000);
    if (!lost) {
        struct error e;
        int code = replica_deliver(to, l, &e);
        if (code != ERR_OK && code != ERR_NOT_FOUND && !to->hostile)
            ck_abort_msg("node %d refuses kind %u of node %d: %d %s", (int)l->to, l->kind, (int)l->from, code,
                         e.message);
        replica_drain(to);
    }
    if (l->kind == RAFT_SNAPSHOT || lost) {
        network_report(n, l, !lost);
        replica_drain(network_replica(n, l->from));
    }
    blob_unref(l->bytes);
}

static inline void network_deliver(struct network *n)
{
    size_t kept = 0, count = n->flying_count;
    struct flying *due = memory_alloc((count + 1) * sizeof *due);
    size_t due_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (n->flying[i].due <= n->now)
            due[due_count++] = n->flying[i];
        else
            n->flying[kept++] = n->flying[i];
    }
    n->flying_count = kept;
    for (size_t i = 0; i < due_count; i++)
        network_arrive(n, &due[i].letter);
    memory_free(due);
}

/* ---------------------------------------------------------------- checks */

static inline void network_apply(void *context, struct replica *r, const struct raft_entry *e)
{
    struct network *n = context;
    note(n, r->id, e->index, r->machine.hash);
    if (!n->check)
        return;
    while (e->index >= n->history_capacity) {
        size_t old = n->history_capacity;
        n->history_capacity = old == 0 ? 1024 : 2 * old;
        n->history = memory_grow(n->history, n->history_capacity, sizeof *n->history);
        memset(n->history + old, 0, (n->history_capacity - old) * sizeof *n->history);
    }
    struct fact *fact = &n->history[e->index];
    if (fact->term == 0)
        *fact = (struct fact){e->term, r->machine.hash};
    ck_assert_msg(fact->term == e->term && fact->state == r->machine.hash, "node %d has another history at %d",
                  (int)r->id, (int)e->index);
    if (e->index > n->committed)
        n->committed = e->index;
}

static inline void check_leader(struct network *n, struct host *h, const struct raft_status *s)
{
    while (s->term >= n->leaders_capacity) {
        size_t old = n->leaders_capacity;
        n->leaders_capacity = old == 0 ? 256 : 2 * old;
        n->leaders = memory_grow(n->leaders, n->leaders_capacity, sizeof *n->leaders);
        memset(n->leaders + old, 0, (n->leaders_capacity - old) * sizeof *n->leaders);
    }
    if (n->leaders[s->term] == 0)
        n->leaders[s->term] = s->node;
    ck_assert_msg(n->leaders[s->term] == s->node, "nodes %d and %d lead in term %d", (int)s->node,
                  (int)n->leaders[s->term], (int)s->term);
    const struct image *log = &h->replica.live;
    for (uint64_t i = log->first; i <= n->committed; i++)
        ck_assert_msg(image_term(log, i) == n->history[i].term, "the leader of term %d lacks committed entry %d",
                      (int)s->term, (int)i);
}

static inline void network_drained(void *context, struct replica *r)
{
    struct network *n = context;
    struct host *h = &n->hosts[r->id - 1];
    struct raft_status s = replica_status(r);
    ck_assert(!s.failed || r->hostile);
    bool leads = s.role == RAFT_LEADER;
    if (leads && !h->led) {
        n->leader_changes++;
        note(n, s.node, s.term, s.last_index);
        if (n->check)
            check_leader(n, h, &s);
    }
    h->led = leads;
}

static inline void network_read(void *context, struct replica *r, const struct raft_read *read)
{
    struct network *n = context;
    struct asked *a = &n->asked[read->context % READS_WAITING_MAX];
    if (!n->check || a->context != read->context || a->node != r->id)
        return;
    ck_assert_uint_ge(read->index, a->floor);
    n->reads++;
}

static const struct replica_events network_events = {
    .send = network_send,
    .apply = network_apply,
    .read = network_read,
    .drained = network_drained,
};

/* The logs of two replicas agree up to any entry they share. */
static inline void check_logs_match(const struct image *a, const struct image *b)
{
    uint64_t first = a->first > b->first ? a->first : b->first;
    uint64_t last = image_last(a) < image_last(b) ? image_last(a) : image_last(b);
    bool shared = false;
    for (uint64_t i = last; i >= first && i > 0; i--) {
        const struct raft_entry *x = image_entry(a, i), *y = image_entry(b, i);
        shared = shared || x->term == y->term;
        if (!shared)
            continue;
        ck_assert_uint_eq(x->term, y->term);
        ck_assert_uint_eq(x->kind, y->kind);
        ck_assert(bytes_equal(bytes_of(x->data, x->len), bytes_of(y->data, y->len)));
    }
}

static inline void network_check_logs(const struct network *n)
{
    for (size_t a = 0; a < n->count; a++)
        for (size_t b = a + 1; b < n->count; b++)
            check_logs_match(&n->hosts[a].replica.disk, &n->hosts[b].replica.disk);
}

/* ---------------------------------------------------------------- life */

static inline void network_start(struct network *n, struct host *h)
{
    struct error e;
    int code = replica_start(&h->replica, &e);
    ck_assert_msg(code == ERR_OK, "node %d cannot start again: %s", (int)h->replica.id, e.message);
    h->led = false;
    h->sync = n->now;
    replica_drain(&h->replica);
}

/* Nodes 1 to `voters` are there from the first day, the rest up to `count` may join. */
static inline void network_open(struct network *n, size_t voters, size_t count, uint64_t seed,
                                const struct faults *faults)
{
    *n = (struct network){.count = count, .faults = *faults, .next_read = 1, .check = true};
    random_open(&n->random, seed);
    struct membership m = {0};
    for (uint64_t id = 1; id <= voters; id++)
        membership_add(&m.voters, id);
    for (uint64_t id = 1; id <= count; id++) {
        struct host *h = &n->hosts[id - 1];
        replica_open(&h->replica, id, id <= voters ? &m : NULL, seed * 31 + id);
        h->replica.events = &network_events;
        h->replica.context = n;
        network_start(n, h);
    }
}

static inline void network_close(struct network *n)
{
    for (size_t i = 0; i < n->flying_count; i++)
        blob_unref(n->flying[i].letter.bytes);
    n->flying_count = 0;
    for (size_t i = 0; i < n->count; i++)
        replica_close(&n->hosts[i].replica);
    memory_free(n->flying);
    memory_free(n->history);
    memory_free(n->leaders);
}

/* The leader of the highest term, or NULL. */
static inline struct replica *network_leader(struct network *n)
{
    struct replica *best = NULL;
    for (size_t i = 0; i < n->count; i++) {
        struct replica *r = &n->hosts[i].replica;
        if (replica_leads(r) && (best == NULL || replica_status(r).term > replica_status(best).term))
            best = r;
    }
    return best;
}

/* ---------------------------------------------------------------- users */

static inline void network_propose(struct network *n, struct replica *r)
{
    struct blob *b = blob_create(sizeof n->next_body + (size_t)random_below(&n->random, BODY_MAX));
    memset(b->data, (int)n->next_body, b->len);
    memcpy(b->data, &n->next_body, sizeof n->next_body);
    n->next_body++;
    struct error e;
    uint64_t index;
    int code = raft_propose(r->raft, b, &index, &e);
    ck_assert_msg(code == ERR_OK || code == ERR_NOT_LEADER || code == ERR_OVERLOADED, "%s", e.message);
    n->proposed += code == ERR_OK;
    blob_unref(b);
    replica_drain(r);
}

static inline void network_ask(struct network *n, struct replica *r)
{
    uint64_t context = n->next_read++;
    n->asked[context % READS_WAITING_MAX] = (struct asked){context, n->committed, r->id};
    raft_read_index(r->raft, context, NULL);
    replica_drain(r);
}

/* Who has no membership yet has no vote: to count on it would leave the group without a leader. */
static inline void network_change(struct network *n, struct replica *r)
{
    struct raft_change changes[3];
    size_t count = (size_t)random_below(&n->random, 4);
    for (size_t i = 0; i < count; i++) {
        changes[i].node = 1 + random_below(&n->random, n->count);
        uint64_t kind = random_below(&n->random, 5);
        bool joined = network_replica(n, changes[i].node)->machine.membership.voters.count > 0;
        changes[i].kind = kind < 3 && joined ? RAFT_ADD_VOTER : kind == 3 ? RAFT_REMOVE : RAFT_ADD_LEARNER;
    }
    struct error e;
    int code = raft_propose_membership(r->raft, changes, count, NULL, &e);
    ck_assert_msg(code == ERR_OK || code == ERR_NOT_LEADER || code == ERR_CONFLICT || code == ERR_INVALID ||
                      code == ERR_OVERLOADED,
                  "%d %s", code, e.message);
    n->changes += code == ERR_OK;
    replica_drain(r);
}

static inline void network_use(struct network *n)
{
    struct replica *r = network_replica(n, 1 + random_below(&n->random, n->count));
    if (!network_up(n, r->id))
        return;
    uint64_t what = random_below(&n->random, 1000);
    if (what < 600)
        network_propose(n, r);
    else if (what < 640)
        network_ask(n, r);
    else if (what < 660)
        replica_save(r);
    else if (what < 665)
        replica_compact(r, r->saved.applied - random_below(&n->random, r->saved.applied + 1) / 8);
    else if (what < 667)
        raft_transfer(r->raft, 1 + random_below(&n->random, n->count), NULL);
    else if (n->churn && what < 690)
        network_change(n, r);
    replica_drain(r);
}

/* ---------------------------------------------------------------- faults and time */

static inline void network_heal(struct network *n)
{
    memset(n->cut, 0, sizeof n->cut);
}

static inline void network_cut(struct network *n)
{
    unsigned side = (unsigned)random_below(&n->random, 1u << n->count);
    network_heal(n);
    bool one_way = chance(n, 1, 4);
    for (size_t a = 0; a < n->count; a++)
        for (size_t b = 0; b < n->count; b++)
            if ((side >> a & 1) != (side >> b & 1) && (!one_way || (side >> a & 1)))
                n->cut[a + 1][b + 1] = true;
    n->cut_until = n->now + 200 + random_below(&n->random, 2000);
}

static inline void network_crash(struct network *n, struct host *h)
{
    replica_crash(&h->replica, (size_t)random_below(&n->random, h->replica.write_count + 1));
    h->resume = n->now + 100 + random_below(&n->random, 2000);
    n->crashes++;
}

static inline void network_misfortune(struct network *n)
{
    if (n->cut_until <= n->now)
        network_heal(n);
    if (chance(n, n->faults.cut, 10000))
        network_cut(n);
    for (size_t i = 0; i < n->count; i++) {
        struct host *h = &n->hosts[i];
        if (h->replica.raft == NULL && h->resume <= n->now)
            network_start(n, h);
        if (!network_up(n, i + 1))
            continue;
        if (chance(n, n->faults.pause, 10000))
            h->resume = n->now + 50 + random_below(&n->random, 1500);
        else if (chance(n, n->faults.crash, 10000))
            network_crash(n, h);
    }
}

static inline void network_disk(struct network *n, struct host *h)
{
    if (h->sync > n->now)
        return;
    replica_sync(&h->replica, 1 + (size_t)random_below(&n->random, h->replica.write_count + 1));
    h->sync = n->now + 1 + random_below(&n->random, n->faults.sync_ms);
    if (chance(n, n->faults.stall, 10000))
        h->sync += random_below(&n->random, 500);
}

static inline void network_storage(struct network *n, struct replica *r)
{
    bool was = r->entries_later;
    r->snapshot_later = chance(n, n->faults.later, 100);
    r->entries_later = chance(n, n->faults.later, 1000);
    if (was && !r->entries_later)
        raft_fetched(r->raft);
}

/* One millisecond. */
static inline void network_step(struct network *n)
{
    n->now++;
    network_misfortune(n);
    network_deliver(n);
    for (size_t i = 0; i < n->count; i++) {
        struct host *h = &n->hosts[i];
        if (!network_up(n, i + 1))
            continue;
        network_storage(n, &h->replica);
        if ((n->now + i) % TICK_MS == 0)
            raft_tick(h->replica.raft);
        replica_drain(&h->replica);
        network_disk(n, h);
    }
    if (!n->quiet)
        network_use(n);
}

static inline void network_run(struct network *n, uint64_t ms)
{
    for (uint64_t end = n->now + ms; n->now < end;)
        network_step(n);
}

/* From now on without faults. */
static inline void network_calm(struct network *n)
{
    n->faults = faults_none;
    n->quiet = true;
    n->cut_until = 0;
    network_heal(n);
    for (size_t i = 0; i < n->count; i++)
        n->hosts[i].resume = 0;
}

/* Until the members' state machines are at one and the same index, beyond all that was ever committed. */
static inline bool network_converged(struct network *n)
{
    struct replica *leader = network_leader(n);
    if (leader == NULL || leader->machine.applied < n->committed ||
        leader->machine.applied != image_last(&leader->live) || membership_joint(&leader->machine.membership))
        return false;
    for (size_t i = 0; i < n->count; i++) {
        const struct replica *r = &n->hosts[i].replica;
        if (membership_includes(&leader->machine.membership, r->id) &&
            (r->raft == NULL || r->machine.applied != leader->machine.applied ||
             r->machine.hash != leader->machine.hash))
            return false;
    }
    return true;
}

static inline void network_converge(struct network *n)
{
    network_calm(n);
    for (int i = 0; i < 200; i++) {
        network_run(n, 100);
        struct replica *leader = network_leader(n);
        if (leader != NULL && i % 20 == 0)
            network_propose(n, leader);
        if (network_converged(n))
            return;
    }
    ck_abort_msg("20 s without faults, and the replicas are not at one");
}

#endif
