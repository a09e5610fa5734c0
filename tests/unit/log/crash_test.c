/* Thousands of short lives of a log, each ended by a power cut at a random operation: what was completed is there
 * afterwards, what was not is there as a whole or not at all, and nothing is refused. */
#include "log_fixture.h"

enum { LIVES = 6, STEPS_MAX = 25, SEEDS = 1500 };

/* What recovery may find of a group: its state after one of its writes from `sure` on. */
struct history {
    struct model **versions; /* after each write; only the entries up to the last are there */
    size_t n, capacity;
    size_t sure;        /* the version of the last completed write */
    uint64_t compacted; /* may have become durable or not */
};

struct life {
    struct fixture *f;
    struct tracked *tracked; /* in flight */
    struct history histories[GROUPS_MAX];
    struct random random;
};

struct tracked {
    struct log_write write;
    struct tracked *next, **back;
    struct life *life;
    uint32_t group;
    size_t version;
};

static void history_push(struct history *h, const struct model *m)
{
    if (h->n == h->capacity) {
        h->capacity = h->capacity * 2 + 8;
        h->versions = memory_grow(h->versions, h->capacity, sizeof(struct model *));
    }
    size_t size = offsetof(struct model, entries) + (m->last + 1) * sizeof m->entries[0];
    h->versions[h->n] = memory_alloc(size);
    memcpy(h->versions[h->n++], m, size);
}

static void history_clear(struct history *h)
{
    while (h->n > 0)
        memory_free(h->versions[--h->n]);
}

static void history_restart(struct history *h, const struct model *m)
{
    history_clear(h);
    h->sure = 0;
    h->compacted = m->first - 1;
    history_push(h, m);
}

static void tracked_destroy(struct tracked *t)
{
    *t->back = t->next;
    if (t->next != NULL)
        t->next->back = t->back;
    memory_free(t);
}

static void tracked_done(struct log_write *w, int code)
{
    struct tracked *t = (struct tracked *)w;
    struct history *h = &t->life->histories[t->group];
    if (code == ERR_OK) {
        ck_assert_uint_eq(t->version, h->sure + 1); /* in order */
        h->sure = t->version;
    }
    tracked_destroy(t);
}

static uint64_t below(struct life *l, uint64_t n)
{
    return random_below(&l->random, n);
}

static void submit(struct life *l, uint32_t group)
{
    struct fixture *f = l->f;
    struct model *m = &f->models[group];
    struct history *h = &l->histories[group];
    uint64_t from = m->last + 1;
    uint64_t term = m->state.term + (below(l, 4) == 0);
    if (m->last > h->compacted && below(l, 5) == 0) {
        from = m->last - below(l, m->last - h->compacted < 5 ? m->last - h->compacted : 5);
        term = m->state.term + 1;
    }
    struct tracked *t = memory_zero(1, sizeof *t);
    t->write.done = tracked_done;
    t->life = l;
    t->group = group;
    t->next = l->tracked;
    t->back = &l->tracked;
    if (l->tracked != NULL)
        l->tracked->back = &t->next;
    l->tracked = t;
    struct log_snapshot snapshot = {.index = m->last + 10, .term = term, .membership = bytes_text("abc")};
    struct log_entry entries[8];
    size_t n = below(l, 8);
    if (below(l, 40) == 0) {
        t->write.reset = &snapshot;
        m->first = snapshot.index + 1;
        m->base_term = term;
        m->mark = snapshot.index;
        h->compacted = snapshot.index;
        from = snapshot.index + 1;
    } else if (from <= m->last) {
        t->write.truncate_from = from;
    }
    m->last = from - 1;
    for (size_t i = 0; i < n; i++) {
        struct model_entry *e = &m->entries[++m->last];
        ASSERT(m->last < ENTRIES_MAX);
        size_t len = below(l, 12) == 0 ? below(l, 20000) : below(l, 300);
        *e = (struct model_entry){term, random_next(&l->random), len, below(l, 2) == 0};
        struct blob *b = body_of(e);
        entries[i] = (struct log_entry){m->last, term, (uint8_t)(m->last % 7), blob_view(b), b};
    }
    m->state = (struct log_hard_state){term, below(l, 3), m->state.commit};
    t->write.entries = entries;
    t->write.entries_n = n;
    t->write.state = &m->state;
    history_push(h, m);
    t->version = h->n - 1;
    log_submit(f->groups[group], &t->write);
    for (size_t i = 0; i < n; i++)
        blob_unref(entries[i].owner);
}

static void compact(struct life *l, uint32_t group)
{
    struct log_group *g = l->f->groups[group];
    struct history *h = &l->histories[group];
    uint64_t kept = log_durable(g) + 1 - log_first(g);
    if (log_durable(g) < log_first(g))
        return;
    /* Nothing that a later truncation may still take: as Raft, which compacts what is committed. */
    uint64_t upto = log_first(g) - 1 + below(l, kept + 1);
    log_release(g, upto);
    log_compact(g, upto);
    h->compacted = upto > h->compacted ? upto : h->compacted;
    l->f->models[group].first = log_first(g);
}

