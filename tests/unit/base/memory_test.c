#include "base/memory.h"

#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

START_TEST(nothing_is_something_that_can_be_freed)
{
    void *a = memory_alloc(0);
    void *b = memory_zero(0, 0);
    ck_assert_ptr_nonnull(a);
    ck_assert_ptr_nonnull(b);
    memory_free(a);
    memory_free(b);
    memory_free(NULL);
}
END_TEST

START_TEST(growing_keeps_what_was_there)
{
    char *p = memory_string("hello world", 5);
    ck_assert_str_eq(p, "hello");
    p = memory_grow(p, 1000, 10);
    ck_assert_str_eq(p, "hello");
    memory_free(p);
    uint64_t *z = memory_zero(1000, sizeof *z);
    for (int i = 0; i < 1000; i++)
        ck_assert_uint_eq(z[i], 0);
    memory_free(z);
}
END_TEST

START_TEST(a_product_that_overflows_stops_the_process)
{
    memory_free(memory_zero(SIZE_MAX / 2, 4));
}
END_TEST

START_TEST(growing_to_a_product_that_overflows_stops_the_process)
{
    memory_free(memory_grow(NULL, SIZE_MAX / 2, 4));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("memory");
    TCase *c = tcase_create("memory");
    tcase_add_test(c, nothing_is_something_that_can_be_freed);
    tcase_add_test(c, growing_keeps_what_was_there);
    tcase_add_test_raise_signal(c, a_product_that_overflows_stops_the_process, 6);
    tcase_add_test_raise_signal(c, growing_to_a_product_that_overflows_stops_the_process, 6);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
