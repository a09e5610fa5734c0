#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/disk.h"
#include "base/memory.h"

struct real_file {
    struct disk_file file;
    int fd;
};

static int fd_of(const struct disk_file *f)
{
    return ((const struct real_file *)f)->fd;
}

static int real_open(struct disk *d, const char *path, unsigned flags, struct disk_file **out, struct error *e)
{
    int mode = O_RDWR | O_CLOEXEC;
    if (flags & DISK_CREATE)
        mode |= O_CREAT;
    if (flags & DISK_EXCLUSIVE)
        mode |= O_EXCL;
    int fd = open(path, mode, 0600);
    if (fd < 0)
        return disk_error(e, errno, "open", path);
    struct real_file *f = memory_zero(1, sizeof *f);
    f->file.disk = d;
    f->file.path = memory_string(path, strlen(path));
    f->fd = fd;
    *out = &f->file;
    return ERR_OK;
}

static void real_close(struct disk_file *f)
{
    close(fd_of(f));
    memory_free(f->path);
    memory_free(f);
}

static int real_size(struct disk_file *f, uint64_t *out, struct error *e)
{
    struct stat st;
    if (fstat(fd_of(f), &st) != 0)
        return disk_error(e, errno, "stat", f->path);
    *out = (uint64_t)st.st_size;
    return ERR_OK;
}

enum { PARTS_MAX = 1024 };
_Static_assert(PARTS_MAX <= IOV_MAX, "a call takes at most IOV_MAX parts");

/* What a call left over, and at most PARTS_MAX parts of it for the next. */
struct gather {
    const struct iovec *parts;
    size_t n;
    size_t skip; /* bytes of parts[0] that are written */
};

static size_t gather_window(const struct gather *g, struct iovec *out)
{
    size_t n = g->n < PARTS_MAX ? g->n : PARTS_MAX;
    memcpy(out, g->parts, n * sizeof *out);
    out[0].iov_base = (char *)out[0].iov_base + g->skip;
    out[0].iov_len -= g->skip;
    return n;
}

static void gather_advance(struct gather *g, size_t written)
{
    written += g->skip;
    while (g->n > 0 && written >= g->parts[0].iov_len) {
        written -= g->parts[0].iov_len;
        g->parts++;
        g->n--;
    }
    g->skip = written;
}

static int real_write(struct disk_file *f, uint64_t offset, const struct iovec *parts, size_t n, struct error *e)
{
    struct gather left = {parts, n, 0};
    gather_advance(&left, 0); /* empty parts */
    while (left.n > 0) {
        struct iovec window[PARTS_MAX];
        ssize_t written = pwritev(fd_of(f), window, (int)gather_window(&left, window), (off_t)offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return disk_error(e, errno, "write", f->path);
        if (written == 0)
            return disk_error(e, EIO, "write", f->path);
        offset += (uint64_t)written;
        gather_advance(&left, (size_t)written);
    }
    return ERR_OK;
}

static int real_read(struct disk_file *f, uint64_t offset, void *to, size_t len, size_t *got, struct error *e)
{
    *got = 0;
    while (*got < len) {
        ssize_t n = pread(fd_of(f), (char *)to + *got, len - *got, (off_t)(offset + *got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return disk_error(e, errno, "read", f->path);
        if (n == 0)
            break;
        *got += (size_t)n;
    }
    return ERR_OK;
}

static int real_sync(struct disk_file *f, struct error *e)
{
    /* Not repeated on EINTR: a sync that did not say yes may have dropped the pages it failed to write. */
    if (fdatasync(fd_of(f)) != 0)
        return disk_sync_error(e, errno, "sync", f->path);
    return ERR_OK;
}

static int real_allocate(struct disk_file *f, uint64_t bytes, struct error *e)
{
    int number;
    do
        number = posix_fallocate(fd_of(f), 0, (off_t)bytes);
    while (number == EINTR);
    return number == 0 ? ERR_OK : disk_error(e, number, "allocate", f->path);
}

static int real_truncate(struct disk_file *f, uint64_t bytes, struct error *e)
{
    if (ftruncate(fd_of(f), (off_t)bytes) != 0)
        return disk_error(e, errno, "truncate", f->path);
    return ERR_OK;
}

static int real_unlink(struct disk *d, const char *path, struct error *e)
{
    (void)d;
    return unlink(path) == 0 ? ERR_OK : disk_error(e, errno, "remove", path);
}

static int real_rename(struct disk *d, const char *from, const char *to, struct error *e)
{
    (void)d;
    return rename(from, to) == 0 ? ERR_OK : disk_error(e, errno, "rename", from);
}

static int real_sync_dir(struct disk *d, const char *path, struct error *e)
{
    (void)d;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return disk_error(e, errno, "open directory", path);
    int number = fsync(fd) == 0 ? 0 : errno;
    close(fd);
    return number == 0 ? ERR_OK : disk_sync_error(e, number, "sync directory", path);
}

/* The name itself has to last, so its parent is synced. One that is there may be younger than the last crash, or lie in a directory
 * that is not ours to open. */
static int real_make_dir(struct disk *d, const char *path, struct error *e)
{
    bool made = mkdir(path, 0700) == 0;
    if (!made && errno == ENOENT)
        return error_set(e, ERR_IO, "make directory %s: the directory it should be in does not exist", path);
    if (!made && errno != EEXIST)
        return disk_error(e, errno, "make directory", path);
    char parent[DISK_PATH_MAX];
    if (snprintf(parent, sizeof parent, "%s/..", path) >= (int)sizeof parent)
        return disk_error(e, ENAMETOOLONG, "make directory", path);
    int code = real_sync_dir(d, parent, made ? e : NULL);
    return made ? code : ERR_OK;
}

static int real_space(struct disk *d, const char *path, uint64_t *free_bytes, struct error *e)
{
    (void)d;
    struct statvfs st;
    if (statvfs(path, &st) != 0)
        return disk_error(e, errno, "ask for free space of", path);
    *free_bytes = (uint64_t)st.f_bavail * st.f_frsize;
    return ERR_OK;
}

static int real_list(struct disk *d, const char *path, void (*each)(void *ctx, const char *name), void *ctx,
                     struct error *e)
{
    (void)d;
    DIR *dir = opendir(path);
    if (dir == NULL)
        return disk_error(e, errno, "list", path);
    errno = 0;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL; errno = 0) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            each(ctx, entry->d_name);
    }
    int number = errno;
    closedir(dir);
    return number == 0 ? ERR_OK : disk_error(e, number, "list", path);
}

static int real_lock(struct disk *d, const char *path, struct disk_file **out, struct error *e)
{
    int code = real_open(d, path, DISK_CREATE, out, e);
    if (code != ERR_OK)
        return code;
    if (flock(fd_of(*out), LOCK_EX | LOCK_NB) == 0)
        return ERR_OK;
    code = disk_error(e, errno, "lock", path);
    if (code == ERR_EXISTS)
        error_set(e, (enum error_code)code, "lock %s: another process has it open", path);
    real_close(*out);
    *out = NULL;
    return code;
}

struct disk *disk_real(void)
{
    static struct disk real = {
        .make_dir = real_make_dir,
        .open = real_open,
        .close = real_close,
        .size = real_size,
        .write = real_write,
        .read = real_read,
        .sync = real_sync,
        .allocate = real_allocate,
        .truncate = real_truncate,
        .unlink = real_unlink,
        .rename = real_rename,
        .sync_dir = real_sync_dir,
        .space = real_space,
        .list = real_list,
        .lock = real_lock,
    };
    return &real;
}
