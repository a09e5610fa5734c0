/* The broker's settings: which source wins, and what a file or the environment may not say. */
#include "server/config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"

static struct config config;
static struct error e;
static char path[64];

static void set_up(void)
{
    config_defaults(&config);
    e = (struct error){0};
    snprintf(path, sizeof path, "/tmp/hato-config-XXXXXX");
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
}

static void tear_down(void)
{
    config_close(&config);
    unlink(path);
}

static int load(char **environment, const char *flag)
{
    char *argv[] = {(char *)"hatod", (char *)"--config", path, (char *)flag, NULL};
    return config_load(&config, flag != NULL ? 4 : 3, argv, environment, &e);
}

static int load_bytes(const char *text, size_t len)
{
    FILE *f = fopen(path, "wb");
    ck_assert_uint_eq(fwrite(text, 1, len, f), len);
    ck_assert_int_eq(fclose(f), 0);
    char *environment[] = {NULL};
    return load(environment, NULL);
}

static int load_text(const char *text)
{
    return load_bytes(text, strlen(text));
}

/* The file is refused for the line of this number, with a message that holds `part`. */
static void expect_refusal(const char *text, unsigned line, const char *part)
{
    char where[96];
    snprintf(where, sizeof where, "%s, line %u: ", path, line);
    ck_assert_int_eq(load_text(text), ERR_INVALID);
    ck_assert_msg(strstr(e.message, where) == e.message, "'%s' does not begin with '%s'", e.message, where);
    ck_assert_msg(strstr(e.message, part) != NULL, "'%s' does not hold '%s'", e.message, part);
}

START_TEST(a_file_has_a_setting_a_line_among_comments_sections_and_empty_lines)
{
    ck_assert_int_eq(
        load_text("\xEF\xBB\xBF; the broker\n# of tests\n\n  \t\r\n[hatod]\ndata=/d ; where\nlisten = [::1]:7\r\n"
                  "region =\nlog-window\t= 2GiB  \ncache = 64MiB"),
        ERR_OK);
    ck_assert_str_eq(config.data, "/d");
    ck_assert_str_eq(config.listen, "[::1]:7");
    ck_assert_str_eq(config.region, "");
    ck_assert_uint_eq(config.log_window, UINT64_C(2) << 30);
    ck_assert_uint_eq(config.cache, 64u << 20);
}
END_TEST

START_TEST(a_value_may_be_long)
{
    char text[4000] = "peers = ";
    memset(text + strlen(text), 'p', 3000);
    ck_assert_int_eq(load_text(text), ERR_OK);
    ck_assert_uint_eq(strlen(config.peers), 3000);
}
END_TEST

START_TEST(an_indented_line_does_not_go_on_the_setting_before)
{
    expect_refusal("data = /d\n  listen = 0.0.0.0:1\n", 2, "indented");
    ck_assert_str_eq(config.data, "/d");
}
END_TEST

START_TEST(a_value_stands_without_quotes)
{
    expect_refusal("listen = 127.0.0.1:1\ndata = \"/d\"\n", 2, "quotes");
    expect_refusal("data = '/d'\n", 1, "quotes");
}
END_TEST

START_TEST(a_file_without_end_is_not_read_to_it)
{
    char *argv[] = {(char *)"hatod", (char *)"--config", (char *)"/dev/zero", NULL};
    ck_assert_int_eq(config_load(&config, 3, argv, (char *[]){NULL}, &e), ERR_TOO_LARGE);
    ck_assert_ptr_nonnull(strstr(e.message, "/dev/zero has more than 65536 bytes"));
}
END_TEST

START_TEST(a_setting_is_given_once)
{
    expect_refusal("data = /d\nlisten = 127.0.0.1:1\ndata = /e\n", 3, "'data' is given twice");
    ck_assert_str_eq(config.data, "/d");
}
END_TEST

START_TEST(of_several_errors_the_first_is_told_with_its_own_line)
{
    expect_refusal("data = /d\nzz = 1\nzy = 2\n", 2, "'zz'");
}
END_TEST

