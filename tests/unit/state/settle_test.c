/* Acks, nacks and extends: receipts that hold, and receipts that don't any more. */
#include "state/chunk.h"
#include "state/queue.h"
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

START_TEST(a_damaged_error_record_is_not_written_over_by_the_next_error)
{
    rig_send(&rig, queue, (struct rig_message){.body = "x"});
    struct entry_settle nack = {.queue = queue, .error = bytes_text("why"), .count = 1};
    for (int i = 0; i < 2; i++) {
        struct received got = rig_receive_one(&rig, queue, 1000);
        struct entry_lease lease = rig_lease(&got);
        entry_add_nack(rig_writer(&rig), &nack, &lease);
        if (i == 0) {
            rig_commit(&rig);
            ck_assert_int_eq(machine_write(rig.m, NULL), ERR_OK);
            struct store_batch *b = store_batch_create();
            struct key key = key_of2(rig.shard, KEY_LAST_ERROR, queue, got.sequence);
            store_put(b, STORE_STATE, key_view(&key), bytes_text("not what was written"));
            ck_assert_int_eq(store_write(rig.store, b, NULL), ERR_OK);
            store_batch_destroy(b);
        }
    }
    entry_close(&rig.w);
    ck_assert_int_eq(rig_apply(&rig, NULL), ERR_CORRUPT);
}
END_TEST

START_TEST(an_error_that_is_too_long_is_cut_at_a_whole_character)
{
    char error[2 * ENTRY_ERROR_MAX];
    struct buffer payload = {0};
    struct entry_writer w;
    struct entry_lease lease = {1, 1};
    for (size_t i = 0; i < sizeof error; i++)
        error[i] = "\xe2\x82\xac"[i % 3];
    struct entry_settle nack = {.queue = queue, .error = bytes_of(error, sizeof error), .count = 1};
    entry_open(&w, &payload, 1, 1);
    entry_add_nack(&w, &nack, &lease);
    entry_close(&w);
    struct entry_reader r;
    struct entry_command c;
    struct entry_settle read;
    bool more;
    ck_assert_int_eq(entry_read(&r, buffer_view(&payload), NULL), ERR_OK);
    ck_assert_int_eq(entry_next(&r, &c, &more, NULL), ERR_OK);
    ck_assert_int_eq(entry_read_settle(COMMAND_NACK, c.payload, &read, NULL), ERR_OK);
    ck_assert_uint_eq(read.error.len, 1023);
    ck_assert_mem_eq(read.error.data, error, read.error.len);
    ck_assert_uint_eq(entry_lease_next(&read).lease, 1);
    buffer_close(&payload);
}
END_TEST

START_TEST(a_stale_receipt_cannot_delete_a_redelivered_message)
{
    rig_send(&rig, queue, (struct rig_message){.body = "x"});
    struct received first = rig_receive_one(&rig, queue, 1000);
    rig_advance(&rig, 1000);
    struct received second = rig_receive_one(&rig, queue, 1000);
    ck_assert_int_eq(rig_ack(&rig, queue, &first), ERR_RECEIPT_STALE);
    ck_assert_int_eq(rig_nack(&rig, queue, &first, 0, false), ERR_RECEIPT_STALE);
    ck_assert_int_eq(rig_extend(&rig, queue, &first, 1000), ERR_RECEIPT_STALE);
    ck_assert_int_eq(rig_ack(&rig, queue, &second), ERR_OK);
}
END_TEST

START_TEST(a_late_ack_counts_until_another_receive)
{
    rig_send(&rig, queue, (struct rig_message){.body = "x"});
    struct received got = rig_receive_one(&rig, queue, 1000);
    rig_advance(&rig, 5000);
    ck_assert_int_eq(rig_extend(&rig, queue, &got, 1000), ERR_RECEIPT_STALE);
    rig_flush(&rig);
    rig_crash(&rig); /* a late receipt survives, too */
    ck_assert_int_eq(rig_ack(&rig, queue, &got), ERR_OK);
    ck_assert_uint_eq(rig_counts(&rig, queue).ready, 0);
}
END_TEST

