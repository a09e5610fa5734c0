#include "base/assert.h"
#include "base/memory.h"
#include "log/inside.h"

struct log_group *log_group(struct log *log, uint32_t number, struct log_port *port)
{
    pthread_mutex_lock(&log->lock);
    struct log_group *g = log_group_made(log, number);
    g->port = port;
    pthread_mutex_unlock(&log->lock);
    return g;
}

size_t log_groups(struct log *log, uint32_t *out, size_t max)
{
    size_t n = 0;
    pthread_mutex_lock(&log->lock);
    for (size_t i = 0; i < log->groups_n; i++) {
        if (log->groups[i] == NULL)
            continue;
        if (n < max)
            out[n] = log->groups[i]->number;
        n++;
    }
    pthread_mutex_unlock(&log->lock);
    return n;
}

uint32_t log_group_number(const struct log_group *g)
{
    return g->number;
}

uint64_t log_first(const struct log_group *g)
{
    return terms_base(&g->terms) + 1;
}

uint64_t log_last(const struct log_group *g)
{
    return g->terms.last;
}

uint64_t log_durable(const struct log_group *g)
{
    return g->durable;
}

struct log_hard_state log_hard_state(const struct log_group *g)
{
    return g->state;
}

struct log_snapshot log_snapshot(const struct log_group *g)
{
    return (struct log_snapshot){
        .index = g->snapshot_index,
        .term = g->snapshot_term,
        .membership = g->membership != NULL ? blob_view(g->membership) : (struct bytes){0},
    };
}

int log_term(const struct log_group *g, uint64_t index, uint64_t *term)
{
    return terms_find(&g->terms, index, term) ? ERR_OK : ERR_NOT_FOUND;
}

/* ---------------------------------------------------------------- submit */

static struct blob *keep(const struct log_snapshot *from, struct log_snapshot *to)
{
    *to = *from;
    ASSERT(from->membership.len <= LOG_MEMBERSHIP_BYTES_MAX);
    struct blob *b = from->membership.len > 0 ? blob_copy(from->membership) : NULL;
    to->membership = b != NULL ? blob_view(b) : (struct bytes){0};
    return b;
}

static void set_snapshot(struct log_group *g, const struct log_snapshot *s, struct blob *membership)
{
    blob_unref(g->membership);
    g->membership = membership != NULL ? blob_ref(membership) : NULL;
    g->snapshot_index = s->index;
    g->snapshot_term = s->term;
}

static void take_reset(struct log_group *g, struct log_work *work, const struct log_snapshot *s)
{
    work->has_reset = true;
    work->reset_blob = keep(s, &work->reset);
    set_snapshot(g, s, work->reset_blob);
    tail_truncate(&g->tail, 0);
    terms_reset(&g->terms, s->index, s->term);
    g->durable = s->index;
    g->released = s->index;
}

static void take_mark(struct log_group *g, struct log_work *work, const struct log_snapshot *s)
{
    work->has_mark = true;
    work->mark_blob = keep(s, &work->mark);
    set_snapshot(g, s, work->mark_blob);
}

static void take_truncation(struct log_group *g, struct log_work *work, uint64_t from)
{
    if (from > g->terms.last)
        return;
    ASSERT(from > terms_base(&g->terms)); /* what was compacted was committed */
    bool known = terms_find(&g->terms, from - 1, &work->truncate_term);
    ASSERT(known);
    work->truncate_from = from;
    terms_truncate(&g->terms, from);
    tail_truncate(&g->tail, from);
    if (g->durable >= from)
        g->durable = from - 1;
    if (g->released >= from)
        g->released = from - 1;
}

