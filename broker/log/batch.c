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

uint64_t batch_checkpoint_bytes(struct log *log)
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
void batch_put_checkpoint(struct log *log)
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
uint64_t batch_work_bytes(const struct log_work *work)
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

void batch_put_work(struct log *log, const struct log_work *work)
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

/* ---------------------------------------------------------------- as a whole */

/* All parts, and zeros up to the end of the page: a partial page that is not in the page cache would have to be read. */
size_t batch_vector(struct writer *w)
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

void batch_forget(struct writer *w)
{
    buffer_clear(&w->meta);
    w->parts_n = 0;
    w->spots_n = 0;
    while (w->packed_n > 0)
        memory_free(w->packed[--w->packed_n]);
    w->next_position = w->position;
    w->next_previous = w->previous;
}

void batch_close(struct writer *w)
{
    pack_close(&w->pack);
    batch_forget(w);
    buffer_close(&w->meta);
    memory_free(w->parts);
    memory_free(w->vector);
    memory_free(w->spots);
    memory_free(w->packed);
}
