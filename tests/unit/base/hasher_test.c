#include "base/hasher.h"

#include <check.h>
#include <stdlib.h>

START_TEST(pieces_have_the_hash_of_the_whole)
{
    uint8_t all[5000];
    for (size_t i = 0; i < sizeof all; i++)
        all[i] = (uint8_t)(i * 7 + i / 256);
    struct hasher *h = hasher_create();
    ck_assert_uint_eq(hasher_value(h), bytes_hash(bytes_of(NULL, 0), 0));
    static const size_t sizes[] = {1, 3, 239, 240, 241, 1024, 5000};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        hasher_begin(h);
        for (size_t at = 0; at < sizeof all; at += sizes[s]) {
            size_t left = sizeof all - at;
            hasher_add(h, bytes_of(all + at, left < sizes[s] ? left : sizes[s]));
        }
        ck_assert_uint_eq(hasher_value(h), bytes_hash(bytes_of(all, sizeof all), 0));
    }
    hasher_add(h, bytes_text("more"));
    ck_assert_uint_ne(hasher_value(h), bytes_hash(bytes_of(all, sizeof all), 0));
    hasher_destroy(h);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("base/hasher");
    TCase *tc = tcase_create("hasher");
    tcase_add_test(tc, pieces_have_the_hash_of_the_whole);
    suite_add_tcase(s, tc);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
