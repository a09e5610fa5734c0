#include "state/settings.h"

#include "state/keyspace.h"

typedef Hato__FunctionSettings function_settings;

static int function_code(const function_settings *g, struct error *e)
{
    function_settings *out = NULL;
    int code = settings_function_create(g, &out, e);
    settings_function_free(out);
    return code;
}

static void function_refused(const function_settings *g, const char *field)
{
    struct error e = {0};
    ck_assert_int_eq(function_code(g, &e), ERR_INVALID);
    ck_assert_str_eq(e.field, field);
    ck_assert_str_ne(e.message, "");
}

START_TEST(urls_are_told_apart)
{
    const char *good[] = {"http://127.0.0.1:8080/", "https://example.com", "HTTP://a/b?c=d&e=%20",
                          "http://[::1]:80/x",      "http://[fe80::1]",    "http://a.b-c_d:65535?x"};
    const char *bad[] = {"",
                         "ftp://a/",
                         "http://",
                         "http:///x",
                         "http://a b/",
                         "http://a/\n",
                         "http://user@a/",
                         "http://u:p@a/",
                         "http://a/#x",
                         "http://a:0/",
                         "http://a:65536/",
                         "http://a:x/",
                         "http://a:/",
                         "http://[::1",
                         "http://[]/",
                         "http://[g::1]/",
                         "http://[::1]x/",
                         "a.example/",
                         "http//a",
                         "http://\xc3\xa9/",
                         "http://a\\b/",
                         "http://?x",
                         "javascript:x",
                         "http://a:123456/"};
    function_settings g = HATO__FUNCTION_SETTINGS__INIT;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct error e = {0};
        g.url = (char *)good[i];
        ck_assert_msg(function_code(&g, &e) == ERR_OK, "%s: %s", good[i], e.message);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        g.url = (char *)bad[i];
        function_refused(&g, "url");
    }
    static char long_url[SETTINGS_URL_MAX + 2];
    memset(long_url, 'a', SETTINGS_URL_MAX + 1);
    memcpy(long_url, "http://a/", 9);
    g.url = long_url;
    function_refused(&g, "url");
    long_url[SETTINGS_URL_MAX] = '\0';
    ck_assert_int_eq(function_code(&g, NULL), ERR_OK);
    function_refused(NULL, "url");
}
END_TEST

START_TEST(headers_that_would_break_out_or_belong_to_the_broker_are_refused)
{
    const char *good[] = {"X-Api-Key: abc", "a:", "A!#$%&'*+-.^_`|~9: v", "X: a\tb \xc3\xa9",
                          "Authorization: Bearer x"};
    const char *bad[] = {"",
                         ":",
                         ": v",
                         "no colon",
                         "X : v",
                         "X\r\nY: v",
                         "X: a\r\nY: b",
                         "X: a\nb",
                         "X: \x01",
                         "X: \x7f",
                         "Host: a",
                         "host: a",
                         "Content-Length: 1",
                         "TRANSFER-ENCODING: chunked",
                         "Connection: close",
                         "Keep-Alive: 1",
                         "TE: x",
                         "Upgrade: x",
                         "Expect: 100-continue",
                         "Content-Type: text/plain",
                         "Webhook-Id: x",
                         "ce-id: x",
                         "Hato-Queue: x",
                         "Traceparent: 00-",
                         "\xc3\xa9: v",
                         "(x): v"};
    function_settings g = HATO__FUNCTION_SETTINGS__INIT;
    char *list[SETTINGS_HEADERS_MAX + 1];
    g.url = (char[]){"http://a/"};
    g.headers = list;
    g.n_headers = 1;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct error e = {0};
        list[0] = (char *)good[i];
        ck_assert_msg(function_code(&g, &e) == ERR_OK, "%s: %s", good[i], e.message);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        list[0] = (char *)bad[i];
        function_refused(&g, "headers");
    }
    for (size_t i = 0; i <= SETTINGS_HEADERS_MAX; i++)
        list[i] = (char *)good[0];
    g.n_headers = SETTINGS_HEADERS_MAX;
    ck_assert_int_eq(function_code(&g, NULL), ERR_OK);
    g.n_headers++;
    function_refused(&g, "headers");
    static char long_header[SETTINGS_HEADER_MAX + 2];
    memset(long_header, 'a', SETTINGS_HEADER_MAX + 1);
    long_header[1] = ':';
    list[0] = long_header;
    g.n_headers = 1;
    function_refused(&g, "headers");
}
END_TEST

