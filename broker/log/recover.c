#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/memory.h"
#include "log/inventory.h"
#include "log/scan.h"

enum { PIECE_BYTES = 1 << 20 };

/* A record of a write whose last record was not met yet. */
struct pending {
    struct record record;
    uint64_t at;
    uint64_t segment;
    struct blob *payload; /* of the small kinds */
};

struct recovery {
    struct log *log;
    struct inventory files;
    uint64_t *absent; /* for each group the last entry that lies before the oldest file */
    struct scan scan;
    struct pending *pending;
    size_t pending_n, pending_capacity;
    uint64_t previous; /* the checksum of the last record; 0 at first */
    uint64_t good;     /* where the last whole write of the segment in hand ends */
    uint64_t good_previous;
    uint64_t trace; /* how far what was written reaches at least, torn or not */
    bool marked;    /* the records end at a mark that says no more than they do */
};

/* ---------------------------------------------------------------- records */

static void follow(struct recovery *r, struct log_group *g, const struct record *record)
{
    uint64_t *absent = &r->absent[g->number];
    switch (record->kind) {
    case RECORD_ENTRY:
        terms_append(&g->terms, record->term);
        break;
    case RECORD_TRUNCATE:
        terms_truncate(&g->terms, record->index);
        if (*absent >= record->index)
            *absent = record->index - 1;
        break;
    case RECORD_FIRST:
        terms_compact(&g->terms, record->index - 1, record->term);
        break;
    case RECORD_RESET:
        terms_reset(&g->terms, record->index, record->term);
        *absent = 0;
        break;
    default:
        break;
    }
}

static int apply(struct recovery *r, const struct log_segment *s, const struct record *record, uint64_t at,
                 struct bytes payload, struct error *e)
{
    struct log_group *g = log_group_made(r->log, record->group);
    const char *flaw = log_written(g, record, payload, s->sequence, (uint32_t)at);
    if (flaw != NULL)
        return segment_damaged(s, at, flaw, "although its checksum holds", e);
    follow(r, g, record);
    return ERR_OK;
}

static void postpone(struct recovery *r, const struct log_segment *s, const struct record *record, uint64_t at,
                     struct bytes payload)
{
    if (r->pending_n == r->pending_capacity) {
        r->pending_capacity = r->pending_capacity * 2 + 16;
        r->pending = memory_grow(r->pending, r->pending_capacity, sizeof *r->pending);
    }
    struct blob *copy = record->kind != RECORD_ENTRY ? blob_copy(payload) : NULL;
    r->pending[r->pending_n++] = (struct pending){*record, at, s->sequence, copy};
}

static void forget_pending(struct recovery *r)
{
    for (size_t i = 0; i < r->pending_n; i++)
        blob_unref(r->pending[i].payload);
    r->pending_n = 0;
}

/* The write is whole: all its records count. */
static int apply_pending(struct recovery *r, const struct log_segment *s, struct error *e)
{
    int code = ERR_OK;
    for (size_t i = 0; code == ERR_OK && i < r->pending_n; i++) {
        const struct pending *p = &r->pending[i];
        struct bytes payload = p->payload != NULL ? blob_view(p->payload) : (struct bytes){0};
        code = apply(r, s, &p->record, p->at, payload, e);
    }
    forget_pending(r);
    return code;
}

/* The oldest segment's checkpoint is where everything begins. */
static void adopt(struct recovery *r, struct log_group *g, const struct face *f)
{
    face_close(&g->face);
    g->face = *f;
    terms_reset(&g->terms, f->first - 1, f->base_term);
    terms_skip(&g->terms, f->last, f->last_term);
    r->absent[g->number] = f->last;
}

