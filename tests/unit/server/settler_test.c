#include "server/settler.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

enum { OUT = 8 };

/* Shards that refuse while they are told to, and what they took, as a word each: "ack 1 2" of shard 1, sequence 2. */
struct shards {
    bool busy[3];
    int code; /* of a busy one */
    char taken[512];
    unsigned refused;
    struct settling *out[OUT]; /* taken, not settled yet */
    size_t out_count;
};

static uv_loop_t loop;
static struct settler settler;
static struct shards shards;
static bool closed;

static int submit(void *ctx, struct settling *of)
{
    struct shards *all = ctx;
    const struct settlement *s = &of->is;
    if (all->busy[s->shard]) {
        all->refused++;
        return all->code;
    }
    static const char *const names[] = {
        [SETTLEMENT_ACK] = "ack", [SETTLEMENT_NACK] = "nack", [SETTLEMENT_EXTEND] = "extend"};
    size_t len = strlen(all->taken);
    len += (size_t)snprintf(all->taken + len, sizeof all->taken - len, "%s %u", names[s->kind], s->shard);
    for (size_t i = 0; i < s->count; i++)
        len += (size_t)snprintf(all->taken + len, sizeof all->taken - len, " %u", (unsigned)s->tokens[i].sequence);
    if (s->kind == SETTLEMENT_NACK)
        len += (size_t)snprintf(all->taken + len, sizeof all->taken - len, " %u %.*s", (unsigned)s->nack.delay_ms,
                                (int)s->nack.error.len, (const char *)s->nack.error.data);
    if (s->kind == SETTLEMENT_EXTEND)
        len += (size_t)snprintf(all->taken + len, sizeof all->taken - len, " %u", (unsigned)s->visibility_ms);
    snprintf(all->taken + len, sizeof all->taken - len, "; ");
    ck_assert_uint_lt(all->out_count, OUT);
    all->out[all->out_count++] = of;
    return ERR_OK;
}

