/* Damage of every kind on a small log: the result is the whole log, or the log without a tail that no sync had covered,
 * or a refusal that names the file. Never a log that silently lacks what was durable. */
#include "log_fixture.h"

enum { SEGMENT_HEADER = 4096, BLOCK = 512 };

#define FORMAT_HASH UINT64_C(0x01cd818c8e6ccbb5)

/* What is known durable, to compare with after the damage. */
static struct model durable[GROUPS_MAX];

static void remember(const struct fixture *f)
{
    memcpy(durable, f->models, sizeof durable);
}

/* Opens a copy of the disk; returns the code. When it opens all that was durable must be there. */
static int open_copy(struct fixture *f, struct sim_disk *copy, struct error *e)
{
    struct fixture *g = memory_zero(1, sizeof *g);
    g->disk = copy;
    g->options = f->options;
    g->options.disk = sim_disk_table(copy);
    g->seeds = f->seeds + 1000;
    memcpy(g->models, durable, sizeof durable);
    memset(e, 0, sizeof *e);
    int code = fixture_try_open(g, e);
    if (code == ERR_OK)
        fixture_check(g);
    fixture_destroy(g);
    return code;
}

static void expect_refusal(int code, const struct error *e, const char *path)
{
    ck_assert_msg(code == ERR_CORRUPT || code == ERR_VERSION, "%d: %s", code, e->message);
    ck_assert_msg(strstr(e->message, path) != NULL, "%s does not name %s", e->message, path);
    ck_assert_msg(strstr(e->message, "restore") != NULL || code == ERR_VERSION, "%s: no advice", e->message);
}

/* Two segments with records, reused and unused ones after them. */
static struct fixture *small_log(void)
{
    struct fixture *f = fixture_create(0);
    f->options.compress = false;
    fixture_open(f);
    for (uint32_t g = 0; g < 3; g++)
        fixture_append(f, g, 1, 2, 40 + 13 * g);
    fixture_settle(f);
    fixture_append(f, 0, 1, 1, 700);
    fixture_settle(f);
    fixture_kill(f);
    fixture_open(f);
    fixture_append(f, 1, 2, 2, 30);
    fixture_settle(f);
    fixture_submit(f, 1, 4, 3, 2, 61, true);
    fixture_append(f, 2, 3, 1, 600);
    fixture_settle(f);
    remember(f);
    return f;
}

static uint64_t record_end(const struct fixture *f, const char *path)
{
    uint64_t size = sim_disk_size(f->disk, path);
    uint8_t *bytes = memory_alloc(size);
    sim_disk_peek(f->disk, path, 0, bytes, size);
    while (size > 0 && bytes[size - 1] == 0)
        size--;
    memory_free(bytes);
    return size;
}

START_TEST(a_flip_of_any_byte_is_harmless_or_refused_with_the_files_name)
{
    struct fixture *f = small_log();
    fixture_kill(f);
    for (uint64_t sequence = 1; sequence <= 4; sequence++) {
        char path[64];
        segment_path_of(sequence, path);
        uint64_t end = record_end(f, path) + BLOCK;
        size_t refused = 0;
        for (uint64_t at = 0; at < end && at < sim_disk_size(f->disk, path); at++) {
            if (at >= BLOCK && at < SEGMENT_HEADER)
                continue; /* reserved, not read */
            struct sim_disk *copy = sim_disk_copy(f->disk);
            sim_disk_flip(copy, path, at, (uint8_t)(1 << (at % 8)));
            struct error e;
            int code = open_copy(f, copy, &e); /* checks that nothing is missing when it opens */
            if (code != ERR_OK) {
                expect_refusal(code, &e, path);
                refused++;
            }
        }
        /* All but the mark at the very end, and the padding behind it, matters. */
        uint64_t matters = sequence <= 2 ? record_end(f, path) - SEGMENT_HEADER + BLOCK - 64 - 8 : BLOCK;
        ck_assert_msg(refused >= matters, "segment %d: %zu of %zu flips seen", (int)sequence, refused, (size_t)matters);
    }
    fixture_destroy(f);
}
END_TEST

