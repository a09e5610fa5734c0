/* What the command line writes: JSON, base64, tables, lines of text, the frames of top. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "cli/base64.h"
#include "cli/json.h"
#include "cli/table.h"
#include "cli/text.h"
#include "cli/top.h"

static const char *written(struct json *j)
{
    buffer_u8(&j->out, 0);
    return (const char *)j->out.data;
}

START_TEST(json_has_its_commas_brackets_and_numbers)
{
    struct json j = {0};
    json_object(&j, NULL);
    json_number(&j, "n", UINT64_MAX);
    json_list(&j, "list");
    json_text(&j, NULL, "a");
    json_object(&j, NULL);
    json_object_end(&j);
    json_list(&j, NULL);
    json_list_end(&j);
    json_bool(&j, NULL, true);
    json_null(&j, NULL);
    json_list_end(&j);
    json_real(&j, "r", 2.5);
    json_real(&j, "inf", 1e308 * 10);
    json_object_end(&j);
    ck_assert_str_eq(written(&j), "{\"n\":18446744073709551615,\"list\":[\"a\",{},[],true,null],\"r\":2.5,\"inf\":0}");
    buffer_close(&j.out);
}
END_TEST

START_TEST(json_text_is_escaped_and_always_utf8)
{
    struct json j = {0};
    json_text(&j, NULL, "q\" b\\ n\n r\r t\t \x01 \x7f h\xc3\xa9 \xc2\x9b \xf0\x9f\x95\x8a bad\xff\xc3");
    ck_assert_str_eq(written(&j), "\"q\\\" b\\\\ n\\n r\\r t\\t \\u0001 \\u007f h\xc3\xa9 \\u009b \xf0\x9f\x95\x8a bad"
                                  "\xef\xbf\xbd\xef\xbf\xbd\"");
    buffer_close(&j.out);
}
END_TEST

START_TEST(json_data_that_is_not_text_is_base64)
{
    struct json j = {0};
    json_object(&j, NULL);
    json_data(&j, "body", "text", 4);
    json_data(&j, "other", "\xff\xfe", 2);
    json_object_end(&j);
    ck_assert_str_eq(written(&j), "{\"body\":\"text\",\"other_base64\":\"//4=\"}");
    buffer_close(&j.out);
}
END_TEST

START_TEST(base64_reads_what_it_writes_in_both_alphabets)
{
    uint8_t data[67];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 37 + 251);
    for (size_t len = 0; len <= sizeof data; len++) {
        for (int alphabet = 0; alphabet < 2; alphabet++) {
            struct buffer text = {0};
            struct buffer back = {0};
            base64_put(&text, bytes_of(data, len), (enum base64_alphabet)alphabet);
            ck_assert(base64_read(&back, buffer_view(&text)));
            ck_assert(bytes_equal(buffer_view(&back), bytes_of(data, len)));
            buffer_close(&text);
            buffer_close(&back);
        }
    }
}
END_TEST

START_TEST(base64_refuses_what_is_none)
{
    const char *wrong[] = {"A", "AAAAA", "AA A", "A*==", "\xff\xff", "AB"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct buffer out = {0};
        ck_assert_msg(!base64_read(&out, bytes_text(wrong[i])), "'%s' was read", wrong[i]);
        buffer_close(&out);
    }
}
END_TEST

START_TEST(counts_and_ages_are_short)
{
    char t[TEXT_MAX];
    ck_assert_str_eq(text_count(0, t), "0");
    ck_assert_str_eq(text_count(999, t), "999");
    ck_assert_str_eq(text_count(1000, t), "1,000");
    ck_assert_str_eq(text_count(UINT64_MAX, t), "18,446,744,073,709,551,615");
    ck_assert_str_eq(text_age(0, 5, t), "-");
    ck_assert_str_eq(text_age(1000, 1250, t), "250ms");
    ck_assert_str_eq(text_age(1000, 4000, t), "3s");
    ck_assert_str_eq(text_age(4000, 1000, t), "3s");
    ck_assert_str_eq(text_age(1, 125001, t), "2m05s");
    ck_assert_str_eq(text_age(1, 7500001, t), "2h05m");
    ck_assert_str_eq(text_age(1, 176400001, t), "2d01h");
}
END_TEST

START_TEST(a_line_of_a_body_has_no_control_characters_and_is_cut)
{
    char out[200];
    text_line("a\nb\033[1mc\xff", 9, 50, out, sizeof out);
    ck_assert_str_eq(out, "a.b.[1mc.");
    text_line("0123456789abcdef", 16, 10, out, sizeof out);
    ck_assert_str_eq(out, "0123456...");
    text_line("", 0, 10, out, sizeof out);
    ck_assert_str_eq(out, "");
    char small[12];
    text_line("0123456789abcdef", 16, 100, small, sizeof small);
    ck_assert_uint_lt(strlen(small), sizeof small);
}
END_TEST

static void wrote(const char *body, size_t len, const char *expected, size_t expected_len)
{
    char got[200];
    FILE *to = tmpfile();
    text_body(to, body, len);
    rewind(to);
    ck_assert_uint_eq(fread(got, 1, sizeof got, to), expected_len);
    ck_assert_mem_eq(got, expected, expected_len);
    fclose(to);
}

START_TEST(a_body_that_goes_to_no_terminal_is_as_it_was_sent)
{
    static const char body[] = "a\r\n\tb\0\033[2J\xff\xc2\x9b";
    wrote(body, sizeof body - 1, body, sizeof body - 1);
}
END_TEST

/* What a terminal is given of a body. */
static size_t shown(const char *body, size_t len, char *out, size_t size)
{
    int screen = posix_openpt(O_RDWR | O_NOCTTY);
    ck_assert_int_ge(screen, 0);
    ck_assert_int_eq(grantpt(screen) + unlockpt(screen), 0);
    FILE *terminal = fopen(ptsname(screen), "w");
    struct termios mode;
    ck_assert_ptr_nonnull(terminal);
    ck_assert_int_eq(tcgetattr(fileno(terminal), &mode), 0);
    mode.c_oflag &= (tcflag_t)~OPOST; /* newlines as they are written */
    ck_assert_int_eq(tcsetattr(fileno(terminal), TCSANOW, &mode), 0);
    text_body(terminal, body, len);
    ck_assert_int_eq(fputs("END", terminal) < 0 || fflush(terminal) != 0, 0);
    size_t got = 0;
    while (got < 3 || memcmp(out + got - 3, "END", 3) != 0) {
        ssize_t n = read(screen, out + got, size - got);
        ck_assert_int_gt(n, 0);
        got += (size_t)n;
    }
    fclose(terminal);
    close(screen);
    return got - 3;
}

