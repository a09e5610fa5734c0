#include "state/extent.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "state/chunk.h"
#include "state/keys.h"
#include "store/store.h"

enum {
    VERSION = 1,
    /* The last extent, when nothing lives in it, is kept until it is this large: a queue that is emptied after every
     * message must not cost a range to drop each time. */
    KEPT_ENTRIES = 1024,
    KEPT_BYTES = 1 << 20,
};

struct extent {
    uint64_t first;     /* index of its first entry with messages */
    uint64_t last;      /* and of the last */
    uint64_t bytes;     /* all messages it ever had */
    uint64_t live_from; /* nothing before it lives */
    uint64_t live_messages;
    uint64_t live_bytes;
    bool dirty;
};

/* A chunk that was made in this entry. */
struct made {
    uint64_t index;
    uint64_t queue;
    uint64_t chunk;
};

struct dead {
    uint64_t first;
    uint64_t last;
};

struct extents {
    struct extent **all; /* ascending */
    size_t count;
    size_t capacity;
    uint64_t newest; /* entries up to this one may have a record */
    struct extent **dirty;
    size_t dirty_count;
    size_t dirty_capacity;
    struct made *made;
    size_t made_count;
    size_t made_capacity;
    struct dead *dead; /* ascending, not touching, not reported yet */
    size_t dead_count;
    size_t dead_capacity;
    struct buffer had; /* an old entry's chunks, as its record is written anew */
};

/* ---------------------------------------------------------------- ranges without anything alive */

static void grow_dead(struct extents *x)
{
    if (x->dead_count < x->dead_capacity)
        return;
    x->dead_capacity = x->dead_capacity == 0 ? 8 : x->dead_capacity * 2;
    x->dead = memory_grow(x->dead, x->dead_capacity, sizeof *x->dead);
}

static void remove_dead(struct extents *x, size_t at, size_t count)
{
    x->dead_count -= count;
    if (x->dead_count > at)
        memmove(x->dead + at, x->dead + at + count, (x->dead_count - at) * sizeof *x->dead);
}

static void add_dead(struct extents *x, uint64_t first, uint64_t last)
{
    if (first > last)
        return;
    size_t at = x->dead_count;
    while (at > 0 && x->dead[at - 1].first > first)
        at--;
    if (at > 0 && x->dead[at - 1].last + 1 >= first) {
        at--;
        x->dead[at].last = last > x->dead[at].last ? last : x->dead[at].last;
    } else {
        grow_dead(x);
        if (at < x->dead_count)
            memmove(x->dead + at + 1, x->dead + at, (x->dead_count - at) * sizeof *x->dead);
        x->dead_count++;
        x->dead[at] = (struct dead){first, last};
    }
    if (at + 1 < x->dead_count && x->dead[at].last + 1 >= x->dead[at + 1].first) {
        x->dead[at].last = x->dead[at + 1].last;
        remove_dead(x, at + 1, 1);
    }
}

size_t extent_dead_ranges(struct extents *x, uint64_t below, uint64_t (*out)[2], size_t max)
{
    size_t count = 0;
    size_t whole = 0;
    for (; whole < x->dead_count && count < max && x->dead[whole].first < below; whole++) {
        struct dead *d = &x->dead[whole];
        out[count][0] = d->first;
        out[count][1] = d->last < below ? d->last : below - 1;
        count++;
        if (d->last >= below) {
            d->first = below;
            break;
        }
    }
    remove_dead(x, 0, whole);
    return count;
}

void extent_dead_again(struct extents *x, uint64_t first, uint64_t last)
{
    add_dead(x, first, last);
}

/* ---------------------------------------------------------------- records */

static struct extent *append(struct extents *x, uint64_t first)
{
    if (x->count == x->capacity) {
        x->capacity = x->capacity == 0 ? 16 : x->capacity * 2;
        x->all = memory_grow(x->all, x->capacity, sizeof(struct extent *));
    }
    struct extent *g = memory_zero(1, sizeof *g);
    g->first = first;
    g->last = first;
    g->live_from = first;
    x->all[x->count++] = g;
    return g;
}

