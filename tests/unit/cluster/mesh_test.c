/* Meshes of nodes, and strangers at their gates. */
#include <fcntl.h>
#include <pthread.h>

#include "cluster/hello.h"
#include "unit/cluster/mesh_nodes.h"

/* ---------------------------------------------------------------- frames */

static bool both_got_their_last(void)
{
    return got(2, "last") && got(1, "back");
}

static void exchange(void)
{
    begin(1);
    begin(2);
    until(two_and_one_reach_each_other);
    ck_assert(put_text(1, 2, 0, "first"));
    ck_assert(put_text(1, 2, SHARDS, ""));
    ck_assert(put_text(1, 2, 3, "last"));
    ck_assert(put_text(2, 1, 5, "back"));
    until(both_got_their_last);
    ck_assert_str_eq((const char *)nodes[2].got.data, "1:0:first,1:8:,1:3:last,");
    ck_assert_str_eq((const char *)nodes[1].got.data, "2:5:back,");
}

START_TEST(frames_arrive_in_order_for_their_shards_with_who_sent_them)
{
    exchange();
}
END_TEST

START_TEST(nodes_with_certificates_of_one_authority_speak_to_each_other)
{
    struct authority a = authority_make("ours", path("ca"));
    certify(&nodes[1], "one", &a, "ca");
    certify(&nodes[2], "two", &a, "ca");
    exchange();
    authority_free(&a);
}
END_TEST

static bool stranger_was_refused(void)
{
    return was_traced("/CN=stranger is refused") && was_traced("event=\"peer not reached\" node=1");
}

START_TEST(a_node_whose_certificate_is_foreign_does_not_get_in)
{
    struct authority a = authority_make("ours", path("ca"));
    struct authority b = authority_make("theirs", path("foreign"));
    certify(&nodes[1], "one", &a, "ca");
    certify(&nodes[2], "stranger", &b, "ca");
    begin(1);
    begin(2);
    until(stranger_was_refused);
    ck_assert(!mesh_reaches(&nodes[1].mesh, 2));
    ck_assert(!mesh_reaches(&nodes[2].mesh, 1));
    authority_free(&a);
    authority_free(&b);
}
END_TEST

enum { BIG = 20 * 1000 * 1000 };

static bool two_got_everything(void)
{
    return nodes[2].got_bytes >= (size_t)BIG + 4;
}

START_TEST(large_frames_arrive_whole)
{
    uint8_t *bytes = memory_zero(1, BIG);
    begin(1);
    begin(2);
    until(two_and_one_reach_each_other);
    ck_assert(put(1, 2, 1, bytes, BIG));
    ck_assert(put_text(1, 2, 1, "last"));
    until(two_got_everything);
    ck_assert(got(2, "last"));
    memory_free(bytes);
}
END_TEST

/* ---------------------------------------------------------------- coming and going */

static bool one_was_told(void)
{
    return nodes[1].unreachable > 0;
}

static bool loss_was_traced(void)
{
    return was_traced("event=\"peer lost\" node=2");
}

START_TEST(a_peer_that_is_away_costs_its_frames_and_is_reached_when_it_comes)
{
    begin(1);
    ck_assert(!put_text(1, 2, 1, "lost"));
    ck_assert_uint_eq(nodes[1].unreachable, 0); /* not from inside */
    until(one_was_told);
    begin(2);
    until(two_and_one_reach_each_other);
    ck_assert(put_text(1, 2, 1, "last"));
    ck_assert(put_text(2, 1, 1, "back"));
    until(both_got_their_last);
    nodes[1].unreachable = 0;
    end(&nodes[2]);
    until(one_was_told);
    until(loss_was_traced);
    ck_assert(!mesh_reaches(&nodes[1].mesh, 2));
    begin(2);
    until(two_and_one_reach_each_other);
}
END_TEST

static bool new_birth_was_refused(void)
{
    return was_traced("event=\"peer refused\" from=") && was_traced("another data directory than when node 1 met it") &&
           was_traced("event=\"peer not reached\" node=1");
}

START_TEST(a_node_that_lost_its_data_is_refused_by_those_it_had_met)
{
    begin(1);
    begin(2);
    until(two_and_one_reach_each_other);
    end(&nodes[2]);
    until(loss_was_traced);
    begin_as(&nodes[2], 2, 'f', 20);
    until(new_birth_was_refused);
    ck_assert(!mesh_reaches(&nodes[1].mesh, 2));
}
END_TEST

static bool second_was_refused(void)
{
    return was_traced("event=\"peer refused\"") && was_traced("another process is connected as node 2");
}

START_TEST(two_nodes_with_the_same_id_are_told_apart)
{
    begin(1);
    begin(2);
    until(two_and_one_reach_each_other);
    ports[2] = ports[3]; /* a copy of node 2, elsewhere */
    struct node *copy = &nodes[3];
    begin_as(copy, 2, '2', 99);
    until(second_was_refused);
    ck_assert(mesh_reaches(&nodes[2].mesh, 1));
    ck_assert(!mesh_reaches(&copy->mesh, 1));
}
END_TEST