START_TEST(a_file_cut_at_any_byte_is_refused_when_anything_is_gone)
{
    struct fixture *f = small_log();
    fixture_kill(f);
    for (uint64_t sequence = 1; sequence <= 3; sequence++) {
        char path[64];
        segment_path_of(sequence, path);
        uint64_t end = record_end(f, path);
        for (uint64_t at = 0; at < end; at++) {
            struct sim_disk *copy = sim_disk_copy(f->disk);
            sim_disk_cut(copy, path, at);
            struct error e;
            int code = open_copy(f, copy, &e);
            bool only_the_mark = sequence == 1 && at + 64 > end;
            if (code != ERR_OK || !only_the_mark)
                expect_refusal(code, &e, path);
        }
    }
    fixture_destroy(f);
}
END_TEST

START_TEST(a_durable_block_of_zeros_is_refused)
{
    struct fixture *f = small_log();
    fixture_kill(f);
    char path[64];
    segment_path_of(2, path);
    uint64_t end = record_end(f, path);
    static const uint8_t zeros[BLOCK];
    size_t n = 0;
    for (uint64_t at = SEGMENT_HEADER; at + BLOCK <= end - 64; at += BLOCK, n++) { /* all but that of the mark */
        struct sim_disk *copy = sim_disk_copy(f->disk);
        sim_disk_poke(copy, path, at, zeros, BLOCK);
        struct error e;
        int code = open_copy(f, copy, &e);
        expect_refusal(code, &e, path);
    }
    ck_assert_uint_ge(n, 2);
    fixture_destroy(f);
}
END_TEST

/* Every byte of what was written after the last sync may be missing, or wrong: that is a torn tail. */
START_TEST(an_unsynced_batch_cut_at_any_byte_is_dropped_and_the_rest_kept)
{
    struct fixture *f = small_log();
    char path[64];
    segment_path_of(2, path);
    uint64_t before = record_end(f, path);
    /* The batch is written, its sync fails: the process stops there. */
    sim_disk_fail(f->disk, SIM_DISK_SYNC, 0, 0, ERR_IO);
    fixture_append(f, 0, 4, 3, 90);
    fixture_append(f, 2, 4, 1, 10);
    fixture_settle(f);
    ck_assert_int_eq(f->last_code, ERR_IO);
    ck_assert(log_failed(f->log));
    fixture_kill(f);
    uint64_t end = record_end(f, path);
    ck_assert_uint_gt(end, before + 400);
    memcpy(f->models, durable, sizeof durable);
    static const uint8_t zeros[4096];
    for (uint64_t at = before; at < end; at++) {
        struct sim_disk *copy = sim_disk_copy(f->disk);
        sim_disk_poke(copy, path, at, zeros, end - at);
        struct fixture *g = memory_zero(1, sizeof *g);
        g->disk = copy;
        g->options = f->options;
        g->options.disk = sim_disk_table(copy);
        g->seeds = 77;
        struct error e = {0};
        ck_assert_msg(fixture_try_open(g, &e) == ERR_OK, "cut at %llu: %s", (unsigned long long)at, e.message);
        /* A write is there with all of its records or not at all. */
        uint64_t last = log_last(g->groups[0]);
        ck_assert_msg(last == durable[0].last || last == durable[0].last + 3, "%d", (int)last);
        ck_assert_uint_eq(log_hard_state(g->groups[0]).term, last == durable[0].last ? 1 : 4);
        ck_assert_uint_eq(log_last(g->groups[1]), durable[1].last);
        struct log_summary summary = log_recovered(g->log);
        if (last == durable[0].last)
            ck_assert(at < before + 48 || strcmp(summary.cut_file, "0000000000000002.seg") == 0);
        fixture_destroy(g);
    }
    fixture_destroy(f);
}
END_TEST

START_TEST(a_lost_write_in_front_of_a_surviving_one_is_a_torn_tail_while_neither_was_synced)
{
    struct fixture *f = small_log();
    char path[64];
    segment_path_of(2, path);
    uint64_t before = record_end(f, path) - record_end(f, path) % BLOCK;
    uint8_t block[BLOCK];
    sim_disk_peek(f->disk, path, before, block, sizeof block);
    sim_disk_fail(f->disk, SIM_DISK_SYNC, 0, 0, ERR_IO);
    fixture_append(f, 0, 4, 1, 2000);
    fixture_append(f, 2, 4, 1, 2000);
    fixture_settle(f);
    fixture_kill(f);
    sim_disk_poke(f->disk, path, before, block, sizeof block); /* the first block never arrived */
    memcpy(f->models, durable, sizeof durable);
    fixture_open(f);
    fixture_check(f);
    ck_assert_uint_gt(log_recovered(f->log).cut_bytes, 2000);
    /* Neither comes back later. */
    fixture_append(f, 0, 5, 1, 1999);
    fixture_settle(f);
    fixture_kill(f);
    fixture_open(f);
    fixture_check(f);
    fixture_destroy(f);
}
END_TEST

