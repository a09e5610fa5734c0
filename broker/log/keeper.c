#include "base/assert.h"
#include "base/memory.h"
#include "log/inside.h"

void keeper_ask(struct log *log)
{
    log->keeper_due = true;
    pthread_cond_signal(&log->keeper_wake);
}

uint64_t keeper_id(struct log *log, uint64_t sequence, uint64_t former)
{
    struct buffer b = {0};
    buffer_u64(&b, sequence);
    buffer_u64(&b, former); /* a file never has the same id twice, even if the seed repeats */
    buffer_u64(&b, log->next_id++);
    uint64_t id = bytes_hash(buffer_view(&b), log->options.seed);
    buffer_close(&b);
    return id != 0 ? id : 1; /* 0 is what an empty file is full of */
}

/* The oldest segment that holds an entry somebody needs. */
static uint64_t oldest_needed(const struct log *log)
{
    uint64_t oldest = log->segments.at[log->segments.n - 1]->sequence;
    for (size_t i = 0; i < log->groups_n; i++) {
        const struct log_group *g = log->groups[i];
        if (g == NULL || g->face.first > g->face.last)
            continue;
        const struct place *p = places_find(&g->places, g->face.first);
        ASSERT(p != NULL);
        if (p->segment < oldest)
            oldest = p->segment;
    }
    return oldest;
}

void keeper_condemn(struct log *log)
{
    uint64_t oldest = oldest_needed(log);
    bool any = false;
    while (log->segments.at[0]->sequence < oldest) {
        segment_list_push(&log->condemned, segment_list_shift(&log->segments));
        any = true;
    }
    if (!any)
        return;
    log_count(log);
    keeper_ask(log);
}

/* ---------------------------------------------------------------- old segments */

/* Spares of former segments are kept as far as the disk use stays within window and reserve: writing over a file that
 * has its blocks is much faster than a new one. */
static bool worth_keeping(const struct log *log, const struct log_segment *s)
{
    const struct log_options *o = &log->options;
    if (s->made_bytes != o->segment_bytes)
        return false;
    uint64_t sum = s->made_bytes;
    for (size_t i = 0; i < log->segments.n; i++)
        sum += log->segments.at[i]->bytes;
    for (size_t i = 0; i < log->ready.n; i++)
        sum += log->ready.at[i]->bytes;
    return log->ready.n < o->reserve_segments || sum <= o->window_bytes + o->reserve_segments * o->segment_bytes;
}

static void add_ready(struct log *log, struct log_segment *s)
{
    pthread_mutex_lock(&log->lock);
    segment_list_push(&log->ready, s);
    log->last_sequence = s->sequence;
    pthread_mutex_unlock(&log->lock);
}

static int reuse(struct log *log, struct log_segment *s, struct error *e)
{
    uint64_t sequence = log->last_sequence + 1;
    int code = segment_recycle(s, log->dir, sequence, keeper_id(log, sequence, s->id), s->made_bytes, e);
    if (code == ERR_OK)
        add_ready(log, s);
    return code;
}

static int retire(struct log *log, struct log_segment *s, bool keep, struct error *e)
{
    int code = keep ? reuse(log, s, e) : ERR_STORAGE_FULL;
    if (keep && code == ERR_OK)
        return ERR_OK;
    if (code == ERR_STORAGE_FULL)
        code = segment_remove(s, log->dir, e);
    segment_close(s);
    return code;
}

/* Strictly from the oldest on: a gap in the sequence would be taken for a lost file. */
static bool retire_next(struct log *log, struct error *e, int *code)
{
    pthread_mutex_lock(&log->lock);
    struct log_segment *s = NULL;
    if (log->condemned.n > 0 && log->condemned.at[0]->readers == 0)
        s = segment_list_shift(&log->condemned);
    bool keep = s != NULL && worth_keeping(log, s);
    pthread_mutex_unlock(&log->lock);
    if (s == NULL)
        return false;
    *code = retire(log, s, keep, e);
    return true;
}

/* ---------------------------------------------------------------- new segments */

static int make(struct log *log, struct log_segment **out, struct error *e)
{
    uint64_t sequence = log->last_sequence + 1;
    return segment_create(log->disk, log->dir, sequence, keeper_id(log, sequence, 0), log->options.segment_bytes, out,
                          e);
}

static size_t ready_count(struct log *log)
{
    pthread_mutex_lock(&log->lock);
    size_t n = log->ready.n;
    pthread_mutex_unlock(&log->lock);
    return n;
}