START_TEST(the_same_receipt_twice_in_one_command_acks_once)
{
    rig_send_many(&rig, queue, NULL, 2);
    const struct received *got = rig_receive(&rig, queue, 2, 1000);
    struct entry_lease l[] = {rig_lease(&got[0]), rig_lease(&got[0]), rig_lease(&got[1]), {got[1].sequence, 0}};
    entry_add_ack(rig_writer(&rig), queue, l, 4);
    rig_commit(&rig);
    const uint8_t expected[] = {ERR_OK, ERR_RECEIPT_STALE, ERR_OK, ERR_RECEIPT_STALE};
    ck_assert_mem_eq(rig_reply(&rig)->codes, expected, sizeof expected);
    ck_assert_uint_eq(rig_counts(&rig, queue).acked_total, 2);
}
END_TEST

START_TEST(a_nack_makes_ready_at_once_and_counts_the_receive)
{
    rig_send(&rig, queue, (struct rig_message){.body = "x"});
    struct received got = rig_receive_one(&rig, queue, 1000);
    ck_assert_int_eq(rig_nack(&rig, queue, &got, 0, false), ERR_OK);
    ck_assert(rig_has_effect(&rig, EFFECT_READY, queue));
    ck_assert_int_eq(rig_ack(&rig, queue, &got), ERR_RECEIPT_STALE);
    ck_assert_uint_eq(rig_receive_one(&rig, queue, 1000).receive_count, 2);
}
END_TEST

START_TEST(an_uncounted_nack_takes_the_receive_back)
{
    rig_send(&rig, queue, (struct rig_message){.body = "x"});
    struct received got = rig_receive_one(&rig, queue, 1000);
    rig_advance(&rig, 10);
    ck_assert_int_eq(rig_nack(&rig, queue, &got, 0, true), ERR_OK);
    got = rig_receive_one(&rig, queue, 1000);
    ck_assert_uint_eq(got.receive_count, 1);
    ck_assert_uint_eq(got.first_received_ms, rig.now_ms);
}
END_TEST

START_TEST(a_message_nacked_with_a_delay_comes_back_when_it_is_over)
{
    rig_send(&rig, queue, (struct rig_message){.body = "x"});
    struct received got = rig_receive_one(&rig, queue, 1000);
    ck_assert_int_eq(rig_nack(&rig, queue, &got, 2000, false), ERR_OK);
    ck_assert_uint_eq(rig_counts(&rig, queue).delayed, 1);
    rig_receive_none(&rig, queue);
    rig_flush(&rig);
    rig_crash(&rig);
    ck_assert_uint_eq(machine_next_due_ms(rig.m), rig.now_ms + 2000);
    rig_advance(&rig, 2000);
    ck_assert_uint_eq(machine_queue_available(rig.m, queue, 10), 1);
    struct received again = rig_receive_one(&rig, queue, 1000);
    ck_assert_uint_eq(again.receive_count, 2);
    ck_assert_uint_eq(again.first_received_ms, got.first_received_ms);
}
END_TEST

START_TEST(messages_of_a_chunk_nacked_apart_come_back_apart)
{
    rig_send_many(&rig, queue, NULL, 3);
    struct received got[3];
    memcpy(got, rig_receive(&rig, queue, 3, 1000), sizeof got);
    for (unsigned i = 0; i < 3; i++)
        rig_nack(&rig, queue, &got[i], 1000 * (i + 1), false);
    for (unsigned i = 0; i < 3; i++) {
        rig_advance(&rig, 1000);
        ck_assert_uint_eq(rig_receive_one(&rig, queue, 60000).sequence, got[i].sequence);
        rig_receive_none(&rig, queue);
    }
}
END_TEST

START_TEST(a_nack_delay_above_seven_days_is_refused_by_name)
{
    struct entry_settle in = {.queue = queue, .delay_ms = 7ull * 24 * 3600 * 1000 + 1};
    entry_add_nack(rig_writer(&rig), &in, NULL);
    rig_commit(&rig);
    ck_assert_int_eq(rig_reply(&rig)->code, ERR_INVALID);
    ck_assert_str_eq(rig_reply(&rig)->field, "delay_ms");
}
END_TEST

