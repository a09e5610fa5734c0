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

static void writer_write(struct writer *w)
{
    for (size_t at = 0; at < w->writing.len;) {
        ssize_t n = write(w->fd, w->writing.data + at, w->writing.len - at);
        if (n < 0 && errno != EINTR)
            writer_die("write");
        at += n > 0 ? (size_t)n : 0;
    }
    if (w->fsync && fdatasync(w->fd) != 0)
        writer_die("fdatasync");
    w->syncs++;
    w->bytes += w->writing.len;
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

int writer_open(struct writer *w, const char *path, bool fsync, void (*on_done)(void *), void *context, struct error *e)
{
    *w = (struct writer){.fsync = fsync, .on_done = on_done, .context = context};
    w->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
    if (w->fd < 0)
        return error_field(e, ERR_IO, "file", "cannot create %s: %s", path, strerror(errno));
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
