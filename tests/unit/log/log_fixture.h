/* A log on a simulated disk with a model beside it: what was submitted and what was completed, for every group. */
#ifndef HATO_TESTS_LOG_FIXTURE_H
#define HATO_TESTS_LOG_FIXTURE_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/random.h"
#include "log/log.h"
#include "sim/sim_disk.h"

enum { GROUPS_MAX = 8, ENTRIES_MAX = 4096, SEGMENT = 64 << 10, WINDOW = 4 * SEGMENT };

#define LOG_DIR "data/log"

/* An entry's bytes follow from its salt. */
struct model_entry {
    uint64_t term;
    uint64_t salt;
    size_t len;
    bool noise; /* does not compress */
};

struct model {
    uint64_t first, last;
    uint64_t base_term;
    struct log_hard_state state;
    uint64_t mark;
    struct model_entry entries[ENTRIES_MAX]; /* by index */
};

struct fixture {
    struct sim_disk *disk;
    struct log_options options;
    struct log *log;
    struct log_port *port;
    struct log_group *groups[GROUPS_MAX];
    struct model models[GROUPS_MAX]; /* as submitted */
    uint64_t seeds;
    size_t woken, completed;
    int last_code;
};

static inline void fixture_wake(void *ctx)
{
    ((struct fixture *)ctx)->woken++;
}

static inline void fixture_attach(struct fixture *f)
{
    f->port = log_port_create(f->log, fixture_wake, f);
    for (uint32_t i = 0; i < GROUPS_MAX; i++)
        f->groups[i] = log_group(f->log, i, f->port);
}

static inline int fixture_try_open(struct fixture *f, struct error *e)
{
    f->options.seed = ++f->seeds;
    int code = log_open(&f->options, &f->log, e);
    if (code == ERR_OK)
        fixture_attach(f);
    else
        f->log = NULL;
    return code;
}

static inline void fixture_open(struct fixture *f)
{
    struct error e = {0};
    ck_assert_msg(fixture_try_open(f, &e) == ERR_OK, "%s", e.message);
}

static inline struct fixture *fixture_create(uint64_t capacity)
{
    struct fixture *f = memory_zero(1, sizeof *f);
    f->disk = sim_disk_create(capacity);
    f->options = (struct log_options){
        .disk = sim_disk_table(f->disk),
        .dir = LOG_DIR,
        .segment_bytes = SEGMENT,
        .window_bytes = WINDOW,
        .compress = true,
    };
    for (size_t i = 0; i < GROUPS_MAX; i++)
        f->models[i].first = 1;
    return f;
}

static inline void fixture_destroy(struct fixture *f)
{
    if (f->log != NULL)
        log_abandon(f->log);
    sim_disk_destroy(f->disk);
    memory_free(f);
}

/* The process dies; what was written stays written. */
static inline void fixture_kill(struct fixture *f)
{
    log_abandon(f->log);
    f->log = NULL;
    sim_disk_kill(f->disk);
}

static inline void fixture_crash(struct fixture *f, uint64_t seed)
{
    log_abandon(f->log);
    f->log = NULL;
    sim_disk_crash(f->disk, seed);
}

static inline struct blob *body_of(const struct model_entry *m)
{
    struct blob *b = blob_create(m->len);
    struct random r;
    random_open(&r, m->salt);
    for (size_t i = 0; i < m->len; i++)
        b->data[i] = m->noise ? (uint8_t)random_next(&r) : (uint8_t)("hato "[(i + m->salt) % 5]);
    return b;
}

static inline void fixture_done(struct log_write *w, int code)
{
    struct fixture *f = w->ctx;
    f->completed++;
    f->last_code = code;
    if (code != ERR_STORAGE_FULL)
        memory_free(w);
}

static inline struct log_write *new_write(struct fixture *f)
{
    struct log_write *w = memory_zero(1, sizeof *w);
    w->done = fixture_done;
    w->ctx = f;
    return w;
}