START_TEST(a_body_cannot_command_a_terminal)
{
    static const char body[] = "h\xc3\xa9 \xf0\x9f\x95\x8a\n\tb\r\0\033[2J\x7f\xff\xc2\x9b";
    static const char expected[] = "h\xc3\xa9 \xf0\x9f\x95\x8a\n\tb\\x0d\\x00\\x1b[2J\\x7f\\xff\\xc2\\x9b";
    char got[200];
    size_t len = shown(body, sizeof body - 1, got, sizeof got);
    ck_assert_uint_eq(len, sizeof expected - 1);
    ck_assert_mem_eq(got, expected, len);
}
END_TEST

static struct top_look look_at(uint64_t at_ns, uint64_t sent, size_t queues)
{
    struct top_look l = {0};
    struct hato_status status = {.version = "0.1.0", .now_ms = 100000, .started_ms = 1, .accepts_sends = true};
    top_look_status(&l, &status, at_ns);
    for (size_t i = 0; i < queues; i++) {
        char name[32];
        snprintf(name, sizeof name, "queue-%02zu", i);
        struct hato_queue q = {.name = name, .counts = {.ready = i, .sent_total = sent * (queues - i)}};
        top_look_queues(&l, &q, 1);
    }
    struct hato_function f = {.name = "resize", .state = "open", .last_error = "status\n503", .failed_total = sent};
    top_look_functions(&l, &f, 1);
    return l;
}

static const char *drawn_frame(struct buffer *out, const struct top_frame *f)
{
    buffer_clear(out);
    top_draw(out, f);
    buffer_u8(out, 0);
    return (const char *)out->data;
}

static const char *drawn(struct buffer *out, const struct top_look *l, enum top_order order, int columns, int rows)
{
    struct top_frame f = {.look = l, .server = "s", .order = order, .columns = columns, .rows = rows, .now_ms = 1};
    return drawn_frame(out, &f);
}

START_TEST(top_tells_rates_between_two_looks)
{
    struct top_look before = look_at(1000000000, 100, 3);
    struct top_look first = {0};
    top_look_rate(&before, &first);
    ck_assert(before.queues[0].sent_rate < 0);
    struct top_look now = look_at(3000000000, 200, 4);
    top_look_rate(&now, &before);
    ck_assert(now.queues[0].sent_rate > 249 && now.queues[0].sent_rate < 251);
    ck_assert(now.queues[3].sent_rate < 0); /* it is new */
    ck_assert(now.functions[0].failed_rate > 49 && now.functions[0].failed_rate < 51);
    top_look_close(&before);
    top_look_close(&now);
}
END_TEST

