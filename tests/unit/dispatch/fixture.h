/* A dispatcher between a fake source and a web server, on one loop. */
#ifndef HATO_TEST_FIXTURE_H
#define HATO_TEST_FIXTURE_H

#include <check.h>
#include <proto/settings.pb-c.h>
#include <signal.h>
#include <stdlib.h>

#include "base/arena.h"
#include "dispatch/dispatcher.h"
#include "dispatch/fake_source.h"
#include "dispatch/quota.h"
#include "dispatch/web_server.h"

static const char fixture_function[] = "000000000000:us-east-1:resize";
enum { QUEUE = 7 };

struct fixture {
    uv_loop_t loop;
    struct fake_source *source;
    struct web_server web;
    struct dispatcher *d;
    struct arena arena;
    char url[128];
    const char *path;
    Hato__FunctionSettings function;
    Hato__BindingSettings binding;
    struct dispatcher_options options;
    struct quota *quota;
    bool closed;
    /* what the answerers use */
    int status;
    const char *headers;
    const char *body;
    uint32_t number; /* of the request at hand */
    char seen[2048]; /* a header or body that an answerer kept */
    void *ctx;
    uint64_t ahead_ms; /* of the machine's clock, that the dispatcher's is; see fixture_clock */
};

static inline void fixture_open(struct fixture *f, void (*answer)(struct web_server *s, struct web_request *r))
{
    memset(f, 0, sizeof *f);
    signal(SIGPIPE, SIG_IGN); /* as the broker's process does */
    ck_assert_int_eq(uv_loop_init(&f->loop), 0);
    f->source = fake_create(&f->loop);
    web_open(&f->web, &f->loop, answer);
    f->web.ctx = f;
    f->path = "/";
    f->status = 200;
    f->headers = "";
    f->body = "";
    f->quota = quota_create(fixture_function, NULL, NULL);
    hato__function_settings__init(&f->function);
    hato__binding_settings__init(&f->binding);
    f->function.has_format = true;
    f->function.format = HATO__FORMAT__LAMBDA;
    f->function.has_retry_min_ms = true;
    f->function.retry_min_ms = 1;
    f->function.has_retry_max_ms = true;
    f->function.retry_max_ms = 4;
    f->options = (struct dispatcher_options){.clock = clock_real(), .seed = 1, .policy = {.allow_private = true}};
}

/* What the tests' functions and bindings have beyond the defaults; before fixture_start, or to be told by fixture_change and
 * fixture_bind_to. */
static inline void fixture_timeout(struct fixture *f, uint64_t ms)
{
    f->function.has_timeout_ms = true;
    f->function.timeout_ms = ms;
}

static inline void fixture_concurrency(struct fixture *f, uint32_t requests)
{
    f->function.has_max_concurrency = true;
    f->function.max_concurrency = requests;
}

static inline void fixture_batch(struct fixture *f, uint32_t messages)
{
    f->binding.has_batch_size = true;
    f->binding.batch_size = messages;
}

static inline void fixture_window(struct fixture *f, uint64_t ms)
{
    f->binding.has_window_ms = true;
    f->binding.window_ms = ms;
}

static inline uint64_t fixture_now_ms(void *context)
{
    const struct fixture *f = context;
    struct clock real = clock_real();
    return clock_now_ms(&real) + f->ahead_ms;
}

static inline uint64_t fixture_monotonic_ns(void *context)
{
    const struct fixture *f = context;
    return uv_hrtime() + f->ahead_ms * 1000000;
}

/* The dispatcher's clock goes by `ahead_ms`, which the test adds to, so that hours pass in no time. Before fixture_start. */
static inline void fixture_clock(struct fixture *f)
{
    f->options.clock = (struct clock){fixture_now_ms, fixture_monotonic_ns, f};
}

static inline void fixture_bind_to(struct fixture *f, uint64_t queue, const char *function)
{
    snprintf(f->url, sizeof f->url, "http://127.0.0.1:%d%s", f->web.port, f->path);
    f->function.url = f->url;
    dispatcher_bind(f->d, &(struct dispatcher_binding){.queue = queue,
                                                       .queue_name = "000000000000:us-east-1:jobs",
                                                       .queue_arn = "arn:aws:sqs:us-east-1:000000000000:jobs",
                                                       .fifo = f->source->fifo,
                                                       .binding = &f->binding,
                                                       .function = function,
                                                       .settings = &f->function,
                                                       .quota = f->quota});
}

static inline void fixture_change(struct fixture *f, const Hato__FunctionSettings *settings)
{
    dispatcher_function_changed(f->d, fixture_function, settings, f->quota);
}

