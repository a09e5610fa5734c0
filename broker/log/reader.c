#include <inttypes.h>

#include "base/assert.h"
#include "base/memory.h"
#include "log/inside.h"
#include "log/scan.h"

enum { PIECE_BYTES = 64 << 10, RUN_PIECE_BYTES = 1 << 20 };

/* Where to look for an entry, and the segment it is in, held against reuse. */
struct spot_found {
    struct log_segment *segment;
    uint64_t id;
    uint64_t end;
    struct place place;
    uint64_t end_index; /* entries below it follow each other there */
};

static int locate(struct log *log, uint32_t group, uint64_t index, uint64_t hi, struct spot_found *out, struct error *e)
{
    pthread_mutex_lock(&log->lock);
    const struct log_group *g = group < log->groups_n ? log->groups[group] : NULL;
    const struct place *p = NULL;
    if (g != NULL && index >= g->face.first && index <= g->face.last)
        p = places_find(&g->places, index);
    if (p != NULL) {
        struct log_segment *s = log->segments.at[p->segment - log->segments.at[0]->sequence];
        ASSERT(s->sequence == p->segment);
        s->readers++;
        uint64_t end_index = hi <= g->face.last ? hi : g->face.last + 1;
        *out = (struct spot_found){s, s->id, s->end, *p, places_run_end(&g->places, p, end_index)};
    }
    pthread_mutex_unlock(&log->lock);
    if (p != NULL)
        return ERR_OK;
    error_set(e, ERR_NOT_FOUND, "entry %" PRIu64 " of group %u is compacted or not on disk", index, group);
    return ERR_NOT_FOUND;
}

static void let_go(struct log *log, struct log_segment *s)
{
    pthread_mutex_lock(&log->lock);
    s->readers--;
    if (s->readers == 0 && log->condemned.n > 0)
        keeper_ask(log);
    pthread_mutex_unlock(&log->lock);
}

static int unpack(const struct log_segment *s, uint64_t at, const struct record *r, const uint8_t *header,
                  struct log_entry *out, struct error *e)
{
    struct bytes stored = bytes_of(header + RECORD_HEADER_BYTES, r->stored);
    struct blob *b = NULL;
    if ((r->flags & RECORD_ZSTD) == 0) {
        b = blob_copy(stored);
    } else {
        b = blob_create(r->raw);
        if (!pack_open(stored, b->data, r->raw)) {
            blob_unref(b);
            return segment_damaged(s, at, "does not decompress", NULL, e);
        }
    }
    *out =
        (struct log_entry){.index = r->index, .term = r->term, .kind = r->entry_kind, .data = blob_view(b), .owner = b};
    return ERR_OK;
}

/* What is still wanted of a run of entries in one segment. */
struct run {
    uint32_t group;
    uint64_t next; /* to be met next in the file */
    uint64_t lo, hi;
    uint64_t bytes_left;
    bool must; /* the first goes whatever its size */
    struct log_entry *out;
    size_t max, n;
};

static bool wanted(const struct run *run, const struct record *r)
{
    return (run->must && run->n == 0) || r->raw <= run->bytes_left;
}

/* One record of the group at `at`. Sets *done when the run is over. */
static int take(struct run *run, struct scan *scan, const struct log_segment *s, uint64_t at, bool *done,
                struct error *e)
{
    struct record r;
    const uint8_t *header;
    const char *flaw;
    int code = scan_record(scan, at, &r, &header, &flaw, e);
    if (code != ERR_OK)
        return code;
    if (flaw != NULL)
        return segment_damaged(s, at, flaw, NULL, e);
    if (!wanted(run, &r)) {
        *done = true;
        return ERR_OK;
    }
    code = unpack(s, at, &r, header, &run->out[run->n], e);
    if (code != ERR_OK)
        return code;
    run->bytes_left -= r.raw < run->bytes_left ? r.raw : run->bytes_left;
    run->n++;
    *done = run->n == run->max || run->next + 1 == run->hi;
    return ERR_OK;
}

static int walk(struct run *run, struct scan *scan, const struct spot_found *from, struct error *e)
{
    uint64_t at = from->place.offset;
    for (bool done = false; !done && at < from->end;) {
        struct record r;
        const char *flaw;
        int code = scan_header(scan, at, &r, &flaw, e);
        if (code != ERR_OK)
            return code;
        if (flaw != NULL)
            return segment_damaged(from->segment, at, flaw, NULL, e);
        bool ours = r.group == run->group && r.kind != RECORD_CHECKPOINT;
        if (ours && (r.kind == RECORD_TRUNCATE || r.kind == RECORD_RESET))
            break; /* what follows has places of its own */
        if (ours && r.kind == RECORD_ENTRY) {
            if (r.index != run->next)
                return segment_damaged(from->segment, at, "is another entry than belongs there", NULL, e);
            if (r.index >= run->lo)
                code = take(run, scan, from->segment, at, &done, e);
            if (code != ERR_OK)
                return code;
            run->next++;
        }
        at += record_bytes(&r);
    }
    if (run->n == 0 && run->must)
        return segment_damaged(from->segment, at, "is missing", NULL, e);
    return ERR_OK;
}

int reader_fetch(struct log *log, uint32_t group, uint64_t lo, uint64_t hi, uint64_t bytes_max, bool must,
                 struct log_entry *out, size_t max, size_t *n, struct error *e)
{
    *n = 0;
    struct spot_found from = {0};
    int code = locate(log, group, lo, hi, &from, e);
    if (code != ERR_OK)
        return code;
    hi = from.end_index;
    struct run run = {group, from.place.index, lo, hi, bytes_max, must, out, max, 0};
    bool exact = from.place.index == lo && (hi == lo + 1 || max == 1);
    size_t piece = exact ? from.place.bytes : hi > lo + 1 && max > 1 ? RUN_PIECE_BYTES : PIECE_BYTES;
    struct scan scan;
    scan_open(&scan, from.segment->file, from.id, from.end, piece);
    code = walk(&run, &scan, &from, e);
    scan_close(&scan);
    let_go(log, from.segment);
    if (code != ERR_OK) {
        while (run.n > 0)
            blob_unref(out[--run.n].owner);
        return code;
    }
    *n = run.n;
    return ERR_OK;
}
