/* The limit's file: one thread that writes a buffer and syncs it, while the loop fills the other one. As a log that uses its
 * segments again, the file is made whole before the first write and then written over from its beginning whenever its end is
 * reached, so that a sync has data to bring to the disk and no change of the file itself. A buffer begins and ends with a page:
 * part of one would have to be read first.
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

enum { WRITER_PAGE_BYTES = 4096 };

struct writer {
    int fd;
    uint64_t file_bytes;
    uint64_t at; /* where the next buffer goes */
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

/* Creates `path` (emptied when it exists) with `file_bytes` on disk, whole pages and room for the largest buffer, and starts the
 * thread. Errors: ERR_IO. */
int writer_open(struct writer *w, const char *path, uint64_t file_bytes, bool fsync, void (*on_done)(void *),
                void *context, struct error *e);

/* Waits for the write in progress, then ends the thread. */
void writer_close(struct writer *w);

/* Gives the thread what `b` holds; `b` gets an empty buffer with memory to reuse. False, and nothing is taken, while the
 * last one is not finished. */
bool writer_offer(struct writer *w, struct buffer *b);

/* True once for each buffer that was offered: it is on disk. */
bool writer_done(struct writer *w);

#endif
