#include "log_fixture.h"

START_TEST(what_was_submitted_is_readable_at_once_and_after_it_is_durable)
{
    struct fixture *f = fixture_create(0);
    fixture_open(f);
    fixture_append(f, 0, 1, 3, 100);
    ck_assert_uint_eq(log_durable(f->groups[0]), 0);
    fixture_check(f);
    ck_assert_uint_eq(f->completed, 0);
    ck_assert(log_step(f->log));
    ck_assert_uint_eq(f->completed, 0);
    ck_assert_uint_eq(f->woken, 1);
    ck_assert_uint_eq(log_port_drain(f->port), 1);
    ck_assert_uint_eq(f->completed, 1);
    ck_assert_int_eq(f->last_code, ERR_OK);
    ck_assert_uint_eq(log_durable(f->groups[0]), 3);
    fixture_check(f);
    log_release(f->groups[0], 3);
    struct log_entry entry;
    ck_assert_int_eq(log_entry_cached(f->groups[0], 3, &entry), ERR_NOT_FOUND);
    fixture_check(f);
    fixture_destroy(f);
}
END_TEST

START_TEST(nothing_completes_before_its_sync)
{
    struct fixture *f = fixture_create(0);
    fixture_open(f);
    uint64_t syncs = sim_disk_syncs(f->disk);
    for (uint32_t g = 0; g < GROUPS_MAX; g++)
        fixture_append(f, g, 1, 2, 1000);
    ck_assert_uint_eq(log_port_drain(f->port), 0);
    log_step(f->log);
    ck_assert_uint_eq(sim_disk_syncs(f->disk), syncs + 1); /* one for all groups */
    ck_assert_uint_eq(log_port_drain(f->port), GROUPS_MAX);
    fixture_destroy(f);
}
END_TEST

START_TEST(a_reopened_log_has_all_groups_entries_states_and_marks)
{
    struct fixture *f = fixture_create(0);
    fixture_open(f);
    for (size_t round = 0; round < 40; round++) {
        for (uint32_t g = 0; g < GROUPS_MAX; g++)
            fixture_append(f, g, 1 + round / 10, 1 + round % 3, 10 + 137 * g * round % 3000);
        fixture_settle(f);
    }
    struct log_snapshot mark = {.index = 7, .term = 1, .membership = bytes_text("nodes 1 2 3")};
    struct log_write *w = new_write(f);
    w->mark = &mark;
    log_submit(f->groups[3], w);
    f->models[3].mark = 7;
    fixture_settle(f);
    for (int reopened = 0; reopened < 3; reopened++) {
        fixture_kill(f);
        fixture_open(f);
        fixture_check(f);
        struct log_snapshot got = log_snapshot(f->groups[3]);
        ck_assert_uint_eq(got.term, 1);
        ck_assert(bytes_equal(got.membership, mark.membership));
        ck_assert_uint_eq(log_recovered(f->log).cut_bytes, 0);
    }
    uint32_t numbers[GROUPS_MAX];
    ck_assert_uint_eq(log_groups(f->log, numbers, GROUPS_MAX), GROUPS_MAX);
    ck_assert_uint_eq(numbers[5], 5);
    fixture_destroy(f);
}
END_TEST

START_TEST(a_log_closed_in_order_completes_what_was_submitted)
{
    struct fixture *f = fixture_create(0);
    fixture_open(f);
    fixture_append(f, 1, 1, 5, 200);
    log_close(f->log);
    ck_assert_uint_eq(f->completed, 1);
    fixture_open(f);
    fixture_check(f);
    fixture_destroy(f);
}
END_TEST