START_TEST(a_line_that_is_no_setting_is_refused)
{
    const char *const lines[] = {"listen", "= 3", "listen: 127.0.0.1:1", "[hatod"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char text[100];
        snprintf(text, sizeof text, "%s\nzy = 1\n", lines[i]);
        expect_refusal(text, 1, "name = value");
    }
    ck_assert_int_eq(load_bytes("data = a\0b\n", 11), ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(e.message, ", line 1: "));
}
END_TEST

START_TEST(a_file_can_not_name_what_is_for_flags_alone)
{
    expect_refusal("config = other\n", 1, "'config'");
    expect_refusal("help = true\n", 1, "'help'");
    expect_refusal("version = true\n", 1, "'version'");
}
END_TEST

START_TEST(a_file_that_can_not_be_read_is_named)
{
    unlink(path);
    char *environment[] = {NULL};
    ck_assert_int_eq(load(environment, NULL), ERR_IO);
    ck_assert_ptr_nonnull(strstr(e.message, path));
    snprintf(path, sizeof path, "/tmp");
    ck_assert_int_eq(load(environment, NULL), ERR_IO);
}
END_TEST

START_TEST(flags_win_over_the_environment_and_that_over_the_file)
{
    FILE *f = fopen(path, "w");
    fputs("data = file\nlisten = file\nhttp = file\n", f);
    fclose(f);
    char *environment[] = {(char *)"HATO_LISTEN=environment", (char *)"HATO_HTTP=environment", NULL};
    ck_assert_int_eq(load(environment, "--http=flag"), ERR_OK);
    ck_assert_str_eq(config.data, "file");
    ck_assert_str_eq(config.listen, "environment");
    ck_assert_str_eq(config.http, "flag");
}
END_TEST

START_TEST(the_environment_may_name_the_file)
{
    FILE *f = fopen(path, "w");
    fputs("data = file\n", f);
    fclose(f);
    char variable[96];
    snprintf(variable, sizeof variable, "HATO_CONFIG=%s", path);
    char *environment[] = {variable, NULL};
    char *argv[] = {(char *)"hatod", NULL};
    ck_assert_int_eq(config_load(&config, 1, argv, environment, &e), ERR_OK);
    ck_assert_str_eq(config.data, "file");
}
END_TEST

START_TEST(variables_that_are_for_flags_alone_or_for_others_are_left_alone)
{
    char *environment[] = {(char *)"HATO_VERSION=1.2", (char *)"HATO_HELP=1", (char *)"HATO_SERVER=there:1",
                           (char *)"HATO_NODE=7", NULL};
    ck_assert_int_eq(load(environment, NULL), ERR_OK);
    ck_assert(!config.version);
    ck_assert(!config.help);
    ck_assert_uint_eq(config.node, 7);
}
END_TEST

static void expect_bad_endpoints(const char *flag, const char *part)
{
    struct address_policy policy;
    char *environment[] = {NULL};
    ck_assert_int_eq(load(environment, flag), ERR_OK);
    ck_assert_int_eq(config_endpoints(&config, &policy, &e), ERR_INVALID);
    ck_assert_msg(strstr(e.message, "--allow-endpoints: ") == e.message, "%s", e.message);
    ck_assert_msg(strstr(e.message, part) != NULL, "%s", e.message);
}

START_TEST(whoever_asks_for_help_gets_it_whatever_the_other_settings_are)
{
    char *environment[] = {(char *)"HATO_CONFIG=/nonexistent", (char *)"HATO_SHARDS=none", NULL};
    unlink(path);
    ck_assert_int_eq(load(environment, "--help"), ERR_OK);
    ck_assert(config.help);
}
END_TEST

