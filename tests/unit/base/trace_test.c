#include "base/trace.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { THREADS = 4, LINES_EACH = 250 };

struct capture {
    struct trace trace;
    uint64_t now_ms;
    size_t len;
    size_t lines;
    char text[128 * 1024];
};

static uint64_t capture_now(void *context)
{
    return ((struct capture *)context)->now_ms;
}

static uint64_t capture_monotonic(void *context)
{
    return ((struct capture *)context)->now_ms * 1000000;
}

static void capture_write(void *context, enum trace_level level, const char *line, size_t len)
{
    struct capture *c = context;
    (void)level;
    ck_assert_uint_gt(len, 0);
    ck_assert_int_eq(line[len - 1], '\n');
    ck_assert_ptr_eq(memchr(line, '\n', len), line + len - 1);
    c->lines++;
    ck_assert_uint_lt(c->len + len, sizeof c->text);
    memcpy(c->text + c->len, line, len);
    c->len += len;
    c->text[c->len] = '\0';
}

static struct capture *capture_open(enum trace_format format, enum trace_level level, uint32_t burst)
{
    struct capture *c = calloc(1, sizeof *c);
    ck_assert_ptr_nonnull(c);
    c->now_ms = 1700000000123;
    struct trace_options options = {
        .format = format,
        .level = level,
        .burst = burst,
        .clock = {capture_now, capture_monotonic, c},
        .write = capture_write,
        .context = c,
    };
    trace_open(&c->trace, &options);
    return c;
}

static void capture_close(struct capture *c)
{
    trace_close(&c->trace);
    free(c);
}

static void expect(struct capture *c, const char *text)
{
    ck_assert_str_eq(c->text, text);
    c->len = 0;
    c->text[0] = '\0';
}

START_TEST(a_logfmt_line_has_time_level_event_and_fields)
{
    struct capture *c = capture_open(TRACE_LOGFMT, TRACE_DEBUG, 0);
    TRACE(&c->trace, TRACE_INFO, "queue created", trace_text("queue", "jobs"), trace_u64("shard", 3),
          trace_i64("offset", -5), trace_bool("fifo", true), trace_hex("id", 0xabc), trace_text("absent", NULL));
    expect(c, "time=2023-11-14T22:13:20.123Z level=info event=\"queue created\" queue=jobs shard=3 offset=-5 fifo=true "
              "id=0000000000000abc\n");
    TRACE(&c->trace, TRACE_ERROR, "stopped");
    expect(c, "time=2023-11-14T22:13:20.123Z level=error event=stopped\n");
    capture_close(c);
}
END_TEST

START_TEST(a_json_line_is_one_object)
{
    struct capture *c = capture_open(TRACE_JSON, TRACE_DEBUG, 0);
    TRACE(&c->trace, TRACE_WARN, "slow disk", trace_u64("took_ms", 12), trace_bool("again", false),
          trace_text("file", "a b"));
    expect(c, "{\"time\":\"2023-11-14T22:13:20.123Z\",\"level\":\"warn\",\"event\":\"slow disk\",\"took_ms\":12,"
              "\"again\":false,\"file\":\"a b\"}\n");
    capture_close(c);
}
END_TEST

START_TEST(no_line_break_quote_or_terminal_control_gets_through)
{
    static const char hostile[] = "a\nlevel=error \"x\"\\\x1b[2J\x7f\xc2\x9b\xff\xe2\x80\xa8\xe9\xb3\xa9";
    struct capture *c = capture_open(TRACE_LOGFMT, TRACE_DEBUG, 0);
    TRACE(&c->trace, TRACE_INFO, "e", trace_text("v", hostile), trace_bytes("z", bytes_of("\0\t", 2)),
          trace_text("empty", ""));
    expect(c, "time=2023-11-14T22:13:20.123Z level=info event=e v=\"a\\nlevel=error "
              "\\\"x\\\"\\\\\\u001b[2J\\u007f\\u009b\\xff\\u2028\xe9\xb3\xa9\" z=\"\\u0000\\t\" empty=\"\"\n");
    capture_close(c);
    c = capture_open(TRACE_JSON, TRACE_DEBUG, 0);
    TRACE(&c->trace, TRACE_INFO, "e", trace_text("v", hostile));
    expect(c, "{\"time\":\"2023-11-14T22:13:20.123Z\",\"level\":\"info\",\"event\":\"e\",\"v\":\"a\\nlevel=error "
              "\\\"x\\\"\\\\\\u001b[2J\\u007f\\u009b\\ufffd\\u2028\xe9\xb3\xa9\"}\n");
    capture_close(c);
}
END_TEST

