/* The command line as a whole: output, errors, what it ends with. */
#include "client/command_double.h"

START_TEST(every_command_has_help_with_an_example)
{
    for (size_t t = 0; command_tables[t] != NULL; t++) {
        for (const struct command *c = command_tables[t]; c->name != NULL; c++) {
            char name[64];
            snprintf(name, sizeof name, "%s", c->name);
            char *space = strchr(name, ' ');
            if (space != NULL)
                *space = '\0';
            int code = space != NULL ? RUN(name, space + 1, "--help") : RUN(name, "--help");
            ck_assert_int_eq(code, EXIT_DONE);
            ck_assert_ptr_nonnull(strstr(out, c->summary));
            ck_assert_ptr_nonnull(strstr(out, "Example:\n  "));
            ck_assert_ptr_nonnull(strstr(out, "--json"));
            ck_assert_ptr_nonnull(strstr(out, "Exit codes: 0 done"));
        }
    }
}
END_TEST

START_TEST(sent_messages_are_told_by_id)
{
    ck_assert_int_eq(RUN("send", "jobs", "hello", "again"), EXIT_DONE);
    ck_assert_str_eq(out, "m1\nm2\n");
    ck_assert_int_eq(RUN("send", "jobs", "hello", "--json"), EXIT_DONE);
    ck_assert_str_eq(out, "[{\"message_id\":\"m1\",\"sequence\":1,\"duplicate\":false,\"code\":\"ok\"}]\n");
}
END_TEST

START_TEST(lines_are_sent_each_and_counted)
{
    ck_assert_int_eq(RUN_INPUT("one\ntwo\r\n\nlast without end", "send", "jobs", "--lines", "--window", "2", "--json"),
                     EXIT_DONE);
    ck_assert_ptr_nonnull(strstr(out, "{\"sent\":4,\"duplicates\":0,\"failed\":0,\"in_doubt\":0,\"bytes\":"));
}
END_TEST

START_TEST(lines_stop_at_one_that_is_refused_and_name_it)
{
    ck_assert_int_eq(RUN_INPUT("one\nrefuse\nthree\n", "send", "jobs", "--lines", "--window", "1"), EXIT_PARTLY);
    ck_assert_ptr_nonnull(strstr(err, "line 2: the queue is full"));
    ck_assert_ptr_nonnull(strstr(out, "sent 1 messages"));
}
END_TEST

START_TEST(lines_that_were_not_stored_are_all_told)
{
    ck_assert_int_eq(
        RUN_INPUT("refuse\nrefuse\nrefuse\nfour\nrefuse\nsix\nrefuse\nrefuse\n", "send", "jobs", "--lines"),
        EXIT_PARTLY);
    ck_assert_msg(strstr(err, "6 lines were not stored: 1-3, 5, 7-8; reading stopped after line 8\n") != NULL, "%s",
                  err);
    ck_assert_int_eq(RUN_INPUT("refuse\ntwo\nrefuse\nrefuse\n", "send", "jobs", "--lines", "--json"), EXIT_PARTLY);
    ck_assert_msg(strstr(out, "{\"sent\":1,\"duplicates\":0,\"failed\":3,\"in_doubt\":0,\"bytes\":3,") == out, "%s",
                  out);
    ck_assert_msg(strstr(out, ",\"failed_lines\":[[1,1],[3,4]]}") != NULL, "%s", out);
}
END_TEST

START_TEST(a_line_that_is_refused_ends_the_sending_though_the_input_goes_on)
{
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(write(ends[1], "one\nrefuse\n", 11), 11);
    ck_assert_int_eq(RUN_FROM(ends[0], "send", "jobs", "--lines"), EXIT_PARTLY); /* the other end is open */
    ck_assert_ptr_nonnull(strstr(err, "line 2: the queue is full"));
    ck_assert_ptr_nonnull(strstr(out, "sent 1 messages"));
    close(ends[1]);
}
END_TEST

