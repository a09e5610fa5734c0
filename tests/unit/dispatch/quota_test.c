#include "dispatch/quota.h"

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Who was told last, and how often each. */
struct told {
    unsigned last;
    bool permit;
    uint32_t times;
};

static void tell(void *ctx, struct quota *q, unsigned loop, bool permit)
{
    struct told *t = ctx;
    ck_assert_str_eq(quota_function(q), "a:r:f");
    t->last = loop;
    t->permit = permit;
    t->times++;
}

START_TEST(no_more_are_out_than_allowed)
{
    struct quota *q = quota_create("a:r:f", NULL, NULL);
    ck_assert_uint_eq(quota_take(q, 0, 5, 3), 3);
    ck_assert_uint_eq(quota_take(q, 1, 5, 3), 2);
    ck_assert_uint_eq(quota_take(q, 2, 5, 1), 0);
    quota_unref(q);
}
END_TEST

START_TEST(what_is_given_back_goes_round_among_those_who_wait)
{
    struct told t = {0};
    struct quota *q = quota_create("a:r:f", tell, &t);
    ck_assert_uint_eq(quota_take(q, 5, 1, 1), 1);
    ck_assert_uint_eq(quota_take(q, 9, 1, 1), 0);
    ck_assert_uint_eq(quota_take(q, 2, 1, 1), 0);
    quota_give(q, 5, 1);
    ck_assert(t.last == 9 && t.permit);
    ck_assert_uint_eq(quota_take(q, 5, 1, 1), 0); /* it has been passed: nobody gets in between */
    quota_give(q, 9, 1);
    ck_assert(t.last == 2 && t.permit);
    quota_give(q, 2, 1);
    ck_assert(t.last == 5 && t.permit);
    quota_give(q, 5, 1);
    ck_assert_uint_eq(t.times, 3);
    ck_assert_uint_eq(quota_take(q, 63, 1, 1), 1);
    ck_assert_uint_eq(quota_take(q, 0, 1, 1), 0);
    quota_give(q, 63, 1);
    ck_assert(t.last == 0 && t.permit);
    quota_unref(q);
}
END_TEST

START_TEST(who_waited_and_got_one_otherwise_is_not_told)
{
    struct told t = {0};
    struct quota *q = quota_create("a:r:f", tell, &t);
    ck_assert_uint_eq(quota_take(q, 0, 1, 1), 1);
    ck_assert_uint_eq(quota_take(q, 1, 1, 1), 0);
    ck_assert_uint_eq(quota_take(q, 1, 2, 1), 1);
    quota_give(q, 0, 2);
    quota_give(q, 1, 2);
    ck_assert_uint_eq(t.times, 0);
    quota_unref(q);
}
END_TEST

START_TEST(when_the_limit_is_lowered_nobody_gets_what_is_given_back_until_it_holds)
{
    struct told t = {0};
    struct quota *q = quota_create("a:r:f", tell, &t);
    ck_assert_uint_eq(quota_take(q, 0, 4, 4), 4);
    ck_assert_uint_eq(quota_take(q, 1, 4, 1), 0);
    quota_give(q, 0, 2);
    quota_give(q, 0, 2);
    ck_assert_uint_eq(t.times, 0);
    quota_give(q, 0, 2);
    ck_assert(t.times == 1 && t.last == 1 && t.permit);
    quota_unref(q);
}
END_TEST

/* ------------------------------------------------------------------ from many threads */

enum { THREADS = 4, ROUNDS = 5000, LIMIT = 2 };

struct crowd {
    struct quota *quota;
    atomic_uint out;
    atomic_uint most;
    struct member {
        struct crowd *crowd;
        unsigned loop;
        pthread_mutex_t lock;
        pthread_cond_t told;
        uint32_t passed;
        bool nudged;
        bool done;
    } members[THREADS];
};

static void pass_on(void *ctx, struct quota *q, unsigned loop, bool permit)
{
    struct crowd *all = ctx;
    struct member *m = &all->members[loop];
    pthread_mutex_lock(&m->lock);
    bool gone = m->done;
    m->passed += permit && !gone;
    m->nudged = true;
    pthread_cond_signal(&m->told);
    pthread_mutex_unlock(&m->lock);
    if (gone && permit)
        quota_give(q, loop, LIMIT);
}

/* As a loop does: what it gets none of, it waits to be passed. */
static void get_one(struct member *m)
{
    for (;;) {
        if (quota_take(m->crowd->quota, m->loop, LIMIT, 1) == 1)
            return;
        pthread_mutex_lock(&m->lock);
        while (m->passed == 0 && !m->nudged)
            pthread_cond_wait(&m->told, &m->lock);
        m->nudged = false;
        bool got = m->passed > 0;
        m->passed -= got;
        pthread_mutex_unlock(&m->lock);
        if (got)
            return;
    }
}

static void *work(void *arg)
{
    struct member *m = arg;
    struct crowd *all = m->crowd;
    for (int i = 0; i < ROUNDS; i++) {
        get_one(m);
        unsigned out = atomic_fetch_add(&all->out, 1) + 1;
        if (out > atomic_load(&all->most))
            atomic_store(&all->most, out);
        atomic_fetch_sub(&all->out, 1);
        quota_give(all->quota, m->loop, LIMIT);
    }
    pthread_mutex_lock(&m->lock);
    m->done = true;
    uint32_t left = m->passed;
    pthread_mutex_unlock(&m->lock);
    for (; left > 0; left--)
        quota_give(all->quota, m->loop, LIMIT);
    return NULL;
}

START_TEST(threads_share_them_and_nobody_waits_for_ever)
{
    struct crowd all = {0};
    pthread_t threads[THREADS];
    all.quota = quota_create("a:r:f", pass_on, &all);
    for (unsigned i = 0; i < THREADS; i++) {
        all.members[i] = (struct member){.crowd = &all, .loop = i};
        pthread_mutex_init(&all.members[i].lock, NULL);
        pthread_cond_init(&all.members[i].told, NULL);
    }
    for (unsigned i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &all.members[i]), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_le(atomic_load(&all.most), LIMIT);
    /* None was lost. */
    ck_assert_uint_eq(quota_take(all.quota, 0, LIMIT, LIMIT), LIMIT);
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_mutex_destroy(&all.members[i].lock);
        pthread_cond_destroy(&all.members[i].told);
    }
    quota_unref(all.quota);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("quota");
    TCase *c = tcase_create("quota");
    tcase_set_timeout(c, 300); /* against hanging for ever, not a measure */
    tcase_add_test(c, no_more_are_out_than_allowed);
    tcase_add_test(c, what_is_given_back_goes_round_among_those_who_wait);
    tcase_add_test(c, who_waited_and_got_one_otherwise_is_not_told);
    tcase_add_test(c, when_the_limit_is_lowered_nobody_gets_what_is_given_back_until_it_holds);
    tcase_add_test(c, threads_share_them_and_nobody_waits_for_ever);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
