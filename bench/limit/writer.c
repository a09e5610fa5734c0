#include "bench/limit/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"

/* Nothing after a failed write or sync can be acked, so there is nothing left to do. */
static _Noreturn void writer_die(const char *what)
{
    fprintf(stderr, "hato-limit: %s failed: %s\n", what, strerror(errno));
    exit(1);
}

static int writer_put(int fd, const uint8_t *data, size_t len, uint64_t at)
{
    while (len > 0) {
        ssize_t n = pwrite(fd, data, len, (off_t)at);
        if (n < 0 && errno != EINTR)
            return errno;
        size_t done = n > 0 ? (size_t)n : 0;
        data += done;
        len -= done;
        at += done;
    }
    return 0;
}

static void writer_write(struct writer *w)
{
    struct buffer *b = &w->writing;
    w->bytes += b->len;
    size_t rest = (WRITER_PAGE_BYTES - b->len % WRITER_PAGE_BYTES) % WRITER_PAGE_BYTES;
    memset(buffer_reserve(b, rest), 0, rest);
    b->len += rest;
    ASSERT(b->len <= w->file_bytes);
    if (w->at + b->len > w->file_bytes)
        w->at = 0;
    errno = writer_put(w->fd, b->data, b->len, w->at);
    if (errno != 0)
        writer_die("write");
    if (w->fsync && fdatasync(w->fd) != 0)
        writer_die("fdatasync");
    w->at += b->len;
    w->syncs++;
}

static void *writer_run(void *arg)
{
    struct writer *w = arg;
    pthread_mutex_lock(&w->mutex);
    for (;;) {
        while (!w->stopping && (!w->busy || w->written))
            pthread_cond_wait(&w->changed, &w->mutex);
        if (!w->busy || w->written)
            break;
        pthread_mutex_unlock(&w->mutex);
        writer_write(w);
        pthread_mutex_lock(&w->mutex);
        w->written = true;
        w->on_done(w->context);
    }
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

/* Written and not only allocated: what was never written is marked so, and the first write would have to change that. */
static int writer_fill(int fd, uint64_t bytes)
{
    static const uint8_t zeros[1024 * 1024];
    for (uint64_t at = 0; at < bytes; at += sizeof zeros) {
        int rc = writer_put(fd, zeros, bytes - at < sizeof zeros ? (size_t)(bytes - at) : sizeof zeros, at);
        if (rc != 0)
            return rc;
    }
    return fsync(fd) == 0 ? 0 : errno;
}

int writer_open(struct writer *w, const char *path, uint64_t file_bytes, bool fsync, void (*on_done)(void *),
                void *context, struct error *e)
{
    ASSERT(file_bytes > 0 && file_bytes % WRITER_PAGE_BYTES == 0);
    *w = (struct writer){.file_bytes = file_bytes, .fsync = fsync, .on_done = on_done, .context = context};
    w->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (w->fd < 0)
        return error_field(e, ERR_IO, "file", "cannot create %s: %s", path, strerror(errno));
    int filled = writer_fill(w->fd, file_bytes);
    if (filled != 0) {
        close(w->fd);
        return error_field(e, ERR_IO, "file", "cannot fill %s: %s", path, strerror(filled));
    }
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->changed, NULL);
    int rc = pthread_create(&w->thread, NULL, writer_run, w);
    if (rc == 0)
        return ERR_OK;
    close(w->fd);
    pthread_mutex_destroy(&w->mutex);
    pthread_cond_destroy(&w->changed);
    return error_set(e, ERR_IO, "cannot start a thread: %s", strerror(rc));
}

void writer_close(struct writer *w)
{
    pthread_mutex_lock(&w->mutex);
    w->stopping = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->mutex);
    pthread_join(w->thread, NULL);
    pthread_mutex_destroy(&w->mutex);
    pthread_cond_destroy(&w->changed);
    buffer_close(&w->writing);
    close(w->fd);
}

bool writer_offer(struct writer *w, struct buffer *b)
{
    ASSERT(b->len > 0);
    pthread_mutex_lock(&w->mutex);
    bool taken = !w->busy;
    if (taken) {
        struct buffer empty = w->writing;
        w->writing = *b;
        *b = empty;
        buffer_clear(b);
        w->busy = true;
        pthread_cond_signal(&w->changed);
    }
    pthread_mutex_unlock(&w->mutex);
    return taken;
}

bool writer_done(struct writer *w)
{
    pthread_mutex_lock(&w->mutex);
    bool done = w->busy && w->written;
    if (done)
        w->busy = w->written = false;
    pthread_mutex_unlock(&w->mutex);
    return done;
}
