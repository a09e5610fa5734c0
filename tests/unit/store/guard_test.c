/* What has been called durable stands in RocksDB's manifest; a manifest that lost some of it at its end would be taken for one that
 * a crash cut short. */
#include <pthread.h>
#include <stdatomic.h>

#include "base/disk.h"
#include "store/fixture.h"
#include "store/guard.h"

enum { TAIL = 150, PLACE = DISK_BLOCK_BYTES };

struct file {
    char path[400];
    uint8_t bytes[64 * 1024];
    size_t len;
};

static struct fixture f;
static struct file manifest, guard;

static void load(struct file *x, const char *name)
{
    snprintf(x->path, sizeof x->path, "%s/%s", f.dir, name);
    int fd = open(x->path, O_RDONLY);
    ck_assert_int_ge(fd, 0);
    ssize_t n = read(fd, x->bytes, sizeof x->bytes);
    ck_assert(n > 0 && (size_t)n < sizeof x->bytes);
    x->len = (size_t)n;
    close(fd);
}

static void save_bytes(const char *path, const void *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_TRUNC | O_CREAT, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
    close(fd);
}

static void save(const struct file *x)
{
    save_bytes(x->path, x->bytes, x->len);
}

static void flush_one(const char *key)
{
    store_batch_clear(f.b);
    store_put(f.b, STORE_STATE, bytes_text(key), bytes_text("value"));
    ck_assert_int_eq(store_write(f.s, f.b, NULL), ERR_OK);
    ck_assert_int_eq(store_flush(f.s, STORE_STATE, NULL), ERR_OK);
}

static void spill_one(const char *key)
{
    struct store_bulk *b = NULL;
    ck_assert_int_eq(store_bulk_open(f.s, STORE_BODIES, &b, NULL), ERR_OK);
    ck_assert_int_eq(store_bulk_put(b, bytes_text(key), bytes_text("body"), NULL), ERR_OK);
    ck_assert_int_eq(store_bulk_finish(b, NULL), ERR_OK);
}

static void closed(void)
{
    store_close(f.s);
    f.s = NULL;
}

static void load_manifest(void)
{
    DIR *d = opendir(f.dir);
    for (struct dirent *entry; (entry = readdir(d)) != NULL;)
        if (strncmp(entry->d_name, "MANIFEST-", 9) == 0)
            load(&manifest, entry->d_name);
    closedir(d);
}

static bool has(enum store_family family, const char *key)
{
    struct buffer out = {0};
    int code = store_get(f.s, family, bytes_text(key), &out, NULL);
    buffer_close(&out);
    return code == ERR_OK;
}

static void expect_refused(const char *path, const char *why)
{
    struct error e = {0};
    struct store_options o = {.dir = f.dir};
    char told[500];
    snprintf(told, sizeof told, "%s is damaged", path);
    ck_assert_int_eq(store_open(&o, &f.s, &e), ERR_CORRUPT);
    ck_assert_msg(strncmp(e.message, told, strlen(told)) == 0, "%s", e.message);
    ck_assert_msg(strstr(e.message, why) != NULL && strstr(e.message, "restore") != NULL, "%s", e.message);
    f.s = NULL;
}

static void expect_whole(void)
{
    fixture_reopen(&f);
    ck_assert(has(STORE_STATE, "flushed"));
    ck_assert(has(STORE_BODIES, "spilled"));
}

static void set_up(void)
{
    fixture_open(&f, false);
    flush_one("flushed");
    spill_one("spilled");
    closed();
    load_manifest();
    load(&guard, "manifest.guard");
}

static void tear_down(void)
{
    fixture_close(&f);
}

START_TEST(a_manifest_that_lost_its_end_is_refused_and_what_it_named_stays)
{
    for (size_t less = 1; less <= TAIL; less++) {
        save_bytes(manifest.path, manifest.bytes, manifest.len - less);
        expect_refused(manifest.path, "it ends at byte");
    }
    save(&manifest);
    expect_whole();
}
END_TEST

START_TEST(a_manifest_whose_last_records_changed_is_refused)
{
    for (size_t at = manifest.len - TAIL; at < manifest.len; at++) {
        manifest.bytes[at] ^= 0x40;
        save(&manifest);
        expect_refused(manifest.path, "not as they were written");
        manifest.bytes[at] ^= 0x40;
    }
    save(&manifest);
    expect_whole();
}
END_TEST

/* RocksDB writes there by itself, too: what a crash left of it is nothing that was called durable. */
START_TEST(what_stands_behind_what_was_noted_may_be_cut_short)
{
    static const uint8_t begun[] = {1, 2, 3, 4, 100, 0, 1, 9};
    memcpy(manifest.bytes + manifest.len, begun, sizeof begun);
    manifest.len += sizeof begun;
    save(&manifest);
    expect_whole();
}
END_TEST

START_TEST(an_older_note_holds_as_well)
{
    fixture_reopen(&f);
    load(&guard, "manifest.guard");
    flush_one("later");
    spill_one("much-later");
    closed();
    save(&guard);
    expect_whole();
    ck_assert(has(STORE_STATE, "later"));
    ck_assert(has(STORE_BODIES, "much-later"));
    closed();
    save(&guard); /* of a manifest that was replaced meanwhile */
    expect_whole();
}
END_TEST

