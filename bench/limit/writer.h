/* The limit's file: one thread that appends a buffer and syncs it, while the loop fills the other one.
 *
 * Threads: `writer_offer` and `writer_done` belong to the loop; `on_done` is called from the writer's thread and may only
 * wake the loop. */
#ifndef HATO_BENCH_LIMIT_WRITER_H
#define HATO_BENCH_LIMIT_WRITER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

struct writer {
    int fd;
    bool fsync;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct buffer writing; /* the thread's while `busy` */
    bool busy;             /* given to the thread, not taken back */
    bool written;          /* the thread is through with it */
    bool stopping;
    void (*on_done)(void *context);
    void *context;
    uint64_t syncs;
    uint64_t bytes;
};

/* Creates `path` (emptied when it exists) and starts the thread. Errors: ERR_IO. */
int writer_open(struct writer *w, const char *path, bool fsync, void (*on_done)(void *), void *context,
                struct error *e);

/* Waits for the write in progress, then ends the thread. */
void writer_close(struct writer *w);

/* Gives the thread what `b` holds; `b` gets an empty buffer with memory to reuse. False, and nothing is taken, while the
 * last one is not finished. */
bool writer_offer(struct writer *w, struct buffer *b);

/* True once for each buffer that was offered: it is on disk. */
bool writer_done(struct writer *w);

#endif
