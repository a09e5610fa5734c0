/* Several replicas: step by step, and for minutes of virtual time with all faults at once. */
#include <stdlib.h>

#include "network.h"

enum { SEEDS = 12, VIRTUAL_MS = 20000 };

/* ---------------------------------------------------------------- step by step */

static struct replica *elected(struct network *n)
{
    n->quiet = true;
    for (int i = 0; i < 100 && network_leader(n) == NULL; i++)
        network_run(n, 100);
    network_run(n, 100);
    struct replica *leader = network_leader(n);
    ck_assert_ptr_nonnull(leader);
    return leader;
}

static void propose_many(struct network *n, struct replica *r, int count)
{
    for (int i = 0; i < count; i++)
        network_propose(n, r);
}

static void change(struct network *n, const struct raft_change *changes, size_t count)
{
    struct replica *leader = elected(n);
    struct error e;
    int code = raft_propose_membership(leader->raft, changes, count, NULL, &e);
    ck_assert_msg(code == ERR_OK, "%s", e.message);
    replica_drain(leader);
    for (int i = 0; i < 50; i++) {
        network_run(n, 20);
        if (!replica_status(leader).change_pending && !membership_joint(&leader->machine.membership))
            return;
    }
    ck_abort_msg("the change was not made");
}

START_TEST(three_replicas_agree)
{
    struct network n;
    network_open(&n, 3, 3, 1, &faults_none);
    struct replica *leader = elected(&n);
    uint64_t before = leader->machine.applied;
    propose_many(&n, leader, 100);
    network_run(&n, 200);
    for (uint64_t id = 1; id <= 3; id++) {
        ck_assert_uint_eq(network_replica(&n, id)->machine.applied, before + 100);
        ck_assert_uint_eq(network_replica(&n, id)->machine.hash, leader->machine.hash);
    }
    network_close(&n);
}
END_TEST

START_TEST(a_leader_without_its_followers_commits_nothing)
{
    struct network n;
    network_open(&n, 3, 3, 2, &faults_none);
    struct replica *leader = elected(&n);
    for (uint64_t id = 1; id <= 3; id++)
        n.cut[leader->id][id] = n.cut[id][leader->id] = true;
    n.cut_until = UINT64_MAX;
    uint64_t before = leader->machine.applied;
    propose_many(&n, leader, 10);
    network_run(&n, 50);
    ck_assert_uint_eq(leader->machine.applied, before);
    network_run(&n, 2000);
    ck_assert_uint_ne(replica_status(leader).role, RAFT_LEADER);
    struct replica *other = network_leader(&n);
    ck_assert_ptr_nonnull(other);
    ck_assert_ptr_ne(other, leader);
    network_propose(&n, other);
    network_converge(&n);
    ck_assert_uint_eq(leader->machine.hash, other->machine.hash);
    network_close(&n);
}
END_TEST

START_TEST(leadership_can_be_handed_over)
{
    struct network n;
    network_open(&n, 3, 3, 3, &faults_none);
    struct replica *leader = elected(&n);
    propose_many(&n, leader, 10);
    uint64_t to = leader->id % 3 + 1;
    ck_assert_int_eq(raft_transfer(leader->raft, leader->id, NULL), ERR_INVALID);
    ck_assert_int_eq(raft_transfer(leader->raft, 9, NULL), ERR_INVALID);
    ck_assert_int_eq(raft_transfer(leader->raft, to, NULL), ERR_OK);
    ck_assert_uint_eq(replica_status(leader).transferee, to);
    ck_assert_int_eq(replica_propose(leader, "x", NULL, NULL), ERR_NOT_LEADER);
    replica_drain(leader);
    network_run(&n, 90);
    ck_assert_ptr_eq(network_leader(&n), network_replica(&n, to));
    network_converge(&n);
    network_close(&n);
}
END_TEST

START_TEST(a_handover_to_a_lost_node_is_given_up)
{
    struct network n;
    network_open(&n, 3, 3, 4, &faults_none);
    struct replica *leader = elected(&n);
    uint64_t to = leader->id % 3 + 1;
    n.cut[leader->id][to] = true;
    n.cut_until = UINT64_MAX;
    ck_assert_int_eq(raft_transfer(leader->raft, to, NULL), ERR_OK);
    replica_drain(leader);
    network_run(&n, 30);
    ck_assert_int_eq(replica_propose(leader, "x", NULL, NULL), ERR_NOT_LEADER);
    for (int i = 0; i < 40 && replica_status(leader).transferee != 0; i++)
        network_run(&n, 10);
    ck_assert(replica_leads(leader));
    ck_assert_int_eq(replica_propose(leader, "x", NULL, NULL), ERR_OK);
    network_converge(&n);
    network_close(&n);
}
END_TEST

