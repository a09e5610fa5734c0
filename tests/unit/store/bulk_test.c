#include "store/fixture.h"

enum { MEDIA = 2, KEYS = 2000 };

static void key_of(char shard, int n, char out[24])
{
    snprintf(out, 24, "0%cb%010d", shard, n);
}

static void fill(struct fixture *f, char shard, int from, int to, const char *value)
{
    struct error e = {0};
    struct store_bulk *b = NULL;
    ck_assert_msg(store_bulk_open(f->s, STORE_BODIES, &b, &e) == ERR_OK, "%s", e.message);
    for (int n = from; n < to; n++) {
        char key[24];
        key_of(shard, n, key);
        ck_assert_int_eq(store_bulk_put(b, bytes_text(key), bytes_text(value), &e), ERR_OK);
    }
    ck_assert_uint_gt(store_bulk_bytes(b), 0);
    ck_assert_msg(store_bulk_finish(b, &e) == ERR_OK, "%s", e.message);
}

static const char *get(struct fixture *f, char shard, int n)
{
    char key[24];
    key_of(shard, n, key);
    return fixture_get(f, STORE_BODIES, key);
}

static void count_file(const char *path, void *ctx)
{
    (void)path;
    ++*(int *)ctx;
}

START_TEST(what_was_filled_in_bulk_is_durable_without_a_flush)
{
    struct fixture f;
    fixture_open(&f, _i == 1);
    struct store_snapshot *snapshot = store_snapshot_open(f.s); /* a spill reads from one meanwhile */
    fill(&f, '1', 0, KEYS, "body");
    store_snapshot_close(f.s, snapshot);
    ck_assert_str_eq(get(&f, '1', 0), "body");
    fixture_reopen(&f);
    ck_assert_str_eq(get(&f, '1', 0), "body");
    ck_assert_str_eq(get(&f, '1', KEYS - 1), "body");
    ck_assert_ptr_null(get(&f, '1', KEYS));
    fixture_close(&f);
}
END_TEST

START_TEST(the_same_range_filled_again_after_a_crash_does_no_harm)
{
    struct fixture f;
    fixture_open(&f, _i == 1);
    fill(&f, '1', 0, KEYS, "first");
    fill(&f, '1', KEYS / 2, KEYS + 10, "again");
    fixture_put(&f, STORE_BODIES, "01b0000000005", "by batch");
    fill(&f, '1', 5, 6, "third");
    ck_assert_str_eq(get(&f, '1', 0), "first");
    ck_assert_str_eq(get(&f, '1', KEYS / 2), "again");
    ck_assert_str_eq(get(&f, '1', KEYS + 9), "again");
    ck_assert_str_eq(get(&f, '1', 5), "third");
    fixture_close(&f);
}
END_TEST

START_TEST(dropped_bodies_give_their_files_back)
{
    struct fixture f;
    fixture_open(&f, false);
    for (int part = 0; part < 10; part++)
        fill(&f, '1', part * KEYS, (part + 1) * KEYS, "body");
    fill(&f, '2', 0, KEYS, "of another shard");
    uint64_t before = store_bytes(f.s);
    char from[24];
    char to[24];
    key_of('1', 0, from);
    key_of('1', 8 * KEYS + 5, to);
    ck_assert_int_eq(store_drop_range(f.s, STORE_BODIES, bytes_text(from), bytes_text(to), NULL), ERR_OK);
    ck_assert_uint_lt(store_bytes(f.s), before / 2);
    ck_assert_ptr_null(get(&f, '1', 0));
    ck_assert_ptr_null(get(&f, '1', 8 * KEYS + 4));
    ck_assert_str_eq(get(&f, '1', 8 * KEYS + 5), "body");
    ck_assert_str_eq(get(&f, '2', 0), "of another shard");
    fixture_close(&f);
}
END_TEST

START_TEST(what_is_abandoned_or_cut_off_by_a_crash_leaves_nothing)
{
    struct fixture f;
    struct store_bulk *b = NULL;
    int files = 0;
    fixture_open(&f, false);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(store_bulk_open(f.s, STORE_BODIES, &b, NULL), ERR_OK);
        ck_assert_int_eq(store_bulk_put(b, bytes_text("01b1"), bytes_text("v"), NULL), ERR_OK);
        store_bulk_abandon(b);
    }
    ck_assert_int_eq(store_bulk_open(f.s, STORE_BODIES, &b, NULL), ERR_OK);
    ck_assert_int_eq(store_bulk_finish(b, NULL), ERR_OK); /* empty */
    char left[128];
    snprintf(left, sizeof left, "%s/bulk-77.sst", f.dir);
    int fd = open(left, O_CREAT | O_WRONLY, 0600);
    ck_assert_int_ge(fd, 0);
    close(fd);
    fixture_reopen(&f);
    fixture_each_table(&f, count_file, &files);
    ck_assert_int_eq(files, 0);
    fixture_close(&f);
}
END_TEST

START_TEST(keys_out_of_order_are_refused)
{
    struct fixture f;
    struct error e = {0};
    struct store_bulk *b = NULL;
    fixture_open(&f, true);
    ck_assert_int_eq(store_bulk_open(f.s, STORE_BODIES, &b, NULL), ERR_OK);
    ck_assert_int_eq(store_bulk_put(b, bytes_text("01b2"), bytes_text("v"), NULL), ERR_OK);
    ck_assert_int_ne(store_bulk_put(b, bytes_text("01b1"), bytes_text("v"), &e), ERR_OK);
    ck_assert_int_ne(store_bulk_put(b, bytes_text("01b2"), bytes_text("v"), &e), ERR_OK);
    store_bulk_abandon(b);
    fixture_close(&f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("bulk");
    TCase *c = tcase_create("bulk");
    tcase_set_timeout(c, 0);
    tcase_add_loop_test(c, what_was_filled_in_bulk_is_durable_without_a_flush, 0, MEDIA);
    tcase_add_loop_test(c, the_same_range_filled_again_after_a_crash_does_no_harm, 0, MEDIA);
    tcase_add_test(c, dropped_bodies_give_their_files_back);
    tcase_add_test(c, what_is_abandoned_or_cut_off_by_a_crash_leaves_nothing);
    tcase_add_test(c, keys_out_of_order_are_refused);
    suite_add_tcase(s, c);
    return fixture_main(s);
}
