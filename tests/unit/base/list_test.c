#include "base/list.h"

#include <check.h>
#include <stdlib.h>

struct item {
    int number;
    struct list_link link;
};

static int number_of(struct list_link *l)
{
    return l == NULL ? -1 : CONTAINER_OF(l, struct item, link)->number;
}

/* The numbers from first to last, as decimal digits; backwards the same is asserted. */
static int read(const struct list *l)
{
    int forward = 0;
    for (struct list_link *e = list_first(l); e != NULL; e = list_next(l, e))
        forward = forward * 10 + number_of(e);
    int backward = 0;
    int scale = 1;
    for (struct list_link *e = list_last(l); e != NULL; e = list_previous(l, e)) {
        backward += scale * number_of(e);
        scale *= 10;
    }
    ck_assert_int_eq(forward, backward);
    return forward;
}

START_TEST(elements_stand_where_they_were_put)
{
    struct item items[5] = {{.number = 1}, {.number = 2}, {.number = 3}, {.number = 4}, {.number = 5}};
    struct list l;
    list_init(&l);
    ck_assert(list_empty(&l));
    list_append(&l, &items[1].link);
    list_append(&l, &items[3].link);
    list_prepend(&l, &items[0].link);
    list_before(&l, &items[3].link, &items[2].link);
    list_after(&l, &items[3].link, &items[4].link);
    ck_assert_int_eq(read(&l), 12345);
    ck_assert_uint_eq(list_count(&l), 5);
}
END_TEST

START_TEST(a_removed_element_is_in_no_list_and_may_be_put_again)
{
    struct item items[3] = {{.number = 1}, {.number = 2}, {.number = 3}};
    struct list l;
    list_init(&l);
    for (int i = 0; i < 3; i++)
        list_append(&l, &items[i].link);
    list_remove(&l, &items[1].link);
    ck_assert(!list_linked(&items[1].link));
    ck_assert(list_linked(&items[0].link));
    ck_assert_int_eq(read(&l), 13);
    list_append(&l, &items[1].link);
    ck_assert_int_eq(read(&l), 132);
}
END_TEST

START_TEST(taking_goes_from_the_front_until_it_is_empty)
{
    struct item items[3] = {{.number = 1}, {.number = 2}, {.number = 3}};
    struct list l;
    list_init(&l);
    for (int i = 0; i < 3; i++)
        list_append(&l, &items[i].link);
    for (int i = 1; i <= 3; i++)
        ck_assert_int_eq(number_of(list_take(&l)), i);
    ck_assert_ptr_null(list_take(&l));
    ck_assert(list_empty(&l));
    ck_assert_ptr_null(list_first(&l));
    ck_assert_ptr_null(list_last(&l));
}
END_TEST

START_TEST(putting_an_element_twice_is_a_broken_invariant)
{
    struct item one = {.number = 1};
    struct list l;
    list_init(&l);
    list_append(&l, &one.link);
    list_append(&l, &one.link);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("list");
    TCase *c = tcase_create("list");
    tcase_add_test(c, elements_stand_where_they_were_put);
    tcase_add_test(c, a_removed_element_is_in_no_list_and_may_be_put_again);
    tcase_add_test(c, taking_goes_from_the_front_until_it_is_empty);
    tcase_add_test_raise_signal(c, putting_an_element_twice_is_a_broken_invariant, 6);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
