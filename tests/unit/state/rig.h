/* A machine on an in-memory store, driven entry by entry, that can crash and replay: what the tests of state/ share. */
#ifndef HATO_TEST_STATE_RIG_H
#define HATO_TEST_STATE_RIG_H

#include <check.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/memory.h"
#include "proto/client.pb-c.h"
#include "proto/command.pb-c.h"
#include "state/entry.h"
#include "state/keys.h"
#include "state/machine.h"
#include "state/walked.h"
#include "store/store.h"

#define RIG __attribute__((unused)) static

enum { RIG_SHARD = 1, RIG_SHARDS = 1 };

struct rig_entry {
    struct buffer payload;
    uint64_t result; /* hash of its replies and effects */
};

struct rig {
    uint16_t shard;
    struct store_env *env;
    struct store *store;
    struct machine *m;
    struct machine_output out;
    struct entry_writer w;
    bool writing;
    uint64_t now_ms;
    uint64_t walked;           /* what iterators went over in the last entry: walked.h */
    struct rig_entry *entries; /* entry i has index i + 1 */
    size_t count;
    size_t capacity;
};

struct rig_message {
    const char *body;
    const char *group;
    const char *deduplication_id;
    uint64_t delay_ms;
    uint64_t not_before_ms;
    uint32_t priority;
    bool no_delay;
};

/* ---------------------------------------------------------------- opening */

RIG void rig_load(struct rig *r)
{
    struct error e = {0};
    struct store_options options = {.dir = "/rig", .in_memory = true, .env = r->env};
    ck_assert_msg(store_open(&options, &r->store, &e) == 0, "%s", e.message);
    struct machine_options machine = {.shard = r->shard, .shards = RIG_SHARDS, .store = r->store};
    ck_assert_msg(machine_open(&machine, &r->m, &e) == 0, "%s", e.message);
}

RIG void rig_open_shard(struct rig *r, uint16_t shard)
{
    *r = (struct rig){.shard = shard, .now_ms = 1000000};
    r->env = store_env_create();
    rig_load(r);
}

RIG void rig_open(struct rig *r)
{
    rig_open_shard(r, RIG_SHARD);
}

RIG void rig_close(struct rig *r)
{
    machine_output_close(&r->out);
    machine_close(r->m);
    store_close(r->store);
    store_env_destroy(r->env);
    for (size_t i = 0; i < r->count; i++)
        buffer_close(&r->entries[i].payload);
    memory_free(r->entries);
}

/* ---------------------------------------------------------------- what an entry gave, as a number */

RIG void rig_put_text(struct buffer *b, const char *text)
{
    ck_assert_ptr_nonnull(text);
    buffer_u32(b, (uint32_t)strlen(text));
    buffer_put(b, text, strlen(text));
}

RIG void rig_put_reply(struct buffer *b, const struct reply *r)
{
    buffer_u8(b, r->kind);
    buffer_u32(b, (uint32_t)r->code);
    rig_put_text(b, r->field);
    rig_put_text(b, r->message);
    buffer_u64(b, r->queue);
    buffer_u64(b, r->tag);
    buffer_u64(b, r->count);
    if (r->code != ERR_OK)
        return;
    for (size_t i = 0; i < r->count; i++) {
        if (r->kind == COMMAND_SEND) {
            buffer_u32(b, (uint32_t)r->sent[i].code);
            rig_put_text(b, r->sent[i].message);
            buffer_u64(b, r->sent[i].sequence);
            buffer_u8(b, r->sent[i].duplicate);
        } else if (r->kind == COMMAND_RECEIVE) {
            const struct received *g = &r->received[i];
            buffer_u64(b, g->ref.index);
            buffer_u32(b, g->ref.offset);
            buffer_u32(b, g->ref.len);
            buffer_u64(b, g->sequence);
            buffer_u64(b, g->lease);
            buffer_u64(b, g->sent_ms);
            buffer_u64(b, g->first_received_ms);
            buffer_u64(b, g->lease_until_ms);
            buffer_u32(b, g->receive_count);
        } else if (r->kind == COMMAND_ACCEPT) {
            buffer_u8(b, r->accepted[i]);
        } else {
            buffer_u8(b, r->codes[i]);
        }
    }
    if (r->kind == COMMAND_QUEUE_PURGE)
        buffer_u64(b, r->purged);
    if (r->kind == COMMAND_REDRIVE_START)
        rig_put_text(b, r->redrive_id);
}

