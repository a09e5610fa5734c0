#include "bench/wire.h"

#include <check.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void pair(struct wire *a, struct wire *b)
{
    int fds[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    *a = (struct wire){.fd = fds[0]};
    *b = (struct wire){.fd = fds[1]};
}

START_TEST(lines_come_out_whole_however_they_arrive)
{
    struct wire a, b;
    struct bytes line;
    pair(&a, &b);
    static const char text[] = "OK 1\r\n\r\nlast\r\n";
    int lines = 0;
    static const char *const want[] = {"OK 1", "", "last"};
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        buffer_put(&a.out, text + i, 1);
        ck_assert_int_eq(wire_wait(&a, 0, NULL), ERR_OK);
        ck_assert_int_eq(wire_wait(&b, UINT64_MAX, NULL), ERR_OK);
        while (wire_line(&b, &line)) {
            ck_assert(bytes_equal(line, bytes_text(want[lines])));
            lines++;
        }
    }
    ck_assert_int_eq(lines, 3);
    wire_close(&a);
    wire_close(&b);
}
END_TEST

START_TEST(waiting_with_nothing_to_come_ends_at_the_timeout)
{
    struct wire a, b;
    pair(&a, &b);
    ck_assert_int_eq(wire_wait(&a, 1000000, NULL), ERR_OK);
    ck_assert_uint_eq(wire_view(&a).len, 0);
    ck_assert_int_eq(wire_readable(a.fd, 0, NULL), ERR_TIMEOUT);
    wire_close(&a);
    wire_close(&b);
}
END_TEST

START_TEST(two_full_pipes_do_not_wait_for_each_other)
{
    struct wire a, b;
    pair(&a, &b);
    static uint8_t block[4 * 1024 * 1024];
    buffer_put(&a.out, block, sizeof(block));
    buffer_put(&b.out, block, sizeof(block));
    size_t got_a = 0, got_b = 0;
    while (got_a < sizeof(block) || got_b < sizeof(block)) {
        ck_assert_int_eq(wire_wait(&a, 0, NULL), ERR_OK);
        ck_assert_int_eq(wire_wait(&b, 0, NULL), ERR_OK);
        got_a += wire_view(&a).len;
        got_b += wire_view(&b).len;
        wire_eat(&a, wire_view(&a).len);
        wire_eat(&b, wire_view(&b).len);
    }
    ck_assert_uint_eq(got_a, sizeof(block));
    ck_assert_uint_eq(got_b, sizeof(block));
    wire_close(&a);
    wire_close(&b);
}
END_TEST

START_TEST(a_peer_that_is_gone_is_an_error)
{
    struct wire a, b;
    pair(&a, &b);
    wire_close(&b);
    ck_assert_int_eq(wire_wait(&a, UINT64_MAX, NULL), ERR_CLOSED);
    buffer_put(&a.out, "x", 1);
    ck_assert_int_eq(wire_wait(&a, UINT64_MAX, NULL), ERR_IO);
    wire_close(&a);
}
END_TEST

START_TEST(an_address_is_a_host_and_a_port)
{
    char host[16];
    int port = 0;
    ck_assert_int_eq(wire_address("localhost:9325", host, sizeof(host), &port, NULL), ERR_OK);
    ck_assert_str_eq(host, "localhost");
    ck_assert_int_eq(port, 9325);
    static const char *const wrong[] = {"",       ":",          "host",    "host:",    ":80",
                                        "host:0", "host:65536", "host:-1", "host:80x", "a-name-that-is-too-long:80"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct error e = {0};
        ck_assert_msg(wire_address(wrong[i], host, sizeof(host), &port, &e) == ERR_INVALID, "%s", wrong[i]);
        ck_assert_str_eq(e.field, "server");
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("wire");
    TCase *c = tcase_create("wire");
    tcase_add_test(c, lines_come_out_whole_however_they_arrive);
    tcase_add_test(c, waiting_with_nothing_to_come_ends_at_the_timeout);
    tcase_add_test(c, two_full_pipes_do_not_wait_for_each_other);
    tcase_add_test(c, a_peer_that_is_gone_is_an_error);
    tcase_add_test(c, an_address_is_a_host_and_a_port);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
