/* One thread writes state, another reads it at a snapshot and fills bodies in bulk: what a spill does beside the loop.
 * */
#include <pthread.h>

#include "store/fixture.h"

enum { KEYS = 500, ROUNDS = 200 };

static void write_round(struct fixture *f, int round)
{
    char value[16];
    snprintf(value, sizeof value, "%d", round);
    for (int n = 0; n < KEYS; n++) {
        char key[16];
        snprintf(key, sizeof key, "00c%06d", n);
        store_put(f->b, STORE_STATE, bytes_text(key), bytes_text(value));
    }
    fixture_write(f);
}

struct reader {
    struct store *store;
    struct store_snapshot *snapshot;
    int problems;
};

/* Check's assertions are not for other threads: problems are counted. */
static void *read_snapshot(void *arg)
{
    struct reader *r = arg;
    struct store_bulk *b = NULL;
    if (store_bulk_open(r->store, STORE_BODIES, &b, NULL) != ERR_OK) {
        r->problems++;
        return NULL;
    }
    struct store_iterator *i = store_iterate(r->store, STORE_STATE, bytes_text("00c"), bytes_text("00d"), r->snapshot);
    int n = 0;
    for (; store_iterator_valid(i); store_iterator_next(i), n++) {
        struct bytes value = store_iterator_value(i);
        struct bytes key = store_iterator_key(i);
        r->problems += bytes_equal(value, bytes_text("0")) ? 0 : 1;
        r->problems += store_bulk_put(b, key, value, NULL) == ERR_OK ? 0 : 1;
    }
    r->problems += store_iterator_error(i, NULL) == ERR_OK && n == KEYS ? 0 : 1;
    store_iterator_close(i);
    r->problems += store_bulk_finish(b, NULL) == ERR_OK ? 0 : 1;
    return NULL;
}

START_TEST(a_snapshot_is_read_and_bodies_are_filled_while_another_thread_writes)
{
    struct fixture f;
    fixture_open(&f, _i == 1);
    write_round(&f, 0);
    struct reader r = {.store = f.s, .snapshot = store_snapshot_open(f.s)};
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, read_snapshot, &r), 0);
    for (int round = 1; round <= ROUNDS; round++) {
        write_round(&f, round);
        if (round % 50 == 0)
            ck_assert_int_eq(store_flush(f.s, STORE_STATE, NULL), ERR_OK);
    }
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(r.problems, 0);
    store_snapshot_close(f.s, r.snapshot);
    ck_assert_str_eq(fixture_get(&f, STORE_BODIES, "00c000499"), "0");
    ck_assert_str_eq(fixture_get(&f, STORE_STATE, "00c000499"), "200");
    fixture_close(&f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("threads");
    TCase *c = tcase_create("threads");
    tcase_set_timeout(c, 0);
    tcase_add_loop_test(c, a_snapshot_is_read_and_bodies_are_filled_while_another_thread_writes, 0, 2);
    suite_add_tcase(s, c);
    return fixture_main(s);
}
