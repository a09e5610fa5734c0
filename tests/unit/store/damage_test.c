/* Bytes of table files changed behind the store's back: what is read is either as written or an error that names the
 * file. */
#include "base/random.h"
#include "store/fixture.h"

enum { KEYS = 3000, FLIPS = 60 };

struct table {
    char path[400];
    off_t size;
};

static void key_of(int n, char out[24])
{
    snprintf(out, 24, "00c%012d", n);
}

/* Not compressible, so that a flip anywhere in a block is in data that counts. */
static void value_of(int n, uint8_t out[100])
{
    struct random r;
    random_open(&r, (uint64_t)n);
    for (int i = 0; i < 100; i++)
        out[i] = (uint8_t)random_next(&r);
}

static void note(const char *path, void *ctx)
{
    struct table *t = ctx;
    struct stat info;
    ck_assert_int_eq(stat(path, &info), 0);
    if (info.st_size > t->size) {
        snprintf(t->path, sizeof t->path, "%s", path);
        t->size = info.st_size;
    }
}

static void fill(struct fixture *f, enum store_family family, struct table *t)
{
    fixture_open(f, false);
    for (int n = 0; n < KEYS; n++) {
        char key[24];
        uint8_t value[100];
        key_of(n, key);
        value_of(n, value);
        store_put(f->b, family, bytes_text(key), bytes_of(value, sizeof value));
    }
    fixture_write(f);
    ck_assert_int_eq(store_flush(f->s, family, NULL), ERR_OK);
    store_close(f->s);
    f->s = NULL;
    *t = (struct table){0};
    fixture_each_table(f, note, t);
    ck_assert_int_gt(t->size, KEYS * 100);
}

