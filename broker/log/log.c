#include <stdio.h>

#include "base/assert.h"
#include "base/memory.h"
#include "log/inside.h"

/* ---------------------------------------------------------------- lists */

void work_list_push(struct work_list *l, struct log_work *w)
{
    w->next = NULL;
    if (l->tail != NULL)
        l->tail->next = w;
    else
        l->head = w;
    l->tail = w;
}

void work_list_join(struct work_list *to, struct work_list *from)
{
    if (from->head == NULL)
        return;
    if (to->tail != NULL)
        to->tail->next = from->head;
    else
        to->head = from->head;
    to->tail = from->tail;
    *from = (struct work_list){0};
}

void work_destroy(struct log_work *w)
{
    for (size_t i = 0; i < w->entries_n; i++)
        blob_unref(w->entries[i].owner);
    blob_unref(w->reset_blob);
    blob_unref(w->mark_blob);
    memory_free(w);
}

static void work_list_close(struct work_list *l)
{
    for (struct log_work *next, *w = l->head; w != NULL; w = next) {
        next = w->next;
        work_destroy(w);
    }
    *l = (struct work_list){0};
}

static void segment_list_room(struct segment_list *l)
{
    if (l->n < l->capacity)
        return;
    l->capacity = l->capacity * 2 + 16;
    l->at = memory_grow(l->at, l->capacity, sizeof(struct log_segment *));
}

void segment_list_push(struct segment_list *l, struct log_segment *s)
{
    segment_list_room(l);
    l->at[l->n++] = s;
}

struct log_segment *segment_list_shift(struct segment_list *l)
{
    if (l->n == 0)
        return NULL;
    struct log_segment *s = l->at[0];
    l->n--;
    memmove(l->at, l->at + 1, l->n * sizeof(struct log_segment *));
    return s;
}

void segment_list_unshift(struct segment_list *l, struct log_segment *s)
{
    segment_list_room(l);
    memmove(l->at + 1, l->at, l->n * sizeof(struct log_segment *));
    l->at[0] = s;
    l->n++;
}

void segment_list_close(struct segment_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        segment_close(l->at[i]);
    memory_free(l->at);
    *l = (struct segment_list){0};
}

/* ---------------------------------------------------------------- groups */

struct log_group *log_group_made(struct log *log, uint32_t number)
{
    ASSERT(number <= LOG_GROUP_MAX);
    if (number >= log->groups_n) {
        size_t n = (size_t)number + 1;
        log->groups = memory_grow(log->groups, n, sizeof(struct log_group *));
        memset(log->groups + log->groups_n, 0, (n - log->groups_n) * sizeof(struct log_group *));
        log->groups_n = n;
    }
    struct log_group *g = log->groups[number];
    if (g != NULL)
        return g;
    g = memory_zero(1, sizeof *g);
    g->log = log;
    g->number = number;
    g->expected = 1;
    terms_init(&g->terms, 0, 0);
    face_init(&g->face);
    log->groups[number] = g;
    log->groups_used++;
    return g;
}

static void group_destroy(struct log_group *g)
{
    if (g == NULL)
        return;
    terms_close(&g->terms);
    tail_close(&g->tail);
    blob_unref(g->membership);
    work_list_close(&g->parked);
    face_close(&g->face);
    places_close(&g->places);
    memory_free(g);
}

static uint64_t spread(const struct log *log)
{
    uint64_t bytes = log->groups_used * (uint64_t)LOG_SPREAD_BYTES;
    return bytes > LOG_SPREAD_BYTES_MIN ? bytes : LOG_SPREAD_BYTES_MIN;
}

const char *log_written(struct log_group *g, const struct record *r, struct bytes payload, uint64_t segment,
                        uint32_t offset)
{
    const char *flaw = face_apply(&g->face, r, payload);
    if (flaw != NULL)
        return flaw;
    if (r->kind == RECORD_ENTRY) {
        struct place p = {.index = r->index, .segment = segment, .offset = offset, .bytes = (uint32_t)record_bytes(r)};
        places_add(&g->places, p, spread(g->log));
    } else if (r->kind == RECORD_TRUNCATE) {
        places_truncate(&g->places, r->index);
    } else if (g->face.first > g->face.last) {
        places_clear(&g->places);
    } else if (r->kind == RECORD_FIRST) {
        places_compact(&g->places, g->face.first);
    }
    return NULL;
}

/* ---------------------------------------------------------------- state of the node */

