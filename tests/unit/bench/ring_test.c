#include "bench/ring.h"

#include <check.h>
#include <signal.h>
#include <stdlib.h>

START_TEST(items_come_out_in_the_order_they_were_put_in)
{
    struct ring r;
    ring_open(&r, 100);
    uint32_t put = 0, taken = 0;
    for (int round = 0; round < 1000; round++) {
        for (int i = 0; i < 1 + round % 90; i++)
            ring_put(&r, put++);
        while (taken < put) {
            ck_assert_uint_eq(ring_first(&r), taken);
            ck_assert_uint_eq(ring_take(&r), taken++);
        }
        ck_assert_uint_eq(ring_count(&r), 0);
    }
    ring_close(&r);
}
END_TEST

START_TEST(a_ring_survives_the_wrap_of_its_counters)
{
    struct ring r;
    ring_open(&r, 4);
    r.head = r.tail = UINT32_MAX - 1;
    for (uint32_t i = 0; i < 4; i++)
        ring_put(&r, i);
    ck_assert_uint_eq(ring_count(&r), 4);
    for (uint32_t i = 0; i < 4; i++)
        ck_assert_uint_eq(ring_take(&r), i);
    ring_close(&r);
}
END_TEST

START_TEST(one_too_many_is_a_broken_invariant)
{
    struct ring r;
    ring_open(&r, 4);
    for (uint32_t i = 0; i < 5; i++)
        ring_put(&r, i);
}
END_TEST

START_TEST(taking_from_an_empty_ring_is_a_broken_invariant)
{
    struct ring r;
    ring_open(&r, 4);
    ring_take(&r);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ring");
    TCase *c = tcase_create("ring");
    tcase_add_test(c, items_come_out_in_the_order_they_were_put_in);
    tcase_add_test(c, a_ring_survives_the_wrap_of_its_counters);
    tcase_add_test_raise_signal(c, one_too_many_is_a_broken_invariant, SIGABRT);
    tcase_add_test_raise_signal(c, taking_from_an_empty_ring_is_a_broken_invariant, SIGABRT);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
