#include "log/scan.h"

#include <endian.h>
#include <string.h>

#include "base/memory.h"

void scan_open(struct scan *s, struct disk_file *file, uint64_t id, uint64_t end, size_t piece)
{
    *s = (struct scan){.file = file, .id = id, .end = end, .piece = piece};
}

void scan_close(struct scan *s)
{
    memory_free(s->data);
    *s = (struct scan){0};
}

void scan_aim(struct scan *s, struct disk_file *file, uint64_t id, uint64_t end)
{
    s->file = file;
    s->id = id;
    s->end = end;
    s->len = 0;
}

/* Gets [at, at + len) into memory; at + len <= end. */
static int window(struct scan *s, uint64_t at, size_t len, const uint8_t **out, struct error *e)
{
    if (at < s->from || at + len > s->from + s->len) {
        size_t want = len > s->piece ? len : s->piece;
        if (want > s->end - at)
            want = (size_t)(s->end - at);
        if (want > s->capacity) {
            memory_free(s->data);
            s->data = memory_alloc(want);
            s->capacity = want;
        }
        s->len = 0;
        int code = disk_read_exact(s->file, at, s->data, want, e);
        if (code != ERR_OK)
            return code;
        s->from = at;
        s->len = want;
    }
    *out = s->data + (at - s->from);
    return ERR_OK;
}

static bool fits(const struct scan *s, uint64_t at, uint64_t len)
{
    return at <= s->end && len <= s->end - at;
}

int scan_header(struct scan *s, uint64_t at, struct record *out, const char **flaw, struct error *e)
{
    *flaw = NULL;
    if (!fits(s, at, RECORD_HEADER_BYTES)) {
        *flaw = "is cut off by the end of the file";
        return ERR_OK;
    }
    const uint8_t *header;
    int code = window(s, at, RECORD_HEADER_BYTES, &header, e);
    if (code != ERR_OK)
        return code;
    bool sound = record_decode(header, out);
    if (out->segment != s->id)
        *flaw = "is missing (no record of this segment begins there)";
    else if (!sound)
        *flaw = "has an impossible header";
    else if (!fits(s, at, record_bytes(out)))
        *flaw = "is longer than the file";
    return ERR_OK;
}

int scan_record(struct scan *s, uint64_t at, struct record *out, const uint8_t **header, const char **flaw,
                struct error *e)
{
    int code = scan_header(s, at, out, flaw, e);
    if (code != ERR_OK || *flaw != NULL)
        return code;
    code = window(s, at, record_bytes(out), header, e);
    if (code == ERR_OK && !record_verify(*header, out))
        *flaw = "does not match its checksum";
    return code;
}

/* The next place in the window where the segment's id stands where a header has it; `to` when there is none. */
static uint64_t next_id(const struct scan *s, uint64_t at, uint64_t to)
{
    uint64_t id = htole64(s->id);
    for (; at < to; at += RECORD_ALIGN) {
        if (memcmp(s->data + (at - s->from) + RECORD_SEGMENT_AT, &id, sizeof id) == 0)
            return at;
    }
    return to;
}

int scan_traces(struct scan *s, uint64_t at, uint64_t limit, struct scan_traces *out, struct error *e)
{
    *out = (struct scan_traces){0};
    while (fits(s, at, RECORD_HEADER_BYTES)) {
        const uint8_t *unused;
        int code = window(s, at, RECORD_HEADER_BYTES, &unused, e);
        if (code != ERR_OK)
            return code;
        /* All headers that begin before `to` are whole in the window. */
        uint64_t to = s->from + s->len - RECORD_HEADER_BYTES + RECORD_ALIGN;
        to &= ~(uint64_t)(RECORD_ALIGN - 1);
        at = next_id(s, at, to);
        if (at == to)
            continue;
        struct record r;
        const char *flaw;
        code = scan_record(s, at, &r, &unused, &flaw, e);
        if (code != ERR_OK)
            return code;
        if (flaw != NULL) {
            at += RECORD_ALIGN;
            continue;
        }
        if (r.durable > limit && out->proof == 0)
            out->proof = at;
        at += record_bytes(&r);
        out->trace_end = at;
    }
    return ERR_OK;
}
