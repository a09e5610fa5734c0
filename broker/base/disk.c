#include "base/disk.h"

#include <errno.h>
#include <string.h>

#include "base/memory.h"

static int code_of(int number)
{
    switch (number) {
    case ENOSPC:
    case EDQUOT:
        return ERR_STORAGE_FULL;
    case ENOENT:
        return ERR_NOT_FOUND;
    case EEXIST:
    case EWOULDBLOCK:
        return ERR_EXISTS;
    default:
        return ERR_IO;
    }
}

static int tell(struct error *e, int code, int number, const char *action, const char *path)
{
    char text[128];
    return error_set(e, (enum error_code)code, "%s %s: %s", action, path, strerror_r(number, text, sizeof text));
}

int disk_error(struct error *e, int number, const char *action, const char *path)
{
    return tell(e, code_of(number), number, action, path);
}

int disk_sync_error(struct error *e, int number, const char *action, const char *path)
{
    return tell(e, ERR_IO, number, action, path);
}

void disk_file_renamed(struct disk_file *f, const char *path)
{
    memory_free(f->path);
    f->path = memory_string(path, strlen(path));
}

int disk_write_bytes(struct disk_file *f, uint64_t offset, const void *data, size_t len, struct error *e)
{
    /* iovec has no const; writing does not change the bytes. */
    union {
        const void *in;
        void *out;
    } base = {data};
    struct iovec part = {base.out, len};
    return f->disk->write(f, offset, &part, 1, e);
}

int disk_read_exact(struct disk_file *f, uint64_t offset, void *to, size_t len, struct error *e)
{
    size_t got;
    int code = f->disk->read(f, offset, to, len, &got, e);
    if (code != ERR_OK)
        return code;
    if (got < len)
        return error_set(e, ERR_IO, "read %s: the file ends at %llu, %zu bytes short", f->path,
                         (unsigned long long)(offset + got), len - got);
    return ERR_OK;
}
