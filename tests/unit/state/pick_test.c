/* Whose turn it is: fairness between groups, weights, priorities. */
#include "state/rig.h"

static struct rig rig;
static uint64_t queue;

static void setup(void)
{
    rig_open(&rig);
    queue = rig_create(&rig, RIG_NAME("jobs"), NULL);
}

static void teardown(void)
{
    rig_close(&rig);
}

static char group_of(const struct received *g)
{
    Hato__Message *m = rig_message(&rig, g->ref);
    char c = m->group[0];
    hato__message__free_unpacked(m, NULL);
    return c;
}

static unsigned priority_of(const struct received *g)
{
    Hato__Message *m = rig_message(&rig, g->ref);
    unsigned p = m->priority;
    hato__message__free_unpacked(m, NULL);
    return p;
}

/* Receives `n` one by one, acks each, and counts those of a group. */
static unsigned served(char group, unsigned n)
{
    unsigned count = 0;
    for (unsigned i = 0; i < n; i++) {
        struct received got = rig_receive_one(&rig, queue, 60000);
        count += group_of(&got) == group;
        rig_ack(&rig, queue, &got);
    }
    return count;
}

START_TEST(a_noisy_group_does_not_hold_up_a_quiet_one)
{
    for (int i = 0; i < 10; i++)
        rig_send_many(&rig, queue, "noisy", 100);
    rig_send_many(&rig, queue, "quiet", 5);
    const struct received *got = rig_receive(&rig, queue, 10, 60000);
    unsigned quiet = 0;
    for (size_t i = 0; i < rig_reply(&rig)->count; i++)
        quiet += group_of(&got[i]) == 'q';
    ck_assert_uint_eq(quiet, 5);
}
END_TEST

START_TEST(new_groups_that_keep_coming_do_not_hold_up_an_old_one)
{
    enum { ROUNDS = 100 };
    rig_send_many(&rig, queue, "old", ROUNDS);
    unsigned count = 0;
    for (int i = 0; i < ROUNDS; i++) {
        char group[16];
        snprintf(group, sizeof group, "new-%d", i);
        rig_send_many(&rig, queue, group, 1);
        count += served('o', 1);
    }
    ck_assert_uint_ge(count, 8); /* each new one has a turn as well, and they get ever more */
}
END_TEST

START_TEST(a_group_that_holds_many_leases_gives_way)
{
    rig_send_many(&rig, queue, "a", 100);
    rig_receive(&rig, queue, 50, 60000);
    ck_assert_uint_eq(rig_reply(&rig)->count, 50);
    rig_send_many(&rig, queue, "b", 50);
    const struct received *got = rig_receive(&rig, queue, 50, 60000);
    for (size_t i = 0; i < 50; i++)
        ck_assert_int_eq(group_of(&got[i]), 'b');
}
END_TEST

START_TEST(weights_share_out_what_is_received)
{
    Hato__GroupWeight a = HATO__GROUP_WEIGHT__INIT;
    a.group = (char *)(uintptr_t) "a";
    a.has_weight = 1;
    a.weight = 3;
    Hato__GroupWeight *weights[] = {&a};
    Hato__QueueSettings s = HATO__QUEUE_SETTINGS__INIT;
    s.n_group_weights = 1;
    s.group_weights = weights;
    rig_send_many(&rig, queue, "a", 200);
    rig_send_many(&rig, queue, "b", 200);
    rig_set(&rig, queue, &s); /* also for groups that are there already */
    unsigned of_a = served('a', 100);
    ck_assert_uint_ge(of_a, 73);
    ck_assert_uint_le(of_a, 77);
    rig_flush(&rig);
    rig_crash(&rig); /* turns are remembered */
    of_a += served('a', 100);
    ck_assert_uint_ge(of_a, 148);
    ck_assert_uint_le(of_a, 152);
}
END_TEST

/* Received `batch` at a time and acked together, as a function has them. */
static unsigned served_in_batches(char group, size_t batch, size_t total)
{
    unsigned count = 0;
    for (size_t done = 0; done < total; done += batch) {
        struct received got[64];
        memcpy(got, rig_receive(&rig, queue, (uint32_t)batch, 60000), batch * sizeof got[0]);
        for (size_t i = 0; i < batch; i++)
            count += group_of(&got[i]) == group;
        for (size_t i = 0; i < batch; i++)
            ck_assert_int_eq(rig_ack(&rig, queue, &got[i]), ERR_OK);
    }
    return count;
}

static const struct {
    uint32_t weight;
    size_t batch;
} shares[] = {{1, 1},  {1, 2},  {1, 7},  {3, 1},  {3, 2},   {3, 3},   {3, 5},   {3, 10},
              {3, 50}, {10, 1}, {10, 2}, {10, 5}, {10, 11}, {10, 50}, {100, 2}, {100, 10}};

