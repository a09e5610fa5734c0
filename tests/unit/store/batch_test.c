/* The batch against a plain model: what it says of a key before it is written is what the store says afterwards. */
#include "base/random.h"
#include "store/fixture.h"

enum { KEYS = 60, STEPS = 20000 };

/* Keys of two kinds and in two families, dense enough for ranges to hit. */
static void key_text(unsigned n, char out[16])
{
    snprintf(out, 16, "00%c%02u", n % 2 == 0 ? 'a' : 'b', n / 2);
}

struct model {
    int value[STORE_FAMILIES][KEYS]; /* 0: none */
    bool touched[STORE_FAMILIES][KEYS];
};

static void check_key(struct fixture *f, const struct model *m, unsigned family, unsigned n)
{
    char key[16];
    struct bytes value = {0};
    key_text(n, key);
    enum store_batch_state state = store_batch_get(f->b, (enum store_family)family, bytes_text(key), &value);
    if (!m->touched[family][n]) {
        ck_assert_int_eq(state, STORE_BATCH_UNTOUCHED);
    } else if (m->value[family][n] == 0) {
        ck_assert_int_eq(state, STORE_BATCH_DELETED);
    } else {
        ck_assert_int_eq(state, STORE_BATCH_PUT);
        ck_assert_uint_eq(value.len, sizeof(int));
        ck_assert_mem_eq(value.data, &m->value[family][n], sizeof(int));
    }
}

static void check_store(struct fixture *f, const struct model *m)
{
    for (unsigned family = 0; family < STORE_FAMILIES; family++)
        for (unsigned n = 0; n < KEYS; n++) {
            char key[16];
            struct buffer out = {0};
            key_text(n, key);
            int code = store_get(f->s, (enum store_family)family, bytes_text(key), &out, NULL);
            ck_assert_int_eq(code, m->value[family][n] == 0 ? ERR_NOT_FOUND : ERR_OK);
            if (code == ERR_OK)
                ck_assert_mem_eq(out.data, &m->value[family][n], sizeof(int));
            buffer_close(&out);
        }
}

static void delete_range(struct fixture *f, struct model *m, unsigned family, struct random *r)
{
    char from[16];
    char to[16];
    key_text((unsigned)random_below(r, KEYS), from);
    key_text((unsigned)random_below(r, KEYS), to);
    store_delete_range(f->b, (enum store_family)family, bytes_text(from), bytes_text(to));
    for (unsigned n = 0; n < KEYS; n++) {
        char key[16];
        key_text(n, key);
        if (strcmp(from, to) < 0 && strcmp(key, from) >= 0 && strcmp(key, to) < 0) {
            m->value[family][n] = 0;
            m->touched[family][n] = true;
        }
    }
}

static void change(struct fixture *f, struct model *m, int step, struct random *r)
{
    unsigned family = (unsigned)random_below(r, STORE_FAMILIES);
    unsigned n = (unsigned)random_below(r, KEYS);
    uint64_t what = random_below(r, 100);
    char key[16];
    key_text(n, key);
    if (what < 60) {
        m->value[family][n] = step + 1;
        store_put(f->b, (enum store_family)family, bytes_text(key), bytes_of(&m->value[family][n], sizeof(int)));
    } else if (what < 95) {
        m->value[family][n] = 0;
        store_delete(f->b, (enum store_family)family, bytes_text(key));
    } else {
        delete_range(f, m, family, r);
        return;
    }
    m->touched[family][n] = true;
}

START_TEST(a_batch_reads_as_the_store_does_after_it_is_written)
{
    struct fixture f;
    struct model m = {0};
    struct random r;
    fixture_open(&f, true);
    random_open(&r, 7);
    for (int step = 0; step < STEPS; step++) {
        change(&f, &m, step, &r);
        check_key(&f, &m, (unsigned)random_below(&r, STORE_FAMILIES), (unsigned)random_below(&r, KEYS));
        if (random_below(&r, 200) != 0)
            continue;
        fixture_write(&f);
        memset(m.touched, 0, sizeof m.touched);
        check_store(&f, &m);
    }
    fixture_close(&f);
}
END_TEST

/* Changes go into a batch of their own, as an entry's do, which is merged into the one that is written. What is absent is put as
 * new: whatever is undone before the write, the store comes out as the model. */
START_TEST(merged_batches_and_keys_that_came_and_went_leave_what_a_plain_batch_would)
{
    struct fixture f;
    struct model m = {0};
    struct random r;
    fixture_open(&f, true);
    random_open(&r, 21);
    struct store_batch *pending = f.b;
    struct store_batch *entry = store_batch_create();
    for (int step = 0; step < STEPS; step++) {
        unsigned n = (unsigned)random_below(&r, KEYS);
        char key[16];
        key_text(n, key);
        f.b = entry;
        if (m.value[STORE_STATE][n] == 0 && random_below(&r, 2) == 0) {
            m.value[STORE_STATE][n] = step + 1;
            store_put_new(entry, STORE_STATE, bytes_text(key), bytes_of(&m.value[STORE_STATE][n], sizeof(int)));
        } else {
            change(&f, &m, step, &r);
        }
        f.b = pending;
        if (random_below(&r, 10) == 0) {
            store_batch_merge(pending, entry);
            store_batch_clear(entry);
            memset(m.touched, 0, sizeof m.touched);
            if (random_below(&r, 10) == 0) {
                fixture_write(&f);
                check_store(&f, &m);
            }
        }
    }
    store_batch_destroy(entry);
    fixture_close(&f);
}
END_TEST

