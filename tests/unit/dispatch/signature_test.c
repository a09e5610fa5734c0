#include "dispatch/signature.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "net/crypto.h"

static struct crypto *crypto;

static void setup(void)
{
    crypto = crypto_create();
}

static void teardown(void)
{
    crypto_destroy(crypto);
}

/* The example of the Standard Webhooks libraries' own tests. */
START_TEST(the_signature_is_that_of_the_known_example)
{
    struct signature_key key;
    ck_assert_int_eq(signature_key_parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", &key, NULL), ERR_OK);
    ck_assert_uint_eq(key.len, 24);
    struct buffer out = {0};
    signature_write(crypto, &key, 1, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, bytes_text("{\"test\": 2432232314}"),
                    &out);
    ck_assert(bytes_equal(buffer_view(&out), bytes_text("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")));
    buffer_close(&out);
}
END_TEST

START_TEST(two_secrets_give_two_signatures_the_newest_first)
{
    struct signature_key keys[2];
    ck_assert_int_eq(signature_key_parse("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", &keys[0], NULL), ERR_OK);
    ck_assert_int_eq(signature_key_parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", &keys[1], NULL), ERR_OK);
    struct buffer both = {0};
    struct buffer first = {0};
    struct buffer second = {0};
    signature_write(crypto, keys, 2, "id", 1, bytes_text("x"), &both);
    signature_write(crypto, &keys[0], 1, "id", 1, bytes_text("x"), &first);
    signature_write(crypto, &keys[1], 1, "id", 1, bytes_text("x"), &second);
    buffer_u8(&first, ' ');
    buffer_put(&first, second.data, second.len);
    ck_assert(bytes_equal(buffer_view(&both), buffer_view(&first)));
    ck_assert_uint_lt(both.len, SIGNATURE_TEXT_MAX);
    buffer_close(&both);
    buffer_close(&first);
    buffer_close(&second);
}
END_TEST

START_TEST(a_secret_that_is_none_is_refused_and_not_repeated)
{
    static const char *const bad[] = {
        "",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_",
        "whsec_c2hvcnQ=",
        "whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa-w",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw ",
        "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct signature_key key;
        struct error e = {0};
        ck_assert_msg(signature_key_parse(bad[i], &key, &e) == ERR_INVALID, "%s was taken", bad[i]);
        ck_assert_str_eq(e.field, "secrets");
        if (strlen(bad[i]) > 12)
            ck_assert_ptr_null(strstr(e.message, bad[i] + 6));
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("signature");
    TCase *c = tcase_create("signature");
    tcase_set_timeout(c, 300); /* against hanging for ever, not a measure */
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, the_signature_is_that_of_the_known_example);
    tcase_add_test(c, two_secrets_give_two_signatures_the_newest_first);
    tcase_add_test(c, a_secret_that_is_none_is_refused_and_not_repeated);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
