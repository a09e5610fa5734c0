#include "base/heap.h"

#include <check.h>
#include <stdlib.h>

#include "base/random.h"

enum { NODES = 500, STEPS = 20000, KEYS = 200 };

static const struct heap_node *smallest(const struct heap_node *nodes)
{
    const struct heap_node *best = NULL;
    for (size_t i = 0; i < NODES; i++) {
        const struct heap_node *n = &nodes[i];
        if (!heap_holds(n))
            continue;
        if (best == NULL || n->key < best->key || (n->key == best->key && n->tie < best->tie))
            best = n;
    }
    return best;
}

START_TEST(the_first_is_always_the_smallest)
{
    static struct heap_node nodes[NODES];
    struct heap h = {0};
    struct random r;
    random_open(&r, 1);
    size_t held = 0;
    for (int step = 0; step < STEPS; step++) {
        size_t which = random_below(&r, NODES);
        struct heap_node *n = &nodes[which];
        uint64_t key = random_below(&r, KEYS);
        if (!heap_holds(n)) {
            heap_put(&h, n, key, which);
            held++;
        } else if (random_below(&r, 2) == 0) {
            heap_move(&h, n, key, which);
        } else {
            heap_remove(&h, n);
            held--;
        }
        ck_assert_uint_eq(heap_count(&h), held);
        ck_assert_ptr_eq(heap_first(&h), smallest(nodes));
    }
    heap_close(&h);
    for (size_t i = 0; i < NODES; i++)
        ck_assert(!heap_holds(&nodes[i]));
}
END_TEST

START_TEST(equal_keys_come_out_by_their_ties_whatever_the_history)
{
    struct heap_node nodes[100] = {0};
    struct heap h = {0};
    for (size_t i = 0; i < 100; i++)
        heap_put(&h, &nodes[i], 7, (i * 37) % 100);
    for (uint64_t tie = 0; tie < 100; tie++)
        ck_assert_uint_eq(heap_take(&h)->tie, tie);
    ck_assert_ptr_null(heap_take(&h));
    heap_close(&h);
}
END_TEST

START_TEST(an_empty_heap_has_no_first)
{
    struct heap h = {0};
    ck_assert_ptr_null(heap_first(&h));
    ck_assert_ptr_null(heap_take(&h));
    heap_close(&h);
}
END_TEST

START_TEST(putting_a_node_twice_is_a_broken_invariant)
{
    struct heap_node n = {0};
    struct heap h = {0};
    heap_put(&h, &n, 1, 1);
    heap_put(&h, &n, 2, 2);
}
END_TEST

START_TEST(removing_a_node_of_another_heap_is_a_broken_invariant)
{
    struct heap_node a = {0};
    struct heap_node b = {0};
    struct heap one = {0};
    struct heap other = {0};
    heap_put(&one, &a, 1, 1);
    heap_put(&other, &b, 1, 1);
    heap_remove(&other, &a);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("heap");
    TCase *c = tcase_create("heap");
    tcase_add_test(c, the_first_is_always_the_smallest);
    tcase_add_test(c, equal_keys_come_out_by_their_ties_whatever_the_history);
    tcase_add_test(c, an_empty_heap_has_no_first);
    tcase_add_test_raise_signal(c, putting_a_node_twice_is_a_broken_invariant, 6);
    tcase_add_test_raise_signal(c, removing_a_node_of_another_heap_is_a_broken_invariant, 6);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
