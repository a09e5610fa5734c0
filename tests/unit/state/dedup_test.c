#include "state/dedup.h"

#include "state/keyspace.h"

enum { QUEUE = 5, IDS = 40, STEPS = 6000 };
#define WINDOW UINT64_C(300000)

struct rig {
    struct keyspace k;
    struct dedup d;
    uint64_t now;
    uint64_t window;
};

static struct dedup_hash id_of(unsigned n)
{
    char text[16];
    snprintf(text, sizeof text, "id-%u", n);
    return dedup_hash_id(bytes_of(NULL, 0), bytes_text(text));
}

static void rig_open(struct rig *r)
{
    *r = (struct rig){.now = 1000000, .window = WINDOW};
    keyspace_open(&r->k);
}

static bool find(struct rig *r, uint64_t queue, struct dedup_hash h, uint64_t *sequence)
{
    bool found = false;
    struct error e = {0};
    dedup_turn(&r->d, &r->k.keys, queue, r->now, r->window);
    int code = dedup_find(&r->d, &r->k.keys, queue, &h, r->now, r->window, &found, sequence, &e);
    ck_assert_msg(code == ERR_OK, "%s", e.message);
    return found;
}

/* As the machine does: stored only when it is not known. Returns the sequence that the sender is told. */
static uint64_t send_id(struct rig *r, struct dedup_hash h, uint64_t sequence)
{
    uint64_t known = 0;
    if (find(r, QUEUE, h, &known))
        return known;
    dedup_put(&r->d, &r->k.keys, QUEUE, &h, r->now, sequence);
    return sequence;
}

START_TEST(a_repeated_id_is_found_in_the_same_entry_the_next_and_after_a_restart)
{
    struct rig r;
    rig_open(&r);
    ck_assert_uint_eq(send_id(&r, id_of(1), 64), 64);
    ck_assert_uint_eq(send_id(&r, id_of(1), 65), 64);
    ck_assert_uint_eq(send_id(&r, id_of(2), 66), 66);
    keyspace_commit(&r.k);
    ck_assert_uint_eq(send_id(&r, id_of(1), 67), 64);
    keyspace_reopen(&r.k);
    ck_assert_uint_eq(send_id(&r, id_of(1), 68), 64);
    keyspace_close(&r.k);
}
END_TEST

START_TEST(an_id_is_free_again_when_its_window_is_over_and_not_a_millisecond_earlier)
{
    struct rig r;
    rig_open(&r);
    send_id(&r, id_of(1), 64);
    keyspace_commit(&r.k);
    r.now += WINDOW - 1;
    ck_assert_uint_eq(send_id(&r, id_of(1), 65), 64);
    r.now += 1;
    ck_assert_uint_eq(send_id(&r, id_of(1), 66), 66);
    keyspace_close(&r.k);
}
END_TEST

START_TEST(ids_groups_and_bodies_do_not_meet)
{
    struct bytes none = bytes_of(NULL, 0);
    struct dedup_hash all[] = {dedup_hash_id(none, bytes_text("ab")),
                               dedup_hash_id(bytes_text("a"), bytes_text("b")),
                               dedup_hash_id(bytes_text("ab"), none),
                               dedup_hash_id(none, none),
                               dedup_hash_body(none, bytes_text("ab")),
                               dedup_hash_body(none, none),
                               dedup_hash_body(bytes_text("a"), bytes_text("b"))};
    size_t count = sizeof all / sizeof all[0];
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            ck_assert_mem_ne(all[i].bytes, all[j].bytes, sizeof all[i].bytes);
    struct dedup_hash again = dedup_hash_body(none, bytes_text("ab"));
    ck_assert_mem_eq(again.bytes, all[4].bytes, sizeof again.bytes);
}
END_TEST

START_TEST(queues_do_not_see_each_others_ids_and_a_deleted_queue_forgets_its_own)
{
    struct rig r;
    uint64_t sequence;
    rig_open(&r);
    send_id(&r, id_of(1), 64);
    ck_assert(!find(&r, QUEUE + 1, id_of(1), &sequence));
    dedup_clear(&r.k.keys, QUEUE + 1);
    ck_assert(find(&r, QUEUE, id_of(1), &sequence));
    dedup_clear(&r.k.keys, QUEUE);
    ck_assert(!find(&r, QUEUE, id_of(1), &sequence));
    keyspace_commit(&r.k);
    ck_assert_uint_eq(keyspace_count(&r.k, KEY_DEDUP), 0);
    keyspace_close(&r.k);
}
END_TEST