static int checkpoint(struct recovery *r, const struct log_segment *s, struct bytes payload, struct error *e)
{
    struct cursor c = cursor_open(payload);
    bool first = s == r->files.files.at[0];
    cursor_u64(&c);
    uint32_t n = cursor_u32(&c);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t number;
        struct face f;
        if (!face_decode(&c, &number, &f))
            return segment_damaged(s, SEGMENT_HEADER_BYTES, "is a checkpoint that cannot be read",
                                   "although its checksum holds", e);
        struct log_group *g = log_group_made(r->log, number);
        if (first) {
            adopt(r, g, &f);
            continue;
        }
        bool equal = face_equal(&f, &g->face);
        face_close(&f);
        if (!equal)
            return segment_damaged(s, SEGMENT_HEADER_BYTES, "disagrees with the records before it",
                                   "although its checksum holds", e);
    }
    size_t used = 0;
    for (size_t i = 0; i < r->log->groups_n; i++)
        used += r->log->groups[i] != NULL && r->log->groups[i]->face.used;
    if (c.failed || cursor_left(&c) > 0 || used != n)
        return segment_damaged(s, SEGMENT_HEADER_BYTES, "is a checkpoint of other groups",
                               "although its checksum holds", e);
    return ERR_OK;
}

static int take(struct recovery *r, const struct log_segment *s, const struct record *record, uint64_t at,
                const uint8_t *header, struct error *e)
{
    struct bytes payload = bytes_of(header + RECORD_HEADER_BYTES, record->stored);
    bool first = at == SEGMENT_HEADER_BYTES;
    if (first != (record->kind == RECORD_CHECKPOINT))
        return segment_damaged(s, at, "is out of place", "although its checksum holds", e);
    if (first)
        return checkpoint(r, s, payload, e);
    if ((record->flags & RECORD_END) == 0) {
        postpone(r, s, record, at, payload);
        return ERR_OK;
    }
    int code = apply_pending(r, s, e);
    return code == ERR_OK ? apply(r, s, record, at, payload, e) : code;
}

/* ---------------------------------------------------------------- segments */

/* Reads records until one is not good; *at is where, *flaw why. */
static int read_records(struct recovery *r, const struct log_segment *s, uint64_t *at, const char **flaw,
                        struct error *e)
{
    *at = SEGMENT_HEADER_BYTES;
    r->good = *at;
    while (*at < r->scan.end) {
        struct record record = {0};
        const uint8_t *header;
        int code = scan_record(&r->scan, *at, &record, &header, flaw, e);
        if (code != ERR_OK)
            return code;
        if (*flaw == NULL && record.previous != r->previous && r->previous != 0)
            *flaw = "does not follow the record before it";
        if (*flaw == NULL && record.kind == RECORD_DURABLE) {
            /* What followed the mark overwrote it: nothing behind it belongs here. */
            *flaw = "is missing (only a mark of what is durable stands there)";
            r->marked = record.durable <= r->good;
        }
        r->trace = record.segment == r->scan.id && !r->marked ? *at + RECORD_HEADER_BYTES : *at;
        if (*flaw != NULL)
            return ERR_OK;
        code = take(r, s, &record, *at, header, e);
        if (code != ERR_OK)
            return code;
        *at += record_bytes(&record);
        r->previous = record.checksum;
        r->log->summary.records++;
        r->log->summary.bytes += record_bytes(&record);
        if (record.flags & RECORD_END) {
            r->good = *at;
            r->good_previous = r->previous;
        }
    }
    r->trace = *at;
    *flaw = "is missing (the file ends)";
    return ERR_OK;
}

/* Of a segment that another follows every byte up to its end was synced. */
static int read_whole(struct recovery *r, size_t i, struct error *e)
{
    struct log_segment *s = r->files.files.at[i];
    uint64_t at;
    const char *flaw;
    s->end = r->files.ends[i];
    scan_aim(&r->scan, s->file, s->id, s->end);
    int code = read_records(r, s, &at, &flaw, e);
    if (code != ERR_OK)
        return code;
    if (at != s->end)
        return segment_damaged(s, at, flaw, "although a later segment proves that it was on disk", e);
    if (r->pending_n > 0)
        return segment_damaged(s, r->good, "begins a write that has no end", "although a later segment follows", e);
    return ERR_OK;
}

static void note_cut(struct recovery *r, const struct log_segment *s, uint64_t trace_end)
{
    struct log_summary *summary = &r->log->summary;
    uint64_t end = trace_end > r->trace ? trace_end : r->trace;
    if (end == r->good)
        return;
    summary->cut_bytes = end - r->good;
    snprintf(summary->cut_file, sizeof summary->cut_file, "%016" PRIx64 ".seg", s->sequence);
}

