#include "base/blob.h"

#include <check.h>
#include <pthread.h>
#include <stdlib.h>

enum { THREADS = 4, ROUNDS = 10000 };

START_TEST(the_contents_last_as_long_as_the_last_reference)
{
    struct blob *b = blob_copy(bytes_text("a message"));
    ck_assert_ptr_eq(blob_ref(b), b);
    blob_unref(b);
    ck_assert(bytes_equal(blob_view(b), bytes_text("a message")));
    blob_unref(b);
    blob_unref(NULL);
}
END_TEST

START_TEST(an_adopted_buffer_is_not_copied_and_left_empty)
{
    struct buffer from = {0};
    buffer_put(&from, "body", 4);
    const uint8_t *data = from.data;
    struct blob *b = blob_adopt(&from);
    ck_assert_ptr_eq(b->data, data);
    ck_assert_ptr_null(from.data);
    ck_assert_uint_eq(from.len, 0);
    ck_assert(bytes_equal(blob_view(b), bytes_text("body")));
    blob_unref(b);
}
END_TEST

START_TEST(an_empty_blob_is_a_blob)
{
    struct blob *b = blob_create(0);
    ck_assert_uint_eq(blob_view(b).len, 0);
    blob_unref(b);
    struct buffer none = {0};
    b = blob_adopt(&none);
    ck_assert_uint_eq(blob_view(b).len, 0);
    blob_unref(b);
}
END_TEST

static void *share(void *argument)
{
    struct blob *b = argument;
    for (int i = 0; i < ROUNDS; i++) {
        blob_ref(b);
        blob_unref(b);
    }
    blob_unref(b);
    return NULL;
}

START_TEST(threads_may_share_one)
{
    struct blob *b = blob_copy(bytes_text("shared"));
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, share, blob_ref(b)), 0);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    ck_assert_uint_eq(atomic_load(&b->refs), 1);
    blob_unref(b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("blob");
    TCase *c = tcase_create("blob");
    tcase_add_test(c, the_contents_last_as_long_as_the_last_reference);
    tcase_add_test(c, an_adopted_buffer_is_not_copied_and_left_empty);
    tcase_add_test(c, an_empty_blob_is_a_blob);
    tcase_add_test(c, threads_may_share_one);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