static void flip(const char *path, off_t at, uint8_t mask)
{
    uint8_t byte;
    int fd = open(path, O_RDWR);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
    byte ^= mask;
    ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

/* An error says which file, and what to do. */
static void check_error(int code, const struct error *e, const struct table *t)
{
    ck_assert_msg(code == ERR_CORRUPT, "%s", e->message);
    ck_assert_msg(strstr(e->message, strrchr(t->path, '/')) != NULL, "%s", e->message);
    ck_assert_msg(strstr(e->message, "restore") != NULL, "%s", e->message);
}

/* Whether the damage was found by getting every key. */
static bool read_by_get(struct fixture *f, enum store_family family, const struct table *t)
{
    bool found = false;
    struct buffer out = {0};
    for (int n = 0; n < KEYS; n++) {
        char key[24];
        uint8_t value[100];
        struct error e = {0};
        key_of(n, key);
        value_of(n, value);
        buffer_clear(&out);
        int code = store_get(f->s, family, bytes_text(key), &out, &e);
        if (code == ERR_OK)
            ck_assert(bytes_equal(buffer_view(&out), bytes_of(value, sizeof value)));
        else
            check_error(code, &e, t);
        found = found || code != ERR_OK;
    }
    buffer_close(&out);
    return found;
}

/* Whether it was found by reading in order: an iterator that ended early and says nothing would be the trap. */
static bool read_in_order(struct fixture *f, enum store_family family, const struct table *t)
{
    struct error e = {0};
    int n = 0;
    struct store_iterator *i = store_iterate(f->s, family, bytes_text("00c"), bytes_text("00d"), NULL);
    for (; store_iterator_valid(i); store_iterator_next(i), n++) {
        char key[24];
        key_of(n, key);
        ck_assert(bytes_equal(store_iterator_key(i), bytes_text(key)));
    }
    int code = store_iterator_error(i, &e);
    store_iterator_close(i);
    if (code != ERR_OK)
        check_error(code, &e, t);
    else
        ck_assert_int_eq(n, KEYS);
    return code != ERR_OK;
}

static int try_one(struct fixture *f, enum store_family family, const struct table *t)
{
    struct error e = {0};
    struct store_options o = {.dir = f->dir};
    int code = store_open(&o, &f->s, &e);
    if (code != ERR_OK) {
        f->s = NULL;
        ck_assert_msg(code == ERR_CORRUPT, "%s", e.message);
        return 1;
    }
    bool found = read_by_get(f, family, t);
    found = read_in_order(f, family, t) || found;
    store_close(f->s);
    f->s = NULL;
    return found ? 1 : 0;
}

START_TEST(a_flipped_bit_is_found_and_its_file_named)
{
    struct fixture f;
    struct table t;
    struct random r;
    enum store_family family = _i == 0 ? STORE_STATE : STORE_BODIES;
    fill(&f, family, &t);
    random_open(&r, 11);
    int found = 0;
    for (int i = 0; i < FLIPS; i++) {
        off_t at = (off_t)random_below(&r, (uint64_t)t.size);
        uint8_t mask = (uint8_t)(1U << random_below(&r, 8));
        flip(t.path, at, mask);
        found += try_one(&f, family, &t);
        flip(t.path, at, mask);
    }
    /* Nearly all of the file are data blocks; a flip in what is not read (properties, padding) does no harm. */
    ck_assert_int_gt(found, FLIPS * 3 / 4);
    ck_assert_int_eq(try_one(&f, family, &t), 0);
    fixture_reopen(&f);
    fixture_close(&f);
}
END_TEST

START_TEST(a_file_cut_short_or_missing_is_found)
{
    struct fixture f;
    struct table t;
    struct error e = {0};
    fill(&f, STORE_STATE, &t);
    struct store_options o = {.dir = f.dir};
    if (_i == 0)
        ck_assert_int_eq(truncate(t.path, t.size / 2), 0);
    else
        ck_assert_int_eq(unlink(t.path), 0);
    int code = store_open(&o, &f.s, &e);
    if (code == ERR_OK) {
        struct buffer out = {0};
        code = store_get(f.s, STORE_STATE, bytes_text("00c000000000000"), &out, &e);
        buffer_close(&out);
        store_close(f.s);
    }
    ck_assert_msg(code == ERR_CORRUPT, "%s", e.message);
    char told[500];
    snprintf(told, sizeof told, "%s is %s", t.path, _i == 0 ? "damaged" : "missing");
    ck_assert_msg(strncmp(e.message, told, strlen(told)) == 0, "%s", e.message);
    ck_assert_msg(strstr(e.message, ".ldb") == NULL && strstr(e.message, "sstable/") == NULL, "%s", e.message);
    f.s = NULL;
    fixture_close(&f);
}
END_TEST

START_TEST(a_damaged_manifest_is_refused)
{
    struct fixture f;
    struct table t;
    struct error e = {0};
    fill(&f, STORE_STATE, &t);
    DIR *d = opendir(f.dir);
    for (struct dirent *entry; (entry = readdir(d)) != NULL;)
        if (strncmp(entry->d_name, "MANIFEST-", 9) == 0) {
            char path[400];
            snprintf(path, sizeof path, "%s/%s", f.dir, entry->d_name);
            flip(path, 20, 0x10);
        }
    closedir(d);
    struct store_options o = {.dir = f.dir};
    ck_assert_int_eq(store_open(&o, &f.s, &e), ERR_CORRUPT);
    ck_assert_ptr_nonnull(strstr(e.message, f.dir));
    f.s = NULL;
    fixture_close(&f);
}
END_TEST

static void without(const struct fixture *f, const char *name)
{
    char path[400];
    snprintf(path, sizeof path, "%s/%s", f->dir, name);
    ck_assert_int_eq(unlink(path), 0);
}

START_TEST(a_store_without_its_current_is_refused)
{
    struct fixture f;
    struct table t;
    struct error e = {0};
    char told[400];
    fill(&f, STORE_STATE, &t);
    without(&f, "CURRENT");
    struct store_options o = {.dir = f.dir};
    ck_assert_int_eq(store_open(&o, &f.s, &e), ERR_CORRUPT);
    snprintf(told, sizeof told, "%s/CURRENT is missing", f.dir);
    ck_assert_msg(strncmp(e.message, told, strlen(told)) == 0, "%s", e.message);
    ck_assert_msg(strstr(e.message, "restore") != NULL, "%s", e.message);
    f.s = NULL;
    fixture_close(&f);
}
END_TEST

/* What a crash leaves that came while the store was made. */
START_TEST(a_store_whose_making_was_cut_short_is_made_anew)
{
    struct fixture f;
    fixture_open(&f, false);
    store_close(f.s);
    f.s = NULL;
    DIR *d = opendir(f.dir);
    for (struct dirent *entry; (entry = readdir(d)) != NULL;)
        if (entry->d_name[0] != '.')
            without(&f, entry->d_name);
    closedir(d);
    char path[400];
    snprintf(path, sizeof path, "%s/MANIFEST-000001", f.dir);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    ck_assert_int_eq(write(fd, "begun", 5), 5);
    close(fd);
    fixture_reopen(&f);
    fixture_close(&f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("damage");
    TCase *c = tcase_create("damage");
    tcase_set_timeout(c, 0);
    tcase_add_loop_test(c, a_flipped_bit_is_found_and_its_file_named, 0, 2);
    tcase_add_loop_test(c, a_file_cut_short_or_missing_is_found, 0, 2);
    tcase_add_test(c, a_damaged_manifest_is_refused);
    tcase_add_test(c, a_store_without_its_current_is_refused);
    tcase_add_test(c, a_store_whose_making_was_cut_short_is_made_anew);
    suite_add_tcase(s, c);
    return fixture_main(s);
}