/* Windows that change meanwhile: an id counts as known exactly when it was stored less than today's window ago, except
 * that what was forgotten under a shorter window stays forgotten. */
START_TEST(it_behaves_as_a_list_of_times_for_any_sequence_of_sends)
{
    struct rig r;
    struct random random;
    uint64_t stored_ms[IDS] = {0};
    uint64_t stored[IDS] = {0};
    rig_open(&r);
    random_open(&random, 21);
    for (uint64_t step = 1; step <= STEPS; step++) {
        unsigned n = (unsigned)random_below(&random, IDS);
        r.now += random_below(&random, 20000);
        uint64_t told = send_id(&r, id_of(n), step);
        bool known = stored_ms[n] != 0 && r.now < stored_ms[n] + WINDOW;
        ck_assert_uint_eq(told, known ? stored[n] : step);
        if (!known) {
            stored_ms[n] = r.now;
            stored[n] = step;
        }
        if (random_below(&random, 5) == 0)
            keyspace_commit(&r.k);
        if (random_below(&random, 1000) == 0)
            keyspace_reopen(&r.k);
    }
    keyspace_close(&r.k);
}
END_TEST

START_TEST(the_store_holds_two_windows_of_ids_however_many_are_sent)
{
    struct rig r;
    rig_open(&r);
    r.window = 1000;
    size_t most = 0;
    for (unsigned n = 0; n < 2000; n++) {
        r.now += 1000;
        ck_assert_uint_eq(send_id(&r, id_of(n), n), n);
        keyspace_commit(&r.k);
        size_t held = n % 50 == 0 ? keyspace_count(&r.k, KEY_DEDUP) : 0;
        most = held > most ? held : most;
    }
    ck_assert_uint_le(most, 130);
    keyspace_close(&r.k);
}
END_TEST

START_TEST(a_longer_window_holds_from_what_is_still_known)
{
    struct rig r;
    rig_open(&r);
    send_id(&r, id_of(1), 64);
    r.window = 10 * WINDOW;
    r.now += 9 * WINDOW;
    ck_assert_uint_eq(send_id(&r, id_of(1), 65), 64);
    r.window = WINDOW;
    ck_assert_uint_eq(send_id(&r, id_of(1), 66), 66);
    keyspace_close(&r.k);
}
END_TEST

START_TEST(a_damaged_record_is_reported_not_taken_for_missing)
{
    struct rig r;
    struct random random;
    struct error e = {0};
    bool found;
    uint64_t sequence;
    rig_open(&r);
    random_open(&random, 5);
    send_id(&r, id_of(1), 64);
    keyspace_commit(&r.k);
    keyspace_damage(&r.k, KEY_DEDUP, &random);
    struct dedup_hash h = id_of(1);
    ck_assert_int_eq(dedup_find(&r.d, &r.k.keys, QUEUE, &h, r.now, r.window, &found, &sequence, &e), ERR_CORRUPT);
    ck_assert_ptr_nonnull(strstr(e.message, "deduplication"));
    keyspace_close(&r.k);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("dedup");
    TCase *c = tcase_create("dedup");
    tcase_set_timeout(c, 0);
    tcase_add_test(c, a_repeated_id_is_found_in_the_same_entry_the_next_and_after_a_restart);
    tcase_add_test(c, an_id_is_free_again_when_its_window_is_over_and_not_a_millisecond_earlier);
    tcase_add_test(c, ids_groups_and_bodies_do_not_meet);
    tcase_add_test(c, queues_do_not_see_each_others_ids_and_a_deleted_queue_forgets_its_own);
    tcase_add_test(c, it_behaves_as_a_list_of_times_for_any_sequence_of_sends);
    tcase_add_test(c, the_store_holds_two_windows_of_ids_however_many_are_sent);
    tcase_add_test(c, a_longer_window_holds_from_what_is_still_known);
    tcase_add_test(c, a_damaged_record_is_reported_not_taken_for_missing);
    suite_add_tcase(s, c);
    return keyspace_main(s);
}