START_TEST(a_key_that_came_and_went_is_not_written)
{
    struct fixture f;
    struct bytes value;
    struct buffer out = {0};
    fixture_open(&f, true);
    fixture_put(&f, STORE_STATE, "00ak", "old"); /* a lie to what follows, which shows that nothing was written */
    store_put_new(f.b, STORE_STATE, bytes_text("00ak"), bytes_text("1"));
    ck_assert_int_eq(store_batch_get(f.b, STORE_STATE, bytes_text("00ak"), &value), STORE_BATCH_PUT);
    store_delete(f.b, STORE_STATE, bytes_text("00ak"));
    ck_assert_int_eq(store_batch_get(f.b, STORE_STATE, bytes_text("00ak"), &value), STORE_BATCH_DELETED);
    ck_assert_uint_gt(store_batch_bytes(f.b), 0);
    fixture_write(&f);
    ck_assert_uint_eq(store_batch_bytes(f.b), 0);
    ck_assert_int_eq(store_get(f.s, STORE_STATE, bytes_text("00ak"), &out, NULL), ERR_OK);
    ck_assert(bytes_equal(buffer_view(&out), bytes_text("old")));
    buffer_close(&out);
    fixture_close(&f);
}
END_TEST

START_TEST(a_key_changed_often_counts_once)
{
    struct fixture f;
    fixture_open(&f, true);
    for (int i = 0; i < 1000; i++)
        store_put(f.b, STORE_STATE, bytes_text("00akey"), bytes_of(&i, sizeof i));
    store_put(f.b, STORE_STATE, bytes_text("00aother"), bytes_text("v"));
    ck_assert_uint_eq(store_batch_count(f.b), 2);
    store_batch_clear(f.b);
    ck_assert_uint_eq(store_batch_count(f.b), 0);
    struct bytes value;
    ck_assert_int_eq(store_batch_get(f.b, STORE_STATE, bytes_text("00akey"), &value), STORE_BATCH_UNTOUCHED);
    fixture_close(&f);
}
END_TEST

START_TEST(a_batch_is_right_after_one_that_was_a_thousand_times_larger)
{
    struct fixture f;
    fixture_open(&f, true);
    for (int i = 0; i < 100000; i++) {
        char key[16];
        snprintf(key, sizeof key, "00a%06d", i);
        store_put(f.b, STORE_STATE, bytes_text(key), bytes_text("great"));
    }
    ck_assert_uint_eq(store_batch_count(f.b), 100000);
    fixture_write(&f);
    for (int i = 0; i < 100; i++) {
        char key[16];
        snprintf(key, sizeof key, "00a%06d", i * 7);
        store_put(f.b, STORE_STATE, bytes_text(key), bytes_text("small"));
    }
    struct bytes value;
    ck_assert_int_eq(store_batch_get(f.b, STORE_STATE, bytes_text("00a000007"), &value), STORE_BATCH_PUT);
    ck_assert_int_eq(store_batch_get(f.b, STORE_STATE, bytes_text("00a000008"), &value), STORE_BATCH_UNTOUCHED);
    fixture_write(&f);
    ck_assert_str_eq(fixture_get(&f, STORE_STATE, "00a000693"), "small");
    ck_assert_str_eq(fixture_get(&f, STORE_STATE, "00a099999"), "great");
    fixture_close(&f);
}
END_TEST

START_TEST(ranges_over_several_kinds_of_keys_are_seen_too)
{
    struct fixture f;
    struct bytes value;
    fixture_open(&f, true);
    store_put(f.b, STORE_STATE, bytes_text("00c1"), bytes_text("v"));
    store_delete_range(f.b, STORE_STATE, bytes_text("00"), bytes_text("01"));
    ck_assert_int_eq(store_batch_get(f.b, STORE_STATE, bytes_text("00c1"), &value), STORE_BATCH_DELETED);
    ck_assert_int_eq(store_batch_get(f.b, STORE_STATE, bytes_text("00z"), &value), STORE_BATCH_DELETED);
    ck_assert_int_eq(store_batch_get(f.b, STORE_STATE, bytes_text("01a"), &value), STORE_BATCH_UNTOUCHED);
    ck_assert_int_eq(store_batch_get(f.b, STORE_BODIES, bytes_text("00c1"), &value), STORE_BATCH_UNTOUCHED);
    store_put(f.b, STORE_STATE, bytes_text("00c1"), bytes_text("again"));
    ck_assert_int_eq(store_batch_get(f.b, STORE_STATE, bytes_text("00c1"), &value), STORE_BATCH_PUT);
    fixture_write(&f);
    ck_assert_str_eq(fixture_get(&f, STORE_STATE, "00c1"), "again");
    fixture_close(&f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("batch");
    TCase *c = tcase_create("batch");
    tcase_set_timeout(c, 0);
    tcase_add_test(c, a_batch_reads_as_the_store_does_after_it_is_written);
    tcase_add_test(c, a_key_changed_often_counts_once);
    tcase_add_test(c, merged_batches_and_keys_that_came_and_went_leave_what_a_plain_batch_would);
    tcase_add_test(c, a_key_that_came_and_went_is_not_written);
    tcase_add_test(c, a_batch_is_right_after_one_that_was_a_thousand_times_larger);
    tcase_add_test(c, ranges_over_several_kinds_of_keys_are_seen_too);
    suite_add_tcase(s, c);
    return fixture_main(s);
}