/* All that is out. */
static void settle(int code)
{
    for (size_t count = shards.out_count; count > 0; count--) {
        struct settling *first = shards.out[0];
        memmove(shards.out, shards.out + 1, --shards.out_count * sizeof first);
        settler_settled(first, code);
    }
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static void setup(void)
{
    memset(&shards, 0, sizeof shards);
    shards.code = ERR_OVERLOADED;
    closed = false;
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    settler_open(&settler, &loop, 2, submit, &shards);
}

static void teardown(void)
{
    settler_close(&settler, on_closed, &closed);
    ck_assert(!closed);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert(closed);
    settle(ERR_CLOSED); /* shards close after the settler; this is not said again to anybody */
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}

static void add(enum settlement_kind kind, uint16_t shard, uint64_t sequence)
{
    /* Gone when the call is over, as the dispatcher's are. */
    struct source_token token = {sequence, 7};
    char error[] = "why";
    struct settlement s = {.kind = kind,
                           .shard = shard,
                           .queue = 5,
                           .tokens = &token,
                           .count = 1,
                           .nack = {.delay_ms = 9, .error = bytes_text(error)},
                           .visibility_ms = 30};
    settler_add(&settler, &s);
    memset(&token, 0xdd, sizeof token);
    memset(error, 'x', sizeof error);
}

START_TEST(what_a_shard_takes_is_said_at_once_and_leaves_no_timer)
{
    add(SETTLEMENT_ACK, 1, 1);
    add(SETTLEMENT_NACK, 2, 2);
    add(SETTLEMENT_EXTEND, 1, 3);
    ck_assert_str_eq(shards.taken, "ack 1 1; nack 2 2 9 why; extend 1 3 30; ");
    ck_assert(!uv_loop_alive(&loop));
}
END_TEST

START_TEST(what_an_overloaded_shard_refused_is_said_again_in_order)
{
    shards.busy[1] = true;
    add(SETTLEMENT_ACK, 1, 1);
    add(SETTLEMENT_NACK, 1, 2);
    add(SETTLEMENT_EXTEND, 1, 3);
    ck_assert(settler_behind(&settler, 1));
    ck_assert(!settler_behind(&settler, 2));
    ck_assert_uint_eq(shards.refused, 1);
    while (shards.refused < 4)
        uv_run(&loop, UV_RUN_ONCE);
    shards.busy[1] = false;
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_str_eq(shards.taken, "ack 1 1; nack 1 2 9 why; extend 1 3 30; ");
    ck_assert(!settler_behind(&settler, 1));
}
END_TEST

START_TEST(it_is_busy_until_all_is_taken_and_settled)
{
    ck_assert(!settler_busy(&settler));
    shards.busy[2] = true;
    add(SETTLEMENT_ACK, 2, 1);
    ck_assert(settler_busy(&settler));
    shards.busy[2] = false;
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert(settler_busy(&settler));
    settle(ERR_OK);
    ck_assert(!settler_busy(&settler));
}
END_TEST

START_TEST(one_overloaded_shard_does_not_hold_up_the_others)
{
    shards.busy[1] = true;
    add(SETTLEMENT_ACK, 1, 1);
    add(SETTLEMENT_ACK, 2, 2);
    ck_assert_str_eq(shards.taken, "ack 2 2; ");
    shards.busy[2] = true;
    add(SETTLEMENT_ACK, 2, 3);
    shards.busy[2] = false;
    while (settler_behind(&settler, 2))
        uv_run(&loop, UV_RUN_ONCE);
    ck_assert_str_eq(shards.taken, "ack 2 2; ack 2 3; ");
    ck_assert(settler_behind(&settler, 1));
}
END_TEST

START_TEST(any_other_refusal_is_final)
{
    shards.busy[1] = true;
    shards.code = ERR_NOT_LEADER;
    add(SETTLEMENT_ACK, 1, 1);
    ck_assert(!settler_behind(&settler, 1));
    shards.code = ERR_OVERLOADED;
    add(SETTLEMENT_ACK, 1, 2);
    shards.code = ERR_NOT_LEADER;
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert(!settler_behind(&settler, 1));
    ck_assert_str_eq(shards.taken, "");
}
END_TEST

START_TEST(what_a_full_store_refused_is_said_again_but_for_extensions)
{
    shards.busy[1] = true;
    shards.code = ERR_STORAGE_FULL;
    add(SETTLEMENT_EXTEND, 1, 1);
    ck_assert(!settler_behind(&settler, 1));
    add(SETTLEMENT_ACK, 1, 2);
    add(SETTLEMENT_NACK, 1, 3);
    add(SETTLEMENT_EXTEND, 1, 4);
    ck_assert(settler_behind(&settler, 1));
    while (shards.refused < 5)
        uv_run(&loop, UV_RUN_ONCE);
    shards.busy[1] = false;
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_str_eq(shards.taken, "ack 1 2; nack 1 3 9 why; ");
}
END_TEST

START_TEST(extensions_kept_for_a_busy_shard_are_dropped_when_its_store_is_full)
{
    shards.busy[1] = true;
    add(SETTLEMENT_EXTEND, 1, 1);
    add(SETTLEMENT_ACK, 1, 2);
    shards.code = ERR_STORAGE_FULL;
    while (shards.refused < 3)
        uv_run(&loop, UV_RUN_ONCE);
    shards.busy[1] = false;
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_str_eq(shards.taken, "ack 1 2; ");
}
END_TEST

static const int lost[] = {ERR_STORAGE_FULL, ERR_UNKNOWN_OUTCOME};

START_TEST(what_was_taken_and_then_lost_is_said_again_but_for_extensions)
{
    add(SETTLEMENT_ACK, 1, 1);
    add(SETTLEMENT_NACK, 1, 2);
    add(SETTLEMENT_EXTEND, 1, 3);
    shards.taken[0] = '\0';
    settle(lost[_i]);
    ck_assert(settler_behind(&settler, 1));
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_str_eq(shards.taken, "ack 1 1; nack 1 2 9 why; ");
    settle(ERR_OK);
    ck_assert(!uv_loop_alive(&loop));
}
END_TEST

START_TEST(what_was_taken_and_failed_for_another_reason_is_final)
{
    add(SETTLEMENT_ACK, 1, 1);
    settle(ERR_NOT_LEADER);
    ck_assert(!settler_behind(&settler, 1));
    ck_assert(!uv_loop_alive(&loop));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("settler");
    TCase *c = tcase_create("settler");
    tcase_set_timeout(c, 300); /* against hanging for ever, not a measure */
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, what_a_shard_takes_is_said_at_once_and_leaves_no_timer);
    tcase_add_test(c, what_an_overloaded_shard_refused_is_said_again_in_order);
    tcase_add_test(c, it_is_busy_until_all_is_taken_and_settled);
    tcase_add_test(c, one_overloaded_shard_does_not_hold_up_the_others);
    tcase_add_test(c, any_other_refusal_is_final);
    tcase_add_test(c, what_a_full_store_refused_is_said_again_but_for_extensions);
    tcase_add_test(c, extensions_kept_for_a_busy_shard_are_dropped_when_its_store_is_full);
    tcase_add_loop_test(c, what_was_taken_and_then_lost_is_said_again_but_for_extensions, 0,
                        sizeof lost / sizeof lost[0]);
    tcase_add_test(c, what_was_taken_and_failed_for_another_reason_is_final);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