START_TEST(one_of_two_notes_may_be_torn)
{
    for (unsigned place = 0; place < 2; place++) {
        load(&guard, "manifest.guard");
        guard.bytes[place * PLACE + 20] ^= 1;
        save(&guard);
        expect_whole();
        closed();
    }
    load(&guard, "manifest.guard");
    guard.bytes[20] ^= 1;
    guard.bytes[PLACE + 20] ^= 1;
    save(&guard);
    expect_refused(guard.path, "neither of its notes holds");
}
END_TEST

START_TEST(a_store_without_notes_opens_and_has_some_then)
{
    ck_assert_int_eq(unlink(guard.path), 0);
    expect_whole();
    closed();
    load_manifest();
    save_bytes(manifest.path, manifest.bytes, manifest.len - 1);
    expect_refused(manifest.path, "it ends at byte");
}
END_TEST

START_TEST(a_current_that_names_an_older_manifest_or_none_is_refused)
{
    struct file current;
    load(&current, "CURRENT");
    save_bytes(current.path, "MANIFEST-000001\n", 16);
    expect_refused(current.path, "it names manifest 1");
    save_bytes(current.path, "MANIFEST", 8);
    expect_refused(current.path, "it names no manifest");
    ck_assert_int_eq(unlink(current.path), 0);
    struct error e = {0};
    ck_assert_int_eq(store_open(&(struct store_options){.dir = f.dir}, &f.s, &e), ERR_CORRUPT);
    ck_assert_ptr_nonnull(strstr(e.message, "CURRENT is missing"));
    f.s = NULL;
    save(&current);
    expect_whole();
}
END_TEST

START_TEST(what_a_flush_wrote_is_noted_by_it)
{
    fixture_reopen(&f);
    flush_one("later");
    closed();
    load_manifest();
    manifest.len--;
    save(&manifest);
    expect_refused(manifest.path, "it ends at byte");
}
END_TEST

struct rolling {
    atomic_bool stop;
    unsigned number;
};

static void roll(unsigned number)
{
    char path[400], current[400], text[64];
    snprintf(path, sizeof path, "%s/MANIFEST-%06u", f.dir, number);
    save_bytes(path, "manifest", 8);
    snprintf(text, sizeof text, "MANIFEST-%06u\n", number);
    snprintf(path, sizeof path, "%s/next", f.dir);
    save_bytes(path, text, strlen(text));
    snprintf(current, sizeof current, "%s/CURRENT", f.dir);
    ck_assert_int_eq(rename(path, current), 0);
    snprintf(path, sizeof path, "%s/MANIFEST-%06u", f.dir, number - 1);
    (void)unlink(path);
}

static void *roll_on(void *arg)
{
    struct rolling *r = arg;
    while (!atomic_load(&r->stop))
        roll(++r->number);
    return NULL;
}

START_TEST(a_manifest_that_gives_way_to_another_meanwhile_is_none_that_is_missing)
{
    struct rolling r = {.number = 100};
    struct guard *g = NULL;
    struct error e = {0};
    pthread_t thread;
    roll(r.number);
    ck_assert_int_eq(guard_open(f.dir, &g, &e), ERR_OK);
    ck_assert_int_eq(pthread_create(&thread, NULL, roll_on, &r), 0);
    for (int i = 0; i < 500; i++)
        ck_assert_msg(guard_note(g, &e) == ERR_OK, "%s", e.message);
    atomic_store(&r.stop, true);
    pthread_join(thread, NULL);
    char path[400];
    snprintf(path, sizeof path, "%s/MANIFEST-%06u", f.dir, r.number);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(guard_note(g, &e), ERR_CORRUPT);
    ck_assert_msg(strstr(e.message, "is missing") != NULL, "%s", e.message);
    guard_close(g);
}
END_TEST

START_TEST(starts_leave_nothing_that_adds_up)
{
    int files[2] = {0};
    for (int i = 0; i < 12; i++) {
        fixture_reopen(&f);
        closed();
        DIR *d = opendir(f.dir);
        for (files[1] = 0; readdir(d) != NULL;)
            files[1]++;
        closedir(d);
        if (i == 3)
            files[0] = files[1];
    }
    ck_assert_int_eq(files[1], files[0]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("guard");
    TCase *c = tcase_create("guard");
    tcase_set_timeout(c, 0);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, a_manifest_that_lost_its_end_is_refused_and_what_it_named_stays);
    tcase_add_test(c, a_manifest_whose_last_records_changed_is_refused);
    tcase_add_test(c, what_stands_behind_what_was_noted_may_be_cut_short);
    tcase_add_test(c, an_older_note_holds_as_well);
    tcase_add_test(c, one_of_two_notes_may_be_torn);
    tcase_add_test(c, a_store_without_notes_opens_and_has_some_then);
    tcase_add_test(c, a_current_that_names_an_older_manifest_or_none_is_refused);
    tcase_add_test(c, what_a_flush_wrote_is_noted_by_it);
    tcase_add_test(c, a_manifest_that_gives_way_to_another_meanwhile_is_none_that_is_missing);
    tcase_add_test(c, starts_leave_nothing_that_adds_up);
    suite_add_tcase(s, c);
    return fixture_main(s);
}
