/* One replica, a single voter, step by step. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "replica.h"

static void open_single(struct replica *r)
{
    struct membership m = {0};
    membership_add(&m.voters, 1);
    replica_open(r, 1, &m, 7);
    ck_assert_int_eq(replica_start(r, NULL), ERR_OK);
}

static void elect_single(struct replica *r)
{
    open_single(r);
    raft_campaign(r->raft);
    replica_settle(r);
    ck_assert(replica_leads(r));
}

START_TEST(a_single_voter_leads_at_once)
{
    struct replica r;
    open_single(&r);
    ck_assert(!raft_has_ready(r.raft));
    raft_campaign(r.raft);
    replica_settle(&r);
    struct raft_status s = replica_status(&r);
    ck_assert_uint_eq(s.role, RAFT_LEADER);
    ck_assert_uint_eq(s.leader, 1);
    ck_assert_uint_eq(s.term, RAFT_BIRTH_TERM + 1);
    ck_assert_uint_eq(s.commit, RAFT_BIRTH_INDEX + 1);
    ck_assert_uint_eq(r.machine.applied, RAFT_BIRTH_INDEX + 1);
    replica_close(&r);
}
END_TEST

START_TEST(a_single_voter_also_leads_by_its_clock)
{
    struct replica r;
    open_single(&r);
    uint32_t ticks = 0;
    for (; !raft_has_ready(r.raft); ticks++)
        raft_tick(r.raft);
    ck_assert_uint_ge(ticks, r.options.election_ticks);
    ck_assert_uint_lt(ticks, 2 * r.options.election_ticks);
    replica_settle(&r);
    ck_assert(replica_leads(&r));
    replica_close(&r);
}
END_TEST

START_TEST(an_entry_is_committed_only_after_it_was_persisted)
{
    struct replica r;
    elect_single(&r);
    uint64_t index = 0, before = r.machine.applied;
    ck_assert_int_eq(replica_propose(&r, "hello", &index, NULL), ERR_OK);
    ck_assert_uint_eq(index, before + 1);
    replica_drain(&r);
    ck_assert_uint_eq(image_last(&r.live), index);
    ck_assert_uint_eq(r.machine.applied, before);
    ck_assert(!raft_has_ready(r.raft));
    replica_sync(&r, r.write_count);
    ck_assert_uint_eq(r.machine.applied, index);
    ck_assert_uint_eq(replica_status(&r).applied, index);
    replica_close(&r);
}
END_TEST

START_TEST(a_body_is_not_copied_on_its_way)
{
    struct replica r;
    elect_single(&r);
    struct blob *b = blob_copy(bytes_text("the body"));
    uint64_t index;
    ck_assert_int_eq(raft_propose(r.raft, b, &index, NULL), ERR_OK);
    struct raft_ready ready;
    raft_ready(r.raft, &ready);
    ck_assert_uint_eq(ready.entry_count, 1);
    ck_assert_ptr_eq(ready.entries[0].owner, b);
    ck_assert_ptr_eq(ready.entries[0].data, b->data);
    replica_write(&r, &ready);
    r.given = ready.number;
    raft_advance(r.raft);
    write_store(&r, &r.writes[0]);
    write_free(&r.writes[0]);
    r.write_count = 0;
    raft_persisted(r.raft, ready.number);
    raft_ready(r.raft, &ready);
    ck_assert_uint_eq(ready.committed_count, 1);
    ck_assert_ptr_eq(ready.committed[0].owner, b);
    ck_assert_ptr_eq(ready.committed[0].data, b->data);
    raft_advance(r.raft);
    replica_close(&r);
    ck_assert_uint_eq(atomic_load(&b->refs), 1);
    blob_unref(b);
}
END_TEST

START_TEST(what_was_applied_is_not_given_again_after_a_restart)
{
    struct replica r;
    elect_single(&r);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(replica_propose(&r, "entry", NULL, NULL), ERR_OK);
    replica_settle(&r);
    replica_save(&r);
    struct machine then = r.machine;
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(replica_propose(&r, "more", NULL, NULL), ERR_OK);
    replica_settle(&r);
    struct machine last = r.machine;
    replica_crash(&r, 0);
    ck_assert_int_eq(replica_start(&r, NULL), ERR_OK);
    ck_assert_uint_eq(r.machine.applied, then.applied);
    raft_campaign(r.raft);
    replica_settle(&r);
    ck_assert(replica_leads(&r));
    ck_assert_uint_eq(r.machine.applied, last.applied + 1);
    replica_close(&r);
}
END_TEST

START_TEST(the_state_may_be_ahead_of_the_stored_commit_index)
{
    struct replica r;
    elect_single(&r);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(replica_propose(&r, "entry", NULL, NULL), ERR_OK);
    replica_settle(&r);
    replica_save(&r);
    r.disk.hard.commit = RAFT_BIRTH_INDEX;
    replica_crash(&r, 0);
    ck_assert_int_eq(replica_start(&r, NULL), ERR_OK);
    ck_assert_uint_eq(replica_status(&r).commit, r.saved.applied);
    replica_close(&r);
}
END_TEST

START_TEST(a_log_may_also_begin_at_index_one)
{
    struct membership m = {0};
    membership_add(&m.voters, 1);
    struct replica r;
    replica_open(&r, 1, NULL, 7);
    r.saved.membership = m;
    ck_assert_int_eq(replica_start(&r, NULL), ERR_OK);
    raft_campaign(r.raft);
    replica_settle(&r);
    ck_assert(replica_leads(&r));
    ck_assert_uint_eq(r.machine.applied, 1);
    replica_close(&r);
}
END_TEST

START_TEST(a_contradicting_storage_is_refused)
{
    struct error e;
    struct replica r;
    elect_single(&r);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(replica_propose(&r, "entry", NULL, NULL), ERR_OK);
    replica_settle(&r);
    replica_save(&r);
    replica_crash(&r, 0);

    image_truncate(&r.disk, r.disk.count - 1);
    ck_assert_int_eq(replica_start(&r, &e), ERR_CORRUPT);
    ck_assert_ptr_nonnull(strstr(e.message, "missing"));
    r.saved.applied--;
    r.disk.hard.commit = 0;
    ck_assert_int_eq(replica_start(&r, &e), ERR_OK);
    replica_crash(&r, 0);
    r.disk.hard.term = 1;
    ck_assert_int_eq(replica_start(&r, &e), ERR_CORRUPT);
    r.disk.hard.term = 2;
    image_compact(&r.disk, r.saved.applied);
    r.saved.applied--;
    ck_assert_int_eq(replica_start(&r, &e), ERR_CORRUPT);
    replica_close(&r);
}
END_TEST

START_TEST(options_out_of_range_are_refused)
{
    struct replica r;
    open_single(&r);
    replica_crash(&r, 0);
    struct error e;
    struct raft_options good = r.options, o = good;
    o.node = 0;
    ck_assert_int_eq(raft_create(&o, &r.raft, &e), ERR_INVALID);
    o = good, o.heartbeat_ticks = 0;
    ck_assert_int_eq(raft_create(&o, &r.raft, &e), ERR_INVALID);
    o = good, o.election_ticks = o.heartbeat_ticks;
    ck_assert_int_eq(raft_create(&o, &r.raft, &e), ERR_INVALID);
    o = good, o.max_inflight_msgs = 0;
    ck_assert_int_eq(raft_create(&o, &r.raft, &e), ERR_INVALID);
    o = good, o.max_uncommitted_size = o.max_size_per_msg - 1;
    ck_assert_int_eq(raft_create(&o, &r.raft, &e), ERR_INVALID);
    o = good, membership_add(&o.membership.learners, 1);
    ck_assert_int_eq(raft_create(&o, &r.raft, &e), ERR_INVALID);
    ck_assert_ptr_null(r.raft);
    replica_close(&r);
}
END_TEST

START_TEST(a_follower_refuses_proposals_reads_and_transfers)
{
    struct replica r;
    open_single(&r);
    struct raft_change change = {2, RAFT_ADD_LEARNER};
    ck_assert_int_eq(replica_propose(&r, "x", NULL, NULL), ERR_NOT_LEADER);
    ck_assert_int_eq(raft_propose_membership(r.raft, &change, 1, NULL, NULL), ERR_NOT_LEADER);
    ck_assert_int_eq(raft_read_index(r.raft, 1, NULL), ERR_NOT_LEADER);
    ck_assert_int_eq(raft_transfer(r.raft, 2, NULL), ERR_NOT_LEADER);
    ck_assert(!raft_has_ready(r.raft));
    replica_close(&r);
}
END_TEST

START_TEST(too_much_uncommitted_is_refused_until_it_is_committed)
{
    struct replica r;
    open_single(&r);
    replica_crash(&r, 0);
    r.options.max_size_per_msg = 100;
    r.options.max_uncommitted_size = 100;
    ck_assert_int_eq(replica_start(&r, NULL), ERR_OK);
    raft_campaign(r.raft);
    replica_settle(&r);
    ck_assert_int_eq(replica_propose(&r, "0123456789012345678901234567890123456789", NULL, NULL), ERR_OK);
    ck_assert_int_eq(replica_propose(&r, "0123456789012345678901234567890123456789", NULL, NULL), ERR_OK);
    ck_assert_uint_eq(replica_status(&r).uncommitted_bytes, 80);
    struct error e;
    ck_assert_int_eq(replica_propose(&r, "0123456789012345678901234567890123456789", NULL, &e), ERR_OVERLOADED);
    replica_settle(&r);
    ck_assert_uint_eq(replica_status(&r).uncommitted_bytes, 0);
    ck_assert_int_eq(replica_propose(&r, "0123456789012345678901234567890123456789", NULL, &e), ERR_OK);
    replica_settle(&r);
    replica_close(&r);
}
END_TEST

struct readings {
    size_t count;
    struct raft_read last;
};

static void on_read(void *context, struct replica *r, const struct raft_read *read)
{
    (void)r;
    struct readings *readings = context;
    readings->count++;
    readings->last = *read;
}

START_TEST(a_single_voter_answers_reads_at_once)
{
    struct readings readings = {0};
    struct replica_events events = {.read = on_read};
    struct replica r;
    elect_single(&r);
    r.events = &events;
    r.context = &readings;
    ck_assert_int_eq(raft_read_index(r.raft, 42, NULL), ERR_OK);
    replica_drain(&r);
    ck_assert_uint_eq(readings.count, 1);
    ck_assert_uint_eq(readings.last.context, 42);
    ck_assert_uint_eq(readings.last.index, r.machine.applied);
    replica_close(&r);
}
END_TEST

START_TEST(a_new_leader_refuses_reads_until_it_has_committed)
{
    struct replica r;
    open_single(&r);
    raft_campaign(r.raft);
    replica_drain(&r);
    ck_assert(replica_leads(&r));
    ck_assert_int_eq(raft_read_index(r.raft, 1, NULL), ERR_NOT_LEADER);
    replica_settle(&r);
    ck_assert_int_eq(raft_read_index(r.raft, 1, NULL), ERR_OK);
    replica_settle(&r);
    replica_close(&r);
}
END_TEST

START_TEST(entries_that_must_be_fetched_are_applied_later)
{
    struct replica r;
    elect_single(&r);
    ck_assert_int_eq(replica_propose(&r, "x", NULL, NULL), ERR_OK);
    uint64_t before = r.machine.applied;
    r.entries_later = true;
    replica_settle(&r);
    ck_assert_uint_eq(r.machine.applied, before);
    ck_assert(!raft_has_ready(r.raft));
    ck_assert_int_eq(replica_propose(&r, "y", NULL, NULL), ERR_OK);
    replica_settle(&r);
    ck_assert(!raft_has_ready(r.raft));
    r.entries_later = false;
    raft_fetched(r.raft);
    ck_assert(raft_has_ready(r.raft));
    replica_settle(&r);
    ck_assert_uint_eq(r.machine.applied, before + 2);
    replica_close(&r);
}
END_TEST

START_TEST(bad_data_stops_the_replica_and_nothing_else)
{
    struct replica r;
    elect_single(&r);
    ck_assert_int_eq(replica_propose(&r, "x", NULL, NULL), ERR_OK);
    r.entries_bad = true;
    replica_settle(&r);
    ck_assert(replica_status(&r).failed);
    ck_assert(!raft_has_ready(r.raft));
    struct error e;
    ck_assert_int_eq(replica_propose(&r, "x", NULL, &e), ERR_CORRUPT);
    ck_assert_int_eq(raft_read_index(r.raft, 1, &e), ERR_CORRUPT);
    ck_assert_int_eq(raft_transfer(r.raft, 2, &e), ERR_CORRUPT);
    raft_tick(r.raft);
    raft_fetched(r.raft);
    ck_assert(!raft_has_ready(r.raft));
    replica_close(&r);
}
END_TEST

START_TEST(bad_data_before_an_election_prevents_it)
{
    struct replica r;
    elect_single(&r);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(replica_propose(&r, "x", NULL, NULL), ERR_OK);
    replica_settle(&r);
    replica_crash(&r, 0);
    ck_assert_uint_gt(r.disk.hard.commit, r.saved.applied);
    ck_assert_int_eq(replica_start(&r, NULL), ERR_OK);
    r.entries_later = true;
    raft_campaign(r.raft);
    ck_assert_uint_eq(replica_status(&r).role, RAFT_FOLLOWER);
    ck_assert(!replica_status(&r).failed);
    r.entries_later = false;
    r.entries_bad = true;
    raft_campaign(r.raft);
    ck_assert_uint_eq(replica_status(&r).role, RAFT_FOLLOWER);
    ck_assert(replica_status(&r).failed);
    replica_close(&r);
}
END_TEST

START_TEST(the_last_voter_cannot_be_removed)
{
    struct replica r;
    elect_single(&r);
    struct raft_change change = {1, RAFT_REMOVE};
    ck_assert_int_eq(raft_propose_membership(r.raft, &change, 1, NULL, NULL), ERR_INVALID);
    ck_assert_int_eq(raft_propose_membership(r.raft, NULL, 0, NULL, NULL), ERR_CONFLICT);
    change = (struct raft_change){0, RAFT_ADD_VOTER};
    ck_assert_int_eq(raft_propose_membership(r.raft, &change, 1, NULL, NULL), ERR_INVALID);
    change = (struct raft_change){2, 9};
    ck_assert_int_eq(raft_propose_membership(r.raft, &change, 1, NULL, NULL), ERR_INVALID);
    ck_assert(!raft_has_ready(r.raft));
    replica_close(&r);
}
END_TEST

START_TEST(one_change_of_membership_at_a_time)
{
    struct replica r;
    elect_single(&r);
    struct raft_change change = {2, RAFT_ADD_LEARNER};
    ck_assert_int_eq(raft_propose_membership(r.raft, &change, 1, NULL, NULL), ERR_OK);
    ck_assert_int_eq(raft_propose_membership(r.raft, &change, 1, NULL, NULL), ERR_CONFLICT);
    replica_settle(&r);
    ck_assert(membership_has(&r.machine.membership.learners, 2));
    change = (struct raft_change){2, RAFT_REMOVE};
    ck_assert_int_eq(raft_propose_membership(r.raft, &change, 1, NULL, NULL), ERR_OK);
    replica_settle(&r);
    ck_assert(!membership_includes(&r.machine.membership, 2));
    replica_close(&r);
}
END_TEST

START_TEST(a_group_has_at_most_so_many_nodes)
{
    struct replica r;
    elect_single(&r);
    for (uint64_t node = 2; node < 2 + MEMBERSHIP_NODES_MAX; node++) {
        struct raft_change change = {node, RAFT_ADD_LEARNER};
        ck_assert_int_eq(raft_propose_membership(r.raft, &change, 1, NULL, NULL), ERR_OK);
        replica_settle(&r);
    }
    struct raft_change change = {100, RAFT_ADD_LEARNER};
    ck_assert_int_eq(raft_propose_membership(r.raft, &change, 1, NULL, NULL), ERR_INVALID);
    struct raft_peer peers[RAFT_PEERS_MAX];
    ck_assert_uint_eq(raft_peers(r.raft, peers, RAFT_PEERS_MAX), MEMBERSHIP_NODES_MAX + 1);
    for (uint64_t i = 0; i <= MEMBERSHIP_NODES_MAX; i++)
        ck_assert_uint_eq(peers[i].node, i + 1);
    ck_assert_uint_eq(raft_peers(r.raft, peers, 1), MEMBERSHIP_NODES_MAX + 1);
    replica_close(&r);
}
END_TEST

struct lines {
    size_t count;
    bool elected;
};

static void on_trace(void *context, enum raft_trace_level level, const char *text, size_t len)
{
    struct lines *lines = context;
    ck_assert_int_le(level, RAFT_TRACE_INFO);
    struct blob *b = blob_copy(bytes_of(text, len));
    lines->count++;
    lines->elected |= memmem(b->data, b->len, "became leader at term 2", 23) != NULL;
    blob_unref(b);
}

START_TEST(diagnostics_reach_the_callback_as_far_as_wanted)
{
    struct replica r;
    open_single(&r);
    replica_crash(&r, 0);
    struct lines lines = {0};
    r.options.trace = on_trace;
    r.options.trace_context = &lines;
    ck_assert_int_eq(replica_start(&r, NULL), ERR_OK);
    raft_campaign(r.raft);
    replica_settle(&r);
    ck_assert(lines.elected);
    replica_crash(&r, 0);
    lines = (struct lines){0};
    r.options.trace_level = RAFT_TRACE_ERROR;
    ck_assert_int_eq(replica_start(&r, NULL), ERR_OK);
    raft_campaign(r.raft);
    replica_settle(&r);
    ck_assert_uint_eq(lines.count, 0);
    replica_close(&r);
}
END_TEST

enum { THREADS = 4, ENTRIES = 300 };

struct worker {
    pthread_t thread;
    struct blob *body;
    uint64_t applied;
};

static void *work(void *context)
{
    struct worker *w = context;
    struct replica r;
    elect_single(&r);
    for (int i = 0; i < ENTRIES; i++) {
        raft_propose(r.raft, w->body, NULL, NULL);
        replica_settle(&r);
    }
    w->applied = r.machine.applied;
    replica_close(&r);
    return NULL;
}

START_TEST(replicas_on_different_threads_share_bodies)
{
    struct worker workers[THREADS];
    struct blob *body = blob_copy(bytes_text("shared"));
    for (int i = 0; i < THREADS; i++) {
        workers[i].body = body;
        ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        ck_assert_uint_eq(workers[i].applied, RAFT_BIRTH_INDEX + 1 + ENTRIES);
    }
    ck_assert_uint_eq(atomic_load(&body->refs), 1);
    blob_unref(body);
}
END_TEST

START_TEST(a_call_out_of_order_ends_the_process)
{
    struct replica r;
    elect_single(&r);
    ck_assert_int_eq(replica_propose(&r, "x", NULL, NULL), ERR_OK);
    struct raft_ready ready;
    raft_ready(r.raft, &ready);
    raft_tick(r.raft);
}
END_TEST

START_TEST(applying_what_is_not_committed_ends_the_process)
{
    struct replica r;
    elect_single(&r);
    raft_applied(r.raft, r.machine.applied + 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("raft");
    TCase *t = tcase_create("single voter");
    tcase_add_test(t, a_single_voter_leads_at_once);
    tcase_add_test(t, a_single_voter_also_leads_by_its_clock);
    tcase_add_test(t, an_entry_is_committed_only_after_it_was_persisted);
    tcase_add_test(t, a_body_is_not_copied_on_its_way);
    tcase_add_test(t, what_was_applied_is_not_given_again_after_a_restart);
    tcase_add_test(t, the_state_may_be_ahead_of_the_stored_commit_index);
    tcase_add_test(t, a_log_may_also_begin_at_index_one);
    tcase_add_test(t, a_contradicting_storage_is_refused);
    tcase_add_test(t, options_out_of_range_are_refused);
    tcase_add_test(t, a_follower_refuses_proposals_reads_and_transfers);
    tcase_add_test(t, too_much_uncommitted_is_refused_until_it_is_committed);
    tcase_add_test(t, a_single_voter_answers_reads_at_once);
    tcase_add_test(t, a_new_leader_refuses_reads_until_it_has_committed);
    tcase_add_test(t, entries_that_must_be_fetched_are_applied_later);
    tcase_add_test(t, bad_data_stops_the_replica_and_nothing_else);
    tcase_add_test(t, bad_data_before_an_election_prevents_it);
    tcase_add_test(t, the_last_voter_cannot_be_removed);
    tcase_add_test(t, one_change_of_membership_at_a_time);
    tcase_add_test(t, a_group_has_at_most_so_many_nodes);
    tcase_add_test(t, diagnostics_reach_the_callback_as_far_as_wanted);
    tcase_add_test(t, replicas_on_different_threads_share_bodies);
    tcase_add_test_raise_signal(t, a_call_out_of_order_ends_the_process, SIGABRT);
    tcase_add_test_raise_signal(t, applying_what_is_not_committed_ends_the_process, SIGABRT);
    tcase_set_timeout(t, 0);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