void log_fail(struct log *log, const struct error *e)
{
    pthread_mutex_lock(&log->lock);
    if (!atomic_load(&log->failed))
        log->failure = *e;
    atomic_store(&log->room, false);
    atomic_store(&log->failed, true);
    pthread_mutex_unlock(&log->lock);
}

bool log_failed(const struct log *log)
{
    return atomic_load(&log->failed);
}

void log_failure(struct log *log, struct error *out)
{
    pthread_mutex_lock(&log->lock);
    *out = log->failure;
    pthread_mutex_unlock(&log->lock);
}

bool log_has_room(const struct log *log)
{
    return atomic_load_explicit(&log->room, memory_order_relaxed);
}

int log_claim_space(struct log *log, uint64_t want, uint64_t part, uint64_t *got, struct error *e)
{
    uint64_t free_bytes;
    int code = log->disk->space(log->disk, log->dir, &free_bytes, e);
    if (code != ERR_OK)
        return code;
    pthread_mutex_lock(&log->lock);
    uint64_t most = free_bytes > log->claimed_bytes ? (free_bytes - log->claimed_bytes) / part : 0;
    *got = want < most ? want : most;
    log->claimed_bytes += *got;
    pthread_mutex_unlock(&log->lock);
    return ERR_OK;
}

void log_unclaim_space(struct log *log, uint64_t got)
{
    pthread_mutex_lock(&log->lock);
    ASSERT(log->claimed_bytes >= got);
    log->claimed_bytes -= got;
    pthread_mutex_unlock(&log->lock);
}

bool log_above_window(const struct log *log)
{
    return atomic_load_explicit(&log->above_window, memory_order_relaxed);
}

uint64_t log_bytes(const struct log *log)
{
    return atomic_load_explicit(&log->bytes, memory_order_relaxed);
}

struct log_summary log_recovered(const struct log *log)
{
    return log->summary;
}

void log_count(struct log *log)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < log->segments.n; i++)
        sum += log->segments.at[i]->bytes;
    atomic_store(&log->bytes, sum);
    atomic_store(&log->above_window, sum > log->options.window_bytes);
}

void log_enqueue(struct log *log, struct log_work *w)
{
    pthread_mutex_lock(&log->lock);
    work_list_push(&log->queue, w);
    bool wake = log->writer_sleeps;
    pthread_mutex_unlock(&log->lock);
    if (wake)
        pthread_cond_signal(&log->writer_wake);
}

void log_check_space(struct log *log)
{
    pthread_mutex_lock(&log->lock);
    bool wake = log->stalled.head != NULL;
    work_list_join(&log->queue, &log->stalled);
    keeper_ask(log);
    pthread_mutex_unlock(&log->lock);
    if (wake)
        pthread_cond_signal(&log->writer_wake);
}

bool log_step(struct log *log)
{
    ASSERT(!log->options.threaded);
    bool wrote = writer_turn(log);
    bool kept = log->keeper_due && keeper_turn(log);
    return wrote || kept;
}

/* ---------------------------------------------------------------- open and close */

static int check_options(struct log_options *o, struct error *e)
{
    if (o->segment_bytes == 0)
        o->segment_bytes = LOG_SEGMENT_BYTES_DEFAULT;
    if (o->window_bytes == 0)
        o->window_bytes = LOG_WINDOW_BYTES_DEFAULT;
    if (o->reserve_segments == 0)
        o->reserve_segments = LOG_RESERVE_SEGMENTS_DEFAULT;
    if (o->free_bytes_min == 0)
        o->free_bytes_min = 2 * o->segment_bytes;
    if (o->segment_bytes < LOG_SEGMENT_BYTES_MIN || o->segment_bytes > LOG_SEGMENT_BYTES_MAX)
        return error_field(e, ERR_INVALID, "segment_bytes", "a log segment has %d to %d bytes", LOG_SEGMENT_BYTES_MIN,
                           LOG_SEGMENT_BYTES_MAX);
    if (o->segment_bytes % SEGMENT_PAGE_BYTES != 0)
        return error_field(e, ERR_INVALID, "segment_bytes", "a log segment is a multiple of %d bytes",
                           SEGMENT_PAGE_BYTES);
    if (o->reserve_segments < LOG_RESERVE_SEGMENTS_MIN || o->reserve_segments > LOG_RESERVE_SEGMENTS_MAX)
        return error_field(e, ERR_INVALID, "reserve_segments", "the log keeps %d to %d segments in reserve",
                           LOG_RESERVE_SEGMENTS_MIN, LOG_RESERVE_SEGMENTS_MAX);
    enum { ROOM_FOR_NAMES = 32 };
    if (strlen(o->dir) > DISK_PATH_MAX - ROOM_FOR_NAMES)
        return error_field(e, ERR_INVALID, "dir", "the log's directory has a path of at most %d bytes",
                           DISK_PATH_MAX - ROOM_FOR_NAMES);
    return ERR_OK;
}

