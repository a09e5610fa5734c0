#include "net/crypto.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct crypto *crypto;

static void setup(void)
{
    crypto = crypto_create();
}

static void teardown(void)
{
    crypto_destroy(crypto);
}

static void check_hex(const uint8_t *got, size_t len, const char *want)
{
    struct buffer text = {0};
    crypto_hex(&text, bytes_of(got, len));
    ck_assert_uint_eq(text.len, strlen(want));
    ck_assert_int_eq(memcmp(text.data, want, text.len), 0);
    buffer_close(&text);
}

/* RFC 1321, A.5 */
START_TEST(md5_gives_the_digests_of_its_rfc)
{
    uint8_t out[CRYPTO_MD5];
    crypto_md5(crypto, NULL, 0, out);
    check_hex(out, sizeof out, "d41d8cd98f00b204e9800998ecf8427e");
    struct bytes whole = bytes_text("message digest");
    crypto_md5(crypto, &whole, 1, out);
    check_hex(out, sizeof out, "f96b697d7cb7938d525a2f31aaf161d0");
    struct bytes parts[] = {bytes_text("mess"), bytes_of(NULL, 0), bytes_text("age digest")};
    crypto_md5(crypto, parts, 3, out);
    check_hex(out, sizeof out, "f96b697d7cb7938d525a2f31aaf161d0");
}
END_TEST

/* FIPS 180-2, B.1 and B.2 */
START_TEST(sha256_gives_the_digests_of_its_standard)
{
    uint8_t out[CRYPTO_SHA256];
    struct bytes abc = bytes_text("abc");
    crypto_sha256(crypto, &abc, 1, out);
    check_hex(out, sizeof out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    struct bytes parts[] = {bytes_text("abcdbcdecdefdefgefghfghighijhi"), bytes_text("jkijkljklmklmnlmnomnopnopq")};
    crypto_sha256(crypto, parts, 2, out);
    check_hex(out, sizeof out, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}
END_TEST

/* RFC 4231, cases 1, 2 and 6; and an empty key after another one. */
START_TEST(hmac_sha256_gives_the_codes_of_its_rfc)
{
    uint8_t out[CRYPTO_SHA256];
    uint8_t key[131];
    memset(key, 0x0b, 20);
    struct bytes text = bytes_text("Hi There");
    crypto_hmac_sha256(crypto, bytes_of(key, 20), &text, 1, out);
    check_hex(out, sizeof out, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");

    struct bytes parts[] = {bytes_text("what do ya want "), bytes_text("for nothing?")};
    crypto_hmac_sha256(crypto, bytes_text("Jefe"), parts, 2, out);
    check_hex(out, sizeof out, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");

    crypto_hmac_sha256(crypto, bytes_of(NULL, 0), NULL, 0, out);
    check_hex(out, sizeof out, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");

    memset(key, 0xaa, 131);
    text = bytes_text("Test Using Larger Than Block-Size Key - Hash Key First");
    crypto_hmac_sha256(crypto, bytes_of(key, 131), &text, 1, out);
    check_hex(out, sizeof out, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}
END_TEST

/* RFC 4648, section 10 */
static const char *const vectors[][2] = {{"", ""},
                                         {"f", "Zg=="},
                                         {"fo", "Zm8="},
                                         {"foo", "Zm9v"},
                                         {"foob", "Zm9vYg=="},
                                         {"fooba", "Zm9vYmE="},
                                         {"foobar", "Zm9vYmFy"}};

START_TEST(base64_is_that_of_its_rfc_both_ways)
{
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        struct buffer out = {0};
        buffer_u8(&out, '!');
        base64_put(&out, bytes_text(vectors[i][0]));
        ck_assert_uint_eq(out.len, strlen(vectors[i][1]) + 1);
        ck_assert_int_eq(memcmp(out.data + 1, vectors[i][1], out.len - 1), 0);
        buffer_clear(&out);
        ck_assert(base64_take(&out, bytes_text(vectors[i][1])));
        ck_assert(bytes_equal(buffer_view(&out), bytes_text(vectors[i][0])));
        buffer_close(&out);
    }
}
END_TEST

START_TEST(large_bytes_come_back_from_base64)
{
    size_t len = 7 * 1024 * 1024 + 1;
    uint8_t *data = malloc(len);
    crypto_random(data, len);
    struct buffer text = {0};
    struct buffer back = {0};
    base64_put(&text, bytes_of(data, len));
    ck_assert(base64_take(&back, buffer_view(&text)));
    ck_assert(bytes_equal(buffer_view(&back), bytes_of(data, len)));
    buffer_close(&text);
    buffer_close(&back);
    free(data);
}
END_TEST

START_TEST(what_is_not_base64_is_refused_and_leaves_the_buffer_alone)
{
    const char *const bad[] = {"Z",    "Zg",   "Zg=",    "Zg===", "=",    "====",     "Z===",
                               "Zm9=", "Zh==", "Zm9v\n", "Zm 9",  "Zm-_", "Zg==Zg==", "Zm\xffv"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct buffer out = {0};
        buffer_put(&out, "kept", 4);
        ck_assert_msg(!base64_take(&out, bytes_text(bad[i])), "%s was taken", bad[i]);
        ck_assert_uint_eq(out.len, 4);
        buffer_close(&out);
    }
}
END_TEST

START_TEST(comparison_sees_a_difference_in_any_place)
{
    uint8_t a[32];
    uint8_t b[32];
    crypto_random(a, sizeof a);
    for (size_t i = 0; i < sizeof a; i++) {
        memcpy(b, a, sizeof a);
        ck_assert(crypto_equal(a, b, sizeof a));
        b[i] ^= 1;
        ck_assert(!crypto_equal(a, b, sizeof a));
    }
    ck_assert(crypto_equal(a, b, 0));
}
END_TEST

START_TEST(random_bytes_fill_all_that_was_asked_for)
{
    static uint8_t bytes[10000];
    crypto_random(bytes, sizeof bytes);
    for (size_t at = 0; at < sizeof bytes; at += 100) {
        uint8_t any = 0;
        for (size_t i = 0; i < 100; i++)
            any |= bytes[at + i];
        ck_assert_uint_ne(any, 0);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("crypto");
    TCase *c = tcase_create("crypto");
    tcase_set_timeout(c, 300); /* against hanging for ever, not a measure */
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, md5_gives_the_digests_of_its_rfc);
    tcase_add_test(c, sha256_gives_the_digests_of_its_standard);
    tcase_add_test(c, hmac_sha256_gives_the_codes_of_its_rfc);
    tcase_add_test(c, base64_is_that_of_its_rfc_both_ways);
    tcase_add_test(c, large_bytes_come_back_from_base64);
    tcase_add_test(c, what_is_not_base64_is_refused_and_leaves_the_buffer_alone);
    tcase_add_test(c, comparison_sees_a_difference_in_any_place);
    tcase_add_test(c, random_bytes_fill_all_that_was_asked_for);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
