#include "net/files.h"

#include <check.h>
#include <stdlib.h>

START_TEST(the_log_and_the_store_keep_their_part)
{
    struct files_share share;
    files_share_out(20000, &share);
    ck_assert_uint_eq(share.native + share.http, 20000 - FILES_RESERVE);
    ck_assert_uint_ge(share.native, 10000);
    ck_assert_uint_gt(share.http, 0);
}
END_TEST

START_TEST(of_few_files_half_are_kept)
{
    struct files_share share;
    files_share_out(256, &share);
    ck_assert_uint_eq(share.native + share.http, 128);
}
END_TEST

START_TEST(there_is_room_for_one_connection_and_never_for_all_there_could_be)
{
    struct files_share share;
    files_share_out(0, &share);
    ck_assert_uint_eq(share.native, 1);
    ck_assert_uint_eq(share.http, 1);
    files_share_out(UINT64_MAX, &share);
    ck_assert_uint_eq(share.native, FILES_CONNECTIONS_MAX);
    ck_assert_uint_eq(share.http, FILES_CONNECTIONS_MAX);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("files");
    TCase *t = tcase_create("files");
    tcase_add_test(t, the_log_and_the_store_keep_their_part);
    tcase_add_test(t, of_few_files_half_are_kept);
    tcase_add_test(t, there_is_room_for_one_connection_and_never_for_all_there_could_be);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