START_TEST(input_that_can_not_be_read_to_its_end_ends_with_six)
{
    const char *const commands[] = {"ack", "nack", "cancel"};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        ck_assert_int_eq(RUN_FROM(broken_input("AAAA\nAA"), commands[i], "jobs", "-"), EXIT_LOCAL);
        ck_assert_str_eq(out, "");
        ck_assert_ptr_nonnull(strstr(err, "cannot read standard input: Connection reset by peer; nothing was changed"));
    }
    ck_assert_int_eq(RUN_FROM(broken_input(""), "extend", "jobs", "-", "--visibility", "1m", "--json"), EXIT_LOCAL);
    ck_assert_str_eq(out, "");
    ck_assert_ptr_nonnull(strstr(err, "\"code\":\"local\""));
    ck_assert_int_eq(RUN_FROM(broken_input("half"), "send", "jobs", "-"), EXIT_LOCAL);
    ck_assert_str_eq(out, "");
    ck_assert_int_eq(RUN_FROM(broken_input("one\ntw"), "send", "jobs", "--lines"), EXIT_LOCAL);
    ck_assert_ptr_nonnull(strstr(err, "cannot read standard input: Connection reset by peer"));
    ck_assert_msg(strstr(out, "sent 1 messages (3B)") != NULL, "half a line was sent: %s", out);
}
END_TEST

START_TEST(a_refusal_ends_with_one_and_says_why)
{
    ck_assert_int_eq(RUN("send", "nowhere", "x"), EXIT_REFUSED);
    ck_assert_str_eq(err, "hato: no queue named nowhere\n");
    ck_assert_int_eq(RUN("send", "nowhere", "x", "--json"), EXIT_REFUSED);
    ck_assert_str_eq(
        err, "{\"error\":{\"code\":\"not_found\",\"field\":\"queue\",\"message\":\"no queue named nowhere\"}}\n");
    ck_assert_str_eq(out, "");
}
END_TEST

START_TEST(some_of_several_refused_ends_with_five)
{
    ck_assert_int_eq(RUN("send", "jobs", "x", "refuse"), EXIT_PARTLY);
    ck_assert_str_eq(out, "m1\n");
    ck_assert_str_eq(err, "hato: message 2: the queue is full\n");
    ck_assert_int_eq(RUN("ack", "jobs", "AAAA", "BBBB"), EXIT_PARTLY);
    ck_assert_str_eq(out, "acked 1\n");
    ck_assert_str_eq(err,
                     "hato: BBBB: the lease behind the receipt is over; the message may have been given to another\n");
}
END_TEST

START_TEST(nothing_to_reach_ends_with_three_and_says_what_to_do)
{
    stop_broker();
    ck_assert_int_eq(RUN("status"), EXIT_UNREACHABLE);
    char expected[200];
    snprintf(expected, sizeof expected,
             "hato: cannot reach %s: connection refused; start one with: hatod --data ./data", server);
    ck_assert_msg(strncmp(err, expected, strlen(expected)) == 0, "%s", err);
}
END_TEST

START_TEST(no_answer_in_time_ends_with_four)
{
    ck_assert_int_eq(RUN("ping", "--deadline", "2s"), EXIT_UNKNOWN);
    ck_assert_ptr_nonnull(strstr(err, "no answer within 2000 ms"));
}
END_TEST

