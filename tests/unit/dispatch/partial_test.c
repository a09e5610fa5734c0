#include "dispatch/partial.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "dispatch/message.h"

static struct source_message sources[3] = {{.id = "a"}, {.id = "b"}, {.id = "c"}};
static struct message messages[3];
static bool failed[3];
static const char *why;

static enum partial read_as(const char *answer, const char *type)
{
    for (int i = 0; i < 3; i++)
        messages[i].source = &sources[i];
    memset(failed, 0, sizeof failed);
    return partial_read(bytes_text(answer), type, messages, 3, failed, &why);
}

static const struct {
    const char *answer;
    const char *type;
} well[] = {
    {"", ""},
    {" \r\n\t", "application/json"},
    {"ok", ""},
    {"ok", "text/plain"},
    {"null", "application/json"},
    {"true", "application/json"},
    {"\"done\"", "application/json"},
    {"[]", ""},
    {"\xEF\xBB\xBF{\"done\":1}", "application/json"},
    {"\xEF\xBB\xBF", "application/json"},
    {"{}", ""},
    {"{\"batchItemFailures\":[]}", ""},
    {"{\"batchItemFailures\":null}", ""},
    {"{\"other\":[{\"itemIdentifier\":\"a\"}]}", ""},
    /* Numbers and escapes that some readers can't hold, but that are JSON. */
    {"{\"n\":18446744073709551615}", ""},
    {"{\"n\":-99999999999999999999999}", ""},
    {"{\"n\":1e400}", ""},
    {"{\"s\":\"\\ud800\"}", ""},
    {"{\"s\":\"\\u0000\"}", ""},
    /* Elsewhere than in the answer's own list. */
    {"[{\"batchItemFailures\":[{\"itemIdentifier\":\"a\"}]}]", ""},
    {"{\"r\":{\"batchItemFailures\":[{\"itemIdentifier\":\"a\"}]}}", ""},
    {"{\"batchItemFailures\\u0000\":[{\"itemIdentifier\":\"a\"}]}", ""},
    /* Of a name that comes twice, the last counts. */
    {"{\"batchItemFailures\":[{\"itemIdentifier\":\"a\"}],\"batchItemFailures\":[]}", ""},
    {"{\"batchItemFailures\":7,\"batchItemFailures\":null}", ""},
};

START_TEST(answers_that_name_no_failure)
{
    ck_assert_int_eq(read_as(well[_i].answer, well[_i].type), PARTIAL_NONE_FAILED);
}
END_TEST

static const struct {
    const char *answer;
    const char *type;
} ill[] = {
    {"{\"batchItem", ""},
    {"[1,2", ""},
    {"ok", "application/json"},
    {"\xff", "application/vnd.api+json"},
    {"{\"batchItemFailures\":{}}", ""},
    {"{\"batchItemFailures\":\"a\"}", ""},
    {"{\"batchItemFailures\":true}", ""},
    {"{\"batchItemFailures\":[\"a\"]}", ""},
    {"{\"batchItemFailures\":[{}]}", ""},
    {"{\"batchItemFailures\":[{\"itemIdentifier\":\"\"}]}", ""},
    {"{\"batchItemFailures\":[{\"itemIdentifier\":null}]}", ""},
    {"{\"batchItemFailures\":[{\"itemIdentifier\":5}]}", ""},
    {"{\"batchItemFailures\":[{\"ItemIdentifier\":\"a\"}]}", ""},
    {"{\"batchItemFailures\":[{\"itemIdentifier\":\"a\"},{\"itemIdentifier\":\"d\"}]}", ""},
    {"{\"batchItemFailures\":[{\"itemIdentifier\":\"a\"},null]}", ""},
    {"{\"batchItemFailures\":[{\"itemIdentifier\":\"a\"},{\"other\":\"a\"}]}", ""},
    {"{\"batchItemFailures\":[{\"itemIdentifier\":[\"a\"]}]}", ""},
    {"{\"batchItemFailures\":[{\"itemIdentifier\":{\"itemIdentifier\":\"a\"}}]}", ""},
    {"{\"batchItemFailures\":[{\"itemIdentifier\":\"a\",\"itemIdentifier\":null}]}", ""},
    {"{\"batchItemFailures\":[[\"itemIdentifier\",\"a\"]]}", ""},
    {"{\"batchItemFailures\":[{\"itemIdentifier\":\"a\\u0000\"}]}", ""},
    {"{\"batchItemFailures\":[]}{}", ""},
    {"{\"batchItemFailures\":[]} \"open", ""},
    {"{\"batchItemFailures\":[]}\f", ""},
    {"{\"batchItemFailures\":[{\"itemIdentifier\":\"a\"}]", ""},
};

