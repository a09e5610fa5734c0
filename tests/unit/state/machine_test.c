/* The machine as a whole: hostile entries, large backlogs, coming back, bodies that outlive the log. */
#include "base/random.h"
#include "state/rig.h"

static struct rig rig;
static uint64_t queue;

static void setup(void)
{
    rig_open(&rig);
    queue = rig_create(&rig, RIG_NAME("jobs"), NULL);
}

static void teardown(void)
{
    rig_close(&rig);
}

/* ---------------------------------------------------------------- hostile entries */

/* An entry with one of each command, as a seed for damage. */
static void write_entry(struct buffer *out, struct random *random)
{
    struct entry_writer w;
    buffer_clear(out);
    entry_open(&w, out, 1000000 + random_below(random, 100000), random_next(random));
    const uint8_t raw[] = {0x0a, 0x02, 'x', 'y', 0x1a, 0x01, 'g', 0x28, 0x05};
    struct bytes messages[] = {bytes_of(raw, sizeof raw), bytes_of(raw, 4)};
    struct entry_lease leases[] = {{64 * 2, 1}, {64 * 3 + 1, 2}};
    uint64_t sequences[] = {64 * 2 + 1, 64 * 3};
    struct entry_send send = {.queue = queue, .producer = random_below(random, 3), .sequence = 1, .count = 2};
    struct entry_receive receive = {.queue = queue, .max_messages = 10, .visibility_ms = random_below(random, 100)};
    struct entry_settle nack = {
        .queue = queue, .delay_ms = random_below(random, 50), .error = bytes_text("e"), .count = 2};
    entry_add_send(&w, &send, messages);
    entry_add_receive(&w, &receive);
    entry_add_ack(&w, queue, leases, 2);
    entry_add_nack(&w, &nack, leases);
    entry_add_extend(&w, queue, 1000, leases, 2);
    entry_add_cancel(&w, queue, sequences, 2);
    static const enum command_kind kinds[] = {COMMAND_QUEUE_CREATE, COMMAND_QUEUE_SET,     COMMAND_QUEUE_DELETE,
                                              COMMAND_QUEUE_PURGE,  COMMAND_REDRIVE_START, COMMAND_REDRIVE_CANCEL,
                                              COMMAND_GROUP_RESUME, COMMAND_ACCEPT,        COMMAND_SETTLED};
    const size_t ends[] = {0, 9, 13, 17};
    const uint8_t fields[] = {0x09, 0x01, 0, 0, 0, 0, 0, 1, 0, 0x12, 0x02, 'a', 'b', 0x1a, 0x02, 0x0a, 0x00};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (random_below(random, 20) == 0)
            entry_add(&w, kinds[i], bytes_of(fields, ends[random_below(random, 4)]));
    entry_close(&w);
}

static void damage(struct buffer *b, struct random *random)
{
    for (uint64_t n = random_below(random, 4); n > 0; n--)
        b->data[random_below(random, b->len)] = (uint8_t)random_next(random);
    if (random_below(random, 10) == 0)
        b->len = (size_t)random_below(random, b->len + 1);
}

START_TEST(no_entry_whatever_its_bytes_brings_the_machine_down)
{
    struct random random;
    struct buffer b = {0};
    random_open(&random, 7);
    rig_flush(&rig);
    int refused = 0;
    int taken = 0;
    for (int i = 0; i < 1500; i++) {
        write_entry(&b, &random);
        damage(&b, &random);
        uint8_t *exact = memory_alloc(b.len); /* so that a sanitizer sees each byte read beyond it */
        memcpy(exact, b.data, b.len);
        struct error e = {0};
        int code = machine_apply(rig.m, machine_applied(rig.m) + 1, bytes_of(exact, b.len), &rig.out, &e);
        memory_free(exact);
        struct queue_view v;
        if (code == ERR_OK) {
            taken++;
        } else {
            ck_assert_msg(code == ERR_CORRUPT || code == ERR_VERSION, "%s", e.message);
            ck_assert_uint_gt(strlen(e.message), 0);
            refused++;
        }
        if (code == ERR_OK && machine_queue_get(rig.m, queue, &v))
            continue;
        machine_close(rig.m); /* as a stopped shard that is started again, from when there was a queue */
        store_close(rig.store);
        rig_load(&rig);
    }
    ck_assert_int_gt(refused, 100);
    ck_assert_int_gt(taken, 100);
    buffer_close(&b);
}
END_TEST

