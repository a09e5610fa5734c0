#include "bench/load.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { SECOND = 1000000000 };

START_TEST(the_window_bounds_what_is_in_flight_and_the_count_what_is_sent)
{
    struct load l;
    load_open(&l, &(struct load_config){.count = 25, .window = 10, .body_size = 8});
    load_begin(&l);
    uint32_t slots[10], slot = 0;
    bool seen[10] = {false};
    for (int i = 0; i < 10; i++) {
        ck_assert(load_take(&l, &slots[i]));
        ck_assert(slots[i] < 10 && !seen[slots[i]]);
        seen[slots[i]] = true;
    }
    ck_assert(!load_take(&l, &slot));
    ck_assert_uint_eq(load_wait(&l), UINT64_MAX);
    for (int i = 0; i < 10; i++)
        load_done(&l, slots[i]);
    for (int i = 0; i < 15; i++) {
        ck_assert(load_take(&l, &slot));
        load_done(&l, slot);
    }
    ck_assert(!load_take(&l, &slot));
    ck_assert(load_finished(&l));
    load_close(&l);
}
END_TEST

START_TEST(a_run_with_a_duration_ends_by_the_clock_and_waits_for_the_rest)
{
    struct load l;
    load_open(&l, &(struct load_config){.duration_ns = SECOND, .warmup_ns = SECOND, .window = 2, .body_size = 8});
    load_begin(&l);
    uint64_t began = l.began_ns;
    uint32_t slot = 0, last = 0;
    ck_assert(load_take(&l, &last));
    ck_assert_uint_eq(load_wait(&l), 0); /* another may go */
    l.now_ns = began + 2u * SECOND - 1;
    ck_assert(load_take(&l, &slot));
    ck_assert_uint_eq(load_wait(&l), 1);
    l.now_ns = began + 2u * SECOND;
    load_done(&l, slot);
    ck_assert(!load_take(&l, &slot));
    ck_assert(load_ended(&l) && !load_finished(&l));
    load_done(&l, last);
    ck_assert(load_finished(&l));
    load_close(&l);
}
END_TEST

START_TEST(the_warmup_is_not_measured)
{
    struct load l;
    load_open(&l, &(struct load_config){
                      .duration_ns = 10u * (uint64_t)SECOND, .warmup_ns = SECOND, .window = 1, .body_size = 8});
    load_begin(&l);
    uint32_t slot = 0;
    for (uint64_t i = 1; i <= 30; i++) { /* ten a second */
        ck_assert(load_take(&l, &slot));
        l.now_ns = l.began_ns + i * SECOND / 10;
        load_done(&l, slot);
    }
    ck_assert_uint_eq(l.done, 30);
    ck_assert_uint_eq(l.measured, 20);
    ck_assert_double_eq_tol(load_seconds(&l), 2.0, 1e-9);
    ck_assert_double_eq_tol(load_rate(&l), 10.0, 1e-9);
    ck_assert_uint_eq(l.latency.count, 20);
    load_close(&l);
}
END_TEST

START_TEST(an_open_loop_charges_a_stall_to_all_that_waited)
{
    struct load l;
    load_open(&l, &(struct load_config){.count = 100, .rate = 1000, .window = 1, .body_size = 8});
    load_begin(&l);
    uint32_t slot = 0;
    ck_assert(load_take(&l, &slot));
    l.now_ns = l.began_ns + SECOND / 10; /* the first takes 100 ms, the others nothing */
    load_done(&l, slot);
    while (load_take(&l, &slot))
        load_done(&l, slot);
    ck_assert(load_finished(&l));
    uint64_t p50 = histogram_percentile(&l.latency, 50);
    ck_assert_uint_ge(p50, 45000000);
    ck_assert_uint_le(p50, 55000000);
    load_close(&l);
}
END_TEST

