#include "base/error.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

START_TEST(an_error_has_code_field_and_sentence)
{
    struct error e;
    ck_assert_int_eq(error_field(&e, ERR_INVALID, "name", "%d is too long", 81), ERR_INVALID);
    ck_assert_int_eq(e.code, ERR_INVALID);
    ck_assert_str_eq(e.field, "name");
    ck_assert_str_eq(e.message, "81 is too long");
    ck_assert_int_eq(error_set(&e, ERR_IO, "disk gone"), ERR_IO);
    ck_assert_str_eq(e.field, "");
}
END_TEST

START_TEST(nobody_need_listen)
{
    ck_assert_int_eq(error_set(NULL, ERR_IO, "x"), ERR_IO);
    ck_assert_int_eq(error_field(NULL, ERR_LIMIT, "f", "x"), ERR_LIMIT);
    ck_assert_int_ne(error_wrap(NULL, "x"), ERR_OK);
}
END_TEST

START_TEST(a_wrapped_error_keeps_its_code_and_all_that_fits)
{
    struct error e;
    char inner[ERROR_MESSAGE_MAX];
    memset(inner, 'i', sizeof inner - 1);
    inner[sizeof inner - 1] = '\0';
    error_field(&e, ERR_CORRUPT, "file", "%s", inner);
    ck_assert_int_eq(error_wrap(&e, "segment %d", 7), ERR_CORRUPT);
    ck_assert_str_eq(e.field, "file");
    ck_assert_int_eq(strncmp(e.message, "segment 7: iii", 14), 0);
    ck_assert_uint_eq(strlen(e.message), ERROR_MESSAGE_MAX - 1);
}
END_TEST

START_TEST(texts_too_long_are_cut)
{
    struct error e;
    char large[2 * ERROR_MESSAGE_MAX];
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    error_field(&e, ERR_INVALID, large, "%s", large);
    ck_assert_uint_eq(strlen(e.field), ERROR_FIELD_MAX - 1);
    ck_assert_uint_eq(strlen(e.message), ERROR_MESSAGE_MAX - 1);
    error_wrap(&e, "%s", large);
    ck_assert_uint_eq(strlen(e.message), ERROR_MESSAGE_MAX - 1);
}
END_TEST

START_TEST(every_code_has_a_name_of_its_own_and_others_have_none)
{
    for (int a = 0; a < ERR_CODE_MAX; a++) {
        ck_assert_str_ne(error_code_name(a), "unknown");
        for (int b = 0; b < a; b++)
            ck_assert_str_ne(error_code_name(a), error_code_name(b));
    }
    ck_assert_str_eq(error_code_name(ERR_RECEIPT_STALE), "receipt_stale");
    ck_assert_str_eq(error_code_name(ERR_NO_MEMORY), "no_memory");
    ck_assert_str_eq(error_code_name(-1), "unknown");
    ck_assert_str_eq(error_code_name(ERR_CODE_MAX), "unknown");
}
END_TEST

START_TEST(only_what_may_pass_by_itself_is_retryable)
{
    static const int passing[] = {ERR_LIMIT,   ERR_OVERLOADED,      ERR_STORAGE_FULL, ERR_NOT_LEADER,
                                  ERR_TIMEOUT, ERR_UNKNOWN_OUTCOME, ERR_CLOSED};
    size_t seen = 0;
    for (int code = 0; code < ERR_CODE_MAX; code++) {
        int listed = 0;
        for (size_t i = 0; i < sizeof passing / sizeof passing[0]; i++)
            listed |= passing[i] == code;
        ck_assert_int_eq(error_retryable(code) != 0, listed);
        seen += listed ? 1 : 0;
    }
    ck_assert_uint_eq(seen, sizeof passing / sizeof passing[0]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("error");
    TCase *c = tcase_create("error");
    tcase_add_test(c, an_error_has_code_field_and_sentence);
    tcase_add_test(c, nobody_need_listen);
    tcase_add_test(c, a_wrapped_error_keeps_its_code_and_all_that_fits);
    tcase_add_test(c, texts_too_long_are_cut);
    tcase_add_test(c, every_code_has_a_name_of_its_own_and_others_have_none);
    tcase_add_test(c, only_what_may_pass_by_itself_is_retryable);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