static int open_without_end(const struct fixture *f, const char *path, uint64_t from, struct error *e)
{
    static const uint8_t zeros[SEGMENT];
    struct fixture *g = memory_zero(1, sizeof *g);
    g->disk = sim_disk_copy(f->disk);
    g->options = f->options;
    g->options.disk = sim_disk_table(g->disk);
    sim_disk_poke(g->disk, path, from, zeros, SEGMENT - from);
    *e = (struct error){0};
    int code = fixture_try_open(g, e);
    fixture_destroy(g);
    return code;
}

/* The end of the last file says which entries are not needed, and the file that held them is gone. */
START_TEST(an_end_that_was_wiped_out_is_named)
{
    struct fixture *f = fixture_create(0);
    fixture_open(f);
    while (log_bytes(f->log) < 3 * SEGMENT) {
        fixture_append(f, 0, 1, 1, 3000);
        fixture_settle(f);
    }
    fixture_compact(f, 0, f->models[0].last - 1);
    fixture_settle(f);
    fixture_kill(f);
    size_t refused = 0;
    for (uint64_t sequence = 1; sequence < 10; sequence++) {
        char path[64];
        segment_path_of(sequence, path);
        for (uint64_t from = SEGMENT_HEADER + BLOCK; from < SEGMENT && sim_disk_exists(f->disk, path); from += BLOCK) {
            struct error e;
            if (open_without_end(f, path, from, &e) == ERR_OK || strstr(e.message, "not needed") == NULL)
                continue;
            expect_refusal(ERR_CORRUPT, &e, path);
            refused++;
        }
    }
    ck_assert_uint_gt(refused, 0);
    fixture_destroy(f);
}
END_TEST

START_TEST(a_missing_file_is_named)
{
    struct fixture *f = fixture_create(0);
    fixture_open(f);
    while (log_bytes(f->log) < 4 * SEGMENT) {
        fixture_append(f, 0, 1, 1, 3000);
        fixture_settle(f);
    }
    remember(f);
    fixture_kill(f);
    struct error e;
    for (uint64_t sequence = 1; sequence <= 4; sequence++) {
        struct sim_disk *copy = sim_disk_copy(f->disk);
        char path[64];
        segment_path_of(sequence, path);
        sim_disk_remove(copy, path);
        ck_assert_int_eq(open_copy(f, copy, &e), ERR_CORRUPT);
        char name[32];
        snprintf(name, sizeof name, "%016x.seg", sequence == 1 ? 2 : (unsigned)sequence);
        ck_assert_msg(strstr(e.message, name) != NULL, "%s", e.message);
        ck_assert_msg(strstr(e.message, "missing") != NULL, "%s", e.message);
    }
    struct sim_disk *copy = sim_disk_copy(f->disk);
    for (uint64_t sequence = 1; sequence <= 10; sequence++) {
        char path[64];
        segment_path_of(sequence, path);
        if (sim_disk_exists(copy, path))
            sim_disk_remove(copy, path);
    }
    ck_assert_int_eq(open_copy(f, copy, &e), ERR_CORRUPT);
    ck_assert_msg(strstr(e.message, LOG_DIR) != NULL && strstr(e.message, "gone") != NULL, "%s", e.message);
    fixture_destroy(f);
}
END_TEST

START_TEST(two_files_exchanged_are_refused)
{
    struct fixture *f = small_log();
    fixture_kill(f);
    struct sim_disk *copy = sim_disk_copy(f->disk);
    struct disk *d = sim_disk_table(copy);
    char a[64], b[64];
    segment_path_of(1, a);
    segment_path_of(2, b);
    d->rename(d, a, LOG_DIR "/x", NULL);
    d->rename(d, b, a, NULL);
    d->rename(d, LOG_DIR "/x", b, NULL);
    d->sync_dir(d, LOG_DIR, NULL);
    struct error e;
    ck_assert_int_eq(open_copy(f, copy, &e), ERR_CORRUPT);
    fixture_destroy(f);
}
END_TEST