START_TEST(a_consumer_asks_for_no_more_than_fits_and_is_left)
{
    struct load l;
    load_open(&l, &(struct load_config){.count = 15, .window = 10, .body_size = 8, .consumes = true});
    load_begin(&l);
    ck_assert_uint_eq(load_room(&l, 0), 10);
    ck_assert_uint_eq(load_room(&l, 7), 3);
    ck_assert_uint_eq(load_room(&l, 10), 0);
    uint32_t slots[10];
    for (int i = 0; i < 10; i++)
        slots[i] = load_arrive(&l, (struct bytes){0});
    ck_assert_uint_eq(load_room(&l, 0), 0);
    for (int i = 0; i < 10; i++)
        load_done(&l, slots[i]);
    ck_assert_uint_eq(load_room(&l, 0), 5);
    ck_assert_uint_eq(load_room(&l, 2), 3);
    ck_assert_uint_eq(load_room(&l, 5), 0);
    load_close(&l);
}
END_TEST

START_TEST(a_stamped_body_tells_the_consumer_when_it_was_due)
{
    struct load sender, receiver;
    load_open(&sender, &(struct load_config){.count = 1, .window = 1, .body_size = 64, .stamped = true});
    load_open(&receiver,
              &(struct load_config){.count = 1, .window = 1, .body_size = 64, .stamped = true, .consumes = true});
    load_begin(&sender);
    load_begin(&receiver);
    uint32_t slot = 0;
    ck_assert(load_take(&sender, &slot));
    struct bytes body = load_body(&sender, slot);
    receiver.now_ns = sender.from_ns[slot] + 5000000;
    uint32_t got = load_arrive(&receiver, body);
    receiver.now_ns += SECOND; /* what its ack takes is not counted */
    load_done(&receiver, got);
    ck_assert_uint_eq(receiver.latency.count, 1);
    ck_assert_uint_eq(receiver.latency.max, 5000000);
    load_close(&sender);
    load_close(&receiver);
}
END_TEST

START_TEST(bodies_of_one_window_are_all_different)
{
    struct load l;
    load_open(&l, &(struct load_config){.count = 1000, .window = 1000, .body_size = 1024});
    load_begin(&l);
    const uint8_t *bodies[1000];
    for (int i = 0; i < 1000; i++) {
        uint32_t slot = 0;
        ck_assert(load_take(&l, &slot));
        struct bytes body = load_body(&l, slot);
        ck_assert_uint_eq(body.len, 1024);
        bodies[i] = body.data;
        for (int j = 0; j < i; j++)
            ck_assert(memcmp(bodies[j], body.data, 16) != 0);
    }
    load_close(&l);
}
END_TEST

START_TEST(a_stopped_run_ends_although_much_is_left)
{
    atomic_bool stop = false;
    struct load l;
    load_open(&l, &(struct load_config){.count = 1000, .window = 10, .body_size = 8, .stop = &stop, .consumes = true});
    load_begin(&l);
    ck_assert(!load_finished(&l));
    ck_assert_uint_lt(load_wait(&l), SECOND);
    atomic_store(&stop, true);
    ck_assert(load_finished(&l));
    ck_assert_uint_eq(load_room(&l, 0), 0);
    load_close(&l);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("load");
    TCase *c = tcase_create("load");
    tcase_add_test(c, the_window_bounds_what_is_in_flight_and_the_count_what_is_sent);
    tcase_add_test(c, a_run_with_a_duration_ends_by_the_clock_and_waits_for_the_rest);
    tcase_add_test(c, the_warmup_is_not_measured);
    tcase_add_test(c, an_open_loop_charges_a_stall_to_all_that_waited);
    tcase_add_test(c, a_consumer_asks_for_no_more_than_fits_and_is_left);
    tcase_add_test(c, a_stamped_body_tells_the_consumer_when_it_was_due);
    tcase_add_test(c, bodies_of_one_window_are_all_different);
    tcase_add_test(c, a_stopped_run_ends_although_much_is_left);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
