/* A disk that is full, or fails: what was promised is kept, and nothing stops that need not. */
#include "log_fixture.h"

/* Writes that completed with ERR_STORAGE_FULL, in that order. */
struct refused {
    struct log_write *at[64];
    size_t n;
};

static struct refused refused;

static void note(struct log_write *w, int code)
{
    struct fixture *f = w->ctx;
    f->completed++;
    f->last_code = code;
    if (code == ERR_STORAGE_FULL)
        refused.at[refused.n++] = w;
    else
        memory_free(w);
}

static void append(struct fixture *f, uint32_t group, size_t len)
{
    fixture_append(f, group, 1, 1, len)->done = note;
}

static void retry_all(struct fixture *f, uint32_t group)
{
    struct refused before = refused;
    refused.n = 0;
    for (size_t i = 0; i < before.n; i++)
        log_retry(f->groups[group], before.at[i]);
}

/* Room for the segment in use, the reserve, and `more`. */
static struct fixture *tight(uint64_t more)
{
    struct fixture *f = fixture_create(0);
    refused.n = 0;
    f->options.free_bytes_min = 1;
    f->options.compress = false;
    fixture_open(f);
    sim_disk_capacity(f->disk, sim_disk_used(f->disk) + more);
    return f;
}

static void append_until(struct fixture *f, uint64_t bytes)
{
    while (log_bytes(f->log) < bytes && refused.n == 0) {
        append(f, 0, 3000);
        fixture_settle(f);
        log_release(f->groups[0], log_durable(f->groups[0]));
    }
}

START_TEST(room_ends_when_the_reserve_cannot_be_kept_and_comes_back_by_itself)
{
    struct fixture *f = tight(SEGMENT);
    ck_assert(log_has_room(f->log));
    append_until(f, 2 * SEGMENT);
    ck_assert_uint_eq(log_bytes(f->log), 2 * SEGMENT);
    ck_assert(!log_has_room(f->log)); /* the last byte of the disk is taken */
    sim_disk_capacity(f->disk, sim_disk_used(f->disk) + 1000);
    log_check_space(f->log);
    fixture_settle(f);
    ck_assert(log_has_room(f->log)); /* the reserve is whole */
    append_until(f, 3 * SEGMENT);
    ck_assert(!log_has_room(f->log));
    append(f, 0, 100);
    fixture_settle(f);
    ck_assert_int_eq(f->last_code, ERR_OK); /* the reserve serves */
    sim_disk_capacity(f->disk, 0);
    ck_assert(!log_has_room(f->log));
    log_check_space(f->log);
    fixture_settle(f);
    ck_assert(log_has_room(f->log));
    fixture_check(f);
    fixture_destroy(f);
}
END_TEST

START_TEST(little_free_space_ends_room_before_the_reserve_is_touched)
{
    struct fixture *f = tight(0);
    f->options.free_bytes_min = 10000;
    fixture_kill(f);
    sim_disk_capacity(f->disk, sim_disk_used(f->disk) + 20 * SEGMENT);
    fixture_open(f);
    ck_assert(log_has_room(f->log));
    sim_disk_capacity(f->disk, sim_disk_used(f->disk) + 9999);
    log_check_space(f->log);
    fixture_settle(f);
    ck_assert(!log_has_room(f->log));
    append(f, 0, 100);
    fixture_settle(f);
    ck_assert_int_eq(f->last_code, ERR_OK);
    sim_disk_capacity(f->disk, sim_disk_used(f->disk) + 10001);
    log_check_space(f->log);
    fixture_settle(f);
    ck_assert(log_has_room(f->log));
    fixture_destroy(f);
}
END_TEST