static void take_entries(struct log_group *g, struct log_work *work, const struct log_entry *entries)
{
    uint64_t bytes = 0;
    uint64_t last_term;
    bool known = terms_find(&g->terms, g->terms.last, &last_term);
    ASSERT(known);
    for (size_t i = 0; i < work->entries_n; i++) {
        const struct log_entry *entry = &entries[i];
        ASSERT(entry->index == g->terms.last + 1 && entry->term >= last_term);
        ASSERT(entry->data.len <= LOG_ENTRY_BYTES_MAX && (entry->owner != NULL || entry->data.len == 0));
        work->entries[i] = *entry;
        if (entry->owner != NULL)
            blob_ref(entry->owner);
        terms_append(&g->terms, entry->term);
        tail_push(&g->tail, entry, work->sequence);
        last_term = entry->term;
        bytes += entry->data.len;
    }
    ASSERT(bytes <= LOG_WRITE_BYTES_MAX);
}

static void take_state(struct log_group *g, struct log_work *work, const struct log_hard_state *state)
{
    work->has_state = true;
    work->state = *state;
    for (size_t i = 0; i < sizeof work->vote; i++)
        work->vote[i] = (uint8_t)(state->vote >> (8 * i));
    g->state = *state;
}

static struct log_work *work_create(struct log_group *g, size_t entries_n)
{
    struct log_work *work = memory_alloc(sizeof *work + entries_n * sizeof work->entries[0]);
    *work = (struct log_work){.group = g, .entries_n = entries_n};
    return work;
}

void log_submit(struct log_group *g, struct log_write *w)
{
    ASSERT(g->port != NULL && w->done != NULL && w->entries_n <= LOG_WRITE_ENTRIES_MAX);
    struct log_work *work = work_create(g, w->entries_n);
    work->write = w;
    work->sequence = ++g->sequence;
    if (w->reset != NULL)
        take_reset(g, work, w->reset);
    if (w->mark != NULL)
        take_mark(g, work, w->mark);
    if (w->truncate_from > 0)
        take_truncation(g, work, w->truncate_from);
    take_entries(g, work, w->entries);
    if (w->state != NULL)
        take_state(g, work, w->state);
    w->work = work;
    log_enqueue(g->log, work);
}

static void unpark(struct log_group *g, const struct log_work *work)
{
    struct work_list rest = {0};
    for (struct log_work *next, *at = g->parked.head; at != NULL; at = next) {
        next = at->next;
        if (at != work)
            work_list_push(&rest, at);
    }
    g->parked = rest;
}

void log_retry(struct log_group *g, struct log_write *w)
{
    struct log_work *work = w->work;
    ASSERT(work != NULL && work->group == g && work->code == ERR_STORAGE_FULL);
    unpark(g, work);
    work->code = ERR_OK;
    log_enqueue(g->log, work);
}

void log_release(struct log_group *g, uint64_t upto)
{
    if (upto > g->released)
        g->released = upto;
    tail_drop(&g->tail, g->released < g->durable ? g->released : g->durable);
}

void log_compact(struct log_group *g, uint64_t upto)
{
    if (upto <= terms_base(&g->terms))
        return;
    ASSERT(upto <= g->durable);
    struct log_work *work = work_create(g, 0);
    work->first = upto + 1;
    bool known = terms_find(&g->terms, upto, &work->first_term);
    ASSERT(known);
    terms_compact(&g->terms, upto, work->first_term);
    if (g->released < upto)
        g->released = upto;
    tail_drop(&g->tail, upto);
    log_enqueue(g->log, work);
}

/* ---------------------------------------------------------------- reading */

static void lend(const struct log_entry *from, struct log_entry *to)
{
    *to = *from;
    if (to->owner != NULL)
        blob_ref(to->owner);
}

int log_entry_cached(struct log_group *g, uint64_t index, struct log_entry *out)
{
    const struct tail_slot *slot = tail_find(&g->tail, index);
    if (slot == NULL)
        return ERR_NOT_FOUND;
    lend(&slot->entry, out);
    return ERR_OK;
}

int log_entry(struct log_group *g, uint64_t index, struct log_entry *out, struct error *e)
{
    size_t n;
    return log_entries(g, index, index + 1, 0, false, out, 1, &n, e);
}