START_TEST(lines_above_the_level_are_dropped_and_their_fields_not_evaluated)
{
    struct capture *c = capture_open(TRACE_LOGFMT, TRACE_WARN, 0);
    int evaluated = 0;
    TRACE(&c->trace, TRACE_INFO, "unwanted", trace_i64("n", ++evaluated));
    ck_assert_int_eq(evaluated, 0);
    ck_assert_uint_eq(c->lines, 0);
    trace_set_level(&c->trace, TRACE_INFO);
    TRACE(&c->trace, TRACE_INFO, "wanted", trace_i64("n", ++evaluated));
    ck_assert_int_eq(evaluated, 1);
    ck_assert_uint_eq(c->lines, 1);
    struct trace *none = NULL;
    TRACE(none, TRACE_ERROR, "nowhere", trace_i64("n", ++evaluated));
    ck_assert_int_eq(evaluated, 1);
    capture_close(c);
}
END_TEST

START_TEST(a_repeated_event_is_held_back_and_counted)
{
    struct capture *c = capture_open(TRACE_LOGFMT, TRACE_DEBUG, 3);
    c->now_ms = 1000;
    for (int i = 0; i < 10; i++)
        TRACE(&c->trace, TRACE_WARN, "endpoint down", trace_i64("i", i));
    ck_assert_uint_eq(c->lines, 3);
    TRACE(&c->trace, TRACE_WARN, "another event");
    ck_assert_uint_eq(c->lines, 4);
    c->now_ms = 2000;
    c->len = 0;
    TRACE(&c->trace, TRACE_WARN, "endpoint down", trace_i64("i", 10));
    expect(c, "time=1970-01-01T00:00:02.000Z level=warn event=\"endpoint down\" i=10 suppressed=7\n");
    TRACE(&c->trace, TRACE_WARN, "endpoint down", trace_i64("i", 11));
    expect(c, "time=1970-01-01T00:00:02.000Z level=warn event=\"endpoint down\" i=11\n");
    capture_close(c);
}
END_TEST

START_TEST(what_is_still_held_back_is_told_at_the_end)
{
    struct capture *c = capture_open(TRACE_LOGFMT, TRACE_DEBUG, 1);
    c->now_ms = 1000;
    for (int i = 0; i < 5; i++)
        TRACE(&c->trace, TRACE_ERROR, "refused");
    c->len = 0;
    trace_close(&c->trace);
    expect(c, "time=1970-01-01T00:00:01.000Z level=error event=refused suppressed=4\n");
    free(c);
}
END_TEST

