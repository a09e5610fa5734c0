/* A server that is no broker, or a broken one: the client hangs up, says why, and tries again. */
#include "base/random.h"
#include "client/harness.h"

/* To every request of the first connection the bytes in `hostile`; later ones are answered well. */
static struct bytes hostile;

static void answer_hostile(struct double_broker *b, struct double_peer *p, const Hato__Request *r)
{
    if (p->number > 1) {
        answer_well(b, p, r);
        return;
    }
    see(b->user, p, r);
    double_raw(p, hostile.data, hostile.len);
}

static void expect_hang_up(const void *data, size_t len, const char *why)
{
    hostile = bytes_of(data, len);
    struct harness *h = harness_open(answer_hostile, NULL);
    struct outcome o = {0};
    send_text(h, "jobs", "x", &o);
    RUN_UNTIL(h, o.times > 0);
    ck_assert_int_eq(h->lost_code, HATO_PROTOCOL);
    ck_assert_msg(strstr(h->lost_message, why) != NULL, "'%s' does not say '%s'", h->lost_message, why);
    ck_assert_int_eq(o.code, HATO_OK); /* repeated on the next connection */
    ck_assert_uint_eq(o.times, 1);
    harness_close(h);
}

START_TEST(a_frame_of_no_bytes_ends_the_connection)
{
    expect_hang_up("\0\0\0\0", 4, "frame of 0 bytes");
}
END_TEST

START_TEST(a_frame_above_the_limit_ends_the_connection_before_it_is_read)
{
    expect_hang_up("\xff\xff\xff\xff", 4, "frame of 4294967295 bytes");
}
END_TEST

START_TEST(a_frame_that_is_no_reply_ends_the_connection)
{
    expect_hang_up("\4\0\0\0\xff\xff\xff\xff", 8, "not a reply");
}
END_TEST

START_TEST(a_reply_of_another_kind_ends_the_connection)
{
    const unsigned char frame[] = {4, 0, 0, 0, 0x08, 2, 0x1a, 0}; /* id 2, empty */
    expect_hang_up(frame, sizeof frame, "of another kind");
}
END_TEST

START_TEST(a_reply_with_a_wrong_number_of_results_ends_the_connection)
{
    const unsigned char frame[] = {4, 0, 0, 0, 0x08, 2, 0x32, 0}; /* id 2, send with no result */
    expect_hang_up(frame, sizeof frame, "wrong number of results");
}
END_TEST

START_TEST(an_error_about_the_connection_is_passed_on)
{
    const unsigned char frame[] = {13, 0, 0, 0, 0x12, 11, 0x08, 15, 0x12, 7, 'n', 'o', ' ', 'm', 'o', 'r', 'e'};
    expect_hang_up(frame, sizeof frame, "no more");
}
END_TEST

START_TEST(a_reply_to_a_request_that_was_never_made_is_ignored)
{
    const unsigned char frame[] = {5, 0, 0, 0, 0x08, 0x99, 0x01, 0x1a, 0}; /* id 153 */
    hostile = bytes_of(frame, sizeof frame);
    struct harness *h = harness_open(answer_hostile, NULL);
    struct outcome o = {0};
    hato_ping(h->client, record, &o);
    RUN_UNTIL(h, h->seen_count == 1);
    double_empty(h->broker.last, h->seen[0].id);
    RUN_UNTIL(h, o.times > 0);
    ck_assert_uint_eq(h->lost, 0);
    harness_close(h);
}
END_TEST

static struct random noise;

static void answer_noise(struct double_broker *b, struct double_peer *p, const Hato__Request *r)
{
    see(b->user, p, r);
    uint8_t bytes[256];
    uint32_t len = 1 + (uint32_t)random_below(&noise, sizeof bytes - 4);
    for (uint32_t i = 0; i < len; i++)
        bytes[4 + i] = (uint8_t)random_next(&noise);
    memcpy(bytes, &len, 4);
    bytes[4] = 0x08; /* often enough the beginning is an id */
    if (len > 1)
        bytes[5] = (uint8_t)r->id;
    double_raw(p, bytes, len + 4);
}

START_TEST(random_frames_never_break_the_client)
{
    struct hato_options options = {.timeout_ms = 50};
    for (uint64_t seed = 0; seed < 20; seed++) {
        random_open(&noise, seed);
        struct harness *h = harness_open(answer_noise, &options);
        struct outcome o[5] = {0};
        struct hato_bytes receipt = receipt_of("r");
        hato_ping(h->client, record, &o[0]);
        send_text(h, "jobs", "x", &o[1]);
        hato_receive(h->client, "jobs", &(struct hato_receive_options){.has_wait = true}, record, &o[2]);
        hato_ack(h->client, "jobs", &receipt, 1, record, &o[3]);
        hato_queue_list(h->client, NULL, record, &o[4]);
        RUN_UNTIL(h, o[0].times > 0 && o[1].times > 0 && o[2].times > 0 && o[3].times > 0 && o[4].times > 0);
        harness_close(h);
        for (unsigned i = 0; i < 5; i++)
            ck_assert_uint_eq(o[i].times, 1);
    }
}
END_TEST