START_TEST(extending_a_part_of_a_batch_leaves_the_rest_as_it_was)
{
    rig_send_many(&rig, queue, NULL, 3);
    struct received got[3];
    memcpy(got, rig_receive(&rig, queue, 3, 1000), sizeof got);
    ck_assert_int_eq(rig_extend(&rig, queue, &got[1], 5000), ERR_OK);
    rig_advance(&rig, 1000);
    ck_assert_uint_eq(rig_counts(&rig, queue).in_flight, 1);
    rig_receive(&rig, queue, 10, 100000);
    ck_assert_uint_eq(rig_reply(&rig)->count, 2);
    ck_assert_int_eq(rig_extend(&rig, queue, &got[1], 1000), ERR_OK); /* shorter works as well */
    rig_advance(&rig, 1000);
    ck_assert_uint_eq(rig_counts(&rig, queue).ready, 1);
}
END_TEST

/* What an extend leaves behind is gone over by the next: 10,000 of them may not leave 10,000. */
START_TEST(a_message_that_is_extended_many_times_in_an_entry_leaves_little_behind)
{
    enum { EXTENDS = 10000, ENOUGH = 512 };
    rig_send_many(&rig, queue, NULL, 2);
    struct received got[2];
    memcpy(got, rig_receive(&rig, queue, 2, 1000), sizeof got);
    struct entry_lease lease = rig_lease(&got[1]);
    for (uint64_t i = 1; i <= EXTENDS; i++)
        entry_add_extend(rig_writer(&rig), queue, i, &lease, 1);
    rig_commit(&rig);
    ck_assert_int_eq(rig_reply(&rig)->codes[0], ERR_OK);
    const struct queue *q = queue_by_id(rig.m, queue);
    const struct chunk *c = tree_find(&q->chunks, got[1].sequence / CHUNK_SLOTS);
    ck_assert_ptr_nonnull(c);
    ck_assert_uint_eq(c->lease_count, 2);
    ck_assert_uint_le(c->lease_capacity, ENOUGH);
    rig_advance(&rig, EXTENDS - 1);
    ck_assert_uint_eq(rig_counts(&rig, queue).in_flight, 1);
    rig_advance(&rig, 1);
    ck_assert_uint_eq(rig_counts(&rig, queue).in_flight, 0);
}
END_TEST

START_TEST(extending_to_nothing_makes_ready_at_once)
{
    rig_send(&rig, queue, (struct rig_message){.body = "x"});
    struct received got = rig_receive_one(&rig, queue, 1000);
    ck_assert_int_eq(rig_extend(&rig, queue, &got, 0), ERR_OK);
    ck_assert_uint_eq(rig_receive_one(&rig, queue, 1000).receive_count, 2);
}
END_TEST

START_TEST(ten_thousand_leases_and_more_that_end_together_end_over_some_entries)
{
    for (int i = 0; i < 25; i++)
        rig_send_many(&rig, queue, NULL, 1000);
    for (int i = 0; i < 25; i++)
        rig_receive(&rig, queue, 1000, 10000);
    rig_advance(&rig, 10000);
    ck_assert_uint_gt(rig_counts(&rig, queue).in_flight, 0);
    ck_assert_uint_le(machine_next_due_ms(rig.m), rig.now_ms);
    for (int i = 0; i < 5; i++)
        rig_commit(&rig);
    ck_assert_uint_eq(rig_counts(&rig, queue).ready, 25000);
    ck_assert_uint_gt(machine_next_due_ms(rig.m), rig.now_ms);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_damaged_error_record_is_not_written_over_by_the_next_error,
        an_error_that_is_too_long_is_cut_at_a_whole_character,
        a_stale_receipt_cannot_delete_a_redelivered_message,
        a_late_ack_counts_until_another_receive,
        the_same_receipt_twice_in_one_command_acks_once,
        a_nack_makes_ready_at_once_and_counts_the_receive,
        an_uncounted_nack_takes_the_receive_back,
        a_message_nacked_with_a_delay_comes_back_when_it_is_over,
        messages_of_a_chunk_nacked_apart_come_back_apart,
        a_nack_delay_above_seven_days_is_refused_by_name,
        extending_a_part_of_a_batch_leaves_the_rest_as_it_was,
        extending_to_nothing_makes_ready_at_once,
        a_message_that_is_extended_many_times_in_an_entry_leaves_little_behind,
        ten_thousand_leases_and_more_that_end_together_end_over_some_entries,
    };
    return rig_main("state/settle", tests, sizeof tests / sizeof tests[0], setup, teardown);
}
