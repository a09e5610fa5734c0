/* The two disks behind base/disk.h do the same as long as nothing goes wrong, and the simulated one goes wrong in the ways
 * it is meant to. */
#include <limits.h>
#include <unistd.h>

#include "log_fixture.h"

static char directory[64];

static struct iovec part(const void *data, size_t len)
{
    union {
        const void *in;
        void *out;
    } base = {data};
    return (struct iovec){base.out, len};
}

static void count(void *ctx, const char *name)
{
    (void)name;
    ++*(size_t *)ctx;
}

/* More parts than one call of the system takes, some of them empty. */
static void exercise_parts(struct disk_file *f)
{
    enum { PARTS = IOV_MAX * 2 + 100 };
    static struct iovec parts[PARTS];
    struct disk *d = f->disk;
    struct error e;
    size_t total = 0;
    for (size_t i = 0; i < PARTS; i++) {
        parts[i] = part("0123456789", i % 11);
        total += parts[i].iov_len;
    }
    ck_assert_int_eq(d->write(f, 7, parts, PARTS, &e), ERR_OK);
    ck_assert_int_eq(d->sync(f, &e), ERR_OK);
    uint8_t *back = memory_alloc(total);
    ck_assert_int_eq(disk_read_exact(f, 7, back, total, &e), ERR_OK);
    size_t at = 0;
    for (size_t i = 0; i < PARTS; at += parts[i++].iov_len) {
        struct bytes written = bytes_of(parts[i].iov_base, parts[i].iov_len);
        ck_assert(bytes_equal(bytes_of(back + at, written.len), written));
    }
    memory_free(back);
}

static void exercise_size(struct disk_file *f)
{
    struct disk *d = f->disk;
    struct error e;
    uint64_t size;
    ck_assert_int_eq(d->allocate(f, 100000, &e), ERR_OK);
    ck_assert_int_eq(d->size(f, &size, &e), ERR_OK);
    ck_assert_uint_eq(size, 100000);
    exercise_parts(f);
    uint8_t back[100];
    size_t got;
    ck_assert_int_eq(d->read(f, 99990, back, sizeof back, &got, &e), ERR_OK);
    ck_assert_uint_eq(got, 10);
    ck_assert_int_eq(disk_read_exact(f, 99990, back, 11, &e), ERR_IO);
    ck_assert_int_eq(d->truncate(f, 10, &e), ERR_OK);
    ck_assert_int_eq(d->size(f, &size, &e), ERR_OK);
    ck_assert_uint_eq(size, 10);
}

static void exercise_lock(struct disk *d, const char *path)
{
    struct error e;
    struct disk_file *held, *second;
    ck_assert_int_eq(d->lock(d, path, &held, &e), ERR_OK);
    ck_assert_int_eq(d->lock(d, path, &second, &e), ERR_EXISTS);
    d->close(held);
    ck_assert_int_eq(d->lock(d, path, &held, &e), ERR_OK);
    d->close(held);
    ck_assert_int_eq(d->unlink(d, path, &e), ERR_OK);
}

static void exercise_names(struct disk *d, const char *dir, const char *a, const char *b)
{
    struct error e;
    struct disk_file *other;
    ck_assert_int_eq(d->open(d, a, DISK_CREATE | DISK_EXCLUSIVE, &other, &e), ERR_EXISTS);
    ck_assert_int_eq(d->rename(d, a, b, &e), ERR_OK);
    ck_assert_int_eq(d->sync_dir(d, dir, &e), ERR_OK);
    ck_assert_int_eq(d->rename(d, a, b, &e), ERR_NOT_FOUND);
    size_t names = 0;
    ck_assert_int_eq(d->list(d, dir, count, &names, &e), ERR_OK);
    ck_assert_uint_eq(names, 1);
    ck_assert_int_eq(d->unlink(d, b, &e), ERR_OK);
    ck_assert_int_eq(d->unlink(d, b, &e), ERR_NOT_FOUND);
}

static void exercise(struct disk *d, const char *dir)
{
    char a[128], b[128], lock[128];
    snprintf(a, sizeof a, "%s/a", dir);
    snprintf(b, sizeof b, "%s/b", dir);
    snprintf(lock, sizeof lock, "%s/lock", dir);
    struct error e;
    struct disk_file *f;
    uint64_t space;
    ck_assert_int_eq(d->make_dir(d, dir, &e), ERR_OK);
    ck_assert_int_eq(d->make_dir(d, dir, &e), ERR_OK);
    ck_assert_int_eq(d->open(d, a, 0, &f, &e), ERR_NOT_FOUND);
    ck_assert_msg(strstr(e.message, a) != NULL, "%s", e.message);
    ck_assert_int_eq(d->open(d, a, DISK_CREATE, &f, &e), ERR_OK);
    exercise_size(f);
    exercise_names(d, dir, a, b);
    d->close(f);
    ck_assert_int_eq(d->space(d, dir, &space, &e), ERR_OK);
    ck_assert_uint_gt(space, 0);
    exercise_lock(d, lock);
}

