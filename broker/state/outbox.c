#include "state/outbox.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "state/identity.h"
#include "state/keys.h"
#include "state/lasterror.h"
#include "state/settings.h"
#include "store/store.h"

enum { VERSION = 1, ITEM_VERSION = 4 /* 1 ended before available_ms, 2 before redrive; 3 kept none */ };

enum { ITEM_CREATE = 1, ITEM_KEPT = 2 };

/* To one target. */
struct channel {
    uint64_t next; /* sequence of the next item; 0: the channel was never used */
    uint64_t settled;
    bool dirty;
};

/* An item of a source that was not taken. */
struct refusal {
    uint64_t sequence;
    int code;
};

/* From one source. */
struct inbox {
    uint64_t upto;
    struct refusal *refusals; /* ascending; those within the window */
    uint32_t refusal_count;
    uint32_t refusal_capacity;
    bool dirty;
};

struct outbox {
    struct channel *channels; /* by target */
    size_t channel_count;
    struct inbox *inboxes; /* by source */
    size_t inbox_count;
    uint64_t pending;
    bool dirty;
    struct buffer item; /* the one being settled */
};

static struct channel *channel_to(struct outbox *o, uint16_t target)
{
    if (target >= o->channel_count) {
        size_t count = (size_t)target + 1;
        o->channels = memory_grow(o->channels, count, sizeof *o->channels);
        memset(o->channels + o->channel_count, 0, (count - o->channel_count) * sizeof *o->channels);
        o->channel_count = count;
    }
    struct channel *c = &o->channels[target];
    if (c->next == 0)
        c->next = 1;
    return c;
}

static struct inbox *inbox_from(struct outbox *o, uint16_t source)
{
    if (source >= o->inbox_count) {
        size_t count = (size_t)source + 1;
        o->inboxes = memory_grow(o->inboxes, count, sizeof *o->inboxes);
        memset(o->inboxes + o->inbox_count, 0, (count - o->inbox_count) * sizeof *o->inboxes);
        o->inbox_count = count;
    }
    return &o->inboxes[source];
}

/* ---------------------------------------------------------------- heads */

static void add_refusal(struct inbox *i, uint64_t sequence, int code)
{
    if (i->refusal_count == i->refusal_capacity) {
        i->refusal_capacity = i->refusal_capacity == 0 ? 8 : i->refusal_capacity * 2;
        i->refusals = memory_grow(i->refusals, i->refusal_capacity, sizeof *i->refusals);
    }
    i->refusals[i->refusal_count++] = (struct refusal){sequence, code};
}

static int load_channel(struct outbox *o, struct bytes key, uint64_t target, struct cursor *c, struct error *e)
{
    uint64_t next = cursor_varint(c);
    uint64_t settled = cursor_varint(c);
    if (target > UINT16_MAX || next == 0 || settled >= next)
        return value_corrupt(key, "its numbers can't be", e);
    *channel_to(o, (uint16_t)target) = (struct channel){.next = next, .settled = settled};
    o->pending += next - 1 - settled;
    return value_done(key, c, e);
}

static int load_inbox(struct outbox *o, struct bytes key, uint64_t source, struct cursor *c, struct error *e)
{
    if (source > UINT16_MAX)
        return value_corrupt(key, "its numbers can't be", e);
    struct inbox *i = inbox_from(o, (uint16_t)source);
    i->upto = cursor_varint(c);
    uint64_t before = 0;
    for (uint64_t left = cursor_varint(c); left > 0 && !c->failed; left--) {
        uint64_t sequence = cursor_varint(c);
        uint8_t code = cursor_u8(c);
        if (sequence <= before || sequence > i->upto || code == ERR_OK || code >= ERR_CODE_MAX)
            return value_corrupt(key, "its refusals can't be", e);
        add_refusal(i, sequence, code);
        before = sequence;
    }
    return value_done(key, c, e);
}

