#include "state/chunk.h"

#include "state/due.h"
#include "state/lane.h"
#include "state/lease.h"
#include "state/pick.h"
#include "state/queue.h"

uint64_t chunk_lowest(uint64_t bits, uint32_t n)
{
    if (chunk_bits_count(bits) <= n)
        return bits;
    uint64_t left = bits;
    for (uint32_t i = 0; i < n; i++)
        left &= left - 1;
    return bits & ~left;
}

uint64_t chunk_bytes(const struct chunk *c, uint64_t bits)
{
    uint64_t sum = 0;
    for (; bits != 0; bits &= bits - 1)
        sum += c->slots[chunk_first_slot(bits)].len;
    return sum;
}

/* ---------------------------------------------------------------- memory */

struct chunk *chunk_create(struct queue *q, struct lane *l, uint64_t number, unsigned capacity)
{
    ASSERT(capacity > 0 && capacity <= CHUNK_SLOTS);
    struct chunk *c = memory_zero(1, sizeof *c);
    c->number = number;
    c->queue = q;
    c->lane = l;
    l->refs++;
    c->capacity = (uint8_t)capacity;
    c->slots = memory_grow(NULL, capacity, sizeof *c->slots);
    void *before = tree_put(&q->chunks, number, c);
    ASSERT(before == NULL);
    return c;
}

void chunk_add_slot(struct chunk *c, uint32_t offset, uint32_t len)
{
    ASSERT(c->count < CHUNK_SLOTS);
    if (c->count == c->capacity) {
        c->capacity = c->capacity > CHUNK_SLOTS / 2 ? CHUNK_SLOTS : (uint8_t)(c->capacity * 2);
        c->slots = memory_grow(c->slots, c->capacity, sizeof *c->slots);
    }
    c->slots[c->count++] = (struct slot){offset, len};
}

void chunk_free(struct machine *m, struct chunk *c)
{
    ASSERT(!c->listed && !c->dirty);
    struct queue *q = c->queue;
    tree_remove(&q->chunks, c->number);
    if (list_linked(&c->open))
        list_remove(&c->lane->open, &c->open);
    if (heap_holds(&c->due))
        heap_remove(&q->due, &c->due);
    c->lane->refs--;
    lane_mark(m, c->lane, false);
    memory_free(c->slots);
    memory_free(c->touches);
    memory_free(c->leases);
    memory_free(c);
}

size_t chunk_memory(const struct chunk *c)
{
    return sizeof *c + 64 + c->capacity * sizeof *c->slots;
}

struct touch *chunk_touches(struct chunk *c)
{
    if (c->touches == NULL)
        c->touches = memory_zero(c->count, sizeof *c->touches);
    return c->touches;
}

void chunk_mark(struct machine *m, struct chunk *c)
{
    if (c->dirty)
        return;
    c->dirty = true;
    c->next_dirty = m->dirty_chunks;
    m->dirty_chunks = c;
}

static int load(struct machine *m, struct queue *q, uint64_t number, bool known_fresh, struct chunk **out,
                struct error *e)
{
    struct chunk *c = tree_find(&q->chunks, number);
    if (c != NULL || queue_purged(q, number) || number >> 1 >= q->next_number) {
        *out = c != NULL && c->live != 0 ? c : NULL;
        return ERR_OK;
    }
    *out = NULL;
    struct key key = chunk_key(m->options.shard, q->id, number);
    struct cursor value;
    int code = keys_get(&m->keys, &key, CHUNK_RECORD_VERSION, &value, e);
    if (code == ERR_NOT_FOUND)
        return ERR_OK;
    if (code == ERR_OK)
        code = chunk_record_read(m, q, number, key_view(&key), &value, &c, e);
    if (code == ERR_OK && (!known_fresh || q->cold_fresh > 0))
        code = chunk_load_cold(m, c, e);
    if (code != ERR_OK)
        return code;
    chunk_mark(m, c);
    *out = c;
    return ERR_OK;
}

int chunk_load(struct machine *m, struct queue *q, uint64_t number, struct chunk **out, struct error *e)
{
    return load(m, q, number, false, out, e);
}

