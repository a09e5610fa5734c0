#include "base/map.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/random.h"

enum { NAMES = 1000, STEPS = 50000, NAME_MAX_LEN = 16 };

struct thing {
    char name[NAME_MAX_LEN];
    bool held;
};

static struct thing *make_things(void)
{
    struct thing *things = calloc(NAMES, sizeof *things);
    ck_assert_ptr_nonnull(things);
    for (int i = 0; i < NAMES; i++)
        snprintf(things[i].name, sizeof things[i].name, "queue-%d", i);
    return things;
}

START_TEST(what_was_put_is_found_and_what_was_removed_is_not)
{
    struct thing *things = make_things();
    struct map m = {.seed = 42};
    struct random r;
    random_open(&r, 2);
    size_t held = 0;
    for (int step = 0; step < STEPS; step++) {
        struct thing *t = &things[random_below(&r, NAMES)];
        struct bytes key = bytes_text(t->name);
        ck_assert_ptr_eq(map_find(&m, key), t->held ? t : NULL);
        /* Phases of growing and of shrinking, so that rebuilds of every size happen. */
        bool put = random_below(&r, 10) < ((step / 10000) % 2 == 0 ? 8U : 2U);
        if (put) {
            ck_assert_ptr_eq(map_put(&m, key, t), t->held ? t : NULL);
            held += t->held ? 0 : 1;
        } else {
            ck_assert_ptr_eq(map_remove(&m, key), t->held ? t : NULL);
            held -= t->held ? 1 : 0;
        }
        t->held = put;
        ck_assert_uint_eq(map_count(&m), held);
    }
    size_t seen = 0;
    size_t at = 0;
    for (struct thing *t; (t = map_next(&m, &at)) != NULL; seen++)
        ck_assert(t->held);
    ck_assert_uint_eq(seen, held);
    map_close(&m);
    free(things);
}
END_TEST

START_TEST(iteration_is_in_order_of_insertion_for_any_seed)
{
    struct thing *things = make_things();
    for (uint64_t seed = 0; seed < 5; seed++) {
        struct map m = {.seed = seed};
        for (int i = NAMES - 1; i >= 0; i--)
            map_put(&m, bytes_text(things[i].name), &things[i]);
        for (int i = 0; i < NAMES; i += 3)
            map_remove(&m, bytes_text(things[i].name));
        size_t at = 0;
        for (int i = NAMES - 1; i >= 0; i--) {
            if (i % 3 != 0)
                ck_assert_ptr_eq(map_next(&m, &at), &things[i]);
        }
        ck_assert_ptr_null(map_next(&m, &at));
        map_close(&m);
    }
    free(things);
}
END_TEST

START_TEST(all_may_be_removed_while_going_through)
{
    struct thing *things = make_things();
    struct map m = {0};
    for (int i = 0; i < NAMES; i++)
        map_put(&m, bytes_text(things[i].name), &things[i]);
    size_t at = 0;
    int seen = 0;
    for (struct thing *t; (t = map_next(&m, &at)) != NULL; seen++)
        ck_assert_ptr_eq(map_remove(&m, bytes_text(t->name)), t);
    ck_assert_int_eq(seen, NAMES);
    ck_assert_uint_eq(map_count(&m), 0);
    map_close(&m);
    free(things);
}
END_TEST

START_TEST(a_key_put_again_is_kept_by_its_new_owner)
{
    char old_name[] = "jobs";
    char new_name[] = "jobs";
    int old_value = 0;
    int new_value = 0;
    struct map m = {0};
    map_put(&m, bytes_text(old_name), &old_value);
    ck_assert_ptr_eq(map_put(&m, bytes_text(new_name), &new_value), &old_value);
    old_name[0] = 'x'; /* the former owner's memory may be anything now */
    ck_assert_ptr_eq(map_find(&m, bytes_text("jobs")), &new_value);
    ck_assert_uint_eq(map_count(&m), 1);
    map_close(&m);
}
END_TEST

START_TEST(the_empty_key_and_keys_with_zero_bytes_are_keys_like_others)
{
    int a = 0;
    int b = 0;
    int c = 0;
    struct map m = {0};
    map_put(&m, bytes_of(NULL, 0), &a);
    map_put(&m, bytes_of("\0", 1), &b);
    map_put(&m, bytes_of("\0\0", 2), &c);
    ck_assert_ptr_eq(map_find(&m, bytes_of("", 0)), &a);
    ck_assert_ptr_eq(map_find(&m, bytes_of("\0\0", 1)), &b);
    ck_assert_ptr_eq(map_find(&m, bytes_of("\0\0", 2)), &c);
    ck_assert_ptr_null(map_find(&m, bytes_of("\0\0\0", 3)));
    map_close(&m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("map");
    TCase *c = tcase_create("map");
    tcase_add_test(c, what_was_put_is_found_and_what_was_removed_is_not);
    tcase_add_test(c, iteration_is_in_order_of_insertion_for_any_seed);
    tcase_add_test(c, all_may_be_removed_while_going_through);
    tcase_add_test(c, a_key_put_again_is_kept_by_its_new_owner);
    tcase_add_test(c, the_empty_key_and_keys_with_zero_bytes_are_keys_like_others);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