START_TEST(a_leader_knows_how_far_its_peers_are)
{
    struct network n;
    network_open(&n, 3, 3, 5, &faults_none);
    struct replica *leader = elected(&n);
    propose_many(&n, leader, 10);
    network_run(&n, 200);
    struct raft_peer peers[RAFT_PEERS_MAX];
    ck_assert_uint_eq(raft_peers(leader->raft, peers, RAFT_PEERS_MAX), 3);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_uint_eq(peers[i].node, i + 1);
        ck_assert_uint_eq(peers[i].matched, image_last(&leader->live));
        ck_assert_uint_eq(peers[i].state, RAFT_PEER_REPLICATE);
    }
    network_close(&n);
}
END_TEST

START_TEST(a_follower_far_behind_gets_a_snapshot)
{
    struct network n;
    network_open(&n, 3, 3, 6, &faults_none);
    struct replica *leader = elected(&n);
    struct replica *behind = network_replica(&n, leader->id % 3 + 1);
    network_crash(&n, &n.hosts[behind->id - 1]);
    n.hosts[behind->id - 1].resume = UINT64_MAX;
    propose_many(&n, leader, 500);
    network_run(&n, 500);
    replica_save(leader);
    replica_compact(leader, leader->saved.applied);
    ck_assert_uint_eq(leader->live.count, 0);
    propose_many(&n, leader, 5);
    uint64_t before = n.snapshots;
    network_converge(&n);
    ck_assert_uint_gt(n.snapshots, before);
    ck_assert_uint_gt(behind->live.first, 500);
    ck_assert_uint_eq(behind->machine.hash, leader->machine.hash);
    network_close(&n);
}
END_TEST

START_TEST(a_node_joins_as_a_learner_and_three_voters_come_of_one)
{
    struct network n;
    network_open(&n, 1, 3, 7, &faults_none);
    struct replica *leader = elected(&n);
    propose_many(&n, leader, 50);
    change(&n, &(struct raft_change){2, RAFT_ADD_LEARNER}, 1);
    change(&n, &(struct raft_change){3, RAFT_ADD_LEARNER}, 1);
    network_run(&n, 1000);
    for (uint64_t id = 2; id <= 3; id++) {
        ck_assert_uint_eq(network_replica(&n, id)->machine.hash, leader->machine.hash);
        ck_assert(!replica_status(network_replica(&n, id)).voter);
    }
    ck_assert_uint_gt(n.snapshots, 0);
    uint64_t before = leader->machine.applied;
    change(&n, (struct raft_change[]){{2, RAFT_ADD_VOTER}, {3, RAFT_ADD_VOTER}}, 2);
    ck_assert_uint_eq(leader->machine.applied, before + 2); /* into the joint state, and out of it */
    network_run(&n, 200);
    for (uint64_t id = 1; id <= 3; id++) {
        const struct membership *m = &network_replica(&n, id)->machine.membership;
        ck_assert_uint_eq(m->voters.count, 3);
        ck_assert_uint_eq(m->learners.count, 0);
        ck_assert(replica_status(network_replica(&n, id)).voter);
    }
    network_crash(&n, &n.hosts[leader->id - 1]);
    n.hosts[leader->id - 1].resume = UINT64_MAX;
    ck_assert_uint_ne(elected(&n)->id, 1);
    network_converge(&n);
    network_close(&n);
}
END_TEST

/* Its empty log would find anybody's good enough: also that of one who slept through what was decided since. */
START_TEST(a_node_that_has_not_joined_has_no_vote)
{
    struct network n;
    network_open(&n, 1, 2, 8, &faults_none);
    struct replica *leader = elected(&n), *other = network_replica(&n, 3 - leader->id);
    n.cut[1][2] = n.cut[2][1] = true;
    n.cut_until = UINT64_MAX;
    change(&n, &(struct raft_change){other->id, RAFT_ADD_VOTER}, 1);
    for (int i = 0; i < 100 && replica_leads(leader); i++)
        network_run(&n, 20); /* it can't be without a majority */
    uint64_t term = replica_status(leader).term;
    memset(n.cut, 0, sizeof n.cut);
    network_run(&n, 2000);
    ck_assert(!replica_leads(leader));
    ck_assert_uint_eq(replica_status(leader).term, term);
    ck_assert_uint_eq(replica_status(other).vote, 0);
    network_close(&n);
}
END_TEST

