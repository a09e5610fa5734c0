#include "base/sha256.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(struct bytes b, const char *expected)
{
    uint8_t digest[SHA256_LEN];
    char text[2 * SHA256_LEN + 1];
    sha256(b, digest);
    for (size_t i = 0; i < SHA256_LEN; i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    ck_assert_str_eq(text, expected);
}

START_TEST(the_digests_of_the_standard_come_out)
{
    check(bytes_of(NULL, 0), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check(bytes_text("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check(bytes_text("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    char *million = malloc(1000000);
    ck_assert_ptr_nonnull(million);
    memset(million, 'a', 1000000);
    check(bytes_of(million, 1000000), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(million);
}
END_TEST

/* Digest of the digests of 0 to 129 bytes: every length around the edges of one and two blocks. */
START_TEST(every_length_around_a_block_is_padded_right)
{
    uint8_t all[130 * SHA256_LEN];
    uint8_t data[130];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)i;
    for (size_t i = 0; i < sizeof data; i++)
        sha256(bytes_of(data, i), all + i * SHA256_LEN);
    check(bytes_of(all, sizeof all), "105812602bb337abca31d9f6bf3a57a3907500005fad7c01e1e1140aa77e4499");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sha256");
    TCase *c = tcase_create("sha256");
    tcase_add_test(c, the_digests_of_the_standard_come_out);
    tcase_add_test(c, every_length_around_a_block_is_padded_right);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