RIG uint64_t rig_hash_output(const struct rig *r)
{
    struct buffer b = {0};
    for (size_t i = 0; i < r->out.reply_count; i++)
        rig_put_reply(&b, &r->out.replies[i]);
    for (size_t i = 0; i < r->out.effect_count; i++) {
        const struct effect *f = &r->out.effects[i];
        buffer_u8(&b, (uint8_t)f->kind);
        buffer_u64(&b, f->queue);
        buffer_u16(&b, f->target);
        rig_put_text(&b, f->name != NULL ? f->name : "");
    }
    buffer_u64(&b, machine_next_due_ms(r->m));
    uint64_t hash = bytes_hash(buffer_view(&b), 0);
    buffer_close(&b);
    return hash;
}

/* All keys and values of the shard. */
RIG uint64_t rig_hash_state(const struct rig *r)
{
    ck_assert_int_eq(machine_write(r->m, NULL), 0);
    uint8_t from[2] = {(uint8_t)(r->shard >> 8), (uint8_t)r->shard};
    uint8_t to[2] = {(uint8_t)((r->shard + 1) >> 8), (uint8_t)(r->shard + 1)};
    struct store_iterator *i = store_iterate(r->store, STORE_STATE, bytes_of(from, 2), bytes_of(to, 2), NULL);
    uint64_t hash = 0;
    for (; store_iterator_valid(i); store_iterator_next(i)) {
        hash = bytes_hash(store_iterator_key(i), hash);
        hash = bytes_hash(store_iterator_value(i), hash);
    }
    ck_assert_int_eq(store_iterator_error(i, NULL), 0);
    store_iterator_close(i);
    return hash;
}

/* How many keys of a kind there are. */
RIG size_t rig_keys(const struct rig *r, enum key_kind kind)
{
    ck_assert_int_eq(machine_write(r->m, NULL), 0);
    struct key from = key_of(r->shard, kind);
    struct key to = key_after(&from);
    struct store_iterator *i = store_iterate(r->store, STORE_STATE, key_view(&from), key_view(&to), NULL);
    size_t n = 0;
    for (; store_iterator_valid(i); store_iterator_next(i))
        n++;
    store_iterator_close(i);
    return n;
}

/* ---------------------------------------------------------------- entries */

RIG struct rig_entry *rig_entry_add(struct rig *r)
{
    if (r->count == r->capacity) {
        r->capacity = r->capacity > 0 ? r->capacity * 2 : 64;
        r->entries = memory_grow(r->entries, r->capacity, sizeof *r->entries);
    }
    r->entries[r->count] = (struct rig_entry){0};
    return &r->entries[r->count++];
}

RIG struct entry_writer *rig_writer(struct rig *r)
{
    if (!r->writing) {
        uint64_t seed = 0x9e3779b97f4a7c15u * (r->count + 1);
        entry_open(&r->w, &rig_entry_add(r)->payload, r->now_ms, seed);
        r->writing = true;
    }
    return &r->w;
}

RIG int rig_apply(struct rig *r, struct error *e)
{
    uint64_t index = machine_applied(r->m) + 1;
    uint64_t before = walked();
    struct bytes payload = buffer_view(&r->entries[index - 1].payload);
    r->out.reply_count = r->out.effect_count = 0;
    int code = payload.len > 0 ? machine_apply(r->m, index, payload, &r->out, e) : machine_skip(r->m, index, e);
    r->walked = walked() - before;
    return code;
}

/* Applies the entry written so far (an empty one if none). */
RIG void rig_commit(struct rig *r)
{
    entry_close((rig_writer(r), &r->w));
    r->writing = false;
    struct error e = {0};
    ck_assert_uint_eq(machine_applied(r->m) + 1, r->count);
    ck_assert_msg(rig_apply(r, &e) == 0, "%s", e.message);
    r->entries[r->count - 1].result = rig_hash_output(r);
}

/* The entry of Raft's own that a new leader begins with. */
RIG void rig_new_leader(struct rig *r)
{
    ck_assert(!r->writing);
    rig_entry_add(r);
    ck_assert_int_eq(rig_apply(r, NULL), ERR_OK);
    r->entries[r->count - 1].result = rig_hash_output(r);
}

RIG void rig_advance(struct rig *r, uint64_t ms)
{
    r->now_ms += ms;
    rig_commit(r);
}

/* Loses what was not flushed, and comes back. */
RIG void rig_load_again(struct rig *r)
{
    machine_close(r->m);
    store_close(r->store);
    rig_load(r);
}

