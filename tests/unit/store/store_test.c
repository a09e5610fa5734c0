#include "store/store.h"

#include "store/fixture.h"

/* Each runs on a real directory and in memory: the simulator must see what production sees. */
enum { MEDIA = 2 };

START_TEST(what_was_flushed_survives_a_close_and_what_was_not_is_lost_as_in_a_crash)
{
    struct fixture f;
    fixture_open(&f, _i == 1);
    fixture_put(&f, STORE_STATE, "00akept", "flushed");
    ck_assert_int_eq(store_flush(f.s, STORE_STATE, NULL), ERR_OK);
    fixture_put(&f, STORE_STATE, "00akept", "changed since");
    fixture_put(&f, STORE_STATE, "00alost", "never flushed");
    ck_assert_str_eq(fixture_get(&f, STORE_STATE, "00akept"), "changed since");
    fixture_reopen(&f);
    ck_assert_str_eq(fixture_get(&f, STORE_STATE, "00akept"), "flushed");
    ck_assert_ptr_null(fixture_get(&f, STORE_STATE, "00alost"));
    fixture_close(&f);
}
END_TEST

START_TEST(a_flush_of_one_family_makes_whole_batches_durable_there_and_leaves_the_other_alone)
{
    struct fixture f;
    fixture_open(&f, _i == 1);
    for (int i = 0; i < 100; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d", i);
        store_put(f.b, STORE_STATE, bytes_text("00aone"), bytes_text(text));
        store_put(f.b, STORE_STATE, bytes_text("00atwo"), bytes_text(text));
        store_put(f.b, STORE_BODIES, bytes_text("00bbody"), bytes_text(text));
        fixture_write(&f);
        if (i == 50)
            ck_assert_int_eq(store_flush(f.s, STORE_STATE, NULL), ERR_OK);
    }
    fixture_reopen(&f);
    ck_assert_str_eq(fixture_get(&f, STORE_STATE, "00aone"), "50");
    ck_assert_str_eq(fixture_get(&f, STORE_STATE, "00atwo"), "50");
    ck_assert_ptr_null(fixture_get(&f, STORE_BODIES, "00bbody"));
    fixture_close(&f);
}
END_TEST

static void collect(struct store_iterator *i, char *out, size_t size)
{
    out[0] = '\0';
    for (; store_iterator_valid(i); store_iterator_next(i)) {
        struct bytes k = store_iterator_key(i);
        size_t len = strlen(out);
        snprintf(out + len, size - len, "%.*s ", (int)k.len, (const char *)k.data);
    }
    ck_assert_int_eq(store_iterator_error(i, NULL), ERR_OK);
    store_iterator_close(i);
}

static void keys_between(struct fixture *f, const char *from, const char *to, char *out, size_t size)
{
    collect(store_iterate(f->s, STORE_STATE, bytes_text(from), bytes_text(to), NULL), out, size);
}

START_TEST(an_iterator_gives_its_range_in_order_without_the_end)
{
    struct fixture f;
    char keys[200];
    fixture_open(&f, _i == 1);
    const char *all[] = {"d", "a", "c", "b", "e", "bb"};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        fixture_put(&f, STORE_STATE, all[i], "v");
    fixture_put(&f, STORE_BODIES, "c1", "of the other family");
    keys_between(&f, "b", "d", keys, sizeof keys);
    ck_assert_str_eq(keys, "b bb c ");
    keys_between(&f, "e", "b", keys, sizeof keys);
    ck_assert_str_eq(keys, "");
    keys_between(&f, "b", "b", keys, sizeof keys);
    ck_assert_str_eq(keys, "");
    struct store_iterator *i = store_iterate(f.s, STORE_STATE, bytes_text("a"), bytes_text("e"), NULL);
    store_iterator_seek(i, bytes_text("bc"));
    collect(i, keys, sizeof keys);
    ck_assert_str_eq(keys, "c d ");
    fixture_close(&f);
}
END_TEST

START_TEST(the_last_key_of_a_range_is_found)
{
    struct fixture f;
    fixture_open(&f, _i == 1);
    fixture_put(&f, STORE_STATE, "b1", "one");
    fixture_put(&f, STORE_STATE, "b2", "two");
    fixture_put(&f, STORE_STATE, "c", "beyond");
    struct buffer key = {0};
    struct buffer value = {0};
    buffer_put(&value, "old", 3);
    ck_assert_int_eq(store_get_last(f.s, STORE_STATE, bytes_text("b"), bytes_text("c"), &key, &value, NULL), ERR_OK);
    ck_assert(bytes_equal(buffer_view(&key), bytes_text("b2")));
    ck_assert(bytes_equal(buffer_view(&value), bytes_text("two")));
    ck_assert_int_eq(store_get_last(f.s, STORE_STATE, bytes_text("b3"), bytes_text("c"), &key, &value, NULL),
                     ERR_NOT_FOUND);
    buffer_close(&key);
    buffer_close(&value);
    fixture_close(&f);
}
END_TEST

