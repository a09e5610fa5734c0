#include "dispatch/dispatcher.h"

#include "dispatch/fixture.h"

/* ------------------------------------------------------------------ partial failures */

START_TEST(only_the_messages_named_as_failed_come_back)
{
    struct fixture f;
    fixture_open(&f, answer_first_as_told);
    f.body = "{\"batchItemFailures\":[{\"itemIdentifier\":\"message-3\"},{\"itemIdentifier\":\"message-1\"}]}";
    fixture_start(&f);
    fixture_fill(&f, 5, "");
    RUN_UNTIL(&f, f.source->acked == 5);
    for (uint32_t i = 0; i < 5; i++)
        ck_assert_uint_eq(f.source->messages[i].failures, i == 0 || i == 2 ? 1 : 0);
    ck_assert_str_eq(f.source->messages[0].error, "named in batchItemFailures");
    fixture_close(&f);
}
END_TEST

START_TEST(a_partial_answer_that_names_a_stranger_fails_the_whole_batch)
{
    struct fixture f;
    fixture_open(&f, answer_first_as_told);
    f.body = "{\"batchItemFailures\":[{\"itemIdentifier\":\"message-1\"},{\"itemIdentifier\":\"message-99\"}]}";
    fixture_start(&f);
    fixture_fill(&f, 5, "");
    RUN_UNTIL(&f, f.source->acked == 5);
    for (uint32_t i = 0; i < 5; i++)
        ck_assert_uint_eq(f.source->messages[i].failures, 1);
    fixture_close(&f);
}
END_TEST

START_TEST(on_a_fifo_queue_what_follows_a_failure_in_its_group_goes_back_uncounted)
{
    struct fixture f;
    fixture_open(&f, answer_first_as_told);
    f.source->fifo = true;
    f.body = "{\"batchItemFailures\":[{\"itemIdentifier\":\"message-3\"}]}";
    fake_put(f.source, QUEUE, "a", "0");
    fake_put(f.source, QUEUE, "b", "1");
    fake_put(f.source, QUEUE, "a", "2");
    fake_put(f.source, QUEUE, "b", "3");
    fake_put(f.source, QUEUE, "a", "4");
    fixture_start(&f);
    RUN_UNTIL(&f, f.source->acked == 5);
    ck_assert_uint_eq(f.source->messages[2].failures, 1);
    ck_assert_uint_eq(f.source->messages[2].receive_count, 2);
    ck_assert_uint_eq(f.source->messages[4].failures, 0);
    ck_assert_uint_eq(f.source->messages[4].returns, 1);
    ck_assert_uint_eq(f.source->messages[4].receive_count, 1);
    ck_assert_uint_eq(f.source->messages[4].delay_ms, f.source->messages[2].delay_ms);
    for (uint32_t i = 0; i < 4; i++)
        ck_assert_uint_eq(f.source->messages[i].failures, i == 2 ? 1 : 0);
    fixture_close(&f);
}
END_TEST

START_TEST(a_fifo_queue_gives_single_messages_of_a_group_one_after_another)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    f.source->fifo = true;
    f.function.format = HATO__FORMAT__RAW;
    fixture_start(&f);
    fixture_fill(&f, 30, "one");
    RUN_UNTIL(&f, f.source->acked == 30);
    ck_assert_uint_eq(f.source->max_out, 1);
    for (uint32_t i = 0; i < 30; i++)
        ck_assert_uint_eq(f.source->order[i], i);
    fixture_close(&f);
}
END_TEST

/* ------------------------------------------------------------------ the emulator of AWS */

static const char emulator_path[] = "/2015-03-31/functions/function/invocations";

static const struct {
    const char *headers;
    const char *body;
    const char *path;
    bool fails;
} lambda_answers[] = {
    {"", "{\"errorMessage\":\"no\",\"errorType\":\"ValueError\"}", emulator_path, true},
    {"", "{\"errorType\":\"ValueError\",\"errorMessage\":\"no\"}", emulator_path, true},
    {"", "Task timed out after 3.00 seconds", emulator_path, true},
    {"", "", emulator_path, true},
    {"", "null", emulator_path, false},
    {"", "{\"ok\":true}", emulator_path, false},
    {"", "", "/", false},
    {"", "ok", "/", false},
    {"", "{\"errorType\":\"ValueError\"}", "/", false},
    {"X-Amz-Function-Error: Unhandled\r\n", "{}", "/", true},
    {"Content-Type: application/json\r\n", "{\"batch", "/", true},
    {"", "{\"batchItemFailures\":[]}", "/", false},
    {"", "{\"batchItemFailures\":null}", "/", false},
};

START_TEST(a_lambda_says_by_header_or_body_that_it_failed)
{
    struct fixture f;
    fixture_open(&f, answer_first_as_told);
    f.path = lambda_answers[_i].path;
    f.headers = lambda_answers[_i].headers;
    f.body = lambda_answers[_i].body;
    fixture_start(&f);
    fixture_fill(&f, 2, "");
    if (lambda_answers[_i].fails)
        f.web.answer = answer_first_as_told;
    struct fake_message *m = &f.source->messages[0];
    /* The emulator answers with an empty body only when it died: later answers of this server are of that kind. */
    RUN_UNTIL(&f, m->failures > 0 || m->acks > 0);
    ck_assert_uint_eq(m->failures, lambda_answers[_i].fails ? 1 : 0);
    fixture_close(&f);
}
END_TEST

START_TEST(the_emulator_gets_one_request_at_a_time)
{
    struct fixture f;
    fixture_open(&f, answer_slowly);
    f.path = emulator_path;
    fixture_start(&f);
    fixture_fill(&f, 60, "");
    RUN_UNTIL(&f, f.source->acked == 60);
    ck_assert_uint_eq(f.web.at_once_max, 1);
    fixture_close(&f);
}
END_TEST

static void add(TCase *c)
{
    tcase_add_test(c, only_the_messages_named_as_failed_come_back);
    tcase_add_test(c, a_partial_answer_that_names_a_stranger_fails_the_whole_batch);
    tcase_add_test(c, on_a_fifo_queue_what_follows_a_failure_in_its_group_goes_back_uncounted);
    tcase_add_test(c, a_fifo_queue_gives_single_messages_of_a_group_one_after_another);
    tcase_add_loop_test(c, a_lambda_says_by_header_or_body_that_it_failed, 0,
                        sizeof lambda_answers / sizeof lambda_answers[0]);
    tcase_add_test(c, the_emulator_gets_one_request_at_a_time);
}

int main(void)
{
    return fixture_main("lambda", add);
}