/* As rig_load_again, and applies the rest of the log anew: it must give what it gave. */
RIG void rig_crash(struct rig *r)
{
    rig_load_again(r);
    struct error e = {0};
    while (machine_applied(r->m) < r->count) {
        uint64_t index = machine_applied(r->m) + 1;
        ck_assert_msg(rig_apply(r, &e) == 0, "%s", e.message);
        ck_assert_msg(rig_hash_output(r) == r->entries[index - 1].result, "entry %llu replays differently",
                      (unsigned long long)index);
    }
}

RIG void rig_flush(struct rig *r)
{
    ck_assert_int_eq(machine_write(r->m, NULL), 0);
    ck_assert_int_eq(store_flush(r->store, STORE_STATE, NULL), 0);
}

/* ---------------------------------------------------------------- commands */

RIG void rig_add_send(struct rig *r, uint64_t queue, const struct rig_message *in, size_t count, uint64_t producer,
                      uint64_t sequence)
{
    struct buffer all = {0};
    struct bytes *messages = memory_zero(count, sizeof *messages);
    size_t *ends = memory_zero(count, sizeof *ends);
    for (size_t i = 0; i < count; i++) {
        Hato__Message m = HATO__MESSAGE__INIT;
        const char *body = in[i].body != NULL ? in[i].body : "";
        m.body = (ProtobufCBinaryData){strlen(body), (uint8_t *)(uintptr_t)body};
        m.group = (char *)(uintptr_t)(in[i].group != NULL ? in[i].group : "");
        m.deduplication_id = (char *)(uintptr_t)(in[i].deduplication_id != NULL ? in[i].deduplication_id : "");
        m.delay_ms = in[i].delay_ms;
        m.not_before_ms = in[i].not_before_ms;
        m.priority = in[i].priority;
        m.no_delay = in[i].no_delay;
        size_t size = hato__message__get_packed_size(&m);
        hato__message__pack(&m, buffer_reserve(&all, size));
        all.len += size;
        ends[i] = all.len;
    }
    for (size_t i = 0; i < count; i++) {
        size_t start = i > 0 ? ends[i - 1] : 0;
        messages[i] = bytes_of(all.data + start, ends[i] - start);
    }
    struct entry_send send = {.queue = queue, .producer = producer, .sequence = sequence, .count = (uint32_t)count};
    entry_add_send(rig_writer(r), &send, messages);
    memory_free(messages);
    memory_free(ends);
    buffer_close(&all);
}

RIG const struct reply *rig_reply(const struct rig *r)
{
    ck_assert_uint_gt(r->out.reply_count, 0);
    return &r->out.replies[r->out.reply_count - 1];
}

/* Sends one in an entry of its own; returns its sequence. */
RIG uint64_t rig_send(struct rig *r, uint64_t queue, struct rig_message in)
{
    rig_add_send(r, queue, &in, 1, 0, 0);
    rig_commit(r);
    ck_assert_int_eq(rig_reply(r)->code, ERR_OK);
    ck_assert_msg(rig_reply(r)->sent[0].code == ERR_OK, "%s", rig_reply(r)->sent[0].message);
    return rig_reply(r)->sent[0].sequence;
}

/* `count` messages in one entry: "0", "1", ... */
RIG void rig_send_many(struct rig *r, uint64_t queue, const char *group, size_t count)
{
    struct rig_message *in = memory_zero(count, sizeof *in);
    char(*bodies)[16] = memory_zero(count, sizeof *bodies);
    for (size_t i = 0; i < count; i++) {
        snprintf(bodies[i], sizeof bodies[i], "%zu", i);
        in[i] = (struct rig_message){.body = bodies[i], .group = group};
    }
    rig_add_send(r, queue, in, count, 0, 0);
    rig_commit(r);
    ck_assert_uint_eq(rig_reply(r)->count, count);
    for (size_t i = 0; i < count; i++)
        ck_assert_int_eq(rig_reply(r)->sent[i].code, ERR_OK);
    memory_free(in);
    memory_free(bodies);
}

/* Receives in an entry of its own. What is returned lasts until the next entry; its length is rig_reply(r)->count. */
RIG const struct received *rig_receive(struct rig *r, uint64_t queue, uint32_t max, uint64_t visibility_ms)
{
    struct entry_receive in = {.queue = queue, .max_messages = max, .visibility_ms = visibility_ms, .tag = 7};
    entry_add_receive(rig_writer(r), &in);
    rig_commit(r);
    ck_assert_msg(rig_reply(r)->code == ERR_OK, "%s", rig_reply(r)->message);
    ck_assert_uint_eq(rig_reply(r)->tag, 7);
    return rig_reply(r)->received;
}

