#include "dispatch/address.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static bool allowed(const struct address_policy *p, const char *text)
{
    struct sockaddr_storage s = {0};
    struct sockaddr_in *in = (struct sockaddr_in *)&s;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&s;
    if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
    } else {
        ck_assert_int_eq(inet_pton(AF_INET6, text, &in6->sin6_addr), 1);
        in6->sin6_family = AF_INET6;
    }
    return address_allowed(p, (struct sockaddr *)&s);
}

static const char *const private[] = {"0.0.0.0",
                                      "0.1.2.3",
                                      "10.0.0.0",
                                      "10.255.255.255",
                                      "100.64.0.1",
                                      "100.127.255.255",
                                      "127.0.0.1",
                                      "127.255.0.1",
                                      "169.254.169.254",
                                      "169.254.0.1",
                                      "172.16.0.1",
                                      "172.31.255.255",
                                      "192.0.0.1",
                                      "192.0.2.1",
                                      "192.88.99.1",
                                      "192.168.0.1",
                                      "192.168.255.255",
                                      "198.18.0.1",
                                      "198.19.255.255",
                                      "198.51.100.1",
                                      "203.0.113.1",
                                      "224.0.0.1",
                                      "239.255.255.250",
                                      "240.0.0.1",
                                      "255.255.255.255",
                                      "::",
                                      "::1",
                                      "::7f00:1",
                                      "::ffff:127.0.0.1",
                                      "::ffff:10.0.0.1",
                                      "::ffff:169.254.169.254",
                                      "::10.0.0.1",
                                      "64:ff9b::10.0.0.1",
                                      "64:ff9b::a9fe:a9fe",
                                      "64:ff9b:1::1",
                                      "100::1",
                                      "2001::1",
                                      "2001:db8::1",
                                      "2002:7f00:1::",
                                      "2002:a00:1::",
                                      "2002:c0a8:101::1",
                                      "3fff::1",
                                      "5f00::1",
                                      "fc00::1",
                                      "fd12:3456::1",
                                      "fd00:ec2::254",
                                      "fe80::1",
                                      "febf::1",
                                      "fec0::1",
                                      "ff02::1",
                                      "4000::1",
                                      "::ffff:0:127.0.0.1"};

START_TEST(what_is_not_public_is_refused)
{
    struct address_policy p = {0};
    for (size_t i = 0; i < sizeof private / sizeof private[0]; i++)
        ck_assert_msg(!allowed(&p, private[i]), "%s is allowed", private[i]);
}
END_TEST

static const char *const public[] = {"1.1.1.1",          "8.8.8.8",         "9.255.255.255",       "11.0.0.0",
                                     "100.63.255.255",   "100.128.0.0",     "126.255.255.255",     "128.0.0.1",
                                     "169.253.255.255",  "169.255.0.0",     "172.15.255.255",      "172.32.0.0",
                                     "192.167.255.255",  "192.169.0.0",     "198.17.255.255",      "198.20.0.0",
                                     "223.255.255.255",  "2606:4700::1111", "2a00:1450::1",        "::ffff:8.8.8.8",
                                     "64:ff9b::808:808", "2002:808:808::1", "2001:4860:4860::8888"};

START_TEST(what_is_public_is_allowed)
{
    struct address_policy p = {0};
    for (size_t i = 0; i < sizeof public / sizeof public[0]; i++)
        ck_assert_msg(allowed(&p, public[i]), "%s is refused", public[i]);
}
END_TEST

START_TEST(a_broker_on_loopback_may_reach_everything)
{
    struct address_policy p = {.allow_private = true};
    for (size_t i = 0; i < sizeof private / sizeof private[0]; i++)
        ck_assert(allowed(&p, private[i]));
}
END_TEST

START_TEST(an_allowed_range_opens_itself_and_nothing_beside_it)
{
    struct address_policy p = {0};
    ck_assert_int_eq(address_policy_allow(&p, "10.1.0.0/16", NULL), ERR_OK);
    ck_assert_int_eq(address_policy_allow(&p, "192.168.7.9", NULL), ERR_OK);
    ck_assert_int_eq(address_policy_allow(&p, "172.16.128.0/17", NULL), ERR_OK);
    ck_assert_int_eq(address_policy_allow(&p, "fd00:1::/32", NULL), ERR_OK);
    ck_assert(allowed(&p, "10.1.0.0") && allowed(&p, "10.1.255.255"));
    ck_assert(!allowed(&p, "10.0.255.255") && !allowed(&p, "10.2.0.0"));
    ck_assert(allowed(&p, "192.168.7.9") && !allowed(&p, "192.168.7.8"));
    ck_assert(allowed(&p, "172.16.128.0") && allowed(&p, "172.16.255.255") && !allowed(&p, "172.16.127.255"));
    ck_assert(allowed(&p, "fd00:1::9") && !allowed(&p, "fd00:2::9"));
    ck_assert(allowed(&p, "::ffff:10.1.2.3"));
    ck_assert(!allowed(&p, "169.254.169.254"));
}
END_TEST

START_TEST(other_families_are_refused)
{
    struct address_policy p = {.allow_private = true};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    ck_assert(!address_allowed(&p, (struct sockaddr *)&un));
    char text[ADDRESS_TEXT_MAX];
    ck_assert_str_eq(address_text((struct sockaddr *)&un, text), "?");
}
END_TEST

START_TEST(what_is_no_range_is_refused)
{
    static const char *const bad[] = {
        "",           "10",         "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1",    "10.0.0.0/8x",
        "10.0.0.1/8", "fd00::/129", "fd00::1/8",   "localhost", "10.0.0.0/08888", "::ffff:/96",
        "1.2.3.4/1 ", "999.1.1.1",  "/8"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct address_range r;
        struct error e = {0};
        ck_assert_msg(address_range_parse(bad[i], &r, &e) == ERR_INVALID, "%s was taken", bad[i]);
        ck_assert_str_ne(e.message, "");
    }
    char long_text[300];
    memset(long_text, '1', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    struct address_range r;
    ck_assert_int_eq(address_range_parse(long_text, &r, NULL), ERR_INVALID);
}
END_TEST

START_TEST(there_is_an_end_to_ranges)
{
    struct address_policy p = {0};
    for (int i = 0; i < ADDRESS_RANGES_MAX; i++)
        ck_assert_int_eq(address_policy_allow(&p, "10.0.0.0/8", NULL), ERR_OK);
    ck_assert_int_eq(address_policy_allow(&p, "10.0.0.0/8", NULL), ERR_LIMIT);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("address");
    TCase *c = tcase_create("address");
    tcase_set_timeout(c, 300); /* against hanging for ever, not a measure */
    tcase_add_test(c, what_is_not_public_is_refused);
    tcase_add_test(c, what_is_public_is_allowed);
    tcase_add_test(c, a_broker_on_loopback_may_reach_everything);
    tcase_add_test(c, an_allowed_range_opens_itself_and_nothing_beside_it);
    tcase_add_test(c, other_families_are_refused);
    tcase_add_test(c, what_is_no_range_is_refused);
    tcase_add_test(c, there_is_an_end_to_ranges);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