/* Appends n entries of `len` bytes with this term; from < last + 1 replaces a suffix. Returns the request. */
static inline struct log_write *fixture_submit(struct fixture *f, uint32_t group, uint64_t from, uint64_t term,
                                               size_t n, size_t len, bool noise)
{
    struct model *m = &f->models[group];
    struct log_entry *entries = memory_zero(n, sizeof *entries);
    struct log_write *w = new_write(f);
    w->truncate_from = from <= m->last ? from : 0;
    m->last = from - 1;
    for (size_t i = 0; i < n; i++) {
        struct model_entry *e = &m->entries[++m->last];
        ASSERT(m->last < ENTRIES_MAX);
        *e = (struct model_entry){term, (uint64_t)group << 48 | term << 32 | m->last, len, noise};
        struct blob *b = body_of(e);
        entries[i] = (struct log_entry){m->last, term, (uint8_t)(m->last % 7), blob_view(b), b};
    }
    m->state = (struct log_hard_state){.term = term, .vote = group + 1, .commit = m->state.commit};
    w->entries = entries;
    w->entries_n = n;
    w->state = &m->state;
    log_submit(f->groups[group], w);
    for (size_t i = 0; i < n; i++)
        blob_unref(entries[i].owner);
    memory_free(entries);
    return w;
}

static inline struct log_write *fixture_append(struct fixture *f, uint32_t group, uint64_t term, size_t n, size_t len)
{
    return fixture_submit(f, group, f->models[group].last + 1, term, n, len, true);
}

static inline void fixture_settle(struct fixture *f)
{
    while (log_step(f->log) || log_port_drain(f->port) > 0) {
    }
}

static inline void check_entry(const struct log_entry *got, uint64_t index, const struct model_entry *want)
{
    struct blob *b = body_of(want);
    ck_assert_uint_eq(got->index, index);
    ck_assert_uint_eq(got->term, want->term);
    ck_assert_uint_eq(got->kind, index % 7);
    ck_assert(bytes_equal(got->data, blob_view(b)));
    blob_unref(b);
}

/* Every entry first .. last is there, through each way of reading. */
static inline void fixture_check_group(struct fixture *f, uint32_t group)
{
    struct log_group *g = f->groups[group];
    const struct model *m = &f->models[group];
    struct error e = {0};
    ck_assert_uint_eq(log_last(g), m->last);
    ck_assert_uint_eq(log_first(g), m->first);
    for (uint64_t i = m->first; i <= m->last; i++) {
        struct log_entry entry;
        uint64_t term;
        ck_assert_msg(log_entry(g, i, &entry, &e) == ERR_OK, "%s", e.message);
        check_entry(&entry, i, &m->entries[i]);
        blob_unref(entry.owner);
        ck_assert_int_eq(log_term(g, i, &term), ERR_OK);
        ck_assert_uint_eq(term, m->entries[i].term);
        if (i > log_durable(g))
            continue;
        struct blob *body;
        ck_assert_msg(log_read(f->log, group, i, &body, &e) == ERR_OK, "%s", e.message);
        struct blob *want = body_of(&m->entries[i]);
        ck_assert(bytes_equal(blob_view(body), blob_view(want)));
        blob_unref(want);
        blob_unref(body);
    }
    struct log_hard_state state = log_hard_state(g);
    ck_assert_uint_eq(state.term, m->state.term);
    ck_assert_uint_eq(state.vote, m->state.vote);
    ck_assert_uint_eq(state.commit, m->state.commit);
    ck_assert_uint_eq(log_snapshot(g).index, m->mark);
}

static inline void fixture_check(struct fixture *f)
{
    for (uint32_t i = 0; i < GROUPS_MAX; i++)
        fixture_check_group(f, i);
}

static inline void fixture_compact(struct fixture *f, uint32_t group, uint64_t upto)
{
    log_compact(f->groups[group], upto);
    if (upto >= f->models[group].first)
        f->models[group].first = upto + 1;
}

static inline void segment_path_of(uint64_t sequence, char out[64])
{
    snprintf(out, 64, LOG_DIR "/%016llx.seg", (unsigned long long)sequence);
}

static inline int run_suite(Suite *s)
{
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
