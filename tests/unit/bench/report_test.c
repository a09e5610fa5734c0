#include "bench/report.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static char *printed(const struct report *r, bool json)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    ck_assert_ptr_nonnull(out);
    report_print(r, json, out);
    fclose(out);
    return text;
}

START_TEST(values_are_one_object_in_json)
{
    struct report r = {0};
    report_number(&r, "messages", REPORT_COUNT, 3);
    report_number(&r, "rate", REPORT_PER_SECOND, 1.5);
    char *text = printed(&r, true);
    ck_assert_str_eq(text, "{\"messages\": 3, \"rate\": 1.5}\n");
    free(text);
}
END_TEST

START_TEST(a_command_that_prints_by_itself_leaves_nothing_to_be_printed)
{
    struct report r = {0};
    char *text = printed(&r, true);
    ck_assert_str_eq(text, "");
    free(text);
    text = printed(&r, false);
    ck_assert_str_eq(text, "");
    free(text);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("report");
    TCase *c = tcase_create("report");
    tcase_add_test(c, values_are_one_object_in_json);
    tcase_add_test(c, a_command_that_prints_by_itself_leaves_nothing_to_be_printed);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
