#include "state/chunk.h"
#include "state/lane.h"

/* How a set of bits is written: one byte for none, one bit or all, else nine. */
enum { BITS_NONE = 64, BITS_RAW = 65 };

enum { TOUCH_FRESH = 1, TOUCH_RECEIVES = 2, TOUCH_MOVING = 4 };

static void put_bits(struct buffer *b, uint64_t bits)
{
    if (bits == 0) {
        buffer_u8(b, BITS_NONE);
    } else if ((bits & (bits - 1)) == 0) {
        buffer_u8(b, (uint8_t)chunk_first_slot(bits));
    } else {
        buffer_u8(b, BITS_RAW);
        buffer_u64(b, bits);
    }
}

static uint64_t take_bits(struct cursor *c)
{
    uint8_t form = cursor_u8(c);
    if (form < BITS_NONE)
        return chunk_bit(form);
    if (form == BITS_RAW)
        return cursor_u64(c);
    if (form != BITS_NONE)
        c->failed = true;
    return 0;
}

/* ---------------------------------------------------------------- the chunk record */

struct key chunk_key(uint16_t shard, uint64_t queue, uint64_t number)
{
    return key_of2(shard, KEY_CHUNK, queue, (number & 1) << 63 | number >> 1);
}

uint64_t chunk_key_number(struct bytes key)
{
    struct cursor c = {key.data + key.len - 8, key.data + key.len, false};
    uint64_t n = cursor_u64be(&c);
    return n << 1 | n >> 63;
}

/* A record's slots take 3 bytes each at most sizes: writing them byte by byte through the buffer's functions would cost more
 * than the rest of a send. */
static inline uint8_t *write_varint(uint8_t *at, uint32_t v)
{
    for (; v >= 0x80; v >>= 7)
        *at++ = (uint8_t)(v | 0x80);
    *at++ = (uint8_t)v;
    return at;
}

/* Messages of one send lie one after the other with their lengths between: what is written is how far each is from that. */
enum { LENGTH_BYTES = 4 };

static void put_slots(struct buffer *b, const struct chunk *c)
{
    uint8_t *from = buffer_reserve(b, (size_t)c->count * 10);
    uint8_t *at = from;
    uint32_t expected = 0;
    for (unsigned i = 0; i < c->count; i++) {
        at = write_varint(at, c->slots[i].offset - expected);
        at = write_varint(at, c->slots[i].len);
        expected = c->slots[i].offset + c->slots[i].len + LENGTH_BYTES;
    }
    b->len += (size_t)(at - from);
}

void chunk_record_put(struct machine *m, const struct chunk *c)
{
    struct key key = chunk_key(m->options.shard, c->queue->id, c->number);
    struct buffer *b = keys_begin(&m->keys, CHUNK_RECORD_VERSION);
    buffer_varint(b, c->index);
    buffer_varint(b, c->sent_ms);
    buffer_varint(b, c->due_ms);
    buffer_u8(b, c->lane->priority);
    buffer_u8(b, c->lane->group_len);
    buffer_put(b, c->lane->group, c->lane->group_len);
    put_bits(b, c->errors);
    buffer_u8(b, c->count);
    put_slots(b, c);
    keys_put_new(&m->keys, &key);
}

int chunk_record_parse(struct bytes key, struct cursor *value, struct chunk_record *r, struct error *e)
{
    struct cursor c = *value;
    r->index = cursor_varint(&c);
    r->sent_ms = cursor_varint(&c);
    r->due_ms = cursor_varint(&c);
    r->priority = cursor_u8(&c);
    r->group = cursor_take(&c, cursor_u8(&c));
    r->errors = take_bits(&c);
    r->count = cursor_u8(&c);
    if (c.failed || r->count == 0 || r->count > CHUNK_SLOTS || r->priority >= PRIORITIES ||
        r->group.len > GROUP_BYTES_MAX)
        return value_corrupt(key, "a field is out of bounds", e);
    uint32_t expected = 0;
    for (unsigned i = 0; i < r->count; i++) {
        r->slots[i].offset = expected + (uint32_t)cursor_varint(&c);
        r->slots[i].len = (uint32_t)cursor_varint(&c);
        expected = r->slots[i].offset + r->slots[i].len + LENGTH_BYTES;
    }
    return value_done(key, &c, e);
}