START_TEST(a_suffix_is_replaced_in_memory_and_on_disk)
{
    struct fixture *f = fixture_create(0);
    fixture_open(f);
    fixture_append(f, 2, 1, 20, 50);
    fixture_append(f, 3, 1, 20, 50);
    fixture_settle(f);
    log_release(f->groups[2], 20);
    fixture_submit(f, 2, 11, 2, 3, 60, true); /* of durable entries */
    fixture_check(f);
    fixture_append(f, 2, 2, 10, 70);
    fixture_submit(f, 2, 15, 3, 4, 80, true); /* of entries still in memory */
    ck_assert_uint_eq(log_durable(f->groups[2]), 10);
    fixture_check(f);
    struct log_entry run[64];
    size_t n;
    struct error e;
    ck_assert_int_eq(log_entries(f->groups[2], 5, 19, UINT64_MAX, false, run, 64, &n, &e), ERR_OK);
    ck_assert_uint_eq(n, 14);
    for (size_t i = 0; i < n; i++) {
        check_entry(&run[i], 5 + i, &f->models[2].entries[5 + i]);
        blob_unref(run[i].owner);
    }
    fixture_settle(f);
    fixture_check(f);
    fixture_kill(f);
    fixture_open(f);
    fixture_check(f);
    fixture_destroy(f);
}
END_TEST

/* What it replaced still stands where a run of entries meets it first: before it in the segment, or in the segment before. */
START_TEST(a_replaced_suffix_does_not_come_back_with_a_run_of_entries)
{
    struct fixture *f = fixture_create(0);
    fixture_open(f);
    fixture_append(f, 2, 1, 20, 50);
    fixture_append(f, 3, 1, _i == 0 ? 4 : 12, 5000);
    fixture_settle(f);
    if (_i == 1)
        fixture_append(f, 3, 1, 1, 20000); /* needs the next segment */
    fixture_settle(f);
    fixture_submit(f, 2, 15, 2, 10, 60, true);
    fixture_settle(f);
    log_release(f->groups[2], 24);
    struct log_entry run[64];
    size_t n;
    struct error e = {0};
    for (uint64_t at = 10; at < 25; at += n) {
        ck_assert_msg(log_entries(f->groups[2], at, 25, UINT64_MAX, false, run, 64, &n, &e) == ERR_OK, "%s", e.message);
        ck_assert_uint_gt(n, 0);
        for (size_t i = 0; i < n; i++) {
            check_entry(&run[i], at + i, &f->models[2].entries[at + i]);
            blob_unref(run[i].owner);
        }
    }
    fixture_destroy(f);
}
END_TEST

START_TEST(a_suffix_can_go_without_a_successor)
{
    struct fixture *f = fixture_create(0);
    fixture_open(f);
    fixture_append(f, 0, 1, 9, 20);
    fixture_settle(f);
    fixture_submit(f, 0, 4, 2, 0, 0, true);
    fixture_settle(f);
    fixture_check(f);
    fixture_kill(f);
    fixture_open(f);
    fixture_check(f);
    fixture_append(f, 0, 3, 2, 20);
    fixture_settle(f);
    fixture_check(f);
    fixture_destroy(f);
}
END_TEST

START_TEST(entries_come_in_runs_bounded_by_bytes_and_number)
{
    struct fixture *f = fixture_create(0);
    fixture_open(f);
    for (size_t i = 0; i < 60; i++) {
        fixture_append(f, 0, 1, 10, 100);
        fixture_append(f, 1, 1, 1, 5000);
        fixture_settle(f);
    }
    log_release(f->groups[0], 550);
    struct log_entry run[700];
    size_t n;
    struct error e;
    ck_assert_int_eq(log_entries(f->groups[0], 1, 601, UINT64_MAX, false, run, 700, &n, &e), ERR_OK);
    ck_assert_uint_eq(n, 600);
    for (size_t i = 0; i < n; i++) {
        check_entry(&run[i], i + 1, &f->models[0].entries[i + 1]);
        blob_unref(run[i].owner);
    }
    ck_assert_int_eq(log_entries(f->groups[0], 3, 601, 1050, false, run, 700, &n, &e), ERR_OK);
    ck_assert_uint_eq(n, 10);
    while (n > 0)
        blob_unref(run[--n].owner);
    ck_assert_int_eq(log_entries(f->groups[0], 560, 601, 250, false, run, 700, &n, &e), ERR_OK);
    ck_assert_uint_eq(n, 2);
    while (n > 0)
        blob_unref(run[--n].owner);
    ck_assert_int_eq(log_entries(f->groups[0], 545, 601, 1, false, run, 7, &n, &e), ERR_OK);
    ck_assert_uint_eq(n, 1); /* one goes whatever its size */
    blob_unref(run[0].owner);
    ck_assert_int_eq(log_entries(f->groups[0], 545, 601, 1000, true, run, 7, &n, &e), ERR_OK);
    ck_assert_uint_eq(n, 0); /* not in memory */
    ck_assert_int_eq(log_entries(f->groups[0], 545, 602, 1000, true, run, 7, &n, &e), ERR_NOT_FOUND);
    fixture_destroy(f);
}
END_TEST