static int load_one(struct extents *x, struct bytes key, struct bytes value, struct error *e)
{
    struct cursor c;
    uint64_t first = 0;
    int code = value_open(key, value, VERSION, &c, e);
    if (code != ERR_OK)
        return code;
    if (!key_numbers(key, KEY_EXTENT, &first, 1))
        return value_corrupt(key, "its key is malformed", e);
    uint64_t before = x->count > 0 ? x->all[x->count - 1]->last : 0;
    struct extent *g = append(x, first);
    g->last = cursor_varint(&c);
    g->bytes = cursor_varint(&c);
    g->live_from = cursor_varint(&c);
    g->live_messages = cursor_varint(&c);
    g->live_bytes = cursor_varint(&c);
    if (g->first <= before || g->last < g->first || g->live_from < g->first)
        return value_corrupt(key, "its numbers can't be", e);
    add_dead(x, before + 1, first - 1);
    return value_done(key, &c, e);
}

static int load(struct extents *x, struct keys *ks, struct error *e)
{
    struct key from = key_of(ks->shard, KEY_EXTENT);
    struct key to = key_after(&from);
    int code = ERR_OK;
    struct store_iterator *i = keys_iterate(ks, &from, &to);
    for (; code == ERR_OK && store_iterator_valid(i); store_iterator_next(i))
        code = load_one(x, store_iterator_key(i), store_iterator_value(i), e);
    if (code == ERR_OK)
        code = store_iterator_error(i, e);
    store_iterator_close(i);
    return code;
}

int extent_open(struct keys *ks, uint64_t applied, struct extents **out, struct error *e)
{
    struct extents *x = memory_zero(1, sizeof *x);
    int code = load(x, ks, e);
    if (code != ERR_OK) {
        extent_close(x);
        return code;
    }
    /* What an earlier run dropped and did not report may have left spilled bodies: all that is not in an extent. */
    add_dead(x, x->count > 0 ? x->all[x->count - 1]->last + 1 : 1, applied);
    x->newest = applied;
    *out = x;
    return ERR_OK;
}

void extent_close(struct extents *x)
{
    if (x == NULL)
        return;
    for (size_t i = 0; i < x->count; i++)
        memory_free(x->all[i]);
    memory_free(x->all);
    memory_free(x->made);
    memory_free(x->dirty);
    memory_free(x->dead);
    buffer_close(&x->had);
    memory_free(x);
}

/* ---------------------------------------------------------------- during an entry */

static void mark(struct extents *x, struct extent *g)
{
    if (g->dirty)
        return;
    g->dirty = true;
    if (x->dirty_count == x->dirty_capacity) {
        x->dirty_capacity = x->dirty_capacity == 0 ? 16 : x->dirty_capacity * 2;
        x->dirty = memory_grow(x->dirty, x->dirty_capacity, sizeof(struct extent *));
    }
    x->dirty[x->dirty_count++] = g;
}

/* Number of the extent that the entry belongs to: the last that begins at or before it. */
static size_t place_of(const struct extents *x, uint64_t index)
{
    size_t low = 0;
    size_t high = x->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (x->all[middle]->first <= index)
            low = middle + 1;
        else
            high = middle;
    }
    ASSERT(low > 0);
    return low - 1;
}

static struct extent *extent_for(struct extents *x, uint64_t index)
{
    struct extent *last = x->count > 0 ? x->all[x->count - 1] : NULL;
    if (last == NULL || index > last->last) {
        if (last == NULL || last->bytes >= EXTENT_BYTES || index - last->first >= EXTENT_ENTRIES)
            last = append(x, index);
        last->last = index;
        return last;
    }
    struct extent *g = x->all[place_of(x, index)];
    ASSERT(index <= g->last);
    return g;
}

