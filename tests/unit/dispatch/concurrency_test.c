#include "dispatch/dispatcher.h"

#include "dispatch/core.h"
#include "dispatch/fixture.h"
#include "dispatch/message.h"

START_TEST(the_window_opens_as_the_endpoint_keeps_up)
{
    struct fixture f;
    fixture_open(&f, answer_slowly);
    fixture_batch(&f, 1);
    fixture_start(&f);
    ck_assert_uint_eq(fixture_info(&f).window, 4);
    fixture_fill(&f, 600, "");
    RUN_UNTIL(&f, f.source->acked == 600);
    ck_assert_uint_gt(f.web.at_once_max, 16);
    ck_assert_uint_gt(fixture_info(&f).window, 16);
    fixture_close(&f);
}
END_TEST

/* Takes three at once; to more it says 429. */
static void answer_three_at_once(struct web_server *s, struct web_request *r)
{
    if (s->at_once > 3)
        web_reply(r, 429, "", "slow down");
    else
        web_later(r->connection, 20, answer_in_a_while);
}

START_TEST(the_window_closes_when_the_endpoint_says_it_is_too_much)
{
    struct fixture f;
    fixture_open(&f, answer_three_at_once);
    fixture_batch(&f, 1);
    fixture_start(&f);
    fixture_fill(&f, 100, "");
    RUN_UNTIL(&f, f.source->acked == 100);
    struct dispatcher_info info = fixture_info(&f);
    ck_assert_uint_gt(info.returned_total, 0);
    ck_assert_uint_eq(info.failed_total, 0);
    ck_assert_uint_le(info.window, 8);
    for (uint32_t i = 0; i < 100; i++)
        ck_assert_uint_eq(f.source->messages[i].receive_count, 1);
    fixture_close(&f);
}
END_TEST

START_TEST(no_more_requests_are_out_than_function_and_binding_allow)
{
    struct fixture f;
    fixture_open(&f, answer_slowly);
    f.function.format = HATO__FORMAT__RAW;
    fixture_concurrency(&f, 3);
    f.binding.has_max_concurrency = true;
    f.binding.max_concurrency = 2;
    fixture_start(&f);
    fixture_fill(&f, 20, "");
    RUN_UNTIL(&f, f.source->acked == 20);
    ck_assert_uint_eq(f.web.at_once_max, 2);
    f.binding.max_concurrency = 100;
    fixture_bind_to(&f, QUEUE, fixture_function);
    fixture_fill(&f, 20, "");
    RUN_UNTIL(&f, f.source->acked == 40);
    ck_assert_uint_eq(f.web.at_once_max, 3);
    fixture_close(&f);
}
END_TEST

START_TEST(the_dispatcher_as_a_whole_keeps_to_its_limit_and_shares_it)
{
    struct fixture f;
    fixture_open(&f, answer_slowly);
    f.function.format = HATO__FORMAT__RAW;
    f.options.requests_max = 2;
    fixture_start(&f);
    for (uint64_t queue = 1; queue <= 4; queue++) {
        char name[32];
        snprintf(name, sizeof name, "a:r:other-%d", (int)queue);
        for (int i = 0; i < 5; i++)
            fake_put(f.source, queue, "", "x");
        fixture_bind_to(&f, queue, name);
    }
    RUN_UNTIL(&f, f.source->acked == 20);
    ck_assert_uint_eq(f.web.at_once_max, 2);
    /* No function had all its messages out before every other had its first. */
    uint64_t first[5] = {0};
    for (uint32_t i = 0; i < f.source->order_count; i++) {
        uint64_t queue = f.source->messages[f.source->order[i]].queue;
        if (first[queue] == 0)
            first[queue] = i + 1;
    }
    for (int queue = 1; queue <= 4; queue++)
        ck_assert_uint_le(first[queue], 8);
    fixture_close(&f);
}
END_TEST