static size_t take_cached(struct log_group *g, uint64_t lo, uint64_t hi, uint64_t bytes_max, struct log_entry *out,
                          size_t max, uint64_t *bytes)
{
    size_t n = 0;
    for (; n < max && lo + n < hi; n++) {
        const struct tail_slot *slot = tail_find(&g->tail, lo + n);
        if (slot == NULL)
            break;
        if (*bytes > 0 && *bytes + slot->entry.data.len > bytes_max)
            break;
        *bytes += slot->entry.data.len;
        lend(&slot->entry, &out[n]);
    }
    return n;
}

/* The part from `at` on that is not in memory: what is there may differ from the disk until a truncation is written. */
static int take_stored(struct log_group *g, uint64_t at, uint64_t hi, uint64_t bytes_max, struct log_entry *out,
                       size_t max, size_t *n, uint64_t *bytes, struct error *e)
{
    uint64_t end = tail_first(&g->tail) < hi ? tail_first(&g->tail) : hi;
    uint64_t left = bytes_max > *bytes ? bytes_max - *bytes : 0;
    int code = reader_fetch(g->log, g->number, at, end, left, *bytes == 0, out, max, n, e);
    for (size_t i = 0; code == ERR_OK && i < *n; i++)
        *bytes += out[i].data.len;
    return code;
}

int log_entries(struct log_group *g, uint64_t lo, uint64_t hi, uint64_t bytes_max, bool cached_only,
                struct log_entry *out, size_t max, size_t *n, struct error *e)
{
    *n = 0;
    if (lo < log_first(g) || hi > g->terms.last + 1 || lo >= hi)
        return error_set(e, ERR_NOT_FOUND, "group %u keeps entries %llu to %llu, not all of %llu to %llu", g->number,
                         (unsigned long long)log_first(g), (unsigned long long)g->terms.last, (unsigned long long)lo,
                         (unsigned long long)hi - 1);
    uint64_t bytes = 0;
    while (*n < max && lo + *n < hi) {
        uint64_t at = lo + *n;
        size_t got = take_cached(g, at, hi, bytes_max, out + *n, max - *n, &bytes);
        if (got == 0 && !cached_only && tail_find(&g->tail, at) == NULL) {
            int code = take_stored(g, at, hi, bytes_max, out + *n, max - *n, &got, &bytes, e);
            if (code != ERR_OK) {
                while (*n > 0)
                    blob_unref(out[--*n].owner);
                return code;
            }
        }
        if (got == 0)
            break;
        *n += got;
    }
    return ERR_OK;
}

int log_read(struct log *log, uint32_t group, uint64_t index, struct blob **out, struct error *e)
{
    struct log_entry entry;
    size_t n;
    int code = reader_fetch(log, group, index, index + 1, 0, true, &entry, 1, &n, e);
    if (code != ERR_OK)
        return code;
    *out = entry.owner;
    return ERR_OK;
}

/* The newest of the files to let go of: the oldest, and what follows while the rest is above the window. */
static uint64_t oldest_edge(const struct log *log, uint64_t bytes_max)
{
    uint64_t taken = log->segments.at[0]->bytes, left = log_bytes(log) - taken;
    size_t i = 0;
    while (i + 2 < log->segments.n && left > log->options.window_bytes) {
        uint64_t bytes = log->segments.at[i + 1]->bytes;
        if (taken + bytes > bytes_max)
            break;
        taken += bytes;
        left -= bytes;
        i++;
    }
    return log->segments.at[i]->sequence;
}

uint64_t log_oldest_index(struct log_group *g, uint64_t bytes_max)
{
    struct log *log = g->log;
    uint64_t last = 0;
    pthread_mutex_lock(&log->lock);
    const struct place *first = places_find(&g->places, g->face.first);
    uint64_t edge = oldest_edge(log, bytes_max);
    if (log->segments.n > 1 && first != NULL && first->segment <= edge && g->face.first <= g->face.last) {
        const struct place *beyond = places_beyond(&g->places, edge);
        last = beyond != NULL ? beyond->index - 1 : g->face.last;
    }
    pthread_mutex_unlock(&log->lock);
    if (last > g->durable)
        last = g->durable;
    return last > terms_base(&g->terms) ? last : 0;
}