void extent_add(struct extents *x, uint64_t index, uint64_t queue, uint64_t chunk, uint32_t messages, uint64_t bytes)
{
    struct extent *g = extent_for(x, index);
    if (g->live_messages == 0 || index < g->live_from)
        g->live_from = index;
    g->bytes += bytes;
    g->live_messages += messages;
    g->live_bytes += bytes;
    mark(x, g);
    if (x->made_count == x->made_capacity) {
        x->made_capacity = x->made_capacity == 0 ? 16 : x->made_capacity * 2;
        x->made = memory_grow(x->made, x->made_capacity, sizeof *x->made);
    }
    x->made[x->made_count++] = (struct made){index, queue, chunk};
}

void extent_gone(struct extents *x, uint64_t index, uint32_t messages, uint64_t bytes)
{
    struct extent *g = x->all[place_of(x, index)];
    ASSERT(index <= g->last && messages <= g->live_messages && bytes <= g->live_bytes);
    g->live_messages -= messages;
    g->live_bytes -= bytes;
    mark(x, g);
}

void extent_moving(struct extents *x, struct keys *ks, const struct message_ref *ref, uint16_t target,
                   uint64_t sequence)
{
    (void)x;
    struct key k = key_of3(ks->shard, KEY_ENTRY, ref->index, target, sequence);
    struct buffer *v = keys_begin(ks, VERSION);
    buffer_u32(v, ref->offset);
    buffer_u32(v, ref->len);
    keys_put(ks, &k);
}

void extent_moved(struct extents *x, struct keys *ks, uint64_t index, uint16_t target, uint64_t sequence)
{
    (void)x;
    struct key k = key_of3(ks->shard, KEY_ENTRY, index, target, sequence);
    keys_delete(ks, &k);
}

/* ---------------------------------------------------------------- at the end of an entry */

static void write_extent(struct keys *ks, const struct extent *g)
{
    struct key k = key_of1(ks->shard, KEY_EXTENT, g->first);
    struct buffer *v = keys_begin(ks, VERSION);
    buffer_varint(v, g->last);
    buffer_varint(v, g->bytes);
    buffer_varint(v, g->live_from);
    buffer_varint(v, g->live_messages);
    buffer_varint(v, g->live_bytes);
    keys_put(ks, &k);
}

static void drop_extent(struct extents *x, struct keys *ks, struct extent *g)
{
    struct key k = key_of1(ks->shard, KEY_EXTENT, g->first);
    keys_delete(ks, &k);
    struct key from = key_of1(ks->shard, KEY_ENTRY, g->first);
    struct key to = key_of1(ks->shard, KEY_ENTRY, g->last + 1);
    keys_delete_range(ks, &from, &to);
    size_t at = place_of(x, g->first);
    uint64_t end = at + 1 < x->count ? x->all[at + 1]->first - 1 : g->last;
    add_dead(x, at > 0 ? x->all[at - 1]->last + 1 : g->first, end);
    x->count--;
    memmove(x->all + at, x->all + at + 1, (x->count - at) * sizeof(struct extent *));
    memory_free(g);
}

static bool worth_dropping(const struct extents *x, const struct extent *g)
{
    if (g->live_messages > 0)
        return false;
    return g != x->all[x->count - 1] || g->bytes >= KEPT_BYTES || g->last - g->first >= KEPT_ENTRIES;
}

static int compare_first(const void *a, const void *b)
{
    const struct extent *const *x = a;
    const struct extent *const *y = b;
    return ((*x)->first > (*y)->first) - ((*x)->first < (*y)->first);
}

/* From the first one on: whether one is dropped depends on those that are left, and replicas mark them in different orders. */
static void write_extents(struct extents *x, struct keys *ks)
{
    if (x->dirty_count > 1)
        qsort(x->dirty, x->dirty_count, sizeof(struct extent *), compare_first);
    for (size_t i = 0; i < x->dirty_count; i++) {
        struct extent *g = x->dirty[i];
        g->dirty = false;
        if (worth_dropping(x, g))
            drop_extent(x, ks, g);
        else
            write_extent(ks, g);
    }
    x->dirty_count = 0;
}