START_TEST(a_refused_log_is_left_as_it_was)
{
    struct fixture *f = small_log();
    fixture_kill(f);
    char path[64];
    segment_path_of(2, path);
    sim_disk_flip(f->disk, path, SEGMENT_HEADER + 100, 1);
    struct error e;
    for (int i = 0; i < 3; i++) {
        uint64_t syncs = sim_disk_syncs(f->disk);
        ck_assert_int_eq(fixture_try_open(f, &e), ERR_CORRUPT);
        ck_assert_uint_eq(sim_disk_syncs(f->disk), syncs);
        sim_disk_kill(f->disk);
    }
    sim_disk_flip(f->disk, path, SEGMENT_HEADER + 100, 1);
    fixture_open(f);
    fixture_check(f);
    fixture_destroy(f);
}
END_TEST

START_TEST(a_format_of_another_version_is_refused_as_such)
{
    struct fixture *f = small_log();
    fixture_kill(f);
    char path[64];
    segment_path_of(1, path);
    uint8_t block[BLOCK];
    sim_disk_peek(f->disk, path, 0, block, BLOCK);
    block[16] = 2;
    struct buffer sum = {0};
    buffer_u64(&sum, bytes_hash(bytes_of(block + 16, BLOCK - 16), 0));
    memcpy(block + 8, sum.data, 8);
    buffer_close(&sum);
    sim_disk_poke(f->disk, path, 0, block, BLOCK);
    struct error e;
    ck_assert_int_eq(fixture_try_open(f, &e), ERR_VERSION);
    fixture_destroy(f);
}
END_TEST

/* A log that any build of this format version writes byte for byte like this. When this fails the format has changed:
 * proto/LOG-FORMAT.md says what that takes. */
START_TEST(the_format_is_what_it_was)
{
    struct fixture *f = small_log();
    uint64_t hash = 0;
    for (uint64_t sequence = 1; sequence <= 2; sequence++) {
        char path[64];
        segment_path_of(sequence, path);
        uint64_t size = sim_disk_size(f->disk, path);
        uint8_t *bytes = memory_alloc(size);
        sim_disk_peek(f->disk, path, 0, bytes, size);
        hash = bytes_hash(bytes_of(bytes, size), hash);
        memory_free(bytes);
    }
    ck_assert_msg(hash == FORMAT_HASH, "%016llx", (unsigned long long)hash);
    fixture_destroy(f);
}
END_TEST

START_TEST(a_damaged_entry_is_seen_when_it_is_read)
{
    struct fixture *f = small_log();
    log_release(f->groups[0], 3);
    char path[64];
    segment_path_of(1, path);
    uint64_t size = record_end(f, path);
    sim_disk_flip(f->disk, path, size - 100 - 72, 4); /* in the entry of 700 bytes, before a hard state */
    struct log_entry entry;
    struct blob *body;
    struct error e;
    ck_assert_int_eq(log_entry(f->groups[0], 3, &entry, &e), ERR_CORRUPT);
    ck_assert_msg(strstr(e.message, path) != NULL && strstr(e.message, "offset") != NULL, "%s", e.message);
    ck_assert_int_eq(log_read(f->log, 0, 3, &body, &e), ERR_CORRUPT);
    ck_assert_int_eq(log_read(f->log, 0, 2, &body, &e), ERR_OK);
    blob_unref(body);
    fixture_destroy(f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("log recovery");
    TCase *t = tcase_create("recovery");
    tcase_set_timeout(t, 0);
    tcase_add_test(t, a_flip_of_any_byte_is_harmless_or_refused_with_the_files_name);
    tcase_add_test(t, a_file_cut_at_any_byte_is_refused_when_anything_is_gone);
    tcase_add_test(t, a_durable_block_of_zeros_is_refused);
    tcase_add_test(t, an_unsynced_batch_cut_at_any_byte_is_dropped_and_the_rest_kept);
    tcase_add_test(t, a_lost_write_in_front_of_a_surviving_one_is_a_torn_tail_while_neither_was_synced);
    tcase_add_test(t, an_end_that_was_wiped_out_is_named);
    tcase_add_test(t, a_missing_file_is_named);
    tcase_add_test(t, two_files_exchanged_are_refused);
    tcase_add_test(t, a_refused_log_is_left_as_it_was);
    tcase_add_test(t, a_format_of_another_version_is_refused_as_such);
    tcase_add_test(t, the_format_is_what_it_was);
    tcase_add_test(t, a_damaged_entry_is_seen_when_it_is_read);
    suite_add_tcase(s, t);
    return run_suite(s);
}
