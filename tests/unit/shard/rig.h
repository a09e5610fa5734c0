/* One shard on a disk in memory, driven step by step: work off the loop runs when the test says so. */
#ifndef HATO_TESTS_SHARD_RIG_H
#define HATO_TESTS_SHARD_RIG_H

#include <check.h>
#include <stdlib.h>

#include "base/memory.h"
#include "proto/command.pb-c.h"
#include "shard/shard.h"
#include "sim/sim_disk.h"
#include "state/keys.h"
#include "store/store.h"

#define RIG __attribute__((unused)) static

enum { SEGMENT = 64 * 1024, WINDOW = 4 * SEGMENT, WORKS = 64, FLUSH = 32 * 1024, SPILL_FILE = 8 * 1024 };

static uint64_t wall_ms = 1700000000000;
static struct sim_disk *disk;
static struct log *log_;
static struct log_port *port;
static struct store *store;
static struct store_env *store_env;
static struct shard *shard;
static struct work *works[WORKS];
static size_t work_count;
static struct task *tasks[WORKS];
static size_t task_count;
static bool turn_asked;
static uint64_t cache_bytes = 1; /* every body is read from the log */

RIG uint64_t now_ms(void *ctx)
{
    (void)ctx;
    return wall_ms;
}

RIG uint64_t monotonic_ns(void *ctx)
{
    (void)ctx;
    return wall_ms * 1000000;
}

RIG void ask_turn(void *ctx, struct shard *s)
{
    (void)ctx, (void)s;
    turn_asked = true;
}

RIG void work(void *ctx, struct work *w)
{
    (void)ctx;
    ck_assert_uint_lt(work_count, WORKS);
    works[work_count++] = w;
}

RIG void on_leading(void *ctx, struct shard *s, bool leads)
{
    (void)ctx, (void)s, (void)leads;
}

RIG void on_queue(void *ctx, struct shard *s, uint64_t queue)
{
    (void)ctx, (void)s, (void)queue;
}

RIG void on_function(void *ctx, struct shard *s, const char *name)
{
    (void)ctx, (void)s, (void)name;
}

RIG void post(void *ctx, uint16_t number, struct task *t)
{
    (void)ctx;
    ck_assert_uint_eq(number, 1);
    ck_assert_uint_lt(task_count, WORKS);
    tasks[task_count++] = t;
}

RIG void send_frame(void *ctx, struct shard *s, uint64_t node, uint16_t to, struct bytes head,
                    const struct shard_part *parts, size_t count)
{
    (void)ctx, (void)s, (void)node, (void)to, (void)head, (void)parts, (void)count;
    ck_abort_msg("there is nobody to send to");
}

RIG uint64_t leader(void *ctx, uint16_t number)
{
    (void)ctx, (void)number;
    return 1;
}

RIG void on_nodes(void *ctx, struct shard *s)
{
    (void)ctx, (void)s;
}

RIG void stopped(void *ctx, struct shard *s)
{
    (void)ctx, (void)s;
}

RIG void wake(void *ctx)
{
    (void)ctx;
}

static struct shard_env env = {
    .clock = {.now_ms = now_ms, .monotonic_ns = monotonic_ns},
    .ask_turn = ask_turn,
    .work = work,
    .leading = on_leading,
    .queue_ready = on_queue,
    .queue_changed = on_queue,
    .function_changed = on_function,
    .nodes_changed = on_nodes,
    .post = post,
    .send = send_frame,
    .leader = leader,
    .stopped = stopped,
};

RIG void step(void)
{
    if (shard_due_in_ms(shard) == 0)
        shard_due(shard);
    for (bool busy = true; busy;) {
        busy = turn_asked;
        turn_asked = false;
        if (busy)
            shard_turn(shard);
        busy = log_step(log_) || busy;
        busy = log_port_drain(port) > 0 || busy;
        for (; task_count > 0; busy = true) {
            struct task *t = tasks[0];
            memmove(tasks, tasks + 1, --task_count * sizeof tasks[0]);
            t->run(t, shard);
        }
    }
}