START_TEST(secrets_are_24_to_64_bytes_in_strict_base64)
{
    const char *good[] = {"whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz",
                          "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNA==", "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU=",
                          ("whsec_"
                           "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMw==")};
    const char *bad[] = {"",
                         "whsec_",
                         "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz",
                         "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=",
                         "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNA",
                         "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNB==",
                         "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzND\n=",
                         "whsec_MDEy=zQ1Njc4OTAxMjM0NTY3ODkwMTIz",
                         "whsec_====",
                         "whsec_="};
    function_settings g = HATO__FUNCTION_SETTINGS__INIT;
    char *list[3];
    g.url = (char[]){"http://a/"};
    g.secrets = list;
    g.n_secrets = 1;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct error e = {0};
        list[0] = (char *)good[i];
        ck_assert_msg(function_code(&g, &e) == ERR_OK, "%s: %s", good[i], e.message);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        list[0] = (char *)bad[i];
        struct error e = {0};
        ck_assert_int_eq(function_code(&g, &e), ERR_INVALID);
        ck_assert_str_eq(e.field, "secrets");
        ck_assert_ptr_null(strstr(e.message, "MDEy")); /* a secret is not told, not even a wrong one */
    }
    list[0] = list[1] = list[2] = (char *)good[0];
    g.n_secrets = 3;
    function_refused(&g, "secrets");
}
END_TEST

START_TEST(a_function_has_defaults_limits_and_keeps_what_is_not_given)
{
    function_settings g = HATO__FUNCTION_SETTINGS__INIT;
    function_settings *s = NULL;
    function_settings *t = NULL;
    char *headers[] = {(char[]){"X-B: 1"}, (char[]){"X-A: 2"}};
    g.url = (char[]){"http://a/"};
    g.headers = headers;
    g.n_headers = 2;
    ck_assert_int_eq(settings_function_create(&g, &s, NULL), ERR_OK);
    ck_assert(s->has_format && s->format == HATO__FORMAT__RAW);
    ck_assert(s->has_timeout_ms && s->timeout_ms == 30000);
    ck_assert(s->has_max_concurrency && s->max_concurrency == 1000);
    ck_assert(s->has_retry_min_ms && s->retry_min_ms == 1000);
    ck_assert(s->has_retry_max_ms && s->retry_max_ms == 300000);
    ck_assert(s->has_rate && s->rate == 0.0);
    ck_assert_str_eq(s->content_type, "application/octet-stream");
    hato__function_settings__init(&g);
    g.has_retry_min_ms = 1;
    g.retry_min_ms = 300001;
    struct error e = {0};
    ck_assert_int_eq(settings_function_merge(s, &g, &t, &e), ERR_INVALID);
    ck_assert_str_eq(e.field, "retry_max_ms");
    g.retry_min_ms = 5;
    g.has_clear_secrets = 1;
    g.clear_secrets = 1;
    ck_assert_int_eq(settings_function_merge(s, &g, &t, &e), ERR_OK);
    ck_assert_str_eq(t->headers[0], "X-B: 1");
    ck_assert_str_eq(t->url, "http://a/");
    ck_assert(!t->has_clear_secrets);
    ck_assert(!settings_function_equal(s, t));
    settings_function_free(t);
    g.has_clear_headers = 1;
    g.clear_headers = 1;
    ck_assert_int_eq(settings_function_merge(s, &g, &t, &e), ERR_OK);
    ck_assert_uint_eq(t->n_headers, 0);
    settings_function_free(t);
    settings_function_free(s);
}
END_TEST

static const char EMULATOR[] = "http://[::1]:9000/2015-03-31/functions/function/invocations";

/* The function's concurrency after a change; `s` becomes the new settings. */
static uint32_t concurrency_after(function_settings **s, const char *url, uint32_t told)
{
    function_settings given = HATO__FUNCTION_SETTINGS__INIT;
    function_settings *next = NULL;
    given.url = (char *)url;
    given.has_max_concurrency = told > 0;
    given.max_concurrency = told;
    if (*s == NULL)
        ck_assert_int_eq(settings_function_create(&given, &next, NULL), ERR_OK);
    else
        ck_assert_int_eq(settings_function_merge(*s, &given, &next, NULL), ERR_OK);
    settings_function_free(*s);
    *s = next;
    return next->max_concurrency;
}

START_TEST(the_emulator_of_aws_gets_one_request_at_a_time_unless_any_other_number_is_told)
{
    function_settings *s = NULL;
    ck_assert_uint_eq(concurrency_after(&s, EMULATOR, 0), 1);
    ck_assert_uint_eq(concurrency_after(&s, NULL, 0), 1);
    ck_assert_uint_eq(concurrency_after(&s, NULL, 1000), 1000);
    ck_assert_uint_eq(concurrency_after(&s, EMULATOR, 0), 1000);
    settings_function_free(s);
    s = NULL;
    ck_assert_uint_eq(concurrency_after(&s, EMULATOR, 1000), 1000);
    settings_function_free(s);
    s = NULL;
    ck_assert_uint_eq(concurrency_after(&s, "http://a/x?/2015-03-31/functions/function/invocations", 0), 1000);
    settings_function_free(s);
    s = NULL;
    ck_assert_uint_eq(concurrency_after(&s, "http://a?/2015-03-31/functions/function/invocations", 0), 1000);
    settings_function_free(s);
    s = NULL;
    ck_assert_uint_eq(concurrency_after(&s, "http://a/2015-03-31/functions/function/invocations?x=y", 0), 1);
    settings_function_free(s);
}
END_TEST