START_TEST(a_short_memory_is_waited_for_and_not_exceeded)
{
    struct fixture f;
    fixture_open(&f, answer_slowly);
    f.function.format = HATO__FORMAT__RAW;
    f.options.memory_max = 1; /* less than any lease: one at a time */
    fixture_start(&f);
    fixture_fill(&f, 5, "");
    RUN_UNTIL(&f, f.source->acked == 5);
    fixture_close(&f);
}
END_TEST

START_TEST(what_messages_are_decoded_to_is_memory_held)
{
    struct fixture f;
    fixture_open(&f, answer_slowly);
    f.function.format = HATO__FORMAT__RAW;
    fixture_start(&f);
    struct fake_message *m = fake_put(f.source, QUEUE, "", "x");
    for (int i = 0; i < 300; i++)
        buffer_put(&m->encoded, "\x70\x01", 2); /* a field that nobody knows */
    struct source_message is = {.message = buffer_view(&m->encoded)};
    struct message decoded;
    struct arena arena = {0};
    ck_assert(message_decode(&decoded, &is, &arena));
    ck_assert_uint_gt(arena_bytes(&arena), 10 * m->encoded.len);
    dispatcher_wake(f.d, QUEUE);
    RUN_UNTIL(&f, f.web.requests == 1);
    ck_assert_uint_gt(f.d->held, arena_bytes(&arena));
    RUN_UNTIL(&f, f.source->acked == 1);
    arena_close(&arena);
    fixture_close(&f);
}
END_TEST

START_TEST(a_rate_is_kept)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    f.function.format = HATO__FORMAT__RAW;
    f.function.has_rate = true;
    f.function.rate = 50;
    fixture_start(&f);
    uint64_t before = uv_hrtime();
    fixture_fill(&f, 25, "");
    RUN_UNTIL(&f, f.source->acked == 25);
    /* Five at once, the other twenty at one each 20 ms. */
    ck_assert_uint_ge(uv_hrtime() - before, 395 * 1000000ull);
    fixture_close(&f);
}
END_TEST

/* ------------------------------------------------------------------ shared with another loop */

struct other {
    struct quota *quota;
    uint32_t passed;
    bool waits;
};

static void pass_to_other(void *ctx, struct quota *q, unsigned loop, bool permit)
{
    struct other *o = ctx;
    ck_assert_ptr_eq(q, o->quota);
    ck_assert_uint_eq(loop, 1);
    o->passed += permit;
}

START_TEST(a_function_s_limit_holds_for_all_loops_together_and_they_take_turns)
{
    struct fixture f;
    struct other other = {0};
    fixture_open(&f, answer_slowly);
    quota_unref(f.quota);
    f.quota = quota_create(fixture_function, pass_to_other, &other);
    other.quota = f.quota;
    f.function.format = HATO__FORMAT__RAW;
    fixture_concurrency(&f, 3);
    fixture_start(&f);
    /* The other loop has two of the three. */
    ck_assert_uint_eq(quota_take(f.quota, 1, 3, 2), 2);
    fixture_fill(&f, 20, "");
    RUN_UNTIL(&f, f.source->acked == 5);
    ck_assert_uint_eq(f.web.at_once_max, 1);
    /* It waits for the third: the next that is given back is passed to it, and this loop waits in turn. */
    ck_assert_uint_eq(quota_take(f.quota, 1, 3, 1), 0);
    RUN_UNTIL(&f, other.passed == 1);
    RUN_UNTIL(&f, f.source->out == 0);
    uint32_t requests = f.web.requests;
    fixture_turns(&f);
    ck_assert_uint_eq(f.web.requests, requests);
    ck_assert_uint_lt(f.source->acked, 20);
    fixture_close(&f);
}
END_TEST

/* Loop 0 is the fixture's; what is passed to it comes by this. */
static void pass_to_fixture(void *ctx, struct quota *q, unsigned loop, bool permit)
{
    struct fixture *f = ctx;
    ck_assert_uint_eq(loop, 0);
    dispatcher_quota(f->d, q, permit);
}