static int load(struct outbox *o, struct keys *ks, enum key_kind kind,
                int (*one)(struct outbox *o, struct bytes key, uint64_t shard, struct cursor *c, struct error *e),
                struct error *e)
{
    struct key from = key_of(ks->shard, kind);
    struct key to = key_after(&from);
    int code = ERR_OK;
    struct store_iterator *i = keys_iterate(ks, &from, &to);
    for (; code == ERR_OK && store_iterator_valid(i); store_iterator_next(i)) {
        struct bytes key = store_iterator_key(i);
        struct cursor c;
        uint64_t shard = 0;
        code = value_open(key, store_iterator_value(i), VERSION, &c, e);
        if (code == ERR_OK && !key_numbers(key, kind, &shard, 1))
            code = value_corrupt(key, "its key is malformed", e);
        if (code == ERR_OK)
            code = one(o, key, shard, &c, e);
    }
    if (code == ERR_OK)
        code = store_iterator_error(i, e);
    store_iterator_close(i);
    return code;
}

int outbox_open(struct keys *ks, struct outbox **out, struct error *e)
{
    struct outbox *o = memory_zero(1, sizeof *o);
    int code = load(o, ks, KEY_OUTBOX_HEAD, load_channel, e);
    if (code == ERR_OK)
        code = load(o, ks, KEY_INBOX, load_inbox, e);
    if (code != ERR_OK) {
        outbox_close(o);
        return code;
    }
    *out = o;
    return ERR_OK;
}

void outbox_close(struct outbox *o)
{
    if (o == NULL)
        return;
    for (size_t i = 0; i < o->inbox_count; i++)
        memory_free(o->inboxes[i].refusals);
    memory_free(o->inboxes);
    memory_free(o->channels);
    buffer_close(&o->item);
    memory_free(o);
}

static void write_channel(struct keys *ks, uint64_t target, const struct channel *c)
{
    struct key k = key_of1(ks->shard, KEY_OUTBOX_HEAD, target);
    struct buffer *v = keys_begin(ks, VERSION);
    buffer_varint(v, c->next);
    buffer_varint(v, c->settled);
    keys_put(ks, &k);
}

static void write_inbox(struct keys *ks, uint64_t source, const struct inbox *i)
{
    struct key k = key_of1(ks->shard, KEY_INBOX, source);
    struct buffer *v = keys_begin(ks, VERSION);
    buffer_varint(v, i->upto);
    buffer_varint(v, i->refusal_count);
    for (uint32_t r = 0; r < i->refusal_count; r++) {
        buffer_varint(v, i->refusals[r].sequence);
        buffer_u8(v, (uint8_t)i->refusals[r].code);
    }
    keys_put(ks, &k);
}

void outbox_write(struct outbox *o, struct keys *ks)
{
    if (!o->dirty)
        return;
    o->dirty = false;
    for (size_t t = 0; t < o->channel_count; t++) {
        if (o->channels[t].dirty)
            write_channel(ks, t, &o->channels[t]);
        o->channels[t].dirty = false;
    }
    for (size_t s = 0; s < o->inbox_count; s++) {
        if (o->inboxes[s].dirty)
            write_inbox(ks, s, &o->inboxes[s]);
        o->inboxes[s].dirty = false;
    }
}

/* ---------------------------------------------------------------- items */

static void put_text(struct buffer *v, struct bytes text)
{
    buffer_varint(v, text.len);
    buffer_put(v, text.data, text.len);
}

static struct bytes take_text(struct cursor *c)
{
    return cursor_take(c, (size_t)cursor_varint(c));
}

static void encode_item(struct buffer *v, const struct moving *m)
{
    put_text(v, m->queue);
    buffer_u8(v, (uint8_t)((m->create ? ITEM_CREATE : 0) | (m->kept ? ITEM_KEPT : 0)));
    buffer_varint(v, m->ref.index);
    buffer_varint(v, m->ref.offset);
    buffer_varint(v, m->ref.len);
    put_text(v, m->provenance);
    buffer_varint(v, m->from);
    buffer_varint(v, m->from_sequence);
    buffer_varint(v, m->sent_ms);
    buffer_u8(v, m->priority);
    put_text(v, m->group);
    put_text(v, m->source);
    put_text(v, m->reason);
    buffer_varint(v, m->available_ms);
    buffer_varint(v, m->redrive);
}