int chunk_load_fresh(struct machine *m, struct queue *q, uint64_t number, struct chunk **out, struct error *e)
{
    return load(m, q, number, true, out, e);
}

int chunk_load_cold(struct machine *m, struct chunk *c, struct error *e)
{
    struct key key = key_of2(m->options.shard, KEY_COLD, c->queue->id, c->number);
    struct cursor value;
    int code = keys_get(&m->keys, &key, CHUNK_TOUCH_VERSION, &value, e);
    if (code == ERR_NOT_FOUND)
        return ERR_OK;
    if (code == ERR_OK)
        code = chunk_touch_read(c, key_view(&key), &value, e);
    c->stored |= STORED_COLD;
    return code;
}

/* ---------------------------------------------------------------- where messages are */

static bool in_no_state(const struct chunk *c, uint64_t bits)
{
    return (bits & ~c->live) == 0 && (bits & (c->ready | c->leased | c->delayed | c->moving)) == 0;
}

void chunk_make_ready(struct machine *m, struct chunk *c, uint64_t bits)
{
    struct queue *q = c->queue;
    ASSERT(in_no_state(c, bits));
    if (bits == 0)
        return;
    if (c->state == CHUNK_OPEN && c->ready == 0) {
        q->open_ready++;
        tree_put(&c->lane->ready, c->number, c);
    }
    c->ready |= bits;
    q->counts.ready += chunk_bits_count(bits);
    c->touched = true;
    chunk_mark(m, c);
    pick_update(c->lane);
    if (!lane_blocked(c->lane))
        queue_announce(m, q);
}

void chunk_take_ready(struct machine *m, struct chunk *c, uint64_t bits)
{
    struct queue *q = c->queue;
    ASSERT((bits & ~c->ready) == 0);
    if (bits == 0)
        return;
    c->ready &= ~bits;
    q->counts.ready -= chunk_bits_count(bits);
    c->touched = true;
    if (c->state == CHUNK_OPEN && c->ready == 0) {
        q->open_ready--;
        tree_remove(&c->lane->ready, c->number);
    }
    chunk_mark(m, c);
    pick_update(c->lane);
}

void chunk_make_delayed(struct machine *m, struct chunk *c, uint64_t bits)
{
    ASSERT(in_no_state(c, bits));
    c->delayed |= bits;
    c->queue->counts.delayed += chunk_bits_count(bits);
    c->queue->waiting += chunk_bits_count(bits);
    if (c->queue->fifo) {
        c->lane->waiting += chunk_bits_count(bits);
        lane_mark(m, c->lane, true);
    }
    chunk_mark(m, c);
}

void chunk_take_delayed(struct machine *m, struct chunk *c, uint64_t bits)
{
    ASSERT((bits & ~c->delayed) == 0);
    c->delayed &= ~bits;
    lease_forget_late(c, bits); /* what was noted of a nack's delay */
    c->queue->counts.delayed -= chunk_bits_count(bits);
    c->queue->waiting -= chunk_bits_count(bits);
    if (c->queue->fifo) {
        c->lane->waiting -= chunk_bits_count(bits);
        lane_mark(m, c->lane, true);
    }
    c->touched = true;
    chunk_mark(m, c);
}

void chunk_make_moving(struct machine *m, struct chunk *c, uint64_t bits)
{
    ASSERT(in_no_state(c, bits));
    uint32_t n = chunk_bits_count(bits);
    c->moving |= bits;
    c->queue->counts.moving += n;
    c->queue->moving += n;
    if (c->queue->fifo) {
        c->lane->moving += n;
        lane_mark(m, c->lane, true);
    }
    c->touched = true;
    chunk_mark(m, c);
    pick_update(c->lane);
}

void chunk_take_moving(struct machine *m, struct chunk *c, uint64_t bits)
{
    ASSERT((bits & ~c->moving) == 0);
    uint32_t n = chunk_bits_count(bits);
    c->moving &= ~bits;
    c->queue->counts.moving -= n;
    c->queue->moving -= n;
    c->touched = true;
    chunk_mark(m, c);
    if (!c->queue->fifo)
        return;
    c->lane->moving -= n;
    if (c->lane->moving == 0)
        c->lane->turned_back = false;
    lane_mark(m, c->lane, true);
    pick_update(c->lane);
    if (!lane_blocked(c->lane) && lane_has_ready(c->lane))
        queue_announce(m, c->queue);
}

