#include "base/assert.h"
#include "base/memory.h"
#include "log/inside.h"

static const uint8_t ZEROS[SEGMENT_PAGE_BYTES];

/* ---------------------------------------------------------------- the bytes of a batch */

static struct part *new_part(struct writer *w)
{
    if (w->parts_n == w->parts_capacity) {
        w->parts_capacity = w->parts_capacity * 2 + 64;
        w->parts = memory_grow(w->parts, w->parts_capacity, sizeof *w->parts);
    }
    return &w->parts[w->parts_n++];
}

/* The last `len` bytes of meta belong to the file next; they join the part before where that is in meta too. */
static void take_meta(struct writer *w, size_t len)
{
    struct part *last = w->parts_n > 0 ? &w->parts[w->parts_n - 1] : NULL;
    if (last != NULL && last->data == NULL) {
        last->len += len;
        return;
    }
    struct part *p = new_part(w);
    *p = (struct part){NULL, w->meta.len - len, len};
}

static void put_bytes(struct writer *w, struct bytes b)
{
    if (b.len <= LOG_INLINE_BYTES) {
        buffer_put(&w->meta, b.data, b.len);
        take_meta(w, b.len);
        return;
    }
    struct part *p = new_part(w);
    *p = (struct part){b.data, 0, b.len};
}

static struct spot *new_spot(struct writer *w)
{
    if (w->spots_n == w->spots_capacity) {
        w->spots_capacity = w->spots_capacity * 2 + 64;
        w->spots = memory_grow(w->spots, w->spots_capacity, sizeof *w->spots);
    }
    return &w->spots[w->spots_n++];
}

/* Completes the record's header and appends it to the batch. `stored` stays where it is until the batch is written. */
static struct spot *put_record(struct writer *w, struct record r, struct log_group *g, struct bytes stored)
{
    r.segment = w->segment->id;
    r.previous = w->next_previous;
    r.durable = (uint32_t)w->position;
    r.stored = (uint32_t)stored.len;
    if ((r.flags & RECORD_ZSTD) == 0)
        r.raw = r.stored;
    r.group = g != NULL ? g->number : 0;
    record_encode(&r, stored, buffer_reserve(&w->meta, RECORD_HEADER_BYTES));
    w->meta.len += RECORD_HEADER_BYTES;
    take_meta(w, RECORD_HEADER_BYTES);
    put_bytes(w, stored);
    size_t padding = record_bytes(&r) - RECORD_HEADER_BYTES - stored.len;
    buffer_put(&w->meta, ZEROS, padding);
    take_meta(w, padding);

    struct spot *s = new_spot(w);
    *s = (struct spot){.record = r, .offset = (uint32_t)w->next_position, .group = g};
    w->next_position += record_bytes(&r);
    w->next_previous = r.checksum;
    return s;
}

static void put_small(struct writer *w, struct record r, struct log_group *g, struct bytes payload)
{
    put_record(w, r, g, payload)->payload = payload;
}

static void keep_packed(struct writer *w, uint8_t *packed)
{
    if (w->packed_n == w->packed_capacity) {
        w->packed_capacity = w->packed_capacity * 2 + 16;
        w->packed = memory_grow(w->packed, w->packed_capacity, sizeof *w->packed);
    }
    w->packed[w->packed_n++] = packed;
}

static void put_entry(struct log *log, struct log_group *g, const struct log_entry *entry, uint8_t flags)
{
    struct writer *w = &log->writer;
    struct record r = {
        .index = entry->index, .term = entry->term, .kind = RECORD_ENTRY, .entry_kind = entry->kind, .flags = flags};
    uint8_t *packed;
    size_t len;
    if (!log->options.compress || !pack_try(&w->pack, entry->data, &packed, &len)) {
        put_record(w, r, g, entry->data);
        return;
    }
    keep_packed(w, packed);
    r.flags |= RECORD_ZSTD;
    r.raw = (uint32_t)entry->data.len;
    put_record(w, r, g, bytes_of(packed, len));
}

/* ---------------------------------------------------------------- checkpoints */

static uint64_t checkpoint_bytes(struct log *log)
{
    enum { FIXED_BYTES = 8 + 4 };
    uint64_t bytes = RECORD_HEADER_BYTES + FIXED_BYTES + RECORD_ALIGN;
    pthread_mutex_lock(&log->lock);
    for (size_t i = 0; i < log->groups_n; i++) {
        if (log->groups[i] != NULL && log->groups[i]->face.used)
            bytes += face_bytes(&log->groups[i]->face);
    }
    pthread_mutex_unlock(&log->lock);
    return bytes;
}

/* The faces are those of the records before: a segment is entered only when all that was encoded is written. */
static void put_checkpoint(struct log *log)
{
    struct writer *w = &log->writer;
    struct buffer faces = {0};
    uint32_t n = 0;
    buffer_u64(&faces, w->former_end);
    buffer_u32(&faces, 0);
    pthread_mutex_lock(&log->lock);
    for (size_t i = 0; i < log->groups_n; i++) {
        if (log->groups[i] == NULL || !log->groups[i]->face.used)
            continue;
        face_encode(&log->groups[i]->face, log->groups[i]->number, &faces);
        n++;
    }
    pthread_mutex_unlock(&log->lock);
    for (size_t i = 0; i < sizeof n; i++)
        faces.data[8 + i] = (uint8_t)(n >> (8 * i));
    struct bytes payload = buffer_view(&faces);
    keep_packed(w, faces.data);
    put_record(w, (struct record){.kind = RECORD_CHECKPOINT, .flags = RECORD_END}, NULL, payload);
}