START_TEST(a_segment_is_a_quarter_of_a_small_window_and_is_never_more)
{
    ck_assert_int_eq(load_text("log-window = 90MiB\n"), ERR_OK);
    ck_assert_uint_eq(config.log_segment, 22u << 20);
    ck_assert_int_eq(config_check(&config, &e), ERR_OK);
    ck_assert_int_eq(load_text("log-window = 64MiB\nlog-segment = 17MiB\n"), ERR_OK);
    ck_assert_int_eq(config_check(&config, &e), ERR_INVALID);
    ck_assert_str_eq(e.field, "log-window");
}
END_TEST

START_TEST(a_segment_given_alone_is_measured_by_the_window_that_is_the_default)
{
    ck_assert_int_eq(load_text(""), ERR_OK);
    ck_assert_uint_eq(config.log_segment, 64u << 20);
    ck_assert_int_eq(load_text("log-segment = 1GiB\n"), ERR_OK);
    ck_assert_int_eq(config_check(&config, &e), ERR_INVALID);
    ck_assert_str_eq(e.field, "log-window");
}
END_TEST

START_TEST(endpoints_are_allowed_by_ranges_of_addresses)
{
    struct address_policy policy;
    char *environment[] = {NULL};
    ck_assert_int_eq(load(environment, "--listen=0.0.0.0:1"), ERR_OK);
    ck_assert_int_eq(config_endpoints(&config, &policy, &e), ERR_OK);
    ck_assert(!policy.allow_private);
    ck_assert_uint_eq(policy.allowed_count, 0);
    ck_assert_int_eq(load(environment, "--allow-endpoints=10.1.0.0/16,fd00::/8,192.168.1.7"), ERR_OK);
    ck_assert_int_eq(config_endpoints(&config, &policy, &e), ERR_OK);
    ck_assert_uint_eq(policy.allowed_count, 3);
    ck_assert_uint_eq(policy.allowed[0].bits, 96 + 16);
    ck_assert_uint_eq(policy.allowed[1].bits, 8);
    ck_assert_uint_eq(policy.allowed[2].bits, 128);
    expect_bad_endpoints("--allow-endpoints=10.1.0.0/16,example.com", "\"example.com\" is not an address");
    expect_bad_endpoints("--allow-endpoints=10.1.0.0/16,", "\"\" is not an address");
    expect_bad_endpoints("--allow-endpoints=10.1.0.0/8", "bits set beyond");
}
END_TEST

START_TEST(on_loopback_endpoints_may_be_anywhere)
{
    struct address_policy policy;
    ck_assert_int_eq(config_endpoints(&config, &policy, &e), ERR_OK);
    ck_assert(policy.allow_private);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("server/config");
    TCase *tc = tcase_create("config");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, a_file_has_a_setting_a_line_among_comments_sections_and_empty_lines);
    tcase_add_test(tc, a_value_may_be_long);
    tcase_add_test(tc, an_indented_line_does_not_go_on_the_setting_before);
    tcase_add_test(tc, a_value_stands_without_quotes);
    tcase_add_test(tc, a_file_without_end_is_not_read_to_it);
    tcase_add_test(tc, a_setting_is_given_once);
    tcase_add_test(tc, of_several_errors_the_first_is_told_with_its_own_line);
    tcase_add_test(tc, a_line_that_is_no_setting_is_refused);
    tcase_add_test(tc, a_file_can_not_name_what_is_for_flags_alone);
    tcase_add_test(tc, a_file_that_can_not_be_read_is_named);
    tcase_add_test(tc, flags_win_over_the_environment_and_that_over_the_file);
    tcase_add_test(tc, the_environment_may_name_the_file);
    tcase_add_test(tc, variables_that_are_for_flags_alone_or_for_others_are_left_alone);
    tcase_add_test(tc, whoever_asks_for_help_gets_it_whatever_the_other_settings_are);
    tcase_add_test(tc, a_segment_is_a_quarter_of_a_small_window_and_is_never_more);
    tcase_add_test(tc, a_segment_given_alone_is_measured_by_the_window_that_is_the_default);
    tcase_add_test(tc, endpoints_are_allowed_by_ranges_of_addresses);
    tcase_add_test(tc, on_loopback_endpoints_may_be_anywhere);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
