#include "dispatch/dispatcher.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dispatch/fixture.h"

START_TEST(while_the_endpoint_is_down_nothing_is_leased_and_no_receive_counted_and_delivery_resumes)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    web_stop(&f.web);
    fixture_start(&f);
    fixture_fill(&f, 100, "");
    RUN_UNTIL(&f, fixture_info(&f).state == DISPATCHER_OPEN && f.source->out == 0);
    for (int probes = 0; probes < 4; probes++) {
        uint32_t leases = f.source->leases;
        RUN_UNTIL(&f, f.source->leases > leases && f.source->out == 0 && f.source->asked_count == 0);
        /* A probe is one request. */
        ck_assert_uint_eq(f.source->leases, leases + 1);
    }
    for (uint32_t i = 0; i < 100; i++) {
        ck_assert_uint_eq(f.source->messages[i].receive_count, 0);
        ck_assert_uint_eq(f.source->messages[i].failures, 0);
    }
    ck_assert_ptr_nonnull(strstr(fixture_info(&f).last_error, "not reachable"));
    web_listen(&f.web);
    RUN_UNTIL(&f, f.source->acked == 100);
    for (uint32_t i = 0; i < 100; i++)
        ck_assert_uint_eq(f.source->messages[i].receive_count, 1);
    ck_assert_int_eq(fixture_info(&f).state, DISPATCHER_IDLE);
    fixture_close(&f);
}
END_TEST

START_TEST(a_name_that_does_not_exist_costs_no_receive)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    fixture_start(&f);
    Hato__FunctionSettings s = f.function;
    s.url = (char *)(uintptr_t) "http://no-such-host.invalid/";
    fixture_change(&f, &s);
    fixture_fill(&f, 10, "");
    RUN_UNTIL(&f, fixture_info(&f).state == DISPATCHER_OPEN && f.source->out == 0);
    ck_assert_uint_eq(fixture_info(&f).failed_total, 0);
    fixture_close(&f);
}
END_TEST

START_TEST(an_endpoint_that_does_not_speak_tls_costs_no_receive)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    fixture_start(&f);
    Hato__FunctionSettings s = f.function;
    char url[64];
    snprintf(url, sizeof url, "https://127.0.0.1:%d/", f.web.port);
    s.url = url;
    s.has_timeout_ms = true;
    s.timeout_ms = 300;
    fixture_change(&f, &s);
    fixture_fill(&f, 1, "");
    RUN_UNTIL(&f, fixture_info(&f).state == DISPATCHER_OPEN && f.source->out == 0);
    ck_assert_uint_eq(f.source->messages[0].failures, 0);
    ck_assert_uint_ge(f.source->messages[0].returns, 3);
    fixture_close(&f);
}
END_TEST

enum { KEPT = 4 }; /* connections: as many requests as the window begins with */

/* All but the body "kill" are answered, when there are KEPT of them, each on a connection of its own. */
static void keep_connections_and_reset_them(struct web_server *s, struct web_request *r)
{
    struct fixture *f = fixture_of(s);
    if (r->body.len == 4 && memcmp(r->body.data, "kill", 4) == 0) {
        f->number++;
        web_reset(r->connection);
        return;
    }
    if (s->at_once < KEPT)
        return;
    for (struct list_link *at = list_first(&s->connections); at != NULL; at = list_next(&s->connections, at))
        answer_in_a_while(CONTAINER_OF(at, struct web_connection, link));
}

/* libcurl alone would go through all connections it has kept. */
START_TEST(what_breaks_its_connection_reaches_the_endpoint_at_most_once_more_and_on_a_new_one)
{
    struct fixture f;
    fixture_open(&f, keep_connections_and_reset_them);
    f.function.format = HATO__FORMAT__RAW;
    fixture_start(&f);
    fixture_fill(&f, KEPT, "");
    RUN_UNTIL(&f, f.source->acked == KEPT);
    ck_assert_uint_eq(f.web.accepted, KEPT);
    fake_put(f.source, QUEUE, "", "kill");
    dispatcher_wake(f.d, QUEUE);
    for (uint32_t attempts = 1; attempts <= 3; attempts++) {
        RUN_UNTIL(&f, f.source->messages[KEPT].returns == attempts);
        ck_assert_uint_le(f.number, 2 * attempts);
        ck_assert_uint_eq(f.web.accepted, KEPT + attempts);
    }
    fixture_close(&f);
}
END_TEST