START_TEST(a_number_that_nobody_told_follows_the_function_s_address)
{
    function_settings *s = NULL;
    ck_assert_uint_eq(concurrency_after(&s, "http://a/", 0), 1000);
    ck_assert_uint_eq(concurrency_after(&s, EMULATOR, 0), 1);
    ck_assert_uint_eq(concurrency_after(&s, "http://b/", 0), 1000);
    ck_assert_uint_eq(concurrency_after(&s, EMULATOR, 3), 3);
    ck_assert_uint_eq(concurrency_after(&s, "http://b/", 0), 3);
    settings_function_free(s);
}
END_TEST

START_TEST(the_numbers_of_a_function_have_their_limits)
{
    function_settings g = HATO__FUNCTION_SETTINGS__INIT;
    g.url = (char[]){"http://a/"};
    g.has_timeout_ms = 1;
    g.timeout_ms = 99;
    function_refused(&g, "timeout_ms");
    g.timeout_ms = SETTINGS_HOUR_MS + 1;
    function_refused(&g, "timeout_ms");
    g.has_timeout_ms = 0;
    g.has_format = 1;
    g.format = (Hato__Format)4;
    function_refused(&g, "format");
    g.has_format = 0;
    g.has_max_concurrency = 1;
    g.max_concurrency = 0;
    function_refused(&g, "max_concurrency");
    g.has_max_concurrency = 0;
    double rates[] = {-1.0, 1e-300, 0.0009, 1000001.0, 1.0 / 0.0, 0.0 / 0.0};
    g.has_rate = 1;
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        g.rate = rates[i];
        function_refused(&g, "rate");
    }
    g.rate = 0.5;
    ck_assert_int_eq(function_code(&g, NULL), ERR_OK);
    const char *types[] = {"", "text", "/x", "x/", "a/b\r\nX: y"};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        g.content_type = (char *)types[i];
        function_refused(&g, "content_type");
    }
}
END_TEST

START_TEST(functions_read_back_as_they_were_written_and_hostile_bytes_do_no_harm)
{
    function_settings g = HATO__FUNCTION_SETTINGS__INIT;
    function_settings *s = NULL;
    function_settings *t = NULL;
    char *headers[] = {(char[]){"X-B: 1"}};
    char *secrets[] = {(char[]){"whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"}};
    g.url = (char[]){"http://a/"};
    g.headers = headers;
    g.n_headers = 1;
    g.secrets = secrets;
    g.n_secrets = 1;
    ck_assert_int_eq(settings_function_create(&g, &s, NULL), ERR_OK);
    struct buffer b = {0};
    settings_function_encode(s, &b);
    ck_assert_int_eq(settings_function_decode(buffer_view(&b), &t, NULL), ERR_OK);
    ck_assert(settings_function_equal(s, t));
    settings_function_free(t);
    struct random r;
    random_open(&r, 4);
    for (int i = 0; i < 20000; i++) {
        struct buffer noise = {0};
        buffer_put(&noise, b.data, random_below(&r, b.len) + 1);
        for (uint64_t n = random_below(&r, 6); n > 0; n--)
            noise.data[random_below(&r, noise.len)] = (uint8_t)random_next(&r);
        t = NULL;
        int code = settings_function_decode(buffer_view(&noise), &t, NULL);
        ck_assert(code == ERR_OK || (code == ERR_CORRUPT && t == NULL));
        settings_function_free(t);
        buffer_close(&noise);
    }
    buffer_close(&b);
    settings_function_free(s);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("settings_function");
    TCase *c = tcase_create("settings_function");
    tcase_set_timeout(c, 0);
    tcase_add_test(c, urls_are_told_apart);
    tcase_add_test(c, headers_that_would_break_out_or_belong_to_the_broker_are_refused);
    tcase_add_test(c, secrets_are_24_to_64_bytes_in_strict_base64);
    tcase_add_test(c, a_function_has_defaults_limits_and_keeps_what_is_not_given);
    tcase_add_test(c, the_emulator_of_aws_gets_one_request_at_a_time_unless_any_other_number_is_told);
    tcase_add_test(c, a_number_that_nobody_told_follows_the_function_s_address);
    tcase_add_test(c, the_numbers_of_a_function_have_their_limits);
    tcase_add_test(c, functions_read_back_as_they_were_written_and_hostile_bytes_do_no_harm);
    suite_add_tcase(s, c);
    return keyspace_main(s);
}