/* The last one: what follows the good records is a torn tail, unless a later record proves that it was synced. */
static int read_last(struct recovery *r, struct error *e)
{
    struct log_segment *s = r->files.files.at[r->files.started - 1];
    uint64_t at;
    const char *flaw;
    scan_aim(&r->scan, s->file, s->id, s->bytes);
    int code = read_records(r, s, &at, &flaw, e);
    if (code != ERR_OK)
        return code;
    struct scan_traces traces;
    code = scan_traces(&r->scan, r->marked ? at + RECORD_HEADER_BYTES : at, r->good, &traces, e);
    if (code != ERR_OK)
        return code;
    if (traces.proof != 0) {
        char proof[96];
        snprintf(proof, sizeof proof, "although the record at offset %" PRIu64 " proves that it was on disk",
                 traces.proof);
        return segment_damaged(s, at, flaw, proof, e);
    }
    note_cut(r, s, traces.trace_end);
    forget_pending(r);
    s->end = r->good;
    r->previous = r->good_previous;
    return ERR_OK;
}

static int check_complete(struct recovery *r, struct error *e)
{
    for (size_t i = 0; i < r->log->groups_n; i++) {
        const struct log_group *g = r->log->groups[i];
        if (g == NULL)
            continue;
        if (g->face.first <= r->absent[i] && g->face.first <= g->face.last)
            return error_set(
                e, ERR_CORRUPT,
                "%s: entries %" PRIu64 " to %" PRIu64
                " of group %zu are missing: a segment file before it is gone, or the end of %s, which said that they "
                "are not needed; " SEGMENT_ADVICE,
                r->files.files.at[0]->file->path, g->face.first, r->absent[i], i,
                r->files.files.at[r->files.started - 1]->file->path);
        r->log->summary.entries += g->face.last + 1 - g->face.first;
    }
    return ERR_OK;
}

static int read_all(struct recovery *r, struct error *e)
{
    for (size_t i = 0; i + 1 < r->files.started; i++) {
        int code = read_whole(r, i, e);
        if (code != ERR_OK)
            return code;
    }
    int code = read_last(r, e);
    r->log->summary.segments = r->files.started;
    return code == ERR_OK ? check_complete(r, e) : code;
}

/* ---------------------------------------------------------------- from reading to writing */

static void hand_over_groups(struct log *log)
{
    for (size_t i = 0; i < log->groups_n; i++) {
        struct log_group *g = log->groups[i];
        if (g == NULL)
            continue;
        g->state = g->face.state;
        g->snapshot_index = g->face.snapshot_index;
        g->snapshot_term = g->face.snapshot_term;
        g->membership = g->face.membership != NULL ? blob_ref(g->face.membership) : NULL;
        g->durable = g->face.last;
        g->released = g->face.first - 1;
    }
}

/* Those never used get a new id each: a power cut may have left traces in them that must not come to life later. */
static int hand_over_files(struct recovery *r, struct error *e)
{
    struct log *log = r->log;
    for (size_t i = 0; i < r->files.files.n; i++) {
        struct log_segment *s = r->files.files.at[i];
        log->last_sequence = s->sequence;
        if (i < r->files.started) {
            segment_list_push(&log->segments, s);
            continue;
        }
        segment_list_push(&log->ready, s);
        s->end = SEGMENT_HEADER_BYTES;
    }
    r->files.files.n = 0;
    for (size_t i = 0; i < log->ready.n; i++) {
        struct log_segment *s = log->ready.at[i];
        int code = segment_stamp(s, keeper_id(log, s->sequence, s->id), s->made_bytes, e);
        if (code != ERR_OK)
            return code;
    }
    return ERR_OK;
}

static int remove_half_made(struct recovery *r, struct error *e)
{
    struct disk *disk = r->log->disk;
    for (size_t i = 0; i < r->files.made_n; i++) {
        char path[DISK_PATH_MAX];
        segment_path(r->log->dir, r->files.made[i], "new", path);
        int code = disk->unlink(disk, path, e);
        if (code != ERR_OK)
            return code;
    }
    return disk->sync_dir(disk, r->log->dir, e);
}

