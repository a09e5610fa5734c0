#include "log/pack.h"

#include "log_fixture.h"

static struct blob *noise(size_t len)
{
    struct model_entry m = {1, 5, len, true};
    return body_of(&m);
}

static struct blob *text(size_t len)
{
    struct model_entry m = {1, 5, len, false};
    return body_of(&m);
}

START_TEST(noise_and_short_entries_are_not_tried)
{
    struct blob *b = noise(100000), *c = text(PACK_BYTES_MIN - 1);
    ck_assert(!pack_promising(blob_view(b)));
    ck_assert(!pack_promising(blob_view(c)));
    blob_unref(b);
    blob_unref(c);
}
END_TEST

START_TEST(text_shrinks_and_comes_back)
{
    struct pack p = {0};
    for (size_t len = PACK_BYTES_MIN; len < 300000; len = len * 3 + 1) {
        struct blob *b = text(len);
        uint8_t *packed;
        size_t n;
        ck_assert(pack_try(&p, blob_view(b), &packed, &n));
        ck_assert_uint_lt(n, len / 4);
        struct blob *back = blob_create(len);
        ck_assert(pack_open(bytes_of(packed, n), back->data, len));
        ck_assert(bytes_equal(blob_view(back), blob_view(b)));
        ck_assert(!pack_open(bytes_of(packed, n), back->data, len - 1));
        ck_assert(!pack_open(bytes_of(packed, n - 1), back->data, len));
        memory_free(packed);
        blob_unref(b);
        blob_unref(back);
    }
    pack_close(&p);
}
END_TEST

/* Bytes in all the sampled places, noise between: looks promising, and is not. */
static struct blob *deceiver(void)
{
    enum { LEN = 1 << 20, PLACES = 16, SHOWN = 64 };
    struct blob *b = noise(LEN);
    size_t stride = (LEN - SHOWN) / (PLACES - 1);
    for (size_t i = 0; i < PLACES; i++)
        memset(b->data + i * stride, 'a', SHOWN);
    return b;
}

START_TEST(tries_that_do_not_pay_become_rare)
{
    struct pack p = {0};
    struct blob *b = deceiver();
    ck_assert(pack_promising(blob_view(b)));
    size_t tried = 0;
    for (int i = 0; i < 200; i++) {
        unsigned before = p.skip;
        uint8_t *packed;
        size_t n;
        ck_assert(!pack_try(&p, blob_view(b), &packed, &n));
        tried += before == 0;
    }
    ck_assert_uint_lt(tried, 10);
    blob_unref(b);
    pack_close(&p);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("log pack");
    TCase *t = tcase_create("pack");
    tcase_set_timeout(t, 0);
    tcase_add_test(t, noise_and_short_entries_are_not_tried);
    tcase_add_test(t, text_shrinks_and_comes_back);
    tcase_add_test(t, tries_that_do_not_pay_become_rare);
    suite_add_tcase(s, t);
    return run_suite(s);
}