START_TEST(wrong_use_ends_with_two_and_points_to_the_help)
{
    ck_assert_int_eq(RUN("send", "jobs", "x", "--delay", "5"), EXIT_USAGE);
    ck_assert_ptr_nonnull(strstr(err, "--delay"));
    ck_assert_ptr_nonnull(strstr(err, "hato send --help"));
    ck_assert_int_eq(RUN("send"), EXIT_USAGE);
    ck_assert_int_eq(RUN("send", "jobs"), EXIT_USAGE);
    ck_assert_int_eq(RUN("nonsense"), EXIT_USAGE);
    ck_assert_int_eq(RUN("queue"), EXIT_USAGE);
    ck_assert_int_eq(RUN("queue", "show"), EXIT_USAGE);
    ck_assert_int_eq(RUN("queue", "show", "a", "b"), EXIT_USAGE);
    ck_assert_int_eq(RUN("ack", "jobs", "not*base64"), EXIT_USAGE);
    ck_assert_int_eq(RUN("extend", "jobs", "AAAA"), EXIT_USAGE);
    ck_assert_int_eq(RUN("send", "jobs", "a", "b", "--dedup", "d"), EXIT_USAGE);
    ck_assert_int_eq(RUN("send", "jobs", "a", "--attr", "novalue"), EXIT_USAGE);
    ck_assert_int_eq(RUN("send", "jobs", "a", "--attr", "a:colour=red"), EXIT_USAGE);
    ck_assert_int_eq(RUN("status", "--server", "host:port"), EXIT_USAGE);
    ck_assert_int_eq(RUN("top"), EXIT_USAGE);
}
END_TEST

START_TEST(with_json_wrong_use_is_told_in_json)
{
    ck_assert_int_eq(RUN("bogus", "--json"), EXIT_USAGE);
    ck_assert_str_eq(out, "");
    ck_assert_str_eq(err, "{\"error\":{\"code\":\"usage\",\"field\":\"\","
                          "\"message\":\"no command 'bogus'; hato --help lists them\"}}\n");
    ck_assert_int_eq(RUN("receive", "jobs", "--bogus", "--json"), EXIT_USAGE);
    ck_assert_ptr_nonnull(strstr(err, "\"code\":\"usage\",\"field\":\"--bogus\""));
    ck_assert_int_eq(RUN("queue", "--json"), EXIT_USAGE);
    ck_assert_int_eq(err[0], '{');
    ck_assert_int_eq(RUN("queue", "lst", "--json"), EXIT_USAGE);
    ck_assert_ptr_nonnull(strstr(err, "no command 'queue lst'"));
    ck_assert_int_eq(RUN("--json"), EXIT_USAGE);
    ck_assert_int_eq(err[0], '{');
    ck_assert_int_eq(RUN("send", "jobs", "--json"), EXIT_USAGE);
    ck_assert_int_eq(err[0], '{');
    ck_assert_int_eq(RUN_INPUT("refuse\n", "send", "jobs", "--lines", "--json"), EXIT_REFUSED);
    ck_assert_ptr_nonnull(strstr(err, "\"message\":\"line 1: the queue is full\""));
}
END_TEST

static struct {
    const char *argv[10]; /* the program may reorder them */
    const char *named[3];
} contradictions[] = {
    {{"hato", "queue", "set", "q", "--weight", "g=2", "--clear-weights"}, {"--weight", "--clear-weights"}},
    {{"hato", "function", "set", "f", "--header", "A: b", "--clear-headers"}, {"--header", "--clear-headers"}},
    {{"hato", "function", "set", "f", "--secret", "s", "--clear-secrets"}, {"--secret", "--clear-secrets"}},
    {{"hato", "send", "q", "x", "--delay", "1s", "--no-delay"}, {"--delay", "--no-delay"}},
    {{"hato", "send", "q", "x", "--delay", "1s", "--not-before", "5"}, {"--delay", "--not-before"}},
    {{"hato", "send", "q", "x", "--window", "5"}, {"--window", "--lines"}},
    {{"hato", "redrive", "q", "--list", "--rate", "5"}, {"--list", "--rate"}},
    {{"hato", "redrive", "q", "--list", "--cancel"}, {"--list", "--cancel"}},
    {{"hato", "receive", "q", "--body", "--json"}, {"--body", "--json"}},
    {{"hato", "receive", "q", "--follow", "--wait", "1s"}, {"--follow", "--wait"}},
};

START_TEST(options_that_contradict_each_other_are_refused_naming_both)
{
    ck_assert_int_eq(run_from(input_of(""), contradictions[_i].argv), EXIT_USAGE);
    for (size_t i = 0; contradictions[_i].named[i] != NULL; i++)
        ck_assert_msg(strstr(err, contradictions[_i].named[i]) != NULL, "no %s in: %s", contradictions[_i].named[i],
                      err);
}
END_TEST

