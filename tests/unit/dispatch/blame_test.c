/* Nobody is answered: the endpoint is down, or a message in front brings it down. */
#include "dispatch/dispatcher.h"

#include "dispatch/fixture.h"
#include "dispatch/suspects.h"

enum { MINUTE_MS = 60 * 1000, HOUR_MS = 60 * MINUTE_MS };

/* How the function takes a request with what it can't bear. */
enum manner { DIES, PROXY_SAYS_SO, HANGS };

static void refuse(struct fixture *f, struct web_request *r)
{
    if (f->number == DIES)
        web_reset(r->connection);
    else if (f->number == PROXY_SAYS_SO)
        web_reply(r, 502, "", "");
}

/* What it can't bear is the fixture's `body`, alone or in a batch. */
static void bear_all_but_one(struct web_server *s, struct web_request *r)
{
    struct fixture *f = fixture_of(s);
    char in_batch[64];
    snprintf(in_batch, sizeof in_batch, "\"body\":\"%s\"", f->body);
    const char *text = (const char *)r->body.data;
    if (strcmp(text, f->body) == 0 || strstr(text, in_batch) != NULL)
        refuse(f, r);
    else
        web_reply(r, 200, "", "");
}

/* All waits are over. */
static void skip(struct fixture *f, uint64_t ms)
{
    f->ahead_ms += ms;
    for (uint32_t i = 0; i < f->source->count; i++)
        f->source->messages[i].due_ns = 0;
    dispatcher_wake(f->d, QUEUE);
}

/* Then, until one more was acked, or one more request has come to nothing. */
static void try_again(struct fixture *f, uint64_t later_ms)
{
    uint32_t requests = f->web.requests, acked = f->source->acked;
    skip(f, later_ms);
    RUN_UNTIL(f, f->source->acked > acked ||
                     (f->web.requests > requests && f->source->out == 0 && f->source->asked_count == 0));
}

START_TEST(who_is_alone_without_an_answer_for_longer_than_an_outage_may_last_is_counted_and_lets_others_go_on)
{
    struct fixture f;
    fixture_open(&f, bear_all_but_one);
    fixture_clock(&f);
    f.source->fifo = true;
    f.number = (uint32_t)_i;
    f.body = "0";
    f.function.format = HATO__FORMAT__RAW;
    fixture_start(&f);
    fixture_fill(&f, 3, "group");
    struct fake_message *first = &f.source->messages[0];
    RUN_UNTIL(&f, first->returns > 0);
    while (f.ahead_ms <= HOUR_MS + HOUR_MS / 2) {
        ck_assert_uint_eq(first->failures, 0);
        try_again(&f, 5 * MINUTE_MS);
    }
    while (first->failures == 0 && f.ahead_ms < 10 * (uint64_t)HOUR_MS)
        try_again(&f, 5 * MINUTE_MS);
    for (uint32_t failures = 1; failures <= 3; failures++) {
        ck_assert_uint_eq(first->failures, failures);
        try_again(&f, 5 * MINUTE_MS);
    }
    first->state = FAKE_ACKED; /* its receives are used up: it has become a dead letter */
    try_again(&f, MINUTE_MS);
    RUN_UNTIL(&f, f.source->acked == 2);
    fixture_close(&f);
}
END_TEST

static const struct company {
    enum manner manner;
    const char *bad; /* of the bodies "0" to "9" */
    bool fifo;       /* each in a group of its own */
} companies[] = {
    {DIES, "0", false}, {DIES, "9", false}, {DIES, "4", true}, {PROXY_SAYS_SO, "4", false}, {HANGS, "4", false}};