START_TEST(without_any_space_writes_are_refused_and_go_on_later_in_order)
{
    struct fixture *f = tight(0);
    append_until(f, 100 * SEGMENT);
    ck_assert_uint_eq(refused.n, 1);
    ck_assert_uint_eq(log_bytes(f->log), 2 * SEGMENT); /* the last of the reserve is for the next start */
    ck_assert(!log_failed(f->log));
    append(f, 0, 10); /* small enough, but behind the refused one */
    append(f, 0, 3000);
    append(f, 1, 10); /* another group goes on in what is left of the segment */
    fixture_settle(f);
    ck_assert_uint_eq(refused.n, 3);
    ck_assert_uint_eq(log_durable(f->groups[1]), 1);
    fixture_check(f); /* all is in memory meanwhile */
    retry_all(f, 0);
    fixture_settle(f);
    ck_assert_uint_eq(refused.n, 3); /* still full */
    fixture_kill(f);
    /* What was not durable is gone, and only that. */
    f->models[0].last -= 3;
    sim_disk_capacity(f->disk, 0);
    for (; refused.n > 0; refused.n--)
        memory_free(refused.at[refused.n - 1]);
    fixture_open(f);
    fixture_check(f);
    fixture_destroy(f);
}
END_TEST

START_TEST(refused_writes_are_written_once_there_is_space)
{
    struct fixture *f = tight(0);
    append_until(f, 100 * SEGMENT);
    append(f, 0, 10);
    append(f, 0, 3000);
    fixture_settle(f);
    ck_assert_uint_eq(refused.n, 3);
    sim_disk_capacity(f->disk, 0);
    log_check_space(f->log);
    fixture_settle(f);
    retry_all(f, 0);
    append(f, 0, 500);
    fixture_settle(f);
    ck_assert_uint_eq(refused.n, 0);
    ck_assert_uint_eq(log_durable(f->groups[0]), log_last(f->groups[0]));
    fixture_check(f);
    fixture_kill(f);
    fixture_open(f);
    fixture_check(f);
    fixture_destroy(f);
}
END_TEST

START_TEST(compaction_works_on_a_full_disk_and_makes_room)
{
    struct fixture *f = tight(0);
    append_until(f, 100 * SEGMENT);
    ck_assert_uint_eq(refused.n, 1);
    fixture_compact(f, 0, log_oldest_index(f->groups[0], 0));
    fixture_settle(f);
    retry_all(f, 0);
    fixture_settle(f);
    ck_assert_uint_eq(refused.n, 0);
    fixture_check(f);
    fixture_kill(f);
    fixture_open(f);
    fixture_check(f);
    fixture_destroy(f);
}
END_TEST

START_TEST(a_full_disk_can_be_started_on)
{
    struct fixture *f = tight(0);
    append(f, 0, 3000);
    fixture_settle(f);
    for (int i = 0; i < 5; i++) {
        if (i == 2)
            append_until(f, 100 * SEGMENT);
        fixture_kill(f);
        f->models[0].last -= refused.n;
        for (; refused.n > 0; refused.n--)
            memory_free(refused.at[refused.n - 1]);
        fixture_open(f);
        fixture_check(f);
        append(f, 0, 100);
        fixture_settle(f);
        ck_assert_int_eq(f->last_code, ERR_OK);
    }
    fixture_destroy(f);
}
END_TEST

START_TEST(a_write_that_finds_no_space_leaves_the_log_as_it_was)
{
    /* As on file systems that copy on write: space ends although the file has its size. */
    for (uint64_t after = 0; after < 4; after++) {
        struct fixture *f = tight(0);
        append(f, 0, 1000);
        fixture_settle(f);
        sim_disk_fail(f->disk, SIM_DISK_WRITE, after, 3, ERR_STORAGE_FULL);
        for (int i = 0; i < 3; i++) {
            append(f, 0, 1500);
            append(f, 0, 700);
            fixture_settle(f);
        }
        ck_assert(!log_failed(f->log));
        append(f, 1, 1500); /* takes the place of what was not written */
        fixture_settle(f);
        ck_assert_int_eq(f->last_code, ERR_OK);
        while (refused.n > 0) {
            retry_all(f, 0);
            fixture_settle(f);
        }
        fixture_check(f);
        fixture_kill(f);
        fixture_open(f);
        fixture_check(f);
        fixture_destroy(f);
    }
}
END_TEST

START_TEST(a_compaction_that_found_no_space_is_repeated)
{
    struct fixture *f = tight(0);
    append_until(f, 2 * SEGMENT);
    uint64_t bytes = log_bytes(f->log);
    sim_disk_fail(f->disk, SIM_DISK_WRITE, 0, 2, ERR_STORAGE_FULL);
    fixture_compact(f, 0, log_durable(f->groups[0]));
    fixture_settle(f);
    ck_assert_uint_eq(log_bytes(f->log), bytes);
    for (int i = 0; i < 3; i++) {
        log_check_space(f->log);
        fixture_settle(f);
    }
    ck_assert_uint_lt(log_bytes(f->log), bytes);
    fixture_kill(f);
    fixture_open(f);
    fixture_check(f);
    fixture_destroy(f);
}
END_TEST