static int decode_item(struct bytes key, struct cursor c, uint64_t sequence, struct moving *m, struct error *e)
{
    m->sequence = sequence;
    m->queue = take_text(&c);
    uint8_t flags = cursor_u8(&c);
    m->create = (flags & ITEM_CREATE) != 0;
    m->kept = (flags & ITEM_KEPT) != 0;
    m->ref.index = cursor_varint(&c);
    m->ref.offset = (uint32_t)cursor_varint(&c);
    m->ref.len = (uint32_t)cursor_varint(&c);
    m->provenance = take_text(&c);
    m->from = cursor_varint(&c);
    m->from_sequence = cursor_varint(&c);
    m->sent_ms = cursor_varint(&c);
    m->priority = cursor_u8(&c);
    m->group = take_text(&c);
    m->source = take_text(&c);
    m->reason = take_text(&c);
    m->available_ms = cursor_left(&c) > 0 ? cursor_varint(&c) : 0;
    m->redrive = cursor_left(&c) > 0 ? cursor_varint(&c) : 0;
    return value_done(key, &c, e);
}

uint64_t outbox_put(struct outbox *o, struct keys *ks, uint16_t target, const struct moving *m)
{
    ASSERT(m->queue.len <= IDENTITY_NAME_MAX && m->provenance.len <= OUTBOX_PROVENANCE_MAX &&
           m->group.len <= SETTINGS_GROUP_MAX && m->source.len <= IDENTITY_NAME_MAX &&
           m->reason.len <= LASTERROR_REASON_MAX);
    struct channel *c = channel_to(o, target);
    uint64_t sequence = c->next++;
    c->dirty = true;
    o->dirty = true;
    o->pending++;
    struct key k = key_of2(ks->shard, KEY_OUTBOX, target, sequence);
    encode_item(keys_begin(ks, ITEM_VERSION), m);
    keys_put(ks, &k);
    return sequence;
}

/* The item, in o->item, so that whoever visits it may read and write other keys. */
static int get_item(struct outbox *o, struct keys *ks, const struct key *k, uint64_t sequence, struct moving *m,
                    struct error *e)
{
    struct cursor c;
    int code = keys_get(ks, k, ITEM_VERSION, &c, e);
    if (code == ERR_NOT_FOUND)
        return value_corrupt(key_view(k), "it is missing", e);
    if (code != ERR_OK)
        return code;
    struct buffer swapped = o->item;
    o->item = ks->in;
    ks->in = swapped;
    return decode_item(key_view(k), c, sequence, m, e);
}