static inline void fixture_start(struct fixture *f)
{
    struct error e = {0};
    ck_assert_int_eq(dispatcher_create(&f->d, &f->loop, &fake_ops, f->source, &f->options, &e), ERR_OK);
    f->source->dispatcher = f->d;
    fixture_bind_to(f, QUEUE, fixture_function);
}

/* Runs the loop until the condition holds. */
#define RUN_UNTIL(f, condition)                                                                                        \
    do {                                                                                                               \
        while (!(condition))                                                                                           \
            ck_assert_msg(uv_run(&(f)->loop, UV_RUN_ONCE) != 0 || (condition), "nothing more happens, and not %s",     \
                          #condition);                                                                                 \
    } while (0)

/* What happens without waiting for anything has happened. */
static inline void fixture_turns(struct fixture *f)
{
    for (int i = 0; i < 5; i++)
        uv_run(&f->loop, UV_RUN_NOWAIT);
}

static inline struct dispatcher_info fixture_info(struct fixture *f)
{
    struct dispatcher_info info;
    ck_assert(dispatcher_info(f->d, fixture_function, &f->arena, &info));
    return info;
}

static inline void fixture_closed(void *arg)
{
    struct fixture *f = arg;
    ck_assert(!f->closed);
    f->closed = true;
}

static inline void fixture_close_dispatcher(struct fixture *f)
{
    f->source->dispatcher = NULL;
    dispatcher_close(f->d, fixture_closed, f);
    ck_assert(!f->closed);
    f->d = NULL;
    RUN_UNTIL(f, f->closed);
}

/* Everything is let go; the loop then has nothing left, and every lease was settled. */
static inline void fixture_close(struct fixture *f)
{
    if (f->d != NULL)
        fixture_close_dispatcher(f);
    ck_assert_uint_eq(f->source->out, 0);
    web_stop(&f->web);
    fake_stop(f->source);
    ck_assert_int_eq(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
    ck_assert_int_eq(uv_loop_close(&f->loop), 0);
    fake_destroy(f->source);
    quota_unref(f->quota);
    arena_close(&f->arena);
}

static inline struct fixture *fixture_of(struct web_server *s)
{
    return s->ctx;
}

/* What the fixture says, for every request. */
static inline void answer_as_told(struct web_server *s, struct web_request *r)
{
    struct fixture *f = fixture_of(s);
    web_reply(r, f->status, f->headers, f->body);
}

static inline void keep_headers(struct web_server *s, struct web_request *r)
{
    struct fixture *f = fixture_of(s);
    snprintf(f->seen, sizeof f->seen, "%s\r\n%.1500s", r->line, r->headers);
    web_reply(r, 200, "", "");
}

/* The first request gets what the fixture says, later ones 200. */
static inline void answer_first_as_told(struct web_server *s, struct web_request *r)
{
    struct fixture *f = fixture_of(s);
    if (s->requests == 1)
        web_reply(r, f->status, f->headers, f->body);
    else
        web_reply(r, 200, "", "");
}

static inline void answer_nothing(struct web_server *s, struct web_request *r)
{
    (void)s;
    (void)r;
}

static inline void answer_in_a_while(struct web_connection *c)
{
    static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
    web_put(c, ok, sizeof ok - 1);
    web_done(c);
}

static inline void answer_slowly(struct web_server *s, struct web_request *r)
{
    (void)s;
    web_later(r->connection, 20, answer_in_a_while);
}

/* `count` messages, their bodies "0", "1", ... */
static inline void fixture_fill(struct fixture *f, uint32_t count, const char *group)
{
    for (uint32_t i = 0; i < count; i++) {
        char body[16];
        snprintf(body, sizeof body, "%u", i);
        fake_put(f->source, QUEUE, group, body);
    }
    if (f->d != NULL)
        dispatcher_wake(f->d, QUEUE);
}

/* As fixture_fill; returns when a lease was asked for, which is not answered before fake_let_go. */
static inline void fixture_fill_held(struct fixture *f, uint32_t count, const char *group)
{
    f->source->hold = true;
    fixture_fill(f, count, group);
    RUN_UNTIL(f, f->source->asked_count > 0);
}

/* The program: `add` puts the tests in. */
static inline int fixture_main(const char *name, void (*add)(TCase *c))
{
    Suite *s = suite_create(name);
    TCase *c = tcase_create(name);
    tcase_set_timeout(c, 300); /* against hanging for ever, not a measure */
    add(c);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
