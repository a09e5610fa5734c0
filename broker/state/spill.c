#include <stdlib.h>

#include "base/memory.h"
#include "state/extent.h"
#include "state/keys.h"
#include "store/store.h"

enum { VERSION = 1 };

struct extent_spill {
    struct store *store;
    struct store_snapshot *snapshot;
    struct store_iterator *at; /* opened by the thread that spills */
    uint16_t shard;
    uint64_t first;
    uint64_t last;
    extent_chunk_fn chunk;
    struct buffer scratch;
    struct message_ref *refs; /* live messages of the entry at hand, ascending */
    size_t count;
    size_t capacity;
    size_t given;
    int code; /* of the opening */
    struct error error;
};

struct extent_spill *extent_spill_open(struct keys *ks, uint64_t first, uint64_t last, extent_chunk_fn chunk)
{
    struct extent_spill *s = memory_zero(1, sizeof *s);
    s->store = ks->store;
    s->code = keys_settle(ks, &s->error); /* an older state has not all that lives: nothing is listed then */
    s->snapshot = s->code == ERR_OK ? store_snapshot_open(ks->store) : NULL;
    s->shard = ks->shard;
    s->first = first;
    s->last = last;
    s->chunk = chunk;
    return s;
}

void extent_spill_close(struct extent_spill *s)
{
    if (s == NULL)
        return;
    store_iterator_close(s->at);
    store_snapshot_close(s->store, s->snapshot);
    buffer_close(&s->scratch);
    memory_free(s->refs);
    memory_free(s);
}

static void add_refs(struct extent_spill *s, const struct message_ref *refs, size_t count)
{
    while (s->count + count > s->capacity) {
        s->capacity = s->capacity == 0 ? 128 : s->capacity * 2;
        s->refs = memory_grow(s->refs, s->capacity, sizeof *s->refs);
    }
    for (size_t i = 0; i < count; i++)
        s->refs[s->count++] = refs[i];
}

static int add_chunks(struct extent_spill *s, struct bytes key, struct cursor c, uint64_t index, struct error *e)
{
    struct message_ref refs[EXTENT_CHUNK_SLOTS];
    int code = ERR_OK;
    while (cursor_left(&c) > 0 && !c.failed && code == ERR_OK) {
        uint64_t queue = cursor_varint(&c);
        uint64_t chunk = cursor_varint(&c);
        if (c.failed)
            break;
        size_t count = 0;
        code = s->chunk(s->store, s->snapshot, s->shard, queue, chunk, &s->scratch, refs, &count, e);
        for (size_t i = 0; i < count && code == ERR_OK; i++)
            if (refs[i].index != index)
                return value_corrupt(key, "a chunk it lists is of another entry", e);
        if (code == ERR_OK)
            add_refs(s, refs, count);
    }
    return code == ERR_OK ? value_done(key, &c, e) : code;
}

static int add_moving(struct extent_spill *s, struct bytes key, struct cursor c, uint64_t index, struct error *e)
{
    struct message_ref ref = {.index = index, .offset = cursor_u32(&c)};
    ref.len = cursor_u32(&c);
    int code = value_done(key, &c, e);
    if (code == ERR_OK)
        add_refs(s, &ref, 1);
    return code;
}

/* The entry's index; false for a key that is none of an entry. */
static bool index_of(struct bytes key, uint64_t *index, bool *moving)
{
    uint64_t numbers[3];
    *moving = key_numbers(key, KEY_ENTRY, numbers, 3);
    bool ok = *moving || key_numbers(key, KEY_ENTRY, numbers, 1);
    if (ok)
        *index = numbers[0];
    return ok;
}

static int compare_refs(const void *a, const void *b)
{
    const struct message_ref *x = a;
    const struct message_ref *y = b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* A message may be listed twice, by an old chunk and a new one, only if something is wrong; giving it once is right
 * anyway. */
static void sort_refs(struct extent_spill *s)
{
    qsort(s->refs, s->count, sizeof *s->refs, compare_refs);
    size_t kept = 0;
    for (size_t i = 0; i < s->count; i++)
        if (kept == 0 || s->refs[kept - 1].offset != s->refs[i].offset)
            s->refs[kept++] = s->refs[i];
    s->count = kept;
}

static int read_record(struct extent_spill *s, uint64_t index, bool moving, struct error *e)
{
    struct bytes key = store_iterator_key(s->at);
    struct cursor c;
    int code = value_open(key, store_iterator_value(s->at), VERSION, &c, e);
    if (code != ERR_OK)
        return code;
    return moving ? add_moving(s, key, c, index, e) : add_chunks(s, key, c, index, e);
}

/* Reads the records of the next entry that has any. */
static int next_entry(struct extent_spill *s, struct error *e)
{
    s->count = 0;
    s->given = 0;
    uint64_t entry = 0;
    for (bool begun = false; store_iterator_valid(s->at); store_iterator_next(s->at)) {
        uint64_t index = 0;
        bool moving = false;
        if (!index_of(store_iterator_key(s->at), &index, &moving))
            return value_corrupt(store_iterator_key(s->at), "its key is malformed", e);
        if (begun && index != entry)
            break;
        begun = true;
        entry = index;
        int code = read_record(s, index, moving, e);
        if (code != ERR_OK)
            return code;
    }
    if (s->count > 0)
        sort_refs(s);
    return store_iterator_error(s->at, e);
}

static void begin(struct extent_spill *s)
{
    struct key from = key_of1(s->shard, KEY_ENTRY, s->first);
    struct key end = key_of1(s->shard, KEY_ENTRY, s->last);
    struct key to = key_after(&end);
    s->at = store_iterate(s->store, STORE_STATE, key_view(&from), key_view(&to), s->snapshot);
}

int extent_spill_next(struct extent_spill *s, struct message_ref *out, bool *more, struct error *e)
{
    if (s->code != ERR_OK) {
        if (e != NULL)
            *e = s->error;
        *more = false;
        return s->code;
    }
    if (s->at == NULL)
        begin(s);
    int code = ERR_OK;
    while (s->given == s->count && code == ERR_OK && store_iterator_valid(s->at))
        code = next_entry(s, e);
    if (code == ERR_OK && s->given == s->count)
        code = store_iterator_error(s->at, e);
    *more = code == ERR_OK && s->given < s->count;
    if (*more)
        *out = s->refs[s->given++];
    return code;
}