static void keeps_its_share(uint32_t weight, size_t batch)
{
    size_t total = 550 / batch * batch;
    Hato__GroupWeight a = HATO__GROUP_WEIGHT__INIT;
    a.group = (char *)(uintptr_t) "a";
    a.has_weight = 1;
    a.weight = weight;
    Hato__GroupWeight *weights[] = {&a};
    Hato__QueueSettings s = HATO__QUEUE_SETTINGS__INIT;
    s.n_group_weights = 1;
    s.group_weights = weights;
    rig_set(&rig, queue, &s);
    rig_send_many(&rig, queue, "a", 600);
    rig_send_many(&rig, queue, "b", 600);
    unsigned of_a = served_in_batches('a', batch, total);
    double wanted = (double)total * weight / (weight + 1);
    ck_assert_msg(of_a > 0.95 * wanted && of_a < 1.05 * wanted, "weight %u, %d at a time: %u of %d, not %.0f", weight,
                  (int)batch, of_a, (int)total, wanted);
}

START_TEST(weights_are_kept_whatever_is_received_at_a_time)
{
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        keeps_its_share(shares[i].weight, shares[i].batch);
        teardown();
        setup();
    }
}
END_TEST

START_TEST(messages_without_a_group_take_turns_with_groups)
{
    rig_send_many(&rig, queue, NULL, 50);
    rig_send_many(&rig, queue, "a", 50);
    unsigned of_a = served('a', 40);
    ck_assert_uint_ge(of_a, 19);
    ck_assert_uint_le(of_a, 21);
}
END_TEST

static void send_priority(unsigned priority, size_t n)
{
    for (size_t i = 0; i < n; i++)
        rig_send(&rig, queue, (struct rig_message){.body = "x", .priority = (uint32_t)priority});
}

START_TEST(a_higher_priority_goes_first_and_the_lowest_does_not_starve)
{
    send_priority(0, 20);
    send_priority(7, 100);
    send_priority(3, 20);
    const struct received *got = rig_receive(&rig, queue, 96, 60000);
    ck_assert_uint_eq(rig_reply(&rig)->count, 96);
    unsigned counts[8] = {0};
    for (size_t i = 0; i < 96; i++)
        counts[priority_of(&got[i])]++;
    ck_assert_uint_eq(counts[7], 90);
    ck_assert_uint_eq(counts[0], 6); /* each 16th */
    ck_assert_uint_eq(counts[3], 0);
}
END_TEST

START_TEST(a_priority_above_seven_is_refused_by_name)
{
    struct rig_message in = {.body = "x", .priority = 8};
    rig_add_send(&rig, queue, &in, 1, 0, 0);
    rig_commit(&rig);
    ck_assert_int_eq(rig_reply(&rig)->sent[0].code, ERR_INVALID);
    ck_assert_str_eq(rig_reply(&rig)->sent[0].field, "priority");
}
END_TEST

START_TEST(twenty_thousand_groups_are_each_served_once)
{
    enum { COUNT = 20000 };
    struct rig_message in[100];
    char names[100][16];
    for (int i = 0; i < COUNT / 100; i++) {
        for (int k = 0; k < 100; k++) {
            snprintf(names[k], sizeof names[k], "g%d", i * 100 + k);
            in[k] = (struct rig_message){.body = names[k], .group = names[k]};
        }
        rig_add_send(&rig, queue, in, 100, 0, 0);
        rig_commit(&rig);
    }
    rig_flush(&rig);
    rig_crash(&rig); /* nothing of them is in memory now */
    ck_assert_uint_eq(rig_keys(&rig, KEY_LANE), COUNT);
    uint64_t seen = 0;
    while (seen < COUNT) {
        struct received got[1000];
        memcpy(got, rig_receive(&rig, queue, 1000, 60000), sizeof got);
        ck_assert_uint_eq(rig_reply(&rig)->count, 1000);
        struct entry_lease leases[1000];
        for (int i = 0; i < 1000; i++)
            leases[i] = rig_lease(&got[i]);
        entry_add_ack(rig_writer(&rig), queue, leases, 1000);
        rig_commit(&rig);
        seen += 1000;
    }
    rig_receive_none(&rig, queue);
    ck_assert_uint_eq(rig_keys(&rig, KEY_LANE) + rig_keys(&rig, KEY_FRESH) + rig_keys(&rig, KEY_CHUNK), 0);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_noisy_group_does_not_hold_up_a_quiet_one,      new_groups_that_keep_coming_do_not_hold_up_an_old_one,
        a_group_that_holds_many_leases_gives_way,        weights_share_out_what_is_received,
        messages_without_a_group_take_turns_with_groups, a_higher_priority_goes_first_and_the_lowest_does_not_starve,
        weights_are_kept_whatever_is_received_at_a_time, a_priority_above_seven_is_refused_by_name,
        twenty_thousand_groups_are_each_served_once,
    };
    return rig_main("state/pick", tests, sizeof tests / sizeof tests[0], setup, teardown);
}