START_TEST(random_bytes_are_refused_as_corrupt)
{
    struct random random;
    random_open(&random, 11);
    for (int i = 0; i < 2000; i++) {
        uint8_t bytes[200];
        for (size_t k = 0; k < sizeof bytes; k++)
            bytes[k] = (uint8_t)random_next(&random);
        bytes[0] = ENTRY_VERSION;
        memset(bytes + 1, 0, 3);
        struct entry_reader r;
        struct entry_command c;
        bool more = true;
        int code = entry_read(&r, bytes_of(bytes, random_below(&random, sizeof bytes)), NULL);
        while (code == ERR_OK && more)
            code = entry_next(&r, &c, &more, NULL);
        ck_assert_int_eq(code, ERR_CORRUPT);
    }
}
END_TEST

START_TEST(an_entry_of_a_later_version_or_kind_stops_with_what_is_needed)
{
    struct buffer b = {0};
    struct entry_writer w;
    struct error e = {0};
    entry_open(&w, &b, rig.now_ms, 1);
    entry_add(&w, (enum command_kind)200, bytes_text(""));
    entry_close(&w);
    uint64_t index = machine_applied(rig.m) + 1;
    ck_assert_int_eq(machine_apply(rig.m, index, buffer_view(&b), &rig.out, &e), ERR_VERSION);
    ck_assert_ptr_nonnull(strstr(e.message, "200"));
    ck_assert_int_eq(machine_apply(rig.m, index, buffer_view(&b), &rig.out, &e), ERR_VERSION); /* it stays stopped */
    b.data[0] = 9;
    struct entry_reader r;
    ck_assert_int_eq(entry_read(&r, buffer_view(&b), &e), ERR_VERSION);
    buffer_close(&b);
}
END_TEST

/* As much as makes a finished entry let go of chunks; those of this one are not written yet. */
START_TEST(an_entry_that_fails_behind_a_great_many_sends_stops_the_machine_only)
{
    enum { SENDS = 40, GROUPS = 1000 };
    uint64_t fifo = rig_create(&rig, RIG_NAME("groups.fifo"), NULL);
    struct rig_message in[GROUPS];
    char groups[GROUPS][24];
    for (int send = 0; send < SENDS; send++) {
        for (int i = 0; i < GROUPS; i++) {
            snprintf(groups[i], sizeof groups[i], "%d.%d", send, i);
            in[i] = (struct rig_message){.group = groups[i], .deduplication_id = groups[i]};
        }
        rig_add_send(&rig, fifo, in, GROUPS, 0, 0);
    }
    entry_add(rig_writer(&rig), (enum command_kind)(COMMAND_KINDS), bytes_text("?"));
    entry_close(&rig.w);
    ck_assert_int_eq(rig_apply(&rig, NULL), ERR_VERSION);
    ck_assert_int_eq(rig_apply(&rig, NULL), ERR_VERSION);
}
END_TEST