/* Listens, accepts nobody, and has no room to wait: to connect to it takes for ever. */
static int open_black_hole(int waiting[2], char *url, size_t size)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof a;
    int s = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(s, (struct sockaddr *)&a, sizeof a), 0);
    ck_assert_int_eq(listen(s, 0), 0);
    ck_assert_int_eq(getsockname(s, (struct sockaddr *)&a, &len), 0);
    for (int i = 0; i < 2; i++) {
        waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(waiting[i], (struct sockaddr *)&a, sizeof a);
    }
    snprintf(url, size, "http://127.0.0.1:%d/", ntohs(a.sin_port));
    return s;
}

START_TEST(an_endpoint_that_does_not_take_the_connection_costs_no_receive)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    int waiting[2];
    char url[64];
    int hole = open_black_hole(waiting, url, sizeof url);
    fixture_start(&f);
    Hato__FunctionSettings s = f.function;
    s.url = url;
    s.has_timeout_ms = true;
    s.timeout_ms = 100;
    fixture_change(&f, &s);
    fixture_fill(&f, 10, "");
    RUN_UNTIL(&f, fixture_info(&f).state == DISPATCHER_OPEN && f.source->out == 0);
    ck_assert_ptr_nonnull(strstr(fixture_info(&f).last_error, "not reachable"));
    ck_assert_uint_eq(f.source->messages[0].failures, 0);
    /* The numbers of the sockets given up are free for others: a server's connections among them. */
    fixture_change(&f, &f.function);
    RUN_UNTIL(&f, f.source->acked == 10);
    /* Closing in the middle of connecting leaves nothing behind either. */
    s.timeout_ms = 60000;
    fixture_change(&f, &s);
    fixture_fill(&f, 10, "");
    RUN_UNTIL(&f, f.source->out == 10);
    uv_run(&f.loop, UV_RUN_NOWAIT);
    fixture_close(&f);
    close(waiting[0]);
    close(waiting[1]);
    close(hole);
}
END_TEST

START_TEST(private_addresses_are_not_connected_to_unless_allowed)
{
    struct fixture f;
    fixture_open(&f, answer_as_told);
    f.options.policy.allow_private = false;
    fixture_start(&f);
    fixture_fill(&f, 3, "");
    RUN_UNTIL(&f, fixture_info(&f).state == DISPATCHER_OPEN && f.source->out == 0);
    ck_assert_uint_eq(f.web.accepted, 0);
    ck_assert_ptr_nonnull(strstr(fixture_info(&f).last_error, "address 127.0.0.1 is private"));
    ck_assert_uint_eq(f.source->messages[0].failures, 0);
    fixture_close(&f);

    fixture_open(&f, answer_as_told);
    f.options.policy.allow_private = false;
    ck_assert_int_eq(address_policy_allow(&f.options.policy, "127.0.0.0/8", NULL), ERR_OK);
    fixture_start(&f);
    fixture_fill(&f, 3, "");
    RUN_UNTIL(&f, f.source->acked == 3);
    fixture_close(&f);
}
END_TEST

static void add(TCase *c)
{
    tcase_add_test(c, while_the_endpoint_is_down_nothing_is_leased_and_no_receive_counted_and_delivery_resumes);
    tcase_add_test(c, a_name_that_does_not_exist_costs_no_receive);
    tcase_add_test(c, an_endpoint_that_does_not_speak_tls_costs_no_receive);
    tcase_add_test(c, an_endpoint_that_does_not_take_the_connection_costs_no_receive);
    tcase_add_test(c, what_breaks_its_connection_reaches_the_endpoint_at_most_once_more_and_on_a_new_one);
    tcase_add_test(c, private_addresses_are_not_connected_to_unless_allowed);
}

int main(void)
{
    return fixture_main("outage", add);
}
