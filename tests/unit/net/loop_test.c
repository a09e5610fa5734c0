#include "net/loop.h"

#include <check.h>
#include <stdlib.h>

#include "base/memory.h"

static struct loop loop;

static void open_loop(void)
{
    struct error e = {0};
    ck_assert_int_eq(loop_open(&loop, 0, &e), ERR_OK);
}

/* ---------------------------------------------------------------- mail */

enum { SENDERS = 3, LETTERS = 2000 };

struct letter {
    struct mail mail;
    int sender;
    int number;
};

static int next_of[SENDERS];
static int arrived;

static void read_letter(struct mail *mail)
{
    struct letter *l = CONTAINER_OF(mail, struct letter, mail);
    ck_assert_int_eq(l->number, next_of[l->sender]);
    next_of[l->sender]++;
    memory_free(l);
    if (++arrived == SENDERS * LETTERS)
        loop_stop(&loop);
}

static void *write_letters(void *arg)
{
    int sender = (int)(intptr_t)arg;
    for (int i = 0; i < LETTERS; i++) {
        struct letter *l = memory_zero(1, sizeof *l);
        l->mail.run = read_letter;
        l->sender = sender;
        l->number = i;
        loop_post(&loop, &l->mail);
    }
    return NULL;
}

START_TEST(mail_of_several_threads_arrives_once_and_in_each_ones_order)
{
    pthread_t threads[SENDERS];
    struct error e = {0};
    open_loop();
    ck_assert_int_eq(loop_start(&loop, &e), ERR_OK);
    for (int i = 0; i < SENDERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_letters, (void *)(intptr_t)i), 0);
    for (int i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    loop_join(&loop);
    loop_close(&loop);
    ck_assert_int_eq(arrived, SENDERS * LETTERS);
}
END_TEST

static bool answered;

static void answer(struct mail *mail)
{
    (void)mail;
    answered = true;
    loop_stop(&loop);
}

static struct mail second = {.run = answer};

static void post_again(struct mail *mail)
{
    (void)mail;
    loop_post(&loop, &second);
}

START_TEST(mail_posted_by_mail_arrives)
{
    struct mail first = {.run = post_again};
    open_loop();
    loop_post(&loop, &first);
    loop_run(&loop);
    loop_close(&loop);
    ck_assert(answered);
}
END_TEST

static bool was_stopped;

static void on_stopped(struct loop *l, void *ctx)
{
    (void)l;
    *(bool *)ctx = true;
}

static void count(struct mail *mail)
{
    (void)mail;
    arrived++;
}

START_TEST(mail_posted_before_the_stop_is_read_before_stopping)
{
    struct mail mail = {.run = count};
    open_loop();
    loop.stopped = on_stopped;
    loop.stopped_ctx = &was_stopped;
    struct error e = {0};
    ck_assert_int_eq(loop_start(&loop, &e), ERR_OK);
    loop_post(&loop, &mail);
    loop_stop(&loop);
    loop_join(&loop);
    loop_close(&loop);
    ck_assert_int_eq(arrived, 1);
    ck_assert(was_stopped);
}
END_TEST

/* ---------------------------------------------------------------- turns */

static char order[16];
static size_t steps;

static void note(char what)
{
    ck_assert_uint_lt(steps, sizeof order - 1);
    order[steps++] = what;
}

static struct turn shard_turn, write_turn;
static bool once_more;

static void run_shard(struct turn *t)
{
    (void)t;
    note('s');
    loop_at_turn_end(&loop, TURN_WRITE, &write_turn);
}

static void run_write(struct turn *t)
{
    (void)t;
    note('w');
    if (!once_more)
        return;
    once_more = false;
    loop_at_turn_end(&loop, TURN_SHARD, &shard_turn);
}

static uv_check_t after_poll;

static void on_polled(uv_check_t *check)
{
    note('p');
    uv_close((uv_handle_t *)check, NULL);
    loop_stop(&loop);
}

static void run_until_polled(void)
{
    shard_turn.run = run_shard;
    write_turn.run = run_write;
    uv_check_init(&loop.uv, &after_poll);
    uv_check_start(&after_poll, on_polled);
    uv_async_send(&loop.wake);
    loop_run(&loop);
    loop_close(&loop);
}

START_TEST(what_shards_produce_is_written_in_the_same_turn)
{
    open_loop();
    loop_at_turn_end(&loop, TURN_WRITE, &write_turn);
    loop_at_turn_end(&loop, TURN_SHARD, &shard_turn);
    loop_at_turn_end(&loop, TURN_SHARD, &shard_turn);
    run_until_polled();
    ck_assert_str_eq(order, "swp");
}
END_TEST

START_TEST(what_writing_asks_of_shards_does_not_wait_for_another_event)
{
    open_loop();
    once_more = true;
    loop_at_turn_end(&loop, TURN_WRITE, &write_turn);
    run_until_polled();
    ck_assert_str_eq(order, "wswp");
}
END_TEST

START_TEST(a_turn_that_was_taken_back_does_not_run)
{
    open_loop();
    loop_at_turn_end(&loop, TURN_SHARD, &shard_turn);
    loop_forget_turn(&loop, TURN_SHARD, &shard_turn);
    loop_forget_turn(&loop, TURN_SHARD, &shard_turn);
    run_until_polled();
    ck_assert_str_eq(order, "p");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("loop");
    TCase *t = tcase_create("loop");
    tcase_add_test(t, mail_of_several_threads_arrives_once_and_in_each_ones_order);
    tcase_add_test(t, mail_posted_by_mail_arrives);
    tcase_add_test(t, mail_posted_before_the_stop_is_read_before_stopping);
    tcase_add_test(t, what_shards_produce_is_written_in_the_same_turn);
    tcase_add_test(t, what_writing_asks_of_shards_does_not_wait_for_another_event);
    tcase_add_test(t, a_turn_that_was_taken_back_does_not_run);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