START_TEST(an_entry_is_read_as_it_was_written)
{
    struct buffer b = {0};
    buffer_u8(&b, 0xee); /* an entry need not begin its buffer */
    struct entry_writer w;
    entry_open(&w, &b, 123, 456);
    struct bytes messages[] = {bytes_text("one"), bytes_text(""), bytes_text("three")};
    struct entry_send send = {.queue = 1, .producer = 2, .sequence = 3, .settled_below = 4, .count = 3};
    entry_add_send(&w, &send, messages);
    char error[2000];
    memset(error, 'e', sizeof error);
    struct entry_lease lease = {5, 6};
    struct entry_settle nack = {.queue = 7, .delay_ms = 8, .status = 9, .uncounted = true, .count = 1};
    nack.error = bytes_of(error, sizeof error);
    entry_add_nack(&w, &nack, &lease);
    entry_close(&w);
    struct entry_reader r;
    struct entry_command c;
    bool more;
    ck_assert_int_eq(entry_read(&r, bytes_of(b.data + 1, b.len - 1), NULL), 0);
    ck_assert_uint_eq(r.time_ms, 123);
    ck_assert_uint_eq(r.seed, 456);
    ck_assert_int_eq(entry_next(&r, &c, &more, NULL), 0);
    ck_assert_uint_eq(c.payload.len, entry_send_bytes(messages, 3));
    struct entry_send got;
    ck_assert_int_eq(entry_read_send(c.payload, &got, NULL), 0);
    ck_assert_uint_eq(got.settled_below, 4);
    for (int i = 0; i < 3; i++)
        ck_assert(bytes_equal(entry_send_next(&got), messages[i]));
    ck_assert_int_eq(entry_next(&r, &c, &more, NULL), 0);
    struct entry_settle back;
    ck_assert_int_eq(entry_read_settle(COMMAND_NACK, c.payload, &back, NULL), 0);
    ck_assert_uint_eq(back.error.len, ENTRY_ERROR_MAX);
    ck_assert(back.uncounted);
    struct entry_lease l = entry_lease_next(&back);
    ck_assert_uint_eq(l.sequence, 5);
    ck_assert_uint_eq(l.lease, 6);
    ck_assert_int_eq(entry_next(&r, &c, &more, NULL), 0);
    ck_assert(!more);
    buffer_close(&b);
}
END_TEST

/* ---------------------------------------------------------------- size */

START_TEST(a_backlog_larger_than_what_memory_keeps_comes_out_whole_and_in_order)
{
    enum { ENTRIES = 120, EACH = 5000 };
    for (int i = 0; i < ENTRIES; i++)
        rig_send_many(&rig, queue, NULL, EACH);
    ck_assert_uint_eq(rig_counts(&rig, queue).ready, ENTRIES * EACH);
    rig_flush(&rig);
    uint64_t last = 0;
    uint64_t seen = 0;
    static struct entry_lease leases[5000];
    while (seen < (uint64_t)ENTRIES * EACH) {
        struct entry_receive in = {.queue = queue, .max_messages = 5000, .visibility_ms = 60000};
        entry_add_receive(rig_writer(&rig), &in);
        if (seen % 50000 == 0) { /* what is sent meanwhile comes last */
            struct rig_message one = {.body = "new"};
            rig_add_send(&rig, queue, &one, 1, 0, 0);
        }
        rig_commit(&rig);
        const struct reply *r = &rig.out.replies[0];
        ck_assert_uint_eq(r->count, 5000);
        for (size_t i = 0; i < r->count; i++) {
            ck_assert_uint_gt(r->received[i].sequence, last);
            last = r->received[i].sequence;
            leases[i] = rig_lease(&r->received[i]);
        }
        seen += r->count;
        entry_add_ack(rig_writer(&rig), queue, leases, (uint32_t)r->count);
        rig_commit(&rig);
        if (seen == 300000)
            rig_crash(&rig);
    }
    ck_assert_uint_eq(rig_counts(&rig, queue).ready, 12);
}
END_TEST

START_TEST(what_was_not_flushed_is_replayed_and_what_was_is_not)
{
    rig_send_many(&rig, queue, NULL, 10);
    rig_flush(&rig);
    uint64_t durable = machine_applied(rig.m);
    rig_receive(&rig, queue, 5, 1000);
    rig_load_again(&rig);
    ck_assert_uint_eq(machine_applied(rig.m), durable);
    ck_assert_uint_eq(rig_counts(&rig, queue).in_flight, 0);
    rig_crash(&rig);
    ck_assert_uint_eq(rig_counts(&rig, queue).in_flight, 5);
}
END_TEST