START_TEST(a_receive_takes_one_to_a_thousand_messages)
{
    static const char *const wrong[] = {"0", "-1", "1001", "5x", " 3", "1.5", "", "99999999999999999999"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ck_assert_int_eq(RUN("receive", "jobs", "--max", wrong[i]), EXIT_USAGE);
        ck_assert_msg(strstr(err, "--max takes a whole number, 1 to 1000") != NULL, "%s", err);
    }
    ck_assert_int_eq(RUN("peek", "jobs", "--max", "0"), EXIT_USAGE);
    ck_assert_ptr_nonnull(strstr(err, "1 to 1000"));
    ck_assert_int_eq(RUN("receive", "jobs", "--max", "0", "--follow"), EXIT_USAGE);
}
END_TEST

START_TEST(every_noun_has_a_page_with_its_commands_an_example_and_the_exit_codes)
{
    static const char *const nouns[] = {"queue", "function"};
    for (size_t i = 0; i < sizeof nouns / sizeof *nouns; i++) {
        ck_assert_int_eq(RUN(nouns[i], "--help"), EXIT_DONE);
        ck_assert_ptr_nonnull(strstr(out, "create"));
        ck_assert_ptr_nonnull(strstr(out, "Example:\n  "));
        ck_assert_ptr_nonnull(strstr(out, "Exit codes: 0 done"));
        ck_assert_int_eq(RUN("help", nouns[i]), EXIT_DONE);
        ck_assert_ptr_nonnull(strstr(out, "create"));
    }
    ck_assert_int_eq(RUN("help", "queue", "create"), EXIT_DONE);
    ck_assert_ptr_nonnull(strstr(out, "--visibility DURATION"));
    ck_assert_ptr_nonnull(strstr(out, "0s to 1w"));
    ck_assert_ptr_nonnull(strstr(out, "dead-letter queue that is missing is made"));
    ck_assert_int_eq(RUN("help", "frob"), EXIT_USAGE);
}
END_TEST

START_TEST(received_messages_have_receipts_that_can_be_given_back)
{
    ck_assert_int_eq(RUN("receive", "jobs", "--max", "2", "--json"), EXIT_DONE);
    ck_assert_ptr_nonnull(strstr(out, "\"body\":\"body 1\""));
    ck_assert_ptr_nonnull(strstr(out, "\"receipt\":\"cmVjZWlwdCAx\"")); /* "receipt 1" */
    ck_assert_int_eq(out[0], '[');
    ck_assert_int_eq(RUN("receive", "jobs", "--max", "2", "--body", "--ack"), EXIT_REFUSED); /* the second is stale */
    ck_assert_str_eq(out, "body 1\nbody 2\n");
    ck_assert_int_eq(RUN("nack", "jobs", "cmVjZWlwdCAx", "--delay", "1s"), EXIT_DONE);
    ck_assert_str_eq(out, "given back 1\n");
    ck_assert_int_eq(RUN_INPUT("cmVjZWlwdCAx\n\nAAAA\nAAAA\n", "extend", "jobs", "-", "--visibility", "1m"), EXIT_DONE);
    ck_assert_str_eq(out, "extended 3\n");
}
END_TEST

/* --wait is the queue's, which may be an hour. */
START_TEST(a_receive_ends_at_its_deadline_when_the_broker_is_gone)
{
    ck_assert_int_eq(RUN("receive", "killed", "--deadline", "2s"), EXIT_UNKNOWN);
    ck_assert_ptr_nonnull(strstr(err, "within 2000 ms"));
}
END_TEST

START_TEST(a_receive_ends_when_the_broker_keeps_silent_for_longer_than_its_deadline)
{
    ck_assert_int_eq(RUN("receive", "silent", "--deadline", "2s"), EXIT_UNKNOWN);
    ck_assert_ptr_nonnull(strstr(err, "within 2000 ms"));
}
END_TEST

