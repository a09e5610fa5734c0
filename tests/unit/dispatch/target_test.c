#include "dispatch/target.h"

#include <check.h>
#include <proto/settings.pb-c.h>
#include <stdlib.h>
#include <string.h>

#include "dispatch/fake_source.h"
#include "dispatch/format.h"
#include "state/settings.h"

static Hato__FunctionSettings settings;
static char *headers[TARGET_HEADERS_MAX + 1];

static void setup(void)
{
    hato__function_settings__init(&settings);
    settings.url = loose("https://example.com/hook");
    settings.headers = headers;
}

static void teardown(void)
{
}

static struct target *make(void)
{
    struct target *t = NULL;
    struct error e = {0};
    int code = target_create(&t, &settings, "Hato/1", &e);
    ck_assert_msg(code == ERR_OK, "%s", e.message);
    return t;
}

static void refused(const char *field)
{
    struct target *t = NULL;
    struct error e = {0};
    ck_assert_int_eq(target_create(&t, &settings, "Hato/1", &e), ERR_INVALID);
    ck_assert_str_eq(e.field, field);
    ck_assert_str_ne(e.message, "");
}

START_TEST(absent_settings_have_their_defaults)
{
    struct target *t = make();
    ck_assert_ptr_eq(t->format, &format_raw);
    ck_assert_uint_eq(t->timeout_ms, 30000);
    ck_assert_uint_eq(t->connect_ms, 10000);
    ck_assert_uint_eq(t->retry_min_ms, 1000);
    ck_assert_uint_eq(t->retry_max_ms, 300000);
    ck_assert_uint_eq(t->max_concurrency, 1000);
    ck_assert(!t->emulator);
    target_unref(t);
}
END_TEST

static const char *const bad_urls[] = {"",
                                       "example.com",
                                       "ftp://example.com/",
                                       "file:///etc/passwd",
                                       "http://",
                                       "javascript:1",
                                       "http://a b/",
                                       "http://[::1/",
                                       "http://example.com:99999/",
                                       "//x"};

START_TEST(a_url_that_is_not_http_is_refused)
{
    settings.url = loose(bad_urls[_i]);
    refused("url");
}
END_TEST

START_TEST(a_url_has_a_limit)
{
    static char url[TARGET_URL_MAX + 2] = "http://example.com/";
    memset(url + strlen(url), 'x', sizeof url - 1 - strlen(url));
    settings.url = url;
    refused("url");
    settings.url = NULL;
    refused("url");
}
END_TEST

static const char *const bad_headers[] = {"",
                                          "no colon",
                                          ": value",
                                          "na me: v",
                                          "X: a\r\nY: b",
                                          "X: a\nb",
                                          "X: \x01",
                                          "Content-Length: 5",
                                          "transfer-encoding: chunked",
                                          "Connection: close",
                                          "Expect: 100-continue"};

START_TEST(a_header_that_would_break_the_request_is_refused)
{
    headers[0] = loose(bad_headers[_i]);
    settings.n_headers = 1;
    refused("headers");
}
END_TEST

START_TEST(there_is_an_end_to_headers)
{
    for (int i = 0; i <= TARGET_HEADERS_MAX; i++)
        headers[i] = loose("X: y");
    settings.n_headers = TARGET_HEADERS_MAX + 1;
    refused("headers");
    settings.n_headers = TARGET_HEADERS_MAX;
    target_unref(make());
}
END_TEST

START_TEST(a_content_type_can_not_smuggle_a_line)
{
    settings.content_type = loose("text/plain\r\nX: y");
    refused("content_type");
}
END_TEST

START_TEST(more_secrets_than_a_rotation_needs_are_refused)
{
    char *secret = loose("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    char *secrets[] = {secret, secret, secret};
    settings.secrets = secrets;
    settings.n_secrets = 2;
    struct target *t = make();
    ck_assert_uint_eq(t->key_count, 2);
    target_unref(t);
    settings.n_secrets = 3;
    refused("secrets");
}
END_TEST

START_TEST(a_format_not_known_is_refused)
{
    settings.has_format = true;
    settings.format = (Hato__Format)99;
    refused("format");
}
END_TEST

START_TEST(the_emulator_is_known_by_its_path_and_served_one_at_a_time_unless_told)
{
    settings.url = loose("http://127.0.0.1:9000/2015-03-31/functions/function/invocations");
    struct target *t = make();
    ck_assert(t->emulator);
    ck_assert_uint_eq(t->max_concurrency, 1);
    target_unref(t);
    settings.has_max_concurrency = true;
    settings.max_concurrency = 4;
    t = make();
    ck_assert_uint_eq(t->max_concurrency, 4);
    target_unref(t);
    settings.max_concurrency = 1000;
    t = make();
    ck_assert_uint_eq(t->max_concurrency, 1000);
    target_unref(t);
    settings.url = loose("http://127.0.0.1:9000/2015-03-31/functions/other/invocations");
    t = make();
    ck_assert(!t->emulator);
    target_unref(t);
}
END_TEST

#define INVOCATIONS "2015-03-31/functions/function/invocations"

static const char *const emulator_urls[] = {"http://a/" INVOCATIONS,     "HTTP://[::1]:9000/" INVOCATIONS "?x=y",
                                            "http://a/./" INVOCATIONS,   "http://a/b/../" INVOCATIONS,
                                            "http://a/" INVOCATIONS "/", "http://a?/" INVOCATIONS,
                                            "http://a/b?/" INVOCATIONS};

START_TEST(who_is_taken_for_the_emulator_has_its_settings)
{
    settings.url = loose(emulator_urls[_i]);
    Hato__FunctionSettings *full = NULL;
    ck_assert_int_eq(settings_function_create(&settings, &full, NULL), ERR_OK);
    struct target *t = make();
    ck_assert_int_eq(t->emulator, full->max_concurrency == 1);
    ck_assert_int_eq(t->emulator, _i < 2);
    target_unref(t);
    settings_function_free(full);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("target");
    TCase *c = tcase_create("target");
    tcase_set_timeout(c, 300); /* against hanging for ever, not a measure */
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, absent_settings_have_their_defaults);
    tcase_add_loop_test(c, a_url_that_is_not_http_is_refused, 0, sizeof bad_urls / sizeof bad_urls[0]);
    tcase_add_test(c, a_url_has_a_limit);
    tcase_add_loop_test(c, a_header_that_would_break_the_request_is_refused, 0,
                        sizeof bad_headers / sizeof bad_headers[0]);
    tcase_add_test(c, there_is_an_end_to_headers);
    tcase_add_test(c, a_content_type_can_not_smuggle_a_line);
    tcase_add_test(c, more_secrets_than_a_rotation_needs_are_refused);
    tcase_add_test(c, a_format_not_known_is_refused);
    tcase_add_test(c, the_emulator_is_known_by_its_path_and_served_one_at_a_time_unless_told);
    tcase_add_loop_test(c, who_is_taken_for_the_emulator_has_its_settings, 0,
                        sizeof emulator_urls / sizeof emulator_urls[0]);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