void chunk_remove(struct machine *m, struct chunk *c, uint64_t bits, bool dead)
{
    ASSERT(in_no_state(c, bits));
    if (bits == 0)
        return;
    uint64_t bytes = chunk_bytes(c, bits);
    c->live &= ~bits;
    lease_forget_late(c, bits);
    for (uint64_t errors = c->errors & bits; errors != 0; errors &= errors - 1)
        lasterror_delete(&m->keys, c->queue->id, chunk_sequence(c->number, chunk_first_slot(errors)));
    c->errors &= ~bits;
    c->queue->counts.bytes -= bytes;
    if (dead) {
        c->gone += chunk_bits_count(bits);
        c->gone_bytes += bytes;
    }
    c->touched = true;
    chunk_mark(m, c);
    queue_mark(m, c->queue);
}

void chunk_drop(struct machine *m, struct chunk *c, uint64_t bits, bool dead)
{
    chunk_take_ready(m, c, c->ready & bits);
    if ((c->delayed & bits) != 0)
        chunk_take_delayed(m, c, c->delayed & bits);
    chunk_remove(m, c, bits, dead);
}

int chunk_drop_fresh(struct machine *m, struct chunk *c, uint64_t bits, bool dead, struct error *e)
{
    ASSERT(c->state == CHUNK_FRESH);
    chunk_drop(m, c, bits, dead);
    return chunk_thinned(m, c, e);
}

/* Its lane no longer meets it. */
static int pass(struct machine *m, struct chunk *c, struct error *e)
{
    if (!c->listed)
        return lane_recheck(m, c->lane, e);
    lane_unlist(m, c);
    pick_update(c->lane);
    return ERR_OK;
}

int chunk_thinned(struct machine *m, struct chunk *c, struct error *e)
{
    return c->state == CHUNK_FRESH && c->live == 0 ? pass(m, c, e) : ERR_OK;
}

int chunk_wait(struct machine *m, struct chunk *c, uint64_t dead, struct error *e)
{
    ASSERT(c->state == CHUNK_FRESH);
    if (c->listed)
        lane_unlist(m, c);
    chunk_open(m, c);
    chunk_drop(m, c, dead, true);
    return lane_recheck(m, c->lane, e);
}

/* ---------------------------------------------------------------- its life */

void chunk_open(struct machine *m, struct chunk *c)
{
    ASSERT(c->state != CHUNK_OPEN && !c->listed);
    struct queue *q = c->queue;
    if (c->state == CHUNK_FRESH) {
        q->fresh_chunks[chunk_class(c->number)]--;
        if (chunk_class(c->number) == 0) { /* the default lane's are opened in order */
            q->fresh_from[0] = c->number + 1;
            q->fresh_from_ms[0] = c->sent_ms;
        }
        if ((c->stored & STORED_COLD) != 0)
            q->cold_fresh--;
        if (c->ready != 0) {
            q->open_ready++;
            tree_put(&c->lane->ready, c->number, c);
        }
    }
    c->state = CHUNK_OPEN;
    c->touched = true;
    list_append(&c->lane->open, &c->open);
    pick_update(c->lane);
    chunk_mark(m, c);
    lane_mark(m, c->lane, !c->lane->stored);
    queue_mark(m, q);
}

uint64_t chunk_deadline(const struct chunk *c)
{
    uint64_t at = lease_first_end(c);
    uint64_t retention = c->queue->settings->retention_ms;
    if (c->ready != 0 && chunk_available_ms(c) + retention < at)
        at = chunk_available_ms(c) + retention;
    return at;
}

/* Its lane no longer has it. */
static void leave(struct machine *m, struct chunk *c)
{
    struct queue *q = c->queue;
    if (c->state == CHUNK_FRESH) {
        if (c->listed)
            lane_unlist(m, c);
        q->fresh_chunks[chunk_class(c->number)]--;
        if ((c->stored & STORED_COLD) != 0)
            q->cold_fresh--;
    }
    lane_mark(m, c->lane, false);
}

