#include "base/assert.h"
#include "base/memory.h"
#include "log/inside.h"

/* ---------------------------------------------------------------- writing */

/* The batch is durable: the groups' faces and places follow. */
static void settle(struct log *log)
{
    struct writer *w = &log->writer;
    bool shrunk = false;
    pthread_mutex_lock(&log->lock);
    for (size_t i = 0; i < w->spots_n; i++) {
        const struct spot *s = &w->spots[i];
        if (s->group == NULL)
            continue;
        const char *flaw = log_written(s->group, &s->record, s->payload, w->segment->sequence, s->offset);
        ASSERT(flaw == NULL);
        shrunk = shrunk || s->record.kind == RECORD_FIRST || s->record.kind == RECORD_RESET ||
                 s->record.kind == RECORD_TRUNCATE;
    }
    w->segment->end = w->next_position;
    if (shrunk)
        keeper_condemn(log);
    pthread_mutex_unlock(&log->lock);
    w->position = w->next_position;
    w->previous = w->next_previous;
}

static int write_batch(struct log *log)
{
    struct writer *w = &log->writer;
    struct error e;
    size_t n = batch_vector(w);
    w->marked = false;
    int code = log->disk->write(w->segment->file, w->position, w->vector, n, &e);
    if (code == ERR_STORAGE_FULL)
        return code;
    if (code == ERR_OK)
        code = log->disk->sync(w->segment->file, &e);
    if (code == ERR_OK)
        return code;
    log_fail(log, &e);
    return ERR_IO;
}

/* Nothing of the batch is on disk: its writes may be retried, and the next batch takes its place. */
static void give_back(struct log_work *work)
{
    for (; work != NULL; work = work->next) {
        if (work->code != ERR_OK)
            continue;
        work->code = ERR_STORAGE_FULL;
        if (work->write != NULL && work->sequence < work->group->expected)
            work->group->expected = work->sequence;
    }
}

static void stall(struct log *log, struct log_work *work)
{
    work->code = ERR_OK;
    pthread_mutex_lock(&log->lock);
    work_list_push(&log->stalled, work);
    pthread_mutex_unlock(&log->lock);
}

static void complete_all(struct log *log, int code)
{
    struct log_work *next = log->writer.works.head;
    log->writer.works = (struct work_list){0};
    while (next != NULL) {
        struct log_work *work = next;
        next = work->next;
        if (code == ERR_IO)
            work->code = ERR_IO;
        if (work->write != NULL)
            port_post(work);
        else if (work->code == ERR_STORAGE_FULL)
            stall(log, work);
        else
            work_destroy(work);
    }
    port_wake_all(log);
}

/* Writes, syncs and completes what is in hand. */
static int flush(struct log *log)
{
    struct writer *w = &log->writer;
    int code = log_failed(log) ? ERR_IO : ERR_OK;
    if (code == ERR_OK && w->spots_n > 0)
        code = write_batch(log);
    if (code == ERR_OK && w->spots_n > 0)
        settle(log);
    if (code == ERR_STORAGE_FULL) {
        give_back(w->works.head);
        atomic_store(&log->room, false);
    }
    batch_forget(w);
    complete_all(log, code);
    return code;
}

/* So rare (no space for the first batch of a segment, then a larger one) that the lock may be held. */
static int enlarge(struct log *log, uint64_t bytes, struct error *e)
{
    struct log_segment *s = log->writer.segment;
    pthread_mutex_lock(&log->lock);
    int code = segment_stamp(s, s->id, bytes, e);
    log_count(log);
    pthread_mutex_unlock(&log->lock);
    return code;
}

/* Goes on in a segment with room for `bytes` (see keeper_take). The batch in hand is empty. */
static int rotate(struct log *log, uint64_t bytes, bool last_too, struct error *e)
{
    struct writer *w = &log->writer;
    bytes += SEGMENT_HEADER_BYTES + RECORD_HEADER_BYTES + LOG_SLACK_BYTES;
    /* One without any record must not be left behind: it would look as if its records were lost. */
    if (w->segment != NULL && w->position == SEGMENT_HEADER_BYTES)
        return enlarge(log, bytes, e);
    struct log_segment *next;
    int code = keeper_take(log, bytes, last_too, &next, e);
    if (code != ERR_OK)
        return code;
    if (w->segment != NULL)
        w->former_end = w->position;
    pthread_mutex_lock(&log->lock);
    segment_list_push(&log->segments, next);
    log_count(log);
    keeper_condemn(log);
    pthread_mutex_unlock(&log->lock);
    w->segment = next;
    w->position = SEGMENT_HEADER_BYTES;
    w->marked = false;
    batch_forget(w);
    return ERR_OK;
}

/* ---------------------------------------------------------------- gathering */

static uint64_t needed(struct log *log, const struct log_work *work)
{
    uint64_t bytes = batch_work_bytes(work);
    if (log->writer.next_position == SEGMENT_HEADER_BYTES)
        bytes += batch_checkpoint_bytes(log);
    return bytes;
}