START_TEST(more_events_than_places_lose_no_count)
{
    static const char *const events[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i"};
    struct capture *c = capture_open(TRACE_LOGFMT, TRACE_DEBUG, 1);
    /* Nine texts at two levels, each said ten times; then as many others as there are places. */
    for (size_t i = 0; i < 9 * 10; i++)
        trace_write(&c->trace, i % 2 == 0 ? TRACE_WARN : TRACE_INFO, events[i % 9], NULL, 0);
    ck_assert_uint_eq(c->lines, 18);
    static char names[TRACE_EVENTS][8];
    for (size_t i = 0; i < TRACE_EVENTS; i++) {
        snprintf(names[i], sizeof names[i], "n%zu", i);
        c->now_ms += 1000;
        trace_write(&c->trace, TRACE_ERROR, names[i], NULL, 0);
    }
    ck_assert_uint_eq(c->lines, 18 + TRACE_EVENTS + 18);
    capture_close(c);
}
END_TEST

START_TEST(debug_lines_are_never_held_back)
{
    struct capture *c = capture_open(TRACE_LOGFMT, TRACE_DEBUG, 1);
    for (int i = 0; i < 50; i++)
        TRACE(&c->trace, TRACE_DEBUG, "step");
    ck_assert_uint_eq(c->lines, 50);
    capture_close(c);
}
END_TEST

START_TEST(a_line_too_long_is_cut_at_a_field_and_says_so)
{
    enum trace_format formats[] = {TRACE_LOGFMT, TRACE_JSON};
    const char *ends[] = {" small=1 cut=true\n", ",\"small\":1,\"cut\":true}\n"};
    char *large = malloc(2 * TRACE_LINE_MAX);
    ck_assert_ptr_nonnull(large);
    memset(large, 'x', 2 * TRACE_LINE_MAX);
    for (int i = 0; i < 2; i++) {
        for (size_t len = TRACE_LINE_MAX - 256; len < TRACE_LINE_MAX + 10; len++) {
            struct capture *c = capture_open(formats[i], TRACE_DEBUG, 1);
            TRACE(&c->trace, TRACE_INFO, "e", trace_u64("small", 1), trace_bytes("large", bytes_of(large, len)));
            ck_assert_uint_le(c->len, TRACE_LINE_MAX);
            if (c->len < len) {
                ck_assert_ptr_nonnull(strstr(c->text, ends[i]));
                ck_assert_ptr_null(strstr(c->text, "large"));
            }
            capture_close(c);
        }
    }
    free(large);
}
END_TEST

static void *write_many(void *argument)
{
    struct capture *c = argument;
    for (int i = 0; i < LINES_EACH; i++)
        TRACE(&c->trace, TRACE_DEBUG, "x", trace_i64("i", i));
    return NULL;
}

START_TEST(threads_write_whole_lines)
{
    struct capture *c = capture_open(TRACE_LOGFMT, TRACE_DEBUG, 0);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_many, c), 0);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    ck_assert_uint_eq(c->lines, THREADS * LINES_EACH);
    capture_close(c);
}
END_TEST

START_TEST(a_file_gets_each_line_at_once)
{
    FILE *file = tmpfile();
    ck_assert_ptr_nonnull(file);
    struct trace t;
    struct trace_options options = {.level = TRACE_INFO, .clock = clock_real(), .file = file};
    trace_open(&t, &options);
    TRACE(&t, TRACE_INFO, "hello", trace_u64("n", 1));
    char line[200] = "";
    ck_assert(pread(fileno(file), line, sizeof line - 1, 0) > 0);
    ck_assert_ptr_nonnull(strstr(line, "level=info event=hello n=1\n"));
    trace_close(&t);
    fclose(file);
}
END_TEST

START_TEST(levels_and_formats_are_read_by_name)
{
    enum trace_level level = TRACE_ERROR;
    enum trace_format format = TRACE_LOGFMT;
    struct error e = {0};
    ck_assert_int_eq(trace_level_parse("debug", &level, &e), ERR_OK);
    ck_assert_int_eq(level, TRACE_DEBUG);
    ck_assert_int_eq(trace_level_parse("DEBUG", &level, &e), ERR_INVALID);
    ck_assert_int_eq(trace_format_parse("json", &format, &e), ERR_OK);
    ck_assert_int_eq(format, TRACE_JSON);
    ck_assert_int_eq(trace_format_parse("", &format, &e), ERR_INVALID);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("trace");
    TCase *c = tcase_create("trace");
    tcase_set_timeout(c, 0);
    tcase_add_test(c, a_logfmt_line_has_time_level_event_and_fields);
    tcase_add_test(c, a_json_line_is_one_object);
    tcase_add_test(c, no_line_break_quote_or_terminal_control_gets_through);
    tcase_add_test(c, lines_above_the_level_are_dropped_and_their_fields_not_evaluated);
    tcase_add_test(c, a_repeated_event_is_held_back_and_counted);
    tcase_add_test(c, what_is_still_held_back_is_told_at_the_end);
    tcase_add_test(c, more_events_than_places_lose_no_count);
    tcase_add_test(c, debug_lines_are_never_held_back);
    tcase_add_test(c, a_line_too_long_is_cut_at_a_field_and_says_so);
    tcase_add_test(c, threads_write_whole_lines);
    tcase_add_test(c, a_file_gets_each_line_at_once);
    tcase_add_test(c, levels_and_formats_are_read_by_name);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
