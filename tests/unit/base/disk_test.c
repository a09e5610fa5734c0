#include "base/disk.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

START_TEST(an_operation_without_space_may_be_refused)
{
    struct error e;
    ck_assert_int_eq(disk_error(&e, ENOSPC, "write", "a/file"), ERR_STORAGE_FULL);
    ck_assert_int_eq(disk_error(&e, EDQUOT, "allocate", "a/file"), ERR_STORAGE_FULL);
    ck_assert_int_eq(e.code, ERR_STORAGE_FULL);
    ck_assert_ptr_nonnull(strstr(e.message, "allocate a/file"));
}
END_TEST

START_TEST(a_sync_without_space_is_no_refusal)
{
    struct error e;
    ck_assert_int_eq(disk_sync_error(&e, ENOSPC, "sync", "a/file"), ERR_IO);
    ck_assert_int_eq(disk_sync_error(&e, EDQUOT, "sync", "a/file"), ERR_IO);
    ck_assert_int_eq(e.code, ERR_IO);
    ck_assert_ptr_nonnull(strstr(e.message, "sync a/file: "));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("disk");
    TCase *t = tcase_create("errors");
    tcase_add_test(t, an_operation_without_space_may_be_refused);
    tcase_add_test(t, a_sync_without_space_is_no_refusal);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