START_TEST(a_counter_that_began_anew_has_no_rate)
{
    struct top_look before = look_at(1000000000, 100, 1);
    struct top_look none = {0};
    top_look_rate(&before, &none);
    struct top_look now = look_at(2000000000, 1, 1);
    top_look_rate(&now, &before);
    ck_assert(now.queues[0].sent_rate < 0);
    top_look_close(&before);
    top_look_close(&now);
}
END_TEST

START_TEST(a_frame_fits_every_screen)
{
    struct top_look l = look_at(1, 1, 50);
    struct buffer out = {0};
    for (int rows = 1; rows < 70; rows += 3) {
        for (int columns = 1; columns < 160; columns += 13) {
            const char *text = drawn(&out, &l, TOP_BY_NAME, columns, rows);
            int lines = 0;
            for (const char *at = text; *at != '\0'; at++) {
                size_t len = strcspn(at, "\n");
                ck_assert_uint_le(len, (size_t)columns);
                lines++;
                at += len;
            }
            ck_assert_int_le(lines, rows > 1 ? rows : 1);
        }
    }
    buffer_close(&out);
    top_look_close(&l);
}
END_TEST

static const char LONG_NAME[] = "a-queue-whose-name-is-longer-than-forty-characters";

static struct top_look look_at_long_names(void)
{
    struct top_look l = look_at(1, 1, 1);
    struct hato_queue q = {.name = LONG_NAME, .counts.ready = 7};
    struct hato_function f = {.name = "a-function-whose-name-is-longer-than-thirty-characters", .state = "delivering"};
    top_look_queues(&l, &q, 1);
    top_look_functions(&l, &f, 1);
    return l;
}

START_TEST(long_names_keep_both_ends_and_the_numbers_of_use_on_a_screen_of_eighty_columns)
{
    struct top_look l = look_at_long_names();
    struct buffer out = {0};
    const char *text = drawn(&out, &l, TOP_BY_NAME, 80, 24);
    ck_assert_ptr_nonnull(strstr(text, "\na-queue-who...characters          7 "));
    ck_assert_ptr_nonnull(strstr(text, "OLDEST"));
    ck_assert_ptr_nonnull(strstr(text, "ACK/S"));
    ck_assert_ptr_null(strstr(text, "DELAYED"));
    ck_assert_ptr_nonnull(strstr(text, "\na-function-w...y-characters   delivering"));
    ck_assert_ptr_nonnull(strstr(text, "  status.503"));
    buffer_close(&out);
    top_look_close(&l);
}
END_TEST

START_TEST(names_are_whole_where_there_is_room)
{
    struct top_look l = look_at_long_names(), short_names = look_at(1, 1, 3);
    struct buffer out = {0};
    ck_assert_ptr_nonnull(strstr(drawn(&out, &l, TOP_BY_NAME, 120, 24), LONG_NAME));
    ck_assert_ptr_nonnull(strstr(drawn(&out, &l, TOP_BY_NAME, 120, 24), "DELAYED"));
    ck_assert_ptr_nonnull(strstr(drawn(&out, &l, TOP_BY_NAME, 0, 0), LONG_NAME));
    ck_assert_ptr_nonnull(strstr(drawn(&out, &short_names, TOP_BY_NAME, 80, 24), "DELAYED"));
    buffer_close(&out);
    top_look_close(&l);
    top_look_close(&short_names);
}
END_TEST

START_TEST(queues_are_sorted_by_name_ready_or_rate)
{
    struct top_look before = look_at(1000000000, 0, 3);
    struct top_look none = {0};
    top_look_rate(&before, &none);
    struct top_look l = look_at(2000000000, 10, 3);
    top_look_rate(&l, &before);
    struct buffer out = {0};
    const char *text = drawn(&out, &l, TOP_BY_NAME, 0, 0);
    ck_assert(strstr(text, "queue-00") < strstr(text, "queue-02"));
    ck_assert_ptr_nonnull(strstr(text, "status.503"));
    text = drawn(&out, &l, TOP_BY_READY, 0, 0);
    ck_assert(strstr(text, "queue-00") > strstr(text, "queue-02"));
    text = drawn(&out, &l, TOP_BY_RATE, 0, 0);
    ck_assert(strstr(text, "queue-00") < strstr(text, "queue-02"));
    buffer_close(&out);
    top_look_close(&before);
    top_look_close(&l);
}
END_TEST