static void expect_refused(const char *preamble, const char *refusal, int code, const char *why)
{
    struct hato_options options = {.first_connect_ms = 1};
    struct harness *h = harness_open(answer_well, &options);
    h->broker.greet_with = preamble;
    h->broker.refuse_hello = refusal;
    struct outcome o = {0};
    hato_ping(h->client, record, &o);
    RUN_UNTIL(h, o.times > 0);
    ck_assert_int_eq(o.code, code);
    ck_assert_msg(strstr(o.message, why) != NULL, "'%s' does not say '%s'", o.message, why);
    ck_assert_uint_eq(h->connected, 0);
    harness_close(h);
}

START_TEST(what_is_no_broker_is_told_apart)
{
    expect_refused("HTTP/1.1", NULL, HATO_PROTOCOL, "not a Hato broker");
}
END_TEST

START_TEST(another_version_of_the_protocol_is_told_apart)
{
    expect_refused("HATO\2\0\0\0", NULL, HATO_VERSION_MISMATCH, "version 2");
}
END_TEST

START_TEST(a_later_minor_version_is_welcome)
{
    struct harness *h = harness_open(answer_well, NULL);
    h->broker.greet_with = "HATO\1\0\7\0";
    struct outcome o = {0};
    hato_ping(h->client, record, &o);
    RUN_UNTIL(h, o.times > 0);
    ck_assert_int_eq(o.code, HATO_OK);
    harness_close(h);
}
END_TEST

START_TEST(a_greeting_that_is_refused_says_why)
{
    expect_refused(NULL, "no such account", HATO_FORBIDDEN, "no such account");
}
END_TEST

START_TEST(a_server_that_says_nothing_is_given_up)
{
    uv_loop_t loop;
    uv_loop_init(&loop);
    uv_tcp_t silent;
    struct sockaddr_in address;
    uv_ip4_addr("127.0.0.1", 0, &address);
    uv_tcp_init(&loop, &silent);
    uv_tcp_bind(&silent, (const struct sockaddr *)&address, 0);
    int fd;
    uv_fileno((uv_handle_t *)&silent, &fd);
    ck_assert_int_eq(listen(fd, 8), 0); /* the kernel accepts, nobody answers */
    int len = sizeof address;
    uv_tcp_getsockname(&silent, (struct sockaddr *)&address, &len);
    char server[32];
    snprintf(server, sizeof server, "127.0.0.1:%d", ntohs(address.sin_port));
    struct hato_options options = {.server = server, .connect_timeout_ms = 20, .first_connect_ms = 1};
    struct harness *h = harness_open(answer_well, &options);
    struct outcome o = {0};
    hato_ping(h->client, record, &o);
    RUN_UNTIL(h, o.times > 0);
    ck_assert_int_eq(o.code, HATO_IO);
    ck_assert_ptr_nonnull(strstr(o.message, "no answer within 20 ms"));
    harness_close(h);
    uv_close((uv_handle_t *)&silent, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
}
END_TEST

START_TEST(a_reply_that_comes_byte_by_byte_is_understood)
{
    struct harness *h = harness_open(answer_nothing, NULL);
    struct outcome o = {0};
    hato_ping(h->client, record, &o);
    RUN_UNTIL(h, h->seen_count == 1);
    const unsigned char frame[] = {4, 0, 0, 0, 0x08, (unsigned char)h->seen[0].id, 0x1a, 0};
    for (size_t i = 0; i < sizeof frame; i++) {
        ck_assert_uint_eq(o.times, 0);
        double_raw(h->broker.last, frame + i, 1);
        for (int turn = 0; turn < 3; turn++)
            uv_run(&h->loop, UV_RUN_NOWAIT);
    }
    RUN_UNTIL(h, o.times > 0);
    ck_assert_int_eq(o.code, HATO_OK);
    harness_close(h);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client/hostile");
    TCase *tc = tcase_create("hostile");
    tcase_set_timeout(tc, HARNESS_TIMEOUT_S);
    tcase_add_test(tc, a_frame_of_no_bytes_ends_the_connection);
    tcase_add_test(tc, a_frame_above_the_limit_ends_the_connection_before_it_is_read);
    tcase_add_test(tc, a_frame_that_is_no_reply_ends_the_connection);
    tcase_add_test(tc, a_reply_of_another_kind_ends_the_connection);
    tcase_add_test(tc, a_reply_with_a_wrong_number_of_results_ends_the_connection);
    tcase_add_test(tc, an_error_about_the_connection_is_passed_on);
    tcase_add_test(tc, a_reply_to_a_request_that_was_never_made_is_ignored);
    tcase_add_test(tc, random_frames_never_break_the_client);
    tcase_add_test(tc, what_is_no_broker_is_told_apart);
    tcase_add_test(tc, another_version_of_the_protocol_is_told_apart);
    tcase_add_test(tc, a_later_minor_version_is_welcome);
    tcase_add_test(tc, a_greeting_that_is_refused_says_why);
    tcase_add_test(tc, a_server_that_says_nothing_is_given_up);
    tcase_add_test(tc, a_reply_that_comes_byte_by_byte_is_understood);
    suite_add_tcase(suite, tc);
    return harness_run(suite);
}