void chunk_record_apply(struct chunk *c, const struct chunk_record *r)
{
    c->index = r->index;
    c->sent_ms = r->sent_ms;
    c->due_ms = r->due_ms;
    c->errors = r->errors & chunk_all(r->count);
    c->count = r->count;
    c->live = chunk_all(r->count);
    c->state = r->due_ms == 0 ? CHUNK_FRESH : CHUNK_COLD;
    c->ready = r->due_ms == 0 ? c->live : 0;
    c->delayed = r->due_ms == 0 ? 0 : c->live;
}

int chunk_record_read(struct machine *m, struct queue *q, uint64_t number, struct bytes key, struct cursor *value,
                      struct chunk **out, struct error *e)
{
    struct chunk_record r;
    int code = chunk_record_parse(key, value, &r, e);
    if (code != ERR_OK)
        return code;
    struct lane *l = lane_get(m, q, r.priority, r.group);
    if ((l == &q->lane && r.due_ms == 0) != (chunk_class(number) == 0))
        return value_corrupt(key, "its lane does not fit its number", e);
    struct chunk *c = chunk_create(q, l, number, r.count);
    memcpy(c->slots, r.slots, r.count * sizeof *c->slots);
    chunk_record_apply(c, &r);
    c->stored = STORED_CHUNK;
    if (c->state == CHUNK_FRESH && chunk_class(number) != 0)
        c->stored |= STORED_INDEX;
    *out = c;
    return ERR_OK;
}

/* ---------------------------------------------------------------- the touch record */

static void put_touches(struct buffer *b, const struct chunk *c)
{
    for (uint64_t left = c->live; left != 0;) {
        const struct touch *t = &c->touches[chunk_first_slot(left)];
        unsigned run = 0;
        for (; left != 0; left &= left - 1, run++) {
            const struct touch *next = &c->touches[chunk_first_slot(left)];
            if (next->receives != t->receives || next->first_ms != t->first_ms)
                break;
        }
        buffer_u8(b, (uint8_t)run);
        buffer_varint(b, t->receives);
        buffer_varint(b, t->first_ms);
    }
}

void chunk_touch_put(struct machine *m, const struct chunk *c, enum key_kind kind)
{
    struct key key = key_of2(m->options.shard, kind, c->queue->id, c->number);
    struct buffer *b = keys_begin(&m->keys, CHUNK_TOUCH_VERSION);
    buffer_u8(b, (uint8_t)((c->state == CHUNK_FRESH ? TOUCH_FRESH : 0) | (c->touches != NULL ? TOUCH_RECEIVES : 0) |
                           (c->moving != 0 ? TOUCH_MOVING : 0)));
    put_bits(b, c->live);
    put_bits(b, c->ready);
    put_bits(b, c->delayed);
    put_bits(b, c->errors);
    if (c->moving != 0)
        put_bits(b, c->moving);
    buffer_varint(b, c->lease_count);
    for (uint32_t i = 0; i < c->lease_count; i++) {
        buffer_varint(b, c->leases[i].id);
        buffer_varint(b, c->leases[i].until_ms);
        put_bits(b, c->leases[i].bits);
        put_bits(b, c->leases[i].late);
    }
    if (c->touches != NULL)
        put_touches(b, c);
    if ((c->stored & (kind == KEY_TOUCH ? STORED_OPEN : STORED_COLD)) != 0)
        keys_put(&m->keys, &key);
    else
        keys_put_new(&m->keys, &key);
}

static bool take_touches(struct chunk *c, struct cursor *v)
{
    struct touch *touches = chunk_touches(c);
    for (uint64_t left = c->live; left != 0;) {
        unsigned run = cursor_u8(v);
        struct touch t;
        t.receives = (uint32_t)cursor_varint(v);
        t.first_ms = cursor_varint(v);
        if (v->failed || run == 0)
            return false;
        for (; run > 0 && left != 0; run--, left &= left - 1)
            touches[chunk_first_slot(left)] = t;
        if (run > 0)
            return false;
    }
    return true;
}

/* Each live message is in one place: ready, delayed, moving, or one lease. */
static bool consistent(const struct chunk *c)
{
    uint64_t leased = 0;
    for (uint32_t i = 0; i < c->lease_count; i++) {
        if ((leased & c->leases[i].bits) != 0)
            return false;
        leased |= c->leases[i].bits;
    }
    const uint64_t places[] = {c->ready, c->delayed, c->moving, leased};
    uint64_t all = 0;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if ((all & places[i]) != 0)
            return false;
        all |= places[i];
    }
    return leased == c->leased && c->live != 0 && (c->live & ~chunk_all(c->count)) == 0 && all == c->live;
}

