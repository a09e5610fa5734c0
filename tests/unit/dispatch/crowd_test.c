/* Many messages that the function can't bear, before and among those that it can. */
#include "dispatch/dispatcher.h"

#include "dispatch/fixture.h"

/* How the function takes a request with such a one. */
enum manner { DIES, PROXY_SAYS_SO, HANGS };

static const struct crowd {
    enum manner manner;
    uint32_t messages;
    uint32_t first; /* so many are bad, before all others */
    uint32_t each;  /* or each of so many */
    uint32_t batch; /* 0: one message a request */
    uint32_t concurrency;
    bool fifo; /* each message in a group of its own */
} crowds[] = {
    {.manner = DIES, .messages = 80, .first = 20},
    {.manner = PROXY_SAYS_SO, .messages = 80, .first = 20},
    {.manner = HANGS, .messages = 25, .first = 5},
    {.manner = HANGS, .messages = 25, .first = 5, .concurrency = 1},
    {.manner = DIES, .messages = 80, .first = 20, .batch = 5},
    {.manner = DIES, .messages = 80, .first = 20, .fifo = true},
    {.manner = DIES, .messages = 80, .first = 20, .batch = 2, .fifo = true},
    /* in each batch of a long queue */
    {.manner = DIES, .messages = 1000, .each = 20, .batch = 100},
    {.manner = DIES, .messages = 400, .each = 5, .batch = 10},
    {.manner = DIES, .messages = 3000, .each = 500, .batch = 1000},
    {.manner = HANGS, .messages = 300, .each = 100, .batch = 50},
};

static bool is_bad(const struct crowd *crowd, uint32_t number)
{
    return number < crowd->first || (crowd->each > 0 && number % crowd->each == 0);
}

static bool has_bad(const struct crowd *crowd, struct bytes request)
{
    static const char body[] = "\"body\":\"";
    static char text[2 * 1024 * 1024];
    ck_assert_uint_lt(request.len, sizeof text);
    memcpy(text, request.data, request.len);
    text[request.len] = '\0';
    if (crowd->batch == 0)
        return is_bad(crowd, (uint32_t)atoi(text));
    for (const char *at = text; (at = strstr(at, body)) != NULL; at += strlen(body))
        if (is_bad(crowd, (uint32_t)atoi(at + strlen(body))))
            return true;
    return false;
}

static void take_the_good_ones(struct web_server *s, struct web_request *r)
{
    const struct crowd *crowd = fixture_of(s)->ctx;
    if (!has_bad(crowd, r->body))
        web_reply(r, 200, "", "");
    else if (crowd->manner == DIES)
        web_reset(r->connection);
    else if (crowd->manner == PROXY_SAYS_SO)
        web_reply(r, 502, "", "");
}

static void open_crowd(struct fixture *f, const struct crowd *crowd)
{
    fixture_open(f, take_the_good_ones);
    fixture_clock(f);
    f->ctx = loose(crowd);
    f->source->fifo = crowd->fifo;
    f->function.format = crowd->batch > 0 ? HATO__FORMAT__LAMBDA : HATO__FORMAT__RAW;
    if (crowd->batch > 0)
        fixture_batch(f, crowd->batch);
    if (crowd->concurrency > 0)
        fixture_concurrency(f, crowd->concurrency);
    f->function.retry_min_ms = 100; /* and longer each time, or they would always be first */
    f->function.retry_max_ms = 60 * 1000;
    fixture_timeout(f, crowd->manner == HANGS ? 200 : 10000);
    fixture_start(f);
}

START_TEST(messages_that_the_function_can_not_bear_do_not_keep_it_from_the_others)
{
    const struct crowd *crowd = &crowds[_i];
    struct fixture f;
    open_crowd(&f, crowd);
    uint32_t good = 0;
    for (uint32_t i = 0; i < crowd->messages; i++) {
        char text[16];
        snprintf(text, sizeof text, "%u", i);
        fake_put(f.source, QUEUE, crowd->fifo ? text : "", text);
        good += !is_bad(crowd, i);
    }
    dispatcher_wake(f.d, QUEUE);
    RUN_UNTIL(&f, f.source->acked == good);
    for (uint32_t i = 0; i < crowd->messages; i++)
        if (!is_bad(crowd, i))
            ck_assert_uint_eq(f.source->messages[i].failures, 0);
    fixture_close(&f);
}
END_TEST

/* They became dead letters, or were purged. */
START_TEST(those_that_are_gone_are_not_looked_past)
{
    static const struct crowd all = {.manner = DIES, .messages = 100, .first = 100};
    struct fixture f;
    open_crowd(&f, &all);
    fixture_fill(&f, all.first, "");
    dispatcher_wake(f.d, QUEUE);
    RUN_UNTIL(&f, fixture_info(&f).returned_total >= all.first && f.source->out == 0 && f.source->asked_count == 0);
    for (uint32_t i = 0; i < all.first; i++)
        f.source->messages[i].state = FAKE_ACKED;
    f.source->most_asked = 0;
    f.ahead_ms = 10000;
    for (uint32_t i = 0; i < 20; i++)
        fake_put(f.source, QUEUE, "", "0");
    uint32_t requests = f.web.requests;
    dispatcher_wake(f.d, QUEUE);
    RUN_UNTIL(&f, f.web.requests > requests);
    ck_assert_uint_eq(f.source->most_asked, 1);
    fixture_close(&f);
}
END_TEST

static void add(TCase *c)
{
    tcase_add_loop_test(c, messages_that_the_function_can_not_bear_do_not_keep_it_from_the_others, 0,
                        sizeof crowds / sizeof crowds[0]);
    tcase_add_test(c, those_that_are_gone_are_not_looked_past);
}

int main(void)
{
    return fixture_main("crowd", add);
}