static void expect_end(struct fixture *f)
{
    ck_assert(log_failed(f->log));
    ck_assert(!log_has_room(f->log));
    struct error e;
    log_failure(f->log, &e);
    ck_assert_int_eq(e.code, ERR_IO);
    ck_assert_msg(strstr(e.message, LOG_DIR) != NULL, "%s", e.message);
    sim_disk_heal(f->disk);
    size_t completed = f->completed;
    append(f, 1, 10);
    fixture_settle(f);
    ck_assert_uint_eq(f->completed, completed + 1);
    ck_assert_int_eq(f->last_code, ERR_IO);
}

START_TEST(a_failed_sync_ends_the_log_for_good)
{
    struct fixture *f = tight(SEGMENT);
    append(f, 0, 100);
    fixture_settle(f);
    sim_disk_fail(f->disk, SIM_DISK_SYNC, 0, 1, ERR_IO);
    append(f, 0, 100);
    append(f, 2, 100);
    fixture_settle(f);
    ck_assert_uint_eq(f->completed, 3);
    ck_assert_int_eq(f->last_code, ERR_IO);
    ck_assert_uint_eq(log_durable(f->groups[0]), 1);
    expect_end(f);
    fixture_destroy(f);
}
END_TEST

START_TEST(a_sync_that_finds_no_space_ends_the_log_too)
{
    struct fixture *f = tight(SEGMENT);
    sim_disk_fail(f->disk, SIM_DISK_SYNC, 0, 1, ERR_STORAGE_FULL);
    append(f, 0, 100);
    fixture_settle(f);
    ck_assert_int_eq(f->last_code, ERR_IO);
    ck_assert(log_failed(f->log));
    fixture_destroy(f);
}
END_TEST

START_TEST(a_failed_write_ends_the_log_for_good)
{
    struct fixture *f = tight(SEGMENT);
    sim_disk_fail(f->disk, SIM_DISK_WRITE, 0, 1, ERR_IO);
    append(f, 0, 100);
    fixture_settle(f);
    ck_assert_int_eq(f->last_code, ERR_IO);
    expect_end(f);
    fixture_destroy(f);
}
END_TEST

START_TEST(a_failed_read_is_an_error_of_that_read_only)
{
    struct fixture *f = tight(SEGMENT);
    append(f, 0, 100);
    fixture_settle(f);
    log_release(f->groups[0], 1);
    sim_disk_fail(f->disk, SIM_DISK_READ, 0, 1, ERR_IO);
    struct log_entry entry;
    struct error e;
    ck_assert_int_eq(log_entry(f->groups[0], 1, &entry, &e), ERR_IO);
    fixture_check(f);
    ck_assert(!log_failed(f->log));
    fixture_destroy(f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("log space");
    TCase *t = tcase_create("space");
    tcase_set_timeout(t, 0);
    tcase_add_test(t, room_ends_when_the_reserve_cannot_be_kept_and_comes_back_by_itself);
    tcase_add_test(t, little_free_space_ends_room_before_the_reserve_is_touched);
    tcase_add_test(t, without_any_space_writes_are_refused_and_go_on_later_in_order);
    tcase_add_test(t, refused_writes_are_written_once_there_is_space);
    tcase_add_test(t, compaction_works_on_a_full_disk_and_makes_room);
    tcase_add_test(t, a_full_disk_can_be_started_on);
    tcase_add_test(t, a_write_that_finds_no_space_leaves_the_log_as_it_was);
    tcase_add_test(t, a_compaction_that_found_no_space_is_repeated);
    tcase_add_test(t, a_failed_sync_ends_the_log_for_good);
    tcase_add_test(t, a_sync_that_finds_no_space_ends_the_log_too);
    tcase_add_test(t, a_failed_write_ends_the_log_for_good);
    tcase_add_test(t, a_failed_read_is_an_error_of_that_read_only);
    suite_add_tcase(s, t);
    return run_suite(s);
}