START_TEST(a_leader_must_hand_over_before_it_is_removed)
{
    struct network n;
    network_open(&n, 3, 3, 8, &faults_none);
    struct replica *leader = elected(&n);
    struct raft_change remove = {leader->id, RAFT_REMOVE};
    struct raft_change demote = {leader->id, RAFT_ADD_LEARNER};
    ck_assert_int_eq(raft_propose_membership(leader->raft, &remove, 1, NULL, NULL), ERR_CONFLICT);
    ck_assert_int_eq(raft_propose_membership(leader->raft, &demote, 1, NULL, NULL), ERR_CONFLICT);
    ck_assert_int_eq(raft_transfer(leader->raft, leader->id % 3 + 1, NULL), ERR_OK);
    replica_drain(leader);
    network_run(&n, 500);
    change(&n, &remove, 1);
    ck_assert_uint_ne(elected(&n)->id, remove.node);
    ck_assert(!membership_includes(&elected(&n)->machine.membership, remove.node));
    network_run(&n, 3000);
    ck_assert_uint_ne(elected(&n)->id, remove.node);
    network_converge(&n);
    network_close(&n);
}
END_TEST

/* The old leader proposes to remove its follower; before that is applied, the follower leads. */
START_TEST(a_leader_that_removes_itself_steps_down)
{
    struct network n;
    network_open(&n, 3, 3, 9, &faults_none);
    struct replica *old = elected(&n);
    uint64_t id = old->id % 3 + 1;
    struct replica *next = network_replica(&n, id);
    struct raft_change remove = {id, RAFT_REMOVE};
    ck_assert_int_eq(raft_propose_membership(old->raft, &remove, 1, NULL, NULL), ERR_OK);
    replica_drain(old);
    while (next->live.entries[next->live.count - 1].kind != RAFT_ENTRY_CHANGE)
        network_step(&n);
    replica_crash(old, old->write_count);
    n.hosts[old->id - 1].resume = UINT64_MAX;
    replica_settle(next);
    for (int i = 0; i < 10000 && !replica_leads(next) && membership_has(&next->machine.membership.voters, id); i++) {
        raft_campaign(next->raft);
        network_run(&n, 10);
    }
    for (int i = 0; i < 50; i++) {
        if (replica_leads(next))
            network_propose(&n, next);
        network_run(&n, 20);
    }
    ck_assert(!membership_includes(&next->machine.membership, id));
    ck_assert_uint_eq(replica_status(next).role, RAFT_FOLLOWER);
    network_converge(&n);
    ck_assert_uint_ne(network_leader(&n)->id, id);
    network_close(&n);
}
END_TEST

START_TEST(reads_wait_for_a_majority)
{
    struct network n;
    network_open(&n, 3, 3, 10, &faults_none);
    struct replica *leader = elected(&n);
    network_ask(&n, leader);
    ck_assert_uint_eq(n.reads, 0);
    network_run(&n, 50);
    ck_assert_uint_eq(n.reads, 1);
    for (uint64_t id = 1; id <= 3; id++)
        n.cut[leader->id][id] = n.cut[id][leader->id] = true;
    n.cut_until = UINT64_MAX;
    network_ask(&n, leader);
    network_run(&n, 1000);
    ck_assert_uint_eq(n.reads, 1);
    network_close(&n);
}
END_TEST

START_TEST(reads_that_wait_have_a_limit)
{
    struct network n;
    network_open(&n, 3, 3, 11, &faults_none);
    struct replica *leader = elected(&n);
    for (uint64_t i = 1; i <= RAFT_READS_MAX; i++)
        ck_assert_int_eq(raft_read_index(leader->raft, i, NULL), ERR_OK);
    ck_assert_int_eq(raft_read_index(leader->raft, RAFT_READS_MAX + 1, NULL), ERR_OVERLOADED);
    replica_drain(leader);
    network_run(&n, 50);
    ck_assert_int_eq(raft_read_index(leader->raft, RAFT_READS_MAX + 1, NULL), ERR_OK);
    network_close(&n);
}
END_TEST

START_TEST(a_node_of_low_priority_is_not_elected_while_a_majority_has_a_higher_one)
{
    struct network n;
    network_open(&n, 3, 3, 12, &faults_none);
    raft_set_priority(network_replica(&n, 2)->raft, 10);
    raft_set_priority(network_replica(&n, 3)->raft, 10);
    raft_campaign(network_replica(&n, 1)->raft);
    ck_assert_uint_ne(elected(&n)->id, 1);
    network_close(&n);
}
END_TEST

