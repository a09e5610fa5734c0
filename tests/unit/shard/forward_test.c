/* Channels between shards: what has to wait, and that it arrives in the end. Another node is this one by a wire of the test's own. */
#include "shard/peer.h"
#include "shard/rig.h"

enum { HERE = 1, AWAY = 2, WAITING_TICKS = 50, ENOUGH_TICKS = 50 };

static const char Q[] = "000000000000:us-east-1:q", OTHER[] = "000000000000:us-east-1:other",
                  DEAD[] = "000000000000:us-east-1:dead";

static uint64_t target_at = HERE;
static struct blob *on_the_wire;
static size_t frames;

static uint64_t target_leader(void *ctx, uint16_t number)
{
    (void)ctx, (void)number;
    return target_at;
}

static void put_on_the_wire(void *ctx, struct shard *s, uint64_t node, uint16_t to, struct bytes head,
                            const struct shard_part *parts, size_t count)
{
    (void)ctx, (void)s, (void)node;
    ck_assert_uint_eq(to, 1);
    ck_assert_ptr_null(on_the_wire);
    struct buffer frame = {0};
    buffer_put(&frame, head.data, head.len);
    for (size_t i = 0; i < count; i++)
        buffer_put(&frame, parts[i].data.data, parts[i].data.len);
    on_the_wire = blob_adopt(&frame);
    frames++;
}

static void open_wired(uint64_t at)
{
    target_at = at;
    env.leader = target_leader;
    env.send = put_on_the_wire;
    open_shard();
}

static void run_ticks(int count)
{
    for (int i = 0; i < count; i++) {
        tick();
        run_works(0);
        while (on_the_wire != NULL) {
            struct blob *frame = on_the_wire;
            on_the_wire = NULL;
            shard_receive(shard, AWAY, frame);
            blob_unref(frame);
            step();
        }
    }
}

static struct queue_counts counts_of(const char *name)
{
    struct queue_view q;
    return machine_queue_find(shard_machine(shard), name, &q) ? q.counts : (struct queue_counts){0};
}

/* Its body would be written anew, into what the log has left for receives and acks. */
START_TEST(a_dead_letter_waits_while_sends_are_refused)
{
    open_wired(_i == 0 ? HERE : AWAY);
    uint64_t queue = make_queue_that_gives_up(Q, DEAD);
    send_one(queue);
    shard_accept_sends(shard, false);
    receive_one(queue);
    nack_last(queue);
    run_ticks(WAITING_TICKS);
    ck_assert_uint_eq(counts_of(Q).moving, 1);
    ck_assert_uint_eq(counts_of(DEAD).ready, 0);
    ck_assert_uint_le(frames, _i == 0 ? 0 : 2 * 2); /* it was asked now and then, not with each tick */
    shard_accept_sends(shard, true);
    run_ticks(ENOUGH_TICKS);
    ck_assert_uint_eq(counts_of(Q).moving, 0);
    ck_assert_uint_eq(counts_of(DEAD).ready, 1);
    close_shard();
}
END_TEST

START_TEST(what_was_purged_on_its_way_does_not_arrive)
{
    open_wired(_i == 0 ? HERE : AWAY);
    uint64_t queue = make_queue_that_gives_up(Q, DEAD);
    send_one(queue);
    shard_accept_sends(shard, false);
    receive_one(queue);
    nack_last(queue);
    run_ticks(WAITING_TICKS);
    purge(queue);
    ck_assert_uint_eq(counts_of(Q).moving, 0);
    shard_accept_sends(shard, true);
    send_one(queue);
    receive_one(queue);
    nack_last(queue);
    run_ticks(ENOUGH_TICKS);
    uint16_t target;
    ck_assert_uint_eq(machine_outbox_targets(shard_machine(shard), &target, 1), 0);
    ck_assert_uint_eq(counts_of(DEAD).ready, 1);
    close_shard();
}
END_TEST

/* Its body is read in vain then, which is no damage. */
START_TEST(a_purge_may_come_while_a_dead_letter_is_read)
{
    enum { NOBODY = 0 };
    open_wired(NOBODY);
    uint64_t queue = make_queue_that_gives_up(Q, DEAD), other = make_queue(OTHER);
    send_one(queue);
    receive_one(queue);
    nack_last(queue);
    ck_assert_uint_eq(counts_of(Q).moving, 1);
    ck_assert_uint_eq(work_count, 1);
    purge(queue);
    outgrow_the_log(other, 1);
    run_works(0);
    ck_assert_str_eq(shard_problem(shard), "");
    target_at = HERE;
    run_ticks(ENOUGH_TICKS);
    uint16_t target;
    ck_assert_uint_eq(machine_outbox_targets(shard_machine(shard), &target, 1), 0);
    ck_assert_uint_eq(counts_of(DEAD).ready, 0);
    ck_assert_str_eq(shard_problem(shard), "");
    close_shard();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("forward");
    TCase *t = tcase_create("forward");
    tcase_add_loop_test(t, a_dead_letter_waits_while_sends_are_refused, 0, 2);
    tcase_add_loop_test(t, what_was_purged_on_its_way_does_not_arrive, 0, 2);
    tcase_add_test(t, a_purge_may_come_while_a_dead_letter_is_read);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