static void delete_record(struct machine *m, struct chunk *c, uint8_t stored, const struct key *key)
{
    if ((c->stored & stored) == 0)
        return;
    keys_delete(&m->keys, key);
    c->stored &= (uint8_t)~stored;
}

static void delete_index(struct machine *m, struct chunk *c)
{
    struct key key = key_of3(m->options.shard, KEY_FRESH, c->queue->id, c->lane->id, c->number);
    delete_record(m, c, STORED_INDEX, &key);
}

static void delete_touch(struct machine *m, struct chunk *c, uint8_t stored)
{
    struct key key = key_of2(m->options.shard, stored == STORED_OPEN ? KEY_TOUCH : KEY_COLD, c->queue->id, c->number);
    delete_record(m, c, stored, &key);
}

static void finish_dead(struct machine *m, struct chunk *c)
{
    leave(m, c);
    struct key key = chunk_key(m->options.shard, c->queue->id, c->number);
    delete_record(m, c, STORED_CHUNK, &key);
    delete_touch(m, c, STORED_OPEN);
    delete_touch(m, c, STORED_COLD);
    delete_index(m, c);
    if (c->due_ms != 0 && c->state == CHUNK_COLD &&
        !c->born) { /* else a cancelled message's due key could stay for years */
        struct key due = due_key(m, c, chunk_all(c->count), c->due_ms);
        keys_delete(&m->keys, &due);
    }
    chunk_free(m, c);
}

static void finish_born(struct machine *m, struct chunk *c)
{
    chunk_record_put(m, c);
    c->stored |= STORED_CHUNK;
    c->born = false;
    if (c->state == CHUNK_FRESH && chunk_class(c->number) != 0) {
        struct key key = key_of3(m->options.shard, KEY_FRESH, c->queue->id, c->lane->id, c->number);
        keys_begin(&m->keys, 1);
        keys_put_new(&m->keys, &key);
        c->stored |= STORED_INDEX;
    }
    if (c->due_ms != 0)
        due_key_put(m, c, chunk_all(c->count), c->due_ms);
}

static void finish_open(struct machine *m, struct chunk *c)
{
    lease_tidy(c);
    if (c->ready == 0 && c->leased == 0) { /* all that is left waits: it need not stay in memory */
        c->state = CHUNK_COLD;
        return;
    }
    if (c->touched) {
        chunk_touch_put(m, c, KEY_TOUCH);
        c->stored |= STORED_OPEN;
    }
    delete_touch(m, c, STORED_COLD);
    delete_index(m, c);
    uint64_t at = chunk_deadline(c);
    if (heap_holds(&c->due))
        heap_move(&c->queue->due, &c->due, at, c->number);
    else
        heap_put(&c->queue->due, &c->due, at, c->number);
}

static void finish_still(struct machine *m, struct chunk *c)
{
    if (c->touched) {
        chunk_touch_put(m, c, KEY_COLD);
        if (c->state == CHUNK_FRESH && (c->stored & STORED_COLD) == 0)
            c->queue->cold_fresh++;
        c->stored |= STORED_COLD;
    }
    delete_touch(m, c, STORED_OPEN);
    if (c->state == CHUNK_COLD)
        delete_index(m, c);
}

void chunk_finish(struct machine *m, struct chunk *c)
{
    c->dirty = false;
    queue_mark(m, c->queue);
    if (c->lane->halted_ms != 0) /* what it halted at may have been here */
        lane_mark(m, c->lane, false);
    if (c->born)
        extent_add(m->extents, c->index, c->queue->id, c->number, c->count, chunk_bytes(c, chunk_all(c->count)));
    if (c->gone > 0)
        extent_gone(m->extents, c->index, c->gone, c->gone_bytes);
    c->gone = 0;
    c->gone_bytes = 0;
    if (c->live == 0) {
        finish_dead(m, c);
        return;
    }
    if (c->born)
        finish_born(m, c);
    if (c->state == CHUNK_OPEN)
        finish_open(m, c);
    if (c->state != CHUNK_OPEN)
        finish_still(m, c);
    c->touched = false;
    if (c->state == CHUNK_COLD || (c->state == CHUNK_FRESH && !c->listed))
        chunk_free(m, c);
}