START_TEST(a_snapshot_does_not_see_what_came_after_it)
{
    struct fixture f;
    char keys[200];
    fixture_open(&f, _i == 1);
    fixture_put(&f, STORE_STATE, "a", "before");
    fixture_put(&f, STORE_STATE, "gone", "before");
    struct store_snapshot *snapshot = store_snapshot_open(f.s);
    store_delete(f.b, STORE_STATE, bytes_text("gone"));
    fixture_put(&f, STORE_STATE, "a", "after");
    fixture_put(&f, STORE_STATE, "b", "after");
    ck_assert_int_eq(store_flush(f.s, STORE_STATE, NULL), ERR_OK);
    collect(store_iterate(f.s, STORE_STATE, bytes_text("a"), bytes_text("z"), snapshot), keys, sizeof keys);
    ck_assert_str_eq(keys, "a gone ");
    struct buffer out = {0};
    ck_assert_int_eq(store_get_at(f.s, STORE_STATE, bytes_text("a"), snapshot, &out, NULL), ERR_OK);
    ck_assert(bytes_equal(buffer_view(&out), bytes_text("before")));
    ck_assert_int_eq(store_get_at(f.s, STORE_STATE, bytes_text("b"), snapshot, &out, NULL), ERR_NOT_FOUND);
    buffer_close(&out);
    store_snapshot_close(f.s, snapshot);
    ck_assert_ptr_null(fixture_get(&f, STORE_STATE, "gone"));
    fixture_close(&f);
}
END_TEST

START_TEST(a_directory_that_cannot_be_used_is_named)
{
    struct error e = {0};
    struct store *s = NULL;
    char file[] = "/tmp/hato-store-file-XXXXXX";
    int fd = mkstemp(file);
    ck_assert_int_ge(fd, 0);
    close(fd);
    char below[64];
    snprintf(below, sizeof below, "%s/store", file);
    const char *dirs[] = {file, below, "/nowhere/at/all", "/proc/store"};
    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
        ck_assert_int_eq(store_open(&(struct store_options){.dir = dirs[i]}, &s, &e), ERR_IO);
        ck_assert_ptr_nonnull(strstr(e.message, dirs[i]));
    }
    unlink(file);
}
END_TEST

START_TEST(a_second_broker_on_the_same_directory_is_refused)
{
    struct fixture f;
    fixture_open(&f, false);
    struct store *second = NULL;
    struct error e = {0};
    ck_assert_int_eq(store_open(&(struct store_options){.dir = f.dir}, &second, &e), ERR_CONFLICT);
    ck_assert_ptr_nonnull(strstr(e.message, f.dir));
    fixture_close(&f);
}
END_TEST

START_TEST(dropping_a_range_leaves_its_end_and_what_is_around_it)
{
    struct fixture f;
    fixture_open(&f, _i == 1);
    const char *all[] = {"a", "b", "b1", "bz", "c", "d"};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        fixture_put(&f, STORE_BODIES, all[i], "v");
    ck_assert_int_eq(store_drop_range(f.s, STORE_BODIES, bytes_text("b"), bytes_text("c"), NULL), ERR_OK);
    ck_assert_ptr_null(fixture_get(&f, STORE_BODIES, "b"));
    ck_assert_ptr_null(fixture_get(&f, STORE_BODIES, "b1"));
    ck_assert_ptr_null(fixture_get(&f, STORE_BODIES, "bz"));
    ck_assert_ptr_nonnull(fixture_get(&f, STORE_BODIES, "a"));
    ck_assert_ptr_nonnull(fixture_get(&f, STORE_BODIES, "c"));
    ck_assert_ptr_nonnull(fixture_get(&f, STORE_BODIES, "d"));
    ck_assert_int_eq(store_drop_range(f.s, STORE_BODIES, bytes_text("c"), bytes_text("b"), NULL), ERR_OK);
    ck_assert_ptr_nonnull(fixture_get(&f, STORE_BODIES, "c"));
    fixture_close(&f);
}
END_TEST

