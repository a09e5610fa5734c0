#include "net/resolve.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct loop loop;
static struct resolve resolve;
static struct error e;

START_TEST(host_and_port_are_taken_apart_and_what_is_neither_is_refused)
{
    char host[RESOLVE_HOST_MAX + 1];
    uint16_t port;
    ck_assert_int_eq(resolve_split("node-1.example:9400", host, &port, &e), ERR_OK);
    ck_assert_str_eq(host, "node-1.example");
    ck_assert_uint_eq(port, 9400);
    ck_assert_int_eq(resolve_split("[::1]:1", host, &port, &e), ERR_OK);
    ck_assert_str_eq(host, "::1");
    static const char *const wrong[] = {"", "a", ":1", "a:", "a:0", "a:65536", "a:1x", "a:-1", "[]:1", "a: 1"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        ck_assert_msg(resolve_split(wrong[i], host, &port, &e) == ERR_INVALID, "%s", wrong[i]);
    char big[RESOLVE_HOST_MAX + 8];
    memset(big, 'a', sizeof big);
    strcpy(big + RESOLVE_HOST_MAX + 1, ":1");
    ck_assert_int_eq(resolve_split(big, host, &port, &e), ERR_INVALID);
}
END_TEST

static void on_done(struct resolve *r)
{
    ck_assert_ptr_eq(r, &resolve);
    loop_stop(&loop);
}

static void look_up(const char *host)
{
    ck_assert_int_eq(loop_open(&loop, 0, &e), ERR_OK);
    resolve_start(&resolve, &loop, host, 9400, on_done);
    loop_run(&loop);
    loop_close(&loop);
}

START_TEST(a_name_of_this_machine_and_an_address_are_found)
{
    look_up("localhost");
    ck_assert_uint_ge(resolve.count, 1);
    look_up("127.0.0.9");
    ck_assert_uint_eq(resolve.count, 1);
    ck_assert_uint_eq(ntohl(resolve.found[0].four.sin_addr.s_addr), 0x7f000009);
    ck_assert_uint_eq(ntohs(resolve.found[0].four.sin_port), 9400);
}
END_TEST

START_TEST(a_name_that_cannot_be_is_answered_with_why)
{
    look_up("not a name");
    ck_assert_uint_eq(resolve.count, 0);
    ck_assert_int_lt(resolve.failure, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("resolve");
    TCase *t = tcase_create("resolve");
    tcase_add_test(t, host_and_port_are_taken_apart_and_what_is_neither_is_refused);
    tcase_add_test(t, a_name_of_this_machine_and_an_address_are_found);
    tcase_add_test(t, a_name_that_cannot_be_is_answered_with_why);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
