#include "base/clock.h"

#include <check.h>
#include <stdlib.h>
#include <time.h>

/* Not time(): that may be of some milliseconds ago. */
static uint64_t system_ms(void)
{
    struct timespec t;
    ck_assert_int_eq(clock_gettime(CLOCK_REALTIME, &t), 0);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

START_TEST(the_wall_clock_is_the_systems)
{
    struct clock c = clock_real();
    uint64_t before = system_ms();
    uint64_t now = clock_now_ms(&c);
    uint64_t after = system_ms();
    ck_assert_uint_le(before, now);
    ck_assert_uint_le(now, after);
}
END_TEST

START_TEST(the_monotonic_clock_never_goes_back)
{
    struct clock c = clock_real();
    uint64_t last = clock_monotonic_ns(&c);
    for (int i = 0; i < 10000; i++) {
        uint64_t now = clock_monotonic_ns(&c);
        ck_assert_uint_ge(now, last);
        last = now;
    }
    ck_assert_uint_ge(clock_monotonic_ms(&c), last / 1000000);
}
END_TEST

static uint64_t context_value(void *context)
{
    return *(uint64_t *)context;
}

START_TEST(a_clock_of_ones_own_is_asked_with_its_context)
{
    uint64_t time = 5000000;
    struct clock c = {context_value, context_value, &time};
    ck_assert_uint_eq(clock_now_ms(&c), 5000000);
    ck_assert_uint_eq(clock_monotonic_ms(&c), 5);
    time = 7;
    ck_assert_uint_eq(clock_monotonic_ns(&c), 7);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("clock");
    TCase *c = tcase_create("clock");
    tcase_add_test(c, the_wall_clock_is_the_systems);
    tcase_add_test(c, the_monotonic_clock_never_goes_back);
    tcase_add_test(c, a_clock_of_ones_own_is_asked_with_its_context);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