START_TEST(what_is_passed_to_a_loop_is_used_at_once_and_what_it_can_t_use_goes_back)
{
    struct fixture f;
    fixture_open(&f, answer_slowly);
    quota_unref(f.quota);
    f.quota = quota_create(fixture_function, pass_to_fixture, &f);
    fixture_concurrency(&f, 2);
    fixture_start(&f);
    ck_assert_uint_eq(quota_take(f.quota, 1, 2, 2), 2);
    fixture_fill(&f, 10, "");
    fixture_turns(&f);
    ck_assert_uint_eq(f.source->leases, 0);
    quota_give(f.quota, 1, 2);
    ck_assert_uint_eq(f.source->leases, 1);
    RUN_UNTIL(&f, f.source->acked == 10);
    /* It waits, and then there is nothing to do any more. */
    ck_assert_uint_eq(quota_take(f.quota, 1, 2, 1), 1);
    fixture_fill(&f, 1, "");
    fixture_turns(&f);
    dispatcher_unbind(f.d, QUEUE);
    quota_give(f.quota, 1, 2);
    quota_give(f.quota, 1, 2);
    ck_assert_uint_eq(quota_take(f.quota, 1, 2, 2), 2);
    fixture_close(&f);
}
END_TEST

struct two_loops {
    struct fixture *f;
    uint32_t passed; /* to the other loop */
};

static void pass_to_either(void *ctx, struct quota *q, unsigned loop, bool permit)
{
    struct two_loops *t = ctx;
    if (loop == 0)
        dispatcher_quota(t->f->d, q, permit);
    else
        t->passed += permit;
}

START_TEST(queues_of_a_loop_that_is_passed_one_permit_at_a_time_take_turns)
{
    enum { QUEUES = 4 };
    struct fixture f;
    struct two_loops loops = {.f = &f};
    fixture_open(&f, answer_slowly);
    quota_unref(f.quota);
    f.quota = quota_create(fixture_function, pass_to_either, &loops);
    f.function.format = HATO__FORMAT__RAW;
    fixture_concurrency(&f, 1);
    fixture_start(&f);
    ck_assert_uint_eq(quota_take(f.quota, 1, 1, 1), 1);
    for (uint64_t queue = 1; queue <= QUEUES; queue++) {
        for (int i = 0; i < 5; i++)
            fake_put(f.source, queue, "", "x");
        fixture_bind_to(&f, queue, fixture_function);
    }
    fixture_turns(&f);
    for (uint32_t i = 1; i <= QUEUES; i++) {
        quota_give(f.quota, 1, 1);
        ck_assert_uint_eq(quota_take(f.quota, 1, 1, 1), 0);
        RUN_UNTIL(&f, loops.passed == i);
    }
    bool served[QUEUES + 1] = {false};
    for (uint32_t i = 0; i < f.source->order_count; i++)
        served[f.source->messages[f.source->order[i]].queue] = true;
    for (int queue = 1; queue <= QUEUES; queue++)
        ck_assert_msg(served[queue], "queue %d had no turn of %u", queue, f.source->order_count);
    fixture_close(&f);
}
END_TEST

static void add(TCase *c)
{
    tcase_add_test(c, queues_of_a_loop_that_is_passed_one_permit_at_a_time_take_turns);
    tcase_add_test(c, the_window_opens_as_the_endpoint_keeps_up);
    tcase_add_test(c, the_window_closes_when_the_endpoint_says_it_is_too_much);
    tcase_add_test(c, no_more_requests_are_out_than_function_and_binding_allow);
    tcase_add_test(c, the_dispatcher_as_a_whole_keeps_to_its_limit_and_shares_it);
    tcase_add_test(c, a_short_memory_is_waited_for_and_not_exceeded);
    tcase_add_test(c, what_messages_are_decoded_to_is_memory_held);
    tcase_add_test(c, a_rate_is_kept);
    tcase_add_test(c, a_function_s_limit_holds_for_all_loops_together_and_they_take_turns);
    tcase_add_test(c, what_is_passed_to_a_loop_is_used_at_once_and_what_it_can_t_use_goes_back);
}

int main(void)
{
    return fixture_main("concurrency", add);
}
