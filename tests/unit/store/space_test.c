/* A disk of its own that fills up. Needs to be root for the small file system; without it there is nothing to be seen here. */
#include <sys/mount.h>

#include "store/fixture.h"

enum { DISK_MIB = 48, KEYS = 80, VALUE_BYTES = 100 << 10 };

static char mounted[64];

static bool small_disk(void)
{
    snprintf(mounted, sizeof mounted, "/tmp/hato-space-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(mounted));
    char size[32];
    snprintf(size, sizeof size, "size=%dm", DISK_MIB);
    if (mount("tmpfs", mounted, "tmpfs", 0, size) == 0)
        return true;
    rmdir(mounted);
    return false;
}

static void disk_gone(void)
{
    ck_assert_int_eq(umount2(mounted, MNT_DETACH), 0);
    rmdir(mounted);
}

static void other_path(char out[96])
{
    snprintf(out, 96, "%s/other", mounted);
}

static void fill_disk(void)
{
    static const char block[64 << 10];
    char path[96];
    other_path(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    while (write(fd, block, sizeof block) > 0) {
    }
    close(fd);
}

static void free_disk(void)
{
    char path[96];
    other_path(path);
    ck_assert_int_eq(unlink(path), 0);
}

static void put_many(struct fixture *f, char letter)
{
    static char value[VALUE_BYTES];
    for (int i = 0; i < KEYS; i++) {
        char key[16];
        snprintf(key, sizeof key, "%c%03d", letter, i);
        for (size_t k = 0; k < sizeof value; k++)
            value[k] = (char)(k * k * 31 + (size_t)i * 7 + (k >> 3));
        store_put(f->b, STORE_STATE, bytes_text(key), bytes_of(value, sizeof value));
    }
    fixture_write(f);
}

static int count_of(struct fixture *f, char letter)
{
    int found = 0;
    for (int i = 0; i < KEYS; i++) {
        char key[16];
        struct buffer out = {0};
        snprintf(key, sizeof key, "%c%03d", letter, i);
        found += store_get(f->s, STORE_STATE, bytes_text(key), &out, NULL) == ERR_OK;
        buffer_close(&out);
    }
    return found;
}

static void open_on_small_disk(struct fixture *f)
{
    *f = (struct fixture){0};
    snprintf(f->dir, sizeof f->dir, "%.40s/store", mounted);
    f->b = store_batch_create();
    fixture_reopen(f);
}

/* Until RocksDB has found that there is space again. */
static void await_recovery(struct fixture *f)
{
    while (store_probe(f->s, NULL) != ERR_OK)
        usleep(20000);
}

/* A store that had no space for a flush, and has some again. False where there is no small disk to be had. */
static bool recovers_from_full_disk(struct fixture *f)
{
    if (!small_disk())
        return false;
    open_on_small_disk(f);
    put_many(f, 'a');
    fill_disk();
    ck_assert_int_eq(store_flush(f->s, STORE_STATE, NULL), ERR_STORAGE_FULL);
    free_disk();
    await_recovery(f);
    return true;
}

static int fill_in_bulk(struct fixture *f)
{
    struct store_bulk *b = NULL;
    int code = store_bulk_open(f->s, STORE_BODIES, &b, NULL);
    if (code != ERR_OK)
        return code;
    ck_assert_int_eq(store_bulk_put(b, bytes_text("body"), bytes_text("text"), NULL), ERR_OK);
    return store_bulk_finish(b, NULL);
}

START_TEST(what_is_flushed_after_the_disk_was_full_is_on_disk)
{
    struct fixture f;
    if (!recovers_from_full_disk(&f))
        return;
    put_many(&f, 'b');
    ck_assert_int_eq(store_flush(f.s, STORE_STATE, NULL), ERR_OK);
    fill_disk(); /* what is not there by now can't come any more */
    put_many(&f, 'c');
    ck_assert_int_eq(store_flush(f.s, STORE_STATE, NULL), ERR_STORAGE_FULL);
    free_disk();
    fixture_reopen(&f);
    ck_assert_int_eq(count_of(&f, 'a'), KEYS);
    ck_assert_int_eq(count_of(&f, 'b'), KEYS);
    fixture_close(&f);
    disk_gone();
}
END_TEST

START_TEST(after_the_disk_was_full_no_file_is_taken_in_until_the_store_is_opened_again)
{
    struct fixture f;
    if (!recovers_from_full_disk(&f))
        return;
    ck_assert(!store_needs_reopening(f.s));
    ck_assert_int_eq(fill_in_bulk(&f), ERR_STORAGE_FULL);
    ck_assert(store_needs_reopening(f.s));
    fixture_reopen(&f);
    ck_assert(!store_needs_reopening(f.s));
    ck_assert_int_eq(fill_in_bulk(&f), ERR_OK);
    ck_assert_str_eq(fixture_get(&f, STORE_BODIES, "body"), "text");
    fixture_close(&f);
    disk_gone();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("space");
    TCase *c = tcase_create("space");
    tcase_set_timeout(c, 0);
    tcase_add_test(c, what_is_flushed_after_the_disk_was_full_is_on_disk);
    tcase_add_test(c, after_the_disk_was_full_no_file_is_taken_in_until_the_store_is_opened_again);
    suite_add_tcase(s, c);
    return fixture_main(s);
}