START_TEST(following_stops_after_the_messages_asked_for)
{
    ck_assert_int_eq(RUN("receive", "jobs", "--follow", "--max", "250", "--body", "--ack"), EXIT_DONE);
    int lines = 0;
    for (const char *c = out; *c != '\0'; c++)
        lines += *c == '\n';
    ck_assert_int_eq(lines, 250);
    ck_assert_ptr_nonnull(strstr(out, "body 250\n"));
    ck_assert_str_eq(err, "");
}
END_TEST

START_TEST(following_ends_with_four_when_it_is_not_known_whether_acks_happened)
{
    ck_assert_int_eq(RUN("receive", "lost-ack", "--follow", "--max", "1", "--body", "--ack"), EXIT_UNKNOWN);
    ck_assert_str_eq(out, "body 1\n");
    ck_assert_ptr_nonnull(strstr(err, "most likely they were done"));
}
END_TEST

START_TEST(a_receipt_is_a_line_whatever_its_length)
{
    char line[6000];
    memset(line, 'A', sizeof line);
    line[4] = '\r';
    line[5] = '\n';
    line[6 + 4096] = '\n';
    ck_assert_int_eq(RUN_FROM(input_of_bytes(line, 6 + 4096), "ack", "jobs", "-"), EXIT_REFUSED);
    ck_assert_ptr_nonnull(strstr(err, "receipt"));
    line[6 + 4096] = 'A';
    ck_assert_int_eq(RUN_FROM(input_of_bytes(line, sizeof line), "ack", "jobs", "-"), EXIT_USAGE);
    ck_assert_ptr_nonnull(strstr(err, "line 2 of standard input has more than 4096 bytes"));
    ck_assert_str_eq(out, "");
}
END_TEST

START_TEST(a_receipt_with_a_zero_byte_is_refused)
{
    ck_assert_int_eq(RUN_FROM(input_of_bytes("AAAA\nAAAA\0BBBB\n", 15), "ack", "jobs", "-"), EXIT_USAGE);
    ck_assert_ptr_nonnull(strstr(err, "line 2 of standard input has a zero byte"));
    ck_assert_str_eq(out, "");
}
END_TEST

START_TEST(what_senders_wrote_can_not_command_the_terminal)
{
    char part[80];
    ck_assert_int_eq(RUN("peek", "jobs", "--full"), EXIT_DONE);
    for (size_t i = 0; i < 4; i++) {
        static const char *const before[] = {"  group ", "  deduplication id ", "  last error: ", "0 receives: "};
        snprintf(part, sizeof part, "%s%s\n", before[i], HARMLESS);
        ck_assert_msg(strstr(out, part) != NULL, "%s", out);
    }
    ck_assert_ptr_nonnull(strstr(out, HOSTILE)); /* the body */
    ck_assert_int_eq(RUN("peek", "jobs", "--which", "halted-at"), EXIT_DONE);
    ck_assert_ptr_null(strchr(out, '\033'));
    ck_assert_int_eq(RUN("function", "show", "resize"), EXIT_DONE);
    snprintf(part, sizeof part, " %s\n", HARMLESS);
    ck_assert_ptr_nonnull(strstr(out, part));
    ck_assert_int_eq(RUN("function", "show", "hostile"), EXIT_REFUSED);
    snprintf(part, sizeof part, "hato: %s\n", HARMLESS);
    ck_assert_str_eq(err, part);
}
END_TEST

START_TEST(listings_go_through_all_pages)
{
    ck_assert_int_eq(RUN("queue", "list", "--names"), EXIT_DONE);
    ck_assert_str_eq(out, "aaa\nbbb\n");
    ck_assert_int_eq(RUN("queue", "list", "--names", "--json"), EXIT_DONE);
    ck_assert_str_eq(out, "[\"aaa\",\"bbb\"]\n");
    ck_assert_int_eq(RUN("queue", "list", "--json"), EXIT_DONE);
    ck_assert_ptr_nonnull(strstr(out, "\"name\":\"aaa\""));
    ck_assert_ptr_nonnull(strstr(out, "\"ready\":6,\"in_flight\":0,\"delayed\":0"));
}
END_TEST