/* ---------------------------------------------------------------- one submit */

static uint64_t padded(uint64_t len)
{
    return RECORD_HEADER_BYTES + ((len + RECORD_ALIGN - 1) & ~(uint64_t)(RECORD_ALIGN - 1));
}

/* An upper bound: compression only makes it less. */
static uint64_t work_bytes(const struct log_work *work)
{
    uint64_t bytes = 0;
    if (work->has_reset)
        bytes += padded(work->reset.membership.len);
    if (work->has_mark)
        bytes += padded(work->mark.membership.len);
    if (work->truncate_from > 0)
        bytes += padded(0);
    for (size_t i = 0; i < work->entries_n; i++)
        bytes += padded(work->entries[i].data.len);
    if (work->has_state)
        bytes += padded(sizeof work->vote);
    if (work->first > 0)
        bytes += padded(0);
    return bytes;
}

/* The flags of a record when `left` more of its write follow. */
static uint8_t end_flag(size_t left)
{
    return left == 0 ? RECORD_END : 0;
}

static void put_work(struct log *log, const struct log_work *work)
{
    struct writer *w = &log->writer;
    struct log_group *g = work->group;
    size_t left = (size_t)work->has_reset + work->has_mark + (work->truncate_from > 0) + work->entries_n +
                  work->has_state + (work->first > 0);
    if (work->has_reset)
        put_small(
            w,
            (struct record){
                .kind = RECORD_RESET, .index = work->reset.index, .term = work->reset.term, .flags = end_flag(--left)},
            g, work->reset.membership);
    if (work->has_mark)
        put_small(
            w,
            (struct record){
                .kind = RECORD_SNAPSHOT, .index = work->mark.index, .term = work->mark.term, .flags = end_flag(--left)},
            g, work->mark.membership);
    if (work->truncate_from > 0)
        put_small(w,
                  (struct record){.kind = RECORD_TRUNCATE,
                                  .index = work->truncate_from,
                                  .term = work->truncate_term,
                                  .flags = end_flag(--left)},
                  g, (struct bytes){0});
    for (size_t i = 0; i < work->entries_n; i++)
        put_entry(log, g, &work->entries[i], end_flag(--left));
    if (work->has_state)
        put_small(
            w,
            (struct record){
                .kind = RECORD_STATE, .index = work->state.commit, .term = work->state.term, .flags = end_flag(--left)},
            g, bytes_of(work->vote, sizeof work->vote));
    if (work->first > 0)
        put_small(w,
                  (struct record){
                      .kind = RECORD_FIRST, .index = work->first, .term = work->first_term, .flags = end_flag(--left)},
                  g, (struct bytes){0});
    ASSERT(left == 0);
}

/* ---------------------------------------------------------------- writing */

/* All parts, and zeros up to the end of the page: a partial page that is not in the page cache would have to be read. */
static size_t vector_of(struct writer *w)
{
    if (w->vector_capacity < w->parts_n + 1) {
        w->vector_capacity = w->parts_n * 2 + 1;
        w->vector = memory_grow(w->vector, w->vector_capacity, sizeof *w->vector);
    }
    size_t n = 0;
    for (size_t i = 0; i < w->parts_n; i++) {
        const struct part *p = &w->parts[i];
        union {
            const uint8_t *in;
            uint8_t *out;
        } base = {p->data != NULL ? p->data : w->meta.data + p->at};
        w->vector[n++] = (struct iovec){base.out, p->len};
    }
    uint64_t page = (w->next_position + SEGMENT_PAGE_BYTES - 1) & ~(uint64_t)(SEGMENT_PAGE_BYTES - 1);
    if (page > w->next_position && page <= w->segment->bytes) {
        union {
            const uint8_t *in;
            uint8_t *out;
        } base = {ZEROS};
        w->vector[n++] = (struct iovec){base.out, page - w->next_position};
    }
    return n;
}

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
    size_t n = vector_of(w);
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

static void forget_batch(struct writer *w)
{
    buffer_clear(&w->meta);
    w->parts_n = 0;
    w->spots_n = 0;
    while (w->packed_n > 0)
        memory_free(w->packed[--w->packed_n]);
    w->next_position = w->position;
    w->next_previous = w->previous;
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
    forget_batch(w);
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
    forget_batch(w);
    return ERR_OK;
}

/* ---------------------------------------------------------------- gathering */

static uint64_t needed(struct log *log, const struct log_work *work)
{
    uint64_t bytes = work_bytes(work);
    if (log->writer.next_position == SEGMENT_HEADER_BYTES)
        bytes += checkpoint_bytes(log);
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
    code = rotate(log, work_bytes(work) + checkpoint_bytes(log), work->write == NULL, &e);
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
    if (code == ERR_OK && work_bytes(work) > 0)
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
    if (work_bytes(work) == 0)
        return;
    if (w->next_position == SEGMENT_HEADER_BYTES)
        put_checkpoint(log);
    put_work(log, work);
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
    int code = rotate(log, checkpoint_bytes(log), true, e);
    if (code != ERR_OK)
        return code;
    put_checkpoint(log);
    code = flush(log);
    if (code == ERR_STORAGE_FULL)
        return error_set(e, code, "no space for the first record of a log segment in %s", log->dir);
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

void writer_close(struct writer *w)
{
    pack_close(&w->pack);
    forget_batch(w);
    buffer_close(&w->meta);
    memory_free(w->parts);
    memory_free(w->vector);
    memory_free(w->spots);
    memory_free(w->packed);
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
