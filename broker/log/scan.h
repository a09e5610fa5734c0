/* Reads the records of a segment file one after another, in large pieces. */
#ifndef HATO_LOG_SCAN_H
#define HATO_LOG_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/disk.h"
#include "log/record.h"

struct scan {
    struct disk_file *file;
    uint64_t id;   /* of the segment's life */
    uint64_t end;  /* nothing is read beyond */
    size_t piece;  /* bytes to read at a time, at least */
    uint8_t *data; /* bytes [from, from + len) of the file */
    uint64_t from;
    size_t len, capacity;
};

void scan_open(struct scan *s, struct disk_file *file, uint64_t id, uint64_t end, size_t piece);
void scan_close(struct scan *s);
void scan_aim(struct scan *s, struct disk_file *file, uint64_t id, uint64_t end); /* another file, same memory */

/* Reads the header at `at`. *flaw is NULL, or says why no record of this segment begins there; the payload is not looked
 * at. Errors: ERR_IO. */
int scan_header(struct scan *s, uint64_t at, struct record *out, const char **flaw, struct error *e);

/* As scan_header, and verifies the whole record; *header points at it, with the payload after it, until the next call. */
int scan_record(struct scan *s, uint64_t at, struct record *out, const uint8_t **header, const char **flaw,
                struct error *e);

/* What was found behind the place where the good records end. */
struct scan_traces {
    uint64_t proof;     /* where a whole record stands that says `limit` was passed by what was synced; 0: none does */
    uint64_t trace_end; /* the end of the last whole record; 0: there is none */
};

/* Looks at every place from `at` on where a record of this segment may begin. Errors: ERR_IO. */
int scan_traces(struct scan *s, uint64_t at, uint64_t limit, struct scan_traces *out, struct error *e);

#endif