int chunk_touch_read(struct chunk *c, struct bytes key, struct cursor *v, struct error *e)
{
    uint8_t flags = cursor_u8(v);
    c->live = take_bits(v);
    c->ready = take_bits(v);
    c->delayed = take_bits(v);
    c->errors = take_bits(v);
    c->moving = (flags & TOUCH_MOVING) != 0 ? take_bits(v) : 0;
    uint64_t leases = cursor_varint(v);
    /* one running and one late lease a message at most */
    if (v->failed || leases > 2 * CHUNK_SLOTS || (c->live & ~chunk_all(c->count)) != 0)
        return value_corrupt(key, "a field is out of bounds", e);
    memory_free(c->leases);
    c->lease_count = c->lease_capacity = (uint32_t)leases;
    c->leases = memory_zero(leases > 0 ? leases : 1, sizeof *c->leases);
    c->leased = 0;
    for (uint32_t i = 0; i < c->lease_count; i++) {
        struct lease *l = &c->leases[i];
        l->id = cursor_varint(v);
        l->until_ms = cursor_varint(v);
        l->bits = take_bits(v);
        l->late = take_bits(v);
        c->leased |= l->bits;
    }
    c->state = (flags & TOUCH_FRESH) != 0 ? CHUNK_FRESH : (c->ready != 0 || c->leased != 0) ? CHUNK_OPEN : CHUNK_COLD;
    if (c->state != CHUNK_FRESH)
        c->stored &= (uint8_t)~STORED_INDEX;
    if ((flags & TOUCH_RECEIVES) != 0 && !take_touches(c, v))
        return value_corrupt(key, "its receive counts do not add up", e);
    if (!consistent(c))
        return value_corrupt(key, "a message is in two places, or in none", e);
    return value_done(key, v, e);
}

/* ---------------------------------------------------------------- for spilling, without a machine */

/* The live bits are among the first fields of the touch record, whichever kind it is. */
static int read_live(struct store *store, const struct store_snapshot *snapshot, const struct key *key,
                     struct buffer *buffer, uint64_t *live, struct error *e)
{
    buffer_clear(buffer);
    int code = store_get_at(store, STORE_STATE, key_view(key), snapshot, buffer, e);
    if (code != ERR_OK)
        return code;
    struct cursor v;
    code = value_open(key_view(key), buffer_view(buffer), CHUNK_TOUCH_VERSION, &v, e);
    if (code != ERR_OK)
        return code;
    cursor_u8(&v);
    *live = take_bits(&v);
    return v.failed ? value_corrupt(key_view(key), "it is too short", e) : ERR_OK;
}

int chunk_live_refs(struct store *store, const struct store_snapshot *snapshot, uint16_t shard, uint64_t queue,
                    uint64_t number, struct buffer *buffer, struct message_ref out[EXTENT_CHUNK_SLOTS], size_t *count,
                    struct error *e)
{
    *count = 0;
    struct key key = chunk_key(shard, queue, number);
    buffer_clear(buffer);
    int code = store_get_at(store, STORE_STATE, key_view(&key), snapshot, buffer, e);
    if (code != ERR_OK)
        return code == ERR_NOT_FOUND ? ERR_OK : code;
    struct chunk_record r;
    struct cursor value;
    code = value_open(key_view(&key), buffer_view(buffer), CHUNK_RECORD_VERSION, &value, e);
    if (code == ERR_OK)
        code = chunk_record_parse(key_view(&key), &value, &r, e);
    if (code != ERR_OK)
        return code;
    uint64_t live = chunk_all(r.count);
    struct key touch = key_of2(shard, KEY_TOUCH, queue, number);
    code = read_live(store, snapshot, &touch, buffer, &live, e);
    if (code == ERR_NOT_FOUND) {
        touch = key_of2(shard, KEY_COLD, queue, number);
        code = read_live(store, snapshot, &touch, buffer, &live, e);
    }
    if (code != ERR_OK && code != ERR_NOT_FOUND)
        return code;
    for (live &= chunk_all(r.count); live != 0; live &= live - 1) {
        const struct slot *s = &r.slots[chunk_first_slot(live)];
        out[(*count)++] = (struct message_ref){r.index, s->offset, s->len};
    }
    return ERR_OK;
}
