#include "bench/function.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/wire.h"

START_TEST(the_records_of_an_event_are_its_messages)
{
    ck_assert_uint_eq(function_messages(bytes_text("{\"Records\":[{\"messageId\":\"1\"},{\"messageId\":\"2\"}]}")), 2);
    ck_assert_uint_eq(function_messages(bytes_text("hello")), 1);
    ck_assert_uint_eq(function_messages(bytes_text("")), 1);
    ck_assert_uint_eq(function_messages(bytes_of(NULL, 0)), 1);
    ck_assert_uint_eq(function_messages(bytes_text("\"messageId")), 1);
    ck_assert_uint_eq(function_messages(bytes_text("\"messageId\"")), 1);
}
END_TEST

static void open_to(struct wire *w, const struct function_counts *counts)
{
    char address[32];
    snprintf(address, sizeof(address), "127.0.0.1:%d", atomic_load(&counts->port));
    ck_assert_int_eq(wire_open(w, address, NULL), ERR_OK);
}

static void read_answer(struct wire *w)
{
    struct bytes line = {0};
    ck_assert_int_eq(wire_read_line(w, &line, NULL), ERR_OK);
    ck_assert(bytes_equal(line, bytes_text("HTTP/1.1 200 OK")));
    size_t length = 0;
    do {
        ck_assert_int_eq(wire_read_line(w, &line, NULL), ERR_OK);
        if (line.len > 16 && memcmp(line.data, "Content-Length: ", 16) == 0)
            length = strtoul((const char *)line.data + 16, NULL, 10);
    } while (line.len > 0);
    while (wire_view(w).len < length)
        ck_assert_int_eq(wire_wait(w, UINT64_MAX, NULL), ERR_OK);
    ck_assert_int_eq(memcmp(wire_view(w).data, "{\"batchItemFailures\":[]}", length), 0);
    wire_eat(w, length);
}

START_TEST(requests_are_answered_and_counted_also_when_they_come_in_pieces_or_together)
{
    struct function_counts *counts = NULL;
    pid_t pid = 0;
    ck_assert_int_eq(function_start(&counts, &pid, NULL), ERR_OK);
    struct wire w;
    open_to(&w, counts);
    const char *event =
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 35\r\n\r\n{\"messageId\":\"1\"}{\"messageId\":\"2\"} ";
    const size_t len = strlen(event);
    for (size_t i = 0; i < len; i++) {
        buffer_put(&w.out, event + i, 1);
        ck_assert_int_eq(wire_wait(&w, 0, NULL), ERR_OK);
    }
    read_answer(&w);
    for (int i = 0; i < 3; i++)
        buffer_put(&w.out, event, len);
    for (int i = 0; i < 3; i++)
        read_answer(&w);
    ck_assert_uint_eq(atomic_load(&counts->requests), 4);
    ck_assert_uint_eq(atomic_load(&counts->messages), 8);
    ck_assert_uint_eq(atomic_load(&counts->connections), 1);
    wire_close(&w);
    function_stop(counts, pid);
}
END_TEST

START_TEST(what_is_no_http_is_cut_off_and_others_are_served)
{
    struct function_counts *counts = NULL;
    pid_t pid = 0;
    ck_assert_int_eq(function_start(&counts, &pid, NULL), ERR_OK);
    struct wire bad, good;
    open_to(&bad, counts);
    open_to(&good, counts);
    buffer_printf(&bad.out, "\x01\x02 nonsense\r\n\r\n");
    ck_assert_int_eq(wire_wait(&bad, UINT64_MAX, NULL), ERR_CLOSED);
    buffer_printf(&good.out, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    read_answer(&good);
    wire_close(&bad);
    wire_close(&good);
    function_stop(counts, pid);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("function");
    TCase *c = tcase_create("function");
    tcase_add_test(c, the_records_of_an_event_are_its_messages);
    tcase_add_test(c, requests_are_answered_and_counted_also_when_they_come_in_pieces_or_together);
    tcase_add_test(c, what_is_no_http_is_cut_off_and_others_are_served);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