START_TEST(compressible_entries_take_less_and_come_back_whole)
{
    struct fixture *f = fixture_create(0);
    f->options.segment_bytes = 1 << 20;
    fixture_open(f);
    for (size_t i = 0; i < 100; i++) {
        fixture_submit(f, 0, f->models[0].last + 1, 1, 1, 40000, false);
        fixture_settle(f);
        log_release(f->groups[0], f->models[0].last);
    }
    ck_assert_uint_eq(log_bytes(f->log), 1 << 20); /* 4 MB in one segment */
    fixture_check(f);
    fixture_kill(f);
    fixture_open(f);
    fixture_check(f);
    fixture_destroy(f);
}
END_TEST

START_TEST(an_entry_larger_than_a_segment_gets_one_of_its_own)
{
    struct fixture *f = fixture_create(0);
    f->options.compress = false;
    fixture_open(f);
    fixture_append(f, 0, 1, 1, 100);
    fixture_append(f, 0, 1, 1, 10 * SEGMENT);
    fixture_append(f, 0, 1, 3, 100);
    fixture_settle(f);
    log_release(f->groups[0], 5);
    fixture_check(f);
    fixture_kill(f);
    fixture_open(f);
    fixture_check(f);
    fixture_compact(f, 0, 5);
    fixture_settle(f);
    ck_assert_uint_eq(log_bytes(f->log), SEGMENT);
    fixture_destroy(f);
}
END_TEST

static void fill(struct fixture *f, uint32_t group, size_t segments)
{
    uint64_t until = log_bytes(f->log) + segments * SEGMENT;
    while (log_bytes(f->log) < until) {
        fixture_append(f, group, 1, 1, 2000);
        fixture_settle(f);
    }
}

START_TEST(segments_go_when_no_group_needs_them)
{
    struct fixture *f = fixture_create(0);
    fixture_open(f);
    fixture_append(f, 1, 1, 2, 300);
    fill(f, 0, 6);
    ck_assert(log_above_window(f->log));
    uint64_t bytes = log_bytes(f->log);
    fixture_compact(f, 0, f->models[0].last - 1);
    fixture_settle(f);
    ck_assert_uint_eq(log_bytes(f->log), bytes); /* group 1 has two entries in the oldest */
    ck_assert_uint_eq(log_oldest_index(f->groups[0], 0), 0);
    ck_assert_uint_eq(log_oldest_index(f->groups[1], 0), 2);
    fixture_compact(f, 1, 2);
    fixture_settle(f);
    ck_assert_uint_le(log_bytes(f->log), 2 * SEGMENT);
    ck_assert(!log_above_window(f->log));
    fixture_check(f);
    for (int i = 0; i < 3; i++) {
        fixture_kill(f);
        fixture_open(f);
        fixture_check(f);
        uint64_t term;
        ck_assert_int_eq(log_term(f->groups[1], 2, &term), ERR_OK);
        ck_assert_uint_eq(term, 1);
        ck_assert_int_eq(log_term(f->groups[1], 1, &term), ERR_NOT_FOUND);
        struct blob *body;
        struct error e;
        ck_assert_int_eq(log_read(f->log, 1, 2, &body, &e), ERR_NOT_FOUND);
    }
    fixture_destroy(f);
}
END_TEST

