/* Connections between nodes on behalf of a client. */
#include "cluster/call.h"
#include "unit/cluster/mesh_nodes.h"

static struct call calling;
static struct stream taken;
static struct buffer answer;
static bool call_ended, taken_closed;

static size_t echo(struct stream *s, struct bytes in)
{
    stream_put(s, in.data, in.len);
    return in.len;
}

static void on_taken_closed(struct stream *s, int why)
{
    (void)s, (void)why;
    taken_closed = true;
}

static const struct stream_ops taken_ops = {.data = echo, .closed = on_taken_closed};

static void take_clients(void *ctx, struct mesh *m, uint64_t node, struct stream *from, struct bytes rest)
{
    (void)ctx, (void)m;
    ck_assert_uint_eq(node, 1);
    ck_assert_int_eq(stream_take_over(&taken, from, rest, &taken_ops, &e), ERR_OK);
}

static void on_call_up(struct call *c, const struct hello *h)
{
    ck_assert_uint_eq(h->node, 2);
    stream_put(&c->stream, "question", 8);
}

static size_t on_call_data(struct call *c, struct bytes in)
{
    buffer_put(&answer, in.data, in.len);
    if (answer.len >= 8)
        call_end(c, NULL);
    return in.len;
}

static void on_call_ended(struct call *c, const struct error *why)
{
    (void)c;
    ck_assert_int_eq(why->code, answer.len > 0 ? ERR_CLOSED : ERR_IO);
    call_ended = true;
}

static const struct call_ops calling_ops = {.up = on_call_up, .data = on_call_data, .ended = on_call_ended};

static bool call_is_over(void)
{
    return call_ended && (taken_closed || answer.len == 0);
}

static void call_two(void)
{
    begin(1);
    begin(2);
    until(two_and_one_reach_each_other);
    call_start(&calling, &nodes[1].mesh, mesh_peer(&nodes[1].mesh, 2), HELLO_CLIENTS, 0, &calling_ops);
    until(call_is_over);
    ck_assert(two_and_one_reach_each_other());
}

START_TEST(a_connection_for_a_client_becomes_that_of_who_serves_it)
{
    struct authority a = authority_make("ours", path("ca"));
    certify(&nodes[1], "one", &a, "ca");
    certify(&nodes[2], "two", &a, "ca");
    nodes[2].ops = (struct mesh_ops){.ctx = &nodes[2],
                                     .loop_of = loop_of,
                                     .frame = on_frame,
                                     .clients = take_clients,
                                     .unreachable = on_unreachable};
    call_two();
    ck_assert(bytes_equal(buffer_view(&answer), bytes_text("question")));
    buffer_close(&answer);
    authority_free(&a);
}
END_TEST

START_TEST(a_connection_for_a_client_ends_where_nobody_serves_it)
{
    call_two();
    ck_assert_uint_eq(answer.len, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mesh_call");
    TCase *c = tcase_create("mesh_call");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, a_connection_for_a_client_becomes_that_of_who_serves_it);
    tcase_add_test(c, a_connection_for_a_client_ends_where_nobody_serves_it);
    suite_add_tcase(suite, c);
    return mesh_run(suite);
}