RIG void tick(void)
{
    wall_ms += SHARD_TICK_MS;
    shard_tick(shard);
    step();
}

/* The works that are out from `first` on, and what they lead to. */
RIG void run_works(size_t first)
{
    while (work_count > first) {
        struct work *w = works[--work_count];
        w->run(w);
        w->done(w);
        step();
    }
}

RIG void start_shard(void)
{
    struct error e = {0};
    struct shard_options o = {.number = 1,
                              .shards = 1,
                              .node = 1,
                              .log = log_,
                              .port = port,
                              .store = store,
                              .env = &env,
                              .seed = 7,
                              .flush_bytes = FLUSH,
                              .spill_file_bytes = SPILL_FILE,
                              .cache_bytes = cache_bytes};
    membership_add(&o.founders.voters, 1);
    ck_assert_msg(shard_open(&o, &shard, &e) == ERR_OK, "%s", e.message);
    for (int i = 0; i < 50 && !shard_leads(shard); i++)
        tick();
    ck_assert(shard_leads(shard));
}

RIG void open_shard(void)
{
    struct error e = {0};
    disk = sim_disk_create(0);
    struct disk *table = sim_disk_table(disk);
    table->make_dir(table, "/data", &e);
    struct log_options log = {
        .disk = table, .dir = "/data/log", .seed = 1, .segment_bytes = SEGMENT, .window_bytes = WINDOW};
    ck_assert_int_eq(log_open(&log, &log_, &e), ERR_OK);
    port = log_port_create(log_, wake, NULL);
    store_env = store_env_create();
    struct store_options so = {
        .dir = "/store", .in_memory = true, .env = store_env, .cache_bytes = 1 << 20, .memtable_bytes = 1 << 20};
    ck_assert_msg(store_open(&so, &store, &e) == ERR_OK, "%s", e.message);
    start_shard();
}

RIG void close_shard(void)
{
    shard_close(shard);
    log_close(log_);
    store_close(store);
    store_env_destroy(store_env);
    sim_disk_destroy(disk);
}

/* ---------------------------------------------------------------- commands */

struct answer {
    struct command command;
    int code; /* -1: none yet */
    uint64_t queue;
};

RIG void on_answer(struct command *c, const struct reply *reply)
{
    struct answer *a = CONTAINER_OF(c, struct answer, command);
    ck_assert_int_eq(a->code, -1);
    a->code = reply->code;
    a->queue = reply->queue;
}

RIG struct answer waiting(void)
{
    return (struct answer){.command.done = on_answer, .code = -1};
}

RIG void give(struct answer *a, enum command_kind kind, const ProtobufCMessage *message)
{
    struct error e = {0};
    uint8_t bytes[512];
    size_t len = protobuf_c_message_get_packed_size(message);
    ck_assert_uint_le(len, sizeof bytes);
    protobuf_c_message_pack(message, bytes);
    ck_assert_msg(shard_command(shard, &a->command, kind, bytes_of(bytes, len), &e) == ERR_OK, "%s", e.message);
}

RIG uint64_t make_queue(const char *name)
{
    struct answer a = waiting();
    Hato__Log__QueueCreate create = HATO__LOG__QUEUE_CREATE__INIT;
    Hato__QueueSettings settings = HATO__QUEUE_SETTINGS__INIT;
    create.name = (char *)(uintptr_t)name;
    create.settings = &settings;
    give(&a, COMMAND_QUEUE_CREATE, &create.base);
    step();
    ck_assert_int_eq(a.code, ERR_OK);
    return a.queue;
}

RIG void purge(uint64_t queue)
{
    struct answer a = waiting();
    Hato__Log__QueuePurge command = HATO__LOG__QUEUE_PURGE__INIT;
    command.has_queue = true;
    command.queue = queue;
    give(&a, COMMAND_QUEUE_PURGE, &command.base);
    step();
    ck_assert_int_eq(a.code, ERR_OK);
}

enum { BODY = 8 * 1024 };