START_TEST(the_machines_disk_keeps_the_contract)
{
    snprintf(directory, sizeof directory, "/tmp/hato-disk-test.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    char dir[80];
    snprintf(dir, sizeof dir, "%s/d", directory);
    exercise(disk_real(), dir);
    rmdir(dir);
    rmdir(directory);
}
END_TEST

START_TEST(the_simulated_disk_keeps_the_contract)
{
    struct sim_disk *s = sim_disk_create(0);
    exercise(sim_disk_table(s), "d");
    sim_disk_destroy(s);
}
END_TEST

START_TEST(synced_bytes_and_names_survive_a_crash_and_others_may_not)
{
    size_t lost = 0, torn = 0, kept = 0, named = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct sim_disk *s = sim_disk_create(0);
        struct disk *d = sim_disk_table(s);
        struct disk_file *f, *g;
        static uint8_t first[2048], second[2048], back[2048];
        memset(first, 1, sizeof first);
        memset(second, 2, sizeof second);
        d->open(d, "x/a", DISK_CREATE, &f, NULL);
        disk_write_bytes(f, 0, first, sizeof first, NULL);
        d->sync(f, NULL);
        d->sync_dir(d, "x", NULL);
        disk_write_bytes(f, 0, second, sizeof second, NULL);
        d->open(d, "x/b", DISK_CREATE, &g, NULL);
        d->close(f);
        d->close(g);
        sim_disk_crash(s, seed);
        ck_assert(sim_disk_exists(s, "x/a"));
        named += sim_disk_exists(s, "x/b");
        sim_disk_peek(s, "x/a", 0, back, sizeof back);
        size_t new_blocks = 0;
        for (size_t b = 0; b < 4; b++) {
            ck_assert(back[b * 512] == 1 || back[b * 512] == 2);
            ck_assert_int_eq(memcmp(back + b * 512, back[b * 512] == 1 ? first : second, 512), 0); /* whole blocks */
            new_blocks += back[b * 512] == 2;
        }
        lost += new_blocks == 0;
        kept += new_blocks == 4;
        torn += new_blocks > 0 && new_blocks < 4;
        sim_disk_destroy(s);
    }
    ck_assert_uint_gt(lost, 10);
    ck_assert_uint_gt(kept, 10);
    ck_assert_uint_gt(torn, 50);
    ck_assert_uint_gt(named, 50);
    ck_assert_uint_lt(named, 150);
}
END_TEST

START_TEST(a_crash_replays_from_its_seed)
{
    uint8_t images[2][4096];
    for (int i = 0; i < 2; i++) {
        struct sim_disk *s = sim_disk_create(0);
        struct disk *d = sim_disk_table(s);
        struct disk_file *f;
        d->open(d, "x/a", DISK_CREATE, &f, NULL);
        d->allocate(f, 4096, NULL);
        d->sync(f, NULL);
        d->sync_dir(d, "x", NULL);
        for (uint8_t b = 1; b < 40; b++)
            disk_write_bytes(f, b * 100, &b, 1, NULL);
        d->close(f);
        sim_disk_crash(s, 9);
        sim_disk_peek(s, "x/a", 0, images[i], sizeof images[i]);
        sim_disk_destroy(s);
    }
    ck_assert_int_eq(memcmp(images[0], images[1], sizeof images[0]), 0);
}
END_TEST

START_TEST(space_ends_where_it_is_told_to)
{
    struct sim_disk *s = sim_disk_create(1000);
    struct disk *d = sim_disk_table(s);
    struct disk_file *f;
    struct error e;
    uint64_t space;
    static uint8_t bytes[2000];
    d->open(d, "x/a", DISK_CREATE, &f, NULL);
    ck_assert_int_eq(d->allocate(f, 1001, &e), ERR_STORAGE_FULL);
    ck_assert_int_eq(d->allocate(f, 600, &e), ERR_OK);
    ck_assert_int_eq(d->space(d, "x", &space, &e), ERR_OK);
    ck_assert_uint_eq(space, 400);
    ck_assert_int_eq(disk_write_bytes(f, 0, bytes, 600, &e), ERR_OK);
    ck_assert_int_eq(disk_write_bytes(f, 500, bytes, 600, &e), ERR_STORAGE_FULL);
    sim_disk_capacity(s, 5000);
    ck_assert_int_eq(disk_write_bytes(f, 500, bytes, 600, &e), ERR_OK);
    d->close(f);
    sim_disk_destroy(s);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("disk");
    TCase *t = tcase_create("disk");
    tcase_set_timeout(t, 0);
    tcase_add_test(t, the_machines_disk_keeps_the_contract);
    tcase_add_test(t, the_simulated_disk_keeps_the_contract);
    tcase_add_test(t, synced_bytes_and_names_survive_a_crash_and_others_may_not);
    tcase_add_test(t, a_crash_replays_from_its_seed);
    tcase_add_test(t, space_ends_where_it_is_told_to);
    suite_add_tcase(s, t);
    return run_suite(s);
}
