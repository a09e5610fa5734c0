#include "bench/tags.h"

#include <check.h>
#include <stdlib.h>

enum { ROOM = 8 };

static uint32_t add(struct tags *t, uint32_t count)
{
    uint32_t added = 0;
    while (added < count && tags_add(t, (uint32_t)t->last))
        added++;
    return added;
}

/* As a confirm of all up to the tag: how many slots came of it. */
static uint32_t confirm_up_to(struct tags *t, uint64_t tag)
{
    uint32_t count = 0, slot;
    for (uint64_t at = t->confirmed + 1; at <= tag; at++)
        count += tags_confirm(t, at, &slot);
    return count;
}

START_TEST(a_confirm_of_all_up_to_a_tag_leaves_the_later_ones)
{
    struct tags t;
    uint32_t slot = 0;
    tags_open(&t, ROOM);
    for (uint64_t tag = 1; tag <= 10 * ROOM; tag++) { /* one by one, many times the room */
        ck_assert_uint_eq(add(&t, 1), 1);
        ck_assert(tags_confirm(&t, tag, &slot));
        ck_assert_uint_eq(slot, tag - 1);
    }
    ck_assert_uint_eq(add(&t, ROOM), ROOM);
    ck_assert_uint_eq(confirm_up_to(&t, 10 * ROOM + 3), 3);
    ck_assert_uint_eq(t.last - t.confirmed, ROOM - 3);
    tags_close(&t);
}
END_TEST

START_TEST(tags_are_confirmed_once_in_any_order)
{
    struct tags t;
    uint32_t slot = 0;
    tags_open(&t, ROOM);
    add(&t, 4);
    ck_assert(tags_confirm(&t, 3, &slot));
    ck_assert_uint_eq(slot, 2);
    ck_assert(!tags_confirm(&t, 3, &slot));
    ck_assert(tags_confirm(&t, 1, &slot));
    ck_assert(!tags_confirm(&t, 1, &slot));
    ck_assert(!tags_confirm(&t, 5, &slot));
    ck_assert_uint_eq(confirm_up_to(&t, 4), 2);
    ck_assert_uint_eq(t.confirmed, 4);
    tags_close(&t);
}
END_TEST

START_TEST(a_tag_that_is_not_confirmed_keeps_its_room)
{
    struct tags t;
    uint32_t slot = 0;
    tags_open(&t, ROOM);
    ck_assert_uint_eq(add(&t, ROOM + 1), ROOM);
    for (uint64_t tag = 2; tag <= ROOM; tag++)
        ck_assert(tags_confirm(&t, tag, &slot));
    ck_assert_uint_eq(add(&t, 1), 0);
    ck_assert(tags_confirm(&t, 1, &slot));
    ck_assert_uint_eq(slot, 0);
    ck_assert_uint_eq(add(&t, ROOM + 1), ROOM);
    tags_close(&t);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tags");
    TCase *c = tcase_create("tags");
    tcase_add_test(c, a_confirm_of_all_up_to_a_tag_leaves_the_later_ones);
    tcase_add_test(c, tags_are_confirmed_once_in_any_order);
    tcase_add_test(c, a_tag_that_is_not_confirmed_keeps_its_room);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