START_TEST(an_entry_that_is_not_ours_moves_the_index_alone)
{
    uint64_t applied = machine_applied(rig.m);
    uint64_t clock = machine_clock_ms(rig.m);
    ck_assert_int_eq(machine_skip(rig.m, applied + 1, NULL), 0);
    ck_assert_uint_eq(machine_applied(rig.m), applied + 1);
    ck_assert_uint_eq(machine_clock_ms(rig.m), clock);
    rig_flush(&rig);
    rig_load_again(&rig);
    ck_assert_uint_eq(machine_applied(rig.m), applied + 1);
}
END_TEST

START_TEST(the_secret_comes_from_the_first_entry_and_stays)
{
    uint64_t secret = machine_secret(rig.m);
    ck_assert_uint_ne(secret, 0);
    rig_commit(&rig);
    rig_flush(&rig);
    rig_crash(&rig);
    ck_assert_uint_eq(machine_secret(rig.m), secret);
}
END_TEST

/* ---------------------------------------------------------------- bodies that outlive the log's window */

START_TEST(a_spill_gives_exactly_the_live_messages)
{
    rig_send_many(&rig, queue, NULL, 100);
    uint64_t first = machine_applied(rig.m);
    rig_send_many(&rig, queue, "g", 50);
    uint64_t last = machine_applied(rig.m);
    struct received got[120];
    memcpy(got, rig_receive(&rig, queue, 120, 60000), sizeof got);
    for (int i = 0; i < 120; i += 2)
        ck_assert_int_eq(rig_ack(&rig, queue, &got[i]), ERR_OK);
    ck_assert_uint_le(machine_first_live(rig.m), first);
    struct machine_spill *s = machine_spill_open(rig.m, first, last);
    size_t n = 0;
    for (;;) {
        struct message_ref ref;
        bool more;
        ck_assert_int_eq(machine_spill_next(s, &ref, &more, NULL), 0);
        if (!more)
            break;
        for (int i = 0; i < 120; i += 2)
            ck_assert(ref.index != got[i].ref.index || ref.offset != got[i].ref.offset);
        n++;
    }
    machine_spill_close(s);
    ck_assert_uint_eq(n, 90);
}
END_TEST

START_TEST(functions_are_kept_by_shard_zero_alone)
{
    Hato__Log__FunctionCreate c = HATO__LOG__FUNCTION_CREATE__INIT;
    Hato__FunctionSettings settings = HATO__FUNCTION_SETTINGS__INIT;
    settings.url = (char *)(uintptr_t) "http://127.0.0.1:1/";
    c.name = (char *)(uintptr_t)RIG_NAME("resize");
    c.settings = &settings;
    rig_add(&rig, COMMAND_FUNCTION_CREATE, &c.base);
    rig_commit(&rig);
    ck_assert_int_eq(rig_reply(&rig)->code, ERR_INVALID);
    struct rig zero;
    rig_open_shard(&zero, 0);
    rig_add(&zero, COMMAND_FUNCTION_CREATE, &c.base);
    rig_commit(&zero);
    ck_assert_msg(rig_reply(&zero)->code == ERR_OK, "%s", rig_reply(&zero)->message);
    ck_assert(rig_has_effect(&zero, EFFECT_FUNCTION, 0));
    rig_flush(&zero);
    rig_crash(&zero);
    struct function_view v;
    ck_assert(machine_function_find(zero.m, RIG_NAME("resize"), &v));
    ck_assert_str_eq(v.settings->url, "http://127.0.0.1:1/");
    rig_close(&zero);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        no_entry_whatever_its_bytes_brings_the_machine_down,
        random_bytes_are_refused_as_corrupt,
        an_entry_of_a_later_version_or_kind_stops_with_what_is_needed,
        an_entry_that_fails_behind_a_great_many_sends_stops_the_machine_only,
        an_entry_is_read_as_it_was_written,
        a_backlog_larger_than_what_memory_keeps_comes_out_whole_and_in_order,
        what_was_not_flushed_is_replayed_and_what_was_is_not,
        an_entry_that_is_not_ours_moves_the_index_alone,
        the_secret_comes_from_the_first_entry_and_stays,
        a_spill_gives_exactly_the_live_messages,
        functions_are_kept_by_shard_zero_alone,
    };
    return rig_main("state/machine", tests, sizeof tests / sizeof tests[0], setup, teardown);
}