static struct log *log_new(const struct log_options *o)
{
    struct log *log = memory_zero(1, sizeof *log);
    log->options = *o;
    log->disk = o->disk;
    snprintf(log->dir, sizeof log->dir, "%s", o->dir);
    log->options.dir = log->dir;
    pthread_mutex_init(&log->lock, NULL);
    pthread_mutex_init(&log->upkeep, NULL);
    pthread_cond_init(&log->writer_wake, NULL);
    pthread_cond_init(&log->keeper_wake, NULL);
    return log;
}

static void log_destroy(struct log *log)
{
    for (struct log_port *next, *p = atomic_load(&log->ports); p != NULL; p = next) {
        next = p->next;
        work_list_close(&p->done);
        port_destroy(p);
    }
    work_list_close(&log->queue);
    work_list_close(&log->stalled);
    batch_close(&log->writer);
    for (size_t i = 0; i < log->groups_n; i++)
        group_destroy(log->groups[i]);
    memory_free(log->groups);
    segment_list_close(&log->segments);
    segment_list_close(&log->ready);
    segment_list_close(&log->condemned);
    if (log->lock_file != NULL)
        log->disk->close(log->lock_file);
    pthread_mutex_destroy(&log->lock);
    pthread_mutex_destroy(&log->upkeep);
    pthread_cond_destroy(&log->writer_wake);
    pthread_cond_destroy(&log->keeper_wake);
    memory_free(log);
}

static int start_threads(struct log *log, struct error *e)
{
    if (pthread_create(&log->writer_thread, NULL, writer_main, log) != 0)
        return error_set(e, ERR_INTERNAL, "the log's writer thread cannot be started");
    if (pthread_create(&log->keeper_thread, NULL, keeper_main, log) == 0) {
        log->threads_run = true;
        return ERR_OK;
    }
    pthread_mutex_lock(&log->lock);
    log->stopping = true;
    pthread_cond_signal(&log->writer_wake);
    pthread_mutex_unlock(&log->lock);
    pthread_join(log->writer_thread, NULL);
    return error_set(e, ERR_INTERNAL, "the log's upkeep thread cannot be started");
}

static int open_files(struct log *log, struct error *e)
{
    char path[DISK_PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/LOCK", log->dir);
    ASSERT(n > 0 && (size_t)n < sizeof path);
    int code = log->disk->make_dir(log->disk, log->dir, e);
    if (code == ERR_OK)
        code = log->disk->lock(log->disk, path, &log->lock_file, e);
    return code == ERR_OK ? log_recover(log, e) : code;
}

int log_open(const struct log_options *options, struct log **out, struct error *e)
{
    struct error local;
    e = e != NULL ? e : &local;
    struct log_options checked = *options;
    int code = check_options(&checked, e);
    if (code != ERR_OK)
        return code;
    struct log *log = log_new(&checked);
    code = open_files(log, e);
    if (code == ERR_OK && log->options.threaded)
        code = start_threads(log, e);
    if (code == ERR_OK)
        *out = log;
    else
        log_destroy(log);
    return code;
}

static void stop_threads(struct log *log)
{
    if (!log->threads_run)
        return;
    pthread_mutex_lock(&log->lock);
    log->stopping = true;
    pthread_cond_signal(&log->writer_wake);
    pthread_cond_signal(&log->keeper_wake);
    pthread_mutex_unlock(&log->lock);
    pthread_join(log->writer_thread, NULL);
    pthread_join(log->keeper_thread, NULL);
    log->threads_run = false;
}

void log_close(struct log *log)
{
    if (log == NULL)
        return;
    stop_threads(log);
    /* Completions may submit more; without threads all of it is written here. */
    for (bool busy = true; busy;) {
        busy = writer_turn(log);
        for (struct log_port *p = atomic_load(&log->ports); p != NULL; p = p->next)
            busy = log_port_drain(p) > 0 || busy;
    }
    writer_finish(log);
    log_destroy(log);
}

void log_abandon(struct log *log)
{
    ASSERT(!log->options.threaded);
    log_destroy(log);
}
