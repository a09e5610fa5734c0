#include "log/segment.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/memory.h"

static const char MAGIC[8] = {'H', 'A', 'T', 'O', 'L', 'O', 'G', '\n'};

static uint64_t page_up(uint64_t bytes)
{
    return (bytes + SEGMENT_PAGE_BYTES - 1) & ~(uint64_t)(SEGMENT_PAGE_BYTES - 1);
}

void segment_path(const char *dir, uint64_t sequence, const char *suffix, char out[DISK_PATH_MAX])
{
    int n = snprintf(out, DISK_PATH_MAX, "%s/%016" PRIx64 ".%s", dir, sequence, suffix);
    ASSERT(n > 0 && n < DISK_PATH_MAX);
}

bool segment_name(const char *name, const char *suffix, uint64_t *sequence)
{
    enum { DIGITS = 16 };
    uint64_t v = 0;
    for (int i = 0; i < DIGITS; i++) {
        char c = name[i];
        if (c >= '0' && c <= '9')
            v = v << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            v = v << 4 | (uint64_t)(c - 'a' + 10);
        else
            return false;
    }
    *sequence = v;
    return name[DIGITS] == '.' && strcmp(name + DIGITS + 1, suffix) == 0;
}

/* Magic, checksum of all after it, version, sequence, id, size; zeros. */
static int write_header(struct log_segment *s, struct error *e)
{
    struct buffer fields = {0};
    buffer_u32(&fields, SEGMENT_VERSION);
    buffer_u32(&fields, SEGMENT_HEADER_BYTES);
    buffer_u64(&fields, s->sequence);
    buffer_u64(&fields, s->id);
    buffer_u64(&fields, s->made_bytes);

    uint8_t block[DISK_BLOCK_BYTES] = {0};
    memcpy(block, MAGIC, sizeof MAGIC);
    memcpy(block + 16, fields.data, fields.len);
    buffer_clear(&fields);
    buffer_u64(&fields, bytes_hash(bytes_of(block + 16, sizeof block - 16), 0));
    memcpy(block + 8, fields.data, fields.len);
    buffer_close(&fields);
    int code = disk_write_bytes(s->file, 0, block, sizeof block, e);
    return code == ERR_OK ? s->file->disk->sync(s->file, e) : code;
}

static int bad_header(const struct log_segment *s, const char *what, struct error *e)
{
    return error_set(e, ERR_CORRUPT, "%s: the segment header at offset 0 %s; " SEGMENT_ADVICE, s->file->path, what);
}

static int read_header(struct log_segment *s, uint64_t sequence, struct error *e)
{
    uint8_t block[DISK_BLOCK_BYTES];
    size_t got;
    int code = s->file->disk->read(s->file, 0, block, sizeof block, &got, e);
    if (code != ERR_OK)
        return code;
    if (got < sizeof block)
        return bad_header(s, "is cut off", e);
    struct cursor c = cursor_open(bytes_of(block, sizeof block));
    struct bytes magic = cursor_take(&c, sizeof MAGIC);
    uint64_t checksum = cursor_u64(&c);
    if (memcmp(magic.data, MAGIC, sizeof MAGIC) != 0)
        return bad_header(s, "does not begin as one", e);
    if (checksum != bytes_hash(bytes_of(block + 16, sizeof block - 16), 0))
        return bad_header(s, "does not match its checksum", e);
    uint32_t version = cursor_u32(&c);
    if (version != SEGMENT_VERSION)
        return error_set(e, ERR_VERSION, "%s: log format %u, this build reads %d only; use the build that wrote it",
                         s->file->path, version, SEGMENT_VERSION);
    if (cursor_u32(&c) != SEGMENT_HEADER_BYTES)
        return bad_header(s, "has another length", e);
    s->sequence = cursor_u64(&c);
    s->id = cursor_u64(&c);
    s->made_bytes = cursor_u64(&c);
    return s->sequence == sequence ? ERR_OK : bad_header(s, "is that of another segment", e);
}

static struct log_segment *segment_new(struct disk_file *file, uint64_t sequence, uint64_t id, uint64_t bytes)
{
    struct log_segment *s = memory_zero(1, sizeof *s);
    s->file = file;
    s->sequence = sequence;
    s->id = id;
    s->made_bytes = page_up(bytes);
    s->bytes = s->made_bytes;
    s->end = SEGMENT_HEADER_BYTES;
    return s;
}