START_TEST(of_a_batch_that_gets_no_answer_the_good_ones_are_delivered_and_only_the_bad_one_is_counted)
{
    const struct company *company = &companies[_i];
    struct fixture f;
    fixture_open(&f, bear_all_but_one);
    fixture_clock(&f);
    f.source->fifo = company->fifo;
    f.number = company->manner;
    f.body = company->bad;
    fixture_batch(&f, 10);
    fixture_timeout(&f, company->manner == HANGS ? 300 : 10000);
    for (uint32_t i = 0; i < 10; i++) {
        char text[16];
        snprintf(text, sizeof text, "%u", i);
        fake_put(f.source, QUEUE, company->fifo ? text : "", text);
    }
    fixture_start(&f);
    RUN_UNTIL(&f, f.web.requests > 0 && f.source->out == 0);
    for (uint32_t tries = 0; tries < 40 && f.source->acked < 9; tries++)
        try_again(&f, 10 * 1000);
    ck_assert_uint_eq(f.source->acked, 9);
    const struct fake_message *bad = &f.source->messages[atoi(company->bad)];
    for (const struct fake_message *m = f.source->messages; m < f.source->messages + 10; m++)
        ck_assert_uint_eq(m == bad ? 0 : m->failures, 0);
    /* It is known to be bad when it comes to nothing by itself while others pass. */
    for (uint32_t tries = 0; tries < 10 && bad->failures < 2; tries++) {
        uint32_t before = bad->failures + bad->returns;
        fake_put(f.source, QUEUE, company->fifo ? "another" : "", "another");
        skip(&f, 10 * 1000);
        RUN_UNTIL(&f, f.source->acked == f.source->count - 1 && bad->failures + bad->returns > before);
    }
    ck_assert_uint_ge(bad->failures, 2);
    for (const struct fake_message *m = f.source->messages; m < f.source->messages + f.source->count; m++)
        ck_assert_uint_eq(m == bad ? 0 : m->failures, 0);
    fixture_close(&f);
}
END_TEST

START_TEST(of_a_group_what_stands_before_the_bad_one_is_delivered_in_order_and_the_bad_one_counted)
{
    struct fixture f;
    fixture_open(&f, bear_all_but_one);
    fixture_clock(&f);
    f.source->fifo = true;
    f.body = "4";
    fixture_batch(&f, 10);
    fixture_fill(&f, 10, "group");
    fixture_start(&f);
    RUN_UNTIL(&f, f.web.requests > 0 && f.source->out == 0);
    struct fake_message *bad = &f.source->messages[4];
    for (uint32_t tries = 0; tries < 40 && bad->failures == 0; tries++)
        try_again(&f, 10 * 1000);
    ck_assert_uint_eq(f.source->acked, 4);
    ck_assert_uint_eq(bad->failures, 1);
    for (uint32_t i = 5; i < 10; i++)
        ck_assert_uint_eq(f.source->messages[i].failures, 0);
    bad->state = FAKE_ACKED;
    for (uint32_t tries = 0; tries < 40 && f.source->acked < 9; tries++)
        try_again(&f, 10 * 1000);
    ck_assert_uint_eq(f.source->acked, 9);
    fixture_close(&f);
}
END_TEST

enum { LARGE = 30 };

/* What is large it can't bear. */
static void bear_small_ones(struct web_server *s, struct web_request *r)
{
    if (r->body.len > 1000)
        refuse(fixture_of(s), r);
    else
        web_reply(r, 200, "", "");
}

START_TEST(many_large_messages_that_the_function_can_not_bear_hold_nobody_up)
{
    enum { SIZE = 1024 * 1024 };
    struct fixture f;
    fixture_open(&f, bear_small_ones);
    fixture_clock(&f);
    f.function.format = HATO__FORMAT__RAW;
    f.function.retry_min_ms = f.function.retry_max_ms = HOUR_MS; /* or they would always be first */
    char *body = malloc(SIZE + 1);
    memset(body, 'x', SIZE);
    body[SIZE] = '\0';
    for (uint32_t i = 0; i < LARGE; i++)
        fake_put(f.source, QUEUE, "", body);
    free(body);
    fixture_fill(&f, 20, "");
    fixture_start(&f);
    RUN_UNTIL(&f, f.web.requests > 0 && f.source->out == 0);
    for (uint32_t tries = 0; tries < 200 && f.source->acked < 20; tries++)
        try_again(&f, 10 * 1000);
    ck_assert_uint_eq(f.source->acked, 20);
    fixture_close(&f);
}
END_TEST

static void add(TCase *c)
{
    tcase_add_loop_test(
        c, who_is_alone_without_an_answer_for_longer_than_an_outage_may_last_is_counted_and_lets_others_go_on, DIES,
        PROXY_SAYS_SO + 1);
    tcase_add_loop_test(c, of_a_batch_that_gets_no_answer_the_good_ones_are_delivered_and_only_the_bad_one_is_counted,
                        0, sizeof companies / sizeof companies[0]);
    tcase_add_test(c, of_a_group_what_stands_before_the_bad_one_is_delivered_in_order_and_the_bad_one_counted);
    tcase_add_test(c, many_large_messages_that_the_function_can_not_bear_hold_nobody_up);
}

int main(void)
{
    return fixture_main("blame", add);
}