START_TEST(a_replica_that_lost_what_it_acknowledged_is_told)
{
    struct network n;
    network_open(&n, 3, 3, 13, &faults_none);
    struct replica *leader = elected(&n);
    propose_many(&n, leader, 10);
    network_run(&n, 200);
    struct replica *forgetful = network_replica(&n, leader->id % 3 + 1);
    replica_crash(forgetful, 0);
    image_truncate(&forgetful->disk, forgetful->disk.count - 5);
    forgetful->disk.hard.commit = RAFT_BIRTH_INDEX;
    ck_assert_int_eq(replica_start(forgetful, NULL), ERR_OK);
    const struct replica_events events = {0};
    forgetful->events = &events;
    int code = ERR_OK;
    for (int i = 0; i < 100 && code == ERR_OK; i++) {
        raft_tick(leader->raft);
        replica_drain(leader);
        for (size_t f = 0; f < n.flying_count; f++)
            if (n.flying[f].letter.to == forgetful->id && n.flying[f].letter.kind == RAFT_HEARTBEAT)
                code = replica_deliver(forgetful, &n.flying[f].letter, NULL);
    }
    ck_assert_int_eq(code, ERR_CORRUPT);
    network_close(&n);
}
END_TEST

/* ---------------------------------------------------------------- all at once */

static uint64_t run_seed(uint64_t seed, size_t voters, size_t count, bool churn)
{
    struct network n;
    network_open(&n, voters, count, seed, &faults_usual);
    n.churn = churn;
    for (uint64_t ms = 0; ms < VIRTUAL_MS; ms += 1000) {
        network_run(&n, 1000);
        network_check_logs(&n);
    }
    ck_assert_uint_gt(n.crashes, 0);
    ck_assert_uint_gt(n.leader_changes, 0);
    ck_assert_uint_gt(n.proposed, 100);
    ck_assert(!churn || n.changes > 0);
    network_converge(&n);
    network_check_logs(&n);
    uint64_t trace = n.trace;
    network_close(&n);
    return trace;
}

START_TEST(three_replicas_survive_all_faults)
{
    run_seed(100 + (uint64_t)_i, 3, 3, false);
}
END_TEST

START_TEST(five_replicas_survive_all_faults)
{
    run_seed(200 + (uint64_t)_i, 5, 5, false);
}
END_TEST

START_TEST(a_changing_membership_survives_all_faults)
{
    run_seed(300 + (uint64_t)_i, 3, 5, true);
}
END_TEST

START_TEST(two_runs_of_one_seed_are_identical)
{
    uint64_t seed = 400 + (uint64_t)_i;
    uint64_t trace = run_seed(seed, 3, 5, true);
    ck_assert_uint_eq(run_seed(seed, 3, 5, true), trace);
    ck_assert_uint_ne(run_seed(seed + 1000, 3, 5, true), trace);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cluster");
    TCase *t = tcase_create("step by step");
    tcase_add_test(t, three_replicas_agree);
    tcase_add_test(t, a_leader_without_its_followers_commits_nothing);
    tcase_add_test(t, leadership_can_be_handed_over);
    tcase_add_test(t, a_handover_to_a_lost_node_is_given_up);
    tcase_add_test(t, a_leader_knows_how_far_its_peers_are);
    tcase_add_test(t, a_follower_far_behind_gets_a_snapshot);
    tcase_add_test(t, a_node_joins_as_a_learner_and_three_voters_come_of_one);
    tcase_add_test(t, a_node_that_has_not_joined_has_no_vote);
    tcase_add_test(t, a_leader_must_hand_over_before_it_is_removed);
    tcase_add_test(t, a_leader_that_removes_itself_steps_down);
    tcase_add_test(t, reads_wait_for_a_majority);
    tcase_add_test(t, reads_that_wait_have_a_limit);
    tcase_add_test(t, a_node_of_low_priority_is_not_elected_while_a_majority_has_a_higher_one);
    tcase_add_test(t, a_replica_that_lost_what_it_acknowledged_is_told);
    tcase_set_timeout(t, 0);
    suite_add_tcase(suite, t);
    t = tcase_create("all at once");
    tcase_add_loop_test(t, three_replicas_survive_all_faults, 0, SEEDS);
    tcase_add_loop_test(t, five_replicas_survive_all_faults, 0, SEEDS);
    tcase_add_loop_test(t, a_changing_membership_survives_all_faults, 0, SEEDS);
    tcase_add_loop_test(t, two_runs_of_one_seed_are_identical, 0, 2);
    tcase_set_timeout(t, 0);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