/* Receives exactly one. */
RIG struct received rig_receive_one(struct rig *r, uint64_t queue, uint64_t visibility_ms)
{
    const struct received *got = rig_receive(r, queue, 1, visibility_ms);
    ck_assert_uint_eq(rig_reply(r)->count, 1);
    return got[0];
}

RIG void rig_receive_none(struct rig *r, uint64_t queue)
{
    rig_receive(r, queue, 10, 1000);
    ck_assert_uint_eq(rig_reply(r)->count, 0);
}

RIG struct entry_lease rig_lease(const struct received *g)
{
    return (struct entry_lease){g->sequence, g->lease};
}

RIG int rig_ack(struct rig *r, uint64_t queue, const struct received *g)
{
    struct entry_lease l = rig_lease(g);
    entry_add_ack(rig_writer(r), queue, &l, 1);
    rig_commit(r);
    return rig_reply(r)->codes[0];
}

RIG int rig_nack(struct rig *r, uint64_t queue, const struct received *g, uint64_t delay_ms, bool uncounted)
{
    struct entry_lease l = rig_lease(g);
    struct entry_settle in = {.queue = queue, .delay_ms = delay_ms, .uncounted = uncounted, .count = 1};
    entry_add_nack(rig_writer(r), &in, &l);
    rig_commit(r);
    return rig_reply(r)->codes[0];
}

RIG int rig_extend(struct rig *r, uint64_t queue, const struct received *g, uint64_t visibility_ms)
{
    struct entry_lease l = rig_lease(g);
    entry_add_extend(rig_writer(r), queue, visibility_ms, &l, 1);
    rig_commit(r);
    return rig_reply(r)->codes[0];
}

RIG int rig_cancel(struct rig *r, uint64_t queue, uint64_t sequence)
{
    entry_add_cancel(rig_writer(r), queue, &sequence, 1);
    rig_commit(r);
    return rig_reply(r)->codes[0];
}

/* Adds any protobuf command. */
RIG void rig_add(struct rig *r, enum command_kind kind, const ProtobufCMessage *message)
{
    struct buffer b = {0};
    size_t size = protobuf_c_message_get_packed_size(message);
    protobuf_c_message_pack(message, buffer_reserve(&b, size));
    b.len = size;
    entry_add(rig_writer(r), kind, buffer_view(&b));
    buffer_close(&b);
}

#define RIG_NAME(name) "000000000000:us-east-1:" name

/* Tries to make a queue; the reply tells. `settings` may be NULL. */
RIG void rig_try_create(struct rig *r, const char *full_name, Hato__QueueSettings *settings)
{
    Hato__Log__QueueCreate c = HATO__LOG__QUEUE_CREATE__INIT;
    c.name = (char *)(uintptr_t)full_name;
    c.settings = settings;
    rig_add(r, COMMAND_QUEUE_CREATE, &c.base);
    rig_commit(r);
}

RIG uint64_t rig_create(struct rig *r, const char *full_name, Hato__QueueSettings *settings)
{
    rig_try_create(r, full_name, settings);
    ck_assert_msg(rig_reply(r)->code == ERR_OK, "%s", rig_reply(r)->message);
    return rig_reply(r)->queue;
}

RIG void rig_set(struct rig *r, uint64_t queue, Hato__QueueSettings *settings)
{
    Hato__Log__QueueSet c = HATO__LOG__QUEUE_SET__INIT;
    c.has_queue = 1;
    c.queue = queue;
    c.settings = settings;
    rig_add(r, COMMAND_QUEUE_SET, &c.base);
    rig_commit(r);
    ck_assert_msg(rig_reply(r)->code == ERR_OK, "%s", rig_reply(r)->message);
}

RIG uint64_t rig_purge(struct rig *r, uint64_t queue)
{
    Hato__Log__QueuePurge c = HATO__LOG__QUEUE_PURGE__INIT;
    c.has_queue = 1;
    c.queue = queue;
    rig_add(r, COMMAND_QUEUE_PURGE, &c.base);
    rig_commit(r);
    ck_assert_int_eq(rig_reply(r)->code, ERR_OK);
    return rig_reply(r)->purged;
}

RIG void rig_delete(struct rig *r, uint64_t queue)
{
    Hato__Log__QueueDelete c = HATO__LOG__QUEUE_DELETE__INIT;
    c.has_queue = 1;
    c.queue = queue;
    rig_add(r, COMMAND_QUEUE_DELETE, &c.base);
    rig_commit(r);
    ck_assert_int_eq(rig_reply(r)->code, ERR_OK);
}

/* ---------------------------------------------------------------- looking */