static int compare_sequences(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static uint64_t *sorted(const uint64_t *sequences, size_t count)
{
    uint64_t *copy = memory_alloc(count * sizeof *copy);
    if (count > 0)
        memcpy(copy, sequences, count * sizeof *copy);
    qsort(copy, count, sizeof *copy, compare_sequences);
    return copy;
}

int outbox_settle(struct outbox *o, struct keys *ks, uint16_t target, uint64_t upto, const uint64_t *refused,
                  size_t refused_count, int (*visit)(void *ctx, const struct moving *m, bool refused, struct error *e),
                  void *ctx, struct error *e)
{
    struct channel *c = channel_to(o, target);
    uint64_t from = c->settled + 1;
    uint64_t to = upto < c->next ? upto : c->next - 1;
    uint64_t *out = sorted(refused, refused_count);
    int code = ERR_OK;
    for (uint64_t s = from; s <= to && code == ERR_OK; s++) {
        struct key k = key_of2(ks->shard, KEY_OUTBOX, target, s);
        struct moving m = {0};
        code = get_item(o, ks, &k, s, &m, e);
        if (code != ERR_OK)
            break;
        keys_delete(ks, &k);
        o->pending--;
        code = visit(ctx, &m, bsearch(&s, out, refused_count, sizeof *out, compare_sequences) != NULL, e);
    }
    memory_free(out);
    c = channel_to(o, target); /* a visitor's put may have moved it */
    if (to > c->settled && from <= to) {
        c->settled = to;
        c->dirty = true;
        o->dirty = true;
    }
    return code;
}

static int list_one(struct outbox *o, struct keys *ks, uint16_t target, uint64_t sequence, struct moving *m,
                    struct arena *arena, struct outbox_item *out, struct error *e)
{
    struct key k = key_of2(ks->shard, KEY_OUTBOX, target, sequence);
    int code = get_item(o, ks, &k, sequence, m, e);
    if (code != ERR_OK)
        return code;
    *out = (struct outbox_item){
        .sequence = sequence,
        .queue = arena_text(arena, m->queue.data, m->queue.len),
        .create = m->create,
        .ref = m->ref,
        .provenance = bytes_of(arena_copy(arena, m->provenance.data, m->provenance.len), m->provenance.len),
    };
    return ERR_OK;
}

int outbox_list(struct outbox *o, struct keys *ks, uint16_t target, uint64_t after, size_t max,
                bool (*withdrawn)(const void *ctx, const struct moving *m), const void *ctx, struct arena *arena,
                struct outbox_item **out, size_t *count, struct error *e)
{
    *out = NULL;
    *count = 0;
    if (target >= o->channel_count || o->channels[target].next == 0)
        return ERR_OK;
    const struct channel *c = &o->channels[target];
    uint64_t from = (after > c->settled ? after : c->settled) + 1;
    uint64_t to = c->next - 1 < c->settled + OUTBOX_WINDOW ? c->next - 1 : c->settled + OUTBOX_WINDOW;
    if (from > to || max == 0)
        return ERR_OK;
    size_t wanted = to - from + 1 < max ? (size_t)(to - from + 1) : max;
    *out = arena_alloc(arena, wanted * sizeof **out);
    int code = ERR_OK;
    for (; *count < wanted && code == ERR_OK; (*count)++) {
        struct moving m = {0};
        struct outbox_item *item = *out + *count;
        code = list_one(o, ks, target, from + *count, &m, arena, item, e);
        item->withdrawn = code == ERR_OK && withdrawn(ctx, &m);
    }
    return code;
}

size_t outbox_targets(const struct outbox *o, uint16_t *out, size_t max)
{
    size_t count = 0;
    for (size_t t = 0; t < o->channel_count && count < max; t++)
        if (o->channels[t].next > o->channels[t].settled + 1)
            out[count++] = (uint16_t)t;
    return count;
}

uint64_t outbox_pending(const struct outbox *o)
{
    return o->pending;
}

/* ---------------------------------------------------------------- the receiving side */

static int refusal_of(const struct inbox *i, uint64_t sequence)
{
    uint32_t low = 0;
    uint32_t high = i->refusal_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (i->refusals[middle].sequence < sequence)
            low = middle + 1;
        else
            high = middle;
    }
    return low < i->refusal_count && i->refusals[low].sequence == sequence ? i->refusals[low].code : ERR_OK;
}

enum inbox_verdict inbox_look(const struct outbox *o, uint16_t source, uint64_t sequence, int *code)
{
    uint64_t upto = source < o->inbox_count ? o->inboxes[source].upto : 0;
    if (sequence > upto)
        return sequence == upto + 1 ? INBOX_NEW : INBOX_GAP;
    *code = sequence == 0 ? ERR_OK : refusal_of(&o->inboxes[source], sequence);
    return INBOX_SEEN;
}

/* Forgets refusals that the source must know of: it never sends again what is a window behind. */
static void forget_refusals(struct inbox *i)
{
    uint32_t old = 0;
    while (old < i->refusal_count && i->refusals[old].sequence + OUTBOX_WINDOW <= i->upto)
        old++;
    if (old == 0)
        return;
    i->refusal_count -= old;
    memmove(i->refusals, i->refusals + old, i->refusal_count * sizeof *i->refusals);
}

void inbox_answer(struct outbox *o, uint16_t source, uint64_t sequence, int code)
{
    struct inbox *i = inbox_from(o, source);
    ASSERT(sequence == i->upto + 1 && code >= ERR_OK && code < ERR_CODE_MAX);
    i->upto = sequence;
    i->dirty = true;
    o->dirty = true;
    if (code != ERR_OK)
        add_refusal(i, sequence, code);
    forget_refusals(i);
}