/* ---------------------------------------------------------------- strangers at the gate */

static const char *expected;

static bool expected_was_traced(void)
{
    return was_traced(expected);
}

static void hello_of_two(struct hello *h)
{
    *h = (struct hello){.node = 2, .to = 1, .instance = 2, .shards = SHARDS};
    memcpy(h->cluster, nodes[1].birth.cluster, sizeof h->cluster);
    memset(h->birth, '2', 32);
}

/* Sends the bytes to node 1 and waits for the line that speaks of them; then the gate has to be open to others still. */
static void stranger(struct buffer *bytes, const char *line)
{
    int fd = peer_connect(ports[1]);
    peer_send(fd, bytes->data, bytes->len);
    expected = line;
    until(expected_was_traced);
    buffer_close(bytes);
    close(fd);
    buffer_clear(&lines);
}

static void then_all_is_well(void)
{
    begin(2);
    until(two_and_one_reach_each_other);
    ck_assert(put_text(2, 1, 5, "back"));
    ck_assert(put_text(1, 2, 5, "last"));
    until(both_got_their_last);
}

START_TEST(who_says_no_hello_is_sent_away)
{
    struct buffer b = {0};
    begin(1);
    buffer_printf(&b, "GET / HTTP/1.1\r\n\r\n");
    stranger(&b, "no hello of a node");
    hello_put(&b, &(struct hello){.refused = 1, .why = "you"});
    stranger(&b, "a hello that refuses");
    struct hello h;
    hello_of_two(&h);
    hello_put(&b, &h);
    b.data[4] = 9;
    b.data[6] = 10;
    stranger(&b, "versions 9 to 10");
    then_all_is_well();
}
END_TEST

START_TEST(who_is_of_another_cluster_or_no_node_of_this_one_is_sent_away)
{
    struct buffer b = {0};
    struct hello h;
    begin(1);
    hello_of_two(&h);
    memset(h.cluster, 'a', 32);
    hello_put(&b, &h);
    stranger(&b, "is of cluster aaaaaaaa");
    hello_of_two(&h);
    h.node = 9;
    hello_put(&b, &h);
    stranger(&b, "node 9 is not among");
    hello_of_two(&h);
    h.node = 1;
    hello_put(&b, &h);
    stranger(&b, "two nodes have the id 1");
    then_all_is_well();
}
END_TEST

static void greeted(struct buffer *b)
{
    struct hello h;
    hello_of_two(&h);
    hello_put(b, &h);
}

START_TEST(frames_that_make_no_sense_end_their_connection_and_nothing_else)
{
    struct buffer b = {0};
    begin(1);
    greeted(&b);
    size_t at = frame_begin(&b, FRAME_SHARD, SHARDS + 1);
    frame_end(&b, at);
    stranger(&b, "a frame for shard 9; there are 8");
    greeted(&b);
    at = frame_begin(&b, FRAME_SHARD, 1);
    buffer_put(&b, "abc", 3);
    frame_end(&b, at);
    b.data[b.len - 1] ^= 1;
    stranger(&b, "checksum does not hold");
    greeted(&b);
    buffer_u32(&b, UINT32_MAX);
    buffer_u64(&b, 0);
    buffer_u32(&b, 0);
    stranger(&b, "a frame of 4294967295 bytes");
    greeted(&b);
    at = frame_begin(&b, FRAME_PONG, 0);
    frame_end(&b, at);
    stranger(&b, "a frame of kind 3");
    ck_assert_uint_eq(nodes[1].got.len, 0);
    then_all_is_well();
}
END_TEST

/* A node that greets, and then neither reads nor says anything. */
static void *greet_and_stop(void *arg)
{
    int server = *(int *)arg;
    int fd = accept(server, NULL, NULL);
    struct buffer b = {0};
    struct hello h;
    hello_of_two(&h);
    hello_put(&b, &h);
    peer_send(fd, b.data, b.len);
    buffer_close(&b);
    *(int *)arg = fd;
    return NULL;
}

static bool one_reaches_two(void)
{
    return mesh_reaches(&nodes[1].mesh, 2);
}

START_TEST(a_peer_that_does_not_read_costs_bounded_memory_and_is_given_up)
{
    static uint8_t bytes[1024 * 1024];
    int server = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)ports[2])};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(bind(server, (struct sockaddr *)&a, sizeof a), 0);
    ck_assert_int_eq(listen(server, 1), 0);
    int fd = server;
    pthread_t thread;
    begin(1);
    ck_assert_int_eq(pthread_create(&thread, NULL, greet_and_stop, &fd), 0);
    until(one_reaches_two);
    pthread_join(thread, NULL);
    size_t taken = 0;
    for (int i = 0; i < 200; i++) {
        taken += put(1, 2, 1, bytes, sizeof bytes);
        uv_run(&loop.uv, UV_RUN_NOWAIT);
    }
    ck_assert_uint_ge(taken, MESH_QUEUE_MAX / sizeof bytes);
    ck_assert_uint_lt(taken, 100);
    until(one_was_told);
    expected = "nothing was heard from it";
    until(expected_was_traced);
    close(server);
    close(fd);
}
END_TEST