RIG struct queue_counts rig_counts(const struct rig *r, uint64_t queue)
{
    struct queue_view v;
    ck_assert(machine_queue_get(r->m, queue, &v));
    return v.counts;
}

RIG bool rig_has_effect(const struct rig *r, enum effect_kind kind, uint64_t queue)
{
    for (size_t i = 0; i < r->out.effect_count; i++)
        if (r->out.effects[i].kind == kind && (r->out.effects[i].queue == queue || queue == 0))
            return true;
    return false;
}

/* The Message that a reference means. Free with hato__message__free_unpacked. */
RIG Hato__Message *rig_message(const struct rig *r, struct message_ref ref)
{
    ck_assert(ref.index >= 1 && ref.index <= r->count);
    const struct buffer *b = &r->entries[ref.index - 1].payload;
    ck_assert(ref.offset <= b->len && ref.len <= b->len - ref.offset);
    Hato__Message *m = hato__message__unpack(NULL, ref.len, b->data + ref.offset);
    ck_assert_ptr_nonnull(m);
    return m;
}

RIG void rig_expect_body(const struct rig *r, struct message_ref ref, const char *body)
{
    Hato__Message *m = rig_message(r, ref);
    ck_assert_uint_eq(m->body.len, strlen(body));
    ck_assert(memcmp(m->body.data, body, m->body.len) == 0);
    hato__message__free_unpacked(m, NULL);
}

/* Moves what is in the outbox to its queues, as the leader does: at most `rounds` Accepts of at most `max` items. */
RIG void rig_forward_some(struct rig *r, size_t rounds, size_t max)
{
    struct arena arena = {0};
    uint16_t target;
    while (rounds-- > 0 && machine_outbox_targets(r->m, &target, 1) > 0) {
        struct outbox_item *items;
        size_t count;
        ck_assert_int_eq(machine_outbox(r->m, target, 0, max, &arena, &items, &count, NULL), 0);
        ck_assert_uint_gt(count, 0);
        Hato__Log__Accept a = HATO__LOG__ACCEPT__INIT;
        a.has_source = a.has_first = 1;
        a.source = r->shard;
        a.first = items[0].sequence;
        a.n_items = count;
        a.items = arena_alloc(&arena, count * sizeof *a.items);
        for (size_t i = 0; i < count; i++) {
            struct buffer raw = {0};
            a.items[i] = arena_alloc(&arena, sizeof **a.items);
            hato__log__accept__item__init(a.items[i]);
            if (items[i].withdrawn)
                continue;
            const struct buffer *from = &r->entries[items[i].ref.index - 1].payload;
            buffer_put(&raw, from->data + items[i].ref.offset, items[i].ref.len);
            buffer_put(&raw, items[i].provenance.data, items[i].provenance.len);
            a.items[i]->queue = (char *)(uintptr_t)items[i].queue;
            a.items[i]->has_message = a.items[i]->has_create = 1;
            a.items[i]->message.data = arena_copy(&arena, raw.data, raw.len);
            a.items[i]->message.len = raw.len;
            a.items[i]->create = items[i].create;
            buffer_close(&raw);
        }
        rig_add(r, COMMAND_ACCEPT, &a.base);
        rig_commit(r);
        ck_assert_int_eq(rig_reply(r)->code, ERR_OK);
        ck_assert_uint_eq(rig_reply(r)->count, count);
        Hato__Log__Settled s = HATO__LOG__SETTLED__INIT;
        uint64_t *refused = arena_alloc(&arena, count * sizeof *refused);
        s.has_target = s.has_upto = 1;
        s.target = target;
        s.upto = items[count - 1].sequence;
        s.refused = refused;
        for (size_t i = 0; i < count; i++)
            if (rig_reply(r)->accepted[i] != ERR_OK)
                refused[s.n_refused++] = items[i].sequence;
        rig_add(r, COMMAND_SETTLED, &s.base);
        rig_commit(r);
        ck_assert_int_eq(rig_reply(r)->code, ERR_OK);
    }
    arena_close(&arena);
}

/* Until nothing is left. */
RIG void rig_forward(struct rig *r)
{
    rig_forward_some(r, SIZE_MAX, 100);
}

/* Runs tests that share one rig and one queue, made anew for each. */
RIG int rig_main(const char *name, const TTest *const *tests, size_t count, void (*setup)(void), void (*teardown)(void))
{
    Suite *s = suite_create(name);
    TCase *t = tcase_create(name);
    tcase_set_timeout(t, 0);
    tcase_add_checked_fixture(t, setup, teardown);
    for (size_t i = 0; i < count; i++)
        tcase_add_test(t, tests[i]);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}

#endif
