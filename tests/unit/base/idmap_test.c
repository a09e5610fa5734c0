#include "base/idmap.h"

#include <check.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/random.h"

enum { IDS = 1000, STEPS = 50000 };

START_TEST(what_was_put_is_found_and_what_was_removed_is_not)
{
    static bool held[IDS];
    static int values[IDS];
    struct idmap m = {.seed = 7};
    struct random r;
    random_open(&r, 3);
    size_t count = 0;
    for (int step = 0; step < STEPS; step++) {
        size_t i = random_below(&r, IDS);
        uint64_t key = i << 32; /* low bits all zero: the hash must mix */
        ck_assert_ptr_eq(idmap_find(&m, key), held[i] ? &values[i] : NULL);
        bool put = random_below(&r, 10) < ((step / 10000) % 2 == 0 ? 8U : 2U);
        void *before = put ? idmap_put(&m, key, &values[i]) : idmap_remove(&m, key);
        ck_assert_ptr_eq(before, held[i] ? &values[i] : NULL);
        count = count + (put ? 1 : 0) - (held[i] ? 1 : 0);
        held[i] = put;
        ck_assert_uint_eq(idmap_count(&m), count);
    }
    size_t seen = 0;
    size_t at = 0;
    uint64_t key = 0;
    for (int *v; (v = idmap_next(&m, &at, &key)) != NULL; seen++) {
        ck_assert(held[key >> 32]);
        ck_assert_ptr_eq(v, &values[key >> 32]);
    }
    ck_assert_uint_eq(seen, count);
    idmap_close(&m);
}
END_TEST

START_TEST(iteration_is_in_order_of_insertion_and_survives_removal)
{
    static int values[IDS];
    struct idmap m = {0};
    for (uint64_t i = 0; i < IDS; i++)
        idmap_put(&m, UINT64_MAX - i * i, &values[i]);
    size_t at = 0;
    for (uint64_t i = 0; i < IDS; i++) {
        uint64_t key = 0;
        ck_assert_ptr_eq(idmap_next(&m, &at, &key), &values[i]);
        ck_assert_uint_eq(key, UINT64_MAX - i * i);
        idmap_remove(&m, key);
    }
    ck_assert_ptr_null(idmap_next(&m, &at, NULL));
    ck_assert_uint_eq(idmap_count(&m), 0);
    idmap_close(&m);
}
END_TEST

START_TEST(memory_is_given_back_when_the_map_empties)
{
    static int value;
    struct idmap m = {0};
    for (uint64_t i = 0; i < 100000; i++)
        idmap_put(&m, i, &value);
    for (uint64_t i = 0; i < 100000; i++)
        idmap_remove(&m, i);
    ck_assert_uint_eq(m.capacity, 0);
    idmap_put(&m, 1, &value);
    ck_assert_ptr_eq(idmap_find(&m, 1), &value);
    idmap_close(&m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("idmap");
    TCase *c = tcase_create("idmap");
    tcase_add_test(c, what_was_put_is_found_and_what_was_removed_is_not);
    tcase_add_test(c, iteration_is_in_order_of_insertion_and_survives_removal);
    tcase_add_test(c, memory_is_given_back_when_the_map_empties);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