/* ---------------------------------------------------------------- several loops */

static struct loop other;
static struct buffer there;
static atomic_bool done;

static struct loop *odd_shards_live_elsewhere(void *ctx, uint16_t shard)
{
    (void)ctx;
    return shard % 2 == 1 ? &other : &loop;
}

static void on_frame_there(void *ctx, uint64_t node, uint16_t shard, struct blob *frame)
{
    (void)ctx, (void)node;
    ck_assert_uint_eq(shard % 2, pthread_equal(pthread_self(), other.thread) ? 1 : 0);
    if (shard % 2 == 0)
        return;
    ck_assert_uint_gt(frame->len, 0);
    if (frame->data[0] == 'z')
        atomic_store(&done, true);
    buffer_put(&there, frame->data, 1);
}

static bool is_done(void)
{
    return atomic_load(&done);
}

static bool two_is_lost(void)
{
    return !mesh_reaches(&nodes[2].mesh, 1) && was_traced("removed from the cluster");
}

START_TEST(a_node_that_is_removed_is_let_go_and_one_that_moves_is_found)
{
    char address[32];
    struct node_view all[] = {{.id = 1, .address = "127.0.0.1:1"}, {.id = 2, .address = address}};
    const struct nodes_view one = {.nodes = all, .count = 1}, both = {.nodes = all, .count = 2};
    begin(1);
    begin(2);
    until(two_and_one_reach_each_other);
    ck_assert_int_eq(roster_update(nodes[1].roster, &one, &e), ERR_OK);
    mesh_update(&nodes[1].mesh);
    until(two_is_lost);
    ck_assert_ptr_null(mesh_peer(&nodes[1].mesh, 2));
    ck_assert(!put(1, 2, 1, "x", 1));
    snprintf(address, sizeof address, "127.0.0.1:%d", ports[2]);
    ck_assert_int_eq(roster_update(nodes[1].roster, &both, &e), ERR_OK);
    mesh_update(&nodes[1].mesh);
    until(two_and_one_reach_each_other);
}
END_TEST

START_TEST(frames_reach_the_loop_of_their_shard)
{
    static uint8_t bytes[3 * 1024 * 1024];
    ck_assert_int_eq(loop_open(&other, 1, &e), ERR_OK);
    ck_assert_int_eq(loop_start(&other, &e), ERR_OK);
    nodes[2].ops = (struct mesh_ops){
        .ctx = &nodes[2], .loop_of = odd_shards_live_elsewhere, .frame = on_frame_there, .unreachable = on_unreachable};
    begin(1);
    begin(2);
    until(two_and_one_reach_each_other);
    for (int c = 'a'; c <= 'z'; c++) { /* more than may be on its way to the other loop at a time */
        bytes[0] = (uint8_t)c;
        while (!put(1, 2, 1, bytes, sizeof bytes))
            uv_run(&loop.uv, UV_RUN_ONCE);
        put_text(1, 2, 2, "here");
    }
    until(is_done);
    end(&nodes[2]); /* waits for what is on its way */
    loop_stop(&other);
    loop_join(&other);
    loop_close(&other);
    buffer_u8(&there, 0);
    ck_assert_str_eq((const char *)there.data, "abcdefghijklmnopqrstuvwxyz");
    buffer_close(&there);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mesh");
    TCase *c = tcase_create("mesh");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, frames_arrive_in_order_for_their_shards_with_who_sent_them);
    tcase_add_test(c, nodes_with_certificates_of_one_authority_speak_to_each_other);
    tcase_add_test(c, a_node_whose_certificate_is_foreign_does_not_get_in);
    tcase_add_test(c, large_frames_arrive_whole);
    tcase_add_test(c, a_peer_that_is_away_costs_its_frames_and_is_reached_when_it_comes);
    tcase_add_test(c, a_node_that_lost_its_data_is_refused_by_those_it_had_met);
    tcase_add_test(c, two_nodes_with_the_same_id_are_told_apart);
    tcase_add_test(c, who_says_no_hello_is_sent_away);
    tcase_add_test(c, who_is_of_another_cluster_or_no_node_of_this_one_is_sent_away);
    tcase_add_test(c, frames_that_make_no_sense_end_their_connection_and_nothing_else);
    tcase_add_test(c, a_peer_that_does_not_read_costs_bounded_memory_and_is_given_up);
    tcase_add_test(c, a_node_that_is_removed_is_let_go_and_one_that_moves_is_found);
    tcase_add_test(c, frames_reach_the_loop_of_their_shard);
    suite_add_tcase(suite, c);
    return mesh_run(suite);
}