START_TEST(functions_that_need_attention_are_seen_first_and_the_others_can_be_scrolled_to)
{
    struct top_look none = {0}, before = look_at(1000000000, 0, 3), l = look_at(2000000000, 0, 3);
    struct buffer out = {0};
    for (int i = 0; i < 25; i++) {
        char name[32];
        snprintf(name, sizeof name, "function-%02d", i);
        struct hato_function f = {.name = name, .state = "delivering", .last_error = ""};
        top_look_functions(&before, &f, 1);
        f.failed_total = i == 24;
        top_look_functions(&l, &f, 1);
    }
    top_look_rate(&before, &none);
    top_look_rate(&l, &before);
    const char *text = drawn(&out, &l, TOP_BY_NAME, 120, 24);
    const char *open = strstr(text, "\nresize "), *failing = strstr(text, "\nfunction-24 ");
    const char *well = strstr(text, "\nfunction-00 ");
    ck_assert_ptr_nonnull(open);
    ck_assert(open < failing && failing < well);
    ck_assert_ptr_nonnull(strstr(text, "\nfunction-08 "));
    ck_assert_ptr_null(strstr(text, "\nfunction-09 "));
    ck_assert_ptr_nonnull(strstr(text, "\n  1 to 11 of 26\n"));
    ck_assert_ptr_nonnull(strstr(text, "\nqueue-02 "));
    ck_assert_ptr_nonnull(strstr(text, "tab: functions"));
    struct top_frame f = {.look = &l, .server = "s", .columns = 120, .rows = 24, .now_ms = 1};
    f.scrolled = TOP_FUNCTIONS;
    f.first[TOP_FUNCTIONS] = 20;
    text = drawn_frame(&out, &f);
    ck_assert_ptr_null(strstr(text, "\nresize "));
    ck_assert_ptr_nonnull(strstr(text, "\nfunction-23 "));
    ck_assert_ptr_nonnull(strstr(text, "\n  21 to 26 of 26\n"));
    ck_assert_ptr_nonnull(strstr(text, "tab: queues"));
    text = drawn(&out, &l, TOP_BY_NAME, 0, 0);
    ck_assert_ptr_nonnull(strstr(text, "\nfunction-23 "));
    ck_assert_ptr_null(strstr(text, " of 26\n"));
    buffer_close(&out);
    top_look_close(&before);
    top_look_close(&l);
}
END_TEST

START_TEST(a_function_is_seen_even_on_a_screen_of_twelve_rows)
{
    struct top_look l = look_at(1, 0, 10);
    struct buffer out = {0};
    const char *text = drawn(&out, &l, TOP_BY_NAME, 100, 12);
    ck_assert_ptr_nonnull(strstr(text, "\nqueue-00 "));
    ck_assert_ptr_nonnull(strstr(text, "\nresize "));
    buffer_close(&out);
    top_look_close(&l);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client/output");
    TCase *tc = tcase_create("output");
    tcase_add_test(tc, json_has_its_commas_brackets_and_numbers);
    tcase_add_test(tc, json_text_is_escaped_and_always_utf8);
    tcase_add_test(tc, json_data_that_is_not_text_is_base64);
    tcase_add_test(tc, base64_reads_what_it_writes_in_both_alphabets);
    tcase_add_test(tc, base64_refuses_what_is_none);
    tcase_add_test(tc, counts_and_ages_are_short);
    tcase_add_test(tc, a_line_of_a_body_has_no_control_characters_and_is_cut);
    tcase_add_test(tc, a_body_that_goes_to_no_terminal_is_as_it_was_sent);
    tcase_add_test(tc, a_body_cannot_command_a_terminal);
    tcase_add_test(tc, top_tells_rates_between_two_looks);
    tcase_add_test(tc, a_counter_that_began_anew_has_no_rate);
    tcase_add_test(tc, a_frame_fits_every_screen);
    tcase_add_test(tc, long_names_keep_both_ends_and_the_numbers_of_use_on_a_screen_of_eighty_columns);
    tcase_add_test(tc, names_are_whole_where_there_is_room);
    tcase_add_test(tc, queues_are_sorted_by_name_ready_or_rate);
    tcase_add_test(tc, functions_that_need_attention_are_seen_first_and_the_others_can_be_scrolled_to);
    tcase_add_test(tc, a_function_is_seen_even_on_a_screen_of_twelve_rows);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