/* After a killed process the last segment may hold more than was synced; what was read must stay before anything is
 * built on it. */
static int secure_last(struct log *log, struct error *e)
{
    if (log->segments.n == 0)
        return ERR_OK;
    struct log_segment *s = log->segments.at[log->segments.n - 1];
    return log->disk->sync(s->file, e);
}

/* The rest of the last segment is not written to again; its space is given back. */
static int trim(struct log *log, struct log_segment *s, struct error *e)
{
    uint64_t bytes = (s->end + SEGMENT_PAGE_BYTES - 1) & ~(uint64_t)(SEGMENT_PAGE_BYTES - 1);
    if (bytes >= s->bytes)
        return ERR_OK;
    int code = log->disk->truncate(s->file, bytes, e);
    if (code == ERR_OK)
        s->bytes = bytes;
    return code;
}

static int begin(struct recovery *r, struct error *e)
{
    struct log *log = r->log;
    struct log_segment *last = r->files.started > 0 ? r->files.files.at[r->files.started - 1] : NULL;
    hand_over_groups(log);
    int code = hand_over_files(r, e);
    if (code == ERR_OK)
        code = remove_half_made(r, e);
    if (code == ERR_OK)
        code = secure_last(log, e);
    if (code != ERR_OK)
        return code;
    log->writer.previous = r->previous;
    log->writer.former_end = last != NULL ? last->end : 0;
    code = writer_begin(log, e);
    if (code == ERR_OK)
        return last != NULL ? trim(log, last, e) : ERR_OK;
    if (code != ERR_STORAGE_FULL || last == NULL)
        return code;
    /* The disk is full and nothing is in reserve: what the last segment does not use may be enough. */
    code = segment_shrink(last, e);
    return code == ERR_OK ? writer_begin(log, e) : code;
}

/* The lock file is empty until the first segment is durable: from then on an empty directory means loss. */
static int remember_birth(struct log *log, struct error *e)
{
    static const char TEXT[] = "This directory holds a log of Hato.\n";
    uint64_t size;
    int code = log->lock_file->disk->size(log->lock_file, &size, e);
    if (code != ERR_OK || size > 0)
        return code;
    code = disk_write_bytes(log->lock_file, 0, TEXT, sizeof TEXT - 1, e);
    if (code == ERR_OK)
        code = log->disk->sync(log->lock_file, e);
    return code == ERR_OK ? log->disk->sync_dir(log->disk, log->dir, e) : code;
}

static int check_birth(struct recovery *r, struct error *e)
{
    if (r->files.started > 0)
        return ERR_OK;
    uint64_t size;
    int code = r->log->disk->size(r->log->lock_file, &size, e);
    if (code == ERR_OK && size > 0)
        code =
            error_set(e, ERR_CORRUPT,
                      "%s: all segment files with records are gone, and there were some; " SEGMENT_ADVICE, r->log->dir);
    return code;
}

static int recover(struct recovery *r, struct error *e)
{
    int code = inventory_open(&r->files, r->log, e);
    if (code == ERR_OK)
        code = check_birth(r, e);
    if (code == ERR_OK && r->files.started > 0)
        code = read_all(r, e);
    if (code == ERR_OK)
        code = begin(r, e);
    return code == ERR_OK ? remember_birth(r->log, e) : code;
}

int log_recover(struct log *log, struct error *e)
{
    struct recovery r = {.log = log};
    r.absent = memory_zero(LOG_GROUP_MAX + 1, sizeof *r.absent);
    scan_open(&r.scan, NULL, 0, 0, PIECE_BYTES);
    int code = recover(&r, e);
    scan_close(&r.scan);
    forget_pending(&r);
    inventory_close(&r.files);
    memory_free(r.pending);
    memory_free(r.absent);
    if (code != ERR_OK)
        return code;
    pthread_mutex_lock(&log->lock);
    log_count(log);
    keeper_condemn(log);
    pthread_mutex_unlock(&log->lock);
    keeper_turn(log);
    if (!log_failed(log))
        return ERR_OK;
    log_failure(log, e);
    return (int)e->code;
}