static bool holds(struct life *l, uint32_t group, const struct model *m)
{
    struct log_group *g = l->f->groups[group];
    const struct history *h = &l->histories[group];
    struct log_hard_state state = log_hard_state(g);
    if (log_last(g) != m->last || state.term != m->state.term || state.vote != m->state.vote)
        return false;
    if (log_snapshot(g).index != m->mark || log_first(g) < m->first || log_first(g) > h->compacted + 1)
        return false;
    for (uint64_t i = log_first(g); i <= m->last; i++) {
        struct log_entry entry;
        struct error e;
        ck_assert_msg(log_entry(g, i, &entry, &e) == ERR_OK, "%s", e.message);
        struct blob *want = body_of(&m->entries[i]);
        bool equal =
            entry.term == m->entries[i].term && entry.kind == i % 7 && bytes_equal(entry.data, blob_view(want));
        blob_unref(want);
        blob_unref(entry.owner);
        if (!equal)
            return false;
    }
    return true;
}

/* The group is what it was after some write from the last completed on; the model goes on from there. */
static void check_group(struct life *l, uint32_t group, uint64_t seed)
{
    struct history *h = &l->histories[group];
    for (size_t v = h->sure; v < h->n; v++) {
        if (!holds(l, group, h->versions[v]))
            continue;
        struct model *m = &l->f->models[group];
        size_t size = offsetof(struct model, entries) + (h->versions[v]->last + 1) * sizeof m->entries[0];
        memcpy(m, h->versions[v], size);
        m->first = log_first(l->f->groups[group]);
        history_restart(h, m);
        return;
    }
    ck_abort_msg("seed %llu: group %u is in a state it never had", (unsigned long long)seed, group);
}

static void live(struct life *l)
{
    struct fixture *f = l->f;
    uint64_t steps = 1 + below(l, STEPS_MAX);
    /* The cut may come in the middle of anything, or between two steps. */
    uint64_t cut = below(l, 60);
    if (cut < 50)
        sim_disk_fail(f->disk, SIM_DISK_CHANGE, cut, 0, ERR_IO);
    for (uint64_t i = 0; i < steps && !log_failed(f->log); i++) {
        for (uint64_t n = below(l, 5); n > 0; n--)
            submit(l, (uint32_t)below(l, 3));
        if (below(l, 3) == 0)
            compact(l, (uint32_t)below(l, 3));
        if (below(l, 4) != 0)
            log_step(f->log);
        if (below(l, 4) != 0)
            log_port_drain(f->port);
    }
}

static void reopen(struct life *l, uint64_t seed)
{
    struct fixture *f = l->f;
    /* Now and then the power goes again while the log is being opened. */
    for (int tries = 0; tries < 3 && below(l, 3) == 0; tries++) {
        struct error e;
        sim_disk_fail(f->disk, SIM_DISK_CHANGE, below(l, 12), 0, ERR_IO);
        int code = fixture_try_open(f, &e);
        ck_assert_msg(code == ERR_OK || code == ERR_IO, "seed %llu: %s", (unsigned long long)seed, e.message);
        if (code == ERR_OK)
            log_abandon(f->log);
        f->log = NULL;
        sim_disk_crash(f->disk, random_next(&l->random));
    }
    struct error e = {0};
    int code = fixture_try_open(f, &e);
    ck_assert_msg(code == ERR_OK, "seed %llu: %s", (unsigned long long)seed, e.message);
}

static void run(uint64_t seed)
{
    struct life *l = memory_zero(1, sizeof *l);
    struct fixture *f = fixture_create(0);
    random_open(&l->random, seed);
    l->f = f;
    f->options.compress = below(l, 2) == 0;
    f->options.reserve_segments = 2 + (unsigned)below(l, 2);
    for (uint32_t g = 0; g < GROUPS_MAX; g++)
        history_restart(&l->histories[g], &f->models[g]);
    fixture_open(f);
    for (int life = 0; life < LIVES; life++) {
        live(l);
        log_abandon(f->log);
        while (l->tracked != NULL) /* never completed */
            tracked_destroy(l->tracked);
        f->log = NULL;
        if (below(l, 4) == 0)
            sim_disk_kill(f->disk);
        else
            sim_disk_crash(f->disk, random_next(&l->random));
        reopen(l, seed);
        for (uint32_t g = 0; g < 3; g++)
            check_group(l, g, seed);
    }
    for (uint32_t g = 0; g < GROUPS_MAX; g++) {
        history_clear(&l->histories[g]);
        memory_free(l->histories[g].versions);
    }
    fixture_destroy(f);
    memory_free(l);
}

START_TEST(what_was_completed_survives_any_power_cut)
{
    /* HATO_SEED=n runs one again, HATO_SEEDS=n runs more than the usual number. */
    const char *one = getenv("HATO_SEED");
    const char *many = getenv("HATO_SEEDS");
    uint64_t first = one != NULL ? strtoull(one, NULL, 10) : 1;
    uint64_t last = one != NULL ? first : many != NULL ? strtoull(many, NULL, 10) : SEEDS;
    for (uint64_t seed = first; seed <= last; seed++)
        run(seed);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("log crash");
    TCase *t = tcase_create("crash");
    tcase_set_timeout(t, 0);
    tcase_add_test(t, what_was_completed_survives_any_power_cut);
    suite_add_tcase(s, t);
    return run_suite(s);
}
