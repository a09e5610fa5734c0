/* Looking without receiving. */
#include "state/rig.h"

static struct rig rig;
static uint64_t queue;
static struct arena arena;

static void setup(void)
{
    rig_open(&rig);
    queue = rig_create(&rig, RIG_NAME("jobs"), NULL);
}

static void teardown(void)
{
    arena_close(&arena);
    rig_close(&rig);
}

static const struct peeked *peek(uint64_t after, enum peek_which which, const char *group, size_t max, size_t *count,
                                 uint64_t *next)
{
    struct peeked *out;
    struct error e = {0};
    ck_assert_msg(machine_peek(rig.m, queue, after, which, group, max, &arena, &out, count, next, &e) == 0, "%s",
                  e.message);
    return out;
}

START_TEST(each_message_is_shown_where_it_is)
{
    rig_send_many(&rig, queue, NULL, 4);
    rig_send(&rig, queue, (struct rig_message){.body = "x", .delay_ms = 9000});
    struct received got[3];
    memcpy(got, rig_receive(&rig, queue, 3, 5000), sizeof got);
    struct entry_lease l = rig_lease(&got[1]);
    struct entry_settle in = {.queue = queue, .delay_ms = 7000, .error = bytes_text("why"), .count = 1};
    entry_add_nack(rig_writer(&rig), &in, &l);
    rig_commit(&rig);
    for (int round = 0; round < 2; round++) {
        size_t count;
        uint64_t next;
        const struct peeked *p = peek(0, PEEK_ALL, NULL, 10, &count, &next);
        ck_assert_uint_eq(count, 5);
        ck_assert_uint_eq(next, 0);
        const char expected[] = {'f', 'd', 'f', 'r', 'd'};
        const uint64_t due[] = {5000, 7000, 5000, 0, 9000};
        for (int i = 0; i < 5; i++) {
            ck_assert_int_eq(p[i].state, expected[i]);
            ck_assert_uint_eq(p[i].due_ms, due[i] > 0 ? rig.now_ms + due[i] : 0);
            ck_assert_uint_eq(p[i].receive_count, i < 3);
        }
        ck_assert_str_eq(p[1].last_error, "why");
        ck_assert_str_eq(p[0].last_error, "");
        rig_expect_body(&rig, p[4].ref, "x");
        peek(0, PEEK_DELAYED, NULL, 10, &count, &next);
        ck_assert_uint_eq(count, 2);
        peek(0, PEEK_IN_FLIGHT, NULL, 10, &count, &next);
        ck_assert_uint_eq(count, 2);
        peek(0, PEEK_READY, NULL, 10, &count, &next);
        ck_assert_uint_eq(count, 1);
        rig_flush(&rig);
        rig_crash(&rig);
    }
}
END_TEST

START_TEST(a_chunk_that_was_wholly_put_off_shows_when_it_comes_back)
{
    rig_send(&rig, queue, (struct rig_message){.body = "x"});
    struct received got = rig_receive_one(&rig, queue, 5000);
    rig_nack(&rig, queue, &got, 7000, false);
    size_t count;
    uint64_t next;
    const struct peeked *p = peek(0, PEEK_ALL, NULL, 10, &count, &next);
    ck_assert_uint_eq(count, 1);
    ck_assert_int_eq(p[0].state, 'd');
    ck_assert_uint_eq(p[0].due_ms, rig.now_ms + 7000);
    ck_assert_uint_eq(p[0].receive_count, 1);
}
END_TEST

START_TEST(pages_follow_each_other_without_gap_or_repeat)
{
    for (int i = 0; i < 5; i++) {
        rig_send_many(&rig, queue, i % 2 == 0 ? NULL : "g", 70);
    }
    uint64_t after = 0;
    uint64_t last = 0;
    size_t total = 0;
    do {
        size_t count;
        const struct peeked *p = peek(after, PEEK_ALL, NULL, 33, &count, &after);
        for (size_t i = 0; i < count; i++) {
            ck_assert_uint_gt(p[i].sequence, last);
            last = p[i].sequence;
        }
        total += count;
    } while (after != 0);
    ck_assert_uint_eq(total, 350);
}
END_TEST