/* The newest spare goes, the last in the sequence. */
static int drop_spare(struct log *log, struct error *e)
{
    pthread_mutex_lock(&log->lock);
    struct log_segment *s = log->ready.n > log->options.reserve_segments ? log->ready.at[--log->ready.n] : NULL;
    if (s != NULL)
        log->last_sequence = s->sequence - 1;
    pthread_mutex_unlock(&log->lock);
    if (s == NULL)
        return ERR_OK;
    int code = segment_remove(s, log->dir, e);
    segment_close(s);
    return code;
}

/* Fills the reserve, and finds out whether there is room for more messages. */
static int stock(struct log *log, bool *did, struct error *e)
{
    int code = ERR_OK;
    while (code == ERR_OK && ready_count(log) < log->options.reserve_segments) {
        struct log_segment *s;
        code = make(log, &s, e);
        if (code != ERR_OK)
            break;
        add_ready(log, s);
        *did = true;
    }
    if (code != ERR_OK && code != ERR_STORAGE_FULL)
        return code;
    bool full = code == ERR_STORAGE_FULL;
    uint64_t free_bytes;
    code = log->disk->space(log->disk, log->dir, &free_bytes, e);
    if (code != ERR_OK)
        return code;
    bool room = !full && free_bytes >= log->options.free_bytes_min;
    atomic_store(&log->room, room && !log_failed(log));
    return room ? ERR_OK : drop_spare(log, e);
}

bool keeper_turn(struct log *log)
{
    pthread_mutex_lock(&log->upkeep);
    pthread_mutex_lock(&log->lock);
    log->keeper_due = false;
    pthread_mutex_unlock(&log->lock);
    struct error e;
    bool did = false;
    int code = log_failed(log) ? ERR_IO : ERR_OK;
    if (code == ERR_OK) {
        while (code == ERR_OK && retire_next(log, &e, &code))
            did = true;
        if (code == ERR_OK)
            code = stock(log, &did, &e);
        if (code != ERR_OK)
            log_fail(log, &e);
    }
    pthread_mutex_unlock(&log->upkeep);
    return did;
}

/* ---------------------------------------------------------------- for the writer */

/* The next segment unless `keep` or fewer are ready. */
static struct log_segment *shift_ready(struct log *log, size_t keep)
{
    pthread_mutex_lock(&log->lock);
    struct log_segment *s = log->ready.n > keep ? segment_list_shift(&log->ready) : NULL;
    pthread_mutex_unlock(&log->lock);
    return s;
}

/* Too few were ready: waits for the one the keeper is making, or makes it. */
static int take_slowly(struct log *log, size_t keep, struct log_segment **out, struct error *e)
{
    pthread_mutex_lock(&log->upkeep);
    int code = ERR_OK;
    while (code == ERR_OK && (*out = shift_ready(log, keep)) == NULL) {
        struct log_segment *s;
        code = make(log, &s, e);
        if (code == ERR_OK)
            add_ready(log, s);
    }
    pthread_mutex_unlock(&log->upkeep);
    return code;
}

int keeper_take(struct log *log, uint64_t bytes, bool last_too, struct log_segment **out, struct error *e)
{
    size_t keep = last_too ? 0 : 1;
    struct log_segment *s = shift_ready(log, keep);
    int code = s == NULL ? take_slowly(log, keep, &s, e) : ERR_OK;
    if (code == ERR_OK && s->made_bytes < bytes) {
        code = segment_stamp(s, s->id, bytes, e);
        if (code != ERR_OK) {
            pthread_mutex_lock(&log->lock);
            segment_list_unshift(&log->ready, s);
            pthread_mutex_unlock(&log->lock);
        }
    }
    if (code == ERR_STORAGE_FULL)
        atomic_store(&log->room, false);
    pthread_mutex_lock(&log->lock);
    keeper_ask(log);
    pthread_mutex_unlock(&log->lock);
    *out = s;
    return code;
}

void *keeper_main(void *arg)
{
    struct log *log = arg;
    pthread_mutex_lock(&log->lock);
    while (!log->stopping) {
        if (!log->keeper_due) {
            pthread_cond_wait(&log->keeper_wake, &log->lock);
            continue;
        }
        pthread_mutex_unlock(&log->lock);
        keeper_turn(log);
        pthread_mutex_lock(&log->lock);
    }
    pthread_mutex_unlock(&log->lock);
    return NULL;
}