START_TEST(a_full_store_refuses_what_takes_space_and_is_read_all_the_same)
{
    struct fixture f;
    struct error e = {0};
    struct store_bulk *bulk;
    fixture_open(&f, true);
    fixture_put(&f, STORE_STATE, "a", "1");
    store_env_fill(f.env, true);
    store_put(f.b, STORE_STATE, bytes_text("a"), bytes_text("2"));
    ck_assert_int_eq(store_write(f.s, f.b, &e), ERR_STORAGE_FULL);
    ck_assert_int_eq(store_probe(f.s, NULL), ERR_STORAGE_FULL);
    ck_assert_int_eq(store_flush(f.s, STORE_STATE, NULL), ERR_STORAGE_FULL);
    ck_assert_int_eq(store_drop_range(f.s, STORE_STATE, bytes_text("a"), bytes_text("b"), NULL), ERR_STORAGE_FULL);
    ck_assert_int_eq(store_bulk_open(f.s, STORE_BODIES, &bulk, NULL), ERR_OK);
    ck_assert_int_eq(store_bulk_put(bulk, bytes_text("b"), bytes_text("1"), NULL), ERR_OK);
    ck_assert_int_eq(store_bulk_finish(bulk, NULL), ERR_STORAGE_FULL);
    ck_assert_str_eq(fixture_get(&f, STORE_STATE, "a"), "1");
    store_env_fill(f.env, false);
    ck_assert_int_eq(store_write(f.s, f.b, &e), ERR_OK);
    ck_assert_str_eq(fixture_get(&f, STORE_STATE, "a"), "2");
    ck_assert_ptr_null(fixture_get(&f, STORE_BODIES, "b"));
    fixture_close(&f);
}
END_TEST

START_TEST(an_iterator_that_failed_before_it_began_says_why)
{
    struct error why = {0}, e = {0};
    error_set(&why, ERR_STORAGE_FULL, "no room");
    struct store_iterator *i = store_iterator_failed(&why);
    ck_assert(!store_iterator_valid(i));
    store_iterator_next(i);
    store_iterator_seek(i, bytes_text("a"));
    ck_assert(!store_iterator_valid(i));
    ck_assert_int_eq(store_iterator_error(i, &e), ERR_STORAGE_FULL);
    ck_assert_str_eq(e.message, "no room");
    store_iterator_close(i);
}
END_TEST

START_TEST(memory_and_disk_are_accounted_for_and_memory_is_bounded)
{
    struct fixture f;
    fixture_open(&f, false);
    static char value[64 << 10];
    for (uint32_t i = 0; i < 1200; i++) { /* 75 MiB in each family, far beyond the memtables */
        for (size_t j = 0; j < sizeof value; j++)
            value[j] = (char)(i * 31 + j * j);
        char key[16];
        snprintf(key, sizeof key, "00b%06u", i);
        store_put(f.b, STORE_STATE, bytes_text(key), bytes_of(value, sizeof value));
        store_put(f.b, STORE_BODIES, bytes_text(key), bytes_of(value, sizeof value));
        fixture_write(&f);
    }
    ck_assert_uint_lt(store_memory_bytes(f.s), 100 << 20);
    ck_assert_int_eq(store_flush(f.s, STORE_STATE, NULL), ERR_OK);
    ck_assert_int_eq(store_flush(f.s, STORE_BODIES, NULL), ERR_OK);
    ck_assert_uint_gt(store_bytes(f.s), 1 << 20);
    fixture_close(&f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("store");
    TCase *c = tcase_create("store");
    tcase_set_timeout(c, 0);
    tcase_add_loop_test(c, what_was_flushed_survives_a_close_and_what_was_not_is_lost_as_in_a_crash, 0, MEDIA);
    tcase_add_loop_test(c, a_flush_of_one_family_makes_whole_batches_durable_there_and_leaves_the_other_alone, 0,
                        MEDIA);
    tcase_add_loop_test(c, an_iterator_gives_its_range_in_order_without_the_end, 0, MEDIA);
    tcase_add_loop_test(c, the_last_key_of_a_range_is_found, 0, MEDIA);
    tcase_add_loop_test(c, a_snapshot_does_not_see_what_came_after_it, 0, MEDIA);
    tcase_add_test(c, a_directory_that_cannot_be_used_is_named);
    tcase_add_test(c, a_second_broker_on_the_same_directory_is_refused);
    tcase_add_loop_test(c, dropping_a_range_leaves_its_end_and_what_is_around_it, 0, MEDIA);
    tcase_add_test(c, a_full_store_refuses_what_takes_space_and_is_read_all_the_same);
    tcase_add_test(c, an_iterator_that_failed_before_it_began_says_why);
    tcase_add_test(c, memory_and_disk_are_accounted_for_and_memory_is_bounded);
    suite_add_tcase(s, c);
    return fixture_main(s);
}
