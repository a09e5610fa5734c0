/* A segment file: 4096 bytes of header (the first 512 are used, and written as one block), then records. It gets its name
 * NNNNNNNNNNNNNNNN.seg (sequence number in hex) only after its space is allocated and its header synced, so a file of
 * that name with a bad header or too short is damaged, never half made. While it is being made it is called .new.
 *
 * A file may have several lives: each has a sequence number and an id of its own, and records carry the id. */
#ifndef HATO_LOG_SEGMENT_H
#define HATO_LOG_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/disk.h"

enum {
    SEGMENT_HEADER_BYTES = 4096,
    SEGMENT_PAGE_BYTES = 4096,
    SEGMENT_NAME_MAX = 24,
    SEGMENT_VERSION = 1,
};

/* How every message about damage ends. */
#define SEGMENT_ADVICE "restore the data directory from a backup, or let this replica start anew from its peers"

struct log_segment {
    struct disk_file *file;
    uint64_t sequence;
    uint64_t id;
    uint64_t made_bytes; /* the size the header promises */
    uint64_t bytes;      /* the size it has */
    uint64_t end;        /* records end here; log->lock once the log is open */
    unsigned readers;    /* log->lock: not reused while there are any */
};

void segment_path(const char *dir, uint64_t sequence, const char *suffix, char out[DISK_PATH_MAX]);

/* Whether a name is that of a segment, or of one that was being made. */
bool segment_name(const char *name, const char *suffix, uint64_t *sequence);

/* Makes a new file of `bytes` under its final name, durable with its name. Errors: ERR_STORAGE_FULL, ERR_IO. */
int segment_create(struct disk *disk, const char *dir, uint64_t sequence, uint64_t id, uint64_t bytes,
                   struct log_segment **out, struct error *e);

/* Opens a file and checks its header. Errors: ERR_CORRUPT, ERR_VERSION, ERR_IO. */
int segment_open(struct disk *disk, const char *dir, uint64_t sequence, struct log_segment **out, struct error *e);

/* Gives a file a new life under a new name, durably; records of the former one are void. */
int segment_recycle(struct log_segment *s, const char *dir, uint64_t sequence, uint64_t id, uint64_t bytes,
                    struct error *e);

/* Writes the header anew, in place: another id, or at least this size. Only while it holds no record. */
int segment_stamp(struct log_segment *s, uint64_t id, uint64_t bytes, struct error *e);

/* Gives back what is behind `end` (a multiple of a page is kept), header first. */
int segment_shrink(struct log_segment *s, struct error *e);

/* Removes the file, durably. `s` stays open. */
int segment_remove(struct log_segment *s, const char *dir, struct error *e);

/* ERR_CORRUPT: "FILE: the record at offset N FLAW, PROOF; advice". `proof` may be NULL. */
int segment_damaged(const struct log_segment *s, uint64_t at, const char *flaw, const char *proof, struct error *e);

void segment_close(struct log_segment *s); /* accepts NULL */

#endif