RIG void start_send(struct answer *a, uint64_t queue)
{
    static uint8_t message[BODY + 4] = {0x0a, (BODY & 0x7f) | 0x80, BODY >> 7}; /* field 1: the body */
    struct error e = {0};
    *a = waiting();
    struct bytes m = bytes_of(message, 3 + BODY);
    struct entry_send send = {.queue = queue, .count = 1};
    ck_assert_msg(shard_send(shard, &a->command, &send, &m, &e) == ERR_OK, "%s", e.message);
}

RIG void send_one(uint64_t queue)
{
    struct answer a;
    start_send(&a, queue);
    step();
    ck_assert_int_eq(a.code, ERR_OK);
}

static size_t delivered;
static int ended = -1;

RIG void on_deliver(struct consumer *c, const struct delivered *messages, size_t count)
{
    (void)c;
    delivered += count;
    for (size_t i = 0; i < count; i++)
        ck_assert_uint_eq(messages[i].message.len, 3 + BODY);
}

RIG void on_ended(struct consumer *c, int code, const char *message)
{
    (void)c, (void)message;
    ended = code;
}

RIG struct consumer consumer_of(uint64_t queue, uint32_t credit, bool once)
{
    return (struct consumer){.queue = queue,
                             .credit = credit,
                             .batch_max = credit,
                             .visibility_ms = ENTRY_VISIBILITY_DEFAULT,
                             .once = once,
                             .deliver = on_deliver,
                             .ended = on_ended};
}

RIG uint64_t make_queue_that_gives_up(const char *name, const char *dead_letters)
{
    struct answer a = waiting();
    Hato__Log__QueueCreate create = HATO__LOG__QUEUE_CREATE__INIT;
    Hato__QueueSettings settings = HATO__QUEUE_SETTINGS__INIT;
    settings.dead_letter_queue = (char *)(uintptr_t)dead_letters;
    settings.has_max_receives = true;
    settings.max_receives = 1;
    create.name = (char *)(uintptr_t)name;
    create.settings = &settings;
    give(&a, COMMAND_QUEUE_CREATE, &create.base);
    step();
    ck_assert_int_eq(a.code, ERR_OK);
    return a.queue;
}

static struct received last;

RIG void on_deliver_last(struct consumer *c, const struct delivered *messages, size_t count)
{
    on_deliver(c, messages, count);
    last = messages[count - 1].is;
}

/* What it got is in `last`. */
RIG void receive_one(uint64_t queue)
{
    size_t before = delivered;
    struct consumer c = consumer_of(queue, 1, true);
    c.deliver = on_deliver_last;
    ck_assert_int_eq(shard_consumer_open(shard, &c, NULL), ERR_OK);
    step();
    run_works(0);
    ck_assert_uint_eq(delivered, before + 1);
}

RIG void nack_last(uint64_t queue)
{
    struct answer a = waiting();
    struct entry_settle settle = {.queue = queue, .count = 1};
    struct entry_lease lease = {last.sequence, last.lease};
    ck_assert_int_eq(shard_nack(shard, &a.command, &settle, &lease, NULL), ERR_OK);
    step();
    ck_assert_int_eq(a.code, ERR_OK);
}

/* Fills the log with messages that are purged, until the shard has let go of all it had. `kept` works stay out. */
RIG void outgrow_the_log(uint64_t queue, size_t kept)
{
    struct error e = {0};
    struct shard_status status;
    shard_status(shard, &status);
    uint64_t until = status.applied;
    struct log_group *group = log_group(log_, 1, port);
    for (int round = 0; round < 200 && log_first(group) <= until; round++) {
        for (int i = 0; i < 8; i++)
            send_one(queue);
        purge(queue);
        uint64_t mark = shard_flush_mark(shard);
        ck_assert_int_eq(store_flush(store, STORE_STATE, &e), ERR_OK);
        shard_flushed(shard, mark);
        shard_upkeep(shard);
        run_works(kept);
        tick();
    }
    ck_assert_uint_gt(log_first(group), until);
}

/* One flush of the store, as the node makes them. */
RIG void flushed(uint64_t mark)
{
    ck_assert_int_eq(store_flush(store, STORE_STATE, NULL), ERR_OK);
    shard_flushed(shard, mark);
}

#endif