static int compare_made(const void *a, const void *b)
{
    const struct made *x = a;
    const struct made *y = b;
    if (x->index != y->index)
        return x->index < y->index ? -1 : 1;
    if (x->queue != y->queue)
        return x->queue < y->queue ? -1 : 1;
    return x->chunk < y->chunk ? -1 : x->chunk > y->chunk;
}

/* What an old entry's record has, to x->had. */
static int read_entry(struct extents *x, struct keys *ks, const struct key *k, struct error *e)
{
    struct cursor c;
    buffer_clear(&x->had);
    int code = keys_get(ks, k, VERSION, &c, e);
    if (code == ERR_OK)
        buffer_put(&x->had, c.at, cursor_left(&c));
    return code == ERR_NOT_FOUND ? ERR_OK : code;
}

/* Of the chunks at the front of what the record had, the first `count` are looked for: those that are there go to the end of
 * x->had, the others are forgotten. `*from` is where the rest begins. */
static int forget_gone(struct extents *x, struct keys *ks, const struct key *k, size_t count, size_t *from,
                       struct error *e)
{
    size_t had = x->had.len;
    *from = 0;
    for (; count > 0 && *from < had; count--) {
        struct cursor c = cursor_open(bytes_of(x->had.data + *from, had - *from));
        uint64_t queue = cursor_varint(&c);
        uint64_t chunk = cursor_varint(&c);
        if (c.failed)
            return value_corrupt(key_view(k), "it ends within a chunk's number", e);
        *from = had - cursor_left(&c);
        struct key at = chunk_key(ks->shard, queue, chunk);
        int code = keys_get(ks, &at, CHUNK_RECORD_VERSION, &c, e);
        if (code != ERR_OK && code != ERR_NOT_FOUND)
            return code;
        if (code == ERR_NOT_FOUND)
            continue;
        buffer_varint(&x->had, queue);
        buffer_varint(&x->had, chunk);
    }
    return ERR_OK;
}

/* One entry's record: what it had (when it is an old one) and what was made. A message that again and again leaves for a full
 * queue and comes back is in a new chunk each time: for each chunk made two old ones are looked at, in turn, so that
 * the record never has more than three times as many as are there. */
static int write_entry(struct extents *x, struct keys *ks, const struct made *made, size_t count, struct error *e)
{
    struct key k = key_of1(ks->shard, KEY_ENTRY, made->index);
    size_t from = 0;
    buffer_clear(&x->had);
    int code = made->index <= x->newest ? read_entry(x, ks, &k, e) : ERR_OK;
    if (code == ERR_OK)
        code = forget_gone(x, ks, &k, 2 * count, &from, e);
    if (code != ERR_OK)
        return code;
    struct buffer *v = keys_begin(ks, VERSION);
    buffer_put(v, x->had.data + from, x->had.len - from);
    for (size_t i = 0; i < count; i++) {
        buffer_varint(v, made[i].queue);
        buffer_varint(v, made[i].chunk);
    }
    keys_put(ks, &k);
    return ERR_OK;
}

static int write_entries(struct extents *x, struct keys *ks, struct error *e)
{
    if (x->made_count > 1)
        qsort(x->made, x->made_count, sizeof *x->made, compare_made);
    int code = ERR_OK;
    uint64_t newest = x->newest;
    for (size_t at = 0, end; at < x->made_count && code == ERR_OK; at = end) {
        uint64_t index = x->made[at].index;
        for (end = at + 1; end < x->made_count && x->made[end].index == index; end++)
            ;
        code = write_entry(x, ks, x->made + at, end - at, e);
        newest = index > newest ? index : newest;
    }
    x->newest = newest;
    x->made_count = 0;
    return code;
}

int extent_write(struct extents *x, struct keys *ks, struct error *e)
{
    int code = write_entries(x, ks, e);
    write_extents(x, ks);
    return code;
}

/* ---------------------------------------------------------------- for the log's window */

uint64_t extent_first_live(const struct extents *x)
{
    for (size_t i = 0; i < x->count; i++)
        if (x->all[i]->live_messages > 0)
            return x->all[i]->live_from;
    return UINT64_MAX;
}