START_TEST(answers_by_which_all_failed)
{
    ck_assert_int_eq(read_as(ill[_i].answer, ill[_i].type), PARTIAL_ALL_FAILED);
    ck_assert_str_ne(why, "");
}
END_TEST

START_TEST(answers_that_name_some)
{
    ck_assert_int_eq(read_as("{\"batchItemFailures\":[{\"itemIdentifier\":\"c\"},{\"itemIdentifier\":\"a\"},"
                             "{\"itemIdentifier\":\"c\"}]}",
                             ""),
                     PARTIAL_SOME_FAILED);
    ck_assert(failed[0] && !failed[1] && failed[2]);
    ck_assert_str_eq(why, "");
    ck_assert_int_eq(read_as("{\"n\":18446744073709551615,\"s\":\"\\udfff\",\"batchItemFailures\":[{\"why\":[{}],"
                             "\"item\\u0049dentifier\":\"\\u0062\"}],\"t\":{}}",
                             ""),
                     PARTIAL_SOME_FAILED);
    ck_assert(!failed[0] && failed[1] && !failed[2]);
    ck_assert_int_eq(read_as("{\"batchItemFailures\":[{\"itemIdentifier\":\"a\"},{\"itemIdentifier\":\"b\"}],"
                             "\"batchItemFailures\":[{\"itemIdentifier\":\"a\",\"itemIdentifier\":\"c\"}]}",
                             ""),
                     PARTIAL_SOME_FAILED);
    ck_assert(!failed[0] && !failed[1] && failed[2]);
}
END_TEST

START_TEST(an_endless_list_is_refused)
{
    struct buffer text = {0};
    buffer_printf(&text, "{\"batchItemFailures\":[");
    for (int i = 0; i <= PARTIAL_ENTRIES_MAX; i++)
        buffer_printf(&text, "%s{\"itemIdentifier\":\"a\"}", i > 0 ? "," : "");
    buffer_printf(&text, "]}");
    buffer_u8(&text, 0);
    ck_assert_int_eq(read_as((const char *)text.data, ""), PARTIAL_ALL_FAILED);
    buffer_close(&text);
}
END_TEST

START_TEST(a_deep_answer_does_no_harm)
{
    static char deep[200001];
    memset(deep, '[', sizeof deep - 1);
    ck_assert_int_eq(read_as(deep, ""), PARTIAL_ALL_FAILED);
}
END_TEST

START_TEST(a_nested_answer_takes_no_memory_but_its_own)
{
    enum { ANSWER = 6 << 20, MORE_KIB_MAX = 32 << 10 };
    static const char element[3] = {'[', ']', ','};
    static char text[ANSWER + 1];
    memset(text, ' ', ANSWER);
    text[0] = '[';
    for (size_t i = 1; i + 4 < ANSWER; i += sizeof element)
        memcpy(text + i, element, sizeof element);
    text[ANSWER - 2] = '0';
    text[ANSWER - 1] = ']';
    struct rusage before;
    struct rusage after;
    getrusage(RUSAGE_SELF, &before);
    ck_assert_int_eq(read_as(text, ""), PARTIAL_NONE_FAILED);
    getrusage(RUSAGE_SELF, &after);
    ck_assert_int_lt(after.ru_maxrss - before.ru_maxrss, MORE_KIB_MAX);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("partial");
    TCase *c = tcase_create("partial");
    tcase_set_timeout(c, 300); /* against hanging for ever, not a measure */
    tcase_add_loop_test(c, answers_that_name_no_failure, 0, sizeof well / sizeof well[0]);
    tcase_add_loop_test(c, answers_by_which_all_failed, 0, sizeof ill / sizeof ill[0]);
    tcase_add_test(c, answers_that_name_some);
    tcase_add_test(c, an_endless_list_is_refused);
    tcase_add_test(c, a_deep_answer_does_no_harm);
    tcase_add_test(c, a_nested_answer_takes_no_memory_but_its_own);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int n = srunner_ntests_failed(r);
    srunner_free(r);
    return n == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