/* The header is durable before the name: then the name alone tells that the header must be good. */
static int finish(struct log_segment *s, const char *dir, struct error *e)
{
    struct disk *disk = s->file->disk;
    char path[DISK_PATH_MAX];
    segment_path(dir, s->sequence, "seg", path);
    int code = disk->allocate(s->file, s->made_bytes, e);
    if (code == ERR_OK)
        code = write_header(s, e);
    if (code == ERR_OK)
        code = disk->rename(disk, s->file->path, path, e);
    if (code != ERR_OK)
        return code;
    disk_file_renamed(s->file, path);
    return disk->sync_dir(disk, dir, e);
}

int segment_create(struct disk *disk, const char *dir, uint64_t sequence, uint64_t id, uint64_t bytes,
                   struct log_segment **out, struct error *e)
{
    char path[DISK_PATH_MAX];
    segment_path(dir, sequence, "new", path);
    struct disk_file *file;
    int code = disk->open(disk, path, DISK_CREATE, &file, e);
    if (code != ERR_OK)
        return code;
    struct log_segment *s = segment_new(file, sequence, id, bytes);
    code = finish(s, dir, e);
    if (code == ERR_OK) {
        *out = s;
        return ERR_OK;
    }
    disk->unlink(disk, path, NULL); /* gives back what it took; a leftover is removed at the next start */
    segment_close(s);
    return code;
}

int segment_open(struct disk *disk, const char *dir, uint64_t sequence, struct log_segment **out, struct error *e)
{
    char path[DISK_PATH_MAX];
    segment_path(dir, sequence, "seg", path);
    struct disk_file *file;
    int code = disk->open(disk, path, 0, &file, e);
    if (code != ERR_OK)
        return code;
    struct log_segment *s = segment_new(file, sequence, 0, 0);
    code = disk->size(file, &s->bytes, e);
    if (code == ERR_OK)
        code = read_header(s, sequence, e);
    if (code == ERR_OK)
        *out = s;
    else
        segment_close(s);
    return code;
}

int segment_recycle(struct log_segment *s, const char *dir, uint64_t sequence, uint64_t id, uint64_t bytes,
                    struct error *e)
{
    struct disk *disk = s->file->disk;
    char path[DISK_PATH_MAX];
    segment_path(dir, sequence, "new", path);
    int code = disk->rename(disk, s->file->path, path, e);
    if (code != ERR_OK)
        return code;
    disk_file_renamed(s->file, path);
    /* The old name must be gone before the old header is. */
    code = disk->sync_dir(disk, dir, e);
    if (code != ERR_OK)
        return code;
    s->sequence = sequence;
    s->id = id;
    s->made_bytes = page_up(bytes);
    s->bytes = s->made_bytes;
    s->end = SEGMENT_HEADER_BYTES;
    return finish(s, dir, e);
}

/* The size before the promise of it. */
static int extend(struct log_segment *s, uint64_t bytes, struct error *e)
{
    struct disk *disk = s->file->disk;
    int code = disk->allocate(s->file, bytes, e);
    return code == ERR_OK ? disk->sync(s->file, e) : code;
}

int segment_stamp(struct log_segment *s, uint64_t id, uint64_t bytes, struct error *e)
{
    struct log_segment before = *s;
    bytes = page_up(bytes);
    int code = ERR_OK;
    if (bytes > s->made_bytes) {
        code = extend(s, bytes, e);
        s->made_bytes = bytes;
        s->bytes = bytes;
    }
    s->id = id;
    if (code == ERR_OK)
        code = write_header(s, e);
    if (code != ERR_OK)
        *s = before;
    return code;
}

int segment_shrink(struct log_segment *s, struct error *e)
{
    struct disk *disk = s->file->disk;
    s->made_bytes = page_up(s->end);
    int code = write_header(s, e);
    if (code == ERR_OK)
        code = disk->truncate(s->file, s->made_bytes, e);
    if (code != ERR_OK)
        return code;
    s->bytes = s->made_bytes;
    return disk->sync(s->file, e);
}

int segment_remove(struct log_segment *s, const char *dir, struct error *e)
{
    struct disk *disk = s->file->disk;
    int code = disk->unlink(disk, s->file->path, e);
    return code == ERR_OK ? disk->sync_dir(disk, dir, e) : code;
}

int segment_damaged(const struct log_segment *s, uint64_t at, const char *flaw, const char *proof, struct error *e)
{
    return error_set(e, ERR_CORRUPT, "%s: the record at offset %" PRIu64 " %s%s%s; " SEGMENT_ADVICE, s->file->path, at,
                     flaw, proof != NULL ? ", " : "", proof != NULL ? proof : "");
}

void segment_close(struct log_segment *s)
{
    if (s == NULL)
        return;
    s->file->disk->close(s->file);
    memory_free(s);
}
