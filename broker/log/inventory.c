#include "log/inventory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "log/scan.h"

enum { PIECE_BYTES = 1 << 20, FIRST_PIECE_BYTES = 64 << 10 };

/* ---------------------------------------------------------------- files */

static void push_number(uint64_t **at, size_t *n, size_t *capacity, uint64_t v)
{
    if (*n == *capacity) {
        *capacity = *capacity * 2 + 16;
        *at = memory_grow(*at, *capacity, sizeof **at);
    }
    (*at)[(*n)++] = v;
}

static void each_name(void *ctx, const char *name)
{
    struct inventory *v = ctx;
    uint64_t number;
    if (segment_name(name, "seg", &number))
        push_number(&v->sequences, &v->sequences_n, &v->sequences_capacity, number);
    else if (segment_name(name, "new", &number))
        push_number(&v->made, &v->made_n, &v->made_capacity, number);
}

static int by_number(const void *a, const void *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

static int open_all(struct inventory *v, struct error *e)
{
    const struct log *log = v->log;
    int code = log->disk->list(log->disk, log->dir, each_name, v, e);
    if (code != ERR_OK)
        return code;
    if (v->sequences_n > 0)
        qsort(v->sequences, v->sequences_n, sizeof *v->sequences, by_number);
    for (size_t i = 0; i < v->sequences_n; i++) {
        if (i > 0 && v->sequences[i] != v->sequences[i - 1] + 1)
            return error_set(e, ERR_CORRUPT,
                             "%s: the segment files from %016" PRIx64 ".seg to %016" PRIx64
                             ".seg are missing; " SEGMENT_ADVICE,
                             log->dir, v->sequences[i - 1] + 1, v->sequences[i] - 1);
        struct log_segment *s;
        code = segment_open(log->disk, log->dir, v->sequences[i], &s, e);
        if (code != ERR_OK)
            return code;
        segment_list_push(&v->files, s);
    }
    return ERR_OK;
}

/* ---------------------------------------------------------------- which segments hold records */

/* A segment holds records when its first one, the checkpoint, is good. *end: where the segment before ends. */
static int read_first(const struct log_segment *s, bool *started, uint64_t *end, const char **flaw, struct error *e)
{
    struct record record;
    const uint8_t *header;
    struct scan scan;
    scan_open(&scan, s->file, s->id, s->bytes, FIRST_PIECE_BYTES);
    int code = scan_record(&scan, SEGMENT_HEADER_BYTES, &record, &header, flaw, e);
    *started = code == ERR_OK && *flaw == NULL;
    if (*started) {
        struct cursor c = cursor_open(bytes_of(header + RECORD_HEADER_BYTES, record.stored));
        *end = cursor_u64(&c);
        if (record.kind != RECORD_CHECKPOINT || c.failed)
            code =
                segment_damaged(s, SEGMENT_HEADER_BYTES, "is not a checkpoint", "which every segment begins with", e);
    }
    scan_close(&scan);
    return code;
}

/* The first without a checkpoint: made in advance and never used, or a power cut took what was being written; or else
 * something synced is gone. */
static int check_unused(const struct log_segment *s, const char *flaw, struct error *e)
{
    struct scan_traces traces;
    struct scan scan;
    scan_open(&scan, s->file, s->id, s->bytes, PIECE_BYTES);
    int code = scan_traces(&scan, SEGMENT_HEADER_BYTES + RECORD_ALIGN, SEGMENT_HEADER_BYTES, &traces, e);
    scan_close(&scan);
    if (code != ERR_OK)
        return code;
    if (traces.proof == 0)
        return ERR_OK;
    char proof[96];
    snprintf(proof, sizeof proof, "although the record at offset %" PRIu64 " proves that it was on disk", traces.proof);
    return segment_damaged(s, SEGMENT_HEADER_BYTES, flaw, proof, e);
}

static int check_size(const struct log_segment *s, uint64_t bytes, struct error *e)
{
    if (s->bytes >= bytes)
        return ERR_OK;
    return error_set(e, ERR_CORRUPT,
                     "%s: the file ends at offset %" PRIu64 " but had at least %" PRIu64 " bytes; " SEGMENT_ADVICE,
                     s->file->path, s->bytes, bytes);
}

static int find_started(struct inventory *v, struct error *e)
{
    const char *flaw_before = NULL;
    for (size_t i = 0; i < v->files.n; i++) {
        const struct log_segment *s = v->files.at[i];
        bool started;
        uint64_t end = 0;
        const char *flaw;
        int code = read_first(s, &started, &end, &flaw, e);
        if (code != ERR_OK)
            return code;
        if (started && flaw_before != NULL)
            return segment_damaged(v->files.at[i - 1], SEGMENT_HEADER_BYTES, flaw_before,
                                   "although the next segment was written to later", e);
        if (started && i > 0)
            v->ends[i - 1] = end;
        if (!started && flaw_before == NULL)
            code = check_unused(s, flaw, e);
        if (code != ERR_OK)
            return code;
        v->started += started;
        flaw_before = started ? NULL : flaw;
    }
    for (size_t i = v->files.n; i-- > 0;) { /* from the newest on: one that lost its records shortens those before */
        bool last = i + 1 >= v->started;
        int code = check_size(v->files.at[i], last ? v->files.at[i]->made_bytes : v->ends[i], e);
        if (code != ERR_OK)
            return code;
    }
    return ERR_OK;
}

int inventory_open(struct inventory *v, struct log *log, struct error *e)
{
    *v = (struct inventory){.log = log};
    int code = open_all(v, e);
    if (code != ERR_OK)
        return code;
    v->ends = memory_zero(v->files.n + 1, sizeof *v->ends);
    return find_started(v, e);
}

void inventory_close(struct inventory *v)
{
    segment_list_close(&v->files);
    memory_free(v->sequences);
    memory_free(v->made);
    memory_free(v->ends);
}
