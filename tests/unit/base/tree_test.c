#include "base/tree.h"

#include <check.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/random.h"

enum { KEYS = 300, STEPS = 30000 };

static int values[KEYS];

struct model {
    bool held[KEYS];
    size_t count;
};

/* The value whose key is the first held one of `key` and up (step 1) or of `key` and down (step -1). */
static void *scan(const struct model *m, int key, int step)
{
    for (; key >= 0 && key < KEYS; key += step) {
        if (m->held[key])
            return &values[key];
    }
    return NULL;
}

static void compare(const struct tree *t, const struct model *m, int key)
{
    uint64_t k = (uint64_t)key;
    uint64_t found = 0;
    ck_assert_uint_eq(tree_count(t), m->count);
    ck_assert_ptr_eq(tree_find(t, k), m->held[key] ? &values[key] : NULL);
    ck_assert_ptr_eq(tree_from(t, k, &found), scan(m, key, 1));
    if (tree_from(t, k, NULL) != NULL)
        ck_assert_ptr_eq(&values[found], scan(m, key, 1));
    ck_assert_ptr_eq(tree_after(t, k, NULL), scan(m, key + 1, 1));
    ck_assert_ptr_eq(tree_below(t, k, NULL), scan(m, key - 1, -1));
    ck_assert_ptr_eq(tree_first(t, NULL), scan(m, 0, 1));
    ck_assert_ptr_eq(tree_last(t, NULL), scan(m, KEYS - 1, -1));
}

START_TEST(every_finder_agrees_with_a_plain_array)
{
    struct model m = {0};
    struct tree t = {0};
    struct random r;
    random_open(&r, 4);
    for (int step = 0; step < STEPS; step++) {
        int key = (int)random_below(&r, KEYS);
        bool put = random_below(&r, 10) < ((step / 5000) % 2 == 0 ? 7U : 3U);
        void *expected = m.held[key] ? &values[key] : NULL;
        if (put) {
            ck_assert_ptr_eq(tree_put(&t, (uint64_t)key, &values[key]), expected);
            m.count += expected == NULL ? 1 : 0;
        } else {
            ck_assert_ptr_eq(tree_remove(&t, (uint64_t)key), expected);
            m.count -= expected == NULL ? 0 : 1;
        }
        m.held[key] = put;
        compare(&t, &m, (int)random_below(&r, KEYS));
    }
    tree_close(&t);
    ck_assert_uint_eq(tree_count(&t), 0);
    ck_assert_ptr_null(tree_first(&t, NULL));
}
END_TEST

START_TEST(the_ends_of_the_number_range_are_keys_like_others)
{
    struct tree t = {0};
    uint64_t found = 5;
    tree_put(&t, 0, &values[0]);
    tree_put(&t, UINT64_MAX, &values[1]);
    ck_assert_ptr_eq(tree_after(&t, 0, &found), &values[1]);
    ck_assert_uint_eq(found, UINT64_MAX);
    ck_assert_ptr_null(tree_after(&t, UINT64_MAX, &found));
    ck_assert_ptr_null(tree_below(&t, 0, &found));
    ck_assert_uint_eq(found, UINT64_MAX);
    ck_assert_ptr_eq(tree_from(&t, UINT64_MAX, NULL), &values[1]);
    tree_close(&t);
}
END_TEST

START_TEST(a_value_put_again_replaces_the_one_before)
{
    struct tree t = {0};
    ck_assert_ptr_null(tree_put(&t, 9, &values[0]));
    ck_assert_ptr_eq(tree_put(&t, 9, &values[1]), &values[0]);
    ck_assert_ptr_eq(tree_find(&t, 9), &values[1]);
    ck_assert_uint_eq(tree_count(&t), 1);
    tree_close(&t);
}
END_TEST

START_TEST(a_million_ascending_keys_go_in_and_come_out_in_order)
{
    struct tree t = {0};
    for (uint64_t i = 0; i < 1000000; i++)
        tree_put(&t, i, &values[i % KEYS]);
    uint64_t expected = 0;
    uint64_t found = 0;
    for (void *v; (v = tree_first(&t, &found)) != NULL; expected++) {
        ck_assert_uint_eq(found, expected);
        ck_assert_ptr_eq(tree_remove(&t, found), v);
    }
    ck_assert_uint_eq(expected, 1000000);
    tree_close(&t);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tree");
    TCase *c = tcase_create("tree");
    tcase_set_timeout(c, 0);
    tcase_add_test(c, every_finder_agrees_with_a_plain_array);
    tcase_add_test(c, the_ends_of_the_number_range_are_keys_like_others);
    tcase_add_test(c, a_value_put_again_replaces_the_one_before);
    tcase_add_test(c, a_million_ascending_keys_go_in_and_come_out_in_order);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