START_TEST(the_oldest_index_is_how_far_to_spill)
{
    struct fixture *f = fixture_create(0);
    fixture_open(f);
    fill(f, 0, 3);
    uint64_t bytes = log_bytes(f->log);
    uint64_t upto = log_oldest_index(f->groups[0], 0);
    ck_assert_uint_gt(upto, 1);
    ck_assert_uint_lt(upto, f->models[0].last);
    fixture_compact(f, 0, upto - 1);
    fixture_settle(f);
    ck_assert_uint_eq(log_bytes(f->log), bytes);
    ck_assert_uint_eq(log_oldest_index(f->groups[0], 0), upto);
    fixture_compact(f, 0, upto);
    fixture_settle(f);
    ck_assert_uint_eq(log_bytes(f->log), bytes - SEGMENT);
    fixture_check(f);
    fixture_destroy(f);
}
END_TEST

START_TEST(all_that_outgrew_the_window_can_be_spilled_at_once)
{
    struct fixture *f = fixture_create(0);
    fixture_open(f);
    fill(f, 0, 12);
    uint64_t few = log_oldest_index(f->groups[0], 3 * SEGMENT), all = log_oldest_index(f->groups[0], UINT64_MAX);
    ck_assert_uint_gt(few, log_oldest_index(f->groups[0], 0));
    ck_assert_uint_gt(all, few);
    uint64_t bytes = log_bytes(f->log);
    fixture_compact(f, 0, few);
    fixture_settle(f);
    ck_assert_uint_eq(log_bytes(f->log), bytes - 3 * SEGMENT);
    fixture_compact(f, 0, all - 1);
    fixture_settle(f);
    ck_assert(log_above_window(f->log));
    fixture_compact(f, 0, all);
    fixture_settle(f);
    ck_assert(!log_above_window(f->log));
    ck_assert_uint_gt(log_bytes(f->log), WINDOW - SEGMENT);
    fixture_check(f);
    fixture_destroy(f);
}
END_TEST

START_TEST(states_and_marks_outlive_the_segments_they_were_written_in)
{
    struct fixture *f = fixture_create(0);
    fixture_open(f);
    struct log_snapshot mark = {.index = 3, .term = 2, .membership = bytes_text("members")};
    struct log_hard_state state = {.term = 9, .vote = 4, .commit = 5};
    struct log_write *w = new_write(f);
    w->mark = &mark;
    w->state = &state;
    log_submit(f->groups[7], w);
    f->models[7].mark = 3;
    f->models[7].state = state;
    fill(f, 0, 5);
    fixture_compact(f, 0, f->models[0].last);
    fixture_settle(f);
    fixture_kill(f);
    char first[64];
    segment_path_of(1, first);
    ck_assert(!sim_disk_exists(f->disk, first));
    fixture_open(f);
    fixture_check(f);
    ck_assert(bytes_equal(log_snapshot(f->groups[7]).membership, mark.membership));
    fixture_destroy(f);
}
END_TEST

START_TEST(a_reset_starts_the_group_anew_after_the_snapshot)
{
    struct fixture *f = fixture_create(0);
    fixture_open(f);
    fixture_append(f, 4, 1, 30, 100);
    fixture_settle(f);
    struct log_snapshot snapshot = {.index = 1000, .term = 6, .membership = bytes_text("m")};
    struct log_write *w = new_write(f);
    w->reset = &snapshot;
    log_submit(f->groups[4], w);
    f->models[4].first = 1001;
    f->models[4].last = 1000;
    f->models[4].mark = 1000;
    fixture_append(f, 4, 6, 4, 100);
    fixture_check(f);
    fixture_settle(f);
    fixture_check(f);
    uint64_t term;
    ck_assert_int_eq(log_term(f->groups[4], 1000, &term), ERR_OK);
    ck_assert_uint_eq(term, 6);
    fixture_kill(f);
    fixture_open(f);
    fixture_check(f);
    ck_assert_int_eq(log_term(f->groups[4], 1000, &term), ERR_OK);
    ck_assert_uint_eq(term, 6);
    fixture_destroy(f);
}
END_TEST

