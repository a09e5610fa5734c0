#include "consensus/membership.h"

#include <check.h>
#include <stdlib.h>

static struct membership some(void)
{
    struct membership m = {.auto_leave = true};
    for (uint64_t id = 3; id > 0; id--)
        membership_add(&m.voters, id);
    membership_add(&m.learners, 7);
    membership_add(&m.outgoing, 1);
    membership_add(&m.outgoing, 4);
    membership_add(&m.outgoing, 5);
    membership_add(&m.learners_next, 4);
    return m;
}

START_TEST(ids_are_kept_in_order_and_once)
{
    struct membership_list list = {0};
    ck_assert(membership_add(&list, 5));
    ck_assert(membership_add(&list, 2));
    ck_assert(membership_add(&list, 9));
    ck_assert(!membership_add(&list, 5));
    ck_assert(!membership_add(&list, 0));
    ck_assert_uint_eq(list.count, 3);
    ck_assert_uint_eq(list.ids[0], 2);
    ck_assert_uint_eq(list.ids[1], 5);
    ck_assert_uint_eq(list.ids[2], 9);
    ck_assert(membership_has(&list, 9));
    ck_assert(!membership_has(&list, 4));
}
END_TEST

START_TEST(a_list_is_full_at_its_limit)
{
    struct membership_list list = {0};
    for (uint64_t id = MEMBERSHIP_NODES_MAX; id > 0; id--)
        ck_assert(membership_add(&list, id));
    ck_assert(!membership_add(&list, 100));
    ck_assert(membership_has(&list, MEMBERSHIP_NODES_MAX));
}
END_TEST

START_TEST(a_membership_comes_back_from_its_bytes)
{
    struct membership m = some(), back;
    struct buffer b = {0};
    membership_encode(&m, &b);
    ck_assert_int_eq(membership_decode(buffer_view(&b), &back, NULL), ERR_OK);
    ck_assert_mem_eq(&m, &back, sizeof m);
    ck_assert(membership_joint(&back));
    for (uint64_t id = 1; id <= 8; id++)
        ck_assert_int_eq(membership_includes(&back, id), id != 6 && id != 8);
    buffer_close(&b);
}
END_TEST

START_TEST(an_empty_membership_is_valid)
{
    struct membership m = {0}, back = some();
    struct buffer b = {0};
    membership_encode(&m, &b);
    ck_assert_int_eq(membership_decode(buffer_view(&b), &back, NULL), ERR_OK);
    ck_assert_uint_eq(back.voters.count, 0);
    buffer_close(&b);
}
END_TEST

START_TEST(the_stored_form_does_not_change)
{
    struct membership m = {0};
    membership_add(&m.voters, 1);
    membership_add(&m.learners, 0x0203);
    struct buffer b = {0};
    membership_encode(&m, &b);
    const uint8_t bytes[] = {1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 3, 2, 0, 0, 0, 0, 0, 0, 0, 0};
    ck_assert_uint_eq(b.len, sizeof bytes);
    ck_assert_mem_eq(b.data, bytes, sizeof bytes);
    buffer_close(&b);
}
END_TEST

START_TEST(damaged_bytes_are_refused)
{
    struct membership m = some(), back;
    struct buffer b = {0};
    membership_encode(&m, &b);
    for (size_t len = 0; len < b.len; len++)
        ck_assert_int_eq(membership_decode(bytes_of(b.data, len), &back, NULL), ERR_CORRUPT);
    buffer_u8(&b, 0);
    ck_assert_int_eq(membership_decode(buffer_view(&b), &back, NULL), ERR_CORRUPT);
    b.len--;
    b.data[1] = 2;
    ck_assert_int_eq(membership_decode(buffer_view(&b), &back, NULL), ERR_CORRUPT);
    b.data[1] = 0;
    b.data[2] = MEMBERSHIP_NODES_MAX + 1;
    ck_assert_int_eq(membership_decode(buffer_view(&b), &back, NULL), ERR_CORRUPT);
    b.data[2] = 3;
    b.data[3] = 2; /* two nodes 2 */
    ck_assert_int_eq(membership_decode(buffer_view(&b), &back, NULL), ERR_CORRUPT);
    b.data[3] = 1;
    ck_assert_int_eq(membership_decode(buffer_view(&b), &back, NULL), ERR_OK);
    b.data[0] = 2;
    ck_assert_int_eq(membership_decode(buffer_view(&b), &back, NULL), ERR_VERSION);
    buffer_close(&b);
}
END_TEST

START_TEST(memberships_that_cannot_be_are_refused)
{
    struct membership m = some();
    ck_assert_int_eq(membership_check(&m, NULL), ERR_OK);
    m.voters.count = 0;
    ck_assert_int_eq(membership_check(&m, NULL), ERR_INVALID);
    m = some(), m.voters.count = MEMBERSHIP_NODES_MAX + 1;
    ck_assert_int_eq(membership_check(&m, NULL), ERR_INVALID);
    m = some(), m.voters.ids[0] = 9;
    ck_assert_int_eq(membership_check(&m, NULL), ERR_INVALID);
    m = some(), m.voters.ids[0] = 0;
    ck_assert_int_eq(membership_check(&m, NULL), ERR_INVALID);
    m = some(), membership_add(&m.learners, 1);
    ck_assert_int_eq(membership_check(&m, NULL), ERR_INVALID);
    m = some(), membership_add(&m.learners, 5);
    ck_assert_int_eq(membership_check(&m, NULL), ERR_INVALID);
    m = some(), membership_add(&m.learners_next, 6);
    ck_assert_int_eq(membership_check(&m, NULL), ERR_INVALID);
    m = some(), membership_add(&m.learners_next, 1);
    ck_assert_int_eq(membership_check(&m, NULL), ERR_INVALID);
    m = some(), m.outgoing.count = m.learners_next.count = 0;
    ck_assert_int_eq(membership_check(&m, NULL), ERR_INVALID);
    m.auto_leave = false;
    ck_assert_int_eq(membership_check(&m, NULL), ERR_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("membership");
    TCase *t = tcase_create("membership");
    tcase_add_test(t, ids_are_kept_in_order_and_once);
    tcase_add_test(t, a_list_is_full_at_its_limit);
    tcase_add_test(t, a_membership_comes_back_from_its_bytes);
    tcase_add_test(t, an_empty_membership_is_valid);
    tcase_add_test(t, the_stored_form_does_not_change);
    tcase_add_test(t, damaged_bytes_are_refused);
    tcase_add_test(t, memberships_that_cannot_be_are_refused);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