START_TEST(after_what_is_not_there_yet_there_is_nothing)
{
    rig_send_many(&rig, queue, NULL, 3);
    const uint64_t never[] = {UINT64_MAX, UINT64_MAX - 1, UINT64_MAX / 2, 1000000, 4096};
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++) {
        size_t count;
        uint64_t next;
        peek(never[i], PEEK_ALL, NULL, 10, &count, &next);
        ck_assert_uint_eq(count, 0);
        ck_assert_uint_eq(next, 0);
    }
}
END_TEST

START_TEST(a_group_can_be_looked_at_alone)
{
    rig_send_many(&rig, queue, "a", 3);
    rig_send_many(&rig, queue, "b", 2);
    rig_send_many(&rig, queue, NULL, 1);
    size_t count;
    uint64_t next;
    peek(0, PEEK_ALL, "b", 10, &count, &next);
    ck_assert_uint_eq(count, 2);
    peek(0, PEEK_ALL, "", 10, &count, &next);
    ck_assert_uint_eq(count, 1);
    peek(0, PEEK_ALL, "c", 10, &count, &next);
    ck_assert_uint_eq(count, 0);
}
END_TEST

START_TEST(a_queue_that_is_not_there_is_said_so)
{
    struct peeked *out;
    size_t count;
    uint64_t next;
    ck_assert_int_eq(machine_peek(rig.m, 99, 0, PEEK_ALL, NULL, 1, &arena, &out, &count, &next, NULL), ERR_NOT_FOUND);
}
END_TEST

static bool holds(uint64_t sequence, struct message_ref ref)
{
    bool there = false;
    struct error e = {0};
    ck_assert_msg(machine_holds(rig.m, queue, sequence, &ref, &there, &e) == 0, "%s", e.message);
    return there;
}

START_TEST(a_message_is_held_until_it_is_acked_or_purged)
{
    rig_send_many(&rig, queue, NULL, 3);
    rig_send(&rig, queue, (struct rig_message){.body = "later", .delay_ms = 9000});
    rig_send(&rig, queue, (struct rig_message){.body = "never", .delay_ms = 9000});
    size_t count;
    uint64_t next;
    struct peeked p[5];
    memcpy(p, peek(0, PEEK_ALL, NULL, 5, &count, &next), sizeof p);
    ck_assert_uint_eq(count, 5);
    struct received got = rig_receive_one(&rig, queue, 5000);
    ck_assert_uint_eq(got.sequence, p[0].sequence);
    ck_assert(holds(got.sequence, got.ref));
    ck_assert_int_eq(rig_ack(&rig, queue, &got), ERR_OK);
    ck_assert_int_eq(rig_cancel(&rig, queue, p[4].sequence), ERR_OK);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 5; i++)
            ck_assert_int_eq(holds(p[i].sequence, p[i].ref), i != 0 && i != 4);
        ck_assert(!holds(p[1].sequence, p[2].ref));
        ck_assert(!holds(p[2].sequence + 1, p[2].ref));
        ck_assert(!holds(p[4].sequence + 1000, p[2].ref));
        rig_flush(&rig);
        rig_crash(&rig);
    }
    rig_purge(&rig, queue);
    for (int i = 0; i < 5; i++)
        ck_assert(!holds(p[i].sequence, p[i].ref));
    rig_delete(&rig, queue);
    ck_assert(!holds(p[1].sequence, p[1].ref));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        each_message_is_shown_where_it_is,
        a_chunk_that_was_wholly_put_off_shows_when_it_comes_back,
        pages_follow_each_other_without_gap_or_repeat,
        after_what_is_not_there_yet_there_is_nothing,
        a_group_can_be_looked_at_alone,
        a_queue_that_is_not_there_is_said_so,
        a_message_is_held_until_it_is_acked_or_purged,
    };
    return rig_main("state/peek", tests, sizeof tests / sizeof tests[0], setup, teardown);
}