START_TEST(a_used_segment_is_written_again_and_its_former_life_stays_dead)
{
    struct fixture *f = fixture_create(0);
    fixture_open(f);
    for (int round = 0; round < 12; round++) {
        fill(f, 0, 2);
        fixture_compact(f, 0, f->models[0].last - 2);
        fixture_settle(f);
        fixture_check(f);
        fixture_kill(f);
        fixture_open(f);
        fixture_check(f);
    }
    ck_assert_uint_le(sim_disk_used(f->disk), (4 + 2 + 2) * SEGMENT);
    fixture_destroy(f);
}
END_TEST

START_TEST(an_empty_write_completes_in_order)
{
    struct fixture *f = fixture_create(0);
    fixture_open(f);
    fixture_append(f, 0, 1, 1, 10);
    log_submit(f->groups[0], new_write(f));
    fixture_settle(f);
    ck_assert_uint_eq(f->completed, 2);
    log_submit(f->groups[0], new_write(f));
    fixture_settle(f);
    ck_assert_uint_eq(f->completed, 3);
    fixture_destroy(f);
}
END_TEST

START_TEST(a_directory_in_use_is_refused)
{
    struct fixture *f = fixture_create(0);
    fixture_open(f);
    struct log *other;
    struct error e;
    ck_assert_int_eq(log_open(&f->options, &other, &e), ERR_EXISTS);
    fixture_check(f);
    fixture_destroy(f);
}
END_TEST

START_TEST(impossible_options_are_refused)
{
    struct fixture *f = fixture_create(0);
    struct error e;
    f->options.segment_bytes = 1000;
    ck_assert_int_eq(fixture_try_open(f, &e), ERR_INVALID);
    ck_assert_str_eq(e.field, "segment_bytes");
    f->options.segment_bytes = SEGMENT + 1;
    ck_assert_int_eq(fixture_try_open(f, &e), ERR_INVALID);
    f->options.segment_bytes = (uint64_t)LOG_SEGMENT_BYTES_MAX + 4096;
    ck_assert_int_eq(fixture_try_open(f, &e), ERR_INVALID);
    f->options.segment_bytes = SEGMENT;
    f->options.reserve_segments = 1;
    ck_assert_int_eq(fixture_try_open(f, &e), ERR_INVALID);
    ck_assert_str_eq(e.field, "reserve_segments");
    fixture_destroy(f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("log");
    TCase *t = tcase_create("log");
    tcase_set_timeout(t, 0);
    tcase_add_test(t, what_was_submitted_is_readable_at_once_and_after_it_is_durable);
    tcase_add_test(t, nothing_completes_before_its_sync);
    tcase_add_test(t, a_reopened_log_has_all_groups_entries_states_and_marks);
    tcase_add_test(t, a_log_closed_in_order_completes_what_was_submitted);
    tcase_add_test(t, a_suffix_is_replaced_in_memory_and_on_disk);
    tcase_add_loop_test(t, a_replaced_suffix_does_not_come_back_with_a_run_of_entries, 0, 2);
    tcase_add_test(t, a_suffix_can_go_without_a_successor);
    tcase_add_test(t, entries_come_in_runs_bounded_by_bytes_and_number);
    tcase_add_test(t, compressible_entries_take_less_and_come_back_whole);
    tcase_add_test(t, an_entry_larger_than_a_segment_gets_one_of_its_own);
    tcase_add_test(t, segments_go_when_no_group_needs_them);
    tcase_add_test(t, the_oldest_index_is_how_far_to_spill);
    tcase_add_test(t, all_that_outgrew_the_window_can_be_spilled_at_once);
    tcase_add_test(t, states_and_marks_outlive_the_segments_they_were_written_in);
    tcase_add_test(t, a_reset_starts_the_group_anew_after_the_snapshot);
    tcase_add_test(t, a_used_segment_is_written_again_and_its_former_life_stays_dead);
    tcase_add_test(t, an_empty_write_completes_in_order);
    tcase_add_test(t, a_directory_in_use_is_refused);
    tcase_add_test(t, impossible_options_are_refused);
    suite_add_tcase(s, t);
    return run_suite(s);
}