START_TEST(options_of_every_command_may_come_first)
{
    unsetenv("HATO_SERVER");
    ck_assert_int_eq(RUN("--server", server, "--json", "queue", "show", "jobs"), EXIT_DONE);
    ck_assert_ptr_nonnull(strstr(out, "\"ready\":1234567"));
    ck_assert_int_eq(RUN("queue", "--server", server, "--json", "show", "jobs"), EXIT_DONE);
    ck_assert_ptr_nonnull(strstr(out, "\"ready\":1234567"));
    ck_assert_int_eq(RUN("queue", "show", "jobs", "--server", server), EXIT_DONE);
    ck_assert_ptr_nonnull(strstr(out, "1,234,567"));
    ck_assert_ptr_nonnull(strstr(out, "30s"));
}
END_TEST

START_TEST(completion_is_a_script_that_bash_reads)
{
    ck_assert_int_eq(RUN("completion", "bash"), EXIT_DONE);
    ck_assert_ptr_nonnull(strstr(out, "complete -F _hato hato"));
    ck_assert_ptr_nonnull(strstr(out, "--dead-letter"));
    ck_assert_int_eq(RUN("completion", "fish"), EXIT_USAGE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client/command");
    TCase *tc = tcase_create("command");
    tcase_set_timeout(tc, HARNESS_TIMEOUT_S);
    tcase_add_checked_fixture(tc, start_broker, stop_broker);
    tcase_add_test(tc, every_command_has_help_with_an_example);
    tcase_add_test(tc, sent_messages_are_told_by_id);
    tcase_add_test(tc, lines_are_sent_each_and_counted);
    tcase_add_test(tc, lines_stop_at_one_that_is_refused_and_name_it);
    tcase_add_test(tc, lines_that_were_not_stored_are_all_told);
    tcase_add_test(tc, a_line_that_is_refused_ends_the_sending_though_the_input_goes_on);
    tcase_add_test(tc, input_that_can_not_be_read_to_its_end_ends_with_six);
    tcase_add_test(tc, a_refusal_ends_with_one_and_says_why);
    tcase_add_test(tc, some_of_several_refused_ends_with_five);
    tcase_add_test(tc, nothing_to_reach_ends_with_three_and_says_what_to_do);
    tcase_add_test(tc, no_answer_in_time_ends_with_four);
    tcase_add_test(tc, wrong_use_ends_with_two_and_points_to_the_help);
    tcase_add_test(tc, with_json_wrong_use_is_told_in_json);
    tcase_add_loop_test(tc, options_that_contradict_each_other_are_refused_naming_both, 0,
                        sizeof contradictions / sizeof *contradictions);
    tcase_add_test(tc, a_receive_takes_one_to_a_thousand_messages);
    tcase_add_test(tc, every_noun_has_a_page_with_its_commands_an_example_and_the_exit_codes);
    tcase_add_test(tc, received_messages_have_receipts_that_can_be_given_back);
    tcase_add_test(tc, a_receive_ends_at_its_deadline_when_the_broker_is_gone);
    tcase_add_test(tc, a_receive_ends_when_the_broker_keeps_silent_for_longer_than_its_deadline);
    tcase_add_test(tc, following_stops_after_the_messages_asked_for);
    tcase_add_test(tc, following_ends_with_four_when_it_is_not_known_whether_acks_happened);
    tcase_add_test(tc, a_receipt_is_a_line_whatever_its_length);
    tcase_add_test(tc, a_receipt_with_a_zero_byte_is_refused);
    tcase_add_test(tc, what_senders_wrote_can_not_command_the_terminal);
    tcase_add_test(tc, listings_go_through_all_pages);
    tcase_add_test(tc, options_of_every_command_may_come_first);
    tcase_add_test(tc, completion_is_a_script_that_bash_reads);
    suite_add_tcase(suite, tc);
    return harness_run(suite);
}