static bool fits(struct log *log, const struct log_work *work)
{
    const struct writer *w = &log->writer;
    uint64_t slack = work->write != NULL ? LOG_SLACK_BYTES : 0;
    return w->next_position + needed(log, work) + RECORD_HEADER_BYTES + slack <= w->segment->bytes;
}

/* Finds the work a place; ERR_STORAGE_FULL when there is none. */
static int make_room(struct log *log, const struct log_work *work)
{
    struct writer *w = &log->writer;
    int code = ERR_OK;
    if (w->spots_n > 0 && (!fits(log, work) || w->next_position - w->position >= LOG_BATCH_BYTES))
        code = flush(log);
    if (code != ERR_OK || fits(log, work))
        return code;
    struct error e;
    code = rotate(log, batch_work_bytes(work) + batch_checkpoint_bytes(log), work->write == NULL, &e);
    if (code != ERR_OK && code != ERR_STORAGE_FULL) {
        log_fail(log, &e);
        code = ERR_IO;
    }
    return code;
}

/* Adds the work to the batch, or to those of the batch that are refused: completions keep their order. */
static void gather(struct log *log, struct log_work *work)
{
    struct writer *w = &log->writer;
    bool in_turn = work->write == NULL || work->sequence == work->group->expected;
    int code = in_turn ? ERR_OK : ERR_STORAGE_FULL;
    if (log_failed(log))
        code = ERR_IO;
    if (code == ERR_OK && batch_work_bytes(work) > 0)
        code = make_room(log, work);
    /* A flush in between may have failed, and with it the write before this one. */
    if (code == ERR_OK && work->write != NULL && work->sequence != work->group->expected)
        code = ERR_STORAGE_FULL;
    work->code = code;
    work_list_push(&w->works, work);
    if (code != ERR_OK)
        return;
    if (work->write != NULL)
        work->group->expected = work->sequence + 1;
    if (batch_work_bytes(work) == 0)
        return;
    if (w->next_position == SEGMENT_HEADER_BYTES)
        batch_put_checkpoint(log);
    batch_put_work(log, work);
}

/* Proves to a later recovery that all before it was synced. It holds nothing itself, so it is not synced and the next
 * batch overwrites it: it costs one small write when there is nothing else to do. */
static void put_mark(struct log *log)
{
    struct writer *w = &log->writer;
    if (w->marked || log_failed(log) || w->segment == NULL || w->position == SEGMENT_HEADER_BYTES)
        return;
    struct record r = {
        .kind = RECORD_DURABLE,
        .flags = RECORD_END,
        .segment = w->segment->id,
        .previous = w->previous,
        .durable = (uint32_t)w->position,
    };
    uint8_t header[RECORD_HEADER_BYTES];
    struct error e;
    record_encode(&r, (struct bytes){0}, header);
    int code = disk_write_bytes(w->segment->file, w->position, header, sizeof header, &e);
    if (code != ERR_OK && code != ERR_STORAGE_FULL)
        log_fail(log, &e);
    w->marked = code == ERR_OK;
}

bool writer_turn(struct log *log)
{
    pthread_mutex_lock(&log->lock);
    struct log_work *next = log->queue.head;
    log->queue = (struct work_list){0};
    pthread_mutex_unlock(&log->lock);
    if (next == NULL)
        return false;
    while (next != NULL) {
        struct log_work *work = next;
        next = work->next;
        gather(log, work);
    }
    flush(log);
    pthread_mutex_lock(&log->lock);
    bool idle = log->queue.head == NULL;
    pthread_mutex_unlock(&log->lock);
    if (idle)
        put_mark(log);
    return true;
}

int writer_begin(struct log *log, struct error *e)
{
    int code = rotate(log, batch_checkpoint_bytes(log), true, e);
    if (code != ERR_OK)
        return code;
    batch_put_checkpoint(log);
    code = flush(log);
    if (code == ERR_STORAGE_FULL)
        return error_set(e, (enum error_code)code, "no space for the first record of a log segment in %s", log->dir);
    if (code != ERR_OK) {
        log_failure(log, e);
        return code;
    }
    put_mark(log);
    return ERR_OK;
}

void writer_finish(struct log *log)
{
    struct error e;
    put_mark(log);
    if (!log_failed(log) && log->writer.segment != NULL && log->disk->sync(log->writer.segment->file, &e) != ERR_OK)
        log_fail(log, &e);
}

void *writer_main(void *arg)
{
    struct log *log = arg;
    pthread_mutex_lock(&log->lock);
    for (;;) {
        while (log->queue.head == NULL && !log->stopping) {
            log->writer_sleeps = true;
            pthread_cond_wait(&log->writer_wake, &log->lock);
            log->writer_sleeps = false;
        }
        if (log->queue.head == NULL)
            break;
        pthread_mutex_unlock(&log->lock);
        writer_turn(log);
        pthread_mutex_lock(&log->lock);
    }
    pthread_mutex_unlock(&log->lock);
    return NULL;
}
